"""Choose the sizes of a contraction's tiles and blocks from its shape and the target.

In: the extents of batch, rows (M), columns (N) and depth (K), the accumulator's dtype, the
`Target`. Out: `Tiles`. Called by `lower`.

The register tile is `height` rows by `vectors` vectors of accumulators. Tiles divide the extents
evenly, so that little work is spent on padding: 65 columns become two tiles of 3 vectors, not
4 + 1. No choice here changes a result's bits: every element is one chain of multiply-adds over
ascending k, whatever the blocks are.

>>> from picograd.codegen.target import AVX512
>>> from picograd.dtypes import float32
>>> tiles = choose(1, 1024, 1024, 1024, float32, AVX512, packs_right=True)
>>> tiles.height, tiles.vectors, tiles.lanes, tiles.depth_blocks
(6, 4, 16, 2)
"""

from __future__ import annotations

from dataclasses import dataclass

from picograd.codegen.target import Target
from picograd.dtypes import DType


@dataclass(frozen=True, slots=True)
class Tiles:
    """Sizes of the loops around the register tile.

    row_tiles, column_tiles    register tiles along M and N
    depth_blocks               blocks of K, each at most `depth` long
    row_parts, column_parts    parts that M and N are cut into for threads
    row_blocks                 blocks of rows in all (a multiple of row_parts): the rows of one
                               block over one depth block stay in the second-level cache
    streamed                   the right factor is read once, in place, from main memory
    along                      lanes along k of a tile of dot products (see `dots`), else 0
    pairs                      whether a step of k (also in `depth`) is a pair (see `pairs`)
    turns                      how often the depth blocks go over their axes: once for each
                               position of the depth's outer axes
    shared_parts               parts of the batch elements that share a right factor, for threads
    """

    lanes: int
    vectors: int
    height: int
    depth: int
    row_tiles: int
    column_tiles: int
    depth_blocks: int
    row_parts: int
    column_parts: int
    row_blocks: int
    streamed: bool = False
    along: int = 0
    pairs: bool = False
    turns: int = 1
    shared_parts: int = 1

    @property
    def width(self) -> int:
        """Columns of a register tile."""
        return self.vectors * self.lanes

    @property
    def block_rows(self) -> int:
        """The most register tiles in a row block."""
        return ceil_div(self.row_tiles, self.row_blocks)

    @property
    def part_columns(self) -> int:
        """The most register tiles in a column part."""
        return ceil_div(self.column_tiles, self.column_parts)


def ceil_div(number: int, divisor: int) -> int:
    return -(-number // divisor)


def round_up(number: int, multiple: int) -> int:
    return ceil_div(number, multiple) * multiple


# A task shorter than this is not worth another thread.
TASK_NANOSECONDS = 8_000
# Bytes that one thread reads in a nanosecond, of a factor larger than its caches.
READ_BYTES = 40
# CPUs that take two turns to compute with a vector: those of half the width are as fast.
TWO_TURNS = frozenset({"znver4"})
# What half vectors must spare of all columns, padding included: they load factors twice as often.
SPARED = 0.06
# Cache lines of the right factor that are read side by side: with several rows (where the next
# ones are asked for), and with one.
LINES_AHEAD, LINES_ALONE = 48, 32
# Bytes of a cache line, and of a page of memory.
LINE, PAGE = 64, 4096
# Accumulators and the most vectors of a register tile, with 16 and with 32 registers.
REGISTER_TILES = (12, 2), (24, 4)
# Tasks for each thread, so that threads of unequal speed finish together.
TASKS_PER_THREAD = 4


def choose(
    batch: int,
    rows: int,
    columns: int,
    depth: int,
    dtype: DType,
    target: Target,
    packs_right: bool,
    packs_left: bool = False,
    streams: bool = False,
    whole: bool = False,
) -> Tiles:
    """The tiles of a contraction of these extents; `whole`: of whole vectors only."""
    lanes = narrow_lanes(columns, target.lanes(dtype))
    if streams:
        return _streamed(batch, rows, columns, depth, lanes, dtype.itemsize, target)
    lanes = lanes if whole else fitting_lanes(columns, lanes, target)
    vectors, height = register_tile(rows, ceil_div(columns, lanes), target.registers)
    row_tiles, column_tiles = ceil_div(rows, height), ceil_div(columns, vectors * lanes)
    depth_blocks = _depth_blocks(depth, height, vectors * lanes, dtype.itemsize, target)
    length = ceil_div(depth, depth_blocks)
    work = tile_work(height, vectors, depth) * vector_time(lanes, dtype, target)
    row_parts, column_parts = _parts(
        batch * row_tiles * column_tiles * work,
        (batch, row_tiles, column_tiles),
        target,
        packs_left,
        packs_right,
    )
    block_tiles = max(1, (target.l2 // 5) // (height * length * dtype.itemsize))
    row_blocks = ceil_div(ceil_div(row_tiles, row_parts), block_tiles) * row_parts
    share = target.l2 // 4
    if row_blocks > row_parts:  # panels are used again: they may be further away
        share = max(target.l3 // (2 * target.threads), share)
    widest = max(1, share // (length * vectors * lanes * dtype.itemsize))
    if packs_right:
        column_parts = max(column_parts, ceil_div(column_tiles, widest))
    return Tiles(
        lanes,
        vectors,
        height,
        length,
        row_tiles,
        column_tiles,
        depth_blocks,
        row_parts,
        column_parts,
        min(row_blocks, round_up(row_tiles, row_parts)),
    )


def _streamed(
    batch: int, rows: int, columns: int, depth: int, lanes: int, itemsize: int, target: Target
) -> Tiles:
    """All rows in one tile, and blocks of k so short that the lines of all their rows, read side
    by side from left to right, stay in the first-level cache until they are used.

    Parts of the columns are several pages wide: long reads are the fast ones.
    """
    accumulators, widest = REGISTER_TILES[target.registers >= 32]
    row_tiles = ceil_div(rows, accumulators)
    height = ceil_div(rows, row_tiles)
    vectors = min(widest, accumulators // height, ceil_div(columns, lanes))
    lines = ceil_div(vectors * lanes * itemsize, LINE)
    ahead = LINES_AHEAD if rows > 1 else LINES_ALONE
    depth_blocks = ceil_div(depth, max(4, ahead // lines))
    column_tiles = ceil_div(columns, vectors * lanes)
    wanted = columns * itemsize // (4 * PAGE)
    wanted = min(max(wanted, target.threads), TASKS_PER_THREAD * target.threads)
    parts = min(column_tiles, ceil_div(wanted, batch))
    return Tiles(
        lanes,
        vectors,
        height,
        ceil_div(depth, depth_blocks),
        row_tiles,
        column_tiles,
        depth_blocks,
        1,
        parts,
        1,
        streamed=True,
    )


def narrow_lanes(columns: int, lanes: int) -> int:
    """The vector width: narrower when there are few columns."""
    while lanes > 1 and lanes // 2 >= columns:
        lanes //= 2
    return lanes


def fitting_lanes(columns: int, lanes: int, target: Target) -> int:
    """The vector width: half of it where that is as fast and fills the last vector better."""
    if target.cpu not in TWO_TURNS or lanes < 4:
        return lanes
    spared = round_up(columns, lanes) - round_up(columns, lanes // 2)
    return lanes // 2 if spared >= SPARED * columns else lanes


def vector_time(lanes: int, dtype: DType, target: Target) -> float:
    """The time of a multiply-add of vectors, in those of the widest."""
    return 0.5 if target.cpu in TWO_TURNS and lanes < target.lanes(dtype) else 1.0


def register_tile(rows: int, column_vectors: int, registers: int) -> tuple[int, int]:
    """(vectors, height): with 32 registers at most 24 accumulators, with 16 at most 12.

    The rest holds a row of the right factor and one broadcast element of the left one.
    """
    return ranked(rows, column_vectors, *REGISTER_TILES[registers >= 32])[0]


def ranked(rows: int, column_vectors: int, accumulators: int, widest: int) -> list[tuple[int, int]]:
    """All (vectors, height) with so few accumulators, the most promising first."""
    tiles = [
        (vectors, height)
        for vectors in range(1, min(widest, column_vectors) + 1)
        for height in range(1, min(accumulators // vectors, 12, rows) + 1)
    ]
    return sorted(tiles, key=lambda tile: _cost(*tile, rows, column_vectors))


def _cost(vectors: int, height: int, rows: int, column_vectors: int) -> float:
    """Relative time of tiles of this size: padding, loads for each multiply-add, and how much of
    the multiply-adds' latency so few accumulators leave uncovered."""
    padded = round_up(rows, height) * round_up(column_vectors, vectors)
    loads = (height + vectors) / (height * vectors)
    return padded * (1 + 0.15 * loads) * max(1.0, 10 / (height * vectors))


def _depth_blocks(depth: int, height: int, width: int, itemsize: int, target: Target) -> int:
    """Blocks of k so short that a panel of the left factor stays in the first-level cache and one
    of the right factor in a part of the second: about 512 of them for a 6 x 64 tile of float32."""
    longest = min(target.l2 // (8 * width * itemsize), target.l1 * 9 // (16 * height * itemsize))
    return ceil_div(depth, max(1, longest))


def tile_work(height: int, vectors: int, depth: int) -> float:
    """Nanoseconds of one register tile: one vector multiply-add a cycle, three cycles each ns."""
    return (height * vectors * (depth + 8)) / 3.0


def work_of(tiles: Tiles, depth: int, dtype: DType, target: Target) -> float:
    """Nanoseconds of one register tile over all of the depth, at least those of reading what is
    read once."""
    if tiles.along:
        work = tile_work(tiles.height, tiles.width, ceil_div(depth, tiles.along))
    else:
        work = tile_work(tiles.height, tiles.vectors, depth)
        work *= vector_time(tiles.lanes, dtype, target)
    if not (tiles.streamed or tiles.along):
        return work
    lines = max(tiles.height, tiles.width) if tiles.along else tiles.width
    return max(work, lines * depth * dtype.itemsize / READ_BYTES)


def _parts(
    work: float,
    extents: tuple[int, int, int],
    target: Target,
    packs_left: bool,
    packs_right: bool,
) -> tuple[int, int]:
    """How many parts M and N are cut into, from the time of all and the numbers of matrices, row
    tiles and column tiles.

    Parts of the columns pack the left factor again, parts of the rows the right one: that is worth
    it to keep all threads busy, or where a part has many tiles.
    """
    batch, row_tiles, column_tiles = extents
    wanted = max(1, min(int(work / TASK_NANOSECONDS), TASKS_PER_THREAD * target.threads))
    if wanted > target.threads:  # all threads should have as many
        wanted -= wanted % target.threads
    if packs_left and not packs_right:
        row_parts = min(row_tiles, ceil_div(wanted, batch))
        return row_parts, min(column_tiles, ceil_div(wanted, batch * row_parts))
    if packs_left:
        wanted = min(wanted, 2 * target.threads)
    column_parts = min(column_tiles, ceil_div(wanted, batch))
    found = batch * column_parts
    if not packs_right:
        return min(row_tiles, ceil_div(wanted, found)), column_parts
    enough = min(wanted, 2 * target.threads)
    least = 16 if found >= target.threads else 3
    return min(max(1, row_tiles // least), ceil_div(enough, found)), column_parts
