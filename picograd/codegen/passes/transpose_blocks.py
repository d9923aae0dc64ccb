"""Read and write across memory in square blocks that are transposed in registers.

In: loops over vectors. Out: where a loop moves along memory and the lanes of what it reads or
writes move across it, as many iterations as there are lanes become one block. Called by
`codegen.pipeline` between `vectorise` and `unroll`.

`passes.tile` left a transposition as

    for j (vectors): for i in a tile: y[i*M + j*16 + lane] = x[(j*16 + lane)*N + i]

where every vector of x gathers one element from each of 16 cache lines. The 16 vectors of 16
neighbouring i need the same lines: they are 16 vectors along memory, turned by 64 shuffles. Each
line is touched once, so that it does not matter whether all of them fall into the same few sets of
the cache, as they do where N is a power of two (2048 x 2048 float32: 6.6 ms with gathers, 1.6
with blocks). The same holds for sums and running sums of rows, of which each lane has one; the
iterations of a block stay in their order, so that what they carry is the same.

>>> from picograd.codegen import show
>>> from picograd.codegen.loops import Home, Memory
>>> from picograd.dtypes import float32
>>> x, y = (Memory(name, float32, 4, Home.ARGUMENT) for name in "xy")
>>> i, lane = Var("i", 0, 1), of(Var("lane", 0, 1, 2))
>>> body = (Store(y, of(i) * 2 + lane, Load(x, lane * 2 + of(i), 2)),)
>>> loop = For(i, constant(0), constant(2), body, independent=True)
>>> print("\\n".join(show.lines(_loop(loop), 0)))
i.0.row0 = x[lane]<2>
i.0.row1 = x[lane + 2]<2>
i.0.mix0_0 = shuffle(i.0.row0, i.0.row1, 0 2)
i.0.mix0_1 = shuffle(i.0.row0, i.0.row1, 1 3)
y[lane] = i.0.mix0_0
y[lane + 2] = i.0.mix0_1
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.contraction.transpose import transpose
from picograd.codegen.dependence import (
    Body,
    all_values,
    dependent_names,
    operations,
    stride,
)
from picograd.codegen.loops import (
    Carried,
    For,
    Function,
    If,
    Let,
    Load,
    Ref,
    Statement,
    Store,
    Value,
)
from picograd.codegen.replicate import Copy, Replicate
from picograd.codegen.target import Target
from picograd.graph.index import Index, Var, constant, of
from picograd.graph.mask import Mask

MOST_LANES = 16  # blocks of 32 or 64 lanes of small integers would be hundreds of shuffles
MOST_WEIGHT = 12.0  # operations of a body, of which a block holds one copy for each lane


def transpose_blocks(function: Function, target: Target) -> Function:
    """All loops along memory around reads across it, in blocks."""
    phases = tuple(replace(phase, body=_body(phase.body)) for phase in function.phases)
    return replace(function, phases=phases)


def _body(body: Body) -> Body:
    made: list[Statement] = []
    for statement in body:
        match statement:
            case For():
                made.extend(_loop(statement))
            case If():
                made.append(replace(statement, body=_body(statement.body)))
            case _:
                made.append(statement)
    return tuple(made)


def _loop(loop: For) -> Body:
    across = _across(loop)
    if not across:
        return (replace(loop, body=_body(loop.body)),)
    lanes = across[0].lanes
    span = loop.end - loop.begin
    blocks = span.bounds()[1] // lanes
    if not blocks or (loop.carried and not span.is_constant):
        return (loop,)
    number = Var(f"{loop.var.name}block", 0, blocks - 1)
    block = of(number) if blocks > 1 else constant(0)
    made = _Block(loop, across, loop.begin + block * lanes).body()
    if not span.is_constant:  # the last tile may be shorter
        made = (If(Mask().require(span - (block + 1) * lanes), made),)
    if blocks > 1:
        ends = tuple(Ref(_turn(c, lanes), c.dtype, c.lanes) for c in loop.carried)
        going = tuple(replace(c, next=e) for c, e in zip(loop.carried, ends, strict=True))
        end = constant(blocks)
        made = (replace(loop, var=number, begin=constant(0), end=end, body=made, carried=going),)
    else:
        starts = tuple(Let(c.name, c.init) for c in loop.carried)
        ends = tuple(Let(c.name, Ref(_turn(c, lanes), c.dtype, c.lanes)) for c in loop.carried)
        made = (*starts, *made, *ends)
    if all(part % lanes == 0 for part in (span.constant, *(f for _, f in span.terms))):
        return made
    going = tuple(replace(c, init=Ref(c.name, c.dtype, c.lanes)) for c in loop.carried)
    return (*made, replace(loop, begin=loop.begin + span // lanes * lanes, carried=going))


def _across(loop: For) -> list[Load]:
    """The reads and writes of a loop that may be transposed: of one number of lanes, or none."""
    simple = all(isinstance(s, Store) or (isinstance(s, Let) and s.var is None) for s in loop.body)
    values = list(all_values((replace(loop, body=()), *loop.body)))
    if not simple or loop.step != 1 or operations(loop.body) > MOST_WEIGHT:
        return []
    written = [s.memory for s in loop.body if isinstance(s, Store)]
    read = {value.memory for value in values if isinstance(value, Load)}
    found: list[Load] = [
        value
        for value in values
        if isinstance(value, Load) and value.memory not in written and _is_across(value, loop.var)
    ]
    for store in loop.body:
        if not isinstance(store, Store) or not _is_across(store, loop.var):
            continue
        if written.count(store.memory) == 1 and store.memory not in read:
            found.append(Load(store.memory, store.index, store.value.lanes))
    return found if len({access.lanes for access in found}) == 1 else []


def _is_across(access: Load | Store, var: Var) -> bool:
    """Whether the lanes are far from one another, and the variable's steps are not."""
    lanes = access.lanes if isinstance(access, Load) else access.value.lanes
    along = stride(access.index, var) in (-1, 1)
    if not 1 < lanes <= MOST_LANES or not access.mask.always or not along:
        return False
    lane = _lane(access.index, lanes)
    return lane is not None and stride(access.index, lane) not in (None, -1, 0, 1)


def _lane(index: Index, lanes: int) -> Var | None:
    """The variable of the lanes; None where they only occur inside of quotients and remainders."""
    return next((a for a in index.atoms() if isinstance(a, Var) and a.lanes == lanes), None)


def _turn(carried: Carried, number: int) -> str:
    """The name of a carried value before an iteration of a block (or after the last)."""
    return f"{carried.name}.{number}"


class _Block:
    """As many iterations as lanes, one after another, from `begin`: what they read across comes
    from columns of rows read before, what they write across is turned behind them."""

    def __init__(self, loop: For, across: list[Load], begin: Index) -> None:
        self.loop, self.begin, self.lanes = loop, begin, across[0].lanes
        self.places = dict.fromkeys(across)
        self.columns: dict[Load, list[Ref]] = {}
        self.written: dict[Load, list[Ref]] = {}
        self.made: list[Statement] = []

    def body(self) -> Body:
        written = {s.memory for s in self.loop.body if isinstance(s, Store)}
        for number, place in enumerate(self.places):
            if place.memory not in written:
                self.columns[place] = self.read(place, f"{self.loop.var.name}.{number}")
        for carried in self.loop.carried:
            start = Ref(carried.name, carried.dtype, carried.lanes)
            self.made.append(Let(_turn(carried, 0), start))
        for number in range(self.lanes):
            self.iteration(number)
        for number, (place, values) in enumerate(self.written.items()):
            self.write(place, values, f"{self.loop.var.name}.w{number}")
        return tuple(self.made)

    def iteration(self, number: int) -> None:
        """One copy of the body, and the carried values' next values."""
        loop = self.loop
        names = dependent_names(loop.body, loop.var, (c.name for c in loop.carried))
        copy = Copy(self.begin + number, f".{number}")
        turned = {place: columns[number] for place, columns in self.columns.items()}
        made = _Columns(loop.var, names, copy, turned)
        for statement in loop.body:
            place = None
            if isinstance(statement, Store):
                place = Load(statement.memory, statement.index, statement.value.lanes)
            if not isinstance(statement, Store) or place not in self.places:
                self.made.extend(made.statement(statement))
                continue
            value = Ref(f"{loop.var.name}.{place.memory.name}.{number}", place.dtype, self.lanes)
            self.made.append(Let(value.name, made.wide(statement.value, copy)))
            self.written.setdefault(place, []).append(value)
        for carried in loop.carried:
            following = made.wide(carried.next, copy)
            self.made.append(Let(_turn(carried, number + 1), following))

    def read(self, place: Load, stem: str) -> list[Ref]:
        """The columns of a block of memory."""
        rows: list[Ref] = []
        for number in range(self.lanes):
            row = Load(place.memory, self.along(place, number), self.lanes)
            rows.append(Ref(f"{stem}.row{number}", place.dtype, self.lanes))
            self.made.append(Let(rows[-1].name, row))
        mixed, columns = transpose(rows, f"{stem}.mix")
        self.made.extend(mixed)
        return columns

    def write(self, place: Load, values: list[Ref], stem: str) -> None:
        """What the iterations have for a block of memory, row by row."""
        mixed, rows = transpose(values, f"{stem}.mix")
        self.made.extend(mixed)
        for number, row in enumerate(rows):
            self.made.append(Store(place.memory, self.along(place, number), row))

    def along(self, place: Load, number: int) -> Index:
        """Where the elements of one lane lie, the loop's variable in the lanes."""
        lane = _lane(place.index, self.lanes)
        assert lane is not None  # `_is_across` has seen to it
        index = place.index.substitute({lane: constant(number)})
        return index.substitute({self.loop.var: self.begin + of(lane)})


class _Columns(Replicate):
    """A copy whose reads across memory are columns of the block."""

    def __init__(self, var: Var, names: set[str], copy: Copy, columns: dict[Load, Ref]) -> None:
        super().__init__(var, names, (copy,))
        self.columns = columns

    def load(self, load: Load, copy: Copy) -> Value:
        return self.columns[load] if load in self.columns else super().load(load, copy)
