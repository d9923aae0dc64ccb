"""A running combination along a row, by the threads that share the row.

In: a loop that carries what it has combined so far and stores it at every point (a SCAN), and which
threads have the row, from `passes.cooperate`. Out: statements in which every thread combines a few
neighbouring points, learns what the threads before it have, and stores its points; long rows take
several rounds of this, each of which goes on from the one before. Within a warp partial results
move by exchanges, between warps through shared memory. The order of combining is fixed.

    for i: run = run + x[i]; y[i] = run

becomes, for 256 threads with four points each,

    for round: 4 points -> s0 .. s3, their running sums
      5 exchanges: the sum of the lanes before, and of the warp; shared[warp] = that; barrier
      before = run + sums of the warps before + lanes before;  y[4 points] = before + s0 .. s3
      run = run + sums of all warps; barrier

>>> items(1000, 4), items(1001, 4), items(8, 1)
(4, 4, 4)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from picograd.codegen.dependence import dependent_names
from picograd.codegen.expressions import COMBINE, combine, identity
from picograd.codegen.loops import (
    Alu,
    Barrier,
    Exchange,
    For,
    Home,
    IndexValue,
    Kind,
    Let,
    Literal,
    Load,
    Memory,
    Predicate,
    Ref,
    Statement,
    Store,
    Value,
)
from picograd.codegen.replicate import Copy, Replicate
from picograd.codegen.wide import best_width
from picograd.dtypes import DType, int64
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Combiner, Op

Body = tuple[Statement, ...]

WARP = 32
ITEMS = 4  # points that a thread has at a time where memory does not say otherwise
_COMBINERS = {op: combiner for combiner, op in COMBINE.items()}


@dataclass(frozen=True, slots=True)
class Scan:
    """The parts of a loop that runs on: what leads to a point's value, the value, the name of what
    is combined up to there, and its store."""

    loop: For
    combiner: Combiner
    lets: tuple[Let, ...]
    value: Value
    result: Ref
    store: Store

    @property
    def extent(self) -> int:
        return self.loop.end.constant - self.loop.begin.constant

    @property
    def dtype(self) -> DType:
        return self.loop.carried[0].dtype

    @property
    def width(self) -> int:
        """The neighbours that a thread moves at once."""
        width = best_width(self.loop.body, self.loop.var)
        return width if self.extent % width == 0 else 1


@dataclass(frozen=True, slots=True)
class Team:
    """The threads of a row: the `turn`-th of `height`; `number` is a thread's in the block. Rows
    are above each other, or `width` of them beside each other, of which this is the `lane`-th.
    `parts`: shared memory, one number a thread."""

    turn: Index
    height: int
    number: Index
    lane: Index
    width: int
    beside: bool
    parts: Memory


def items(extent: int, width: int) -> int:
    """How many points of a row a thread has at a time."""
    return width if width > 1 else min(ITEMS, extent)


def scan_of(statement: Statement) -> Scan | None:
    """A loop as a running combination, if it is one."""
    if not isinstance(statement, For) or len(statement.carried) != 1 or len(statement.body) < 2:
        return None
    *lets, last, store = statement.body
    (carried,) = statement.carried
    plain = statement.begin.is_constant and statement.end.is_constant and statement.step == 1
    if not plain or not isinstance(last, Let) or not isinstance(store, Store):
        return None
    result = Ref(last.name, carried.dtype)
    made = last.value
    if carried.next != result or not isinstance(made, Alu) or made.op not in _COMBINERS:
        return None
    combiner = _COMBINERS[made.op]
    if carried.init != identity(combiner, carried.dtype):
        return None
    if made.args[0] != Ref(carried.name, carried.dtype):
        return None
    before = tuple(one for one in lets if isinstance(one, Let))
    if len(before) != len(lets) or not _only(store.value, result):
        return None
    return Scan(statement, combiner, before, made.args[1], result, store)


def _only(value: Value, result: Ref) -> bool:
    """Whether a value is the result, possibly as another type."""
    while isinstance(value, Alu) and value.op is Op.CAST:
        (value,) = value.args
    return value == result


def shared_scan(scan: Scan, team: Team, inside: Mask, number: int) -> tuple[Body, Memory]:
    """The statements of a thread, and the registers that they want. `inside`: where its row exists;
    `number` makes names."""
    return _Rounds(scan, team, inside, number).result()


class _Rounds:
    def __init__(self, scan: Scan, team: Team, inside: Mask, number: int) -> None:
        self.scan, self.team, self.row_inside, self.name = scan, team, inside, f"scan{number}"
        self.width = 1 if team.beside else scan.width
        self.items = items(scan.extent, self.width)
        self.rounds = -(-scan.extent // (team.height * self.items))
        self.round = Var(f"{self.name}round", 0, self.rounds - 1)
        last = self.rounds * team.height - 1
        self.group = Var(f"{self.name}group", 0, last)
        self.item = Var(f"{self.name}item", 0, self.items - 1)
        self.point = Var(f"{self.name}point", 0, (last + 1) * self.items - 1)
        self.kept = Memory(
            f"{self.name}_items", scan.dtype, self.items, Home.REGISTER, written=True
        )
        self.names = dependent_names(scan.loop.body, scan.loop.var)
        self.lets: list[Statement] = []

    def result(self) -> tuple[Body, Memory]:
        scan, team = self.scan, self.team
        (carried,) = scan.loop.carried
        run = Ref(carried.name, scan.dtype)
        place = of(self.round) * team.height + team.turn
        body: list[Statement] = [Let(self.group.name, IndexValue(place, int64), self.group)]
        body += self._fetched()
        self.lets = []
        sums = self._running()
        before, whole = self._before(sums[-1])
        start = self._named("before", combine(scan.combiner, run, before))
        following = self._named("after", combine(scan.combiner, run, whole))
        body += self.lets
        for n, part in enumerate(sums):
            body.append(Store(self.kept, constant(n), combine(scan.combiner, start, part)))
        body += self._stored()
        if self._meets():
            body.append(Barrier())
        loop = For(
            self.round,
            ZERO,
            constant(self.rounds),
            tuple(body),
            carried=(replace(carried, next=following),),
        )
        return (loop,), self.kept

    def _named(self, name: str, value: Value) -> Ref:
        made = f"{self.name}.{name}"
        self.lets.append(Let(made, value))
        return Ref(made, value.dtype)

    def _meets(self) -> bool:
        """Whether partial results go through shared memory."""
        return self.team.beside or self.team.height > WARP

    # --- the points of a thread -----------------------------------------------------------------

    def _copies(self) -> tuple[Replicate, Copy]:
        """How statements of a point become those of this thread's points."""
        scan = self.scan
        if self.width > 1:
            inside = Mask().require(scan.extent // self.width - 1 - of(self.group))
            lane = Var("lane", 0, self.width - 1, self.width)
            at = of(self.group) * self.width + of(lane) + scan.loop.begin
            copy = Copy(at, "", inside)
            return Replicate(scan.loop.var, self.names, (copy,), self.width), copy
        inside = Mask().require(scan.extent - 1 - of(self.point))
        copy = Copy(of(self.point) + scan.loop.begin, "", inside)
        return Replicate(scan.loop.var, self.names, (copy,)), copy

    def _here(self) -> Index:
        """Which of the thread's points."""
        return of(Var("lane", 0, self.width - 1, self.width)) if self.width > 1 else of(self.item)

    def _each(self, body: Body) -> Body:
        """Statements for all points of a thread: as lanes already, or one after the other."""
        if self.width > 1:
            return body
        place = of(self.group) * self.items + of(self.item)
        point = Let(self.point.name, IndexValue(place, int64), self.point)
        end = constant(self.items)
        return (For(self.item, ZERO, end, (point, *body), kind=Kind.UNROLL),)

    def _fetched(self) -> Body:
        """The values of the points, into registers; behind the row's end, what changes nothing."""
        copies, copy = self._copies()
        body = copies.body(self.scan.lets)
        value = copies.wide(self.scan.value, copy)
        if not copy.mask.always:
            nothing: Value = replace(self._nothing(), lanes=self.width)
            condition = Predicate(copy.mask, self.width)
            value = Alu(Op.WHERE, (condition, value, nothing), self.scan.dtype, self.width)
        return self._each((*body, Store(self.kept, self._here(), value)))

    def _stored(self) -> Body:
        copies, copy = self._copies()
        total = Let(self.scan.result.name, Load(self.kept, self._here(), self.width))
        store = copies.store(self.scan.store, copy)
        store = replace(store, mask=store.mask & self.row_inside)
        return self._each((total, store))

    def _nothing(self) -> Literal:
        made = identity(self.scan.combiner, self.scan.dtype)
        assert isinstance(made, Literal)
        return made

    # --- what threads tell each other -----------------------------------------------------------

    def _running(self) -> list[Value]:
        """The running combinations of the thread's own points."""
        sums: list[Value] = []
        for n in range(self.items):
            value: Value = Load(self.kept, constant(n))
            if sums:
                value = combine(self.scan.combiner, sums[-1], value)
            sums.append(self._named(f"upto{n}", value))
        return sums

    def _before(self, total: Value) -> tuple[Value, Value]:
        """What the threads before this one combine to, and what all do."""
        team = self.team
        if team.beside:
            place = team.turn * team.width + team.lane
            self.lets += [Store(team.parts, place, total), Barrier()]
            places = [constant(n) * team.width + team.lane for n in range(team.height)]
            return self._upto(places, team.turn)
        before, whole = self._in_warp(total)
        warps = team.height // WARP
        if warps <= 1:
            return before, whole
        first = Mask().require(-(team.number % WARP))
        self.lets += [Store(team.parts, team.number // WARP, whole, first), Barrier()]
        places = [team.lane * warps + n for n in range(warps)]
        earlier, everything = self._upto(places, team.turn // WARP)
        return combine(self.scan.combiner, earlier, before), everything

    def _upto(self, places: Sequence[Index], own: Index) -> tuple[Value, Value]:
        """Numbers in shared memory combined, those before the own one and all."""
        before: Value = self._nothing()
        total: Value = self._nothing()
        for n, place in enumerate(places):
            here = Predicate(Mask().require(own - n).require(n - own))
            before = Alu(Op.WHERE, (here, total, before), self.scan.dtype)
            before = self._named(f"earlier{n}", before)
            total = combine(self.scan.combiner, total, Load(self.team.parts, place))
            total = self._named(f"all{n}", total)
        return before, total

    def _in_warp(self, total: Value) -> tuple[Value, Value]:
        """Of the row's threads in this warp: what those before combine to, and what all do. Each
        step joins two neighbouring groups of lanes."""
        combiner, dtype = self.scan.combiner, self.scan.dtype
        before: Value = self._nothing()
        distance = 1
        while distance < min(self.team.height, WARP):
            other = self._named(f"other{distance}", Exchange(total, distance))
            behind = Predicate(Mask().require(self.team.number // distance % 2 - 1))
            joined = Alu(Op.WHERE, (behind, combine(combiner, other, before), before), dtype)
            left = Alu(Op.WHERE, (behind, other, total), dtype)
            right = Alu(Op.WHERE, (behind, total, other), dtype)
            before = self._named(f"left{distance}", joined)
            total = self._named(f"both{distance}", combine(combiner, left, right))
            distance *= 2
        return before, total
