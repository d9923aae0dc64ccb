"""Factors in packed form, and the register tile that multiplies them.

In: a `Nest`. Out: statements that fill a packed factor, or that add one tile of products to a grid
of sums. Called by `lower`.

A packed factor lies in strips of `width` lines (columns of scores, or axis positions of a result):
element (depth, line) is at `strip * depths * width + depth * width + line % width`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from picograd.codegen import loops
from picograd.codegen.contraction.expressions import accesses, walk
from picograd.codegen.contraction.frame import inside, lane_index
from picograd.codegen.contraction.tiles import ceil_div, round_up
from picograd.codegen.contraction.transpose import transpose
from picograd.codegen.loops import Statement, Value
from picograd.codegen.panels.nest import Grid, Nest, each
from picograd.dtypes import DType
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.schedule.kernel import Access, Expr

# A factor of at most this many parts is transposed in registers.
SHORT = 8


@dataclass(frozen=True, slots=True)
class Shape:
    """A register tile: `height` rows of `vectors` vectors."""

    height: int
    vectors: int
    lanes: int

    @property
    def width(self) -> int:
        return self.vectors * self.lanes


@dataclass(frozen=True, slots=True)
class Strips:
    """A factor that varies with a line and a depth: packed, or in place (`index`)."""

    memory: loops.Memory
    depths: int
    width: int
    index: Index | None = None
    line: Var | None = None
    depth: Var | None = None

    def at(self, nest: Nest, strip: Index, place: Index, depth: Index) -> Index:
        """Where an element of a strip is."""
        if self.index is None:
            return strip * (self.depths * self.width) + depth * self.width + place
        assert self.line is not None and self.depth is not None
        values = {self.line: strip * self.width + place, self.depth: depth}
        return nest.index(self.index).substitute(values)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor to pack: its expression, the variables of line and depth, and their extents. Line
    and depth are counted from `first_depth`."""

    expr: Expr
    line: Var
    depth: Var
    dtype: DType

    @property
    def lines(self) -> int:
        return self.line.high + 1


def unit(expr: Expr, var: Var) -> int:
    """How many loads have stride 1 along a variable."""
    return sum(a.index.is_affine_in(var) and a.index.coefficient(var) == 1 for a in accesses(expr))


def in_place(nest: Nest, factor: Factor, shape: Shape) -> Strips | None:
    """The factor where it is, when it is a whole matrix whose rows are contiguous."""
    expr, line, depth = factor.expr, factor.line, factor.depth
    if not isinstance(expr, Access) or not expr.mask.always or expr.dtype is not factor.dtype:
        return None
    if not expr.index.is_affine_in(line) or not expr.index.is_affine_in(depth):
        return None
    steps = expr.index.coefficient(line), expr.index.coefficient(depth)
    if steps != (1, factor.lines) or factor.lines % shape.width:
        return None
    memory = nest.memories[expr.buffer]
    return Strips(memory, depth.high + 1, shape.width, expr.index, line, depth)


def pack(
    nest: Nest, factor: Factor, strips: Strips, first: Index, count: Index, limit: int
) -> tuple[Statement, ...]:
    """Fill all strips with `count` depths from `first`; `limit` is the number of depths in all."""
    lanes = nest.lanes
    strip = nest.variable("strip", ceil_div(factor.lines, strips.width))
    vectors = strips.width // lanes
    along = unit(factor.expr, factor.depth) > unit(factor.expr, factor.line)
    if along and lanes >= 4 and sum(1 for _ in walk(factor.expr)) <= SHORT:
        v = nest.variable("v", vectors)
        inner = _transposed(nest, factor, strips, (of(strip), of(v) * lanes), first, count, limit)
        body: tuple[Statement, ...] = (each(v, ZERO, constant(vectors), inner),)
    else:
        k = nest.variable("kp", strips.depths)
        copies, depth = nest.limited("depth", first + of(k), 0, limit - 1)
        for v in range(vectors):
            place = lane_index(lanes) + v * lanes
            line = of(strip) * strips.width + place
            edge = inside(line, factor.lines)
            values = {factor.line: line, factor.depth: depth}
            statements, value = nest.evaluate(factor.expr, values, edge)
            store = loops.Store(strips.memory, strips.at(nest, of(strip), place, of(k)), value)
            copies += (*statements, store)
        body = (each(k, ZERO, count, copies),)
    return (each(strip, ZERO, constant(strip.high + 1), body),)


def _transposed(
    nest: Nest,
    factor: Factor,
    strips: Strips,
    place: tuple[Index, Index],
    first: Index,
    count: Index,
    limit: int,
) -> tuple[Statement, ...]:
    """One vector of lines in square blocks that are read along the depth."""
    lanes, (strip, column) = nest.lanes, place
    chunk = nest.variable("chunk", ceil_div(strips.depths, lanes))
    depth = first + of(chunk) * lanes + lane_index(lanes)
    stem = nest.names.fresh("p")
    body: tuple[Statement, ...] = ()
    rows: list[loops.Ref] = []
    for number in range(lanes):
        line = strip * strips.width + column + number
        edge = inside(line, factor.lines) & inside(depth, limit)
        values = {factor.line: line, factor.depth: depth}
        statements, value = nest.evaluate(factor.expr, values, edge)
        body += (*statements, loops.Let(f"{stem}_{number}", value))
        rows.append(loops.Ref(f"{stem}_{number}", factor.dtype, lanes))
    mixed, columns = transpose(rows, f"{stem}t")
    body += mixed
    for number, vector in enumerate(columns):
        target = strips.at(nest, strip, column + lane_index(lanes), of(chunk) * lanes + number)
        body += (loops.Store(strips.memory, target, vector),)
    return (each(chunk, ZERO, (count + (lanes - 1)) // lanes, body),)


def room(factor: Factor, depths: int, width: int, lanes: int) -> int:
    """Elements of a packed factor; blocks may reach beyond the last depth."""
    return ceil_div(factor.lines, width) * width * round_up(depths, lanes)


@dataclass(frozen=True, slots=True)
class Operands:
    """What a register tile reads and writes, by row or vector of the tile and depth."""

    left: Callable[[int, Index], loops.Load]
    right: Callable[[int, Index], loops.Load]
    sums: Callable[[int, int], tuple[loops.Memory, Index]]


def multiply(
    nest: Nest,
    shape: Shape,
    operands: Operands,
    dtype: DType,
    span: tuple[Index, Index, int],
    adds: bool,
) -> tuple[Statement, ...]:
    """One tile of sums of products over the depths in `span` (begin, end, number of depths in
    all), added to what is there or in its place."""
    lanes, stem = shape.lanes, nest.names.fresh("c")
    begin, end, depths = span
    k = nest.variable("k", depths)
    body: list[Statement] = []
    for v in range(shape.vectors):
        body.append(loops.Let(f"{stem}y{v}", operands.right(v, of(k))))
    for r in range(shape.height):
        load = operands.left(r, of(k))
        body.append(loops.Let(f"{stem}x{r}", loops.Broadcast(load, lanes)))
    carried: list[loops.Carried] = []
    stores: list[Statement] = []
    for r in range(shape.height):
        for v in range(shape.vectors):
            name = f"{stem}_{r}_{v}"
            memory, position = operands.sums(r, v)
            start = loops.Literal.of(0.0 if dtype.is_float else 0, dtype)
            init: Value = loops.Literal(start.value, dtype, start.key, lanes)
            if adds:
                init = loops.Load(memory, position, lanes)
            sums = loops.Ref(name, dtype, lanes)
            left = loops.Ref(f"{stem}x{r}", dtype, lanes)
            right = loops.Ref(f"{stem}y{v}", dtype, lanes)
            product = loops.MulAdd(left, right, sums, dtype, lanes)
            carried.append(loops.Carried(name, dtype, init, product, lanes))
            stores.append(loops.Store(memory, position, sums))
    return (loops.For(k, begin, end, tuple(body), carried=tuple(carried)), *stores)


def vector_fill(nest: Nest, grid: Grid, size: int, lanes: int) -> tuple[Statement, ...]:
    """Zeros in the first `size` elements, a multiple of the lanes."""
    v, memory = nest.variable("z", size // lanes), grid.memory
    zero = loops.Literal.of(0.0 if memory.dtype.is_float else 0, memory.dtype)
    value = loops.Literal(zero.value, memory.dtype, zero.key, lanes)
    store = loops.Store(memory, grid.base + of(v) * lanes + lane_index(lanes), value)
    return (each(v, ZERO, constant(size // lanes), (store,)),)
