"""Ask for memory that a contraction will need soon, while the register tile is computed.

In: a `Frame`, the operands and the current `Tile`. Out: `Prefetch` statements, put into the tile's
code by `microkernel`. They matter where a factor is read about once, so that the time to fetch it
is not small beside the time to multiply:

* a factor that few rows stream: the next tile of the same rows of k;
* a factor that is packed for few rows: the same columns of the next depth block;
* small matrices in a batch: both factors of the next one;
* sums that do not fit the second-level cache: the lines that they will be stored to;
* matrices that the stages after the sum read and write, if they do not fit it together (the update
  of a weight with its optimiser's state): the tile's lines of all of them.

One line is asked for in every step of k. Together the row tiles cover all lines of a panel.
"""

from __future__ import annotations

from collections.abc import Iterator

from picograd.codegen import loops
from picograd.codegen.contraction.expressions import accesses
from picograd.codegen.contraction.frame import Frame
from picograd.codegen.contraction.packing import Operand, plain
from picograd.codegen.contraction.places import Destination, Tile
from picograd.codegen.contraction.tiles import LINE, ceil_div
from picograd.codegen.loops import Statement
from picograd.graph.index import Index, constant
from picograd.schedule.kernel import Access

# With more rows than this the time to pack the right factor is small.
FEW_ROWS = 128
# Matrices of a batch that are smaller than this arrive by themselves.
LEAST_BYTES = 32 << 10


def factors(
    frame: Frame, left: Operand, right: Operand, tile: Tile, k: Index
) -> tuple[Statement, ...]:
    """What one step of k asks for."""
    tiles, found = frame.tiles, frame.contraction
    if tiles.streamed:
        # A vector alone is done so quickly that the machine sees itself where reading goes on.
        return tuple(_next_columns(frame, right, tile, k)) if tiles.height > 1 else ()
    if right.index is None:
        return tuple(_next_depth(frame, tile, k)) if found.rows.extent <= FEW_ROWS else ()
    if found.batch.extent > 1 and tiles.depth_blocks == 1 and _matrices_fit(frame):
        return tuple(_next_matrices(frame, left, right, tile, k))
    return ()


def sums(frame: Frame, destination: Destination, tile: Tile) -> tuple[Statement, ...]:
    """Ask for the lines that the tile's sums will be stored to."""
    tiles, memory = frame.tiles, destination.memory
    size = memory.dtype.itemsize
    if destination.index is None or tiles.depth_blocks > 1 or memory.size * size < frame.target.l2:
        return ()
    return tuple(
        loops.Prefetch(memory, destination.position(frame, tile, constant(r), constant(c)), True)
        for r in range(tiles.height)
        for c in range(0, tiles.width, max(1, LINE // size))
    )


def results(frame: Frame, tile: Tile, k: Index) -> tuple[Statement, ...]:
    """What one step of k asks for of the memory that the stages after the sum read and write."""
    tiles = frame.tiles
    asked = _beside(frame) if tiles.depth_blocks == 1 else []
    if not asked:
        return ()
    line = LINE // max(memory.dtype.itemsize for memory, _, _ in asked)
    row, column = k % tiles.height, k // tiles.height % ceil_div(tiles.width, line)
    named, row = frame.name_index("ahead", row, 0, tiles.height - 1)
    more, column = frame.name_index("beside", column * line, 0, tiles.width)
    values = frame.at(row=tile.row + row, column=tile.column + column)
    return (
        *named,
        *more,
        *[loops.Prefetch(memory, at.substitute(values), write) for memory, at, write in asked],
    )


def _beside(frame: Frame) -> list[tuple[loops.Memory, Index, bool]]:
    """The matrices as large as the sums that the stages after it read and (True) write; none if
    they fit the second-level cache together."""
    found = frame.contraction
    wanted: dict[tuple[str, Index], bool] = {}
    for stage in found.epilogue:
        wanted |= {(part.buffer, part.index): False for part in accesses(stage.value)}
    if found.memory is not None and found.epilogue:
        wanted[found.memory, found.store] = True
    wanted |= {(stage.target, stage.store): True for stage in found.epilogue}
    elements = found.rows.extent * found.columns.extent
    asked = [
        (frame.memories[name], index, write)
        for (name, index), write in wanted.items()
        if name in frame.memories
        and frame.memories[name].size >= elements
        and found.columns.step(index) == 1
        and found.rows.strided(index)
    ]
    size = sum(elements * memory.dtype.itemsize for memory, _, _ in asked)
    return asked if size >= frame.target.l2 else []


def _matrices_fit(frame: Frame) -> bool:
    """Whether the matrices of one batch element are neither tiny nor too large for the cache."""
    found = frame.contraction
    rows, columns, depth = found.rows.extent, found.columns.extent, found.depth.extent
    size = (rows * depth + depth * columns + rows * columns) * found.accumulator.itemsize
    return LEAST_BYTES <= size <= frame.target.l2


def _next_columns(frame: Frame, right: Operand, tile: Tile, k: Index) -> Iterator[Statement]:
    """The column tile after this one."""
    assert right.index is not None
    named, depth = frame.depth_at(k)
    for v in range(frame.tiles.vectors):
        column = tile.column + frame.tiles.width + v * frame.tiles.lanes
        index = right.index.substitute(frame.at(column=column, depth=depth))
        yield from (*named, loops.Prefetch(right.memory, index))


def _next_depth(frame: Frame, tile: Tile, k: Index) -> Iterator[Statement]:
    """The lines that the next depth block of this column tile is packed from."""
    tiles, found = frame.tiles, frame.contraction
    factor, line = found.right, LINE // found.accumulator.itemsize
    steps = plain(factor, found.columns, found.depth, found.accumulator)
    if steps is None or 1 not in steps:
        return
    assert isinstance(factor, Access)
    lines = ceil_div(tiles.width, line)  # for each k
    each = ceil_div(lines, tiles.row_tiles)
    for n in range(each):
        part = (tile.number * each + n) % lines
        if steps[0] == 1:
            column, ahead = part * line, k
        else:
            column = k % tiles.width
            ahead = (k // tiles.width + part * ceil_div(tiles.depth, tiles.width)) * line
        depth = frame.begin + tiles.depth + ahead
        index = factor.index.substitute(frame.at(column=tile.column + column, depth=depth))
        yield loops.Prefetch(frame.memories[factor.buffer], index)


def _next_matrices(
    frame: Frame, left: Operand, right: Operand, tile: Tile, k: Index
) -> Iterator[Statement]:
    """Both factors of the next batch element, where they are read in place."""
    tiles, found = frame.tiles, frame.contraction
    line = LINE // found.accumulator.itemsize
    current, frame.batch = frame.batch, frame.batch + 1
    assert right.index is not None
    column = tile.column + tile.number % ceil_div(tiles.width, line) * line
    index = right.index.substitute(frame.at(column=column, depth=k))
    yield loops.Prefetch(right.memory, index)
    if left.index is not None:
        row, depth = tile.row + k % tiles.height, k // tiles.height * line
        index = left.index.substitute(frame.at(row=row, depth=depth))
        yield loops.Prefetch(left.memory, index)
    frame.batch = current
