"""Which stages compute tables of one shape, and which contract them.

In: drafts, and a contraction that makes a table. Out: a `Region`: the drafts that can run over
blocks of the table's rows, each rewritten over the table's axes. Called by `collect`.

What a draft may be:

    SCORES     a sum of products with one factor for the rows and one for the columns
    CELLS      elementwise: each element of a table from the same element of others, and rows
    ROWS       one value for each row: a reduction over the columns, or elementwise from others
    OUT        a contraction of a table's columns: a result for each row
    ACROSS     a contraction of a table's rows: a result for each column
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import count, pairwise
from math import prod

from picograd.graph.index import Index, Var
from picograd.graph.ops import Combiner, Op
from picograd.schedule.axes import extent, fresh
from picograd.schedule.kernel import Compute, Expr, Stage, StageKind
from picograd.schedule.panels.limits import Limits
from picograd.schedule.panels.table import Table, cuts, over, strided
from picograd.schedule.stages import Draft
from picograd.schedule.walk import accesses, indices, stage_accesses

ROWS = 16  # at least, in a table


class Role(Enum):
    """What a draft is to a table."""

    SCORES = auto()
    CELLS = auto()
    ROWS = auto()
    OUT = auto()
    ACROSS = auto()


@dataclass(frozen=True, slots=True)
class Member:
    """A draft of a region: its number, its role, and its stage over the table's axes."""

    number: int
    role: Role
    stage: Stage


@dataclass(slots=True)
class Region:
    """The drafts around tables of one shape. `cells` and `rows` map what they compute to them."""

    table: Table
    limits: Limits
    members: dict[int, Member] = field(default_factory=dict)
    cells: dict[str, Member] = field(default_factory=dict)
    rows: dict[str, Member] = field(default_factory=dict)

    def add(self, member: Member, target: str) -> None:
        self.members[member.number] = member
        if member.role in (Role.SCORES, Role.CELLS):
            self.cells[target] = member
        elif member.role is Role.ROWS:
            self.rows[target] = member


def plain(draft: Draft) -> bool:
    """True for a stage that writes all of a memory of its own, whatever data says."""
    stage = draft.stage
    return draft.over is None and not stage.binds and stage.mask.always and not stage.once


def find_table(stage: Stage, numbers: count[int], inside: set[int]) -> Table | None:
    """The table that a contraction makes: the last two axes of its result belong to one factor
    each. `inside` are more strides at which the batch is cut."""
    axes = sorted(stage.inner, key=lambda axis: -stage.store.coefficient(axis))
    if len(axes) < 2 or stage.store.coefficient(axes[-1]) != 1:
        return None
    if prod(extent(axis) for axis in stage.reduce) > extent(axes[-1]):
        return None
    value = stage.value
    assert isinstance(value, Compute)
    left, right = (variables(arg) for arg in value.args)
    row, column = axes[-2:]
    if (row in left) == (row in right) or (column in left) == (column in right):
        return None
    if (row in left) == (column in left):
        return None
    size = prod(extent(axis) for axis in axes)
    strides = {stage.store.coefficient(axis) for axis in axes[:-1]} | inside
    least = ROWS * extent(column)
    bounds = [extent(column), *sorted({size, *(s for s in strides if least <= s < size)})]
    if any(high % low for low, high in pairwise(bounds)):
        return None
    made = [fresh(numbers, high // low) for low, high in pairwise(bounds)]
    return Table(tuple(reversed(made[1:])), made[0], fresh(numbers, extent(column)))


def variables(expr: Expr) -> set[Var]:
    return {var for index in indices(expr) for var in index.variables()}


def grow(
    table: Table,
    drafts: Sequence[Draft],
    reads: Sequence[frozenset[str]],
    made: Sequence[int],
    limits: Limits,
) -> tuple[Region, set[int]]:
    """The region of a table, and strides at which its batch would have to be cut for more.

    `reads` are the memories that each draft reads, `made` the numbers of contractions.
    """
    region, wanted = Region(table, limits), set[int]()
    results: dict[str, Stage] = {}
    scores = set(made)
    for number, draft in enumerate(drafts):
        near = number in scores or any(
            name in region.cells or name in region.rows or name in results for name in reads[number]
        )
        if not near or not plain(draft):
            continue
        member = None
        if number in scores and (stage := over(draft.stage, draft.stage.store, table.axes)):
            member = _scores(number, stage, table, limits)
        if member is None:
            member = _reader(region, number, draft)
        if member is not None:
            region.add(member, draft.target)
            if member.role is Role.OUT:
                results[draft.target] = member.stage
        elif after := _follows(draft, results, table):
            wanted |= after
        elif places := _positions(region, draft):
            found = set[int]().union(*(cuts(draft.stage, index) for index in places))
            wanted |= {cut for cut in found if ROWS * extent(table.column) <= cut < table.size}
    _add_sources(region, drafts)
    return region, wanted - {stride for _, stride in table.axes}


def _follows(draft: Draft, results: dict[str, Stage], table: Table) -> set[int]:
    """The strides of the table at which a draft cuts a result for the rows that it reads."""
    found: set[int] = set()
    for access in stage_accesses(draft.stage):
        made = results.get(access.buffer)
        if made is None:
            continue
        line = made.store.coefficient(table.row)  # of the result
        if line > 0:
            strides = {cut for cut in cuts(draft.stage, access.index) if cut % line == 0}
            found |= {cut // line * extent(table.column) for cut in strides}
    least = ROWS * extent(table.column)
    return {cut for cut in found if least <= cut < table.size}


def _add_sources(region: Region, drafts: Sequence[Draft]) -> None:
    """Tables computed from no other that some table reads: a dropout's random numbers."""
    table = region.table
    producer = {draft.target: number for number, draft in enumerate(drafts) if draft.target}
    pending = [member.stage for member in region.members.values()]
    while pending:
        for access in stage_accesses(pending.pop()):
            number = producer.get(access.buffer)
            if number is None or number in region.members or access.index != table.position:
                continue
            draft = drafts[number]
            if not plain(draft) or draft.stage.kind is not StageKind.MAP:
                continue
            stage = over(draft.stage, draft.stage.store, table.axes)
            if stage is not None and len(stage.inner) == len(table.axes):
                region.add(Member(number, Role.CELLS, stage), draft.target)
                pending.append(stage)
    elsewhere = {
        access.buffer
        for member in region.members.values()
        for access in stage_accesses(member.stage)
        if access.buffer in region.cells and access.index != table.position
    }
    for name in elsewhere:
        del region.members[region.cells.pop(name).number]


def _positions(region: Region, draft: Draft) -> list[Index]:
    """Where in tables a draft reads."""
    return [a.index for a in stage_accesses(draft.stage) if a.buffer in region.cells]


def _scores(number: int, stage: Stage, table: Table, limits: Limits) -> Member | None:
    assert isinstance(stage.value, Compute)
    left, right = (variables(arg) for arg in stage.value.args)
    if table.row not in left:
        left, right = right, left
    depth = prod(extent(axis) for axis in stage.reduce)
    if depth > extent(table.column) or depth * extent(table.column) > limits.factor:
        return None
    apart = table.row in left and table.column in right
    if not (stage.accumulator and stage.accumulator.is_float):
        return None
    if not apart or table.row in right or table.column in left or len(stage.reduce) != 1:
        return None
    return Member(number, Role.SCORES, stage)


def _reader(region: Region, number: int, draft: Draft) -> Member | None:
    """A draft that reads tables or values of their rows, each at its own place."""
    table, stage = region.table, draft.stage
    reads = _positions(region, draft)
    if not reads:
        return _row_map(region, number, stage)
    changed = over(stage, reads[0], table.axes)
    if changed is None or not _own_places(region, changed.value):
        return None
    if changed.kind is StageKind.MAP:
        whole = changed.store == table.position and len(changed.inner) == len(table.axes)
        return Member(number, Role.CELLS, changed) if whole else None
    if changed.kind is not StageKind.REDUCE:
        return None
    if changed.reduce == (table.column,) and changed.store == table.line:
        whole = len(changed.inner) == len(table.axes) - 1
        return Member(number, Role.ROWS, changed) if whole else None
    return _contraction(region, number, changed)


def _row_map(region: Region, number: int, stage: Stage) -> Member | None:
    """Elementwise over values of rows."""
    table = region.table
    read = [a.index for a in stage_accesses(stage) if a.buffer in region.rows]
    if not read or stage.kind is not StageKind.MAP:
        return None
    changed = over(stage, read[0], strided((*table.batch, table.row)))
    if changed is None or not _own_places(region, changed.value):
        return None
    whole = changed.store == table.line and len(changed.inner) == len(table.axes) - 1
    return Member(number, Role.ROWS, changed) if whole else None


def _own_places(region: Region, value: Expr) -> bool:
    """Whether tables and values of rows are read at the current element and row only."""
    table = region.table
    return all(
        access.index == (table.position if access.buffer in region.cells else table.line)
        for access in accesses(value)
        if access.buffer in region.cells or access.buffer in region.rows
    )


def _contraction(region: Region, number: int, stage: Stage) -> Member | None:
    """A sum over the columns or the rows of a table times a factor, for one more axis."""
    table, value = region.table, stage.value
    if stage.combiner is not Combiner.SUM or not isinstance(value, Compute):
        return None
    if value.op is not Op.MUL or len(stage.reduce) != 1:
        return None
    if not (stage.accumulator and stage.accumulator.is_float):
        return None
    summed = stage.reduce[0]
    kept = {table.column: table.row, table.row: table.column}.get(summed)
    rest = [var for var in stage.inner if var != kept and var not in table.batch]
    if kept is None or len(rest) != 1 or {*stage.inner} != {*table.batch, kept, *rest}:
        return None
    if extent(rest[0]) * extent(table.column) > region.limits.factor:
        return None
    if extent(rest[0]) > region.limits.axis:
        return None
    first, second = value.args
    if not any(access.buffer in region.cells for access in accesses(first)):
        first, second = second, first
    if rest[0] in variables(first) or kept in variables(second):
        return None
    used = {access.buffer for access in accesses(second)}
    if used & region.cells.keys() or (kept == table.row and used & region.rows.keys()):
        return None
    ordered = replace(stage, value=Compute(Op.MUL, (first, second), value.dtype))
    ordered = replace(ordered, inner=(*table.batch, kept, rest[0]))
    return Member(number, Role.OUT if kept == table.row else Role.ACROSS, ordered)
