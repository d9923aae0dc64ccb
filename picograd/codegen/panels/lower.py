"""Lower a PANELS kernel: attention, forward and backward, by blocks of rows.

In: a PANELS kernel and the `Target`. Out: a loop IR function with one parallel phase, or None for a
kernel of another form. `codegen.pipeline` calls it. The loops:

    for task:                        batch elements (and parts of their rows)
      pack the columns' factors      keys, values: once for all rows of the task
      for block of rows:             so many that their panels stay in the second-level cache
        scores                       register tiles over the depth, into a panel
        sweeps                       mask, maximum, exp, sum...: one row after the other
        results for the rows         register tiles over the columns, reading the panel
        results for the columns      added up in sums that stay for the task
      finish the columns' results

Where a mask leaves out columns of a row (`skip`), all of these leave them out, by groups of rows.
Every result is one chain of multiply-adds over ascending columns or rows, so bits depend on neither
threads nor blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from picograd.codegen import loops
from picograd.codegen.contraction.frame import inside, lane_index
from picograd.codegen.contraction.tiles import ceil_div, round_up
from picograd.codegen.expressions import cast, combine
from picograd.codegen.loops import Statement
from picograd.codegen.panels.analyse import Result, Scores, Steps, analyse
from picograd.codegen.panels.layout import Action, Layout
from picograd.codegen.panels.nest import Grid, each
from picograd.codegen.panels.product import (
    Factor,
    Operands,
    Strips,
    in_place,
    multiply,
    pack,
    room,
    vector_fill,
)
from picograd.codegen.panels.sweep import UNROLL, Span, Sweep, lower_sweep
from picograd.codegen.target import Target
from picograd.dtypes import DType, int64
from picograd.graph.index import ZERO, Index, Var, constant, delinearize, of
from picograd.graph.mask import EVERYWHERE, Mask
from picograd.graph.ops import Combiner, Op
from picograd.schedule.kernel import Kernel

PIECE = 32  # columns whose results from several parts are put together in one task
Statements = tuple[Statement, ...]
Left = Callable[[int, Index], loops.Load]


def lower_panels(kernel: Kernel, target: Target) -> loops.Function | None:
    """The loops of an attention kernel."""
    steps = analyse(kernel)
    if steps is None:
        return None
    return _Panels(kernel, steps, target).function()


class _Panels:
    """Builds the loops from the outside in."""

    def __init__(self, kernel: Kernel, steps: Steps, target: Target) -> None:
        self.layout = layout = Layout(kernel, steps, target)
        self.kernel, self.steps, self.nest, self.band = kernel, steps, layout.nest, layout.band
        self.rows, self.columns = layout.rows, layout.columns
        self.actions, self.shapes = layout.actions, layout.shapes
        self.group, self.height, self.parts = layout.group, layout.height, layout.parts
        self.strips: dict[int, Strips] = {}
        self.task: Index = ZERO

    def function(self) -> loops.Function:
        """One phase over batch elements and parts of their rows."""
        nest, domain = self.nest, self.kernel.domain
        sizes = [var.high + 1 for var in domain]
        tasks = prod(sizes) * self.parts
        var = Var("task", 0, tasks - 1)
        task = of(var) if tasks > 1 else ZERO
        places = delinearize(task // self.parts, sizes)
        nest.batch.update(zip(domain, places, strict=True))
        self.task = task
        body = self._task(task % self.parts)
        memories = tuple(nest.memories.values())
        phase = loops.Phase(
            var if tasks > 1 else None, constant(tasks), body, self.layout.work() / self.parts
        )
        phases = (phase, self._last_phase()) if self.shared else (phase,)
        name, scalars = self.kernel.name, self.kernel.scalars
        return loops.Function(name, memories, scalars, phases, nest.workspace, nest.scratch)

    @property
    def shared(self) -> bool:
        """Whether several tasks add to one result for the columns."""
        return self.layout.across and self.parts > 1

    def _last_phase(self) -> loops.Phase:
        """The results for the columns from the sums of all parts."""
        nest, sizes = self.nest, [var.high + 1 for var in self.kernel.domain]
        pieces = ceil_div(self.columns, PIECE)
        var = Var("piece", 0, prod(sizes) * pieces - 1)
        batch = of(var) // pieces
        nest.batch.update(zip(self.kernel.domain, delinearize(batch, sizes), strict=True))
        start = of(var) % pieces * PIECE
        body, count = nest.limited("lines", constant(self.columns) - start, 1, PIECE)
        for action in self.actions:
            if isinstance(action, Result) and action.across:
                body += self._from_parts(action, batch, start, count)
        work = PIECE * self.parts * 64.0
        return loops.Phase(var, constant(var.high + 1), body, work)

    def _from_parts(self, action: Result, batch: Index, start: Index, count: Index) -> Statements:
        """Some lines of a result for the columns: the parts' sums, added in order."""
        nest, lanes, grid = self.nest, self.nest.lanes, self.nest.grids[action.target]
        size = grid.memory.size // (self.parts * max(1, prod(self._sizes())))
        line = nest.variable("line", PIECE)
        named, column = nest.limited("column", start + of(line), 0, self.columns - 1)
        v = nest.variable("v", grid.pitch // lanes)
        place = of(v) * lanes + lane_index(lanes)
        total: loops.Value | None = None
        for part in range(self.parts):
            base = (batch * self.parts + part) * size
            load = loops.Load(grid.memory, base + column * grid.pitch + place, lanes)
            total = load if total is None else combine(Combiner.SUM, total, load)
        assert total is not None
        store = loops.Store(
            grid.memory, batch * (self.parts * size) + column * grid.pitch + place, total
        )
        summed = each(v, ZERO, constant(v.high + 1), (store,))
        nest.grids[action.target] = Grid(grid.memory, grid.pitch, batch * (self.parts * size))
        nest.line = column
        finished = self._finish(action, {self.steps.column: column})
        return (each(line, ZERO, count, (*named, summed, *finished)),)

    def _sizes(self) -> list[int]:
        return [var.high + 1 for var in self.kernel.domain]

    def _task(self, part: Index) -> Statements:
        nest = self.nest
        blocks = ceil_div(self.rows, self.height)
        before = tuple(s for n in range(len(self.actions)) for s in self._prepare(n))
        block = nest.variable("block", blocks)
        nest.first = of(block) * self.height
        left = constant(self.rows) - nest.first
        named, count = nest.limited("count", left, 1, self.height)
        body = named
        for number, action in enumerate(self.actions):
            body += self._action(number, action, count)
        begin, end = part * blocks // self.parts, (part + 1) * blocks // self.parts
        run = loops.For(block, begin, end, body)
        after = tuple(s for n in range(len(self.actions)) for s in self._close(n))
        return (*before, run, *after)

    def _prepare(self, number: int) -> Statements:
        """What a task does before its first block: pack factors of columns, clear sums."""
        nest, action, shape = self.nest, self.actions[number], self.shapes[number]
        if isinstance(action, Sweep):
            return ()
        if isinstance(action, Scores):
            factor = Factor(action.right, self.steps.column, action.depth, action.accumulator)
            return self._pack_columns(number, factor)
        width = round_up(action.axis.high + 1, shape.width)
        factor = Factor(action.values, action.axis, self.steps.column, action.accumulator)
        if not action.across:
            memory = nest.allocate(f"sums{number}", action.accumulator, self.layout.tallest * width)
            nest.grids[action.target] = Grid(memory, width)
            return self._pack_columns(number, factor)
        lines = round_up(self.columns, shape.height)
        if self.shared:
            tasks = prod(self._sizes()) * self.parts
            memory = nest.share(f"sums{number}", action.accumulator, tasks * lines * width)
            grid = Grid(memory, width, self.task * (lines * width))
        else:
            grid = Grid(nest.allocate(f"sums{number}", action.accumulator, lines * width), width)
        nest.grids[action.target] = grid
        packed = round_up(self.height, nest.lanes) * width
        rows = nest.allocate(f"values{number}", action.accumulator, packed)
        depths = round_up(self.height, nest.lanes)
        self.strips[number] = Strips(rows, depths, shape.width)
        return vector_fill(nest, grid, lines * width, nest.lanes)

    def _pack_columns(self, number: int, factor: Factor) -> Statements:
        """A factor that all rows of a task need."""
        nest, shape = self.nest, self.shapes[number]
        strips = in_place(nest, factor, shape)
        if strips is not None:
            self.strips[number] = strips
            return ()
        depths = factor.depth.high + 1
        size = room(factor, depths, shape.width, nest.lanes)
        memory = nest.allocate(f"packed{number}", factor.dtype, size)
        strips = Strips(memory, round_up(depths, nest.lanes), shape.width)
        self.strips[number] = strips
        return pack(nest, factor, strips, ZERO, constant(depths), depths)

    def _action(self, number: int, action: Action, count: Index) -> Statements:
        """One action for a block."""
        match action:
            case Scores():
                return self._scores(number, action, count)
            case Sweep():
                kept = self.layout.kept[number]
                return lower_sweep(self.nest, action, count, self.height, kept, self._chunks)
            case Result(across=False):
                return (*self._result(number, action, count), *self._finish_rows(action, count))
            case Result():
                return self._add_across(number, action, count)

    def _limits(self, group: Index) -> tuple[Statements, Index, Index]:
        """The first and the last column of a group of rows."""
        nest, last = self.nest, self.columns - 1
        start = nest.first + group * self.group
        statements: Statements = ()
        low, high = constant(0), constant(last)
        if self.band.low is not None:
            found = start + nest.index(self.band.low)
            statements, low = nest.limited("low", found, 0, last)
        if self.band.high is not None:
            found = start + nest.index(self.band.high) + (self.group - 1)
            named, high = nest.limited("high", found, 0, last)
            statements += named
        return statements, low, high

    def _chunks(self, line: Index) -> tuple[Statements, Span]:
        """The chunks of columns of a row."""
        chunk = UNROLL * self.nest.lanes
        statements, low, high = self._limits(line // self.group)
        return statements, Span(low // chunk, high // chunk + 1)

    def _scores(self, number: int, action: Scores, count: Index) -> Statements:
        """Pack the rows' factor, then all tiles: columns outside, rows inside."""
        nest, shape, lanes = self.nest, self.shapes[number], self.nest.lanes
        depths = action.depth.high + 1
        pitch = round_up(depths, lanes)
        if f"left{number}" not in nest.memories:
            nest.allocate(f"left{number}", action.accumulator, self.layout.tallest * pitch)
        memory = nest.memories[f"left{number}"]
        tiles = (count + (shape.height - 1)) // shape.height
        r, chunk = nest.variable("r", self.layout.tallest), nest.variable("ka", pitch // lanes)
        depth = of(chunk) * lanes + lane_index(lanes)
        row = nest.first + of(r)
        edge = inside(depth, depths) & inside(row, self.rows)
        values = {self.steps.row: row, action.depth: depth}
        made, value = nest.evaluate(action.left, values, edge)
        body = (*made, loops.Store(memory, of(r) * pitch + depth, value))
        inner = each(chunk, ZERO, constant(pitch // lanes), body)
        packed = each(r, ZERO, tiles * shape.height, (inner,))
        strip = nest.variable("strip", ceil_div(self.columns, shape.width))
        tile = nest.variable("tile", ceil_div(self.height, shape.height))
        grid = nest.grids[action.target]
        line = of(tile) * shape.height
        operands = self._operands(
            number, lambda r, k: loops.Load(memory, (line + r) * pitch + k), grid, of(strip), line
        )
        span = (ZERO, constant(depths), depths)
        product = multiply(nest, shape, operands, action.accumulator, span, adds=False)
        wanted = self._wanted(of(strip) * shape.width, shape.width, line // self.group)
        if not wanted.always:
            product = (loops.If(wanted, product),)
        tile_loop = each(tile, ZERO, tiles, product)
        return (packed, each(strip, ZERO, constant(strip.high + 1), (tile_loop,)))

    def _wanted(self, column: Index, width: int, group: Index) -> Mask:
        """Whether some of these columns are within the limits of a group of rows."""
        start, mask = self.nest.first + group * self.group, EVERYWHERE
        if self.band.high is not None:
            high = start + self.nest.index(self.band.high) + (self.group - 1)
            mask = mask.require(high - column)
        if self.band.low is not None:
            mask = mask.require(column + (width - 1) - start - self.nest.index(self.band.low))
        return mask

    def _operands(
        self,
        number: int,
        left: Left,
        sums: Grid,
        strip: Index,
        line: Index,
    ) -> Operands:
        """The factors and the sums of a tile: a left one of its own, the action's strips, a grid
        of which the tile begins at a strip and a line."""
        nest, strips, shape = self.nest, self.strips[number], self.shapes[number]

        def column(v: int) -> Index:
            return lane_index(nest.lanes) + v * nest.lanes

        return Operands(
            left,
            lambda v, k: loops.Load(
                strips.memory, strips.at(nest, strip, column(v), k), nest.lanes
            ),
            lambda r, v: (sums.memory, sums.at(line + r, strip * shape.width + column(v))),
        )

    def _result(self, number: int, action: Result, count: Index) -> Statements:
        """Tiles of a result for the rows, over the columns."""
        nest, shape = self.nest, self.shapes[number]
        strip = nest.variable("strip", ceil_div(action.axis.high + 1, shape.width))
        tile = nest.variable("tile", ceil_div(self.height, shape.height))
        panel, sums = nest.grids[action.weights.buffer], nest.grids[action.target]
        line = of(tile) * shape.height
        operands = self._operands(
            number,
            lambda r, k: loops.Load(panel.memory, panel.at(line + r, k)),
            sums,
            of(strip),
            line,
        )
        named, low, high = self._limits(line // self.group)
        span = (low, high + 1, self.columns)
        product = multiply(nest, shape, operands, action.accumulator, span, adds=False)
        tiles = (count + (shape.height - 1)) // shape.height
        inner = each(tile, ZERO, tiles, (*named, *product))
        return (each(strip, ZERO, constant(strip.high + 1), (inner,)),)

    def _add_across(self, number: int, action: Result, count: Index) -> Statements:
        """Add the block's part to a result for the columns."""
        nest, shape = self.nest, self.shapes[number]
        strips = self.strips[number]
        factor = Factor(action.values, action.axis, self.steps.row, action.accumulator)
        packed = pack(nest, factor, strips, nest.first, count, self.rows)
        strip = nest.variable("strip", ceil_div(action.axis.high + 1, shape.width))
        tile = nest.variable("tile", ceil_div(self.columns, shape.height))
        panel, sums = nest.grids[action.weights.buffer], nest.grids[action.target]
        line = of(tile) * shape.height
        operands = self._operands(
            number,
            lambda r, k: loops.Load(panel.memory, panel.at(k, line + r)),
            sums,
            of(strip),
            line,
        )
        named, begin, end = self._rows_with(line, count)
        span = (begin, end, self.height)
        product = multiply(nest, shape, operands, action.accumulator, span, adds=True)
        tiles, first, last = self._tiles_with(shape.height)
        body = each(tile, first, last, (*named, *product))
        return (*packed, *tiles, each(strip, ZERO, constant(strip.high + 1), (body,)))

    def _rows_with(self, column: Index, count: Index) -> tuple[Statements, Index, Index]:
        """The rows of the block whose panels have been swept at a column."""
        nest, group, chunk = self.nest, self.group, UNROLL * self.nest.lanes
        whole = column // chunk * chunk
        statements: Statements = ()
        begin, end = ZERO, count
        if self.band.high is not None:  # first + g * group + group - 1 + high >= whole
            least = whole - nest.first - nest.index(self.band.high) - (group - 1)
            found = (least + (group - 1)) // group * group
            statements, begin = nest.limited("begin", found, 0, self.height)
        if self.band.low is not None:  # first + g * group + low <= whole + chunk - 1
            most = whole + (chunk - 1) - nest.first - nest.index(self.band.low)
            named, stop = nest.limited("stop", (most // group + 1) * group, 0, self.height)
            statements += named
            name = nest.names.fresh("end")
            var = Var(name, 0, self.height)
            values = (loops.IndexValue(index, int64) for index in (stop, count))
            least_of = loops.Alu(Op.MINIMUM, tuple(values), int64)
            statements += (loops.Let(name, least_of, var),)
            end = of(var)
        return statements, begin, end

    def _tiles_with(self, height: int) -> tuple[Statements, Index, Index]:
        """The tiles of columns that some row of the block has swept."""
        tiles = ceil_div(self.columns, height)
        groups = ceil_div(self.height, self.group)
        named, low, _ = self._limits(ZERO)
        more, _, high = self._limits(constant(groups - 1))
        chunk = UNROLL * self.nest.lanes
        first = low // chunk * (chunk // height)
        least, last = self.nest.limited("tiles", (high // chunk + 1) * (chunk // height), 0, tiles)
        return (*named, *more, *least), first, last

    # --- results ----------------------------------------------------------------------------------

    def _finish_rows(self, action: Result, count: Index) -> Statements:
        line = self.nest.variable("line", self.height)
        self.nest.line = of(line)
        named, row = self.nest.row(of(line))
        return (each(line, ZERO, count, named + self._finish(action, {self.steps.row: row})),)

    def _close(self, number: int) -> Statements:
        """What a task does after its last block: the results for the columns."""
        action = self.actions[number]
        if not isinstance(action, Result) or not action.across or self.shared:
            return ()
        line = self.nest.variable("line", self.columns)
        self.nest.line = of(line)
        body = self._finish(action, {self.steps.column: of(line)})
        return (each(line, ZERO, constant(self.columns), body),)

    def _finish(self, action: Result, at: dict[Var, Index]) -> Statements:
        """The stages that follow a sum, over one line of it."""
        nest, lanes, extent = self.nest, self.nest.lanes, action.axis.high + 1
        v = nest.variable("v", ceil_div(extent, lanes))
        nest.place = of(v) * lanes + lane_index(lanes)
        values = {**at, action.axis: nest.place}
        edge = inside(nest.place, extent)
        body: Statements = ()
        for stage in action.finish:
            made, value = nest.evaluate(stage.value, values, edge)
            name = nest.names.fresh("result")
            dtype = self._finish_type(stage.target, value.dtype)
            body += (*made, loops.Let(name, cast(value, dtype)))
            nest.locals[stage.target] = loops.Ref(name, dtype)
            if stage.target in nest.memories:
                index = nest.index(stage.store).substitute(values)  # pyright: ignore
                ref = loops.Ref(name, dtype, lanes)
                body += (loops.Store(nest.memories[stage.target], index, ref, edge),)
        nest.locals = {}
        return (each(v, ZERO, constant(v.high + 1), body),)

    def _finish_type(self, name: str, dtype: DType) -> DType:
        memory = next((m for m in self.kernel.memories if m.name == name), None)
        return dtype if memory is None else memory.dtype
