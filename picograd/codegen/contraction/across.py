"""Write back a strip of tiles whose results lie along the rows in memory.

In: a `Frame`, and where the sums of a block of rows are kept (vectors of columns). Out: where they
are kept, and the statements that transpose them in square blocks and run the stages over vectors
of rows. Called by `lower` where a contraction runs `across` (see `orientation`).
"""

from __future__ import annotations

from dataclasses import dataclass

from picograd.codegen import loops
from picograd.codegen.contraction.epilogue import apply_stages, rounded
from picograd.codegen.contraction.frame import Frame, inside, lane_index
from picograd.codegen.contraction.packing import each
from picograd.codegen.contraction.places import Destination
from picograd.codegen.contraction.tiles import ceil_div, round_up
from picograd.codegen.contraction.transpose import transpose
from picograd.codegen.loops import Home, Statement
from picograd.dtypes import int64
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Op
from picograd.schedule.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Strip:
    """The rows of the current row block: the first, how many there are, and how many of them at
    the start belong to the block before."""

    row: Index
    count: Index
    skipped: Index

    def local(self, frame: Frame, row: Index) -> tuple[tuple[Statement, ...], Index]:
        """A tile's first row, counted from the strip's."""
        tiles = frame.tiles
        return frame.name_index("local", row - self.row, 0, (tiles.block_rows - 1) * tiles.height)


def destination_across(frame: Frame) -> Destination:
    """A strip in scratch, or (partial sums) the workspace, with spare rows for the last block."""
    found, tiles = frame.contraction, frame.tiles
    if tiles.depth_blocks == 1:
        size = round_up(tiles.block_rows * tiles.height, tiles.lanes) * tiles.width
        return Destination(frame.allocate("strip", found.accumulator, size, Home.SCRATCH), None)
    width = tiles.column_tiles * tiles.width
    rows = found.batch.extent * found.rows.extent
    size = (rows + tiles.lanes) * width
    memory = frame.allocate("sums", found.accumulator, size, Home.WORKSPACE)
    row = of(found.batch.var) * found.rows.extent + of(found.rows.var)
    return Destination(memory, row * width + of(found.columns.var))


def strip_of(frame: Frame, first: Index, end: Index) -> tuple[tuple[Statement, ...], Strip]:
    """The rows of the row tiles in range(first, end); the last tile may have been moved up."""
    tiles, extent = frame.tiles, frame.contraction.rows.extent
    body, row = _at_most(frame, "strip", first * tiles.height, extent - tiles.height)
    more, last = _at_most(frame, "last", end * tiles.height, extent)
    most = min(extent, tiles.block_rows * tiles.height)
    named, count = frame.name_index("count", last - row, 1, most)
    start = first * tiles.height
    if tiles.row_tiles // tiles.row_blocks > 1 or row == start:
        return (*body, *more, *named), Strip(row, count, ZERO)  # one tile alone can move
    own, skipped = frame.name_index("others", start - row, 0, tiles.height - 1)
    return (*body, *more, *named, *own), Strip(row, count, skipped)


def _at_most(
    frame: Frame, stem: str, index: Index, most: int
) -> tuple[tuple[Statement, ...], Index]:
    if index.bounds()[1] <= most:
        return (), index
    value = loops.Alu(
        Op.MINIMUM, (loops.IndexValue(index, int64), loops.Literal.of(most, int64)), int64
    )
    return frame.name_value(stem, value, 0, most)


def finish_across(
    frame: Frame, kernel: Kernel, strip: Strip, column: Index, sums: Destination
) -> tuple[Statement, ...]:
    """The stages over a finished strip of one column tile, in square blocks."""
    found, tiles = frame.contraction, frame.tiles
    lanes, lane = tiles.lanes, lane_index(tiles.lanes)
    block = frame.allocate("block", found.accumulator, lanes * lanes, Home.SCRATCH)
    q = Var("q", 0, ceil_div(tiles.block_rows * tiles.height, lanes) - 1)
    v, line = Var("v", 0, tiles.vectors - 1), Var("line", 0, lanes - 1)
    body = _transposed(frame, strip, column, of(q) * lanes, of(v) * lanes, sums, block)
    place = of(q) * lanes + lane
    row, here = strip.row + place, column + of(v) * lanes + of(line)
    edge = Mask().require(strip.count - 1 - place).require(place - strip.skipped)
    edge = edge & inside(row, found.rows.extent) & inside(here, found.columns.extent)
    named, total = rounded(frame, loops.Load(block, of(line) * lanes + lane, lanes))
    values = frame.at(row=row, column=here)
    stages = (*named, *apply_stages(frame, kernel, total, values, edge, stored=False))
    inner = each(v, constant(tiles.vectors), (*body, each(line, constant(lanes), stages)))
    count = (strip.count + (lanes - 1)) // lanes
    loop = loops.For(q, constant(0), count, (inner,), independent=True)
    if tiles.depth_blocks == 1:
        return (loop,)
    last = Mask().require(frame.block - (tiles.depth_blocks - 1))
    return (loops.If(last, (loop,)),)


def _transposed(
    frame: Frame,
    strip: Strip,
    tile: Index,
    row: Index,
    column: Index,
    sums: Destination,
    block: loops.Memory,
) -> tuple[Statement, ...]:
    """A square block of the strip (what follows the last row is read too, and ignored)."""
    tiles = frame.tiles
    lanes, lane = tiles.lanes, lane_index(tiles.lanes)
    body: list[Statement] = []
    rows: list[loops.Ref] = []
    for number in range(lanes):
        if sums.index is None:
            position = (row + number) * tiles.width + column + lane
        else:
            point = frame.at(row=strip.row + row + number, column=tile + column + lane)
            position = sums.index.substitute(point)
        body.append(loops.Let(f"s{number}", loops.Load(sums.memory, position, lanes)))
        rows.append(loops.Ref(f"s{number}", block.dtype, lanes))
    mixed, columns = transpose(rows, "t")
    body += mixed
    for number, vector in enumerate(columns):
        body.append(loops.Store(block, number * lanes + lane, vector))
    return tuple(body)
