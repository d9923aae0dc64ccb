"""Lower a contraction to a GPU's tensor cores, warp by warp (PTX: mma.sync).

In: a CONTRACTION kernel. Out: a loop IR function like that of `contraction.thread_tiles`, or None
when its factors are not both float16 or both bfloat16 (or float32, where the program allows
TensorFloat32), or it is too small. `codegen.cuda.render` calls it. The block's four warps stand
2 x 2; each computes a quarter of the tile as products of 16 x 8 results.

Shared memory holds words: two neighbouring 16-bit floats, or one float32. A factor that is
contiguous along k lies there line by line; `pg_load_matrix` gives a warp its fragments. One that is
contiguous along lines lies k by k: 16-bit matrices are turned on the way into registers, and
float32 is read word by word.

Sums are float32; a tensor core adds the products of a step in an order of its own.

>>> from picograd.dtypes import float16
>>> KINDS[float16]
('half', 16)
"""

from __future__ import annotations

from picograd.codegen.contraction.axes import Contraction, Group, analyse
from picograd.codegen.contraction.grid import (
    LARGEST,
    LEAST,
    Grid,
    Shape,
    Statements,
    choose_tile,
    extents,
)
from picograd.codegen.contraction.groups import Values
from picograd.codegen.contraction.packing import unit
from picograd.codegen.contraction.staging import BYTES, Factor, copied
from picograd.codegen.loops import (
    Address,
    Alu,
    Call,
    Function,
    Home,
    Literal,
    Load,
    Memory,
    Predicate,
    Statement,
    Store,
    Value,
)
from picograd.codegen.target import SCALAR
from picograd.dtypes import DType, bfloat16, float16, float32, uint16, uint32
from picograd.graph.index import Index, constant, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Op
from picograd.schedule.kernel import Access, Compute, Expr, Kernel

THREADS = 128
WARPS = 2  # along each side of a tile
SMALLEST = 32
WORDS = 16  # of k in a depth tile
STEP = 8  # words of k in one product
HIGH, WIDE = 16, 8  # results of one product
RESULT_PAD = 8

# The dtype of the factors: the name of its products, and their k.
KINDS: dict[DType, tuple[str, int]] = {
    float16: ("half", 16),
    bfloat16: ("bfloat", 16),
    float32: ("tf32", 8),
}


def lower_to_tensor_cores(kernel: Kernel) -> Function | None:
    """The function of a kernel whose contraction tensor cores can do."""
    found = analyse(kernel, SCALAR)
    if found is None or found.accumulator is not float32 or min(extents(found)) < LEAST:
        return None
    factors = narrow_factors(found)
    if factors is None:
        return None
    return _WarpTiles(kernel, found, factors, choose_tile(found, SMALLEST, LARGEST)).function()


def narrow_factors(found: Contraction) -> tuple[Expr, Expr] | None:
    """The 16-bit floats that both factors widen, of one dtype; or the factors, where they may be
    rounded."""
    left, right = _narrow(found.left), _narrow(found.right)
    if left is not None and right is not None and left.dtype is right.dtype:
        return left, right
    return (found.left, found.right) if found.coarse else None


def _narrow(factor: Expr) -> Expr | None:
    if isinstance(factor, Compute) and factor.op is Op.CAST:
        (source,) = factor.args
        if source.dtype in (float16, bfloat16):
            return source
    return None


class _WarpTiles(Grid):
    """Builds the loops of one kernel."""

    threads = finishers = THREADS
    stages = 3

    def __init__(
        self, kernel: Kernel, found: Contraction, factors: tuple[Expr, Expr], shape: Shape
    ) -> None:
        self.factors: dict[str, Expr] = dict(zip(("left", "right"), factors, strict=True))
        self.kind = factors[0].dtype
        self.packed = 4 // self.kind.itemsize
        self.depth = WORDS * self.packed
        super().__init__(kernel, found, shape)
        # Products of one warp.
        self.high, self.wide = self.rows // (WARPS * HIGH), self.columns // (WARPS * WIDE)
        self.sums = _registers("sums", float32, self.high * self.wide * 4)
        self.lefts = _registers("lefts", uint32, self.high * 4)
        self.rights = _registers("rights", uint32, self.wide * 2)
        self.registers = (self.sums, self.lefts, self.rights)
        self.rounds, self.results_pitch = self.high, self.columns + RESULT_PAD
        self.round_rows, self.round_columns = WARPS * HIGH, self.columns
        self.results = self.share("results", float32, WARPS * HIGH * self.results_pitch, 0)
        warp, self.lane = of(self.thread) // 32, of(self.thread) % 32
        self.warp_row, self.warp_column = warp // WARPS, warp % WARPS

    def factor(self, name: str, expr: Expr, group: Group, lines: int, start: Index) -> Factor:
        expr, depth = self.factors[name], self.found.depth
        along = unit(expr, depth) >= unit(expr, group)
        directions = (depth, group) if along else (group, depth)
        wide = BYTES // self.kind.itemsize
        copies = copied(expr, *directions, wide)
        grain = wide if copies else self.packed
        if self.packed == 1 and isinstance(expr, Access) and expr.dtype is self.kind:
            copies = True  # one by one, where not by 16 bytes
        step, rows = (WORDS, lines) if along else (lines // self.packed, self.depth)
        memory = self.share(f"{name}_tile", uint32, self.stages * rows * step)
        return Factor(
            name=name,
            expr=expr,
            group=group,
            lines=lines,
            depth=self.depth,
            start=start,
            memory=memory,
            along_depth=along,
            lines_inner=not along,
            pitch=step,
            rotation=1 if along or self.packed == 2 else 2,  # float32 is read by pairs of 16 bytes
            packed=self.packed,
            grain=grain,
            copies=copies,
            threads=THREADS,
        )

    # --- elements that are computed -----------------------------------------------------------

    def element(self, factor: Factor, values: Values, edge: Mask) -> tuple[Statements, Value]:
        """One float32."""
        statements, value = super().element(factor, values, edge)
        return statements, Alu(Op.BITCAST, (value,), uint32)

    def half(self, factor: Factor, values: Values, edge: Mask) -> tuple[Statements, Value]:
        """The bits of one 16-bit element, zero outside of `edge`."""
        expr = factor.expr
        if isinstance(expr, Access):  # its bits as they are
            memory = self.memories[expr.buffer]
            bits = Memory(memory.name, uint16, memory.size, memory.home, memory.slot)
            mask = expr.mask.substitute(values) & edge
            return (), Load(bits, expr.index.substitute(values), 1, mask)
        statements, value = self.evaluate(expr, values, edge, {})
        raw: Value = Alu(Op.BITCAST, (value,), uint16)
        if not edge.always:
            raw = Alu(Op.WHERE, (Predicate(edge), raw, Literal.of(0, uint16)), uint16)
        return statements, raw

    def load(
        self, factor: Factor, turn: Index, line: Index, k: Index, own: Mask
    ) -> tuple[Statements, Value]:
        if self.packed == 1:
            return super().load(factor, turn, line, k, own)
        body: list[Statement] = []
        halves: list[Value] = []
        for offset in (0, 1):
            place = (line, k + offset) if factor.along_depth else (line + offset, k)
            named, values, edge = self.point(factor, turn, *place)
            statements, value = self.half(factor, values, edge & own)
            body += [*named, *statements]
            halves.append(Alu(Op.CAST, (value,), uint32))
        high = Alu(Op.SHL, (halves[1], Literal.of(16, uint32)), uint32)
        return tuple(body), Alu(Op.OR, (halves[0], high), uint32)

    # --- products -----------------------------------------------------------------------------

    def products(self, slot: Index) -> Statements:
        name, _ = KINDS[self.kind]
        body: list[Statement] = []
        for step in range(WORDS // STEP):
            body += self._lefts(slot, step) + self._rights(slot, step)
            for i in range(self.high):
                for j in range(self.wide):
                    sums = Address(self.sums, constant((i * self.wide + j) * 4))
                    left = Address(self.lefts, constant(i * 4))
                    right = Address(self.rights, constant(j * 2))
                    body.append(Call(f"pg_multiply_{name}", (sums, left, right)))
        return tuple(body)

    def _lefts(self, slot: Index, step: int) -> list[Statement]:
        """The left words of a warp's products for one step of k."""
        factor, body, lane = self.left, [], self.lane
        first = self.warp_row * (self.high * HIGH)
        for i in range(self.high):
            line = first + i * HIGH
            if not factor.lines_inner:
                row, word = line + lane % 16, lane // 16 * 4 + step * STEP
                body.append(self._matrix(factor, self.lefts, i * 4, slot, row, word))
            elif self.packed == 2:
                k = lane // 16 * 8 + lane % 8 + step * STEP * 2
                row = line + lane // 8 % 2 * 8
                body.append(self._turned(factor, self.lefts, i * 4, slot, row, k))
            else:
                for part in range(4):
                    row, word = line + part % 2 * 8, part // 2 * 4 + step * STEP
                    body.append(self._single(factor, self.lefts, i * 4 + part, slot, row, word))
        return body + self._round(self.lefts)

    def _rights(self, slot: Index, step: int) -> list[Statement]:
        """The right words: two products' at a time."""
        factor, body, lane = self.right, [], self.lane
        first = self.warp_column * (self.wide * WIDE)
        for j in range(0, self.wide, 2):
            line = first + j * WIDE
            if not factor.lines_inner:
                row, word = line + lane // 16 * 8 + lane % 8, lane // 8 % 2 * 4 + step * STEP
                body.append(self._matrix(factor, self.rights, j * 2, slot, row, word))
            elif self.packed == 2:
                k, row = lane % 16 + step * STEP * 2, line + lane // 16 * 8
                body.append(self._turned(factor, self.rights, j * 2, slot, row, k))
            else:
                for part in range(4):
                    row, word = line + part // 2 * 8, part % 2 * 4 + step * STEP
                    body.append(self._single(factor, self.rights, j * 2 + part, slot, row, word))
        return body + self._round(self.rights)

    def _matrix(
        self, factor: Factor, target: Memory, at: int, slot: Index, line: Index, word: Index
    ) -> Statement:
        place = factor.position(slot, line, word * self.packed)
        arguments = Address(target, constant(at)), Address(factor.memory, place)
        return Call("pg_load_matrix", arguments)

    @staticmethod
    def _turned(
        factor: Factor, target: Memory, at: int, slot: Index, line: Index, k: Index
    ) -> Statement:
        place = Address(factor.memory, factor.position(slot, line, k))
        return Call("pg_load_turned", (Address(target, constant(at)), place))

    def _single(
        self, factor: Factor, target: Memory, at: int, slot: Index, line: Index, word: int
    ) -> Statement:
        place = factor.position(slot, line + self.lane // 4, self.lane % 4 + word)
        return Store(target, constant(at), Load(factor.memory, place))

    def _round(self, words: Memory) -> list[Statement]:
        """float32 becomes TensorFloat32."""
        if self.packed == 2:
            return []
        return [Call("pg_to_tf32", (Address(words, constant(at)),)) for at in range(words.size)]

    # --- results ------------------------------------------------------------------------------

    def staged(self, number: int) -> Statements:
        """Row `number` of a warp's products, of both rows of warps."""
        body: list[Statement] = []
        for half in range(2):
            row = self.warp_row * HIGH + self.lane // 4 + half * 8
            for j in range(self.wide):
                column = self.warp_column * (self.wide * WIDE) + j * WIDE + self.lane % 4 * 2
                own = (number * self.wide + j) * 4 + half * 2
                body.append(self.store_pair(row * self.results_pitch + column, own))
        return tuple(body)

    def staged_row(self, number: int, line: Index) -> Index:
        return line // HIGH * (self.high * HIGH) + line % HIGH + number * HIGH


def _registers(name: str, dtype: DType, size: int) -> Memory:
    return Memory(name, dtype, size, Home.REGISTER, written=True)
