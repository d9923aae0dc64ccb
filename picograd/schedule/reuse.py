"""Outputs in memory that is dead afterwards: what `x[i] += v` writes into, what a sum is scaled in.

In: groups in their final order, the version that holds each output, and the donated inputs. Out:
`Buffers` in which some outputs are versions of inputs' memory, or of a temporary's, which then lies
where the output will be. Called by `schedule.plan`.

An output takes such a place when nothing reads it later: every other kernel that reads it runs
before, and in the kernel itself each domain point reads only what it overwrites, before it does.
Checks of indices must have run, so that a program that fails has changed nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from picograd.schedule.align import digit
from picograd.schedule.groups import Group
from picograd.schedule.kernel import Access, Decision, StageKind
from picograd.schedule.stages import Buffers, Draft, leaf_name
from picograd.schedule.walk import stage_accesses


def reuse_memory(
    groups: Sequence[Group], buffers: Buffers, outputs: Sequence[str], donated: Collection[int]
) -> list[Decision]:
    """Put outputs into donated inputs, and into temporaries, where that is safe."""
    taken = {buffers.root(name) for name in (*outputs, *buffers.over)}
    inputs = {leaf_name(slot) for slot in donated} & buffers.dtype.keys() - taken
    written = {draft.target: n for n, group in enumerate(groups) for draft in group.drafts}
    own = {name for name in written if name and buffers.root(name) == name}
    free = inputs | own - taken
    readers = _readers(groups, free)
    checks = [n for n, group in enumerate(groups) if _is_check(group)]
    decisions: list[Decision] = []
    for number, group in enumerate(groups):
        if group.panels or (checks and checks[-1] > number):
            continue
        for draft in group.drafts:
            name = draft.target
            if name not in outputs or draft.over is not None or group.is_final(draft):
                continue
            if buffers.root(name) != name:
                continue
            near = _near(draft, free)
            for dead in sorted(near, key=lambda dead: (dead not in inputs, len(dead), dead)):
                same = buffers.size[dead] == buffers.size[name]
                if not same or buffers.dtype[dead] is not buffers.dtype[name]:
                    continue
                if written.get(dead) == number:
                    continue  # it has no memory
                if all(_is_before(groups, r, number, draft, dead) for r in readers[dead]):
                    buffers.put_into(name, dead)
                    free.discard(dead)
                    decisions.append(Decision(name, "in place", f"{dead} is not read again"))
                    break
    return decisions


def _is_check(group: Group) -> bool:
    return any(draft.stage.kind is StageKind.CHECK for draft in group.drafts)


def _readers(groups: Sequence[Group], names: Collection[str]) -> dict[str, list[int]]:
    readers: dict[str, list[int]] = {name: [] for name in names}
    for number, group in enumerate(groups):
        for draft in group.drafts:
            for access in stage_accesses(draft.stage):
                if access.buffer in readers and number not in readers[access.buffer][-1:]:
                    readers[access.buffer].append(number)
    return readers


def _near(draft: Draft, free: Collection[str]) -> set[str]:
    """What a stage reads at the element that it writes."""
    return {
        access.buffer
        for access in stage_accesses(draft.stage)
        if access.buffer in free and access.index == draft.stage.store
    }


def _is_before(groups: Sequence[Group], reader: int, writer: int, draft: Draft, dead: str) -> bool:
    """Whether all reads of an input in group `reader` happen before `draft` overwrites them."""
    if reader != writer:
        return reader < writer
    group, seen = groups[writer], False
    for member in group.drafts:
        loads = [a for a in stage_accesses(member.stage) if a.buffer == dead]
        if member is draft:
            seen = True
            if any(load.index != draft.stage.store for load in loads):
                return False
        elif (loads and (seen or group.is_final(member))) or not all(
            _same_point(group, load, draft) for load in loads
        ):
            return False
    return True


def _same_point(group: Group, load: Access, draft: Draft) -> bool:
    """Whether a load sees only elements that its own domain point overwrites."""
    return all(digit(load, draft, axis) == axis for axis in group.domain)
