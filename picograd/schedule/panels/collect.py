"""Kernels that make tables of scores by blocks of rows, use them, and forget them.

In: the drafts of a program and the versions that must have memory. Out: other drafts, of which some
belong together in one kernel. Called by `schedule.plan`, before the other drafts are fused.

A kernel of attention's forward pass and one of its backward pass each compute the scores again from
their factors; what is one number for each row (maximum and sum of a softmax) is stored by the
first and read by the second. So no table is ever stored whole, and each kernel multiplies once
more than it would have to. Tables that something else reads too are left as they are, and so are
those that more kernels would have to make again: what a network adds up layer by layer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from picograd.dtypes import bool_
from picograd.graph.index import Index, Param, Var
from picograd.schedule.decide import describe
from picograd.schedule.fuse import is_contraction
from picograd.schedule.groups import digits
from picograd.schedule.hazards import Order, find_order, topological
from picograd.schedule.kernel import Access, Decision, Expr, Philox, Stage, StageKind
from picograd.schedule.panels.limits import Limits
from picograd.schedule.panels.quotient import divide_sums
from picograd.schedule.panels.region import Region, Role, find_table, grow, plain
from picograd.schedule.panels.table import Table, over
from picograd.schedule.stages import Buffers, Draft
from picograd.schedule.walk import Rewriter, Substitute, stage_accesses, subexpressions

LEAST = 1 << 14  # elements of a table that is worth it
COLUMNS = 16  # at least, for vectors
ATTEMPTS = 4  # at finding the axes of one table
LONGEST = 24  # parts of a mask's formula
MOST = 2  # kernels that make the same table: forward and backward


@dataclass(slots=True)
class Together:
    """Numbers of the drafts that share a kernel, and the axes that it loops over."""

    numbers: list[int]
    domain: tuple[Var, ...]


@dataclass(slots=True)
class Collected:
    """The drafts of a program, in their order, and those that are kernels already."""

    drafts: list[Draft]
    order: Order
    kernels: list[Together] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)


@dataclass(slots=True)
class _Kernel:
    """A kernel in the making: what it computes of a region, and its results."""

    region: Region
    cone: set[int]
    ends: list[int]


def collect(
    drafts: list[Draft],
    order: Order,
    buffers: Buffers,
    kept: Collection[str],
    numbers: count[int],
    limits: Limits,
) -> Collected:
    """The drafts with attention's parts put together, or as they are."""
    before = Collected(drafts, order)
    made = [n for n, d in enumerate(drafts) if plain(d) and is_contraction(d.stage)]
    if len(made) < 2:
        return before
    search = _Search(drafts, order, kept, made, numbers, limits)
    kernels = [kernel for region in search.regions() for kernel in search.kernels(region)]
    if not kernels:
        return before
    after = _Assembly(search, buffers).drafts(kernels)
    after.order = _contracted(find_order(after.drafts, buffers), after.kernels)
    _, cyclic = topological(after.order.before)
    return before if cyclic else after


class _Search:
    """Finds regions and what of them can be kernels."""

    def __init__(
        self,
        drafts: list[Draft],
        order: Order,
        kept: Collection[str],
        made: list[int],
        numbers: count[int],
        limits: Limits,
    ) -> None:
        self.limits = limits
        self.drafts, self.kept, self.made, self.numbers = drafts, kept, made, numbers
        self.reads = order.reads
        self.readers: dict[str, list[int]] = {}
        for number, names in enumerate(order.reads):
            for name in names:
                self.readers.setdefault(name, []).append(number)
        self.ancestors = _ancestors(order)
        self.formulas = {d.target: d.stage for d in drafts if plain(d) and _is_formula(d.stage)}
        self.owner: dict[str, _Kernel] = {}  # values of rows -> the kernel that stores them

    def regions(self) -> Iterable[Region]:
        """A region for each shape of table."""
        known: set[tuple[int, int]] = set()
        for number in self.made:
            table = find_table(self.drafts[number].stage, self.numbers, set())
            if table is None or table.size < LEAST:
                continue
            shape = (table.size, table.column.high)
            if not COLUMNS <= table.column.high + 1 <= self.limits.columns:
                continue
            if shape not in known:
                known.add(shape)
                yield self._region(number, table)

    def _region(self, number: int, table: Table) -> Region:
        """The region, its batch cut where its drafts cut it."""
        inside: set[int] = set()
        region, wanted = grow(table, self.drafts, self.reads, self.made, self.limits)
        for _ in range(ATTEMPTS):
            finer = find_table(self.drafts[number].stage, self.numbers, inside | wanted)
            if not wanted or finer is None:
                break
            inside |= wanted
            region, wanted = grow(finer, self.drafts, self.reads, self.made, self.limits)
        return region

    # --- kernels of one region --------------------------------------------------------------------

    def kernels(self, region: Region) -> list[_Kernel]:
        """Results that need the same scores and not each other share a kernel."""
        return self._kernels(region, self._stored(region))

    def _kernels(self, region: Region, stored: set[str]) -> list[_Kernel]:
        made: list[_Kernel] = []
        for number in sorted(self._worthwhile(region, stored)):
            cone = self._cone(region, number, stored, self.owner)
            scores = {n for n in cone if region.members[n].role is Role.SCORES}
            for kernel in made:
                if kernel.cone & scores and self._independent(number, kernel.ends):
                    kernel.cone |= cone
                    kernel.ends.append(number)
                    break
            else:
                kernel = _Kernel(region, cone, [number])
                made.append(kernel)
            for row in kernel.cone:
                if region.members[row].role is Role.ROWS:
                    self.owner.setdefault(self.drafts[row].target, kernel)
        return made

    def _stored(self, region: Region) -> set[str]:
        """Tables that need memory: something that is no kernel of this region reads them."""
        members = region.members
        apart = set(range(len(self.drafts))) - members.keys()

        def leaves(name: str) -> bool:
            return name in self.kept or any(n in apart for n in self.readers.get(name, ()))

        stored = {name for name in region.cells if leaves(name)}
        while True:
            apart |= {region.cells[name].number for name in stored}
            used: set[int] = set()
            useless = [region.cells[name].number for name in stored]
            worthwhile = self._worthwhile(region, stored)
            for number, member in members.items():
                if number in worthwhile:
                    used |= worthwhile[number]
                elif member.role in (Role.OUT, Role.ACROSS):
                    useless.append(number)
            for name, member in region.rows.items():
                if leaves(name) and member.number not in used:
                    useless.append(member.number)
            more = {
                access.buffer
                for number in useless
                for access in stage_accesses(self.drafts[number].stage)
                if access.buffer in region.cells
            }
            more = more - stored or self._repeated(region, stored)
            if not more:
                return stored
            stored |= more

    def _repeated(self, region: Region, stored: set[str]) -> set[str]:
        """Tables that too many kernels would make again, where they are read by several drafts."""
        owner, self.owner = self.owner, {}
        kernels = self._kernels(region, stored)
        self.owner = owner
        return {
            name
            for name, member in region.cells.items()
            if name not in stored
            and len({n for n in self.readers.get(name, ()) if n in region.members}) > 1
            and sum(member.number in kernel.cone for kernel in kernels) > MOST
        }

    def _worthwhile(self, region: Region, stored: set[str]) -> dict[int, set[int]]:
        """The results that need scores of which some result wants whole rows, and what each needs
        of the region. Without the rows, scores are one of three factors that may stay apart."""
        cones = {
            number: self._cone(region, number, stored, {})
            for number, member in region.members.items()
            if member.role in (Role.OUT, Role.ACROSS)
        }
        members, wanted = region.members, set[int]()
        for cone in cones.values():
            if any(members[n].role is Role.ROWS and members[n].stage.reduce for n in cone):
                wanted |= {n for n in cone if members[n].role is Role.SCORES}
        return {number: cone for number, cone in cones.items() if cone & wanted}

    def _cone(
        self, region: Region, end: int, stored: set[str], owner: dict[str, _Kernel]
    ) -> set[int]:
        """What a result needs of the region and nothing else has stored."""
        found: set[int] = set()
        stack = [end]
        while stack:
            number = stack.pop()
            for access in stage_accesses(self.drafts[number].stage):
                name = access.buffer
                member = region.rows.get(name) if name not in owner else None
                if name not in stored:
                    member = region.cells.get(name, member)
                if member is not None and member.number not in found:
                    found.add(member.number)
                    stack.append(member.number)
        return found

    def _independent(self, number: int, others: Iterable[int]) -> bool:
        return not any(
            self.ancestors[number] >> other & 1 or self.ancestors[other] >> number & 1
            for other in others
        )

    def follower(self, kernel: _Kernel, end: int) -> int | None:
        """The elementwise draft that alone reads a result, if it needs no other of the kernel."""
        target = self.drafts[end].target
        readers = self.readers.get(target, [])
        if target in self.kept or len(readers) != 1 or not plain(self.drafts[readers[0]]):
            return None
        number = readers[0]
        draft = self.drafts[number]
        others = [other for other in kernel.ends if other != end]
        if draft.stage.kind is not StageKind.MAP or not self._independent(number, others):
            return None
        return number


class _Assembly:
    """Makes the drafts of kernels, with tables under fresh names."""

    def __init__(self, search: _Search, buffers: Buffers) -> None:
        self.search, self.buffers = search, buffers
        self.replaced: set[int] = set()

    def drafts(self, kernels: Sequence[_Kernel]) -> Collected:
        """All drafts: those that no kernel took, then each kernel's."""
        made = [self._kernel(kernel) for kernel in kernels]
        read = {a.buffer for group in made for draft in group for a in stage_accesses(draft.stage)}
        rest = self._alive(kernels, read)
        after = Collected(rest, Order())
        for kernel, group in zip(kernels, made, strict=True):
            first = len(after.drafts)
            after.drafts += group
            numbers = list(range(first, first + len(group)))
            after.kernels.append(Together(numbers, kernel.region.table.batch))
            subject = describe(self.search.drafts[min(kernel.cone)].subject)
            after.decisions.append(
                Decision(subject, "computed by blocks of rows", "reading it back costs more")
            )
        return after

    def _kernel(self, kernel: _Kernel) -> list[Draft]:
        """The drafts of one kernel, in order."""
        region, search = kernel.region, self.search
        names: dict[str, str] = {}
        result: list[Draft] = []
        for number in sorted({*kernel.cone, *kernel.ends}):
            draft, member = search.drafts[number], region.members[number]
            stage = _Renamed(names, search.formulas).stage(member.stage)
            name = draft.target
            if member.role in (Role.SCORES, Role.CELLS):
                name = f"v{next(search.numbers)}"
                self.buffers.add(name, self.buffers.dtype[draft.target], region.table.size)
                names[draft.target] = name
            else:
                self.replaced.add(number)
            result.append(replace(draft, stage=replace(stage, target=name), contraction=False))
            if number in kernel.ends:
                result += self._following(kernel, number, result[-1].stage)
        return divide_sums(result, region.table, self.buffers, search.numbers)

    def _following(self, kernel: _Kernel, end: int, stage: Stage) -> list[Draft]:
        """The elementwise stage after a result, over its axes."""
        number = self.search.follower(kernel, end)
        if number is None:
            return []
        draft = self.search.drafts[number]
        (read, *_) = [a for a in stage_accesses(draft.stage) if a.buffer == stage.target]
        axes = tuple((var, stage.store.coefficient(var)) for var in stage.inner)
        ordered = tuple(sorted(axes, key=lambda axis: -axis[1]))
        changed = over(draft.stage, read.index, ordered)
        if changed is None or {*changed.inner} != {*stage.inner}:
            return []
        same = all(
            access.index == stage.store
            for access in stage_accesses(changed)
            if access.buffer == stage.target
        )
        if not same:
            return []
        self.replaced.add(number)
        return [replace(draft, stage=replace(changed, inner=stage.inner))]

    def _alive(self, kernels: Sequence[_Kernel], read: set[str]) -> list[Draft]:
        """The drafts that no kernel replaces and that something still reads."""
        drafts, search = self.search.drafts, self.search
        within = {n for kernel in kernels for n in kernel.cone}
        within |= {n for n, draft in enumerate(drafts) if draft.target in search.formulas}
        alive = {n for n in range(len(drafts)) if n not in self.replaced}
        for number in sorted(within & alive, reverse=True):
            name = drafts[number].target
            readers = [n for n in search.readers.get(name, ()) if n in alive]
            if not readers and name not in read and name not in search.kept:
                alive.discard(number)
        return [drafts[number] for number in sorted(alive)]


class _Renamed(Rewriter):
    """Loads of tables under their names in a kernel; masks that are formulas written out, so that
    it can be seen what they leave out."""

    def __init__(self, names: dict[str, str], formulas: dict[str, Stage]) -> None:
        super().__init__()
        self._names, self._formulas = names, formulas

    def access(self, access: Access) -> Expr:
        name = self._names.get(access.buffer)
        if name is not None:
            return replace(access, buffer=name)
        stage = self._formulas.get(access.buffer)
        if stage is None:
            return access
        axes = tuple(sorted(stage.inner, key=lambda axis: -stage.store.coefficient(axis)))
        places: dict[Var | Param, Index] = dict(zip(axes, digits(access.index, axes), strict=True))
        return Substitute(places)(stage.value)


def _is_formula(stage: Stage) -> bool:
    """Whether a stage computes truth values from positions alone, by a short formula."""
    parts = list(subexpressions(stage.value))
    loads = any(isinstance(part, Access | Philox) for part in parts)
    return (
        stage.kind is StageKind.MAP
        and stage.value.dtype is bool_
        and not loads
        and len(parts) <= LONGEST
    )


def _ancestors(order: Order) -> list[int]:
    """For each draft all that run before it, as a set of bits."""
    found = [0] * len(order.before)
    for number in topological(order.before)[0]:
        for other in order.before[number]:
            found[number] |= found[other] | 1 << other
    return found


def _contracted(order: Order, kernels: Sequence[Together]) -> Order:
    """The order in which the drafts of a kernel run without others in between."""
    home = {number: kernel for kernel in kernels for number in kernel.numbers}
    before: list[set[int]] = []
    for number, edges in enumerate(order.before):
        own = home.get(number)
        wanted = set(edges)
        if own is not None:
            for member in own.numbers:
                wanted |= order.before[member] - {*own.numbers}
        for other in tuple(wanted):
            theirs = home.get(other)
            if theirs is not None and theirs is not own:
                wanted |= {*theirs.numbers}
        before.append(wanted)
    return Order(before, order.reads)
