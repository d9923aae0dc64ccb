"""Which points of a row a GPU thread takes, and what of the row it keeps in registers.

In: the loops over a row, of which each point is one thread's (`passes/cooperate.py`). Out: for each
shape of loop how many neighbouring points a thread takes at once and how often it does; and what
is kept between loops of one shape, in arrays that are registers once the loops are unrolled:

* what several loops load from the same place, so that it is read from memory once;
* rows that one loop leaves for others, where every loop touches a point's own element only. If
  these are results, the last loop to store them stores them in memory.

>>> _steps(1000, 256), _steps(1024, 256)
(4, 4)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

from picograd.codegen.dependence import Body, dependent_names, roots, walk
from picograd.codegen.loops import (
    Alu,
    Carried,
    For,
    Home,
    IndexValue,
    Kind,
    Let,
    Load,
    Memory,
    Predicate,
    Ref,
    Statement,
    Store,
    Value,
    statements,
)
from picograd.codegen.passes.row_loops import extents, flat
from picograd.codegen.passes.share_scans import scan_of
from picograd.codegen.replicate import Copy, Replicate
from picograd.codegen.wide import best_width, lane_variable
from picograd.dtypes import int64
from picograd.graph.index import ZERO, Index, Param, Var, constant, delinearize, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Op

REGISTERS = 48  # that hold rows, of a thread

Extents = tuple[int, ...]
Place = tuple[Memory, Index, Mask]  # an element in terms of the row and the point's variables


@dataclass(slots=True)
class RowPlan:
    """What is kept of each row: the register array of a place, in loops of one shape, and the
    scratch rows that none but their thread sees. `widths`: of the loops with certain extents."""

    height: int
    widths: dict[Extents, int] = field(default_factory=dict)
    kept: dict[tuple[Extents, Place], Memory] = field(default_factory=dict)
    private: dict[Memory, Memory] = field(default_factory=dict)
    stores: dict[Memory, int] = field(default_factory=dict)  # to such rows, not yet written
    unrolled: set[Extents] = field(default_factory=set)
    # Of `kept`, what a loop that is written already has loaded.
    loaded: set[tuple[Extents, Place]] = field(default_factory=set)

    @property
    def memories(self) -> tuple[Memory, ...]:
        return (*self.kept.values(), *self.private.values())

    def is_private(self, memory: Memory) -> bool:
        return memory in self.private

    def width_of(self, nest: list[For]) -> int:
        return self.widths[tuple(extents(nest))]

    def steps_of(self, shape: Extents) -> int:
        return _steps(prod(shape) // self.widths[shape], self.height)


def _steps(groups: int, height: int) -> int:
    return -(-groups // height)


def row_width(body: Body) -> int:
    """The neighbouring points that a thread takes at once in the longest loops of a row."""
    found = _by_extents(body)
    longest = max(found, key=prod, default=())
    return _width(longest, found[longest]) if found else 1


def plan_rows(body: Body, height: int, wide: bool) -> RowPlan:
    """What the threads of a row keep of it, when each row has `height` of them."""
    plan = RowPlan(height)
    found = _by_extents(body)
    for shape, nests in found.items():
        plan.widths[shape] = _width(shape, nests) if wide else 1
    taken = [0] * len(body)  # registers, behind each statement
    for shape in sorted(found, key=prod):
        nests, size = found[shape], plan.steps_of(shape) * plan.widths[shape]
        rows = _private_rows(body, nests)
        for place in [place for _, place in rows] + _read_again(nests):
            count = size * _row_lanes(place)
            if not _take(taken, body, nests, place, count * max(1, place[0].dtype.itemsize // 4)):
                continue
            private = place[0].written
            name = f"{place[0].name}_own" if private else f"{place[0].name}_kept{len(plan.kept)}"
            made = Memory(name, place[0].dtype, count, Home.REGISTER, written=True)
            if private:
                plan.private[place[0]] = made
                plan.stores[place[0]] = sum(_stores(nest, place[0]) for nest in nests)
            else:
                plan.kept[shape, place] = made
            plan.unrolled.add(shape)
    return plan


def _take(
    taken: list[int], body: Body, nests: list[list[For]], place: Place, registers: int
) -> bool:
    """Take registers from the first nest that touches a place to the last, if there are any."""
    touching = [nest[0] for nest in nests if place in _places(nest)]
    numbers = [n for n, statement in enumerate(body) if any(statement is t for t in touching)]
    span = range(min(numbers), max(numbers))
    if any(taken[number] + registers > REGISTERS for number in span):
        return False
    for number in span:
        taken[number] += registers
    return True


def _by_extents(body: Body) -> dict[Extents, list[list[For]]]:
    """The nests of a row, by their extents."""
    found: dict[Extents, list[list[For]]] = {}
    for statement in body:
        nest = flat(statement) if isinstance(statement, For) else None
        if nest is not None and scan_of(statement) is None:
            found.setdefault(tuple(extents(nest)), []).append(nest)
    return found


def _width(shape: Extents, nests: list[list[For]]) -> int:
    width = min(best_width(_with_next(nest[-1]), nest[-1].var) for nest in nests)
    return width if shape and shape[-1] % width == 0 else 1


def _with_next(loop: For) -> Body:
    """A loop's body and, as statements, what it carries."""
    return (*loop.body, *(Let(f"{c.name}.next", c.next) for c in loop.carried))


# --- what is kept ---------------------------------------------------------------------------------


def _place(load: Load | Store, nest: list[For]) -> Place:
    """Where an access goes, with the same variables in every nest."""
    values: dict[Var | Param, Index] = {
        loop.var: of(Var(f"at{depth}", loop.var.low, loop.var.high))
        for depth, loop in enumerate(nest)
    }
    return load.memory, load.index.substitute(values), load.mask.substitute(values)


def _row_lanes(place: Place) -> int:
    """The rows that a thread has at once."""
    lane = lane_variable(place[1])
    return 1 if lane is None else lane.lanes


def _direct_loads(nest: list[For]) -> list[Load]:
    """The loads of every point: not those of loops or conditions within."""
    inner = nest[-1]
    values = [root for s in inner.body if not isinstance(s, For) for root in roots(s)]
    values += [carried.next for carried in inner.carried]
    return [value for value in walk(values) if isinstance(value, Load)]


def _places(nest: list[For]) -> set[Place]:
    """The places of every point's own loads and stores."""
    stores = [s for s in nest[-1].body if isinstance(s, Store)]
    return {_place(access, nest) for access in (*_direct_loads(nest), *stores)}


def _defined(nest: list[For]) -> set[Var | Param]:
    """The variables that the points themselves define."""
    return {s.var for s in statements(nest[-1].body) if isinstance(s, Let | For) and s.var}


def _read_again(nests: list[list[For]]) -> list[Place]:
    """The places that several of the nests load, of memory that nothing changes."""
    counts: dict[Place, int] = {}
    for nest in nests:
        inner, own = nest[-1].var, _defined(nest)
        places = {
            _place(load, nest)
            for load in _direct_loads(nest)
            if inner in load.index.atoms()
            and not load.memory.written
            and not own & (load.index.atoms() | load.mask.atoms())
        }
        for place in places:
            counts[place] = counts.get(place, 0) + 1
    return sorted((place for place, count in counts.items() if count > 1), key=str)


def _stores(nest: list[For], memory: Memory) -> int:
    return sum(isinstance(s, Store) and s.memory == memory for s in nest[-1].body)


def _private_rows(body: Body, nests: list[list[For]]) -> list[tuple[Memory, Place]]:
    """Rows of which every point touches its own element, first to store it, in these nests and
    nowhere else; only those that are read again."""
    places: dict[Memory, set[Place]] = {}
    touched: dict[Memory, int] = {}
    for nest in nests:
        direct: list[Load | Store] = list(_direct_loads(nest))
        direct += [s for s in nest[-1].body if isinstance(s, Store)]
        for access in direct:
            if access.memory.home in (Home.SCRATCH, Home.ARGUMENT) and access.memory.written:
                places.setdefault(access.memory, set()).add(_place(access, nest))
                touched[access.memory] = touched.get(access.memory, 0) + 1
    everywhere: dict[Memory, int] = {}
    for access in _all_accesses(body):
        everywhere[access.memory] = everywhere.get(access.memory, 0) + 1
    return [
        (memory, next(iter(found)))
        for memory, found in sorted(places.items(), key=lambda item: item[0].name)
        if len(found) == 1
        and touched[memory] == everywhere[memory]
        and all(mask.always for _, _, mask in found)
        and _own_element(nests[0], next(iter(found)))
        and _is_passed_on(nests, memory)
    ]


def _own_element(nest: list[For], place: Place) -> bool:
    """Whether different points have different elements."""
    position = ZERO
    for depth, loop in enumerate(nest):
        low, high = loop.var.low, loop.var.high
        position = position * (high - low + 1) + of(Var(f"at{depth}", low, high)) - low
    own = {atom for atom, _ in position.terms}
    found = {(atom, factor) for atom, factor in place[1].terms if atom in own}
    apart = all(place[1].is_affine_in(atom) for atom in own if isinstance(atom, Var))
    return apart and found == set(position.terms)


def _is_passed_on(nests: list[list[For]], memory: Memory) -> bool:
    """Whether a nest stores the memory, before any loads it, and a later one loads it."""
    stored = False
    for nest in nests:
        loads = any(load.memory == memory for load in _direct_loads(nest))
        if loads or stored:
            return stored and any(
                load.memory == memory for other in nests for load in _direct_loads(other)
            )
        stored = _stores(nest, memory) > 0
    return False


def _all_accesses(body: Body) -> list[Load | Store]:
    found: list[Load | Store] = [s for s in statements(body) if isinstance(s, Store)]
    for statement in statements(body):
        found += [value for value in walk(roots(statement)) if isinstance(value, Load)]
    return found


# --- the loops of a thread ------------------------------------------------------------------------


class _Points(Replicate):
    """Rewrites the body of a nest for a thread's points; what is kept comes from registers."""

    def __init__(self, plan: RowPlan, nest: list[For], names: set[str], copy: Copy, step: Index):
        self.plan, self.nest, self.shape = plan, nest, tuple(extents(nest))
        self.width = plan.width_of(nest)
        super().__init__(nest[-1].var, names, (copy,), self.width if self.width > 1 else None)
        self.step = step

    def own(self, array: Memory, lanes: int) -> Load:
        """The element of this point; of several points or rows, where it has lanes."""
        lane = of(Var("lane", 0, lanes - 1, lanes)) if lanes > 1 else ZERO
        return Load(array, self.step * lanes + lane, lanes)

    def load(self, load: Load, copy: Copy) -> Value:
        place = _place(load, self.nest)
        if load.memory in self.plan.private:
            return self.own(self.plan.private[load.memory], max(self.width, load.lanes))
        if (self.shape, place) in self.plan.loaded:
            return self.own(self.plan.kept[self.shape, place], max(self.width, load.lanes))
        return super().load(load, copy)

    def statement(self, statement: Statement) -> Body:
        """The copy of a statement; a store to a row that is kept goes to the registers, and where
        it is the last one of a result, to memory too."""
        if not isinstance(statement, Store) or statement.memory not in self.plan.private:
            return super().statement(statement)
        memory, (copy,) = statement.memory, self.copies
        array = self.plan.private[memory]
        value = self.wide(statement.value, copy)
        kept = Store(array, self.own(array, max(self.width, value.lanes)).index, value)
        self.plan.stores[memory] -= 1
        if memory.home is Home.SCRATCH or self.plan.stores[memory]:
            return (kept,)
        return (kept, self.store(statement, copy))

    def fetched(self, copy: Copy) -> Body:
        """What this nest is the first to load of what is kept."""
        body: list[Statement] = []
        for load in _direct_loads(self.nest):
            kept = self.shape, _place(load, self.nest)
            if kept in self.plan.kept and kept not in self.plan.loaded:
                self.plan.loaded.add(kept)
                value = super().load(load, copy)
                array = self.plan.kept[kept]
                body.append(Store(array, self.own(array, value.lanes).index, value))
        return tuple(body)


def turns(
    plan: RowPlan, nest: list[For], carried: tuple[Carried, ...], turn: Index, number: int
) -> For:
    """The loop over the points of a nest that are a thread's, the `turn`-th of its row."""
    shape, inner = tuple(extents(nest)), nest[-1]
    width, height = plan.widths[shape], plan.height
    groups = prod(shape) // width
    steps, unrolled = plan.steps_of(shape), shape in plan.unrolled or groups < height
    step = Var(f"step{number}", 0, steps - 1)
    point = Var(f"point{number}", 0, (steps * height if unrolled else groups) - 1)
    inside = Mask().require(groups - 1 - of(point))
    places = delinearize(of(point), [*shape[:-1], shape[-1] // width])
    named: list[Statement] = []
    if unrolled:
        named.append(Let(point.name, IndexValue(of(step) * height + turn, int64), point))
    for loop, place in zip(nest[:-1], places, strict=False):
        value: Value = IndexValue(place + loop.begin, int64)
        if place is places[0] and not inside.always:
            # Points beyond the last have no line; what they load of a line is of the first.
            value = Alu(Op.WHERE, (Predicate(inside), value, IndexValue(loop.begin, int64)), int64)
        named.append(Let(loop.var.name, value, loop.var))
    start = places[-1] * width + inner.begin
    if width > 1:
        copy = Copy(start + of(Var("lane", 0, width - 1, width)), "", inside)
    else:
        named.append(Let(inner.var.name, IndexValue(start, int64), inner.var))
        copy = Copy(of(inner.var), "", inside)
    names = dependent_names(inner.body, inner.var, (c.name for c in carried))
    names |= {c.name for c in carried}
    points = _Points(plan, nest, names, copy, of(step) if unrolled else ZERO)
    body = (*named, *points.fetched(copy), *points.body(inner.body))
    carried = tuple(_guarded(made, inside) for c in carried for made in points.carry(c))
    if unrolled:
        return For(step, ZERO, constant(steps), body, kind=Kind.UNROLL, carried=carried)
    return For(point, turn, constant(groups), body, height, carried=carried)


def _guarded(carried: Carried, inside: Mask) -> Carried:
    """What a loop carries stays as it is where the point is outside."""
    if inside.always:
        return carried
    own = Ref(carried.name, carried.dtype, carried.lanes)
    condition = Predicate(inside, carried.lanes)
    following = Alu(Op.WHERE, (condition, carried.next, own), carried.dtype, carried.lanes)
    return replace(carried, next=following)
