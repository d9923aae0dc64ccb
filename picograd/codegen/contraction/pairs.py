"""Products of bfloat16 by the machine's dot-product instruction: pairs of k at once.

In: a `Contraction` whose factors are bfloat16 and whose sums are float32, on a machine with such an
instruction. Out: the operands, their packing, and one step of the register tile, under the same
names as in `packing` and `microkernel`, which `lower` then takes from here.

A pair of neighbours in k takes the place of one float32: tiles, panels and blocks are those of a
float32 product of half the depth. An odd depth ends in a pair with a zero.

>>> interleaved(2)
(0, 2, 1, 3)
"""

from __future__ import annotations

from picograd.codegen import loops
from picograd.codegen.contraction import packing
from picograd.codegen.contraction.axes import Contraction
from picograd.codegen.contraction.expressions import walk
from picograd.codegen.contraction.frame import Frame, inside, lane_index
from picograd.codegen.contraction.packing import Operand, Panels, collide, each, panel_width, unit
from picograd.codegen.contraction.places import Tile
from picograd.codegen.contraction.tiles import ceil_div, round_up
from picograd.codegen.contraction.transpose import transpose
from picograd.codegen.loops import Home, Statement, Value
from picograd.codegen.target import Target
from picograd.dtypes import bfloat16, float32
from picograd.graph.index import Index, Var, constant, of
from picograd.graph.mask import EVERYWHERE, Mask
from picograd.graph.ops import Op
from picograd.schedule.kernel import Access, Compute, Expr

FEATURE = "+avx512bf16"


def suits(found: Contraction, target: Target) -> bool:
    """Whether a contraction is such a product, on such a machine."""
    if FEATURE not in target.features.split(",") or target.lanes(float32) != 16:
        return False
    halves = (_half(factor) is not None for factor in (found.left, found.right))
    return found.accumulator is float32 and found.depth.extent >= 2 and all(halves)


def _half(factor: Expr) -> Expr | None:
    """A factor before it is converted from bfloat16, if it is."""
    if isinstance(factor, Compute) and factor.op is Op.CAST and factor.args[0].dtype is bfloat16:
        return factor.args[0]
    return None


def interleaved(lanes: int) -> tuple[int, ...]:
    """The order of lanes that makes pairs of two vectors."""
    return tuple(lane // 2 + lane % 2 * lanes for lane in range(2 * lanes))


# --- packing --------------------------------------------------------------------------------------


def packs_left(found: Contraction) -> bool:
    """Whether the left factor has to be packed, whatever the tile is."""
    left = _half(found.left)
    steps = packing.plain(left, found.rows, found.depth, bfloat16) if left else None
    return steps is None or steps[1] != 1 or found.depth.extent % 2 != 0


def right_operand(frame: Frame) -> Operand:
    """Memory for the panels of one task."""
    tiles = frame.tiles
    depth = round_up(tiles.depth, tiles.lanes) if _transposes(frame) else tiles.depth
    panel = 2 * depth * tiles.width
    memory = frame.allocate("right", bfloat16, tiles.part_columns * panel, Home.SCRATCH)
    return Operand(memory, None, panel, 2, 2 * tiles.width)


def left_operand(frame: Frame) -> Operand:
    """The left factor in place, or memory for the panels of one row block."""
    found, tiles = frame.contraction, frame.tiles
    left = _half(found.left)
    if isinstance(left, Access) and not packs_left(found):
        step = found.rows.step(left.index) or 0
        if not collide(step * 2, tiles.height, frame.target):
            return Operand(frame.memories[left.buffer], left.index)
    if unit(found.left, found.rows) > unit(found.left, found.depth):
        line, depth = 2, 2 * panel_width(tiles.height, tiles.lanes)[1]
        panel = tiles.depth * depth + 2 * tiles.lanes
    else:
        line, depth = 2 * (round_up(tiles.depth, tiles.lanes) + tiles.lanes), 2
        panel = tiles.height * line
    memory = frame.allocate("left", bfloat16, tiles.block_rows * panel, Home.SCRATCH)
    return Operand(memory, None, panel, line, depth)


def pack_right(frame: Frame, operand: Operand, panels: Panels) -> tuple[Statement, ...]:
    """Fill the panels of column tiles for the current depth block."""
    found, tiles = frame.contraction, frame.tiles
    if _transposes(frame):
        v = Var("vp", 0, tiles.vectors - 1)
        return (
            panels.each((each(v, constant(tiles.vectors), (_block(frame, operand, panels, v),)),)),
        )
    k = Var("kp", 0, tiles.depth - 1)
    named, pair = _pair_at(frame, of(k))
    body: list[Statement] = []
    for v in range(tiles.vectors):
        column = panels.line + v * tiles.lanes + lane_index(tiles.lanes)
        edge = inside(column, found.columns.extent)
        rows = [
            _evaluated(frame, found.right, {"column": column}, pair * 2 + n, edge, tiles.lanes)
            for n in range(2)
        ]
        body += (*rows[0][0], *rows[1][0])
        mixed = loops.Shuffle(rows[0][1], rows[1][1], interleaved(tiles.lanes))
        place = operand.position(panels.panel, constant(v * tiles.lanes), of(k))
        body.append(loops.Store(operand.memory, place + lane_index(2 * tiles.lanes), mixed))
    return (each(k, frame.length, (*named, panels.each(tuple(body)))),)


def pack_left(frame: Frame, operand: Operand, panels: Panels) -> tuple[Statement, ...]:
    """Fill the panels of row tiles for the current depth block."""
    if operand.line_step == 2:
        return _pack_columns(frame, operand, panels)
    found, tiles = frame.contraction, frame.tiles
    line = Var("ra", 0, tiles.height - 1)
    chunk = Var("ka", 0, ceil_div(tiles.depth, tiles.lanes) - 1)
    named, pair = _pair_at(frame, of(chunk) * tiles.lanes)
    depth, row = pair * 2 + lane_index(2 * tiles.lanes), {"row": panels.line + of(line)}
    body, value = _evaluated(frame, found.left, row, depth, EVERYWHERE, 2 * tiles.lanes)
    place = operand.position(panels.panel, of(line), of(chunk) * tiles.lanes)
    store = loops.Store(operand.memory, place + lane_index(2 * tiles.lanes), value)
    length = (frame.length + (tiles.lanes - 1)) // tiles.lanes
    inner = each(chunk, length, (*named, *body, store))
    return (panels.each((each(line, constant(tiles.height), (inner,)),)),)


def _pack_columns(frame: Frame, operand: Operand, panels: Panels) -> tuple[Statement, ...]:
    """For each pair of k, one after the other, the rows of each panel."""
    found, tiles = frame.contraction, frame.tiles
    lanes, width = panel_width(tiles.height, tiles.lanes)
    k = Var("ka", 0, tiles.depth - 1)
    named, pair = _pair_at(frame, of(k))
    body: list[Statement] = []
    for start in range(0, width, lanes):
        offset = lane_index(lanes) + start
        edge, row = inside(offset, tiles.height), {"row": panels.line + offset}
        rows = [_evaluated(frame, found.left, row, pair * 2 + n, edge, lanes) for n in range(2)]
        body += (*rows[0][0], *rows[1][0])
        mixed = loops.Shuffle(rows[0][1], rows[1][1], interleaved(lanes))
        place = operand.position(panels.panel, constant(start), of(k))
        body.append(loops.Store(operand.memory, place + lane_index(2 * lanes), mixed))
    return (each(k, frame.length, (*named, panels.each(tuple(body)))),)


def _transposes(frame: Frame) -> bool:
    """Whether the right factor is read along k, and short enough to be written once a lane."""
    found = frame.contraction
    along = unit(found.right, found.depth) > unit(found.right, found.columns)
    return along and sum(1 for _ in walk(found.right)) <= packing.SHORT


def _block(frame: Frame, operand: Operand, panels: Panels, v: Var) -> loops.For:
    """One vector of columns in square blocks of pairs; the last may reach beyond the others."""
    found, tiles = frame.contraction, frame.tiles
    lanes = tiles.lanes
    chunk = Var("kp", 0, ceil_div(tiles.depth, lanes) - 1)
    named, pair = _pair_at(frame, of(chunk) * lanes)
    depth, body = pair * 2 + lane_index(2 * lanes), list(named)
    rows: list[loops.Ref] = []
    for line in range(lanes):
        column = panels.line + of(v) * lanes + line
        edge = inside(column, found.columns.extent)
        part, value = _evaluated(frame, found.right, {"column": column}, depth, edge, 2 * lanes)
        body += (*part, loops.Let(f"p{line}", value))
        rows.append(loops.Ref(f"p{line}", bfloat16, 2 * lanes))
    mixed, columns = transpose(rows, "t", 2)
    body += mixed
    for line, column in enumerate(columns):
        place = operand.position(panels.panel, of(v) * lanes, of(chunk) * lanes + line)
        body.append(loops.Store(operand.memory, place + lane_index(2 * lanes), column))
    return each(chunk, (frame.length + (lanes - 1)) // lanes, tuple(body))


def _evaluated(
    frame: Frame, factor: Expr, line: dict[str, Index], depth: Index, edge: Mask, lanes: int
) -> tuple[tuple[Statement, ...], Value]:
    """A factor in bfloat16; zero beyond the last k."""
    half = _half(factor)
    assert half is not None
    mask = edge & inside(depth, frame.contraction.depth.extent)
    return frame.evaluate(half, frame.at(**line, depth=depth), mask, lanes)


def _pair_at(frame: Frame, local: Index) -> tuple[tuple[Statement, ...], Index]:
    """The number of the pair at position `local` of the current depth block."""
    last = ceil_div(frame.contraction.depth.extent, 2) - 1
    return frame.name_index("pair", frame.begin + local, 0, last)


# --- the register tile ----------------------------------------------------------------------------


def product(r: int, v: int, accumulator: loops.Ref) -> Value:
    """An accumulator with one more pair of products in every lane."""
    lanes = accumulator.lanes
    left, right = loops.Ref(f"x{r}", bfloat16, 2 * lanes), loops.Ref(f"y{v}", bfloat16, 2 * lanes)
    return loops.MulAddPairs(left, right, accumulator, lanes)


def factors(
    frame: Frame, left: Operand, right: Operand, tile: Tile, k: Index
) -> tuple[Statement, ...]:
    """Name one pair of k of both factors: `x0`... are the left rows, `y0`... the right vectors."""
    tiles, lanes = frame.tiles, frame.tiles.lanes
    named, pair = _pair_at(frame, k)
    body: list[Statement] = list(named)
    for v in range(tiles.vectors):
        place = right.position(tile.right_panel, constant(v * lanes), k)
        load = loops.Load(right.memory, place + lane_index(2 * lanes), 2 * lanes)
        body.append(loops.Let(f"y{v}", load))
    for r in range(tiles.height):
        if left.index is None:
            place = left.position(tile.left_panel, constant(r), k) + lane_index(2)
        else:
            depth = pair * 2 + lane_index(2)
            place = left.index.substitute(frame.at(row=tile.row + r, depth=depth))
        load = loops.Load(left.memory, place, 2)
        body.append(loops.Let(f"x{r}", loops.Shuffle(load, load, (0, 1) * lanes)))
    return tuple(body)
