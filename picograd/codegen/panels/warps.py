"""Tiles of scores and results on a GPU's tensor cores: float16 and bfloat16, summed in float32.

In: a `Scene`, steps, and the sides of a tile. Out: statements, and the values of a thread's
elements. Called by `block` and `tile`, as `threads` is. Four warps have 16 or 32 lines each.
Factors of the places lie in shared memory place by place, two neighbours along the depth a word,
and the same tile serves as a factor of scores and, turned on its way into registers, as values of a
result. The next tile is copied while one is used. Weights never leave their thread: what it has of
a product is what it needs of the next one's left factor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from picograd.codegen.contraction.expressions import rewrite
from picograd.codegen.contraction.frame import inside
from picograd.codegen.contraction.groups import Group
from picograd.codegen.contraction.staging import BYTES, Factor, copied
from picograd.codegen.contraction.tiles import round_up
from picograd.codegen.loops import (
    Address,
    Alu,
    Barrier,
    Call,
    If,
    Literal,
    Load,
    Memory,
    MulAdd,
    Predicate,
    Statement,
    Store,
    Value,
)
from picograd.codegen.panels.analyse import Result, Scores
from picograd.codegen.panels.scene import Elements, Scene, Side, Statements, zero
from picograd.dtypes import DType, bfloat16, float16, float32, uint16, uint32
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Op
from picograd.schedule.kernel import Access, Compute, Expr

THREADS = 128
WARPS = 4
HIGH, WIDE, STEP = 16, 8, 16  # lines, places and depth of one product of 16-bit floats
SLOTS = 2  # tiles of a factor in shared memory
DEPTH = Var("depth", 0, 0)
NAMES = {float16: "half", bfloat16: "bfloat", float32: "tf32"}
LOG2_E = math.log2(math.e)


class WarpTiles:
    """Products of a block's lines with tiles of places. `tall` products of a warp lie one above
    the other; `held`: whether the lines' factors stay in registers."""

    distances = (1, 2)  # between the threads that share a line
    packed, step = 2, STEP  # elements of a word, and along the depth of a product

    def __init__(
        self, scene: Scene, kind: DType, tall: int, width: int, held: bool, across: bool
    ) -> None:
        self.scene, self.kind, self.tall, self.width, self.held = scene, kind, tall, width, held
        self.across = across
        self.height, self.high, self.wide = WARPS * HIGH * tall, 2 * tall, width // 4
        self.name = NAMES[kind]
        self.factors: dict[Expr, Factor] = {}  # of the places
        self.lefts: dict[str, tuple[Factor, Memory | None]] = {}  # of the lines, by step
        self.powers = scene.registers("powers", float32, 1)
        self.loaded: set[Memory] = set()
        self.warp, self.lane = scene.thread // 32, scene.thread % 32
        products = width // WIDE
        self.tile_sums = self.scene.registers("tile_sums", float32, tall * products * 4)
        self.words = self.scene.registers("words", uint32, tall * width // self.step * 4)
        self.left_words = self.scene.registers("left_words", uint32, tall * 4)
        self.right_words = self.scene.registers("right_words", uint32, 4)

    # --- a thread's elements --------------------------------------------------------------------

    def line(self, number: int) -> Index:
        """Where a thread's line is in the block."""
        below = number // 2 * HIGH + number % 2 * 8
        return self.warp * (HIGH * self.tall) + self.lane // 4 + below

    def place(self, number: int) -> Index:
        """Where a thread's place is in the tile."""
        return self.lane % 4 * 2 + (number // 2 * WIDE + number % 2)

    def axis_count(self, extent: int) -> int:
        """How many positions of a result's axis a thread has."""
        return round_up(extent, STEP) // 4

    def axis_together(self, extent: int) -> int:
        """How many of these are neighbours."""
        return 2

    def axis_place(self, number: int, extent: int) -> Index:
        return self.place(number)

    def power(
        self, parts: Sequence[Value], exponents: dict[Value, Value]
    ) -> tuple[Statements, Value]:
        """exp of a value, or of the difference of two, which will be rounded to 16 bits. What is
        subtracted, the same for many, is among the `exponents` of two."""
        value, dtype = parts[0], parts[0].dtype
        if dtype is not float32:
            value = Alu(Op.SUB, tuple(parts), dtype) if len(parts) > 1 else value
            return (), Alu(Op.EXP, (value,), dtype)
        body: list[Statement] = []
        for base in parts[1:]:
            if base not in exponents:
                scaled = Alu(Op.MUL, (base, Literal.of(-LOG2_E, float32)), float32)
                let, exponents[base] = self.scene.let("exponent", scaled)
                body.append(let)
        factor = Literal.of(LOG2_E, float32)
        if len(parts) > 1:
            value = MulAdd(value, factor, exponents[parts[1]], float32)
        else:
            value = Alu(Op.MUL, (value, factor), float32)
        let, power = self.scene.let("power", Load(self.powers, ZERO))
        return (*body, Call("pg_power", (Address(self.powers, ZERO), value)), let), power

    def inverse(self, value: Value) -> tuple[Statements, Value]:
        """One divided by a value, of which 16 bits will be left."""
        let, inverse = self.scene.let("inverse", Load(self.powers, ZERO))
        return (Call("pg_inverse", (Address(self.powers, ZERO), value)), let), inverse

    # --- factors in shared memory ---------------------------------------------------------------

    def open(self, scores: Sequence[Scores], lines: Side, across: bool) -> Statements:
        """Begin to move the lines' factors."""
        body: list[Statement] = []
        for step in scores:
            expr, depth = (step.right if across else step.left), step.depth
            factor = self._factor(f"left_{step.target}", expr, lines, depth, self.height, 1)
            words = self.tall * factor.depth // self.step * 4
            held = self.scene.registers(f"held_{step.target}", uint32, words) if self.held else None
            self.lefts[step.target] = factor, held
            body += self._move(factor, lines, ZERO)
        return tuple(body)

    def first(
        self, scores: Sequence[Scores], results: Sequence[Result], places: Var, begin: Index
    ) -> Statements:
        """What comes before a round's tiles: the first one is moved; the lines' are there."""
        body: list[Statement] = [Call("pg_copies_wait<0>"), Barrier()]
        body += self._tile(scores, results, places, begin)
        body += [Call("pg_copies_wait<0>"), Barrier()]
        for step in scores:
            factor, held = self.lefts[step.target]
            if held is not None and held not in self.loaded:
                self.loaded.add(held)
                for number in range(held.size // (4 * self.tall)):
                    body += self._left(factor, held, number * self.tall * 4, number)
        return tuple(body)

    def begin(
        self,
        scores: Sequence[Scores],
        results: Sequence[Result],
        places: Var,
        tile: Index,
        end: Index,
    ) -> Statements:
        """What comes before the products of a tile: it has arrived, and the next one is moved."""
        following = self._tile(scores, results, places, tile + 1)
        more = If(Mask().require(end - 2 - tile), following)
        return (Call("pg_copies_wait<0>"), Barrier(), more)

    def _tile(
        self, scores: Sequence[Scores], results: Sequence[Result], places: Var, tile: Index
    ) -> Statements:
        """Begin to move a tile of all factors of the places."""
        body: list[Statement] = []
        side = Side(places, tile * self.width)
        sources = [(self._right_of(step), step.depth) for step in scores]
        sources += [(step.values, step.axis) for step in results]
        done: set[Expr] = set()
        for expr, depth in sources:
            factor = self._right(expr, places, depth)
            if factor.expr not in done:
                done.add(factor.expr)
                body += self._move(factor, side, tile % SLOTS)
        return (*body, Call("pg_copies_end"))

    def _right_of(self, step: Scores) -> Expr:
        return step.left if self.across else step.right

    def _right(self, expr: Expr, places: Var, depth: Var) -> Factor:
        """A factor of the places; two uses of one memory share it."""
        common, expr = common_depth(expr, depth)
        found = self.factors.get(expr)
        if found is None:
            name = f"right{len(self.factors)}_"
            side = Side(places, ZERO)
            found = self._factor(name, expr, side, common, self.width, SLOTS)
            self.factors[expr] = found
        return found

    def _factor(
        self, name: str, expr: Expr, side: Side, depth: Var, lines: int, slots: int
    ) -> Factor:
        """`lines` of a factor in shared memory, `slots` times."""
        source = self._source(expr)
        extent = round_up(depth.high + 1, STEP)
        groups = _group(depth), _group(side.var)
        grain = BYTES // self.kind.itemsize
        copies = copied(source, *groups, grain)
        if not copies:
            grain, copies = self.packed, self.packed == 1 and copied(source, *groups, 1)
        return Factor(
            name=name,
            expr=source if copies else expr,
            group=groups[0],
            lines=lines,
            depth=extent,
            start=ZERO,
            memory=self.scene.shared(name, uint32, slots * lines * extent // self.packed),
            along_depth=True,
            lines_inner=False,
            pitch=extent // self.packed,
            rotation=1,
            packed=self.packed,
            grain=grain,
            copies=copies,
            threads=THREADS,
        )

    def _source(self, expr: Expr) -> Expr:
        """What is multiplied, of a factor."""
        source = narrow(expr)
        assert source is not None
        return source

    def _move(self, factor: Factor, side: Side, slot: Index) -> Statements:
        """Begin to move lines of a factor, from the start of a side, to shared memory."""
        scene, body = self.scene, list[Statement]()
        depth = factor.group.axes[0]
        for number in range(factor.count):
            line, k, own = factor.place(scene.thread, number)
            named, position = scene.name("line", side.start + line)
            also, at = scene.name("depth", k)
            values = {side.var: position, depth: at}
            edge = side.edge(position) & inside(at, depth.high + 1)
            target = factor.position(slot, line, k)
            moved = (named, also, *self._element(factor, values, edge, target))
            body += moved if own.always else (If(own, moved),)
        return tuple(body)

    def _element(
        self, factor: Factor, values: dict[Var, Index], edge: Mask, target: Index
    ) -> Statements:
        """One copy, or one word that is evaluated."""
        scene = self.scene
        if factor.copies:
            assert isinstance(factor.expr, Access)
            access = factor.expr
            at = {**scene.batch, **values}
            source = Address(scene.memories[access.buffer], access.index.substitute(at))
            read = Predicate(access.mask.substitute(at) & edge)
            helper = f"pg_copy{factor.grain * access.dtype.itemsize}"
            return (Call(helper, (Address(factor.memory, target), source, read)),)
        return self._word(factor, values, edge, target)

    def _word(
        self, factor: Factor, values: dict[Var, Index], edge: Mask, target: Index
    ) -> Statements:
        """Two neighbours."""
        scene, source = self.scene, self._source(factor.expr)
        depth, body, halves = factor.group.axes[0], list[Statement](), list[Value]()
        for offset in (0, 1):
            point = values | {depth: values[depth] + offset}
            here = edge & inside(point[depth], depth.high + 1)
            statements, value = scene.evaluate(source, point, here)
            raw: Value = Alu(Op.BITCAST, (value,), uint16)
            if not here.always:
                raw = Alu(Op.WHERE, (Predicate(here), raw, Literal.of(0, uint16)), uint16)
            body += statements
            halves.append(Alu(Op.CAST, (raw,), uint32))
        high = Alu(Op.SHL, (halves[1], Literal.of(16, uint32)), uint32)
        word = Alu(Op.OR, (halves[0], high), uint32)
        return (*body, Store(factor.memory, target, word))

    # --- products -------------------------------------------------------------------------------

    def scores(
        self, step: Scores, lines: Side, places: Side, across: bool
    ) -> tuple[Statements, Elements]:
        """A tile of scores."""
        sums, products = self.tile_sums, self.width // WIDE
        body: list[Statement] = [
            Store(sums, constant(number), zero(float32)) for number in range(sums.size)
        ]
        left, held = self.lefts[step.target]
        right = self._right(self._right_of(step), places.var, step.depth)
        slot = places.start // self.width % SLOTS
        lane = self.lane
        for number in range(right.depth // self.step):
            words, base = held, number * self.tall * 4
            if words is None:
                words, base = self.left_words, 0
                body += self._left(left, words, 0, number)
            for pair in range(0, products, 2):
                row = lane // 16 * 8 + lane % 8 + pair * WIDE
                k = lane // 8 % 2 * (self.step // 2) + number * self.step
                body.append(self._matrix("matrix", right, self.right_words, 0, slot, row, k))
                body += self.rounded(self.right_words, 0)
                body += self._multiply(sums, products, words, base, pair)
        return self._named(sums, products, tuple(body))

    def product(
        self, step: Result, weights: Elements, sums: Elements, places: Side, across: bool
    ) -> tuple[Statements, Elements]:
        """Sums of a result with the products of a tile."""
        extent = round_up(step.axis.high + 1, STEP)
        products = extent // WIDE
        total = self.scene.registers(f"total_{step.target}_", float32, self.tall * products * 4)
        body: list[Statement] = []
        for (i, j), value in sums.items():
            body.append(Store(total, self._at(i, j, products), value))
        values = self._right(step.values, places.var, step.axis)
        slot = places.start // self.width % SLOTS
        for number in range(self.width // self.step):
            body += self.weights(weights, number)
            for pair in range(0, products, 2):
                body += self.values(values, slot, number, pair)
                body += self._multiply(total, products, self.words, number * self.tall * 4, pair)
        return self._named(total, products, tuple(body))

    def weights(self, weights: Elements, number: int) -> list[Statement]:
        """The words of the weights of one step: where they are, they are needed."""
        body: list[Statement] = []
        for i in range(self.high):
            for half in (0, 1):
                j = number * 4 + half * 2
                at = (number * self.tall + i // 2) * 4 + half * 2 + i % 2
                word = Address(self.words, constant(at))
                body.append(Call(f"pg_pack_{self.name}", (word, weights[i, j], weights[i, j + 1])))
        return body

    def values(self, values: Factor, slot: Index, number: int, pair: int) -> list[Statement]:
        """The words of the values of one step, for two products."""
        place = self.lane % 16 + number * STEP
        at = self.lane // 16 * 8 + pair * WIDE
        return [self._matrix("turned", values, self.right_words, 0, slot, place, at)]

    def _left(self, factor: Factor, words: Memory, at: int, number: int) -> list[Statement]:
        """The lines' words of one step of the depth."""
        body: list[Statement] = []
        for tall in range(self.tall):
            row = self.warp * (HIGH * self.tall) + tall * HIGH + self.lane % 16
            k = self.lane // 16 * (self.step // 2) + number * self.step
            body.append(self._matrix("matrix", factor, words, at + tall * 4, ZERO, row, k))
            body += self.rounded(words, at + tall * 4)
        return body

    def rounded(self, words: Memory, at: int) -> list[Statement]:
        """Four words as they are multiplied."""
        return []

    @staticmethod
    def _matrix(
        helper: str, factor: Factor, words: Memory, at: int, slot: Index, row: Index, k: Index
    ) -> Statement:
        place = Address(factor.memory, factor.position(slot, row, k))
        return Call(f"pg_load_{helper}", (Address(words, constant(at)), place))

    def _multiply(
        self, sums: Memory, products: int, words: Memory, base: int, pair: int
    ) -> list[Statement]:
        """Two neighbouring products of each row of a warp's."""
        body: list[Statement] = []
        for j in (0, 1):
            right = Address(self.right_words, constant(j * 2))
            for tall in range(self.tall):
                total = Address(sums, constant((tall * products + pair + j) * 4))
                left = Address(words, constant(base + tall * 4))
                body.append(Call(f"pg_multiply_{self.name}", (total, left, right)))
        return body

    @staticmethod
    def _at(i: int, j: int, products: int) -> Index:
        """Where an element of a thread is among its sums."""
        return constant((i // 2 * products + j // 2) * 4 + i % 2 * 2 + j % 2)

    def _named(self, sums: Memory, products: int, body: Statements) -> tuple[Statements, Elements]:
        """Names for a thread's sums."""
        made: Elements = {}
        named: list[Statement] = []
        for i in range(self.high):
            for j in range(products * 2):
                let, made[i, j] = self.scene.let("sum", Load(sums, self._at(i, j, products)))
                named.append(let)
        return (*body, *named), made


def _group(var: Var) -> Group:
    """A variable as a group of one axis."""
    return Group(var, replace(var, name=f"{var.name}.top"), (var,))


def common_depth(expr: Expr, depth: Var) -> tuple[Var, Expr]:
    """A factor of scores, or values, with one name for its depth or axis."""
    common = replace(DEPTH, high=depth.high)
    return common, rewrite(expr, lambda index: index.substitute({depth: of(common)}))


def narrow(factor: Expr) -> Expr | None:
    """The 16-bit float that a factor widens."""
    if isinstance(factor, Compute) and factor.op is Op.CAST:
        (source,) = factor.args
        if source.dtype.is_float and source.dtype.itemsize == 2:
            return source
    return None
