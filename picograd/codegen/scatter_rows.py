"""Rows that are added by index are added row by row, in parts of a few cache lines.

In: the kernel of a scatter. Out: the same kernel, where the part of a row that lies side by side in
memory becomes the innermost loop, under the loops over the rows. `codegen.pipeline` lowers it.

A place takes its numbers in the same order as before, so no bit changes. Without this, each vector
of columns would walk through all rows, and read one line of each.

>>> part_of(1024), part_of(96), part_of(1021)
(256, None, None)
"""

from __future__ import annotations

from dataclasses import replace

from picograd.graph.index import Var
from picograd.schedule.axes import extent, split
from picograd.schedule.kernel import Kernel, Stage, StageKind
from picograd.schedule.walk import indices, stage_accesses

LEAST, MOST = 64, 256  # elements of a part: several lines, and several parts for threads


def row_by_row(kernel: Kernel) -> Kernel:
    """The kernel with its scatters over parts of rows."""
    stages = tuple(_by_rows(stage) for stage in kernel.stages)
    return kernel if stages == kernel.stages else replace(kernel, stages=stages)


def part_of(size: int) -> int | None:
    """The largest part that divides a row into several."""
    parts = range(min(MOST, size // 2), LEAST - 1, -1)
    return next((part for part in parts if size % part == 0), None)


def _by_rows(stage: Stage) -> Stage:
    """Move a part of the last axis inwards, if all that is read and written lies along it."""
    if stage.kind is not StageKind.SCATTER or stage.combiner is None or not stage.inner:
        return stage
    axis = stage.inner[-1]
    part = part_of(extent(axis))
    if part is None or not stage.reduce or not _lies_along(stage, axis):
        return stage
    outer, inner = Var("part", 0, extent(axis) // part - 1), Var("along", 0, part - 1)
    made = split(stage, axis, outer, inner)
    return replace(made, inner=made.inner[:-1], reduce=(*made.reduce, inner))


def _lies_along(stage: Stage, axis: Var) -> bool:
    """Whether neighbours along an axis are neighbours in the target, and in all that varies."""
    if stage.store.coefficient(axis) != 1:
        return False
    if any(axis in index.atoms() for bind in stage.binds for index in indices(bind.value)):
        return False
    varying = [load.index for load in stage_accesses(stage) if axis in load.index.atoms()]
    return all(index.coefficient(axis) == 1 for index in varying)
