"""Stages that share a kernel: loop fusion on index notation.

In: drafts with their order. Out: groups, each of which becomes one kernel, in an order that
respects all edges. Called by `schedule.plan`.

Drafts are taken in order; each tries the groups that compute what it reads, then those that read
what it reads, and joins the first where

* the loops agree: every value computed inside is read at the domain point that computes it (for
  that, the domain may shrink to the axes on which all agree, down to the rows of a softmax), or
  the draft reduces the whole domain;
* no other kernel would have to run in the middle;
* the kernel stays small, and parallel enough.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import prod

from picograd.graph.index import Var
from picograd.graph.ops import Combiner, Op
from picograd.schedule.align import Mapping, aligned_axes, internal_reads, match_sizes, refine
from picograd.schedule.axes import extent, rename
from picograd.schedule.decide import describe
from picograd.schedule.groups import Group, value_axes
from picograd.schedule.hazards import Order, topological
from picograd.schedule.kernel import Compute, Decision, Philox, Stage, StageKind
from picograd.schedule.stages import Buffers, Draft
from picograd.schedule.walk import indices, stage_accesses, subexpressions, weight

MAX_ARGUMENTS = 32
MAX_WEIGHT = 400  # expression nodes of a kernel
MIN_POINTS = 16  # fewer domain points than this are run in parallel badly
SMALL_WORK = 1 << 15  # loop iterations for which that does not matter
SIDE_BY_SIDE = 1 << 12  # elements up to which unrelated stages are worth one launch
SHARED = 16  # a byte that two stages read is worth one kernel for at most so many iterations
NEIGHBOURS = 4  # how many groups of each sort are tried


def is_contraction(stage: Stage) -> bool:
    """True for the sum of a product whose factors have axes of their own, and a common one."""
    value = stage.value
    if stage.combiner is not Combiner.SUM or stage.kind is not StageKind.REDUCE or stage.binds:
        return False
    if not isinstance(value, Compute) or value.op is not Op.MUL:
        return False
    left, right = (
        {var for index in indices(arg) for var in index.variables()} for arg in value.args
    )
    rows = [var for var in stage.inner if var in left and var not in right]
    columns = [var for var in stage.inner if var in right and var not in left]
    depth = [var for var in stage.reduce if var in left and var in right]
    return bool(rows and columns and depth)


@dataclass(slots=True)
class Fused:
    """Groups in a valid order, and why stages stayed apart."""

    groups: list[Group]
    decisions: list[Decision]


@dataclass(slots=True)
class _Fusion:
    buffers: Buffers
    order: Order
    numbers: count[int]
    groups: list[Group] = field(default_factory=list)
    ancestors: list[int] = field(default_factory=list)  # of each group, as a set of bits
    home: dict[int, int] = field(default_factory=dict)  # draft -> group
    writers: dict[str, int] = field(default_factory=dict)  # version -> group
    readers: dict[str, list[int]] = field(default_factory=dict)  # version -> groups
    by_size: dict[int, list[int]] = field(default_factory=dict)  # points -> groups of maps
    decisions: list[Decision] = field(default_factory=list)


def fuse(
    drafts: Sequence[Draft],
    order: Order,
    buffers: Buffers,
    numbers: count[int],
    together: Sequence[tuple[Collection[int], tuple[Var, ...]]] = (),
) -> Fused:
    """The kernels of a program, in an order that respects `order`.

    `together` are numbers of drafts that share a kernel over the given domain, and with no others.
    """
    state = _Fusion(buffers, order, numbers)
    fixed = {number: place for place, (members, _) in enumerate(together) for number in members}
    made: dict[int, int] = {}
    sequence, _ = topological(order.before)
    for number in sequence:
        draft = replace(drafts[number], contraction=is_contraction(drafts[number].stage))
        before = {state.home[other] for other in order.before[number]}
        place = fixed.get(number)
        if place is not None:
            chosen = made.get(place)
        else:
            chosen = None if _stands_alone(draft) else _find_group(state, number, draft, before)
        if chosen is None:
            chosen = len(state.groups)
            state.groups.append(Group.of_draft(draft))
            state.ancestors.append(0)
            if place is not None:
                made[place] = chosen
                state.groups[chosen] = Group([draft], together[place][1], panels=True)
        elif place is not None:
            state.groups[chosen].drafts.append(draft)
        _record(state, number, draft, chosen, before)
    edges: list[set[int]] = [set() for _ in state.groups]
    for number, others in enumerate(order.before):
        group = state.home[number]
        edges[group] |= {state.home[other] for other in others} - {group}
    final, _ = topological(edges)
    return Fused([state.groups[number] for number in final], state.decisions)


def _stands_alone(draft: Draft) -> bool:
    """Checks, and what changes memory in part, have kernels of their own."""
    kinds = (StageKind.CHECK, StageKind.SCATTER)
    return draft.over is not None or draft.stage.kind in kinds


def _find_group(state: _Fusion, number: int, draft: Draft, before: set[int]) -> int | None:
    """Join the first group that takes the draft."""
    memories, size = _extent(state, number, draft)
    for candidate in _candidates(state, number, draft):
        if any(h != candidate and state.ancestors[h] >> candidate & 1 for h in before):
            continue  # another kernel would have to run in the middle
        group = state.groups[candidate]
        if group.panels or _stands_alone(group.drafts[0]):
            continue
        joined = _too_large(group, memories, size) or _join(group, draft, state)
        if isinstance(joined, Group):
            state.groups[candidate] = joined
            return candidate
        if joined:
            subject = f"{describe(draft.subject)} after {describe(group.drafts[-1].subject)}"
            state.decisions.append(Decision(subject, "kernel ends", joined))
    return None


def _extent(state: _Fusion, number: int, draft: Draft) -> tuple[frozenset[str], int]:
    """The memories that a draft touches, and the size of its expression."""
    names = {*state.order.reads[number], draft.target}
    return frozenset(map(state.buffers.root, names)), weight(draft.stage.value)


def _candidates(state: _Fusion, number: int, draft: Draft) -> Iterator[int]:
    """Groups worth trying, each once: writers of what the draft reads, readers, equal maps."""
    names = sorted(state.order.reads[number], key=lambda name: -state.buffers.nbytes(name))
    seen: set[int] = set()
    writers = sorted({state.writers[name] for name in names if name in state.writers})
    size = prod(extent(var) for var in draft.stage.inner)
    loops = size * prod(extent(var) for var in draft.stage.reduce)
    shared = [
        group
        for name in names
        if loops <= SIDE_BY_SIDE or state.buffers.nbytes(name) * SHARED >= loops
        for group in state.readers.get(name, [])[-NEIGHBOURS:]
    ]
    similar: list[int] = []
    if draft.stage.kind is StageKind.MAP and size <= SIDE_BY_SIDE and not _is_random(draft):
        similar = state.by_size.get(size, [])[-NEIGHBOURS:]
    for group in (*reversed(writers), *reversed(shared), *reversed(similar)):
        if group not in seen:
            seen.add(group)
            yield group


def _is_random(draft: Draft) -> bool:
    """Random numbers take so long that a launch for two of them saves nothing, and the kernels of
    equal shapes are compiled once when they stay apart."""
    return any(isinstance(part, Philox) for part in subexpressions(draft.stage.value))


def _record(state: _Fusion, number: int, draft: Draft, chosen: int, before: set[int]) -> None:
    state.home[number] = chosen
    if draft.target:
        state.writers[draft.target] = chosen
    for name in state.order.reads[number]:
        readers = state.readers.setdefault(name, [])
        if chosen not in readers:
            readers.append(chosen)
    group = state.groups[chosen]
    memories, size = _extent(state, number, draft)
    group.memories |= memories
    group.weight += size
    if len(group.drafts) == 1 and draft.stage.kind is StageKind.MAP and not draft.over:
        state.by_size.setdefault(group.points, []).append(chosen)
    bits = state.ancestors[chosen]
    for other in before:
        if other != chosen:
            bits |= state.ancestors[other] | 1 << other
    if bits != state.ancestors[chosen]:
        state.ancestors[chosen] = bits
        if len(group.drafts) == 1:
            return  # nothing depends on it yet
        for other, found in enumerate(state.ancestors):
            if found >> chosen & 1:
                state.ancestors[other] = found | bits


# --- joining ----------------------------------------------------------------------------------


def _join(group: Group, draft: Draft, state: _Fusion) -> Group | str:
    """The group with the draft in it, or the reason why not ("" for reasons not worth telling)."""
    if draft.contraction:
        return ""
    reads = internal_reads(group, draft)
    if any(group.is_final(writer) for _, writer in reads):
        return _join_once(group, draft)
    if not reads:
        return _join_neighbour(group, draft, state)
    mapping = aligned_axes(group, draft, reads)
    if len(mapping) < len(group.domain):
        fine_group, fine_draft = refine(group, draft, reads, state.numbers)
        fine = aligned_axes(fine_group, fine_draft, internal_reads(fine_group, fine_draft))
        if _points(fine) > _points(mapping):
            group, draft, mapping = fine_group, fine_draft, fine
    return _join_aligned(group, draft, mapping)


def _points(mapping: Mapping) -> int:
    return prod(extent(axis) for axis in mapping)


def _join_once(group: Group, draft: Draft) -> Group | str:
    """A number computed from reductions of the whole domain."""
    stage = draft.stage
    finals = {member.target for member in group.drafts if group.is_final(member)}
    own = {member.target for member in group.drafts}
    inside = {access.buffer for access in stage_accesses(stage)} & own
    if stage.kind is not StageKind.MAP or stage.inner or inside - finals:
        return "it needs the result of a reduction over all of the kernel"
    added = replace(draft, stage=replace(stage, once=True))
    return replace(group, drafts=[*group.drafts, added])


def _join_neighbour(group: Group, draft: Draft, state: _Fusion) -> Group | str:
    """A draft that reads the same inputs or has the same loops: axes correspond by position."""
    stage = draft.stage
    if group.contraction or stage.kind is StageKind.SCAN or not group.domain:
        return ""
    maps = stage.kind is StageKind.MAP and all(
        member.stage.kind is StageKind.MAP and not group.inner(member) for member in group.drafts
    )
    if maps and prod(map(extent, stage.inner)) == group.points:
        group, draft = match_sizes(group, draft, state.numbers)
    elif not _shares_rows(group, draft):
        return ""
    leading = draft.stage.inner[: len(group.domain)]
    if [extent(var) for var in leading] != [extent(var) for var in group.domain]:
        return ""
    if maps and len(draft.stage.inner) != len(group.domain):
        return ""
    return _join_aligned(group, draft, dict(zip(group.domain, leading, strict=True)))


def _shares_rows(group: Group, draft: Draft) -> bool:
    """True when both read the same row of some input at each domain point."""
    leading = dict(zip(group.domain, draft.stage.inner, strict=False))
    if len(leading) < len(group.domain):
        return False
    rows = {
        (access.buffer, tuple(access.index.coefficient(var) for var in leading.values()))
        for access in stage_accesses(draft.stage)
    }
    return any(
        (access.buffer, factors := tuple(access.index.coefficient(var) for var in leading)) in rows
        and any(factors)
        for member in group.drafts
        for access in stage_accesses(member.stage)
    )


def _join_aligned(group: Group, draft: Draft, mapping: Mapping) -> Group | str:
    """Join with the given correspondence of axes, shrinking the domain to what is aligned."""
    stage = draft.stage
    if group.domain and mapping.keys() == set(group.domain):
        reduces = all(var in stage.reduce for var in mapping.values())
        if reduces and stage.kind is StageKind.REDUCE and not stage.inner:
            if group.contraction:
                return "a matmul's kernel ends with elementwise stages"
            if any(_sums_columns(group, member) for member in group.drafts):
                return "columns are summed side by side"
            return _joined(group, draft, mapping, group.domain)
    kept = {axis: var for axis, var in mapping.items() if var in stage.inner}
    domain = tuple(axis for axis in group.domain if axis in kept)
    if group.domain and not domain:
        return "no loop of the two agrees"
    shrunk = len(domain) < len(group.domain)
    if shrunk and (group.contraction or any(group.is_final(m) for m in group.drafts)):
        return "the kernel's domain can't shrink"
    joined = _joined(group, draft, kept, domain)
    last = joined.drafts[-1]
    own_loops = bool(joined.inner(last)) or bool(stage.reduce)
    if group.contraction and own_loops:
        return "a matmul's kernel ends with elementwise stages"
    if (shrunk or own_loops) and _is_serial(joined):
        return f"{joined.points} rows are too few to run in parallel"
    if any(_strided(joined, member) for member in joined.drafts):
        return "the rows are not contiguous"
    return joined


def _joined(group: Group, draft: Draft, mapping: Mapping, domain: tuple[Var, ...]) -> Group:
    names = {var: axis for axis, var in mapping.items()}
    added = replace(draft, stage=rename(draft.stage, names))
    return replace(group, drafts=[*group.drafts, added], domain=domain)


def _strided(group: Group, draft: Draft) -> bool:
    """True when a draft's rows run across memory: its last axis belongs to the domain."""
    if draft.stage.once or not group.inner(draft):
        return False
    return value_axes(draft)[-1] in group.domain


def _sums_columns(group: Group, draft: Draft) -> bool:
    """True for a reduction whose domain points are neighbours in memory: vectors of them are
    summed at a time. A reduction of the domain itself would take one after the other."""
    stage = draft.stage
    if stage.kind is not StageKind.REDUCE:
        return False
    steps = [
        ([access.index.coefficient(var) for var in stage.reduce], access)
        for access in stage_accesses(stage)
    ]
    along = [(inner, access) for inner, access in steps if any(inner)]
    across = any(
        access.index.coefficient(var) == 1 and extent(var) > 1
        for _, access in along
        for var in group.domain
    )
    return across and not any(1 in inner for inner, _ in along)


def _is_serial(group: Group) -> bool:
    if group.points >= MIN_POINTS:
        return False
    work = max(
        prod(extent(var) for var in (*member.stage.inner, *member.stage.reduce))
        for member in group.drafts
    )
    return work > SMALL_WORK


def _too_large(group: Group, memories: frozenset[str], size: int) -> str:
    if len(group.memories | memories) > MAX_ARGUMENTS:
        return f"more than {MAX_ARGUMENTS} buffers"
    if group.weight + size > MAX_WEIGHT:
        return f"more than {MAX_WEIGHT} operations"
    return ""
