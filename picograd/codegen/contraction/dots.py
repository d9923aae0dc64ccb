"""Sums along vectors of k: for a few lines against many, read in place from left to right.

In: a `Contraction` of which one factor has a few rows (or columns) and the other, large one is
contiguous along k: `x @ weight.T` for a few rows x, `matrix @ few_columns`. Out: its `Tiles`,
and the statements of one register tile. Called by `lower` in place of `tiles.choose` and
`microkernel.accumulate`.

Every pair of a few lines and several of the many has a vector of partial sums; lane l sums the
products at k = l, l + lanes, ...; then the lanes are folded. Packing the large factor for the
ordinary register tile would cost more time than multiplying it. The few lines are packed where
they are strided or would displace each other in the cache.

>>> _power(3), _power(8)
(2, 8)
"""

from __future__ import annotations

from picograd.codegen import loops
from picograd.codegen.contraction.axes import Contraction, Group
from picograd.codegen.contraction.expressions import accesses, walk
from picograd.codegen.contraction.frame import Frame, inside, lane_index
from picograd.codegen.contraction.packing import Operand, is_converted
from picograd.codegen.contraction.places import Destination, Tile
from picograd.codegen.contraction.tiles import (
    REGISTER_TILES,
    TASK_NANOSECONDS,
    Tiles,
    ceil_div,
    tile_work,
)
from picograd.codegen.loops import Statement, Value
from picograd.codegen.target import Target
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.graph.mask import EVERYWHERE, Mask
from picograd.graph.ops import Combiner
from picograd.schedule.kernel import Expr

# More rows than this are packed and multiplied as a matrix.
FEW_ROWS = 6
# Vectors of k that a sum should have at least, so that folding it is little of the work.
LEAST_VECTORS = 16
# The most lines of the large factor that are read side by side.
WIDEST = 8
# Parts of the large factor for each thread: each packs the few lines again, so that there are
# several only where they are much longer than a task has to be.
PARTS_PER_THREAD, LONG = 2, 4


def suits(found: Contraction, target: Target) -> bool:
    """Whether a contraction is such a product."""
    rows, columns, depth = found.rows.extent, found.columns.extent, found.depth.extent
    lanes, few = target.lanes(found.accumulator), min(rows, columns)
    if lanes < 4 or depth < LEAST_VECTORS * lanes:
        return False
    if few < 2 and not is_converted(found.right if rows <= columns else found.left):
        return False  # rows read it as fast
    if few * depth * found.accumulator.itemsize > target.l2 // 2:
        return False
    if rows <= columns:
        return rows <= FEW_ROWS and _reads_along(found.right, found.depth)
    # Columns that fill vectors are better off as vectors.
    return columns * 4 <= lanes * 3 and _reads_along(found.left, found.depth)


def _reads_along(factor: Expr, depth: Group) -> bool:
    """Whether a factor is one buffer's elements, perhaps converted, contiguous along k."""
    read = list(accesses(factor))
    if len(read) != 1 or sum(1 for _ in walk(factor)) > 2:
        return False
    return read[0].mask.always and depth.step(read[0].index) == 1


def _power(number: int) -> int:
    """The largest power of two that is not larger."""
    return 1 << (number.bit_length() - 1)


def choose(found: Contraction, target: Target) -> Tiles:
    """The tiles of such a product."""
    rows, columns, depth = found.rows.extent, found.columns.extent, found.depth.extent
    accumulators, _ = REGISTER_TILES[target.registers >= 32]
    lanes = target.lanes(found.accumulator)
    if rows <= columns:
        height = ceil_div(rows, ceil_div(rows, accumulators))
        width = _power(min(accumulators // height, WIDEST, columns))
    else:
        width = _power(2 * columns - 1)
        height = max(1, min(accumulators // columns, WIDEST, rows))
    row_tiles, column_tiles = ceil_div(rows, height), ceil_div(columns, width)
    total = found.batch.extent * row_tiles * column_tiles
    work = total * tile_work(height, width, ceil_div(depth, lanes))
    tasks = int(work / TASK_NANOSECONDS)
    most = max(1, min(PARTS_PER_THREAD, tasks // (LONG * target.threads))) * target.threads
    wanted = max(1, min(tasks, most))
    parts = ceil_div(wanted, found.batch.extent)
    row_parts = 1 if rows <= columns else min(row_tiles, parts)
    column_parts = min(column_tiles, parts) if rows <= columns else 1
    return Tiles(
        width,
        1,
        height,
        depth,
        row_tiles,
        column_tiles,
        1,
        row_parts,
        column_parts,
        row_parts,
        along=lanes,
    )


def accumulate(
    frame: Frame, left: Operand, right: Operand, tile: Tile, destination: Destination
) -> tuple[Statement, ...]:
    """Sum the tile's products along k, fold, store."""
    found, tiles = frame.contraction, frame.tiles
    dtype, lanes, depth = found.accumulator, tiles.along, found.depth.extent
    pairs = [
        (r, c) for r in range(tiles.height) for c in range(min(tiles.width, found.columns.extent))
    ]
    zero = loops.Literal.of(0.0 if dtype.is_float else 0, dtype)
    start = loops.Literal(zero.value, dtype, zero.key, lanes)
    k = Var("k", 0, depth // lanes - 1)
    carried = tuple(
        loops.Carried(f"c{r}_{c}", dtype, start, _product(frame, "", r, c), lanes) for r, c in pairs
    )
    body = _lines(frame, left, right, tile, of(k) * lanes, "")
    made: list[Statement] = [loops.For(k, ZERO, constant(depth // lanes), body, carried=carried)]
    sums: dict[tuple[int, int], Value] = {
        pair: loops.Ref(c.name, dtype, lanes) for pair, c in zip(pairs, carried, strict=True)
    }
    if depth % lanes:
        made += _lines(frame, left, right, tile, constant(depth - depth % lanes), ".end")
        for r, c in pairs:
            made.append(loops.Let(f"s{r}_{c}", _product(frame, ".end", r, c)))
            sums[r, c] = loops.Ref(f"s{r}_{c}", dtype, lanes)
    for (r, c), value in sums.items():
        position = destination.position(frame, tile, constant(r), constant(c))
        mask = Mask().require(r - tile.skipped) & tile.edge(frame, constant(c))
        mask = EVERYWHERE if destination.index is None else mask
        total = loops.Fold(Combiner.SUM, value)
        made.append(loops.Store(destination.memory, position, total, mask))
    return tuple(made)


def _product(frame: Frame, suffix: str, r: int, c: int) -> Value:
    """A pair's sums with one more product in every lane."""
    dtype, lanes = frame.contraction.accumulator, frame.tiles.along
    x, y, total = (
        loops.Ref(n, dtype, lanes) for n in (f"x{r}{suffix}", f"y{c}{suffix}", f"c{r}_{c}")
    )
    return loops.MulAdd(x, y, total, dtype, lanes)


def _lines(
    frame: Frame, left: Operand, right: Operand, tile: Tile, start: Index, suffix: str
) -> tuple[Statement, ...]:
    """Name one vector along k of every line of both factors."""
    found, tiles = frame.contraction, frame.tiles
    depth = start + lane_index(tiles.along)
    edge = inside(depth, found.depth.extent) if suffix else EVERYWHERE
    body: list[Statement] = []

    def name(stem: str, operand: Operand, factor: Expr, line: int, at: dict, mask: Mask) -> None:
        if operand.index is None:
            index = operand.position(ZERO, constant(line), depth)
            value: Value = loops.Load(operand.memory, index, tiles.along)
        else:
            named, value = frame.evaluate(factor, at, mask, tiles.along)
            body.extend(named)
        body.append(loops.Let(f"{stem}{line}{suffix}", value))

    for c in range(min(tiles.width, found.columns.extent)):
        column = tile.column + c
        mask = edge & tile.edge(frame, constant(c))
        name("y", right, found.right, c, frame.at(column=column, depth=depth), mask)
    for r in range(tiles.height):
        name("x", left, found.left, r, frame.at(row=tile.row + r, depth=depth), edge)
    return tuple(body)
