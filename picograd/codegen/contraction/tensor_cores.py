"""Lower a contraction of 16-bit floats to a GPU's tensor cores.

In: a CONTRACTION kernel. Out: a loop IR function like that of `contraction.grid`, or None when its
factors are not both float16 or both bfloat16, or it is too small. `codegen.cuda.render` calls it
first. The block's eight warps stand in two rows of four; each computes a part of the tile as
products of 16 x 16 by 16 x 8 (`loops.Mma`). Shared memory holds pairs of k as 32-bit words, so that
a thread reads a pair at a time: the words of a line are followed by four empty ones, and so the 32
reads of a warp go to 32 banks.

Sums are float32; a tensor core adds the sixteen products of a step in an order of its own.

>>> PITCH * 7 % 32, PAIRS
(12, 16)
"""

from __future__ import annotations

from picograd.codegen.contraction.axes import Contraction, Group, analyse
from picograd.codegen.contraction.frame import inside
from picograd.codegen.contraction.grid import BLOCKS, LARGEST, THREADS, Factor, Grid, Statements
from picograd.codegen.contraction.packing import unit
from picograd.codegen.contraction.tiles import ceil_div
from picograd.codegen.loops import (
    Alu,
    Barrier,
    Carried,
    For,
    Function,
    Home,
    Let,
    Literal,
    Load,
    Memory,
    Mma,
    Predicate,
    Ref,
    Statement,
    Store,
    Value,
)
from picograd.codegen.target import SCALAR
from picograd.dtypes import DType, bfloat16, float16, float32, uint16, uint32
from picograd.graph.index import ZERO, Index, constant, of
from picograd.graph.ops import Op
from picograd.schedule.kernel import Access, Compute, Expr, Kernel

DEPTH = 32  # k of a depth tile
PAIRS = DEPTH // 2
PITCH = PAIRS + 4  # words of a line in shared memory
SMALLEST = 32
LEAST = 16  # fewer rows, columns or k are not worth a tile
WARP_ROWS, WARP_COLUMNS = 2, 4
HIGH, WIDE, STEP = 16, 8, 16  # of one product


def lower_to_tensor_cores(kernel: Kernel) -> Function | None:
    """The function of a kernel whose contraction tensor cores can do."""
    found = analyse(kernel, SCALAR)
    if found is None or found.accumulator is not float32:
        return None
    if min(found.rows.extent, found.columns.extent, found.depth.extent) < LEAST:
        return None
    left, right = _narrow(found.left), _narrow(found.right)
    if left is None or right is None or left.dtype is not right.dtype:
        return None
    return _TensorGrid(kernel, found, (left, right), *_tile(found)).function()


def _narrow(factor: Expr) -> Expr | None:
    """The 16-bit float that a factor widens."""
    if isinstance(factor, Compute) and factor.op is Op.CAST:
        (source,) = factor.args
        if source.dtype in (float16, bfloat16):
            return source
    return None


def _tile(found: Contraction) -> tuple[int, int]:
    """Rows and columns of a tile: large, but small enough for every multiprocessor to have one."""
    extents = found.rows.extent, found.columns.extent
    sizes = [SMALLEST, SMALLEST]
    for axis in (0, 1):
        while sizes[axis] < min(extents[axis], LARGEST):
            sizes[axis] *= 2
    while max(sizes) > SMALLEST:
        tiles = ceil_div(extents[0], sizes[0]) * ceil_div(extents[1], sizes[1])
        if tiles * found.batch.extent >= BLOCKS:
            break
        sizes[0 if sizes[0] >= sizes[1] else 1] //= 2
    return sizes[0], sizes[1]


class _TensorGrid(Grid):
    """Builds the loops of one kernel."""

    depth = DEPTH

    def __init__(
        self,
        kernel: Kernel,
        found: Contraction,
        factors: tuple[Expr, Expr],
        rows: int,
        columns: int,
    ) -> None:
        super().__init__(kernel, found, rows, columns)
        self.kind: DType = factors[0].dtype
        self.left = self._pairs("left", factors[0], found.rows, rows, self.row)
        self.right = self._pairs("right", factors[1], found.columns, columns, self.column)
        # Products of one warp.
        self.high = rows // (WARP_ROWS * HIGH)
        self.wide = columns // (WARP_COLUMNS * WIDE)
        size = WARP_ROWS * HIGH // 2 * columns
        self.results = Memory("results", float32, size, Home.SHARED, written=True)
        warp, lane = of(self.thread) // 32, of(self.thread) % 32
        self.warp_row, self.warp_column = warp // WARP_COLUMNS, warp % WARP_COLUMNS
        self.group, self.member = lane // 4, lane % 4

    def _pairs(self, name: str, expr: Expr, group: Group, lines: int, start: Index) -> Factor:
        memory = Memory(f"{name}_tile", uint32, 2 * lines * PITCH, Home.SHARED, written=True)
        along = unit(expr, self.found.depth) >= unit(expr, group)
        return Factor(name, expr, group, lines, start, memory, along)

    # --- sums ---------------------------------------------------------------------------------

    def _sums(self) -> Statements:
        first: list[Statement] = []
        carried: list[Carried] = []
        for factor in (self.left, self.right):
            for number in range(self._count(factor)):
                statements, value = self._load_pair(factor, number, ZERO)
                name = f"{factor.name}{number}"
                first += statements
                carried.append(Carried(name, uint32, value, Ref(f"{name}.next", uint32)))
        body = self._turn()
        for i, j in self._own():
            for part in range(4):
                last = Ref(_sum(DEPTH // STEP, i, j, part), float32)
                zero = Literal.of(0.0, float32)
                carried.append(Carried(_sum(0, i, j, part), float32, zero, last))
        turns = constant(self.turn.high + 1)
        return (*first, For(self.turn, ZERO, turns, body, carried=tuple(carried)))

    @staticmethod
    def _count(factor: Factor) -> int:
        """How many pairs each thread moves."""
        return factor.lines * PAIRS // THREADS

    def _own_pair(self, factor: Factor, number: int) -> tuple[Index, Index]:
        """(line, pair) that a thread moves: neighbouring threads take neighbours in memory."""
        element = of(self.thread) + number * THREADS
        if factor.along_depth:
            return element // PAIRS, element % PAIRS
        return element % factor.lines, element // factor.lines

    @staticmethod
    def _place(turn: Index, factor: Factor, line: Index, pair: Index) -> Index:
        return turn % 2 * (factor.lines * PITCH) + line * PITCH + pair

    def _turn(self) -> Statements:
        turn = of(self.turn)
        body: list[Statement] = []
        for factor in (self.left, self.right):
            for number in range(self._count(factor)):
                place = self._place(turn, factor, *self._own_pair(factor, number))
                body.append(Store(factor.memory, place, Ref(f"{factor.name}{number}", uint32)))
        body.append(Barrier())
        for factor in (self.left, self.right):
            for number in range(self._count(factor)):
                statements, value = self._load_pair(factor, number, turn + 1)
                body += [*statements, Let(f"{factor.name}{number}.next", value)]
        for step in range(DEPTH // STEP):
            body += self._warp_products(step)
        return tuple(body)

    def _warp_products(self, step: int) -> list[Statement]:
        """The warp's products for sixteen k."""
        body: list[Statement] = []
        for factor, first, size, count in (
            (self.left, self.warp_row * (self.high * HIGH), HIGH, self.high),
            (self.right, self.warp_column * (self.wide * WIDE), WIDE, self.wide),
        ):
            for number in range(count):
                line = first + number * size + self.group
                pair = self.member + step * (STEP // 2)
                for part in range(size * 2 // WIDE):
                    upper = part % 2 * 8 if size == HIGH else 0
                    later = part // 2 * 4 if size == HIGH else part * 4
                    place = self._place(of(self.turn), factor, line + upper, pair + later)
                    name = f"{factor.name}_{step}_{number}_{part}"
                    body.append(Let(name, Load(factor.memory, place)))
        for i, j in self._own():
            left = [Ref(f"left_{step}_{i}_{part}", uint32) for part in range(4)]
            right = [Ref(f"right_{step}_{j}_{part}", uint32) for part in range(2)]
            sums = [Ref(_sum(step, i, j, part), float32) for part in range(4)]
            names = [_sum(step + 1, i, j, part) for part in range(4)]
            body.append(
                Mma(
                    (names[0], names[1], names[2], names[3]),
                    (left[0], left[1], left[2], left[3]),
                    (right[0], right[1]),
                    (sums[0], sums[1], sums[2], sums[3]),
                    self.kind,
                )
            )
        return body

    def _load_pair(self, factor: Factor, number: int, turn: Index) -> tuple[list[Statement], Value]:
        """Two neighbours in k as one word."""
        own, pair = self._own_pair(factor, number)
        most = ceil_div(factor.group.extent, factor.lines) * factor.lines - 1
        named, line = self._name("line", factor.start + own, most)
        first = turn * DEPTH + pair * 2
        also, depth = self._name("depth", first, (self.turn.high + 2) * DEPTH - 2)
        body: list[Statement] = [named, also]
        halves: list[Value] = []
        for offset in (0, 1):
            statements, value = self._load_half(factor, line, depth + offset)
            body += statements
            halves.append(Alu(Op.CAST, (value,), uint32))
        sixteen = Literal.of(16, uint32)
        high = Alu(Op.SHL, (halves[1], sixteen), uint32)
        return body, Alu(Op.OR, (halves[0], high), uint32)

    def _load_half(
        self, factor: Factor, line: Index, depth: Index
    ) -> tuple[tuple[Statement, ...], Value]:
        """The bits of one element, zero beyond the last line and k."""
        edge = inside(line, factor.group.extent) & inside(depth, self.found.depth.extent)
        values = self.found.batch.at(self.batch) | self.found.depth.at(depth)
        values |= factor.group.at(line)
        expr = factor.expr
        if isinstance(expr, Access):  # its bits as they are
            memory = self.memories[expr.buffer]
            bits = Memory(memory.name, uint16, memory.size, memory.home, memory.slot)
            mask = expr.mask.substitute(values) & edge
            return (), Load(bits, expr.index.substitute(values), 1, mask)
        statements, value = self._evaluate(expr, values, edge, {})
        raw: Value = Alu(Op.BITCAST, (value,), uint16)
        if not edge.always:
            raw = Alu(Op.WHERE, (Predicate(edge), raw, Literal.of(0, uint16)), uint16)
        return statements, raw

    # --- results ------------------------------------------------------------------------------

    def _write_back(self) -> Statements:
        """Half a row of products at a time: eight rows of each row of warps."""
        body: list[Statement] = []
        for i in range(self.high):
            for half in (0, 1):
                body.append(Barrier())
                row = self.warp_row * 8 + self.group
                for j in range(self.wide):
                    column = self.warp_column * (self.wide * WIDE) + j * WIDE + self.member * 2
                    for part in (0, 1):
                        place = row * self.columns + column + part
                        value = Ref(_sum(0, i, j, 2 * half + part), float32)
                        body.append(Store(self.results, place, value))
                body += [Barrier(), self._finish(i * HIGH + half * 8)]
        return tuple(body)

    def _staged_row(self, start: int, line: Index) -> Index:
        return line // 8 * (self.high * HIGH) + line % 8 + start


def _sum(step: int, i: int, j: int, part: int) -> str:
    """The name of a sum of a thread before step `step` of a depth tile."""
    return f"sum{i}_{j}_{part}" if step == 0 else f"sum{i}_{j}_{part}.{step}"
