"""Lower a contraction kernel to tiles in the shared memory of GPU blocks.

In: a CONTRACTION kernel. Out: a loop IR function over blocks of threads, or None where one thread a
result is the better schedule. `codegen.cuda.render` calls it. A block of 256 threads computes a
tile of up to 128 x 128 results, each thread up to 8 x 8 of them in registers:

    begin to move the first depth tiles of both factors to shared memory    see `staging`
    for each depth tile:
      wait for it; barrier
      begin to move a later one
      for k in the tile: results += left[k] * right[k]
    for a few rows of results at a time:
      put them in shared memory; barrier
      the elementwise stages, neighbouring threads on neighbouring columns, 16 bytes of results each

A moving tile takes the slot of the one before the current: one barrier a tile is enough. Results
are chains of multiply-adds over ascending k. Where tiles are fewer than multiprocessors and the sum
is long, several blocks share it: their partial sums lie in the workspace, and a second phase adds
them in order.

>>> side(1000), side(100), side(20)
(128, 128, 32)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from picograd.codegen.contraction.axes import Contraction, Group, Values
from picograd.codegen.contraction.expressions import rewrite
from picograd.codegen.contraction.frame import guarded, inside, lane_index
from picograd.codegen.contraction.staging import BYTES, Factor
from picograd.codegen.contraction.tiles import ceil_div
from picograd.codegen.expressions import Body, Names, cast
from picograd.codegen.homes import argument_memories
from picograd.codegen.loops import (
    Address,
    Alu,
    Barrier,
    Call,
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
    Phase,
    Predicate,
    Ref,
    Statement,
    Store,
    Value,
)
from picograd.codegen.wide import best_width, widened
from picograd.dtypes import DType, int64
from picograd.graph.index import ZERO, Index, Var, constant, delinearize, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Op
from picograd.schedule.kernel import Access, Compute, Expr, Kernel

ACROSS = 16  # threads along each side of a tile
LARGEST = 128
BLOCKS = 132  # smaller tiles are taken where there would be fewer blocks than this
LEAST = 16  # fewer rows, columns or k are not worth a tile
ADDERS = 256  # threads of a block that adds parts
PART = 512  # the least k of a block that shares its tile with others
NEIGHBOURS = 8  # rows of tiles that run side by side, so that the caches see their columns once

Statements = tuple[Statement, ...]


def side(extent: int) -> int:
    """The rows or columns of a tile: the least power of two that covers them, up to 128."""
    size = ACROSS
    while size < min(extent, LARGEST):
        size *= 2
    return size


def extents(found: Contraction) -> tuple[int, int, int]:
    """Rows, columns, depth."""
    return found.rows.extent, found.columns.extent, found.depth.extent


@dataclass(frozen=True, slots=True)
class Shape:
    """Rows and columns of a block's tile, and how many blocks share its sums."""

    rows: int
    columns: int
    parts: int = 1


def choose_tile(found: Contraction, least: int, largest: int) -> Shape:
    """A large tile, but enough of them, or of parts of their sums, for every multiprocessor."""
    rows, columns, depth = extents(found)
    high, wide = min(max(side(rows), least), largest), min(max(side(columns), least), largest)

    def blocks() -> int:
        return found.batch.extent * ceil_div(rows, high) * ceil_div(columns, wide)

    most = max(1, depth // PART)
    while max(high, wide) > max(least, 32) and blocks() * min(most, 2) < BLOCKS:
        high, wide = (high // 2, wide) if high >= wide else (high, wide // 2)
    parts = 1
    if blocks() < BLOCKS:
        parts = min(most, BLOCKS // blocks())
    return Shape(high, wide, parts)


class Grid:
    """Builds the loops of one kernel: what kernels on threads and on tensor cores share."""

    threads: int
    finishers: int  # of these, those that have results
    depth: int  # k of a depth tile
    stages: int  # depth tiles in shared memory
    sums: Memory  # of a thread, in registers
    registers: tuple[Memory, ...]  # all that a thread has
    results: Memory  # some rows of the tile, on their way out
    results_pitch: int
    rounds: int  # so many times until all were there
    round_rows: int
    round_columns: int

    def __init__(self, kernel: Kernel, found: Contraction, shape: Shape) -> None:
        self.kernel, self.found = kernel, found
        self.rows, self.columns, self.parts = shape.rows, shape.columns, shape.parts
        self.dtype = found.accumulator
        self.names = Names()
        self.thread = Var("thread_number", 0, self.threads - 1)
        # Each part of the sum has so many depth tiles.
        turns = ceil_div(ceil_div(found.depth.extent, self.depth), self.parts)
        self.parts = ceil_div(ceil_div(found.depth.extent, self.depth), turns)
        self.turn = Var("depth_tile", 0, turns - 1)
        self.memories = argument_memories(kernel)
        self._place_block()
        self.shared = 0  # bytes
        self.left = self.factor("left", found.left, found.rows, self.rows, self.row)
        self.right = self.factor("right", found.right, found.columns, self.columns, self.column)

    def _place_block(self) -> None:
        """From the number of a block: its part of the sum, batch element, first row and column."""
        found = self.found
        tall, wide = (
            ceil_div(found.rows.extent, self.rows),
            ceil_div(found.columns.extent, self.columns),
        )
        near = max(n for n in range(1, NEIGHBOURS + 1) if tall % n == 0)
        tiles = tall * wide
        self.block = Var("block_number", 0, self.parts * found.batch.extent * tiles - 1)
        number = of(self.block)
        self.part = number // (tiles * found.batch.extent)
        self.batch = number // tiles % found.batch.extent
        tile = number % tiles
        self.row = (tile // (near * wide) * near + tile % near) * self.rows
        self.column = tile % (near * wide) // near * self.columns
        self.padded = tall * self.rows, wide * self.columns  # of all tiles

    def share(self, name: str, dtype: DType, size: int, start: int | None = None) -> Memory:
        """A part of the block's shared memory: after the others, or where they are no more used."""
        begin = self.shared if start is None else start
        self.shared = max(self.shared, begin + -(-size * dtype.itemsize // BYTES) * BYTES)
        return Memory(name, dtype, size, Home.SHARED, offset=begin, written=True)

    def factor(self, name: str, expr: Expr, group: Group, lines: int, start: Index) -> Factor:
        """How a factor gets into shared memory."""
        raise NotImplementedError

    def function(self) -> Function:
        """One phase: a block for each part of each tile. A second one where there are parts."""
        memories = [*self.memories.values(), self.left.memory, self.right.memory, self.results]
        memories += self.registers
        partial, size = None, self.parts * self.found.batch.extent * prod(self.padded)
        if self.parts > 1:
            partial = Memory("partial", self.dtype, size, Home.WORKSPACE, written=True)
            memories.append(partial)
        phases = [phase_of(self.block, self.thread, (*self._sums(), *self.write_back(partial)))]
        if partial is not None:
            phases.append(self._add_parts(partial))
        workspace = 0 if partial is None else size * self.dtype.itemsize
        return Function(
            self.kernel.name,
            tuple(memories),
            self.kernel.scalars,
            tuple(phases),
            workspace,
            shared=self.shared,
            resident=2 if self.left.copies and self.right.copies else 1,
        )

    # --- what a way to multiply says ------------------------------------------------------------

    def products(self, slot: Index) -> Statements:
        """Add the products of the depth tile in a slot to the sums."""
        raise NotImplementedError

    def staged(self, number: int) -> Statements:
        """Put round `number` of a thread's sums into `results`."""
        raise NotImplementedError

    def staged_row(self, number: int, line: Index) -> Index:
        """The row of the tile that is line `line` of `results` in a round."""
        raise NotImplementedError

    def staged_column(self, number: int, column: Index) -> Index:
        """The column of the tile that is column `column` of `results` in a round."""
        return column

    def meet(self) -> Statement:
        """The threads that finish meet."""
        return Barrier()

    def store_pair(self, place: Index, own: int) -> Statement:
        """Two neighbours of a thread's sums go to `results` at once."""
        lane = lane_index(2)
        return Store(self.results, place + lane, Load(self.sums, lane + own, 2))

    # --- sums ---------------------------------------------------------------------------------

    def _sums(self) -> Statements:
        """The loop over depth tiles, some of which are on their way while one is used."""
        zero = Literal.of(0.0 if self.dtype.is_float else 0, self.dtype)
        body: list[Statement] = [
            Store(self.sums, constant(number), zero) for number in range(self.sums.size)
        ]
        for turn in range(self.stages - 1):
            body += self._copy(constant(turn))
            loads, stores = self._evaluate_ahead(constant(turn))
            body += [*loads, *stores]
        turn = of(self.turn)
        ahead = turn + (self.stages - 1)
        loads, stores = self._evaluate_ahead(ahead)
        inner: list[Statement] = [Barrier(), *self._copy(ahead), *loads]
        if self.left.copies or self.right.copies:
            inner.insert(0, Call(f"pg_copies_wait<{self.stages - 2}>"))
        inner += [*self.products(turn % self.stages), *stores]
        loop = For(self.turn, ZERO, constant(self.turn.high + 1), tuple(inner))
        return (*body, loop)

    def _copy(self, turn: Index) -> list[Statement]:
        """Begin to copy a depth tile of the factors that are copied."""
        body: list[Statement] = []
        for factor in (self.left, self.right):
            if not factor.copies:
                continue
            assert isinstance(factor.expr, Access)
            for number in range(factor.count):
                line, k, own = factor.place(of(self.thread), number)
                named, values, edge = self.point(factor, turn, line, k)
                access = factor.expr
                source = Address(self.memories[access.buffer], access.index.substitute(values))
                target = Address(factor.memory, factor.position(turn % self.stages, line, k))
                read = Predicate(access.mask.substitute(values) & edge)
                helper = f"pg_copy{factor.grain * access.dtype.itemsize}"
                copy = (*named, Call(helper, (target, source, read)))
                body += copy if own.always else [If(own, copy)]
        if body:
            body.append(Call("pg_copies_end"))
        return body

    def _evaluate_ahead(self, turn: Index) -> tuple[list[Statement], list[Statement]]:
        """The values of a depth tile of the factors that are not copied, and their stores."""
        loads: list[Statement] = []
        stores: list[Statement] = []
        for factor in (self.left, self.right):
            for number in range(0 if factor.copies else factor.count):
                line, k, own = factor.place(of(self.thread), number)
                statements, value = self.load(factor, turn, line, k, own)
                name = self.names.fresh(factor.name)
                loads += [*statements, Let(name, value)]
                place = factor.position(turn % self.stages, line, k)
                stores.append(Store(factor.memory, place, Ref(name, value.dtype), own))
        return loads, stores

    def load(
        self, factor: Factor, turn: Index, line: Index, k: Index, own: Mask
    ) -> tuple[Statements, Value]:
        """What a thread puts into an element of shared memory; zero beyond the last k."""
        named, values, edge = self.point(factor, turn, line, k)
        statements, value = self.element(factor, values, edge & own)
        return (*named, *statements), value

    def element(self, factor: Factor, values: Values, edge: Mask) -> tuple[Statements, Value]:
        """A factor's element at a point, zero outside of `edge`."""
        statements, value = self.evaluate(factor.expr, values, edge, {})
        if not edge.always and not _is_read(factor.expr):
            zero = Literal.of(0.0 if value.dtype.is_float else 0, value.dtype)
            value = Alu(Op.WHERE, (Predicate(edge), value, zero), value.dtype)
        return statements, value

    def point(
        self, factor: Factor, turn: Index, line: Index, k: Index
    ) -> tuple[Statements, Values, Mask]:
        """A point of a depth tile: names, the values of the groups' variables, where it exists."""
        turns = self.turn.high + 1
        named, line = self._name("line", factor.start + line)
        also, depth = self._name("depth", (self.part * turns + turn) * self.depth + k)
        edge = inside(line, factor.group.extent) & inside(depth, self.found.depth.extent)
        if self.parts > 1:
            edge &= inside(turn, turns)
        values = self.found.batch.at(self.batch) | self.found.depth.at(depth)
        return (named, also), values | factor.group.at(line), edge

    # --- results ------------------------------------------------------------------------------

    def write_back(self, partial: Memory | None) -> Statements:
        """The results through shared memory, some rows of each thread at a time."""
        body: list[Statement] = []
        if self.left.copies or self.right.copies:
            body.append(Call("pg_copies_wait<0>"))
        for number in range(self.rounds):
            body += [self.meet(), *self.staged(number), self.meet(), self._finish(number, partial)]
        return tuple(body)

    def _finish(self, number: int, partial: Memory | None) -> For:
        """The stages that follow the sum, at the points that are in shared memory."""

        def finish(width: int, near: Index) -> tuple[Var, Statements]:
            """For so many neighbouring columns of a point, of which one is `near`."""
            across = self.round_columns // width
            point = Var("point", 0, self.round_rows * across - 1)
            line, group = of(point) // across, of(point) % across
            total = Load(self.results, line * self.results_pitch + group * width + near)
            named, row = self._name("row", self.row + self.staged_row(number, line))
            start = (self.column + self.staged_column(number, ZERO)) // width
            also, group = self._name("columns", start + group)
            column = group * width + near
            if partial is not None:
                place = self._partial_at(self.part, self.batch, row, column)
                return point, (named, also, Store(partial, place, total))
            body = self._stages(total, self.batch, row, column)
            tall, wide = self.found.rows.extent, self.found.columns.extent // width
            return point, (named, also, *guarded(inside(row, tall) & inside(group, wide), body))

        columns = self.found.columns.extent if partial is None else self.columns
        point, body = self._widest(columns, finish)
        return For(point, of(self.thread), constant(point.high + 1), body, self.finishers)

    def _widest(
        self, columns: int, finish: Callable[[int, Index], tuple[Var, Statements]]
    ) -> tuple[Var, Statements]:
        """What `finish` makes, a variable and statements, for as many neighbouring columns as a
        thread can load and store together."""
        width = BYTES // self.dtype.itemsize
        while True:
            near = Var("near", 0, width - 1)
            var, body = finish(width, of(near))
            if columns % width == 0 and best_width(body, near) == width:
                return var, widened(body, near, ZERO, width)
            width //= 2

    def _partial_at(self, part: Index, batch: Index, row: Index, column: Index) -> Index:
        tall, wide = self.padded
        return ((part * self.found.batch.extent + batch) * tall + row) * wide + column

    def _add_parts(self, partial: Memory) -> Phase:
        """A thread for each result, or for neighbours where there are results enough, adds its
        partial sums in order, then what follows the sum."""
        rows, columns, _ = extents(self.found)

        def finish(width: int, near: Index) -> tuple[Var, Statements]:
            shape = self.found.batch.extent, rows, columns // width
            position = Var("position", 0, prod(shape) - 1)
            batch, row, group = delinearize(of(position), shape)
            column = group * width + near
            total: Value | None = None
            for part in range(self.parts):
                load = Load(partial, self._partial_at(constant(part), batch, row, column))
                total = load if total is None else Alu(Op.ADD, (total, load), self.dtype)
            assert total is not None
            return position, self._stages(total, batch, row, column)

        many = self.found.batch.extent * rows * columns >= BLOCKS * ADDERS * 4
        position, body = self._widest(columns if many else 1, finish)
        size = position.high + 1
        thread = Var("thread_number", 0, min(ADDERS, size) - 1)
        block = Var("block_number", 0, ceil_div(size, thread.high + 1) - 1)
        own = of(block) * (thread.high + 1) + of(thread)
        body = (Let(position.name, IndexValue(own, int64), position), *body)
        return phase_of(block, thread, guarded(inside(own, size), body))

    def _stages(self, total: Value, batch: Index, row: Index, column: Index) -> Statements:
        found = self.found
        values = found.batch.at(batch) | found.rows.at(row) | found.columns.at(column)
        body: list[Statement] = [Let("sum", cast(total, found.dtype))]
        known: dict[str, Value] = {name: Ref("sum", found.dtype) for name in found.names}
        if found.memory is not None:
            index = found.store.substitute(values)
            body.append(Store(self.memories[found.memory], index, Ref("sum", found.dtype)))
        for number, stage in enumerate(found.epilogue):
            statements, value = self.evaluate(stage.value, values, Mask(), known)
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

    def _name(self, stem: str, index: Index) -> tuple[Let, Index]:
        """An index under a name of its own."""
        var = Var(self.names.fresh(stem), 0, index.bounds()[1])
        return Let(var.name, IndexValue(index, int64), var), of(var)

    def evaluate(
        self, expr: Expr, values: Values, edge: Mask, known: dict[str, Value]
    ) -> tuple[Statements, Value]:
        """An expression at a point; nothing is read outside `edge`."""

        def load(access: Access) -> Value:
            found = known.get(access.buffer)
            if found is not None:
                return found
            return Load(self.memories[access.buffer], access.index, 1, access.mask)

        body = Body(load, self.names)
        value = body.value(rewrite(expr, lambda index: index.substitute(values), edge))
        return tuple(body.statements), value


def phase_of(block: Var, thread: Var, body: Statements) -> Phase:
    """One phase over blocks of threads."""
    threads, blocks = constant(thread.high + 1), constant(block.high + 1)
    inner = For(thread, ZERO, threads, body, kind=Kind.THREAD)
    return Phase(None, constant(1), (For(block, ZERO, blocks, (inner,), kind=Kind.BLOCK),))


def _is_read(expr: Expr) -> bool:
    """Whether an expression is an element as it is, which is zero where it is not read."""
    while isinstance(expr, Compute) and expr.op is Op.CAST:
        (expr,) = expr.args
    return isinstance(expr, Access)
