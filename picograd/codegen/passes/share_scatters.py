"""Scatters on a GPU: places that meet are brought together, then combined in order.

In: a phase that stores to places which data tells, in loops of which some iterations may meet (see
`codegen.lower`), from `map_to_grid`. Out: phases of independent loops, and of blocks that sort. No
result depends on an order of blocks or threads: there are no atomics, and the same indices give the
same bits in every run.

1. Each iteration's place becomes a key; where along independent loops it is does not count.
2. The keys are sorted, with the iterations' numbers (`cuda.radix`); equal ones stay in order.
3. Equal keys are a *run*. Without a combiner, the last of each run stores. With one, runs are cut
   into chunks, so that the threads of each have as much to do: what a chunk has of a run that began
   earlier, or goes on, is kept.
4. The parts of the runs that several chunks have are combined, first to last.

>>> _chunk(48, 1), _chunk(8192, 16), _chunk(8192, 768), _chunk(1 << 20, 1)
(48, 16, 128, 32)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd, prod

from picograd.codegen.cuda import radix
from picograd.codegen.dependence import Body, dependent_names, walk
from picograd.codegen.expressions import COMBINE, cast
from picograd.codegen.loops import (
    Address,
    Alu,
    Barrier,
    Call,
    Carried,
    For,
    Function,
    Home,
    IndexValue,
    Kind,
    Let,
    Literal,
    Load,
    Memory,
    Phase,
    Predicate,
    Ref,
    Store,
    Value,
)
from picograd.codegen.passes.row_loops import extents
from picograd.dtypes import DType, bool_, int32, int64, uint32
from picograd.graph.index import ZERO, Index, Var, constant, delinearize, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Op

FEWEST = 32  # iterations that may meet are worth sorting
LEAST_CHUNK, MOST_CHUNK = 16, 128
BUSY = 1 << 15  # threads that keep a GPU busy
SMALL = 64  # so many are one chunk
ALIGNMENT = 256
_OPS = frozenset(COMBINE.values())


@dataclass(frozen=True, slots=True)
class _Scatter:
    """The loops whose iterations may meet and those that keep apart, in their order; what leads to
    the value; the store; and how it is combined with what is there, if it is."""

    meeting: tuple[For, ...]
    apart: tuple[For, ...]
    lets: tuple[Let, ...]
    store: Store
    value: Value
    op: Op | None


def share_scatter(function: Function, phase: Phase) -> tuple[Function, list[Phase]] | None:
    """The function with room for what is sorted, and the phases; None for other phases."""
    found = _scatter_of(phase)
    return None if found is None else _Sharing(function, found).result()


def _chunk(count: int, beside: int) -> int:
    """The iterations that one thread goes through, where `beside` others have the same."""
    if count <= SMALL:
        return count
    size = MOST_CHUNK
    while size > LEAST_CHUNK and (count // size) * beside < BUSY:
        size //= 2
    return size


def _scatter_of(phase: Phase) -> _Scatter | None:
    loops: list[For] = []
    body = phase.body
    while len(body) == 1 and isinstance(body[0], For):
        loop = body[0]
        if loop.carried or loop.step != 1 or not (loop.begin.is_constant and loop.end.is_constant):
            return None
        loops.append(loop)
        body = loop.body
    if not body or all(loop.independent for loop in loops):
        return None
    *lets, store = body
    if not isinstance(store, Store) or not all(isinstance(one, Let) for one in lets):
        return None
    value, op = _taken_apart(store)
    values = [one.value for one in lets if isinstance(one, Let)]
    if any(isinstance(v, Load) and v.memory == store.memory for v in walk([*values, value])):
        return None
    used = _loops_of_places(tuple(one for one in lets if isinstance(one, Let)), store, loops)
    meeting = tuple(loop for loop in loops if not loop.independent or loop.var in used)
    if not FEWEST <= prod(extents(list(meeting))) < 1 << 31:
        return None
    apart = tuple(loop for loop in loops if loop not in meeting)
    return _Scatter(
        meeting, apart, tuple(one for one in lets if isinstance(one, Let)), store, value, op
    )


def _taken_apart(store: Store) -> tuple[Value, Op | None]:
    """The new value, and how it joins the old one."""
    value = store.value
    if isinstance(value, Alu) and value.op in _OPS and len(value.args) == 2:
        old, new = value.args
        if old == Load(store.memory, store.index, 1, store.mask):
            return new, value.op
    return value, None


def _loops_of_places(lets: tuple[Let, ...], store: Store, loops: list[For]) -> set[Var]:
    """The loops that decide, by data or by a mask, where something is stored."""
    used: set[Var] = {atom for atom in store.mask.atoms() if isinstance(atom, Var)}
    names = {let.var: let.name for let in lets if let.var is not None}
    wanted = {names[a] for a in store.index.atoms() | store.mask.atoms() if a in names}
    for loop in loops:
        if wanted & dependent_names(lets, loop.var):
            used.add(loop.var)
    return used


class _Sharing:
    def __init__(self, function: Function, scatter: _Scatter) -> None:
        self.function, self.scatter = function, scatter
        self.workspace, self.memories = function.workspace, list(function.memories)
        self.count = prod(extents(list(scatter.meeting)))
        own = {loop.var for loop in scatter.apart}
        terms = [(atom, c) for atom, c in scatter.store.index.terms]
        deciding = Index()
        for atom, factor in terms:
            if not (own & of(atom).atoms()) and of(atom).variables():
                deciding = deciding + of(atom) * factor
        self.low, high = deciding.bounds()
        self.step = gcd(*(factor for _, factor in deciding.terms)) or 1
        self.deciding = deciding
        self.beside = scatter.store.index - deciding  # along independent loops, and numbers
        self.last = (high - self.low) // self.step  # the greatest key; after it: nowhere
        self.mixed = any(own & of(a).atoms() and of(a).variables() - own for a, _ in terms)
        self.iteration = Var("iteration", 0, self.count - 1)
        self.key = Var("key", 0, self.last + 1)

    def result(self) -> tuple[Function, list[Phase]] | None:
        if self.mixed or self.last + 1 >= (1 << 32) - 1:
            return None
        passes = max(1, -(-(self.last + 1).bit_length() // radix.DIGIT))
        keys = [self._room(f"scatter_keys{n}", uint32, self.count) for n in range(2)]
        places = [self._room(f"scatter_from{n}", int32, self.count) for n in range(2)]
        phases = [self._keys(keys[0]), *self._sorted(keys, places, passes)]
        self.keys, self.places = keys[passes % 2], places[passes % 2]
        if self.scatter.op is None:
            phases.append(self._last_ones())
        else:
            phases += self._combined()
        function = replace(self.function, memories=tuple(self.memories), workspace=self.workspace)
        return function, phases

    def _room(self, name: str, dtype: DType, size: int) -> Memory:
        while any(memory.name == name for memory in self.memories):
            name += "_"
        made = Memory(name, dtype, size, Home.WORKSPACE, 0, self.workspace, True)
        self.memories.append(made)
        self.workspace += -(-size * dtype.itemsize // ALIGNMENT) * ALIGNMENT
        return made

    # --- sorting --------------------------------------------------------------------------------

    def _keys(self, keys: Memory) -> Phase:
        """The key of every iteration."""
        scatter = self.scatter
        value: Value = IndexValue((self.deciding - self.low) // self.step, int64)
        if not scatter.store.mask.always:
            nowhere = Literal.of(self.last + 1, int64)
            value = Alu(Op.WHERE, (Predicate(scatter.store.mask), value, nowhere), int64)
        store = Store(keys, of(self.iteration), cast(value, uint32))
        used: set[object] = {*self.deciding.atoms(), *scatter.store.mask.atoms()}
        return _independent([self.iteration], (*self._places(), *self._lets(used), store))

    def _places(self) -> Body:
        """The meeting loops' variables, from the number of an iteration."""
        loops = list(self.scatter.meeting)
        places = delinearize(of(self.iteration), extents(loops))
        return tuple(
            Let(loop.var.name, IndexValue(place + loop.begin, int64), loop.var)
            for loop, place in zip(loops, places, strict=True)
        )

    def _lets(self, variables: set[object]) -> tuple[Let, ...]:
        """What leads to some variables."""
        kept: list[Let] = []
        wanted: set[str] = set()
        for let in reversed(self.scatter.lets):
            if let.name in wanted or (let.var is not None and let.var in variables):
                kept.append(let)
                for value in walk((let.value,)):
                    if isinstance(value, Ref):
                        wanted.add(value.name)
                    elif isinstance(value, Load):
                        variables = variables | value.index.atoms() | value.mask.atoms()
                    elif isinstance(value, IndexValue):
                        variables = variables | value.index.atoms()
                    elif isinstance(value, Predicate):
                        variables = variables | value.mask.atoms()
        return tuple(reversed(kept))

    def _sorted(self, keys: list[Memory], places: list[Memory], passes: int) -> list[Phase]:
        """Blocks that sort keys and iterations; see `cuda.radix`."""
        blocks = -(-self.count // radix.tile(32))
        counts = self._room("scatter_counts", uint32, 256 * blocks)
        totals = self._room("scatter_totals", uint32, 256)
        block = Var("block_number", 0, blocks - 1)
        size, number = Literal.of(self.count, int64), Literal.of(blocks, int32)
        starts = [Address(memory, ZERO) for memory in (counts, totals)]
        phases: list[Phase] = []
        whole: list[Call | Barrier] = []
        for turn in range(passes):
            one, other = (turn % 2, 1 - turn % 2)
            mine = IndexValue(of(block), int32)
            shift = Literal.of(radix.DIGIT * turn, int32)
            came, came_from = Address(keys[one], ZERO), Address(places[one], ZERO)
            common = (size, mine, number, shift)
            first = Literal.of(turn == 0, bool_)
            count = Call("pg_block_count_keys", (came, *common, starts[0]))
            gone = (Address(keys[other], ZERO), Address(places[other], ZERO))
            move = Call("pg_block_move_keys", (came, came_from, first, *common, *starts, *gone))
            digit = Var("digit", 0, 255)
            row = Address(counts, of(digit) * blocks)
            place = Call("pg_block_places", (row, number, Address(totals, of(digit))))
            if blocks == 1:
                alone = Call("pg_block_one_place", tuple(starts))
                whole += [count, Barrier(), alone, Barrier(), move, Barrier()]
            else:
                pairs = ((block, count), (digit, place), (block, move))
                phases += [_blocks(each, (call,)) for each, call in pairs]
        return phases or [_blocks(block, tuple(whole))]

    # --- storing --------------------------------------------------------------------------------

    def _loops(self, first: Var, body: Body) -> Phase:
        """A phase over a variable and the loops that keep apart."""
        for loop in reversed(self.scatter.apart):
            body = (replace(loop, body=body, independent=True),)
        return _independent([first], body)

    def _goes_on(self, at: Index, by: int) -> Value:
        """Whether the sorted key beside one is equal to it."""
        inside = Mask().require(at + by).require(self.count - 1 - at - by)
        beside = Load(self.keys, at + by, 1, inside)
        same = Alu(Op.EQ, (Load(self.keys, at), beside), bool_)
        return Alu(Op.AND, (Predicate(inside), same), bool_)

    def _here(self, at: Index) -> Body:
        """The iteration that comes at a place of the sorted ones, and what it computes."""
        which = cast(Load(self.places, at), int64)
        named = Let(self.iteration.name, which, self.iteration)
        return (named, *self._places(), *self.scatter.lets)

    def _last_ones(self) -> Phase:
        at, store = Var("sorted", 0, self.count - 1), self.scatter.store
        last = _flag("last", _not(self._goes_on(of(at), 1)))
        made = replace(store, mask=store.mask & _set(last))
        return self._loops(at, (last, *self._here(of(at)), made))

    def _combined(self) -> list[Phase]:
        points = self._points()
        size = _chunk(self.count, points)
        chunks = -(-self.count // size)
        chunk = Var("chunk", 0, chunks - 1)
        dtype = self.scatter.store.value.dtype
        if chunks == 1:
            return [self._loops(chunk, self._run_through(chunk, size, None))]
        parts = [self._room(f"scatter_{n}", dtype, chunks * points) for n in ("heads", "tails")]
        ends = self._room("scatter_ends", int32, chunks)
        arguments = (Address(self.keys, ZERO), Literal.of(self.count, int64))
        arguments += (Literal.of(size, int32), IndexValue(of(chunk), int32), Address(ends, ZERO))
        return [
            self._loops(chunk, self._run_through(chunk, size, (parts[0], parts[1]))),
            _independent([chunk], (Call("pg_run_end", arguments),)),
            self._loops(chunk, self._join(chunk, size, (parts[0], parts[1]), ends)),
        ]

    def _run_through(self, chunk: Var, size: int, parts: tuple[Memory, Memory] | None) -> Body:
        """One chunk: a part of a run is combined until it ends, here or with the chunk."""
        scatter, store = self.scatter, self.scatter.store
        op, dtype = scatter.op, store.value.dtype
        assert op is not None
        at, stop = Var("sorted", 0, self.count - 1), Var("stop", 0, self.count)
        begin = of(chunk) * size
        end = Alu(
            Op.MINIMUM,
            (IndexValue(begin + size, int64), Literal.of(self.count, int64)),
            int64,
        )
        follows = Predicate(Mask().require(of(at) - begin - 1))
        stays = Let("stays", self._goes_on(of(at), -1))
        opens = Let("opens", _not(Alu(Op.AND, (Ref("stays", bool_), follows), bool_)))
        total, began = Ref("total", dtype), Ref("began", bool_)
        opening = Ref("opens", bool_)
        new = Let(
            "sofar",
            Alu(Op.WHERE, (opening, scatter.value, Alu(op, (total, scatter.value), dtype)), dtype),
        )
        whole = Let("whole", Alu(Op.WHERE, (opening, _not(Ref("stays", bool_)), began), bool_))
        goes = Let("goes", self._goes_on(of(at), 1))
        sofar = Ref("sofar", dtype)
        done = _flag("done", _and(_not(Ref("goes", bool_)), Ref("whole", bool_)))
        old = Load(store.memory, store.index, 1, store.mask & _set(done))
        body: list[Let | Store] = [stays, opens, *_lets_of(self._here(of(at)))]
        body += [new, whole, goes, done]
        written = Alu(op, (old, sofar), dtype)
        body.append(replace(store, value=written, mask=store.mask & _set(done)))
        if parts is not None:
            last = Predicate(Mask().require(of(at) - of(stop) + 1))
            rest = _flag(
                "rest", _and(_not(Ref("whole", bool_)), _or(_not(Ref("goes", bool_)), last))
            )
            more = _flag("more", _and(Ref("whole", bool_), _and(last, Ref("goes", bool_))))
            place = of(chunk) * self._points() + self._point()
            body += [rest, Store(parts[0], place, sofar, _set(rest))]
            body += [more, Store(parts[1], place, sofar, _set(more))]
        nothing = Literal.of(0.0 if dtype.is_float else 0, dtype)
        loop = For(
            at,
            begin,
            of(stop),
            tuple(body),
            carried=(
                Carried("total", dtype, nothing, sofar),
                Carried("began", bool_, Literal.of(0, bool_), Ref("whole", bool_)),
            ),
        )
        return (Let(stop.name, end, stop), loop)

    def _join(self, chunk: Var, size: int, parts: tuple[Memory, Memory], ends: Memory) -> Body:
        """The run that begins in a chunk and ends in a later one."""
        store, op = self.scatter.store, self.scatter.op
        dtype = store.value.dtype
        assert op is not None
        end = Var("end", 0, chunk.high)
        # The last chunk goes nowhere; `pg_run_end` says so of every run that ends where it began.
        last = Alu(
            Op.MINIMUM,
            (IndexValue(of(chunk) * size + size - 1, int64), Literal.of(self.count - 1, int64)),
            int64,
        )
        final = Var("final", 0, self.count - 1)
        key = Let(self.key.name, cast(Load(self.keys, of(final)), int64), self.key)
        follows = Mask().require(of(end) - of(chunk) - 1).require(self.last - of(self.key))
        point = self._point()
        later = Var("later", 0, chunk.high + 1)
        part = Mask().require(chunk.high - of(later))
        more = Load(parts[0], of(later) * self._points() + point, 1, part)
        loop = For(
            later,
            of(chunk) + 1,
            of(end) + 1,
            (),
            carried=(
                Carried(
                    "total",
                    dtype,
                    Load(parts[1], of(chunk) * self._points() + point),
                    Alu(op, (Ref("total", dtype), more), dtype),
                ),
            ),
        )
        place = self.beside + of(self.key) * self.step + self.low
        old = Load(store.memory, place, 1, follows)
        made = Store(store.memory, place, Alu(op, (old, Ref("total", dtype)), dtype), follows)
        return (
            Let(end.name, cast(Load(ends, of(chunk)), int64), end),
            Let(final.name, last, final),
            key,
            loop,
            made,
        )

    def _points(self) -> int:
        return prod(extents(list(self.scatter.apart)))

    def _point(self) -> Index:
        """The number of a point of the loops that keep apart."""
        found = ZERO
        for loop, size in zip(self.scatter.apart, extents(list(self.scatter.apart)), strict=True):
            found = found * size + of(loop.var) - loop.begin
        return found


def _lets_of(body: Body) -> list[Let]:
    return [one for one in body if isinstance(one, Let)]


def _blocks(block: Var, body: Body) -> Phase:
    """A phase of blocks of 256 threads."""
    thread = Var("thread_number", 0, radix.THREADS - 1)
    inner = For(thread, ZERO, constant(radix.THREADS), body, kind=Kind.THREAD)
    outer = For(block, ZERO, constant(block.high + 1), (inner,), kind=Kind.BLOCK)
    return Phase(None, constant(1), (outer,))


def _independent(variables: list[Var], body: Body) -> Phase:
    for var in reversed(variables):
        body = (For(var, ZERO, constant(var.high + 1), body, independent=True),)
    return Phase(None, constant(1), body)


def _not(value: Value) -> Value:
    return Alu(Op.NOT, (value,), bool_)


def _and(first: Value, second: Value) -> Value:
    return Alu(Op.AND, (first, second), bool_)


def _or(first: Value, second: Value) -> Value:
    return Alu(Op.OR, (first, second), bool_)


def _flag(name: str, condition: Value) -> Let:
    """A condition that masks can ask for."""
    return Let(name, cast(condition, int64), Var(name, 0, 1))


def _set(flag: Let) -> Mask:
    assert flag.var is not None
    return Mask().require(of(flag.var) - 1)
