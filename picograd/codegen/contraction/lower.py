"""Lower a contraction kernel to packed, register-tiled, cache-blocked loops.

In: a CONTRACTION kernel and the `Target`. Out: a loop IR function with one parallel phase, or
None where plain rows are the better schedule. `codegen.pipeline` calls it. The loops:

    for task:                                   parts of batch x rows x columns (threads)
      for depth block:                          about 512 of k
        pack the right factor                   depth x width panels, one for each register tile
        for row block:                          rows whose left factor stays in the cache
          pack the left factor                  if it is computed, converted or badly strided
          for column tile: for row tile:        see `codegen.contraction.microkernel`
            accumulators += left * right        over k, in registers
            write back; after the last block    see `codegen.contraction.epilogue`

Every result is one chain of multiply-adds over ascending k, so bits depend on neither threads nor
blocks (a few lines against many, see `dots`, have a chain for each lane). Where rows do not divide
evenly the last tile is moved up to end with the last row; rows that it shares with its neighbour
are computed twice and stored once.

>>> from picograd.codegen.target import AVX512
>>> from picograd.dtypes import float32
>>> from picograd.graph.ops import Combiner
>>> from picograd.schedule.kernel import Access, Compute, Memory, Pattern, Space, Stage, StageKind
>>> m, n, k = (Var(name, 0, 63) for name in "mnk")
>>> a = Access("a0", of(m) * 64 + of(k), float32)
>>> b = Access("a1", of(k) * 64 + of(n), float32)
>>> product, place = Compute(Op.MUL, (a, b), float32), of(m) * 64 + of(n)
>>> total = Stage(StageKind.REDUCE, "a2", place, product, (), (k,), Combiner.SUM, float32)
>>> memories = tuple(Memory(f"a{i}", float32, 4096, Space.ARGUMENT) for i in range(3))
>>> kernel = Kernel("matmul", Pattern.CONTRACTION, (m, n), (total,), memories)
>>> function = lower_contraction(kernel, AVX512)
>>> [s.var.name for s in loops.statements(function.phases[0].body) if isinstance(s, loops.For)]
['j', 'i', 'k']
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen import loops
from picograd.codegen.contraction import axes, dots, packing, pairs
from picograd.codegen.contraction.across import destination_across, finish_across, strip_of
from picograd.codegen.contraction.axes import Contraction
from picograd.codegen.contraction.epilogue import destination, finish
from picograd.codegen.contraction.frame import Frame
from picograd.codegen.contraction.microkernel import accumulate
from picograd.codegen.contraction.packing import (
    Operand,
    Panels,
    is_converted,
    packs_left,
    packs_right,
    streams,
    unit,
)
from picograd.codegen.contraction.places import Destination, Tile
from picograd.codegen.contraction.tiles import Tiles, ceil_div, choose, work_of
from picograd.codegen.contraction.tiles_across import choose_across
from picograd.codegen.loops import Statement
from picograd.codegen.target import Target
from picograd.dtypes import int64
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.graph.ops import Op
from picograd.schedule.kernel import Kernel, Pattern

# Fewer multiply-adds than this are not worth a register tile's code.
SMALL = 2048
# Products of a vector with a matrix of this many columns are read row by row.
WIDE = 256
# Fewer columns than this are dot products, where both factors are contiguous along k.
FEW_COLUMNS = 4


def lower_contraction(
    kernel: Kernel, target: Target, tiles: Tiles | None = None
) -> loops.Function | None:
    """The tiled loops of a contraction, or None where plain rows are better. `tiles` replace
    those of the model."""
    found = axes.analyse(kernel, target)
    if found is None or not worthwhile(found, kernel.pattern, target):
        return None
    tiles = tiles or choose_tiles(found, target)
    return _Nest(kernel, found, tiles, target).function()


def choose_tiles(found: Contraction, target: Target) -> Tiles:
    """The sizes of its loops, by the model of the machine."""
    if found.across:
        return choose_across(found, target)
    if dots.suits(found, target):
        return dots.choose(found, target)
    if pairs.suits(found, target):
        return replace(
            choose(
                found.batch.extent,
                found.rows.extent,
                found.columns.extent,
                ceil_div(found.depth.extent, 2),
                found.accumulator,
                target,
                packs_right=True,
                packs_left=pairs.packs_left(found),
                whole=True,
            ),
            pairs=True,
        )
    return choose(
        found.batch.extent,
        found.rows.extent,
        found.columns.extent,
        found.depth.extent,
        found.accumulator,
        target,
        packs_right(found, target),
        packs_left(found),
        streams(found, target),
    )


def worthwhile(found: Contraction, pattern: Pattern, target: Target) -> bool:
    """False for most products with a vector, which read each matrix element once, for a few dot
    products with each row, and for tiny ones."""
    rows, columns, depth = found.rows.extent, found.columns.extent, found.depth.extent
    if min(rows, columns) < 2:
        return _vector_is_worthwhile(found, target)
    if pattern is not Pattern.CONTRACTION or depth < 2:
        return False
    if dots.suits(found, target):
        return True
    along_depth = unit(found.left, found.depth) and unit(found.right, found.depth)
    if columns < FEW_COLUMNS and along_depth and depth >= 64:
        return False
    return found.batch.extent * rows * columns * depth >= SMALL


def _vector_is_worthwhile(found: Contraction, target: Target) -> bool:
    """True for a vector times a matrix whose rows are long, and for a large converted matrix."""
    rows, columns, depth = found.rows.extent, found.columns.extent, found.depth.extent
    if max(rows, columns) > 1 and dots.suits(found, target):
        return True
    if rows > 1 or columns < WIDE or depth < 2:
        return False
    if streams(found, target):
        return True
    large = columns * depth * found.accumulator.itemsize > target.l2 // 2
    return large and is_converted(found.right) and unit(found.right, found.columns) == 1


class _Nest:
    """Builds the loops from the outside in."""

    def __init__(self, kernel: Kernel, found: Contraction, tiles: Tiles, target: Target) -> None:
        self.kernel, self.found, self.tiles = kernel, found, tiles
        self.frame = Frame(kernel, found, tiles, target)
        self.packing = pairs if tiles.pairs else packing
        self.steps = ceil_div(found.depth.extent, 2) if tiles.pairs else found.depth.extent
        self.right: Operand = self.packing.right_operand(self.frame)
        self.left: Operand = self.packing.left_operand(self.frame)
        self.sums: Destination = (destination_across if found.across else destination)(self.frame)
        self.members = ZERO  # the part of the batch elements that share the right factor

    def function(self) -> loops.Function:
        """One phase whose iterations are parts of batch x rows x columns."""
        found, tiles, frame = self.found, self.tiles, self.frame
        inner = tiles.row_parts * tiles.column_parts
        batch = found.batch.extent // found.shared
        tasks = batch * tiles.shared_parts * inner
        var = Var("task", 0, tasks - 1)
        task = of(var) if tasks > 1 else ZERO
        frame.batch = task // (tiles.shared_parts * inner) * found.shared
        self.members = task // inner % tiles.shared_parts
        row_part = task // tiles.column_parts % tiles.row_parts
        body = self._depth_blocks(row_part, task % tiles.column_parts)
        work = tiles.row_tiles * tiles.column_tiles * found.batch.extent / tasks
        work *= work_of(tiles, self.steps * tiles.turns, found.accumulator, frame.target)
        phase = loops.Phase(var if tasks > 1 else None, constant(tasks), body, work)
        memories = tuple(frame.memories.values())
        return loops.Function(
            self.kernel.name,
            memories,
            self.kernel.scalars,
            (phase,),
            frame.workspace,
            frame.scratch,
        )

    def _depth_blocks(self, row_part: Index, column_part: Index) -> tuple[Statement, ...]:
        tiles, frame = self.tiles, self.frame
        count, extent = tiles.depth_blocks, self.steps
        var = Var("block", 0, count - 1)
        frame.block = of(var) if count > 1 else ZERO
        each_turn = count // tiles.turns
        frame.turn, block = frame.block // each_turn, frame.block % each_turn
        frame.begin = block * extent // each_turn
        length = (block + 1) * extent // each_turn - frame.begin
        named, frame.length = frame.name_index("length", length, extent // each_turn, tiles.depth)
        if self.left.offsets is not None:
            named += self.left.offsets.fill(frame)
        body = named + self._columns(row_part, column_part)
        return body if count == 1 else (loops.For(var, ZERO, constant(count), body),)

    def _columns(self, row_part: Index, column_part: Index) -> tuple[Statement, ...]:
        """Pack this part's columns, then run the row blocks over them."""
        tiles = self.tiles
        first = column_part * tiles.column_tiles // tiles.column_parts
        end = (column_part + 1) * tiles.column_tiles // tiles.column_parts
        body: tuple[Statement, ...] = ()
        blocks = tiles.row_blocks // tiles.row_parts
        if self.right.index is None:
            body = self._pack_right(Var("jp", 0, tiles.column_tiles - 1), first, end)
        var = Var("rows", 0, blocks - 1)
        block = row_part * blocks + (of(var) if blocks > 1 else ZERO)
        shared, parts = self.found.shared, tiles.shared_parts
        member, batch = Var("member", 0, shared - 1), self.frame.batch
        if shared > 1:
            self.frame.batch = batch + of(member)
        inner = self._row_block(block, first, end)
        if blocks > 1:
            inner = (loops.For(var, ZERO, constant(blocks), inner),)
        if shared > 1:
            begin, last = (part * shared // parts for part in (self.members, self.members + 1))
            inner = (loops.For(member, begin, last, inner),)
        self.frame.batch = batch
        return (*body, *inner)

    def _row_block(
        self, block: Index, first_column: Index, end_column: Index
    ) -> tuple[Statement, ...]:
        """Pack the block's rows, then run its register tiles, row tiles innermost."""
        tiles, frame = self.tiles, self.frame
        first = block * tiles.row_tiles // tiles.row_blocks
        end = (block + 1) * tiles.row_tiles // tiles.row_blocks
        body: tuple[Statement, ...] = ()
        if self.left.index is None:
            tile = Var("ip", 0, tiles.row_tiles - 1)
            statements, row, _ = self._row(tile)
            named, panel = self._local("panel", tile, first, tiles.block_rows)
            panels = Panels(tile, first, end, statements + named, row, panel)
            body = self.packing.pack_left(frame, self.left, panels)
        column_tile, row_tile = (
            Var("j", 0, tiles.column_tiles - 1),
            Var("i", 0, tiles.row_tiles - 1),
        )
        before, right_panel = self._local("panel", column_tile, first_column, tiles.part_columns)
        statements, row, skipped = self._row(row_tile)
        named, left_panel = self._local("panel", row_tile, first, tiles.block_rows)
        column = of(column_tile) * tiles.width
        place = Tile(of(row_tile), row, column, skipped, left_panel, right_panel)
        inner = (*statements, *(named if self.left.index is None else ()))
        before = before if self.right.index is None else ()
        if self.found.across:
            block_named, strip = strip_of(frame, first, end)
            local_named, local = strip.local(frame, row)
            place = replace(place, local=local)
            inner = (
                *inner,
                *local_named,
                *accumulate(frame, self.left, self.right, place, self.sums),
            )
            after = finish_across(frame, self.kernel, strip, column, self.sums)
            rows = (loops.For(row_tile, first, end, inner), *after)
            body = (*body, *block_named)
        else:
            sum_products = dots.accumulate if tiles.along else accumulate
            inner = (
                *inner,
                *sum_products(frame, self.left, self.right, place, self.sums),
                *finish(frame, self.kernel, place, self.sums),
            )
            rows = (loops.For(row_tile, first, end, inner),)
        return (*body, loops.For(column_tile, first_column, end_column, (*before, *rows)))

    def _pack_right(self, tile: Var, first: Index, end: Index) -> tuple[Statement, ...]:
        """Fill the panels of column tiles."""
        named, panel = self._local("panel", tile, first, self.tiles.part_columns)
        panels = Panels(tile, first, end, named, of(tile) * self.tiles.width, panel)
        return self.packing.pack_right(self.frame, self.right, panels)

    def _local(
        self, stem: str, tile: Var, first: Index, count: int
    ) -> tuple[tuple[Statement, ...], Index]:
        """The number of a tile among those that are packed together."""
        return self.frame.name_index(stem, of(tile) - first, 0, count - 1)

    def _row(self, tile: Var) -> tuple[tuple[Statement, ...], Index, Index]:
        """The first row of a tile, and how many of its rows belong to the tile before."""
        frame, height, rows = self.frame, self.tiles.height, self.found.rows.extent
        start = of(tile) * height
        if rows % height == 0:
            return (), start, ZERO
        least = loops.Literal.of(rows - height, int64)
        value = loops.Alu(Op.MINIMUM, (loops.IndexValue(start, int64), least), int64)
        named, row = frame.name_value("row", value, 0, rows - height)
        shared, skipped = frame.name_index("skipped", start - row, 0, height - 1)
        return named + shared, row, skipped
