"""Where an index expression is allowed to be used: conjunctions of `index >= 0`.

In: index expressions (`graph.index`). Out: `Mask`, which movement ops give and accesses carry:
padding, the window of an update, the tail of a vectorised loop.

>>> i = of(Var("i", 0, 7))
>>> Mask.inside(i, 2, 8)
Mask(constraints=(i + -2,))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd

from picograd.graph.index import FloorDiv, Index, Param, Var, of


def _normal_constraint(x: Index) -> Index:
    """A simpler index that is not negative exactly where x is not.

    Common factors go; `x // d + r >= 0` is `x + d*r >= 0`; `r - x // d >= 0` is
    `d*r + d - 1 - x >= 0`.
    """
    while x.terms:
        common = gcd(*(coefficient for _, coefficient in x.terms))
        if common > 1:
            terms = tuple((atom, coefficient // common) for atom, coefficient in x.terms)
            x = Index(terms, x.constant // common)
        for atom, coefficient in x.terms:
            if isinstance(atom, FloorDiv) and abs(coefficient) == 1:
                rest = x - of(atom) * coefficient
                slack = atom.divisor - 1 if coefficient < 0 else 0
                x = rest * atom.divisor + atom.numerator * coefficient + slack
                break
        else:
            return x
    return x


@dataclass(frozen=True, slots=True)
class Mask:
    """A conjunction of `index >= 0`; the empty mask always holds.

    >>> i = of(Var("i", 0, 3))
    >>> Mask.inside(i, 0, 4) == Mask()
    True
    """

    constraints: tuple[Index, ...] = ()

    @staticmethod
    def inside(index: Index, low: int, high: int) -> Mask:
        """`low <= index < high`, without the halves that the bounds already prove."""
        return Mask().require(index - low).require(high - 1 - index)

    def require(self, index: Index) -> Mask:
        """This mask and `index >= 0`, in normal form: of equal sums the tightest one is kept."""
        index = _normal_constraint(index)
        if index.bounds()[0] >= 0:
            return self
        kept: list[Index] = []
        for known in self.constraints:
            if known.terms == index.terms:
                index = Index(index.terms, min(index.constant, known.constant))
            else:
                kept.append(known)
        return Mask(tuple(sorted([*kept, index], key=str)))

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


# The mask that excludes nothing.
EVERYWHERE = Mask()
