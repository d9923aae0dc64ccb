"""Let the threads of a GPU block share the work on each row.

In: a phase that is one nest of independent loops (the rows) around several loops, some of which
reduce, from `map_to_grid`. Out: the same rows, each given to `height` threads, which take its
points in turn, several neighbours at once where memory allows it, and combine their partial
results as a fixed tree: within a warp by exchanges, then through shared memory. Short rows go to a
block several at a time. So do rows that lie side by side in memory (the columns of a matrix, seen
from a sum over its rows), which then belong to neighbouring threads.

    for i0: acc = max over i1 of x[i0, i1]; for i1: y[i0, i1] = exp(x[i0, i1] - acc)

becomes, for 128 threads a row,

    block i0: thread t:
      part = max over i1 = t, t + 128, ... of x[i0, i1]
      5 exchanges: the maximum of each warp; shared[warp] = that; barrier; acc = max of shared
      for i1 = t, t + 128, ...: y[i0, i1] = exp(x[i0, i1] - acc)

What loops read again at the same points stays in registers (`passes/keep_rows.py`). Other rows that
a loop leaves for a later one move to shared memory, or to the workspace where they are too long; a
barrier stands between the two.

>>> _height(25, 100, 1 << 20), _height(1024, 4096, 4096), _height(1024, 4096, 8)
(32, 256, 1024)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from picograd.codegen.dependence import (
    Body,
    all_values,
    memories_read,
    memories_written,
    stride,
)
from picograd.codegen.expressions import combine
from picograd.codegen.homes import replace_memories
from picograd.codegen.loops import (
    Alu,
    Barrier,
    Carried,
    Exchange,
    Fold,
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
    Ref,
    Statement,
    Store,
    Value,
    statements,
)
from picograd.codegen.passes.keep_rows import RowPlan, plan_rows, row_width, turns
from picograd.codegen.passes.row_loops import can_share, combiner, extents, flat, flat_carried
from picograd.codegen.passes.share_scans import Scan, Team, items, scan_of, shared_scan
from picograd.codegen.wide import best_width, widened
from picograd.dtypes import DType, int64
from picograd.graph.index import ZERO, Index, Var, constant, delinearize, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Combiner, Op

SHORTEST = 32  # rows of fewer points have one thread each
WARP = 32
MOST_THREADS = 1024
BLOCK = 128  # threads of a block that has several rows
POINTS = 16  # that a thread has, where rows are long and many
FULL = 1 << 16  # threads that keep a GPU busy
SIDE_BY_SIDE = 32  # rows of one block where neighbours in memory belong to different rows
HIGHEST = 16  # threads of a row among neighbours
SHARED_BYTES = 32 << 10  # of a block, for scratch rows
ALIGNMENT = 256


@dataclass(frozen=True, slots=True)
class _Shape:
    """A block: `width` rows of `height` threads each. `beside`: neighbouring threads have
    neighbouring rows, else neighbouring points of one row."""

    width: int
    height: int
    beside: bool = False

    @property
    def threads(self) -> int:
        return self.width * self.height


def cooperate(function: Function, phase: Phase, rows: list[For]) -> tuple[Function, Phase] | None:
    """The function, with memories in other homes, and the phase over blocks; None where a row is
    too little work for several threads, or has a loop that they can't share."""
    body = rows[-1].body if rows else phase.body
    scans = [scan for scan in map(scan_of, body) if scan is not None]
    if not all(can_share(statement) or scan_of(statement) for statement in body):
        return None
    along, across = _directions(body, rows)
    count = prod(extents(rows))
    points = max((prod(extents(flat(s) or [])) for s in body if isinstance(s, For)), default=0)
    if points < SHORTEST or (across == along and count >= 1 << 14):
        return None  # enough rows for one thread each, which reads as well
    if scans and across > along and count >= FULL:
        return None
    if across > along and rows and count >= SIDE_BY_SIDE:
        rows, body, lanes = (rows, body, 1) if scans else _neighbours(rows, body)
        shape = _beside(points, SIDE_BY_SIDE // lanes)
        plan = plan_rows(body, shape.height, wide=False)
    else:
        groups = points // max([row_width(body), *(items(s.extent, s.width) for s in scans)])
        shape = _stacked(_height(groups, points, count), count)
        plan = plan_rows(body, shape.height, wide=True)
    return _Sharing(function, rows, body, shape, plan).result()


# --- how many threads -----------------------------------------------------------------------------


def _height(groups: int, points: int, count: int) -> int:
    """Threads of a row, a power of two: a warp, or as few as have something to do; more for a long
    row, and where rows are few."""
    height = 1
    while height < min(groups, WARP):
        height *= 2
    while height < MOST_THREADS and points > height * POINTS:
        height *= 2
    while height < MOST_THREADS and 2 * height <= groups and count * height < FULL:
        height *= 2
    return height


def _stacked(height: int, count: int) -> _Shape:
    """Rows above each other, in whole warps."""
    width = max(1, WARP // height)
    while width * height < BLOCK and width < count:
        width *= 2
    return _Shape(width, height)


def _beside(points: int, width: int) -> _Shape:
    """Rows side by side: as many threads each as have eight points, or a few."""
    height = WARP // width
    while height < HIGHEST * SIDE_BY_SIDE // width // 2 and height * POINTS < points:
        height *= 2
    return _Shape(width, height, True)


def _neighbours(rows: list[For], body: Body) -> tuple[list[For], Body, int]:
    """Rows and their body with neighbouring rows as lanes of one thread, where memory allows it."""
    last = rows[-1]
    (size,) = extents([last])
    lanes = best_width(body, last.var)
    while size % lanes or prod(extents(rows)) < lanes * SIDE_BY_SIDE:
        lanes //= 2
    if lanes == 1:
        return rows, body, 1
    group = Var(f"{last.var.name}group", 0, size // lanes - 1)
    body = widened(body, last.var, of(group) * lanes + last.begin, lanes)
    outer = replace(last, var=group, begin=ZERO, end=constant(size // lanes), body=body)
    return [*rows[:-1], outer], body, lanes


def _directions(body: Body, rows: list[For]) -> tuple[int, int]:
    """How many loads and stores are contiguous along a row, and from row to row."""
    along = across = 0
    outer = rows[-1].var if rows else None
    for statement in body:
        if not isinstance(statement, For):
            continue
        inner = (flat(statement) or [statement])[-1].var
        indices = [v.index for v in all_values((statement,)) if isinstance(v, Load)]
        indices += [s.index for s in statements((statement,)) if isinstance(s, Store)]
        along += sum(stride(index, inner) == 1 for index in indices)
        across += sum(outer is not None and stride(index, outer) == 1 for index in indices)
    return along, across


# --- the shared form ------------------------------------------------------------------------------


class _Sharing:
    def __init__(
        self, function: Function, rows: list[For], body: Body, shape: _Shape, plan: RowPlan
    ) -> None:
        self.function, self.rows, self.body, self.shape = function, rows, body, shape
        self.plan = plan
        self.count = prod(extents(rows))
        blocks = -(-self.count // shape.width)
        self.block = Var("block_number", 0, blocks - 1)
        self.thread = Var("thread_number", 0, shape.threads - 1)
        self.turn = Var("turn", 0, shape.height - 1)  # the thread's number within its row
        self.lane = Var("side", 0, shape.width - 1)  # the row's number within its block
        self.position = Var("position", 0, max(self.count - 1, 0))
        self.memories: list[Memory] = list(plan.memories)
        self.names = 0
        self.workspace = function.workspace

    def result(self) -> tuple[Function, Phase]:
        body = self._places() + self._with_barriers(self._moved(self.body))
        inner = For(self.thread, ZERO, constant(self.shape.threads), body, kind=Kind.THREAD)
        outer = For(self.block, ZERO, constant(self.block.high + 1), (inner,), kind=Kind.BLOCK)
        memories = (*self.function.memories, *self.memories)
        function = replace(self.function, memories=memories, workspace=self.workspace)
        return function, Phase(None, constant(1), (outer,))

    def _places(self) -> Body:
        """Which row a thread has, and which of the row's threads it is. Threads of a last block
        that is not full work on the last row too, and store nothing."""
        thread, shape = of(self.thread), self.shape
        turn, lane = thread % shape.height, thread // shape.height
        if shape.beside:
            turn, lane = thread // shape.width, thread % shape.width
        found: list[Statement] = [
            Let(self.turn.name, IndexValue(turn, int64), self.turn),
            Let(self.lane.name, IndexValue(lane, int64), self.lane),
        ]
        row: Value = IndexValue(self._row(), int64)
        if self._is_ragged():
            last = Literal.of(self.count - 1, int64)
            row = Alu(Op.MINIMUM, (row, last), int64)
        found.append(Let(self.position.name, row, self.position))
        places = delinearize(of(self.position), extents(self.rows))
        for loop, place in zip(self.rows, places, strict=True):
            found.append(Let(loop.var.name, IndexValue(place + loop.begin, int64), loop.var))
        return tuple(found)

    def _row(self) -> Index:
        return of(self.block) * self.shape.width + of(self.lane)

    def _is_ragged(self) -> bool:
        return self.count % self.shape.width != 0

    def _inside(self) -> Mask:
        """Where the thread's row exists."""
        return Mask().require(self.count - 1 - self._row()) if self._is_ragged() else Mask()

    def _first(self) -> Mask:
        """The first thread of each row that exists."""
        return self._inside().require(-of(self.turn))

    # --- memories -------------------------------------------------------------------------------

    def _moved(self, body: Body) -> Body:
        """Scratch rows in memory that all threads of the block see."""
        used = memories_read(body) | memories_written(body)
        mapping: dict[Memory, Memory] = {}
        starts: dict[Memory, Index] = {}
        space = SHARED_BYTES
        for memory in sorted(used, key=lambda memory: memory.name):
            if memory.home is not Home.SCRATCH or self.plan.is_private(memory):
                continue
            size = memory.size * self.shape.width
            space -= size * memory.dtype.itemsize
            if space >= 0:
                mapping[memory] = self._shared(f"{memory.name}_row", memory.dtype, size)
                starts[memory] = of(self.lane) * memory.size
            else:
                size = memory.size * self.count
                mapping[memory] = self._in_workspace(f"{memory.name}_rows", memory.dtype, size)
                starts[memory] = of(self.position) * memory.size
        return replace_memories(body, mapping, starts)

    def _shared(self, name: str, dtype: DType, size: int) -> Memory:
        """An array of a block; phases that want the same one declare it once."""
        made = Memory(name, dtype, size, Home.SHARED, written=True)
        declared = (*self.function.memories, *self.memories)
        while any(memory.name == made.name and memory != made for memory in declared):
            made = replace(made, name=f"{made.name}_other")
        if made not in declared:
            self.memories.append(made)
        return made

    def _in_workspace(self, name: str, dtype: DType, size: int) -> Memory:
        made = Memory(name, dtype, size, Home.WORKSPACE, 0, self.workspace, True)
        self.memories.append(made)
        self.workspace += -(-size * dtype.itemsize // ALIGNMENT) * ALIGNMENT
        return made

    # --- statements -----------------------------------------------------------------------------

    def _with_barriers(self, body: Body) -> Body:
        """The shared statements, with barriers where one reads what others have written."""
        done: list[Statement] = []
        read: set[Memory] = set()
        written: set[Memory] = set()
        for statement in body:
            reads, writes = memories_read((statement,)), memories_written((statement,))
            reads = {memory for memory in reads if not self.plan.is_private(memory)}
            writes = {memory for memory in writes if not self.plan.is_private(memory)}
            if reads & written or writes & (read | written):
                done.append(Barrier())
                read, written = set(), set()
            read |= reads
            written |= writes
            done += self._share(statement)
        return tuple(done)

    def _share(self, statement: Statement) -> Body:
        match statement:
            case For(carried=()):
                return (self._in_turns(statement, (), self._inside()),)
            case For() if (scan := scan_of(statement)) is not None:
                return self._run(scan)
            case For():
                return self._reduce(statement)
            case Store():
                return (replace(statement, mask=statement.mask & self._first()),)
            case _:
                return (statement,)

    def _in_turns(self, loop: For, carried: tuple[Carried, ...], mask: Mask) -> For:
        """The points of a nest that are this thread's."""
        nest = flat(loop)
        assert nest is not None
        self.names += 1
        made = turns(self.plan, nest, carried, of(self.turn), self.names)
        return replace(made, body=_masked(made.body, mask))

    def _run(self, scan: Scan) -> Body:
        """A running combination."""
        self.names += 1
        shape = self.shape
        parts = self._partials(scan.dtype, 1)
        team = Team(
            *(of(self.turn), shape.height, of(self.thread), of(self.lane)),
            *(shape.width, shape.beside, parts),
        )
        body, kept = shared_scan(scan, team, self._inside(), self.names)
        self.memories.append(kept)
        return body

    def _reduce(self, loop: For) -> Body:
        """Partial results of each thread, then their combination."""
        parts = [replace(one, name=f"{one.name}.part") for one in flat_carried(loop)]
        names = {one.name: f"{one.name}.part" for one in (flat(loop) or [loop])[-1].carried}
        parts = [replace(one, next=_renamed(one.next, names)) for one in parts]
        nest = flat(loop) or [loop]
        inner = tuple(_renamed_statement(s, names) for s in nest[-1].body)
        renamed = _with_innermost(nest, inner)
        body: list[Statement] = [self._in_turns(renamed, tuple(parts), Mask())]
        for outer, part in zip(loop.carried, parts, strict=True):
            how = combiner(part)
            assert how is not None
            width = self.plan.width_of(nest)
            value: Value = Ref(part.name, part.dtype, part.lanes * width)
            if width > 1:
                value = Fold(how, value)
            body += self._combine(how, value, outer.name)
        return tuple(body)

    def _combine(self, combiner: Combiner, value: Value, name: str) -> Body:
        """The parts of a row's threads combined, always in the same order."""
        if self.shape.beside:
            return self._combine_neighbours(combiner, value, name)
        body: list[Statement] = []
        distance = min(self.shape.height, WARP) // 2
        while distance:
            body.append(Let(f"{name}.{distance}", value))
            one = Ref(f"{name}.{distance}", value.dtype)
            value = combine(combiner, one, Exchange(one, distance))
            distance //= 2
        warps = self.shape.height // WARP
        if warps <= 1:
            return (*body, Let(name, value))
        memory = self._shared(
            f"{name.replace('.', '_')}_parts", value.dtype, self.shape.threads // WARP
        )
        first = Mask().require(-(of(self.thread) % WARP))
        body.append(Let(f"{name}.warp", value))
        one = Ref(f"{name}.warp", value.dtype)
        body += [Store(memory, of(self.thread) // WARP, one, first), Barrier()]
        loads: list[Value] = [Load(memory, of(self.lane) * warps + n) for n in range(warps)]
        return (*body, Let(name, _tree(combiner, loads)))

    def _combine_neighbours(self, combiner: Combiner, value: Value, name: str) -> Body:
        shape, lanes = self.shape, value.lanes
        memory = self._partials(value.dtype, lanes)
        within = of(Var("lane", 0, lanes - 1, lanes)) if lanes > 1 else ZERO

        def place(turn: Index) -> Index:
            return (turn * shape.width + of(self.lane)) * lanes + within

        loads: list[Value] = [
            Load(memory, place(constant(turn)), lanes) for turn in range(shape.height)
        ]
        total = _tree(combiner, loads)
        return (
            Store(memory, place(of(self.turn)), value),
            Barrier(),
            Let(name, total),
            Barrier(),
        )

    def _partials(self, dtype: DType, lanes: int) -> Memory:
        """One number a thread; a barrier stands behind each use, so that uses can share it."""
        return self._shared(f"parts_{dtype.name}_{lanes}", dtype, self.shape.threads * lanes)


def _tree(combiner: Combiner, values: list[Value]) -> Value:
    """Values combined, halves first; their count is a power of two."""
    while len(values) > 1:
        half = len(values) // 2
        values = [combine(combiner, values[n], values[n + half]) for n in range(half)]
    return values[0]


def _with_innermost(nest: list[For], body: Body) -> For:
    for loop in reversed(nest):
        body = (replace(loop, body=body),)
    (made,) = body
    assert isinstance(made, For)
    return made


def _masked(body: Body, mask: Mask) -> Body:
    """The body storing only where the mask holds."""
    if mask.always:
        return body
    return tuple(
        replace(s, mask=s.mask & mask)
        if isinstance(s, Store)
        else replace(s, body=_masked(s.body, mask))
        if isinstance(s, For | If)
        else s
        for s in body
    )


def _renamed(value: Value, names: dict[str, str]) -> Value:
    """A value with other names in its references."""
    match value:
        case Ref():
            return replace(value, name=names.get(value.name, value.name))
        case Alu():
            return replace(value, args=tuple(_renamed(arg, names) for arg in value.args))
        case MulAdd():
            a, b, c = (_renamed(part, names) for part in (value.a, value.b, value.c))
            return replace(value, a=a, b=b, c=c)
        case _:
            return value


def _renamed_statement(statement: Statement, names: dict[str, str]) -> Statement:
    """A statement of a reduction's body: only its accumulators' names change."""
    match statement:
        case Let():
            return replace(statement, value=_renamed(statement.value, names))
        case For():
            carried = tuple(
                replace(c, init=_renamed(c.init, names), next=_renamed(c.next, names))
                for c in statement.carried
            )
            body = tuple(_renamed_statement(s, names) for s in statement.body)
            return replace(statement, carried=carried, body=body)
        case _:
            return statement
