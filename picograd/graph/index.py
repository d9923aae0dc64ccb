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
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Var:
    """A loop variable with its inclusive bounds. `lanes` > 1 marks a vector lane: it takes the
    values 0..lanes-1 at once, one in each lane of a vector."""

    name: str
    low: int
    high: int
    lanes: int = 1

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


def _sort_key(term: tuple[Atom, int]) -> tuple[int, str]:
    atom = term[0]
    rank = {Var: 0, Param: 1, FloorDiv: 2, Mod: 3}[type(atom)]
    return rank, str(atom)


@dataclass(frozen=True, slots=True)
class Index:
    """`constant + sum(coefficient * atom)`; terms are sorted and no coefficient is zero."""

    terms: tuple[tuple[Atom, int], ...] = ()
    constant: int = 0

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.terms, self.constant + other)
        return _affine([*self.terms, *other.terms], self.constant + other.constant)

    __radd__ = __add__

    def __neg__(self) -> Index:
        return self * -1

    def __sub__(self, other: Index | int) -> Index:
        return self + (-other)

    def __rsub__(self, other: int) -> Index:
        return -self + other

    def __mul__(self, factor: int) -> Index:
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
        total = Index((), self.constant)
        for atom, coefficient in self.terms:
            if isinstance(atom, FloorDiv):
                new = floor_divide(atom.numerator.substitute(values), atom.divisor)
            elif isinstance(atom, Mod):
                new = modulo(atom.numerator.substitute(values), atom.divisor)
            else:
                new = values.get(atom)
                if new is None:
                    new = Index(((atom, 1),))
            total = total + new * coefficient
        return total

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
    for atom, coefficient in terms:
        merged[atom] = merged.get(atom, 0) + coefficient
    return _recombine({a: c for a, c in merged.items() if c}, constant_part)


def _recombine(merged: dict[Atom, int], constant_part: int) -> Index:
    """`(x // n) * n*c + (x % n) * c` is `x*c`: what a reshape split, a second one joins."""
    for atom in list(merged):
        if not isinstance(atom, Mod) or atom not in merged:
            continue
        quotient, factor = FloorDiv(atom.numerator, atom.divisor), merged[atom]
        if merged.get(quotient) == factor * atom.divisor:
            del merged[quotient], merged[atom]
            joined = atom.numerator * factor
            return _affine([*merged.items(), *joined.terms], constant_part + joined.constant)
    return Index(tuple(sorted(merged.items(), key=_sort_key)), constant_part)


def _split_multiple(x: Index, divisor: int) -> tuple[Index, Index]:
    """`x = quotient * divisor + rest`, moving every term that `divisor` divides."""
    quotient = [(a, c // divisor) for a, c in x.terms if c % divisor == 0]
    rest = [(a, c) for a, c in x.terms if c % divisor]
    whole, left = divmod(x.constant, divisor)
    return Index(tuple(quotient), whole), Index(tuple(rest), left)


def floor_divide(x: Index, divisor: int) -> Index:
    """`x // divisor` for a positive constant divisor, simplified by what the bounds prove."""
    if divisor <= 0:
        raise ValueError(f"an index is divided by positive constants only, not by {divisor}")
    if divisor == 1:
        return x
    quotient, rest = _split_multiple(x, divisor)
    low, high = rest.bounds()
    if low // divisor == high // divisor:
        return quotient + low // divisor
    common = _common_divisor(rest, divisor)
    if common > 1:  # (c*y + r) // (c*d) = y // d when 0 <= r < c
        reduced = Index(tuple((a, c // common) for a, c in rest.terms), rest.constant // common)
        return quotient + floor_divide(reduced, divisor // common)
    if len(rest.terms) == 1 and rest.constant == 0 and rest.terms[0][1] == 1:
        atom = rest.terms[0][0]
        if isinstance(atom, FloorDiv):  # (x // a) // b = x // (a*b)
            return quotient + floor_divide(atom.numerator, atom.divisor * divisor)
    return quotient + _drop_small(rest, divisor)


def _common_divisor(x: Index, divisor: int) -> int:
    """The largest factor that divides the divisor and every coefficient."""
    from math import gcd

    common = divisor
    for _, coefficient in x.terms:
        common = gcd(common, coefficient)
    return common


def _drop_small(rest: Index, divisor: int) -> Index:
    """`(a*g + b) // d` is `(a*g) // d` when g divides d and `0 <= b < g`."""
    from math import gcd

    for _, factor in rest.terms:
        group = gcd(abs(factor), divisor)
        if group <= 1:
            continue
        large = [(a, c) for a, c in rest.terms if c % group == 0]
        small = Index(
            tuple((a, c) for a, c in rest.terms if c % group), rest.constant % group
        )
        low, high = small.bounds()
        if 0 <= low and high < group and small.terms:
            base = Index(tuple(large), rest.constant - rest.constant % group)
            return floor_divide(base, divisor)
    return of(FloorDiv(rest, divisor))


def modulo(x: Index, divisor: int) -> Index:
    """`x % divisor` for a positive constant divisor, simplified by what the bounds prove."""
    if divisor <= 0:
        raise ValueError(f"an index is taken modulo positive constants only, not {divisor}")
    if divisor == 1:
        return ZERO
    _, rest = _split_multiple(x, divisor)
    low, high = rest.bounds()
    if low // divisor == high // divisor:
        return rest - (low // divisor) * divisor
    if len(rest.terms) == 1 and rest.constant == 0 and rest.terms[0][1] == 1:
        atom = rest.terms[0][0]
        if isinstance(atom, Mod) and atom.divisor % divisor == 0:  # (x % ab) % a = x % a
            return modulo(atom.numerator, divisor)
    return _factor_modulo(rest, divisor)


def _factor_modulo(rest: Index, divisor: int) -> Index:
    """`(g*y + b) % (g*d) = g * (y % d) + b` when `0 <= b < g`."""
    from math import gcd

    for _, factor in rest.terms:
        group = gcd(abs(factor), divisor)
        if group <= 1:
            continue
        large = Index(
            tuple((a, c // group) for a, c in rest.terms if c % group == 0),
            rest.constant // group,
        )
        small = Index(
            tuple((a, c) for a, c in rest.terms if c % group), rest.constant % group
        )
        low, high = small.bounds()
        if 0 <= low and high < group:
            return modulo(large, divisor // group) * group + small
    return of(Mod(rest, divisor))


def linearize(indices: Sequence[Index], shape: Sequence[int]) -> Index:
    """The row-major position of a multi-index."""
    position, stride = ZERO, 1
    for index, extent in zip(reversed(indices), reversed(shape), strict=True):
        position, stride = position + index * stride, stride * extent
    return position


def delinearize(position: Index, shape: Sequence[int]) -> tuple[Index, ...]:
    """The multi-index of a row-major position; the inverse of `linearize`."""
    indices: list[Index] = []
    stride = 1
    for axis in reversed(range(len(shape))):
        extent = shape[axis]
        quotient = floor_divide(position, stride) if stride > 0 else ZERO
        indices.append(ZERO if extent <= 1 else quotient if axis == 0 else quotient % extent)
        stride *= extent
    return tuple(reversed(indices))


@dataclass(frozen=True, slots=True)
class Mask:
    """A conjunction of `index >= 0`; the empty mask always holds.

    >>> i = variable("i", 4)
    >>> Mask.inside(i, 0, 4) == Mask()
    True
    """

    constraints: tuple[Index, ...] = ()

    @staticmethod
    def inside(index: Index, low: int, high: int) -> Mask:
        """`low <= index < high`, without the halves that the bounds already prove."""
        return Mask().require(index - low).require(high - 1 - index)

    def require(self, index: Index) -> Mask:
        """This mask and `index >= 0`."""
        if index.bounds()[0] >= 0 or index in self.constraints:
            return self
        return Mask((*self.constraints, index))

    def __and__(self, other: Mask) -> Mask:
        mask = self
        for constraint in other.constraints:
            mask = mask.require(constraint)
        return mask

    @property
    def always(self) -> bool:
        return not self.constraints

    @property
    def never(self) -> bool:
        """True when a constraint is proved to fail everywhere."""
        return any(constraint.bounds()[1] < 0 for constraint in self.constraints)

    def atoms(self) -> frozenset[Var | Param]:
        return frozenset().union(*(c.atoms() for c in self.constraints))

    def substitute(self, values: Mapping[Var | Param, Index]) -> Mask:
        mask = Mask()
        for constraint in self.constraints:
            mask = mask.require(constraint.substitute(values))
        return mask

    def evaluate(self, values: Mapping[Var | Param, int]) -> bool:
        return all(constraint.evaluate(values) >= 0 for constraint in self.constraints)

    def __str__(self) -> str:
        return " and ".join(f"{c} >= 0" for c in self.constraints) or "true"
