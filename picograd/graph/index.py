"""Integer index expressions: one canonical form, bounds, and simplification by bounds.

In: the index arithmetic of movement ops. Out: `Index` values that the schedule puts into
accesses and codegen turns into addresses. An `Index` is always the affine form

    constant + sum(coefficient * atom)

over *atoms*: loop variables, run-time parameters, and floor-division or modulus of an affine form
by a positive integer. Equal functions usually have equal forms, so `==` is a cheap first proof;
`bounds` is the second: `x % n` becomes `x` when `0 <= x < n` is known.

>>> i, j = variable("i", 4), variable("j", 8)
>>> (i * 8 + j) // 8
i
>>> (i * 8 + j) % 8
j
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import gcd, prod

# Indices are made and looked up by the hundred thousand: they are plain objects, which nothing
# changes once they are made, and remember their hash. It is not pickled: it differs by process.


@dataclass(slots=True, order=True)
class Var:
    """A loop variable with its inclusive bounds. `lanes` > 1 marks a vector lane: it takes the
    values 0..lanes-1 at once, one in each lane of a vector."""

    name: str
    low: int
    high: int
    lanes: int = 1
    _hash: int | None = field(default=None, init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        found = self._hash
        if found is None:
            found = self._hash = hash((self.name, self.low, self.high, self.lanes))
        return found

    def __reduce__(self) -> tuple[type[Var], tuple[str, int, int, int]]:
        return Var, (self.name, self.low, self.high, self.lanes)

    def __str__(self) -> str:
        return self.name

    @property
    def bounds(self) -> tuple[int, int]:
        return self.low, self.high


@dataclass(frozen=True, slots=True, order=True)
class Param:
    """A run-time integer of a program or kernel (a slice's start), with inclusive bounds."""

    slot: int
    low: int
    high: int

    def __str__(self) -> str:
        return f"p{self.slot}"

    @property
    def bounds(self) -> tuple[int, int]:
        return self.low, self.high


@dataclass(frozen=True, slots=True)
class FloorDiv:
    """`numerator // divisor`, rounded to minus infinity; the divisor is a positive constant."""

    numerator: Index
    divisor: int

    def __str__(self) -> str:
        return f"({self.numerator} // {self.divisor})"

    @property
    def bounds(self) -> tuple[int, int]:
        low, high = self.numerator.bounds()
        return low // self.divisor, high // self.divisor


@dataclass(frozen=True, slots=True)
class Mod:
    """`numerator % divisor`, never negative; the divisor is a positive constant."""

    numerator: Index
    divisor: int

    def __str__(self) -> str:
        return f"({self.numerator} % {self.divisor})"

    @property
    def bounds(self) -> tuple[int, int]:
        return 0, self.divisor - 1


Atom = Var | Param | FloorDiv | Mod


_RANK: dict[type[Atom], int] = {Var: 0, Param: 1, FloorDiv: 2, Mod: 3}


def _sort_key(term: tuple[Atom, int]) -> tuple[int, str]:
    atom = term[0]
    return _RANK[type(atom)], str(atom)


@dataclass(slots=True)
class Index:
    """`constant + sum(coefficient * atom)`; terms are sorted and no coefficient is zero."""

    terms: tuple[tuple[Atom, int], ...] = ()
    constant: int = 0
    _hash: int | None = field(default=None, init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        found = self._hash
        if found is None:
            found = self._hash = hash((self.terms, self.constant))
        return found

    def __reduce__(self) -> tuple[type[Index], tuple[tuple[tuple[Atom, int], ...], int]]:
        return Index, (self.terms, self.constant)

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.terms, self.constant + other)
        if not other.terms:
            return Index(self.terms, self.constant + other.constant)
        if not self.terms:
            return Index(other.terms, self.constant + other.constant)
        return _affine([*self.terms, *other.terms], self.constant + other.constant)

    __radd__ = __add__

    def __neg__(self) -> Index:
        return self * -1

    def __sub__(self, other: Index | int) -> Index:
        return self + (-other)

    def __rsub__(self, other: int) -> Index:
        return -self + other

    def __mul__(self, factor: int) -> Index:
        if factor == 1:
            return self
        if factor == 0:
            return ZERO
        return Index(tuple((atom, c * factor) for atom, c in self.terms), self.constant * factor)

    __rmul__ = __mul__

    def __floordiv__(self, divisor: int) -> Index:
        return floor_divide(self, divisor)

    def __mod__(self, divisor: int) -> Index:
        return modulo(self, divisor)

    def bounds(self) -> tuple[int, int]:
        """Inclusive (low, high) that hold for every value of the variables and parameters."""
        low = high = self.constant
        for atom, coefficient in self.terms:
            atom_low, atom_high = atom.bounds
            if coefficient > 0:
                low, high = low + coefficient * atom_low, high + coefficient * atom_high
            else:
                low, high = low + coefficient * atom_high, high + coefficient * atom_low
        return low, high

    @property
    def is_constant(self) -> bool:
        return not self.terms

    def coefficient(self, atom: Atom) -> int:
        """The factor of an atom where it stands at the top; 0 when it does not."""
        for candidate, factor in self.terms:
            if candidate == atom:
                return factor
        return 0

    def atoms(self) -> frozenset[Var | Param]:
        """All variables and parameters, those inside divisions included."""
        found: set[Var | Param] = set()
        for atom, _ in self.terms:
            if isinstance(atom, FloorDiv | Mod):
                found |= atom.numerator.atoms()
            else:
                found.add(atom)
        return frozenset(found)

    def variables(self) -> frozenset[Var]:
        return frozenset(atom for atom in self.atoms() if isinstance(atom, Var))

    def is_affine_in(self, var: Var) -> bool:
        """True when `var` appears in no division: then `coefficient(var)` is its stride."""
        return not any(
            isinstance(atom, FloorDiv | Mod) and var in atom.numerator.atoms()
            for atom, _ in self.terms
        )

    def substitute(self, values: Mapping[Var | Param, Index]) -> Index:
        """Replace variables and parameters, simplifying again with the new bounds."""
        if not self.terms:
            return self
        terms: list[tuple[Atom, int]] = []
        total, changed = self.constant, False
        for atom, coefficient in self.terms:
            if isinstance(atom, FloorDiv | Mod):
                inside = atom.numerator.substitute(values)
                if inside is atom.numerator:
                    terms.append((atom, coefficient))
                    continue
                divide = floor_divide if isinstance(atom, FloorDiv) else modulo
                new = divide(inside, atom.divisor)
            else:
                new = values.get(atom)
                if new is None:
                    terms.append((atom, coefficient))
                    continue
            changed = True
            terms.extend((part, factor * coefficient) for part, factor in new.terms)
            total += new.constant * coefficient
        return _affine(terms, total) if changed else self

    def evaluate(self, values: Mapping[Var | Param, int]) -> int:
        """The integer value for given variables and parameters."""
        total = self.constant
        for atom, coefficient in self.terms:
            if isinstance(atom, FloorDiv):
                total += coefficient * (atom.numerator.evaluate(values) // atom.divisor)
            elif isinstance(atom, Mod):
                total += coefficient * (atom.numerator.evaluate(values) % atom.divisor)
            else:
                total += coefficient * values[atom]
        return total

    def __str__(self) -> str:
        parts = [str(a) if c == 1 else f"{a}*{c}" for a, c in self.terms]
        if self.constant or not parts:
            parts.append(str(self.constant))
        return " + ".join(parts)

    __repr__ = __str__


ZERO = Index()


def constant(value: int) -> Index:
    """The index that is always `value`."""
    return Index((), value)


def variable(name: str, extent: int) -> Index:
    """A fresh loop variable over `range(extent)`, as an index."""
    return of(Var(name, 0, max(extent - 1, 0)))


def of(atom: Atom) -> Index:
    """The index of one atom."""
    return Index(((atom, 1),))


def _affine(terms: Iterable[tuple[Atom, int]], constant_part: int) -> Index:
    merged: dict[Atom, int] = {}
    divided = False
    for atom, coefficient in terms:
        merged[atom] = merged.get(atom, 0) + coefficient
        divided = divided or not isinstance(atom, Var | Param)
    if 0 in merged.values():
        merged = {atom: coefficient for atom, coefficient in merged.items() if coefficient}
    if divided:
        for atom, coefficient in merged.items():
            joined = _recombine(merged, atom, coefficient)
            if joined is not None:
                return joined + constant_part
    return Index(tuple(sorted(merged.items(), key=_sort_key)), constant_part)


def _recombine(merged: Mapping[Atom, int], atom: Atom, factor: int) -> Index | None:
    """What a reshape split, a second one joins. All by `x = (x // n) * n + x % n`:

    (x // n) * n*f + (x % n) * f                 = x * f
    ((x // m) % n) * m*f + (x % m) * f           = (x % (m*n)) * f
    x * f - (x % n) * f                          = (x // n) * n*f
    x * f - (x // n) * n*f                       = (x % n) * f

    None when no identity applies to `atom`. Each result has fewer terms, so this ends.
    """
    if not isinstance(atom, FloorDiv | Mod):
        return None
    x, n = atom.numerator, atom.divisor
    if isinstance(atom, FloorDiv):
        remainder = modulo(x, n)
        if factor % n == 0 and len(remainder.terms) == 1:
            return _replace(merged, atom, x * (-factor // n), remainder * (-factor // n))
        return None
    quotient = floor_divide(x, n)
    joined = _replace(merged, atom, quotient * (n * factor), x * factor)
    if joined is None:
        joined = _replace(merged, atom, x * -factor, quotient * (n * -factor))
    for inner, coefficient in x.terms if joined is None else ():
        if isinstance(inner, FloorDiv) and coefficient == 1 and factor % inner.divisor == 0:
            m = inner.divisor  # x is y // m
            y = (x - of(inner)) * m + inner.numerator
            small = modulo(y, m) * (factor // m)
            joined = _replace(merged, atom, small, modulo(y, m * n) * (factor // m))
            if joined is not None:
                break
    return joined


def _replace(merged: Mapping[Atom, int], atom: Atom, partner: Index, result: Index) -> Index | None:
    """The sum with `atom` and its partner replaced, if all of the partner's terms are there."""
    if not partner.terms or any(merged.get(a) != c for a, c in partner.terms):
        return None
    rest = dict(merged)
    del rest[atom]
    for other, _ in partner.terms:
        if rest.pop(other, None) is None:  # the partner contains the atom itself
            return None
    return _affine([*rest.items(), *result.terms], result.constant - partner.constant)


def _split_multiple(x: Index, divisor: int) -> tuple[Index, Index]:
    """`x = quotient * divisor + rest`. What is left of a coefficient keeps its sign, so that ranges
    stay narrow."""
    quotient: list[tuple[Atom, int]] = []
    rest: list[tuple[Atom, int]] = []
    for atom, coefficient in x.terms:
        whole = abs(coefficient) // divisor * (1 if coefficient > 0 else -1)
        if whole:
            quotient.append((atom, whole))
        if coefficient != whole * divisor:
            rest.append((atom, coefficient - whole * divisor))
    whole, left = divmod(x.constant, divisor)
    return _affine(quotient, whole), _affine(rest, left)


def _mostly_negative(x: Index) -> bool:
    """True for the sums that are written as `-(y)`: a flip becomes `n - (i // d)`."""
    negative = sum(coefficient < 0 for _, coefficient in x.terms)
    return 2 * negative > len(x.terms) or (2 * negative == len(x.terms) and x.terms[0][1] < 0)


def floor_divide(x: Index, divisor: int) -> Index:
    """`x // divisor` for a positive constant divisor, simplified by what the bounds prove."""
    if divisor <= 0:
        raise ValueError(f"an index is divided by positive constants only, not by {divisor}")
    if divisor == 1:
        return x
    if not x.terms:
        return Index((), x.constant // divisor)
    quotient, rest = _split_multiple(x, divisor)
    low, high = rest.bounds()
    if low // divisor == high // divisor:
        return quotient + low // divisor
    if quotient.terms or quotient.constant:
        return quotient + floor_divide(rest, divisor)
    if _mostly_negative(rest):  # (-y) // d = -((y - 1) // d) - 1
        return -floor_divide(-rest - 1, divisor) - 1
    return _divide_group(rest, divisor)


def _divide_group(rest: Index, divisor: int) -> Index:
    """`(g*y + b) // (g*d) = y // d` when `0 <= b < g`; nested divisions become one."""
    for group in _groups(rest, divisor):
        large, small = _split_group(rest, group)
        low, high = small.bounds()
        if low // group == high // group:
            return floor_divide(large + low // group, divisor // group)
    for atom, coefficient in rest.terms:
        if isinstance(atom, FloorDiv) and coefficient == 1:  # (x//a + y) // b = (x + a*y) // (a*b)
            numerator = (rest - of(atom)) * atom.divisor + atom.numerator
            return floor_divide(numerator, atom.divisor * divisor)
        if isinstance(atom, Mod) and rest == of(atom) and atom.divisor % divisor == 0:
            # (x % (a*b)) // a = (x // a) % b
            return modulo(floor_divide(atom.numerator, divisor), atom.divisor // divisor)
    return of(FloorDiv(rest, divisor))


def _groups(x: Index, divisor: int) -> list[int]:
    """The factors of the divisor that some coefficient has too, largest first."""
    found = {gcd(coefficient, divisor) for _, coefficient in x.terms}
    return sorted(found - {1}, reverse=True)


def _split_group(x: Index, group: int) -> tuple[Index, Index]:
    """`x = large * group + small`: the terms that the group divides, and the others."""
    large = tuple((a, c // group) for a, c in x.terms if c % group == 0)
    small = tuple((a, c) for a, c in x.terms if c % group)
    return _affine(large, x.constant // group), Index(small, x.constant % group)


def modulo(x: Index, divisor: int) -> Index:
    """`x % divisor` for a positive constant divisor, simplified by what the bounds prove."""
    if divisor <= 0:
        raise ValueError(f"an index is taken modulo positive constants only, not {divisor}")
    if divisor == 1:
        return ZERO
    quotient, rest = _split_multiple(x, divisor)
    low, high = rest.bounds()
    if low // divisor == high // divisor:
        return rest - (low // divisor) * divisor
    if quotient.terms or quotient.constant:
        return modulo(rest, divisor)
    if _mostly_negative(rest):  # (-y) % d = d - 1 - (y - 1) % d
        return -modulo(-rest - 1, divisor) + (divisor - 1)
    for atom, coefficient in rest.terms:  # (x % (a*b) + y) % a = (x + y) % a
        if isinstance(atom, Mod) and (coefficient * atom.divisor) % divisor == 0:
            outer = Index(tuple(t for t in rest.terms if t[0] != atom), rest.constant)
            return modulo(outer + atom.numerator * coefficient, divisor)
    return _factor_modulo(rest, divisor)


def _factor_modulo(rest: Index, divisor: int) -> Index:
    """`(g*y + b) % (g*d) = g * (y % d) + b` when `0 <= b < g`."""
    for group in _groups(rest, divisor):
        large, small = _split_group(rest, group)
        low, high = small.bounds()
        if low // group == high // group:
            shift = low // group
            return modulo(large + shift, divisor // group) * group + (small - shift * group)
    return of(Mod(rest, divisor))


def linearize(indices: Sequence[Index], shape: Sequence[int]) -> Index:
    """The row-major position of a multi-index."""
    position, stride = ZERO, 1
    for index, extent in zip(reversed(indices), reversed(shape), strict=True):
        position, stride = position + index * stride, stride * extent
    return position


def delinearize(position: Index, shape: Sequence[int]) -> tuple[Index, ...]:
    """The multi-index of a row-major position inside the shape; the inverse of `linearize`."""
    indices: list[Index] = []
    stride, total = 1, prod(shape)
    for extent in reversed(shape):
        if extent <= 1:
            indices.append(ZERO)
            continue
        quotient = floor_divide(position, stride)
        stride *= extent  # the first axis longer than 1 needs no modulus
        indices.append(quotient if stride == total else quotient % extent)
    return tuple(reversed(indices))
