"""A table: values for each batch element, row and column, such as the scores of attention.

In: stages whose loops run over positions of a table in memory. Out: the same stages over the
table's own axes, so that they can share loops. Used by `region` and `collect`.

>>> b, m, n, v = Var("b", 0, 1), Var("m", 0, 3), Var("n", 0, 7), Var("v", 0, 63)
>>> table = Table((b,), m, n)
>>> table.position, table.line
(b*32 + m*8 + n, b*4 + m)
>>> from picograd.dtypes import float32
>>> from picograd.schedule.kernel import Access, StageKind
>>> copy = Stage(StageKind.MAP, "y", of(v), Access("x", of(v), float32), (v,))
>>> over(copy, copy.store, table.axes).inner
(Var(name='b', low=0, high=1, lanes=1), Var(name='m', low=0, high=3, lanes=1), \
Var(name='n', low=0, high=7, lanes=1))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from picograd.graph.index import Index, Param, Var, constant, linearize, of
from picograd.schedule.axes import extent
from picograd.schedule.kernel import Stage
from picograd.schedule.walk import Substitute

Axes = tuple[tuple[Var, int], ...]  # variables with their strides, outermost first


def strided(variables: Sequence[Var]) -> Axes:
    """Variables in row-major order with their strides."""
    found: list[tuple[Var, int]] = []
    stride = 1
    for var in reversed(variables):
        found.append((var, stride))
        stride *= extent(var)
    return tuple(reversed(found))


@dataclass(frozen=True, slots=True)
class Table:
    """The axes of a table, in the order in which it would lie in memory."""

    batch: tuple[Var, ...]
    row: Var
    column: Var

    @property
    def axes(self) -> Axes:
        return strided((*self.batch, self.row, self.column))

    @property
    def size(self) -> int:
        return prod(extent(var) for var, _ in self.axes)

    @property
    def position(self) -> Index:
        """Of an element."""
        return _flat((*self.batch, self.row, self.column))

    @property
    def line(self) -> Index:
        """Of a row's number among a value for each row."""
        return _flat((*self.batch, self.row))

    @property
    def area(self) -> int:
        """Elements of one batch element."""
        return extent(self.row) * extent(self.column)


def _flat(variables: Sequence[Var]) -> Index:
    return linearize([of(var) for var in variables], [extent(var) for var in variables])


def over(stage: Stage, position: Index, axes: Axes) -> Stage | None:
    """The stage with the loops that `position` depends on replaced by axes of the memory in which
    it is a position; None where they do not cover the axes exactly. Other loops stay."""
    values: dict[Var | Param, Index] = {}
    parts: dict[Var, tuple[Var, ...]] = {}
    for var in (*stage.inner, *stage.reduce):
        step = position.coefficient(var)
        if step == 0:
            continue
        if step < 0 or not position.is_affine_in(var):
            return None
        inside = [(axis, at) for axis, at in axes if step <= at < step * extent(var)]
        if any(at % step for _, at in inside):
            return None
        if prod(extent(axis) for axis, _ in inside) != extent(var):
            return None
        values[var] = sum((of(axis) * (at // step) for axis, at in inside), constant(0))
        parts[var] = tuple(axis for axis, _ in inside)
    expected = sum((of(axis) * at for axis, at in axes), constant(0))
    if position.substitute(values) != expected:
        return None
    changed = Substitute(values).stage(stage)
    return replace(
        changed,
        inner=tuple(axis for var in stage.inner for axis in parts.get(var, (var,))),
        reduce=tuple(axis for var in stage.reduce for axis in parts.get(var, (var,))),
    )


def cuts(stage: Stage, position: Index) -> set[int]:
    """The strides at which a stage's loops cut the memory in which `position` lies."""
    found: set[int] = set()
    for var in (*stage.inner, *stage.reduce):
        step = position.coefficient(var)
        if step > 0:
            found |= {step, step * extent(var)}
    return found
