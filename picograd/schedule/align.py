"""Can a stage run in a kernel's loops? The proof, on index notation.

In: a group and a draft that reads what the group computes, or reads the same inputs. Out: which of
the draft's axes is which domain axis. Called by `schedule.fuse`.

A read is aligned with a domain axis when the position's digit for that axis is one of the reader's
loop variables, unchanged: then the value that a domain point reads was computed at that point.
Where two stages cut the same memory into different axes (a reshape lies between), both are split
at the other's cuts first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from picograd.graph.index import FloorDiv, Index, Mod, Var, of
from picograd.schedule.axes import extent, fresh, split
from picograd.schedule.groups import Group, digits, value_axes
from picograd.schedule.kernel import Access, StageKind
from picograd.schedule.stages import Draft
from picograd.schedule.walk import stage_accesses

Read = tuple[Access, Draft]
Mapping = dict[Var, Var]  # domain axis -> the draft's axis


def internal_reads(group: Group, draft: Draft) -> list[Read]:
    """The loads of values that the group computes."""
    produced = {member.target: member for member in group.drafts if member.target}
    return [
        (access, produced[access.buffer])
        for access in stage_accesses(draft.stage)
        if access.buffer in produced
    ]


def aligned_axes(group: Group, draft: Draft, reads: Sequence[Read]) -> Mapping:
    """The domain axes that every read agrees on."""
    own = {*draft.stage.inner, *draft.stage.reduce}
    mapping: Mapping = {}
    for axis in group.domain:
        found = {digit(access, writer, axis) for access, writer in reads}
        if len(found) != 1:
            continue
        var = found.pop()
        if var in own and var not in mapping.values() and extent(var) == extent(axis):
            mapping[axis] = var
    return mapping


def digit(access: Access, writer: Draft, axis: Var) -> Var | None:
    """The variable that a load's position has as its digit for one of the writer's axes."""
    axes = value_axes(writer)
    if axis not in axes:
        return None
    part = digits(access.index, axes)[axes.index(axis)]
    return _as_variable(part)


def _as_variable(index: Index) -> Var | None:
    if index.constant == 0 and len(index.terms) == 1 and index.terms[0][1] == 1:
        atom = index.terms[0][0]
        return atom if isinstance(atom, Var) else None
    return None


# --- splitting at each other's cuts -----------------------------------------------------------


def refine(
    group: Group, draft: Draft, reads: Sequence[Read], numbers: count[int]
) -> tuple[Group, Draft]:
    """Split axes of the draft and of the group so that their cuts of the shared memory agree."""
    for access, writer in reads:
        cuts = _strides(value_axes(writer))
        index = access.index
        for var in (*draft.stage.inner, *draft.stage.reduce):
            factor = index.coefficient(var)
            inside = _quotients(index, var)
            if factor > 0 and index.is_affine_in(var):
                inside = [cut // factor for cut in cuts if cut % factor == 0]
            draft, _ = _split_draft(draft, var, inside, numbers)
    for access, writer in internal_reads(group, draft):
        cuts = [
            cut
            for var in (*draft.stage.inner, *draft.stage.reduce)
            if (factor := access.index.coefficient(var)) > 0
            for cut in (factor, factor * extent(var))
        ]
        axes = value_axes(writer)
        for axis, stride in zip(axes, _strides(axes), strict=True):
            inside = [cut // stride for cut in cuts if cut % stride == 0]
            group = _split_group(group, axis, inside, numbers)
    return group, draft


def _quotients(index: Index, var: Var) -> list[int]:
    """The numbers by which an index divides a variable: of channels in groups, those of a group."""
    return [
        atom.divisor
        for atom, _ in index.terms
        if isinstance(atom, FloorDiv | Mod) and atom.numerator == of(var)
    ]


def match_sizes(group: Group, draft: Draft, numbers: count[int]) -> tuple[Group, Draft]:
    """For a draft that reads nothing of the group: cut a single axis into the other's axes."""
    inner = draft.stage.inner
    if len(group.domain) == 1 and len(inner) > 1:
        cuts = _strides(inner)[:-1]
        return _split_group(group, group.domain[0], cuts, numbers), draft
    if len(inner) == 1 and len(group.domain) > 1:
        cuts = _strides(group.domain)[:-1]
        return group, _split_draft(draft, inner[0], cuts, numbers)[0]
    return group, draft


def _strides(axes: Sequence[Var]) -> list[int]:
    strides: list[int] = []
    stride = 1
    for axis in reversed(axes):
        strides.append(stride)
        stride *= extent(axis)
    return strides[::-1]


def _pieces(axis: Var, inside: Sequence[int], numbers: count[int]) -> list[Var]:
    """New axes for one that is cut at strides; empty when there is nothing to cut."""
    pieces: list[Var] = []
    size = extent(axis)
    for cut in sorted(set(inside), reverse=True):
        if 1 < cut < size and size % cut == 0:
            pieces.append(fresh(numbers, size // cut))
            size = cut
    return [*pieces, fresh(numbers, size)] if pieces else []


def _split_draft(
    draft: Draft, axis: Var, inside: Sequence[int], numbers: count[int]
) -> tuple[Draft, list[Var]]:
    pieces = _pieces(axis, inside, numbers)
    return _apply(draft, axis, pieces, numbers), pieces


def _apply(draft: Draft, axis: Var, pieces: Sequence[Var], numbers: count[int]) -> Draft:
    stage, rest = draft.stage, axis
    scanned = stage.kind is StageKind.SCAN and axis in stage.reduce
    if scanned or not pieces or axis not in (*stage.inner, *stage.reduce):
        return draft
    for number, piece in enumerate(pieces[:-1]):
        last = number == len(pieces) - 2
        low = pieces[-1] if last else fresh(numbers, extent(rest) // extent(piece))
        stage = split(stage, rest, piece, low)
        rest = low
    return replace(draft, stage=stage)


def _split_group(group: Group, axis: Var, inside: Sequence[int], numbers: count[int]) -> Group:
    pieces = _pieces(axis, inside, numbers)
    if not pieces:
        return group
    if any(
        member.stage.kind is StageKind.SCAN and axis in member.stage.reduce
        for member in group.drafts
    ):
        return group
    domain = [var for old in group.domain for var in (pieces if old == axis else (old,))]
    members = [_apply(member, axis, pieces, numbers) for member in group.drafts]
    return replace(group, drafts=members, domain=tuple(domain))
