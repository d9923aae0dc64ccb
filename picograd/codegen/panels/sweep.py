"""Elementwise stages and row reductions over the rows of a block.

In: a `Nest` and consecutive `Cells` and `Rows` steps. Out: loops over rows and vectors of columns.
Called by `lower`.

A *sweep* goes over each row once: tables that nothing reads later stay in registers, reductions
accumulate. A step that needs the result of a reduction begins the next sweep.

    for line:
      for chunk of columns (carrying one accumulator for each reduction and vector):
        values of all tables at these columns; stores to panels
      reductions: the accumulators and all their lanes, combined in a fixed order
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from picograd.codegen import loops
from picograd.codegen.contraction.expressions import accesses
from picograd.codegen.contraction.frame import inside, lane_index, lane_variable
from picograd.codegen.expressions import cast, combine, identity
from picograd.codegen.loops import Statement, Value
from picograd.codegen.panels.analyse import Cells, Rows
from picograd.codegen.panels.nest import Nest, each
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.graph.mask import EVERYWHERE, Mask
from picograd.graph.ops import Op

UNROLL = 2  # vectors of a chunk


@dataclass(slots=True)
class Sweep:
    """Steps that run over the columns together, and row values that follow each row."""

    cells: list[Cells] = field(default_factory=list)
    reductions: list[Rows] = field(default_factory=list)
    after: list[Rows] = field(default_factory=list)

    @property
    def columns(self) -> bool:
        return bool(self.cells or self.reductions)


def sweeps(steps: Sequence[Cells | Rows]) -> list[Sweep]:
    """Consecutive steps as few sweeps."""
    made = [Sweep()]
    for step in steps:
        reads = {access.buffer for access in accesses(step.value)}
        current = made[-1]
        if isinstance(step, Rows) and step.combiner is None:
            current.after.append(step)
            continue
        if reads & {row.target for row in (*current.reductions, *current.after)}:
            current = Sweep()
            made.append(current)
        if isinstance(step, Cells):
            current.cells.append(step)
        else:
            current.reductions.append(step)
    return made


@dataclass(frozen=True, slots=True)
class Span:
    """The chunks of columns of a row: from `begin` to `end`."""

    begin: Index
    end: Index


def lower_sweep(
    nest: Nest,
    sweep: Sweep,
    count: Index,
    height: int,
    kept: Collection[str],
    span: Callable[[Index], tuple[tuple[Statement, ...], Span]],
) -> tuple[Statement, ...]:
    """One sweep over the `count` rows of a block of `height`; `kept` are the tables that later
    steps read, and `span` gives the columns of a row."""
    line = nest.variable("line", height)
    nest.line = of(line)
    named, row = nest.row(of(line))
    statements, found = span(of(line))
    body = named + statements + _Row(nest, sweep, kept, row).row(found)
    nest.locals = {}
    return (each(line, ZERO, count, body),)


class _Row:
    """Builds the body of one row."""

    def __init__(self, nest: Nest, sweep: Sweep, kept: Collection[str], row: Index) -> None:
        self.nest, self.sweep, self.kept = nest, sweep, kept
        self.columns = nest.steps.column.high + 1
        self.at = {nest.steps.row: row}

    def row(self, span: Span) -> tuple[Statement, ...]:
        """All chunks, then what follows."""
        nest, lanes = self.nest, self.nest.lanes
        statements = self._scalars() if self.sweep.columns else ()
        full = self.columns // (UNROLL * lanes)
        accumulators = {
            (row.target, u): _start(row, lanes)
            for row in self.sweep.reductions
            for u in range(UNROLL)
        }
        if full and self.sweep.columns:
            chunk = nest.variable("chunk", full)
            named, end = nest.limited("chunks", span.end, 0, full)
            statements += named
            statements += self._loop(chunk, span.begin, end, accumulators)
        if full * UNROLL * lanes < self.columns and self.sweep.columns:
            wanted = Mask().require(span.end - (full + 1))
            for u in range(-(-(self.columns - full * UNROLL * lanes) // lanes)):
                column = constant((full * UNROLL + u) * lanes) + lane_index(lanes)
                edge = inside(column, self.columns) & wanted
                made, values = self._vector(column, edge)
                statements += made
                for row in self.sweep.reductions:
                    key = row.target, u
                    new = _where(edge, values[row.target], _start(row, lanes), lanes)
                    name = nest.names.fresh("tail")
                    statements += (loops.Let(name, _joined(row, accumulators[key], new)),)
                    accumulators[key] = loops.Ref(name, row.accumulator, lanes)
        for row in self.sweep.reductions:
            total = accumulators[row.target, 0]
            for u in range(1, UNROLL):
                total = _joined(row, total, accumulators[row.target, u])
            assert row.combiner is not None
            folded = loops.Fold(row.combiner, total) if lanes > 1 else total
            statements += self._finish(row, folded)
        for row in self.sweep.after:
            made, value = nest.evaluate(row.value, self.at, EVERYWHERE, 1)
            statements += (*made, *self._finish(row, value))
        return statements

    def _loop(
        self, chunk: Var, begin: Index, end: Index, accumulators: dict[tuple[str, int], Value]
    ) -> tuple[Statement, ...]:
        """The full chunks; replaces the accumulators by what the loop leaves in them."""
        nest, lanes = self.nest, self.nest.lanes
        body: tuple[Statement, ...] = ()
        carried: list[loops.Carried] = []
        for u in range(UNROLL):
            column = (of(chunk) * UNROLL + u) * lanes + lane_index(lanes)
            made, values = self._vector(column, EVERYWHERE)
            body += made
            for row in self.sweep.reductions:
                key = row.target, u
                name = nest.names.fresh("acc")
                before = loops.Ref(name, row.accumulator, lanes)
                after = _joined(row, before, values[row.target])
                start = accumulators[key]
                carried.append(loops.Carried(name, row.accumulator, start, after, lanes))
                accumulators[key] = before
        return (
            loops.For(
                chunk,
                begin,
                end,
                body,
                carried=tuple(carried),
                independent=not carried,
            ),
        )

    def _vector(self, column: Index, edge: Mask) -> tuple[tuple[Statement, ...], dict[str, Value]]:
        """One vector of every table and of the reductions' operands; stores to panels."""
        nest, lanes = self.nest, self.nest.lanes
        nest.place = column
        values = {**self.at, nest.steps.column: column}
        outer = dict(nest.locals)
        statements: tuple[Statement, ...] = ()
        stores: list[Statement] = []
        loaded: set[str] = set()
        made = {cell.target for cell in self.sweep.cells}
        for step in (*self.sweep.cells, *self.sweep.reductions):
            for access in accesses(step.value):
                name = access.buffer
                if name in nest.grids and name not in made and name not in loaded:
                    loaded.add(name)
                    grid = nest.grids[name]
                    load: Value = loops.Load(grid.memory, grid.at(nest.line, column), lanes)
                    statements += self._local(name, cast(load, access.dtype))
        results: dict[str, Value] = {}
        for cell in self.sweep.cells:
            lets, value = nest.evaluate(cell.value, values, edge)
            statements += (*lets, *self._local(cell.target, value))
            if cell.target in self.kept:
                grid = nest.grids[cell.target]
                ref = loops.Ref(nest.locals[cell.target].name, value.dtype, lanes)  # pyright: ignore
                stores.append(loops.Store(grid.memory, grid.at(nest.line, column), ref))
        for row in self.sweep.reductions:
            lets, value = nest.evaluate(row.value, values, edge)
            name = nest.names.fresh("operand")
            wide = cast(value, row.accumulator)
            statements += (*lets, loops.Let(name, wide))
            results[row.target] = loops.Ref(name, row.accumulator, lanes)
        nest.locals = outer
        return (*statements, *stores), results

    def _local(self, name: str, value: Value) -> tuple[Statement, ...]:
        """Keep a vector in a register. Expressions see one lane of it: `evaluate` widens."""
        fresh = self.nest.names.fresh("cell")
        self.nest.locals[name] = loops.Ref(fresh, value.dtype)
        return (loops.Let(fresh, value),)

    def _scalars(self) -> tuple[Statement, ...]:
        """Values of this row that the vectors need, once in all lanes."""
        nest = self.nest
        statements: tuple[Statement, ...] = ()
        made = {row.target for row in (*self.sweep.reductions, *self.sweep.after)}
        for step in (*self.sweep.cells, *self.sweep.reductions):
            for access in accesses(step.value):
                name = access.buffer
                if name in nest.steps.rows and name not in made and name not in nest.locals:
                    lets, value = nest.evaluate(access, self.at, EVERYWHERE, 1)
                    wide = loops.Broadcast(value, nest.lanes) if nest.lanes > 1 else value
                    statements += (*lets, *self._local(name, wide))
        return statements

    def _finish(self, row: Rows, value: Value) -> tuple[Statement, ...]:
        """Store a row's value."""
        nest = self.nest
        value = cast(value, nest.steps.rows[row.target])
        if row.target in nest.lines:
            return (loops.Store(nest.lines[row.target], nest.line, value),)
        index = row.store.substitute({**nest.batch, **self.at})
        return (loops.Store(nest.memories[row.target], index, value),)


def _start(row: Rows, lanes: int) -> Value:
    assert row.combiner is not None
    start = identity(row.combiner, row.accumulator)
    return loops.Literal(start.value, start.dtype, start.key, lanes)


def _joined(row: Rows, first: Value, second: Value) -> Value:
    assert row.combiner is not None
    return combine(row.combiner, first, second)


def _where(mask: Mask, value: Value, other: Value, lanes: int) -> Value:
    if mask.always:
        return value
    condition: Value = loops.Predicate(mask, lanes)
    if lane_variable(lanes) not in mask.atoms():
        condition = loops.Broadcast(loops.Predicate(mask), lanes)
    return loops.Alu(Op.WHERE, (condition, value, other), value.dtype, lanes)
