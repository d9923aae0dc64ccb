"""Let the threads of a GPU block share the work on each row.

In: a phase that is one nest of independent loops (the rows) around several loops, some of which
reduce, from `map_to_grid`. Out: the same rows, each given to `height` threads, which take its
points in turn and combine their partial results in shared memory, as a fixed tree. Rows that lie
side by side in memory (the columns of a matrix, seen from a sum over its rows) go to a block 32 at
a time, so that neighbouring threads read neighbouring elements.

    for i0: acc = max over i1 of x[i0, i1]; for i1: y[i0, i1] = exp(x[i0, i1] - acc)

becomes, for 128 threads a row,

    block i0: thread t:
      part = max over i1 = t, t + 128, ... of x[i0, i1]
      shared[t] = part; barrier; tree of 7 steps; acc = shared[0]
      for i1 = t, t + 128, ...: y[i0, i1] = exp(x[i0, i1] - acc)

What a loop leaves for a later one to read (a scratch row) moves to shared memory, or to the
workspace where it is too long; a barrier stands between the two.

>>> _power(100), _power(4096)
(64, 512)
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
from picograd.codegen.expressions import COMBINE, identity
from picograd.codegen.homes import replace_memories
from picograd.codegen.loops import (
    Alu,
    Barrier,
    Carried,
    Fail,
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
from picograd.dtypes import DType, int64
from picograd.graph.index import ZERO, Index, Var, constant, delinearize, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Combiner, Op

SHORTEST = 32  # rows of fewer points have one thread each
MOST_THREADS = 512
POINTS = 8  # that a thread should have at least, where rows are long
SIDE_BY_SIDE = 32  # rows of one block where neighbours in memory belong to different rows
SHARED_BYTES = 32 << 10  # of a block, for scratch rows
ALIGNMENT = 256

_COMBINERS = {op: combiner for combiner, op in COMBINE.items()}


@dataclass(frozen=True, slots=True)
class _Shape:
    """A block: `width` rows of `height` threads each."""

    width: int
    height: int

    @property
    def threads(self) -> int:
        return self.width * self.height


def cooperate(function: Function, phase: Phase, rows: list[For]) -> tuple[Function, Phase] | None:
    """The function, with memories in other homes, and the phase over blocks; None where a row is
    too little work for several threads, or has a loop that they can't share."""
    body = rows[-1].body if rows else phase.body
    if not all(_can_share(statement) for statement in body):
        return None
    shape = _shape(body, rows)
    if shape is None:
        return None
    return _Sharing(function, rows, body, shape).result()


# --- what can be shared ---------------------------------------------------------------------------


def _can_share(statement: Statement) -> bool:
    """Whether several threads can do a statement of a row together, or each for itself."""
    match statement:
        case For(carried=()):
            return statement.independent and _flat(statement) is not None
        case For():
            return _flat(statement) is not None and all(
                _combiner(carried) is not None for carried in _flat_carried(statement)
            )
        case Let() | Store() | Fail():
            return True
        case _:
            return False


def _flat(loop: For) -> list[For] | None:
    """The loops of a nest whose points may be taken in any order, outermost first."""
    found = [loop]
    while True:
        inner = found[-1]
        if not (inner.begin.is_constant and inner.end.is_constant) or inner.step != 1:
            return None
        body = inner.body
        if len(body) != 1 or not isinstance(body[0], For):
            return found
        if not _continues(inner, body[0]):
            return found
        found.append(body[0])


def _continues(outer: For, inner: For) -> bool:
    """Whether an inner loop goes on with what the outer one carries, or both carry nothing."""
    if not outer.carried:
        return not inner.carried and inner.independent
    return len(outer.carried) == len(inner.carried) and all(
        isinstance(below.init, Ref)
        and below.init.name == above.name
        and isinstance(above.next, Ref)
        and above.next.name == below.name
        for above, below in zip(outer.carried, inner.carried, strict=True)
    )


def _flat_carried(loop: For) -> tuple[Carried, ...]:
    """What the innermost loop of the nest carries, from what the nest starts with."""
    nest = _flat(loop)
    assert nest is not None
    return tuple(
        replace(inner, init=outer.init)
        for outer, inner in zip(loop.carried, nest[-1].carried, strict=True)
    )


def _combiner(carried: Carried) -> Combiner | None:
    """How a carried value grows, if it starts with nothing and combines with one value a point."""
    value, own = carried.next, Ref(carried.name, carried.dtype)
    combiner = None
    if isinstance(value, Alu) and value.op in _COMBINERS and value.args[0] == own:
        combiner = _COMBINERS[value.op]
    elif isinstance(value, MulAdd) and value.c == own:
        combiner = Combiner.SUM
    if combiner is None or carried.init != identity(combiner, carried.dtype):
        return None
    return combiner


# --- how many threads -----------------------------------------------------------------------------


def _power(points: int) -> int:
    """Threads for a row of so many points: a power of two."""
    threads = 32
    while threads * 2 <= min(points, MOST_THREADS) and threads * POINTS < max(points, 512):
        threads *= 2
    return threads


def _shape(body: Body, rows: list[For]) -> _Shape | None:
    loops = [statement for statement in body if isinstance(statement, For)]
    points = max((prod(_extents(_flat(loop) or [])) for loop in loops), default=0)
    if points < SHORTEST:
        return None
    along, across = _directions(body, rows)
    count = prod(_extents(rows))
    if across > along and rows and count >= SIDE_BY_SIDE:
        return _Shape(SIDE_BY_SIDE, min(16, _power(points) // 2))
    if across == along and count >= 1 << 14:
        return None  # enough rows for one thread each, which reads as well
    return _Shape(1, _power(points))


def _extents(loops: list[For]) -> list[int]:
    return [loop.end.constant - loop.begin.constant for loop in loops]


def _directions(body: Body, rows: list[For]) -> tuple[int, int]:
    """How many loads and stores are contiguous along a row, and from row to row."""
    along = across = 0
    outer = rows[-1].var if rows else None
    for statement in body:
        if not isinstance(statement, For):
            continue
        inner = (_flat(statement) or [statement])[-1].var
        indices = [v.index for v in all_values((statement,)) if isinstance(v, Load)]
        indices += [s.index for s in statements((statement,)) if isinstance(s, Store)]
        along += sum(stride(index, inner) == 1 for index in indices)
        across += sum(outer is not None and stride(index, outer) == 1 for index in indices)
    return along, across


# --- the shared form ------------------------------------------------------------------------------


class _Sharing:
    def __init__(self, function: Function, rows: list[For], body: Body, shape: _Shape) -> None:
        self.function, self.rows, self.body, self.shape = function, rows, body, shape
        self.count = prod(_extents(rows))
        blocks = -(-self.count // shape.width)
        self.block = Var("block_number", 0, blocks - 1)
        self.thread = Var("thread_number", 0, shape.threads - 1)
        self.turn = Var("turn", 0, shape.height - 1)  # the thread's number within its row
        self.lane = Var("side", 0, shape.width - 1)  # the row's number within its block
        self.position = Var("position", 0, max(self.count - 1, 0))
        self.memories: list[Memory] = []
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
        wide = self.shape.width > 1
        turn = of(self.thread) // self.shape.width
        lane = of(self.thread) % self.shape.width if wide else ZERO
        found: list[Statement] = [
            Let(self.turn.name, IndexValue(turn, int64), self.turn),
            Let(self.lane.name, IndexValue(lane, int64), self.lane),
        ]
        row: Value = IndexValue(self._row(), int64)
        if self._is_ragged():
            last = Literal.of(self.count - 1, int64)
            row = Alu(Op.MINIMUM, (row, last), int64)
        found.append(Let(self.position.name, row, self.position))
        places = delinearize(of(self.position), _extents(self.rows))
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
            if memory.home is not Home.SCRATCH:
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
        made = Memory(name, dtype, size, Home.SHARED, written=True)
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
            case For():
                return self._reduce(statement)
            case Store():
                return (replace(statement, mask=statement.mask & self._first()),)
            case _:
                return (statement,)

    def _in_turns(self, loop: For, carried: tuple[Carried, ...], mask: Mask) -> For:
        """The points of a nest that are this thread's."""
        nest = _flat(loop)
        assert nest is not None
        extents = _extents(nest)
        size, height = prod(extents), self.shape.height
        self.names += 1
        point = Var(f"point{self.names}", 0, max(size - 1, 0))
        named = tuple(
            Let(inner.var.name, IndexValue(place + inner.begin, int64), inner.var)
            for inner, place in zip(nest, delinearize(of(point), extents), strict=True)
        )
        body = named + _masked(nest[-1].body, mask)
        return For(point, of(self.turn), constant(size), body, height, carried=carried)

    def _reduce(self, loop: For) -> Body:
        """Partial results of each thread, then their combination."""
        parts = [replace(one, name=f"{one.name}.part") for one in _flat_carried(loop)]
        names = {one.name: f"{one.name}.part" for one in (_flat(loop) or [loop])[-1].carried}
        parts = [replace(one, next=_renamed(one.next, names)) for one in parts]
        turns = self._in_turns(loop, tuple(parts), Mask())
        turns = replace(turns, body=tuple(_renamed_statement(s, names) for s in turns.body))
        body: list[Statement] = [turns]
        for outer, part in zip(loop.carried, parts, strict=True):
            combiner = _combiner(part)
            assert combiner is not None
            body += self._tree(combiner, part, outer.name)
        return tuple(body)

    def _tree(self, combiner: Combiner, part: Carried, name: str) -> Body:
        """The threads' parts combined: halves first, always in the same order."""
        shape, here = self.shape, of(self.thread)
        memory = self._partials(part.dtype)
        body: list[Statement] = [Store(memory, here, Ref(part.name, part.dtype)), Barrier()]
        step = shape.height // 2
        while step:
            other = Load(memory, here + step * shape.width)
            total = Alu(COMBINE[combiner], (Load(memory, here), other), part.dtype)
            mask = Mask().require(step - 1 - of(self.turn))
            body += [If(mask, (Store(memory, here, total),)), Barrier()]
            step //= 2
        body += [Let(name, Load(memory, of(self.lane))), Barrier()]
        return tuple(body)

    def _partials(self, dtype: DType) -> Memory:
        """One number a thread; a barrier stands behind each use, so that uses can share it."""
        name = f"parts_{dtype.name}"
        known = [memory for memory in self.memories if memory.name == name]
        return known[0] if known else self._shared(name, dtype, self.shape.threads)


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
