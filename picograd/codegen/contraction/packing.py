"""Where a contraction's register tile reads its factors: in place, or from packed panels.

In: a `Frame`. Out: an `Operand` for each factor, and the statements that fill its panels for one
depth block. Called by `lower`.

* The right factor is packed into panels of `depth` rows by the tile's width, zero-filled past the
  last column, unless it is a plain matrix that fits the second-level cache.
* The left factor is read in place (one broadcast an element) unless it is computed, converted,
  masked or strided along k. It is packed along the axis on which it is contiguous: into rows of k,
  or into panels of a few rows for each k.

Packing is where elementwise producers of a factor are evaluated.

>>> panel_width(6, 16), panel_width(12, 8)  # vectors that hold 6 or 12 rows
((8, 8), (8, 16))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from picograd.codegen import loops
from picograd.codegen.contraction.axes import Contraction
from picograd.codegen.contraction.expressions import accesses, walk
from picograd.codegen.contraction.frame import Frame, inside, lane_index
from picograd.codegen.contraction.groups import Group, Values
from picograd.codegen.contraction.offsets import Offsets, separate, table
from picograd.codegen.contraction.tiles import LINE, Tiles, ceil_div, round_up
from picograd.codegen.contraction.transpose import transpose
from picograd.codegen.loops import Home, Statement
from picograd.codegen.target import Target
from picograd.dtypes import DType
from picograd.graph.index import Index, Var, constant, of
from picograd.graph.ops import Op
from picograd.schedule.kernel import Access, Compute, Expr

# With at most this many rows the right factor is read so rarely that packing costs as much.
FEW_ROWS = 16
# With at most this many it is packed only if it does not fit the second-level cache as it is.
SOME_ROWS = 32
# So many k ahead a factor is asked for that is packed k by k.
STEPS_AHEAD = 8
# Lines of the first-level cache that share one place, at least.
WAYS = 8
# Up to this depth a left factor that is strided along k stays in the first-level cache.
SHALLOW = 64
# A factor of at most this many parts is transposed in registers.
SHORT = 8


@dataclass(frozen=True, slots=True)
class Operand:
    """A factor as the register tile sees it.

    Packed: element (line, k) of panel p, where a line is a row or a column of the tile, is at
    `p * panel_step + line * line_step + k * depth_step`. In place: at `index`, a function of the
    groups' variables; what depends on k is added from the table `offsets`, if there is one.
    """

    memory: loops.Memory
    index: Index | None = None
    panel_step: int = 0
    line_step: int = 0
    depth_step: int = 0
    offsets: Offsets | None = None

    def position(self, panel: Index, line: Index, depth: Index) -> Index:
        """An element of a packed panel."""
        return panel * self.panel_step + line * self.line_step + depth * self.depth_step


def plain(expr: Expr, line: Group, depth: Group, dtype: DType) -> tuple[int, int] | None:
    """(line step, depth step) of a factor that is a whole buffer's elements, else None."""
    if not isinstance(expr, Access) or not expr.mask.always or expr.dtype is not dtype:
        return None
    steps = line.step(expr.index), depth.step(expr.index)
    return None if steps[0] is None or steps[1] is None else (steps[0], steps[1])


def is_converted(expr: Expr) -> bool:
    """Whether a factor is a buffer's elements in another dtype."""
    if not isinstance(expr, Compute) or expr.op is not Op.CAST:
        return False
    return isinstance(expr.args[0], Access) and expr.args[0].mask.always


def unit(expr: Expr, group: Group) -> int:
    """How many accesses have stride 1 along a group."""
    return sum(group.step(access.index) == 1 for access in accesses(expr))


def packs_right(found: Contraction, target: Target) -> bool:
    """Whether the right factor is packed."""
    steps = plain(found.right, found.columns, found.depth, found.accumulator)
    if steps is None or steps[0] != 1:
        return True
    columns, depth = found.columns.extent, found.depth.extent
    if found.rows.extent <= FEW_ROWS:
        return False
    span = max(steps[1], columns) * depth * found.accumulator.itemsize
    return span > (target.l2 if found.rows.extent <= SOME_ROWS else target.l2 // 2)


def packs_left(found: Contraction) -> bool:
    """Whether the left factor has to be packed, whatever the tile is."""
    steps = plain(found.left, found.rows, found.depth, found.accumulator)
    return steps is None or (abs(steps[1]) > 1 and found.depth.extent > SHALLOW)


def streams(found: Contraction, target: Target) -> bool:
    """Whether the right factor is so large, and the rows are so few, that reading it is what
    takes the time."""
    columns, depth = found.columns.extent, found.depth.extent
    if found.across:
        return False
    large = columns * depth * found.accumulator.itemsize > target.l2 // 2
    return large and found.rows.extent <= FEW_ROWS and not packs_right(found, target)


def collide(step: int, lines: int, target: Target) -> bool:
    """Whether lines that are `step` bytes apart displace each other in the first-level cache."""
    sets = max(1, target.l1 // (WAYS * LINE))
    places = [line * step // LINE % sets for line in range(lines)]
    return max(places.count(place) for place in places) > WAYS - 2


def right_operand(frame: Frame) -> Operand:
    """The right factor in place, or memory for the panels of one task."""
    found, tiles = frame.contraction, frame.tiles
    if tiles.along:
        count = min(tiles.width, found.columns.extent)
        return _lines_operand(frame, "right", found.right, found.columns, count)
    if not packs_right(found, frame.target):
        assert isinstance(found.right, Access)
        return Operand(frame.memories[found.right.buffer], found.right.index)
    depth = round_up(tiles.depth, tiles.lanes) if _transposes(found, tiles) else tiles.depth
    panel = depth * tiles.width
    size = tiles.part_columns * panel
    memory = frame.allocate("right", found.accumulator, size, Home.SCRATCH)
    return Operand(memory, None, panel, 1, tiles.width)


def left_operand(frame: Frame) -> Operand:
    """The left factor in place, or memory for the panels of one row block."""
    found, tiles = frame.contraction, frame.tiles
    if tiles.along:
        return _lines_operand(frame, "left", found.left, found.rows, tiles.height)
    steps = plain(found.left, found.rows, found.depth, found.accumulator)
    size = found.accumulator.itemsize
    near = steps is not None and not collide(steps[0] * size, tiles.height, frame.target)
    if near and not packs_left(found):
        assert isinstance(found.left, Access)
        return Operand(frame.memories[found.left.buffer], found.left.index)
    parts = separate(found, frame.memories) if found.across or steps is None else None
    if parts is not None:
        assert isinstance(found.left, Access)
        return Operand(frame.memories[found.left.buffer], parts[0], offsets=table(frame, parts[1]))
    if unit(found.left, found.rows) > unit(found.left, found.depth):
        line, depth = 1, panel_width(tiles.height, tiles.lanes)[1]
        panel = tiles.depth * depth + tiles.lanes  # panels begin at different places in a cache
    else:
        line, depth = round_up(tiles.depth, tiles.lanes) + tiles.lanes, 1
        panel = tiles.height * line
    memory = frame.allocate("left", found.accumulator, tiles.block_rows * panel, Home.SCRATCH)
    return Operand(memory, None, panel, line, depth)


def _lines_operand(frame: Frame, name: str, factor: Expr, lines: Group, count: int) -> Operand:
    """A factor that is read along k: in place where it is contiguous (and, if all of it is read
    by every tile, its lines stay apart in the cache), else copied."""
    found, lanes = frame.contraction, frame.tiles.along
    read = list(accesses(factor))
    near = len(read) == 1 and read[0].mask.always and found.depth.step(read[0].index) == 1
    if near and lines.extent <= count:
        step = lines.step(read[0].index) or 0
        near = not collide(step * read[0].dtype.itemsize, count, frame.target)
    if near:
        return Operand(frame.memories[read[0].buffer], read[0].index)
    line = round_up(found.depth.extent, lanes) + lanes
    blocks = ceil_div(lines.extent, count) if name == "left" else 1
    memory = frame.allocate(name, found.accumulator, blocks * count * line, Home.SCRATCH)
    return Operand(memory, None, count * line, line, 1)


def panel_width(height: int, lanes: int) -> tuple[int, int]:
    """(vector width, panel width) that hold one k of `height` rows."""
    narrow = 1
    while narrow < min(height, lanes):
        narrow *= 2
    return narrow, round_up(height, narrow)


@dataclass(frozen=True, slots=True)
class Panels:
    """The tiles whose panels are packed together: `tile` from `first` to `end`, what comes before
    a tile's panel is filled, the first line of the tile, and the number of its panel."""

    tile: Var
    first: Index
    end: Index
    before: tuple[Statement, ...]
    line: Index
    panel: Index

    def each(self, body: tuple[Statement, ...]) -> loops.For:
        """For every panel."""
        return loops.For(self.tile, self.first, self.end, self.before + body, independent=True)


def pack_right(frame: Frame, operand: Operand, panels: Panels) -> tuple[Statement, ...]:
    """Fill the panels of column tiles for the current depth block.

    A factor whose rows are contiguous is read row by row, through all panels: few pages and
    cache lines are open at a time.
    """
    found, tiles = frame.contraction, frame.tiles
    if tiles.along:
        count = min(tiles.width, found.columns.extent)

        def place(line: Index, depth: Index) -> Values:
            return frame.at(column=panels.line + line, depth=depth)

        lines = _pack_lines(frame, operand, found.right, count, panels.panel, place)
        return (panels.each(lines),)
    k, lane = Var("kp", 0, tiles.depth - 1), lane_index(tiles.lanes)
    named, depth = frame.depth_at(of(k))

    def store(offset: Index) -> tuple[Statement, ...]:
        column = panels.line + offset
        edge = inside(column, found.columns.extent)
        values = frame.at(column=column, depth=depth)
        body, value = frame.evaluate(found.right, values, edge, tiles.lanes)
        position = operand.position(panels.panel, offset, of(k))
        return (*body, loops.Store(operand.memory, position, value))

    if _along_depth(found):
        v = Var("vp", 0, tiles.vectors - 1)
        if _transposes(found, tiles):
            inner = _pack_block(frame, operand, panels.line, of(v), panels.panel)
        else:  # stay on the same cache lines
            inner = each(k, frame.length, named + store(of(v) * tiles.lanes + lane))
        return (panels.each((each(v, constant(tiles.vectors), (inner,)),)),)
    body: tuple[Statement, ...] = ()
    for v in range(tiles.vectors):
        body += store(lane + v * tiles.lanes)
    return (each(k, frame.length, (*named, panels.each(body))),)


def _along_depth(found: Contraction) -> bool:
    """True where neighbours of the right factor in memory are neighbours in k."""
    return unit(found.right, found.depth) > unit(found.right, found.columns)


def _transposes(found: Contraction, tiles: Tiles) -> bool:
    """Whether blocks of the right factor are read along k and transposed in registers: the
    factor's code appears once for every lane, so it must be short."""
    short = sum(1 for _ in walk(found.right)) <= SHORT
    return _along_depth(found) and tiles.lanes >= 4 and short


def _pack_block(frame: Frame, operand: Operand, first: Index, v: Index, panel: Index) -> loops.For:
    """One vector of columns in square blocks; the last block may reach beyond the depth block."""
    found, tiles = frame.contraction, frame.tiles
    lanes = tiles.lanes
    chunk = Var("kp", 0, ceil_div(tiles.depth, lanes) - 1)
    body, start = frame.depth_at(of(chunk) * lanes)
    depth = start + lane_index(lanes)
    rows: list[loops.Ref] = []
    for line in range(lanes):
        column = first + v * lanes + line
        edge = inside(column, found.columns.extent) & inside(depth, found.depth.extent)
        values = frame.at(column=column, depth=depth)
        statements, value = frame.evaluate(found.right, values, edge, lanes)
        body += (*statements, loops.Let(f"p{line}", value))
        rows.append(loops.Ref(f"p{line}", found.accumulator, lanes))
    mixed, columns = transpose(rows, "t")
    body += mixed
    for line, column in enumerate(columns):
        place = v * lanes + lane_index(lanes)
        position = operand.position(panel, place, of(chunk) * lanes + line)
        body += (loops.Store(operand.memory, position, column),)
    return each(chunk, (frame.length + (lanes - 1)) // lanes, body)


def pack_left(frame: Frame, operand: Operand, panels: Panels) -> tuple[Statement, ...]:
    """Fill the panels of row tiles for the current depth block."""
    if operand.line_step == 1:
        return _pack_columns(frame, operand, panels)
    return (panels.each(_pack_rows(frame, operand, panels.line, panels.panel)),)


def _pack_columns(frame: Frame, operand: Operand, panels: Panels) -> tuple[Statement, ...]:
    """For each k, one after the other, a vector of rows of each panel."""
    found, tiles = frame.contraction, frame.tiles
    lanes, width = panel_width(tiles.height, tiles.lanes)
    k = Var("ka", 0, tiles.depth - 1)
    named, depth = frame.depth_at(of(k))
    body: tuple[Statement, ...] = ()
    for start in range(0, width, lanes):
        offset = lane_index(lanes) + start
        edge = inside(offset, tiles.height)
        values = frame.at(row=panels.line + offset, depth=depth)
        statements, value = frame.evaluate(found.left, values, edge, lanes)
        position = operand.position(panels.panel, offset, of(k))
        body += (*statements, loops.Store(operand.memory, position, value))
    if isinstance(found.left, Access):  # every k is elsewhere: ask for those to come
        later = frame.at(row=panels.line, depth=frame.begin + of(k) + STEPS_AHEAD)
        index = found.left.index.substitute(later)
        body += (loops.Prefetch(frame.memories[found.left.buffer], index),)
    return (each(k, frame.length, (*named, panels.each(body))),)


def _pack_rows(frame: Frame, operand: Operand, row: Index, panel: Index) -> tuple[Statement, ...]:
    """For each row vectors along k; the last one may reach into the next depth block."""
    found = frame.contraction

    def place(line: Index, depth: Index) -> Values:
        return frame.at(row=row + line, depth=depth)

    return _pack_lines(frame, operand, found.left, frame.tiles.height, panel, place)


def _pack_lines(
    frame: Frame,
    operand: Operand,
    factor: Expr,
    count: int,
    panel: Index,
    place: Callable[[Index, Index], Values],
) -> tuple[Statement, ...]:
    """For each of some lines vectors along k; the last one may reach into the next depth block."""
    found, tiles = frame.contraction, frame.tiles
    lanes = tiles.along or tiles.lanes
    line = Var("ra", 0, count - 1)
    chunk = Var("ka", 0, ceil_div(tiles.depth, lanes) - 1)
    named, first = frame.depth_at(of(chunk) * lanes)
    depth = first + lane_index(lanes)
    edge = inside(depth, found.depth.extent)
    statements, value = frame.evaluate(factor, place(of(line), depth), edge, lanes)
    offset = of(chunk) * lanes + lane_index(lanes)
    store = loops.Store(operand.memory, operand.position(panel, of(line), offset), value)
    length = (frame.length + (lanes - 1)) // lanes
    inner = each(chunk, length, (*named, *statements, store))
    return (each(line, constant(count), (inner,)),)


def each(var: Var, end: Index, body: tuple[Statement, ...]) -> loops.For:
    """A loop from 0 whose iterations are independent."""
    return loops.For(var, constant(0), end, body, independent=True)
