"""Lower a contraction kernel to tiles in the shared memory of GPU blocks.

In: a CONTRACTION kernel. Out: a loop IR function of one phase over blocks of threads, or None where
one thread a result is the better schedule. `codegen.cuda.render` calls it. A block of 256 threads
computes a tile of up to 128 x 128 results, each thread up to 8 x 8 of them in registers:

    for each depth tile of 16 k:
      store the elements that were loaded ahead to shared memory; barrier
      load the next tile's elements                  from global memory, computed on the way
      for k in the tile: results += left[k] * right[k]
    for a few rows of results at a time:
      put them in shared memory; barrier
      the elementwise stages, neighbouring threads on neighbouring columns

Shared memory holds two depth tiles in turn, so that one barrier a tile is enough. Every result is
one chain of multiply-adds over ascending k, as on the CPU.

>>> side(1000), side(100), side(20)
(128, 128, 32)
"""

from __future__ import annotations

from dataclasses import dataclass

from picograd.codegen.contraction.axes import Contraction, Group, Values, analyse
from picograd.codegen.contraction.expressions import rewrite
from picograd.codegen.contraction.frame import inside
from picograd.codegen.contraction.packing import unit
from picograd.codegen.contraction.tiles import ceil_div
from picograd.codegen.expressions import Body, Names, cast
from picograd.codegen.homes import argument_memories
from picograd.codegen.loops import (
    Alu,
    Barrier,
    Carried,
    For,
    Function,
    Home,
    If,
    IndexValue,
    Kind,
    Let,
    Literal,
    Load,
    Memory,
    MulAdd,
    Phase,
    Predicate,
    Ref,
    Statement,
    Store,
    Value,
)
from picograd.codegen.target import SCALAR
from picograd.dtypes import int64
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Op
from picograd.schedule.kernel import Access, Compute, Expr, Kernel

ACROSS = 16  # threads along each side of a tile
THREADS = ACROSS * ACROSS
DEPTH = 16  # k of a depth tile
LARGEST = 128
TOGETHER = 4  # a thread's neighbouring rows or columns: 16 bytes of float32
STAGED = 2048  # results in shared memory at a time, on their way out
BLOCKS = 132  # smaller tiles are taken where there would be fewer blocks than this
LEAST = 16  # fewer rows, columns or k are not worth a tile
PAD = 4  # elements between rows of shared memory, against bank conflicts

Statements = tuple[Statement, ...]


def side(extent: int) -> int:
    """The rows or columns of a tile: the least power of two that covers them, up to 128."""
    size = ACROSS
    while size < min(extent, LARGEST):
        size *= 2
    return size


def lower_to_grid(kernel: Kernel) -> Function | None:
    """The function of a kernel whose contraction is worth tiles."""
    found = analyse(kernel, SCALAR)
    if found is None or min(_extents(found)) < LEAST or not _is_simple(found):
        return None
    return Grid(kernel, found, *_tile(found)).function()


def _extents(found: Contraction) -> tuple[int, int, int]:
    return found.rows.extent, found.columns.extent, found.depth.extent


def _is_simple(found: Contraction) -> bool:
    """No complex numbers, and nothing but single numbers or pairs in shared memory."""
    return found.accumulator.itemsize in (4, 8) and not found.accumulator.is_complex


def _tile(found: Contraction) -> tuple[int, int]:
    """Rows and columns of a tile: large, but small enough for every multiprocessor to have one."""
    rows, columns = side(found.rows.extent), side(found.columns.extent)
    largest = LARGEST if found.accumulator.itemsize == 4 else LARGEST // 2
    rows, columns = min(rows, largest), min(columns, largest)
    while max(rows, columns) > 32:
        count = ceil_div(found.rows.extent, rows) * ceil_div(found.columns.extent, columns)
        if count * found.batch.extent >= BLOCKS:
            break
        if rows >= columns:
            rows //= 2
        else:
            columns //= 2
    return rows, columns


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor on its way into shared memory: `lines` rows or columns by `DEPTH` k, twice."""

    name: str
    expr: Expr
    group: Group
    lines: int
    start: Index  # the tile's first row or column
    memory: Memory
    along_depth: bool  # whether neighbours in memory are neighbours in k

    @property
    def count(self) -> int:
        """How many elements each thread moves."""
        return self.lines * DEPTH // THREADS

    def place(self, element: Index) -> tuple[Index, Index]:
        """(line, k) of an element: neighbouring threads take neighbours in memory."""
        if self.along_depth:
            return element // DEPTH, element % DEPTH
        return element % self.lines, element // self.lines

    def position(self, turn: Index, line: Index, k: Index) -> Index:
        """Where an element is in shared memory: even and odd depth tiles have their own halves."""
        pitch = self.lines + PAD
        return turn % 2 * (DEPTH * pitch) + k * pitch + line


class Grid:
    """Builds the loops of one kernel. `contraction.tensor_cores` has another way to sum."""

    depth = DEPTH  # k of a depth tile

    def __init__(self, kernel: Kernel, found: Contraction, rows: int, columns: int) -> None:
        self.kernel, self.found, self.rows, self.columns = kernel, found, rows, columns
        self.dtype = found.accumulator
        self.names = Names()
        self.thread = Var("thread_number", 0, THREADS - 1)
        self.turn = Var("depth_tile", 0, ceil_div(found.depth.extent, self.depth) - 1)
        self.memories = argument_memories(kernel)
        tiles = ceil_div(found.rows.extent, rows), ceil_div(found.columns.extent, columns)
        self.block = Var("block_number", 0, found.batch.extent * tiles[0] * tiles[1] - 1)
        number = of(self.block)
        self.batch = number // (tiles[0] * tiles[1])
        self.row = number // tiles[1] % tiles[0] * rows
        self.column = number % tiles[1] * columns
        self.left = self._factor("left", found.left, found.rows, rows, self.row)
        self.right = self._factor("right", found.right, found.columns, columns, self.column)
        self.high, self.wide = rows // ACROSS, columns // ACROSS  # results of one thread
        # How many of a thread's rows are put into shared memory at a time.
        self.staged = max(1, min(self.high, STAGED // (ACROSS * columns)))
        size = self.staged * ACROSS * columns
        self.results = Memory("results", self.dtype, size, Home.SHARED, written=True)

    def _factor(self, name: str, expr: Expr, group: Group, lines: int, start: Index) -> Factor:
        size = 2 * DEPTH * (lines + PAD)
        memory = Memory(f"{name}_tile", self.dtype, size, Home.SHARED, written=True)
        along = unit(expr, self.found.depth) > unit(expr, group)
        return Factor(name, expr, group, lines, start, memory, along)

    def function(self) -> Function:
        """One phase: a block for each tile of each batch element."""
        body = (*self._sums(), *self._write_back())
        inner = For(self.thread, ZERO, constant(THREADS), body, kind=Kind.THREAD)
        outer = For(self.block, ZERO, constant(self.block.high + 1), (inner,), kind=Kind.BLOCK)
        shared = (self.left.memory, self.right.memory, self.results)
        memories = (*self.memories.values(), *shared)
        phase = Phase(None, constant(1), (outer,))
        return Function(self.kernel.name, memories, self.kernel.scalars, (phase,))

    # --- sums ---------------------------------------------------------------------------------

    def _sums(self) -> Statements:
        """The loop over depth tiles. It carries the results, and what was loaded ahead."""
        first: list[Statement] = []
        carried: list[Carried] = []
        for factor in (self.left, self.right):
            for number in range(factor.count):
                statements, value = self._load(factor, number, ZERO)
                first += statements
                name = f"{factor.name}{number}"
                following = Ref(f"{name}.next", self.dtype)
                carried.append(Carried(name, self.dtype, value, following))
        zero = Literal.of(0.0 if self.dtype.is_float else 0, self.dtype)
        for i, j in self._own():
            inner = Ref(f"total{i}_{j}", self.dtype)
            carried.append(Carried(f"sum{i}_{j}", self.dtype, zero, inner))
        body = self._turn()
        loop = For(self.turn, ZERO, constant(self.turn.high + 1), body, carried=tuple(carried))
        return (*first, loop)

    def _own(self) -> list[tuple[int, int]]:
        """The results of a thread, by their place among its rows and columns."""
        return [(i, j) for i in range(self.high) for j in range(self.wide)]

    def _turn(self) -> Statements:
        """One depth tile."""
        turn, body = of(self.turn), []
        for factor in (self.left, self.right):
            for number in range(factor.count):
                line, k = factor.place(of(self.thread) + number * THREADS)
                place = factor.position(turn, line, k)
                value = Ref(f"{factor.name}{number}", self.dtype)
                body.append(Store(factor.memory, place, value))
        body.append(Barrier())
        for factor in (self.left, self.right):
            for number in range(factor.count):
                statements, value = self._load(factor, number, turn + 1)
                body += [*statements, Let(f"{factor.name}{number}.next", value)]
        return (*body, self._products())

    def _products(self) -> For:
        """The multiply-adds of one depth tile."""
        k = Var("k", 0, DEPTH - 1)
        lane = of(self.thread) % ACROSS, of(self.thread) // ACROSS
        body: list[Statement] = []
        for factor, own, count, name in (
            (self.left, lane[1], self.high, "x"),
            (self.right, lane[0], self.wide, "y"),
        ):
            for number in range(count):
                line = self._line(constant(number), own, count)
                load = Load(factor.memory, factor.position(of(self.turn), line, of(k)))
                body.append(Let(f"{name}{number}", load))
        carried = []
        for i, j in self._own():
            x, y = Ref(f"x{i}", self.dtype), Ref(f"y{j}", self.dtype)
            name = f"total{i}_{j}"
            product = MulAdd(x, y, Ref(name, self.dtype), self.dtype)
            start = Ref(f"sum{i}_{j}", self.dtype)
            carried.append(Carried(name, self.dtype, start, product))
        return For(k, ZERO, constant(DEPTH), tuple(body), kind=Kind.UNROLL, carried=tuple(carried))

    @staticmethod
    def _line(number: Index, own: Index, count: int) -> Index:
        """The row (or column) of the tile that is number `number` of `count` of the thread `own`:
        up to four neighbours, then the next four where all threads have had theirs."""
        together = min(TOGETHER, count)
        return number // together * (ACROSS * together) + own * together + number % together

    def _load(self, factor: Factor, number: int, turn: Index) -> tuple[Statements, Value]:
        """Element `number` of a thread of depth tile `turn`; zero beyond the last k."""
        line, k = factor.place(of(self.thread) + number * THREADS)
        lines = factor.group.extent
        most = ceil_div(lines, factor.lines) * factor.lines - 1
        named, line = self._name("line", factor.start + line, most)
        also, depth = self._name("depth", turn * DEPTH + k, (self.turn.high + 2) * DEPTH - 1)
        edge = inside(line, lines) & inside(depth, self.found.depth.extent)
        values = self.found.batch.at(self.batch) | self.found.depth.at(depth)
        values |= factor.group.at(line)
        statements, value = self._evaluate(factor.expr, values, edge, {})
        if not edge.always and not _is_read(factor.expr):
            zero = Literal.of(0.0 if self.dtype.is_float else 0, self.dtype)
            value = Alu(Op.WHERE, (Predicate(edge), value, zero), self.dtype)
        return (named, also, *statements), value

    # --- results ------------------------------------------------------------------------------

    def _write_back(self) -> Statements:
        """The results through shared memory, some rows of each thread at a time."""
        body: list[Statement] = []
        lane = of(self.thread) % ACROSS, of(self.thread) // ACROSS
        for start in range(0, self.high, self.staged):
            body.append(Barrier())
            for i in range(self.staged):
                for j in range(self.wide):
                    column = self._line(constant(j), lane[0], self.wide)
                    place = (lane[1] + i * ACROSS) * self.columns + column
                    body.append(Store(self.results, place, Ref(f"sum{start + i}_{j}", self.dtype)))
            body += [Barrier(), self._finish(start)]
        return tuple(body)

    def _finish(self, start: int) -> For:
        """The stages that follow the sum, at the points that are in shared memory."""
        found = self.found
        point = Var("point", 0, self.results.size - 1)
        line, column = of(point) // self.columns, of(point) % self.columns
        local = self._staged_row(start, line)
        rows = ceil_div(found.rows.extent, self.rows) * self.rows
        columns = ceil_div(found.columns.extent, self.columns) * self.columns
        named, row = self._name("row", self.row + local, rows - 1)
        also, column = self._name("column", self.column + column, columns - 1)
        body = self._stages(Load(self.results, of(point)), row, column)
        edge = inside(row, found.rows.extent) & inside(column, found.columns.extent)
        guarded = body if edge.always else (If(edge, body),)
        statements = (named, also, *guarded)
        return For(point, of(self.thread), constant(self.results.size), statements, THREADS)

    def _staged_row(self, start: int, line: Index) -> Index:
        """The row of the tile that is line `line` of the results in shared memory."""
        return self._line(line // ACROSS + start, line % ACROSS, self.high)

    def _stages(self, total: Value, row: Index, column: Index) -> Statements:
        found = self.found
        values = found.batch.at(self.batch) | found.rows.at(row) | found.columns.at(column)
        body: list[Statement] = [Let("sum", cast(total, found.dtype))]
        known: dict[str, Value] = {name: Ref("sum", found.dtype) for name in found.names}
        if found.memory is not None:
            index = found.store.substitute(values)
            body.append(Store(self.memories[found.memory], index, Ref("sum", found.dtype)))
        for number, stage in enumerate(found.epilogue):
            statements, value = self._evaluate(stage.value, values, Mask(), known)
            name = f"value{number}"
            body += [*statements, Let(name, value)]
            result = Ref(name, value.dtype)
            if stage.target in self.memories:
                mask = stage.mask.substitute(values)
                index = stage.store.substitute(values)
                body.append(Store(self.memories[stage.target], index, result, mask))
                if not stage.mask.always:
                    continue
            known[stage.target] = result
        return tuple(body)

    # --- expressions --------------------------------------------------------------------------

    def _name(self, stem: str, index: Index, high: int) -> tuple[Let, Index]:
        """An index under a name of its own."""
        var = Var(self.names.fresh(stem), 0, high)
        return Let(var.name, IndexValue(index, int64), var), of(var)

    def _evaluate(
        self, expr: Expr, values: Values, edge: Mask, known: dict[str, Value]
    ) -> tuple[tuple[Statement, ...], Value]:
        """An expression at a point; nothing is read outside `edge`."""

        def load(access: Access) -> Value:
            found = known.get(access.buffer)
            if found is not None:
                return found
            return Load(self.memories[access.buffer], access.index, 1, access.mask)

        body = Body(load, self.names)
        value = body.value(rewrite(expr, lambda index: index.substitute(values), edge))
        return tuple(body.statements), value


def _is_read(expr: Expr) -> bool:
    """Whether an expression is an element as it is, which is zero where it is not read."""
    while isinstance(expr, Compute) and expr.op is Op.CAST:
        (expr,) = expr.args
    return isinstance(expr, Access)
