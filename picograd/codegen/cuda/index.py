"""Indices and masks as C expressions.

In: indices of the loop IR. Out: text. Arithmetic is 32 bits wide wherever the bounds allow it: GPUs
have no 64-bit integer units, and a division takes tens of instructions more.

>>> from picograd.graph.index import Var, of
>>> i = Var("i0", 0, 99)
>>> index(of(i) * 4 + 1), index(of(i) // 3), index(of(i) * (1 << 40))
('(i0 * 4 + 1)', '(int)((unsigned)i0 / 3u)', '(long long)i0 * 1099511627776LL')
>>> condition(Mask().require(50 - of(i) * 2))
'i0 <= 25'
"""

from __future__ import annotations

from picograd.graph.index import FloorDiv, Index, Mod, Param, Var
from picograd.graph.mask import Mask

_LIMIT = 1 << 31

Atom = Var | Param | FloorDiv | Mod


def identifier(name: str) -> str:
    """A name of the loop IR as one of C."""
    return name.replace(".", "_")


def integer_type(var: Var) -> str:
    """The C type of an index variable."""
    return "int" if _is_small(var) else "long long"


def index(value: Index) -> str:
    """An index; of type int if no part of it can leave 32 bits, else long long."""
    small = is_narrow(value)
    suffix = "" if small else "LL"
    parts = []
    for atom, coefficient in value.terms:
        text = _atom(atom, small)
        parts.append(text if coefficient == 1 else f"{text} * {coefficient}{suffix}")
    if value.constant or not parts:
        parts.append(f"{value.constant}{suffix}")
    return parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"


def condition(mask: Mask) -> str:
    """A mask as a C condition."""
    return " && ".join(map(_comparison, mask.constraints)) or "true"


def _comparison(constraint: Index) -> str:
    """`constraint >= 0`, without negative factors."""
    if not is_narrow(constraint):
        return f"{index(constraint)} >= 0"
    less = Index(tuple((atom, -c) for atom, c in constraint.terms if c < 0), 0)
    more = constraint + less
    if more.is_constant:
        return f"{index(less)} <= {more.constant}"
    return f"{index(more)} >= {index(less)}"


def is_narrow(value: Index) -> bool:
    """Whether every partial result fits 32 bits, whatever the order of the additions."""
    reach = abs(value.constant)
    for atom, coefficient in value.terms:
        if isinstance(atom, FloorDiv | Mod) and not is_narrow(atom.numerator):
            return False
        reach += abs(coefficient) * _magnitude(atom)
    return reach < _LIMIT


def _magnitude(atom: Atom) -> int:
    low, high = atom.bounds
    return max(abs(low), abs(high))


def _is_small(atom: Atom) -> bool:
    return _magnitude(atom) < _LIMIT


def _atom(atom: Atom, small: bool) -> str:
    wide = "" if small else "(long long)"
    if isinstance(atom, FloorDiv | Mod):
        sign, name = ("/", "pg_floordiv") if isinstance(atom, FloorDiv) else ("%", "pg_mod")
        numerator = index(atom.numerator)
        if is_narrow(atom.numerator) and atom.numerator.bounds()[0] >= 0:
            return f"{wide}(int)((unsigned){numerator} {sign} {atom.divisor}u)"
        suffix = "" if is_narrow(atom.numerator) else "LL"
        return f"{wide}{name}({numerator}, {atom.divisor}{suffix})"
    if isinstance(atom, Var):
        return f"{wide}{identifier(atom.name)}"
    return f"({'int' if small else 'long long'})p{atom.slot}"
