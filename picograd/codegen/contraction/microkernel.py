"""The register tile of a contraction: accumulators in registers, one loop over k.

In: a `Frame`, both operands, the `Tile` and the `Destination` of its sums. Out: the statements of
one tile, without its epilogue. Called by `lower`.

    for k (carrying height x vectors accumulators):
      right vectors = load; left elements = broadcast
      accumulator[r, v] += left[r] * right[v]

There is one copy of this code in a function: edges differ by masks on the accumulators' loads and
stores only, which are outside the loop over k.
"""

from __future__ import annotations

from picograd.codegen import loops
from picograd.codegen.contraction import pairs, prefetch
from picograd.codegen.contraction.frame import Frame, lane_index
from picograd.codegen.contraction.packing import Operand
from picograd.codegen.contraction.places import Destination, Tile
from picograd.codegen.loops import Statement, Value
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.graph.mask import Mask


def accumulate(
    frame: Frame, left: Operand, right: Operand, tile: Tile, destination: Destination
) -> tuple[Statement, ...]:
    """Load or clear the accumulators, run over the depth block, store."""
    tiles, dtype = frame.tiles, frame.contraction.accumulator
    lanes = tiles.lanes
    carried: list[loops.Carried] = []
    stores: list[Statement] = []
    for r in range(tiles.height):
        owned = Mask().require(r - tile.skipped)
        for v in range(tiles.vectors):
            column = lane_index(lanes) + v * lanes
            position = destination.position(frame, tile, constant(r), column)
            edge = destination.mask(frame, tile, column)
            name = f"c{r}_{v}"
            accumulator = loops.Ref(name, dtype, lanes)
            factors = loops.Ref(f"x{r}", dtype, lanes), loops.Ref(f"y{v}", dtype, lanes)
            product = loops.MulAdd(*factors, accumulator, dtype, lanes)
            if tiles.pairs:
                product = pairs.product(r, v, accumulator)
            init = _start(frame, destination, position, edge)
            carried.append(loops.Carried(name, dtype, init, product, lanes))
            mask = edge if destination.index is None else owned & edge
            stores.append(loops.Store(destination.memory, position, accumulator, mask))
    k = Var("k", 0, tiles.depth - 1)
    name_factors = pairs.factors if tiles.pairs else _factors
    body = name_factors(frame, left, right, tile, of(k))
    body += prefetch.factors(frame, left, right, tile, of(k))
    body += prefetch.results(frame, tile, of(k))
    loop = loops.For(k, ZERO, frame.length, body, carried=tuple(carried))
    return (*prefetch.sums(frame, destination, tile), loop, *stores)


def _factors(
    frame: Frame, left: Operand, right: Operand, tile: Tile, k: Index
) -> tuple[Statement, ...]:
    """Name one k of both factors: `x0`... are the left rows, `y0`... the right vectors."""
    tiles, lanes = frame.tiles, frame.tiles.lanes
    named, depth = frame.depth_at(k)
    body: list[Statement] = list(named)
    for v in range(tiles.vectors):
        column = lane_index(lanes) + v * lanes
        if right.index is None:
            load = loops.Load(right.memory, right.position(tile.right_panel, column, k), lanes)
        else:
            index = right.index.substitute(frame.at(column=tile.column + column, depth=depth))
            load = loops.Load(right.memory, index, lanes, tile.edge(frame, column))
        body.append(loops.Let(f"y{v}", load))
    offset = ZERO
    if left.offsets is not None:
        named, offset = left.offsets.at(frame, k)
        body += named
    for r in range(tiles.height):
        if left.index is None:
            index = left.position(tile.left_panel, constant(r), k)
        else:
            index = left.index.substitute(frame.at(row=tile.row + r, depth=depth)) + offset
        body.append(loops.Let(f"x{r}", _broadcast(loops.Load(left.memory, index), lanes)))
    return tuple(body)


def _broadcast(value: Value, lanes: int) -> Value:
    return loops.Broadcast(value, lanes) if lanes > 1 else value


def _start(frame: Frame, destination: Destination, position: Index, edge: Mask) -> Value:
    """Zero in the first depth block, the sum so far in later ones."""
    dtype, lanes = frame.contraction.accumulator, frame.tiles.lanes
    if frame.tiles.depth_blocks == 1:
        zero = loops.Literal.of(0.0 if dtype.is_float else 0, dtype)
        return loops.Literal(zero.value, dtype, zero.key, lanes)
    later = Mask().require(frame.block - 1)
    return loops.Load(destination.memory, position, lanes, later & edge)
