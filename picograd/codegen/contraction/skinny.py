"""Lower a product with few rows (or columns) to one reading of the large factor.

In: a CONTRACTION kernel with at most 15 rows or columns. Out: a loop IR function over blocks of
threads, or None where another schedule is better. `codegen.cuda.render` calls it. Reading the large
factor takes the time: threads read it 16 bytes at a time, once, for all of the few lines.

    contiguous along k      a warp for each line: its threads share k, and add up by shuffles
    contiguous along lines  a warp for neighbouring lines; the eight warps of a block share k and
                            add up in shared memory, and so do several blocks: their partial sums
                            lie in the workspace, and a second phase adds them in order

>>> MOST, LINES
(15, 8)
"""

from __future__ import annotations

from picograd.codegen.contraction.axes import Contraction, Group, analyse
from picograd.codegen.contraction.expressions import accesses
from picograd.codegen.contraction.frame import guarded, inside, lane_index, lane_variable
from picograd.codegen.contraction.grid import BLOCKS, LEAST, PART, Grid, Statements, phase_of
from picograd.codegen.contraction.groups import Values
from picograd.codegen.contraction.lanes import widen
from picograd.codegen.contraction.packing import unit
from picograd.codegen.contraction.staging import BYTES
from picograd.codegen.contraction.tiles import ceil_div
from picograd.codegen.expressions import Names
from picograd.codegen.homes import argument_memories
from picograd.codegen.loops import (
    Alu,
    Barrier,
    Broadcast,
    Exchange,
    Fold,
    For,
    Function,
    Home,
    If,
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
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Combiner, Op
from picograd.schedule.kernel import Expr, Kernel

MOST = LEAST - 1
WARP, LINES = 32, 8  # threads of a warp, warps of a block
THREADS = WARP * LINES
SHORTEST = 64  # k


def lower_skinny(kernel: Kernel) -> Function | None:
    """The function of a kernel that multiplies a large factor by few lines."""
    found = analyse(kernel, SCALAR)
    if found is None or found.accumulator.is_complex or found.accumulator.itemsize not in (4, 8):
        return None
    rows, columns, depth = found.rows.extent, found.columns.extent, found.depth.extent
    if min(rows, columns) > MOST or max(rows, columns) < WARP or depth < SHORTEST:
        return None
    large, lines = (found.left, found.rows) if rows > columns else (found.right, found.columns)
    along_depth, along_lines = unit(large, found.depth), unit(large, lines)
    if not along_depth and not along_lines:
        return None
    return (_Rows if along_depth >= along_lines else _Columns)(kernel, found).function()


class _Skinny(Grid):
    """What both ways share: the lines of the large factor, the few of the other."""

    threads = finishers = THREADS

    def __init__(self, kernel: Kernel, found: Contraction) -> None:
        self.kernel, self.found, self.dtype = kernel, found, found.accumulator
        self.names, self.memories, self.shared = Names(), argument_memories(kernel), 0
        self.large_is_left = found.rows.extent > found.columns.extent
        factors = (found.left, found.rows), (found.right, found.columns)
        (self.large, self.lines), (self.small, self.few) = (
            factors if self.large_is_left else factors[::-1]
        )
        self.count = self.few.extent
        self.thread = Var("thread_number", 0, THREADS - 1)
        self.warp, self.lane = of(self.thread) // WARP, of(self.thread) % WARP
        self.width = self._width()
        self.parts = 1
        self._arrange()
        size = self.count * self.width
        self.sums = Memory("sums", self.dtype, size, Home.REGISTER, written=True)

    def _arrange(self) -> None:
        """Which lines and k a thread has."""
        raise NotImplementedError

    def _along(self) -> Group:
        """The direction in which a thread reads neighbours."""
        raise NotImplementedError

    def _width(self) -> int:
        """How many neighbours a thread reads together."""
        along = self._along()
        sizes = [a.dtype.itemsize for a in accesses(self.large) if along.step(a.index) == 1]
        width = BYTES // max(sizes)
        return width if width <= 8 and along.extent % width == 0 else 1

    def _blocks(self, count: int) -> Var:
        return Var("block_number", 0, count - 1)

    def _point(self, few: Index, line: Index) -> tuple[Index, Index]:
        """(row, column) of a result."""
        return (line, few) if self.large_is_left else (few, line)

    def _accumulate(self, line: Index, depth: Index, edge: Mask, lanes_in_line: bool) -> Statements:
        """Add the products of a thread's neighbours, which begin at a line and a k."""
        neighbour = lane_index(self.width)
        lines = line + neighbour if lanes_in_line else line
        k = depth if lanes_in_line else depth + neighbour
        values = self.found.batch.at(self.batch) | self.found.depth.at(k)
        body, large = self._wide(self.large, values | self.lines.at(lines), edge)
        body.append(Let("large", large))
        large = Ref("large", self.dtype, self.width)
        for number in range(self.count):
            more, small = self._wide(self.small, values | self.few.at(constant(number)), edge)
            at = number * self.width + neighbour
            total = Load(self.sums, at, self.width)
            body += more
            body.append(Store(self.sums, at, MulAdd(large, small, total, self.dtype, self.width)))
        return tuple(body)

    def _wide(self, expr: Expr, values: Values, edge: Mask) -> tuple[list[Statement], Value]:
        """An expression in all lanes, zero outside of `edge`."""
        statements, value = self.evaluate(expr, values, edge, {})
        if not edge.always:
            zero = Literal.of(0.0 if self.dtype.is_float else 0, self.dtype)
            value = Alu(Op.WHERE, (Predicate(edge), value, zero), self.dtype)
        if self.width == 1:
            return list(statements), value
        wide, value = widen(statements, value, lane_variable(self.width))
        return list(wide), value if value.lanes > 1 else Broadcast(value, self.width)

    def _zero(self) -> Statements:
        zero = Literal.of(0.0 if self.dtype.is_float else 0, self.dtype)
        return tuple(Store(self.sums, constant(n), zero) for n in range(self.sums.size))

    def _results(self, size: int) -> Memory:
        self.results = self.share("results", self.dtype, size)
        return self.results

    def _function(self, phases: list[Phase], partial: Memory | None) -> Function:
        memories = [*self.memories.values(), self.sums, self.results]
        workspace = 0
        if partial is not None:
            memories.append(partial)
            workspace = partial.size * self.dtype.itemsize
        return Function(
            self.kernel.name,
            tuple(memories),
            self.kernel.scalars,
            tuple(phases),
            workspace,
            shared=self.shared,
        )


class _Rows(_Skinny):
    """The large factor is contiguous along k: a warp for each of its lines."""

    def _along(self) -> Group:
        return self.found.depth

    def _arrange(self) -> None:
        groups = ceil_div(self.lines.extent, LINES)
        self.block = self._blocks(self.found.batch.extent * groups)
        self.batch = of(self.block) // groups
        self.first = of(self.block) % groups * LINES
        self.turn = Var("turn", 0, ceil_div(self.found.depth.extent, WARP * self.width) - 1)

    def function(self) -> Function:
        results = self._results(self.count * LINES)
        named, line = self._name("line", self.first + self.warp)
        # Not under a name of its own: that it is a multiple of the width has to be seen.
        depth = (of(self.turn) * WARP + self.lane) * self.width
        edge = inside(line, self.lines.extent) & inside(depth, self.found.depth.extent)
        inner = self._accumulate(line, depth, edge, lanes_in_line=False)
        body: list[Statement] = [*self._zero(), named]
        body.append(For(self.turn, ZERO, constant(self.turn.high + 1), inner))
        first = Mask().require(-self.lane)
        for number in range(self.count):
            statements, total = self._total(number)
            place = self.warp + number * LINES
            body += [*statements, If(first, (Store(results, place, total),))]
        body += [Barrier(), self._finish_lines(results)]
        return self._function([phase_of(self.block, self.thread, tuple(body))], None)

    def _total(self, number: int) -> tuple[list[Statement], Value]:
        """The sum of all lanes of a thread, then of all threads of the warp."""
        place = number * self.width + lane_index(self.width)
        value: Value = Load(self.sums, place, self.width)
        if self.width > 1:
            value = Fold(Combiner.SUM, value)
        body: list[Statement] = []
        distance = WARP // 2
        while distance:
            name = self.names.fresh("total")
            body.append(Let(name, value))
            known = Ref(name, self.dtype)
            value = Alu(Op.ADD, (known, Exchange(known, distance)), self.dtype)
            distance //= 2
        name = self.names.fresh("total")  # here, where all threads of the warp are
        body.append(Let(name, value))
        return body, Ref(name, self.dtype)

    def _finish_lines(self, results: Memory) -> For:
        point = Var("point", 0, results.size - 1)
        named, line = self._name("line", self.first + of(point) % LINES)
        row, column = self._point(of(point) // LINES, line)
        stages = self._stages(Load(results, of(point)), self.batch, row, column)
        body = guarded(inside(line, self.lines.extent), stages)
        return For(point, of(self.thread), constant(results.size), (named, *body), THREADS)


class _Columns(_Skinny):
    """The large factor is contiguous along its lines: neighbouring threads have neighbours."""

    def _along(self) -> Group:
        return self.lines

    def _arrange(self) -> None:
        depth, batch = self.found.depth.extent, self.found.batch.extent
        self.span = WARP * self.width  # lines of a block
        groups = ceil_div(self.lines.extent, self.span)
        wanted = max(1, 2 * BLOCKS // (batch * groups))
        self.parts = max(2, min(wanted, depth // PART))
        self.share_of = ceil_div(depth, self.parts)  # k of a part
        self.turn = Var("turn", 0, ceil_div(self.share_of, LINES) - 1)
        self.block = self._blocks(self.parts * batch * groups)
        self.part = of(self.block) // (batch * groups)
        self.batch = of(self.block) // groups % batch
        self.first = of(self.block) % groups * self.span
        shape = self.count, groups * self.span
        self.padded = shape[::-1] if self.large_is_left else shape

    def function(self) -> Function:
        results = self._results(THREADS * self.width)
        size = self.parts * self.found.batch.extent * self.padded[0] * self.padded[1]
        partial = Memory("partial", self.dtype, size, Home.WORKSPACE, written=True)
        line = self.first + self.lane * self.width
        own = of(self.turn) * LINES + self.warp
        also, depth = self._name("depth", self.part * self.share_of + own)
        edge = inside(line, self.lines.extent) & inside(depth, self.found.depth.extent)
        edge &= inside(own, self.share_of)
        inner = (also, *self._accumulate(line, depth, edge, lanes_in_line=True))
        body: list[Statement] = [*self._zero()]
        body.append(For(self.turn, ZERO, constant(self.turn.high + 1), inner))
        for number in range(self.count):
            place = lane_index(self.width)
            total = Load(self.sums, place + number * self.width, self.width)
            where = of(self.thread) * self.width + place
            body += [Barrier(), Store(results, where, total), Barrier()]
            body.append(self._add_warps(results, partial, number))
        phases = [phase_of(self.block, self.thread, tuple(body)), self._add_parts(partial)]
        return self._function(phases, partial)

    def _add_warps(self, results: Memory, partial: Memory, number: int) -> For:
        point = Var("point", 0, self.span - 1)
        total: Value = Load(results, of(point))
        for warp in range(1, LINES):
            total = Alu(Op.ADD, (total, Load(results, of(point) + warp * self.span)), self.dtype)
        row, column = self._point(constant(number), self.first + of(point))
        store = Store(partial, self._partial_at(self.part, self.batch, row, column), total)
        return For(point, of(self.thread), constant(self.span), (store,), THREADS)
