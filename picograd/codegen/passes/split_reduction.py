"""Split big reductions over few points, so that all cores can work on them.

In: plain nests. Out: phases that leave one partial result for each block in the workspace, and
phases that combine them in order. Called by `codegen.pipeline` before `choose_axes`, and by
`passes.map_to_grid` for a GPU, whose blocks of threads are more than a CPU's cores.

The sum of 16 million numbers is one loop over one point; the sums of the columns of a tall matrix
are a few. Blocks depend on the extents alone, so results do not depend on the number of cores.
Statements around a split reduction get phases of their own; names that they share travel through
the workspace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from picograd.codegen.dependence import (
    Body,
    all_values,
    memories_read,
    memories_written,
    stride,
    trip,
)
from picograd.codegen.expressions import combine, identity
from picograd.codegen.homes import replace_memories
from picograd.codegen.loops import (
    Carried,
    For,
    Function,
    Home,
    Let,
    Load,
    Memory,
    Phase,
    Ref,
    Statement,
    Store,
    statements,
)
from picograd.codegen.lower import aligned, block_count, loop
from picograd.codegen.passes.vectorise import combiner_of
from picograd.codegen.target import Target
from picograd.graph.index import ZERO, Index, Var, constant, of

BIG = 1 << 16  # points of all loops together that make a split worth its phases
PART = 1 << 14  # points of one block, at least
COLUMN_BLOCKS = 64  # at most this many blocks where a block leaves a whole row of results
COMBINED = ".all"  # ends the names of accumulators of partial results
BLOCK_NAMES = ("block", "blocks")


@dataclass(frozen=True, slots=True)
class Few:
    """Fewer `rows` than this are split, and fewer `columns` (along memory), in parts that are so
    much `finer`, and whose lengths are multiples of `aligned` where they are longer."""

    rows: int
    columns: int
    finer: int
    aligned: int


CORES = Few(16, 2048, 1, 1)
GRID = Few(64, 8192, 4, 32)  # parts begin where threads can move 16 bytes


def split_reduction(function: Function, target: Target) -> Function:
    """Every big reduction over few points in blocks, for a CPU."""
    return split_few(function, CORES)


def split_few(function: Function, few: Few) -> Function:
    """Every big reduction over few points in blocks."""
    if function.scratch:
        shared = _share_scratch(function)
        return function if shared is None else split_few(shared, few)
    splitter = _Splitter(function, few)
    phases: list[Phase] = []
    for phase in function.phases:
        phases.extend(splitter.phase(phase))
    if len(phases) == len(function.phases):
        return function
    memories = (*function.memories, *splitter.made)
    return replace(function, memories=memories, phases=tuple(phases), workspace=splitter.workspace)


def _share_scratch(function: Function) -> Function | None:
    """Rows that one domain point keeps between its stages, in memory that all cores see; None
    where there are several points or nothing to split."""
    domains = [_peel(phase.body) for phase in function.phases]
    if any(domain.points > 1 or _keeps_rows(body) for domain, body in domains):
        return None
    if not any(isinstance(s, For) and _points(s) >= BIG for _, body in domains for s in body):
        return None
    room = function.workspace
    mapping = {
        memory: replace(memory, home=Home.WORKSPACE, offset=memory.offset + room)
        for memory in function.memories
        if memory.home is Home.SCRATCH
    }
    return replace(
        function,
        memories=tuple(mapping.get(memory, memory) for memory in function.memories),
        phases=tuple(
            replace(phase, body=replace_memories(phase.body, mapping)) for phase in function.phases
        ),
        workspace=room + function.scratch,
        scratch=0,
    )


def _keeps_rows(body: Body) -> bool:
    """Whether iterations of an independent loop each fill and read a row of their own."""
    for statement in body:
        if isinstance(statement, For) and statement.independent:
            rows = memories_written((statement,)) & memories_read((statement,))
            if any(memory.home is Home.SCRATCH for memory in rows):
                return True
    return False


@dataclass(frozen=True, slots=True)
class _Domain:
    """The independent loops around some statements, their points and a point's number."""

    loops: tuple[For, ...]
    points: int
    position: Index

    def around(self, body: Body) -> Body:
        for outer in reversed(self.loops):
            body = (replace(outer, body=body),)
        return body


class _Splitter:
    def __init__(self, function: Function, few: Few) -> None:
        self.function, self.workspace, self.limit = function, function.workspace, few
        self.made: list[Memory] = []

    def phase(self, phase: Phase) -> list[Phase]:
        """The phases that take one phase's place."""
        domain, body = _peel(phase.body)
        if phase.var is not None or domain.points >= self.limit.columns:
            return [phase]
        done: list[Phase] = []
        prologue: Body = ()
        while True:
            big = self.next_big(domain, body)
            if big is None:
                break
            before, after = body[:big], body[big + 1 :]
            if all(isinstance(statement, Let) for statement in before):
                prologue = before
            else:
                stores, prologue = self.save(before, body[big:], domain)
                done.append(self.made_phase(domain, before + stores))
            made = body[big]
            assert isinstance(made, For)
            if made.reduces is None:
                done.append(self.made_phase(domain, (*prologue, made)))
                body = (*prologue, *after)
            else:
                parts, total = self.split(made, domain)
                done.append(Phase(None, constant(1), parts(prologue)))
                body = (*prologue, *total, *after)
        if not done:
            return [phase]
        if any(not isinstance(statement, Let) for statement in body):
            done.append(self.made_phase(domain, body))
        return done

    def made_phase(self, domain: _Domain, body: Body) -> Phase:
        return Phase(None, constant(1), domain.around(body))

    def next_big(self, domain: _Domain, body: Body) -> int | None:
        """The first statement that deserves phases of its own."""
        for number, statement in enumerate(body):
            if not isinstance(statement, For):
                continue
            points = _points(statement)
            if points * domain.points < BIG:
                continue
            if statement.reduces is not None and self.few(domain, statement):
                return number
            alone = (
                all(isinstance(other, Let) for other in body[:number]) and not body[number + 1 :]
            )
            if statement.independent and not alone and self.splits_maps(domain):
                return number
        return None

    def splits_maps(self, domain: _Domain) -> bool:
        return domain.points < self.limit.rows and not self.function.scratch

    def few(self, domain: _Domain, reduction: For) -> bool:
        """Whether the points around a reduction are too few to be shared out. Rows are worth
        more than columns, which share the cache lines that are read."""
        var, count = _longest(reduction)
        if len(reduction.carried) != 1 or count < 16:
            return False
        if reduction.carried[0].name.endswith(COMBINED):
            return False
        if var != reduction.var and not _only_accumulates(reduction):
            return False
        if domain.points == 1:
            return True
        inner = domain.loops[-1].var
        chain = set(_chain_variables(reduction))
        loads = [value for value in all_values((reduction,)) if isinstance(value, Load)]
        columns = any(
            stride(load.index, inner) == 1 and not any(stride(load.index, v) == 1 for v in chain)
            for load in loads
        )
        return domain.points < (self.limit.columns if columns else self.limit.rows)

    # --- one reduction ----------------------------------------------------------------------------

    def split(self, reduction: For, domain: _Domain) -> tuple[Callable[[Body], Body], Body]:
        """A function from a prologue to the statements of the blocks, and the statements that
        combine the partial results."""
        var, count = _longest(reduction)
        (carried,) = reduction.carried
        combiner = combiner_of(carried, reduction)
        others = max(1, _points(reduction) // count) * domain.points
        least = max(
            1,
            PART // self.limit.finer // others,
            count // COLUMN_BLOCKS if domain.points > 1 else 1,
        )
        blocks = block_count(count, least)
        size = count // blocks
        if size > self.limit.aligned:
            size -= size % self.limit.aligned
        rest = count - size * blocks
        total = blocks + (rest > 0)
        memory = self.memory(carried, total * domain.points)
        outside = {outer.var.name for outer in domain.loops}
        whole = next(part for part in _chain(reduction) if part.var == var)
        block_name = BLOCK_NAMES[BLOCK_NAMES[0] in outside]  # blocks of a block of the domain

        def part(block: Index, length: int, prologue: Body) -> Body:
            begin = block * size + whole.begin
            empty = replace(carried, init=identity(combiner, carried.dtype))
            made = _shorten(replace(reduction, carried=(empty,)), var, begin, begin + length)
            store = Store(
                memory, block * domain.points + domain.position, Ref(carried.name, carried.dtype)
            )
            return domain.around((*prologue, made, store))

        def parts(prologue: Body) -> Body:
            block = Var(block_name, 0, blocks - 1)
            body: Body = (loop(block, part(of(block), size, prologue), independent=True),)
            return body + (part(constant(blocks), rest, prologue) if rest else ())

        block = Var(block_name, 0, total - 1)
        name = f"{carried.name}{COMBINED}"
        load = Load(memory, of(block) * domain.points + domain.position)
        following = combine(combiner, Ref(name, carried.dtype), load)
        final = Carried(name, carried.dtype, carried.init, following)
        gather = loop(block, (), carried=(final,), reduces=combiner)
        return parts, (gather, Let(carried.name, Ref(name, carried.dtype)))

    def memory(self, carried: Carried | Let, size: int) -> Memory:
        dtype = carried.dtype if isinstance(carried, Carried) else carried.value.dtype
        name = f"w{len(self.made)}"
        made = Memory(name, dtype, size, Home.WORKSPACE, 0, self.workspace, True)
        self.workspace += aligned(size * dtype.itemsize)
        self.made.append(made)
        return made

    # --- names that go from phase to phase --------------------------------------------------------

    def save(self, before: Body, after: Body, domain: _Domain) -> tuple[Body, Body]:
        """Stores of the names that are used later, and the lets that bring them back."""
        needed = {value.name for value in all_values(after) if isinstance(value, Ref)}
        stores: list[Statement] = []
        lets: list[Statement] = []
        for statement in before:
            for made in _defined(statement):
                if made.name not in needed:
                    continue
                memory = self.memory(made, domain.points)
                value = Ref(made.name, memory.dtype)
                stores.append(Store(memory, domain.position, value))
                lets.append(Let(made.name, Load(memory, domain.position)))
        return tuple(stores), tuple(lets)


def _defined(statement: Statement) -> tuple[Carried | Let, ...]:
    match statement:
        case Let():
            return (statement,)
        case For():
            return statement.carried
        case _:
            return ()


def _peel(body: Body) -> tuple[_Domain, Body]:
    """The perfectly nested independent loops around a body that does more than one thing or
    reduces."""
    loops: list[For] = []
    points, position = 1, ZERO
    while len(body) == 1 and isinstance(body[0], For) and body[0].independent:
        outer = body[0]
        count = trip(outer)
        if count is None or outer.carried:
            break
        loops.append(outer)
        points, position = points * count, position * count + (of(outer.var) - outer.var.low)
        body = outer.body
    if not any(isinstance(s, For) and s.reduces is not None for s in body):
        return _Domain((), 1, ZERO), (loops[0],) if loops else body
    return _Domain(tuple(loops), points, position), body


def _points(outer: For) -> int:
    """Iterations of a loop and of those within, at most."""
    count = trip(outer)
    inner = [_points(s) for s in outer.body if isinstance(s, For)]
    return (count or 1) * max(inner, default=1)


def _chain(reduction: For) -> list[For]:
    """The loops that hand one accumulator down."""
    chain = [reduction]
    while True:
        names = {carried.name for carried in chain[-1].carried}
        for inner in chain[-1].body:
            if isinstance(inner, For) and any(
                isinstance(c.init, Ref) and c.init.name in names for c in inner.carried
            ):
                chain.append(inner)
                break
        else:
            return chain


def _only_accumulates(reduction: For) -> bool:
    """Whether repeating the outer loops of a chain does nothing but accumulate."""
    chain = _chain(reduction)
    for statement in statements(reduction.body):
        if isinstance(statement, Let):
            continue
        if not any(statement is inner for inner in chain):
            return False
    return True


def _chain_variables(reduction: For) -> list[Var]:
    return [inner.var for inner in _chain(reduction)]


def _longest(reduction: For) -> tuple[Var, int]:
    """The loop of a chain that is cut: the outermost that is long, else the longest."""
    counts = [(inner.var, trip(inner) or 1) for inner in _chain(reduction)]
    for var, count in counts:
        if count >= 256:
            return var, count
    return max(counts, key=lambda pair: pair[1])


def _shorten(outer: For, var: Var, begin: Index, end: Index) -> For:
    """The chain with one of its loops over a part of its range."""
    if outer.var == var:
        return replace(outer, begin=begin, end=end)
    chain = _chain(outer)
    inner = chain[1]
    body = tuple(_shorten(inner, var, begin, end) if s is inner else s for s in outer.body)
    return replace(outer, body=body)
