"""Tiles of scores and results as sums of the threads of a GPU block: float32 and float64.

In: a `Scene`, steps, and the sides of a tile. Out: statements, and the values of a thread's
elements. Called by `block` and `tile`. 256 threads stand in 16 x 16; each has up to 4 x 4 elements
of a tile of scores, and as many lines of a result. Factors come through shared memory in slices of
16 along the sum, weights go there to be read by all threads that have the line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product as pairs

from picograd.codegen.contraction.frame import inside
from picograd.codegen.contraction.tiles import ceil_div, round_up
from picograd.codegen.loops import (
    Alu,
    Barrier,
    Carried,
    For,
    If,
    Kind,
    Load,
    MulAdd,
    Predicate,
    Ref,
    Statement,
    Store,
    Value,
)
from picograd.codegen.panels.analyse import Result, Scores
from picograd.codegen.panels.product import unit
from picograd.codegen.panels.scene import Elements, Place, Scene, Side, Statements, zero
from picograd.dtypes import DType
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.graph.ops import Op
from picograd.schedule.kernel import Access, Compute, Expr

ACROSS = 16  # threads along each side of a tile
THREADS = ACROSS * ACROSS
DEPTH = 16  # of a slice
TOGETHER = 4  # a thread's neighbouring lines or places: 16 bytes of float32
PAD = 4  # elements between rows of shared memory, against bank conflicts
Fetch = Callable[[Index, int], Load]  # a factor at a depth, for one of a thread's lines or places


class ThreadTiles:
    """Products of a block's lines with tiles of places. `wide` are the places of a thread."""

    distances = (1, 2, 4, 8)  # between the threads that share a line

    def __init__(self, scene: Scene, dtype: DType, height: int, width: int, axis: int) -> None:
        self.scene, self.dtype, self.height, self.width = scene, dtype, height, width
        self.high, self.wide = height // ACROSS, width // ACROSS
        self.axis = round_up(axis, ACROSS)  # of the widest result
        stage = DEPTH * max(height + width + 2 * PAD, self.axis + PAD)
        self.stage = scene.shared("stage", dtype, stage)
        self.weights = scene.shared("weights", dtype, width * (height + PAD))

    # --- a thread's elements --------------------------------------------------------------------

    def line(self, number: int) -> Index:
        """Where a thread's line is in the block."""
        return _own(number, self.scene.thread // ACROSS, self.high)

    def place(self, number: int) -> Index:
        """Where a thread's place is in the tile."""
        return _own(number, self.scene.thread % ACROSS, self.wide)

    def axis_count(self, extent: int) -> int:
        """How many positions of a result's axis a thread has."""
        return ceil_div(extent, ACROSS)

    def axis_together(self, extent: int) -> int:
        """How many of these are neighbours."""
        return _together(self.axis_count(extent))

    def axis_place(self, number: int, extent: int) -> Index:
        return _own(number, self.scene.thread % ACROSS, self.axis_count(extent))

    def power(
        self, parts: Sequence[Value], exponents: dict[Value, Value]
    ) -> tuple[Statements, Value]:
        """exp of a value, or of the difference of two."""
        (dtype,) = {part.dtype for part in parts}
        value = Alu(Op.SUB, tuple(parts), dtype) if len(parts) > 1 else parts[0]
        return (), Alu(Op.EXP, (value,), dtype)

    def inverse(self, value: Value) -> tuple[Statements, Value]:
        """One divided by a value."""
        return (), Alu(Op.RECIPROCAL, (value,), value.dtype)

    # --- products -------------------------------------------------------------------------------

    def open(self, scores: Sequence[Scores], lines: Side, across: bool) -> Statements:
        """What comes before all tiles."""
        return ()

    def first(
        self, scores: Sequence[Scores], results: Sequence[Result], places: Var, begin: Index
    ) -> Statements:
        """What comes before a round's tiles."""
        return ()

    def begin(
        self,
        scores: Sequence[Scores],
        results: Sequence[Result],
        places: Var,
        tile: Index,
        end: Index,
    ) -> Statements:
        """What comes before the products of a tile."""
        return ()

    def scores(
        self, step: Scores, lines: Side, places: Side, across: bool
    ) -> tuple[Statements, Elements]:
        """A tile of scores."""
        left, right = (step.right, step.left) if across else (step.left, step.right)
        extent = step.depth.high + 1
        turn = Var(self.scene.names.fresh("slice"), 0, ceil_div(extent, DEPTH) - 1)
        start = of(turn) * DEPTH
        upper, lower = self.height + PAD, self.width + PAD
        fill = (
            *self._fill(ZERO, self.height, lines, left, step.depth, start, extent),
            *self._fill(
                constant(DEPTH * upper), self.width, places, right, step.depth, start, extent
            ),
        )

        def x(k: Index, i: int) -> Load:
            return Load(self.stage, k * upper + self.line(i))

        def y(k: Index, j: int) -> Load:
            return Load(self.stage, k * lower + self.place(j) + DEPTH * upper)

        own = pairs(range(self.high), range(self.wide))
        return self._sum(turn, fill, x, y, {place: zero(self.dtype) for place in own})

    def product(
        self, step: Result, weights: Elements, sums: Elements, places: Side, across: bool
    ) -> tuple[Statements, Elements]:
        """Sums of a result with the products of a tile."""
        upper = self.height + PAD
        body: list[Statement] = [Barrier()]
        for (i, j), value in weights.items():
            body.append(Store(self.weights, self.place(j) * upper + self.line(i), value))
        extent = step.axis.high + 1
        count, pitch = self.axis_count(extent) * ACROSS, round_up(extent, ACROSS) + PAD
        turn = Var(self.scene.names.fresh("slice"), 0, self.width // DEPTH - 1)
        start = places.start + of(turn) * DEPTH
        axis = Side(step.axis, ZERO)
        fill = self._fill(ZERO, count, axis, step.values, places.var, start, places.extent)

        def x(k: Index, i: int) -> Load:
            return Load(self.weights, (of(turn) * DEPTH + k) * upper + self.line(i))

        def y(k: Index, j: int) -> Load:
            return Load(self.stage, k * pitch + self.axis_place(j, extent))

        statements, made = self._sum(turn, fill, x, y, sums)
        return (*body, *statements), made

    def _sum(
        self, turn: Var, fill: Statements, x: Fetch, y: Fetch, sums: Elements
    ) -> tuple[Statements, Elements]:
        """Sums with the products of all slices."""
        stem = self.scene.names.fresh("sum")
        k = Var(self.scene.names.fresh("k"), 0, DEPTH - 1)
        lets: list[Statement] = []
        factors: dict[tuple[str, int], Value] = {}
        high, wide = (1 + max(place[side] for place in sums) for side in (0, 1))
        for letter, load, count in (("x", x, high), ("y", y, wide)):
            for number in range(count):
                let, factors[letter, number] = self.scene.let(letter, load(of(k), number))
                lets.append(let)
        inner: list[Carried] = []
        outer: list[Carried] = []
        result: dict[Place, Value] = {}
        for (i, j), start in sums.items():
            whole, part = f"{stem}_{i}_{j}", f"{stem}p_{i}_{j}"
            before = Ref(part, self.dtype)
            after = MulAdd(factors["x", i], factors["y", j], before, self.dtype)
            inner.append(Carried(part, self.dtype, Ref(whole, self.dtype), after))
            outer.append(Carried(whole, self.dtype, start, before))
            result[i, j] = Ref(whole, self.dtype)
        products = For(
            k, ZERO, constant(DEPTH), tuple(lets), kind=Kind.UNROLL, carried=tuple(inner)
        )
        body = (Barrier(), *fill, Barrier(), products)
        return (For(turn, ZERO, constant(turn.high + 1), body, carried=tuple(outer)),), result

    # --- shared memory --------------------------------------------------------------------------

    def _fill(
        self,
        base: Index,
        count: int,
        side: Side,
        expr: Expr,
        depth: Var,
        start: Index,
        extent: int,
    ) -> Statements:
        """A slice of a factor: `count` lines of 16, zeros beyond its edges."""
        body: list[Statement] = []
        total = count * DEPTH
        along = unit(expr, depth) > unit(expr, side.var)
        for number in range(ceil_div(total, THREADS)):
            point = self.scene.thread + number * THREADS
            line, k = (point // DEPTH, point % DEPTH) if along else (point % count, point // count)
            also, position = self.scene.name("line", side.start + line)
            named, at = self.scene.name("depth", start + k)
            edge = side.edge(position) & inside(at, extent)
            statements, value = self.scene.evaluate(expr, {side.var: position, depth: at}, edge)
            if not edge.always and not is_read(expr):
                value = Alu(Op.WHERE, (Predicate(edge), value, zero(self.dtype)), self.dtype)
            store = Store(self.stage, base + k * (count + PAD) + line, value)
            moved: Statements = (also, named, *statements, store)
            mask = inside(point, total)
            body += moved if mask.always else (If(mask, moved),)
        return tuple(body)


def _own(number: int, thread: Index, count: int) -> Index:
    """The line that is number `number` of `count` of a thread: up to four neighbours, then the
    next ones where all threads have had theirs."""
    together = _together(count)
    return constant(number // together * (ACROSS * together) + number % together) + (
        thread * together
    )


def _together(count: int) -> int:
    return next(size for size in (TOGETHER, 2, 1) if count % size == 0)


def is_read(expr: Expr) -> bool:
    """Whether an expression is an element as it is, which is zero where it is not read."""
    while isinstance(expr, Compute) and expr.op is Op.CAST:
        (expr,) = expr.args
    return isinstance(expr, Access)
