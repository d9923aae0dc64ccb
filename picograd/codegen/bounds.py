"""Prove that an index lies in a range wherever a mask holds.

In: an `Index`, a size and a `Mask`. Out: whether `0 <= index < size` is proved. Called by
`codegen.verify` and by passes that want to drop a mask.

A mask is a conjunction of `c >= 0`. If some non-negative multiples of the constraints, taken off
an index, leave something that its bounds prove non-negative, the index is non-negative; a greedy
search finds the multiples, one variable at a time.

>>> from picograd.graph.index import variable
>>> i, j = variable("i", 4), variable("j", 8)
>>> proves_within(i * 8 + j - 1, 32, Mask().require(j - 1))
True
>>> proves_within(i * 8 + j - 1, 32, Mask())
False
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from picograd.graph.index import FloorDiv, Index, Mod, Param, Var, constant, of
from picograd.graph.mask import Mask

Points = dict[Var | Param, np.ndarray]

CASES = 4096  # an index of at most this many values is tried out
ROUNDS = 3  # of narrowing: smaller ranges of some variables may leave less to others
SAMPLES = 2000  # random points at which an index without a proof is tried
NEVER = Mask((constant(-1),))


def proves_within(index: Index, size: int, mask: Mask) -> bool:
    """True when `0 <= index < size` follows from the bounds and the mask."""
    low, high = index.bounds()
    if low >= 0 and high < size:
        return True
    if mask.never:
        return True
    return (low >= 0 or proves(index, mask)) and (high < size or proves(size - 1 - index, mask))


def proves(index: Index, mask: Mask) -> bool:
    """True when `index >= 0` follows from the bounds and the mask."""
    if index.bounds()[0] >= 0 or index in mask.constraints:
        return True
    if _greedy(index, mask.constraints):
        return True
    if _greedy(index, mask.constraints + _quotients(index, mask)):
        return True
    narrow, index, mask = _narrowed(index, mask)
    if narrow and (mask.never or index.bounds()[0] >= 0 or _greedy(index, mask.constraints)):
        return True
    return _splits(index, mask) or _divides(index, mask) or _tries(index, mask)


def _greedy(index: Index, constraints: tuple[Index, ...], depth: int = 8) -> bool:
    """Take off the multiple of a constraint that raises the lower bound most, while one does."""
    low = index.bounds()[0]
    for _ in range(depth):
        best = None
        for constraint in constraints:
            for atom, factor in constraint.terms:
                times, rest = divmod(index.coefficient(atom), factor)
                if times <= 0 or rest:
                    continue
                left = index - constraint * times
                if left.bounds()[0] > low:
                    best, low = left, left.bounds()[0]
        if best is None:
            return False
        index = best
        if low >= 0:
            return True
    return False


def _quotients(index: Index, mask: Mask) -> tuple[Index, ...]:
    """What the mask says of the quotients in an index. For whole t and k: where `x + d*t + k >= 0`,
    `x // d + t >= -k // d`; where `x <= d*t + k`, `x // d <= t + k // d`."""
    derived: list[Index] = []
    for atom, _ in index.terms:
        if not isinstance(atom, FloorDiv):
            continue
        quotient, divisor = Index(((atom, 1),)), atom.divisor
        for constraint in mask.constraints:
            above = constraint - atom.numerator
            if all(factor % divisor == 0 for _, factor in above.terms):
                whole = Index(tuple((a, f // divisor) for a, f in above.terms))
                derived.append(quotient + whole - (-above.constant // divisor))
            below = constraint + atom.numerator
            if all(factor % divisor == 0 for _, factor in below.terms):
                whole = Index(tuple((a, f // divisor) for a, f in below.terms))
                derived.append(whole + below.constant // divisor - quotient)
    return tuple(derived)


def _narrowed(index: Index, mask: Mask) -> tuple[bool, Index, Mask]:
    """The same question over the smaller ranges that the constraints, each on its own, leave to
    variables: where `lane - 17*p >= 0` and lane is below 16, p is at most 0. False as the first
    when no range gets smaller."""
    narrow = False
    for _ in range(ROUNDS):
        ranges: dict[Var | Param, tuple[int, int]] = {}
        for constraint in mask.constraints:
            highest = constraint.bounds()[1]
            for atom, factor in constraint.terms:
                if isinstance(atom, FloorDiv | Mod):
                    continue
                low, high = ranges.get(atom, atom.bounds)
                room = highest - factor * atom.bounds[factor > 0]  # what the rest can add
                if factor > 0:
                    low = max(low, -(room // factor))
                else:
                    high = min(high, room // -factor)
                ranges[atom] = low, high
        smaller = {atom: found for atom, found in ranges.items() if found != atom.bounds}
        if not smaller:
            break
        if any(low > high for low, high in smaller.values()):
            return True, index, NEVER
        values: dict[Var | Param, Index] = {}
        for atom, (low, high) in smaller.items():
            part = constant(low) if low == high else of(replace(atom, low=low, high=high))
            values[atom] = part
        narrow, index, mask = True, index.substitute(values), mask.substitute(values)
    return narrow, index, mask


def _splits(index: Index, mask: Mask) -> bool:
    """`v // d` with v's highest value d is 1 for that value and 0 below: the shorter last block
    of a parallel loop. Both cases are proved on their own."""
    for atom, _ in index.terms:
        if not isinstance(atom, FloorDiv) or len(atom.numerator.terms) != 1:
            continue
        var, factor = atom.numerator.terms[0]
        if factor != 1 or atom.numerator.constant or not isinstance(var, Var):
            continue
        if var.low < 0 or var.high != atom.divisor:
            continue
        below = Var(var.name, var.low, var.high - 1, var.lanes)
        cases: tuple[dict[Var | Param, Index], ...] = (
            {var: constant(var.high)},
            {var: Index(((below, 1),))},
        )
        return all(proves(index.substitute(case), mask.substitute(case)) for case in cases)
    return False


def _divides(index: Index, mask: Mask) -> bool:
    """Replace a quotient by what it is between: `n - d + 1 <= d * (n // d) <= n`. An integer is
    non-negative when d times it is more than -d."""
    for atom, factor in index.terms:
        if isinstance(atom, FloorDiv):
            rest = index - Index(((atom, factor),))
            least = atom.numerator if factor < 0 else atom.numerator - (atom.divisor - 1)
            return proves(least * factor + rest * atom.divisor + (atom.divisor - 1), mask)
    return False


def _tries(index: Index, mask: Mask) -> bool:
    """Evaluate an index of few values everywhere."""
    atoms = set(index.atoms())
    relevant = tuple(c for c in mask.constraints if c.atoms() & atoms)
    for constraint in relevant:
        atoms |= constraint.atoms()
    order: list[Var | Param] = sorted(atoms, key=str)
    count = 1
    for atom in order:
        count *= atom.bounds[1] - atom.bounds[0] + 1
        if count > CASES:
            return False
    points: Points = {}
    stride = count  # every atom's values, repeated in the order of nested loops
    for atom in order:
        low, high = atom.bounds
        stride //= high - low + 1
        points[atom] = low + np.arange(count) // stride % (high - low + 1)
    return not np.any((_values(index, points) < 0) & _holds(relevant, points))


def _values(index: Index, points: Points) -> np.ndarray:
    """An index at many points at once."""
    total = np.asarray(index.constant)
    for atom, factor in index.terms:
        match atom:
            case FloorDiv(numerator, divisor):
                value = _values(numerator, points) // divisor
            case Mod(numerator, divisor):
                value = _values(numerator, points) % divisor
            case _:
                value = points[atom]
        total = total + factor * value
    return total


def _holds(constraints: tuple[Index, ...], points: Points) -> np.ndarray:
    """Where all constraints are non-negative."""
    held = np.asarray(True)
    for constraint in constraints:
        held = held & (_values(constraint, points) >= 0)
    return held


# --- disproof -------------------------------------------------------------------------------------


def find_outside(index: Index, size: int, mask: Mask) -> dict[Var | Param, int] | None:
    """A point where the mask holds and the index lies outside `[0, size)`, if sampling finds one.

    The proofs above are a search that can miss what is true: views of views may leave masks that
    no multiple of a constraint settles. This is what tells such an index from a wrong one.

    >>> from picograd.graph.index import variable
    >>> i = variable("i", 8)
    >>> find_outside(i * 3, 20, Mask().require(i - 6)) is None
    False
    >>> find_outside(i * 3, 20, Mask().require(6 - i)) is None
    True
    """
    _, index, mask = _narrowed(index, mask)
    if mask.never:
        return None
    atoms = set(index.atoms()).union(*(c.atoms() for c in mask.constraints))
    order: list[Var | Param] = sorted(atoms, key=str)
    generator = np.random.default_rng(0)  # the same answer each time
    points: Points = {}
    for atom in order:
        anywhere = generator.integers(*atom.bounds, SAMPLES, endpoint=True)
        corner = generator.choice(atom.bounds, SAMPLES)
        points[atom] = np.where(np.arange(SAMPLES) % 2, anywhere, corner)
    values = _values(index, points)
    outside = ((values < 0) | (values >= size)) & _holds(mask.constraints, points)
    if not np.any(outside):
        return None
    worst = int(np.argmax(outside))
    return {atom: int(places[worst]) for atom, places in points.items()}
