"""Products of a contraction's tile by the threads of a GPU block, each in its registers.

In: a CONTRACTION kernel of any real dtype. Out: a loop IR function (see `contraction.grid`), or
None where one thread a result is the better schedule. `codegen.cuda.render` calls it. Each of 256
threads has up to 8 x 8 results: groups of neighbouring rows and columns, so that factors are read
16 bytes at a time. The 32 threads of a warp stand 4 x 8: they read four places of the left
tile, and eight neighbouring ones of the right.

>>> own(constant(31)), own(constant(32))  # (row, column) of a thread
((3, 7), (0, 8))
"""

from __future__ import annotations

from picograd.codegen.contraction.axes import Contraction, Group, analyse
from picograd.codegen.contraction.grid import (
    ACROSS,
    LARGEST,
    LEAST,
    Grid,
    Shape,
    Statements,
    choose_tile,
    extents,
)
from picograd.codegen.contraction.packing import unit
from picograd.codegen.contraction.staging import BYTES, Factor, copied, padded
from picograd.codegen.loops import (
    For,
    Function,
    Home,
    Kind,
    Let,
    Load,
    Memory,
    MulAdd,
    Ref,
    Statement,
    Store,
)
from picograd.codegen.target import SCALAR
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.schedule.kernel import Access, Expr, Kernel

THREADS = ACROSS * ACROSS
DEPTH = 16
RESULT_PAD = {4: 32, 8: 64, 16: 0}  # bytes between rows of results, of each of which a thread has
STAGED = 4096  # results in shared memory at a time, on their way out


def lower_to_grid(kernel: Kernel) -> Function | None:
    """The function of a kernel whose contraction is worth tiles."""
    found = analyse(kernel, SCALAR)
    if found is None or min(extents(found)) < LEAST or not _is_simple(found):
        return None
    largest = LARGEST if found.accumulator.itemsize == 4 else LARGEST // 2
    return ThreadTiles(kernel, found, choose_tile(found, ACROSS, largest)).function()


def _is_simple(found: Contraction) -> bool:
    """No complex numbers, and nothing but single numbers or pairs in shared memory."""
    return found.accumulator.itemsize in (4, 8) and not found.accumulator.is_complex


def own(thread: Index) -> tuple[Index, Index]:
    """The place of a thread among the 16 x 16 of its block."""
    warp, lane = thread // 32, thread % 32
    return warp // 2 * 4 + lane // 8, warp % 2 * 8 + lane % 8


class ThreadTiles(Grid):
    """Builds the loops of one kernel."""

    threads = finishers = THREADS
    depth = DEPTH
    stages = 2

    def __init__(self, kernel: Kernel, found: Contraction, shape: Shape) -> None:
        super().__init__(kernel, found, shape)
        self.together = BYTES // self.dtype.itemsize  # neighbouring rows or columns of a thread
        self.high, self.wide = self.rows // ACROSS, self.columns // ACROSS  # results of one thread
        size = self.high * self.wide
        self.sums = Memory("sums", self.dtype, size, Home.REGISTER, written=True)
        self.registers = (self.sums,)
        # How many of a thread's rows are put into shared memory at a time.
        each = max(1, min(self.high, STAGED // (ACROSS * self.columns)))
        self.rounds = self.high // each
        self.round_rows, self.round_columns = each * ACROSS, self.columns
        width = min(BYTES, self.wide * self.dtype.itemsize)
        self.results_pitch = self.columns + RESULT_PAD[width] // self.dtype.itemsize
        self.results = self.share("results", self.dtype, each * ACROSS * self.results_pitch, 0)

    def factor(self, name: str, expr: Expr, group: Group, lines: int, start: Index) -> Factor:
        depth, size = self.found.depth, self.dtype.itemsize
        along = unit(expr, depth) > unit(expr, group)
        plain = isinstance(expr, Access) and expr.dtype is self.dtype
        wide = BYTES // size
        grain = wide if plain and not along and copied(expr, group, depth, wide) else 1
        step = padded(lines, size)
        memory = self.share(f"{name}_tile", self.dtype, self.stages * self.depth * step)
        return Factor(
            name=name,
            expr=expr,
            group=group,
            lines=lines,
            depth=self.depth,
            start=start,
            memory=memory,
            along_depth=along,
            lines_inner=True,
            pitch=step,
            rotation=0,
            packed=1,
            grain=grain,
            copies=plain,
            threads=THREADS,
        )

    def products(self, slot: Index) -> Statements:
        k = Var("k", 0, DEPTH - 1)
        row, column = own(of(self.thread))
        body: list[Statement] = []
        for factor, place, count, name in (
            (self.left, row, self.high, "x"),
            (self.right, column, self.wide, "y"),
        ):
            for number in range(count):
                line = self._line(constant(number), place, count)
                load = Load(factor.memory, factor.position(slot, line, of(k)))
                body.append(Let(f"{name}{number}", load))
        for i in range(self.high):
            for j in range(self.wide):
                x, y = Ref(f"x{i}", self.dtype), Ref(f"y{j}", self.dtype)
                at = constant(i * self.wide + j)
                body.append(Store(self.sums, at, MulAdd(x, y, Load(self.sums, at), self.dtype)))
        return (For(k, ZERO, constant(DEPTH), tuple(body), kind=Kind.UNROLL),)

    def staged(self, number: int) -> Statements:
        row, own_column = own(of(self.thread))
        each = self.high // self.rounds
        body: list[Statement] = []
        for i in range(each):
            start = (row + i * ACROSS) * self.results_pitch
            for j in range(self.wide):
                load = Load(self.sums, constant((number * each + i) * self.wide + j))
                column = self._line(constant(j), own_column, self.wide)
                body.append(Store(self.results, start + column, load))
        return tuple(body)

    def staged_row(self, number: int, line: Index) -> Index:
        each = self.high // self.rounds
        return self._line(line // ACROSS + number * each, line % ACROSS, self.high)

    def _line(self, number: Index, place: Index, count: int) -> Index:
        """The row (or column) of the tile that is number `number` of `count` of the thread `place`:
        16 bytes of neighbours, then the next where all threads have had theirs."""
        together = min(self.together, count)
        return number // together * (ACROSS * together) + place * together + number % together
