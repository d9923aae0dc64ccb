"""Loop axes of a stage: merge neighbours, split one, rename.

In: a `Stage` whose axes are not yet divided into domain and inner ones. Out: the same computation
over other axes. Called by `schedule.stages`, `schedule.fuse` and `schedule.assemble`.

>>> from picograd.graph.index import of, variable
>>> i, j = Var("i", 0, 3), Var("j", 0, 7)
>>> merges(of(i) * 8 + of(j), i, j), merges(of(i) + of(j), i, j)
(True, False)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import count, pairwise

from picograd.graph.index import ZERO, FloorDiv, Index, Mod, Param, Var, of
from picograd.schedule.kernel import Stage
from picograd.schedule.walk import Substitute, stage_indices


def extent(var: Var) -> int:
    return var.high + 1


def merges(index: Index, outer: Var, inner: Var) -> bool:
    """True when an index sees two axes only as the row-major position over both."""
    if index.coefficient(outer) != index.coefficient(inner) * extent(inner):
        return False
    return all(
        merges(atom.numerator, outer, inner)
        for atom, _ in index.terms
        if isinstance(atom, FloorDiv | Mod)
    )


def pairs_that_merge(
    axes: tuple[Var, ...], found: Collection[Index], closed: Collection[Var] = ()
) -> tuple[Var, Var] | None:
    """The first two neighbours that every index allows to merge (none of them in `closed`)."""
    for outer, inner in pairwise(axes):
        if outer in closed or inner in closed:
            continue
        if all(merges(index, outer, inner) for index in found):
            return outer, inner
    return None


def merge_axes(stage: Stage, numbers: count[int], closed: frozenset[Var] = frozenset()) -> Stage:
    """A stage with as few inner and reduce axes as its indices allow, `closed` ones untouched."""
    if len(stage.inner) < 2 and len(stage.reduce) < 2:
        return stage
    while True:
        found = set(stage_indices(stage))
        pair = pairs_that_merge(stage.inner, found, closed)
        if pair is None and len(stage.reduce) > 1:
            pair = pairs_that_merge(stage.reduce, found, closed)
        if pair is None:
            return stage
        stage = join(stage, *pair, fresh(numbers, extent(pair[0]) * extent(pair[1])))


def fresh(numbers: count[int], size: int) -> Var:
    """A new loop variable over `range(size)`."""
    return Var(f"x{next(numbers)}", 0, size - 1)


def join(stage: Stage, outer: Var, inner: Var, joined: Var) -> Stage:
    """Replace two neighbouring axes that merge by one."""
    changed = Substitute({outer: ZERO, inner: of(joined)}).stage(stage)
    return replace(
        changed,
        inner=_replaced(stage.inner, (outer, inner), (joined,)),
        reduce=_replaced(stage.reduce, (outer, inner), (joined,)),
    )


def split(stage: Stage, axis: Var, outer: Var, inner: Var) -> Stage:
    """Replace an axis by two: `axis = outer * extent(inner) + inner`."""
    position = of(outer) * extent(inner) + of(inner)
    changed = Substitute({axis: position}).stage(stage)
    return replace(
        changed,
        inner=_replaced(stage.inner, (axis,), (outer, inner)),
        reduce=_replaced(stage.reduce, (axis,), (outer, inner)),
    )


def rename(stage: Stage, names: dict[Var, Var]) -> Stage:
    """Give axes and bound variables other names (bounds may not change)."""
    values: dict[Var | Param, Index] = {old: of(new) for old, new in names.items() if old != new}
    if not values:
        return stage
    changed = Substitute(values).stage(stage)
    return replace(
        changed,
        inner=tuple(names.get(var, var) for var in stage.inner),
        reduce=tuple(names.get(var, var) for var in stage.reduce),
        binds=tuple(replace(bind, var=names.get(bind.var, bind.var)) for bind in changed.binds),
    )


def _replaced(axes: tuple[Var, ...], old: tuple[Var, ...], new: Iterable[Var]) -> tuple[Var, ...]:
    """`axes` with `new` where the first of `old` stood, and without the others of `old`. These need
    not be neighbours: a reduction over a kernel's domain may run through its axes in any order."""
    made: list[Var] = []
    for axis in axes:
        if axis == old[0]:
            made += new
        elif axis not in old:
            made.append(axis)
    return tuple(made)
