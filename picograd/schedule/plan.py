"""From a canonical graph to a program: the schedule's entry.

In: output nodes over numbered leaves, and the numbers of the inputs that may be overwritten. Out:
a `Program`. Called by `runtime.cpu`, when the engine has no program for a graph. Complex values
become pairs of real ones and the graph is simplified; then the way through the stages is:

    inplace   which updates write into their base
    decide    which values are stored
    stages    one line of index notation for each
    hazards   what must run before what
    panels    stages that make and use scores by blocks of rows (attention)
    fuse      stages that share a kernel
    assemble  kernels with canonical names
    memory    slots and the arena

>>> from picograd.dtypes import float32
>>> from picograd.graph.node import make
>>> from picograd.graph.ops import LeafAttr
>>> x = make(Op.BUFFER, (), LeafAttr(0, (4, 8), float32), "cpu")
>>> [step.kernel.name for step in plan([make(Op.EXP, (x,))]).steps]
['map_exp_32']
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from picograd.graph.complex import split_complex
from picograd.graph.node import Node, topological
from picograd.graph.ops import LeafAttr, Op
from picograd.graph.rules import simplify
from picograd.schedule.assemble import Assembled, assemble
from picograd.schedule.decide import Choice, Demands, decide
from picograd.schedule.fuse import fuse
from picograd.schedule.groups import Group
from picograd.schedule.hazards import Order, find_order, reads_itself, reads_of
from picograd.schedule.hazards import topological as sort
from picograd.schedule.inplace import candidates
from picograd.schedule.kernel import Decision, Program, Slot, SlotKind, StageKind, Step
from picograd.schedule.memory import place
from picograd.schedule.panels.collect import collect
from picograd.schedule.panels.limits import CACHE, Limits
from picograd.schedule.reuse import reuse_memory
from picograd.schedule.stages import Draft, Drafter, leaf_name, memory_of


def plan(
    outputs: Sequence[Node],
    donated: frozenset[int] = frozenset(),
    panels: Limits = CACHE,
) -> Program:
    """The program that computes the outputs. `panels`: how large tables may be that are computed
    by blocks of rows and never stored (attention)."""
    real = simplify(split_complex(outputs))
    order = topological(real)
    drafted = _draft(order, real, donated)
    drafter = drafted.drafter
    kept = {*drafted.outputs, *drafter.buffers.over.values()}
    found = collect(drafted.drafts, drafted.order, drafter.buffers, kept, drafter.numbers, panels)
    together = [(kernel.numbers, kernel.domain) for kernel in found.kernels]
    fused = fuse(found.drafts, found.order, drafter.buffers, drafter.numbers, together)
    drafted.decisions += found.decisions
    drafted.decisions += fused.decisions
    drafted.decisions += reuse_memory(fused.groups, drafter.buffers, drafted.outputs, donated)
    return _with_complex_outputs(_program(drafted, fused.groups, order), outputs)


def _with_complex_outputs(program: Program, outputs: Sequence[Node]) -> Program:
    """Kernels see complex numbers as pairs; the caller gets memory of the dtype it asked for."""
    slots = list(program.slots)
    for node, number in zip(outputs, program.outputs, strict=True):
        if node.dtype.is_complex:
            slots[number] = replace(slots[number], dtype=node.dtype, size=node.size)
    return replace(program, slots=tuple(slots))


@dataclass(slots=True)
class Drafted:
    """All drafts with their order, and the version of memory that holds each output."""

    drafter: Drafter
    drafts: list[Draft]
    order: Order
    outputs: list[str]
    choice: Choice
    decisions: list[Decision] = field(default_factory=list)


def _draft(order: Sequence[Node], outputs: Sequence[Node], donated: frozenset[int]) -> Drafted:
    """Stages for all stored nodes; updates that cannot be done in place become copies."""
    roots = {id(memory_of(node)) for node in outputs}
    refused: set[int] = set()
    forced: dict[int, str] = {}
    decisions: list[Decision] = []
    while True:
        found = candidates(order, roots, donated)
        in_place = {key: reason for key, reason in found.items() if key not in refused}
        needs = dict(forced)
        for node in order:
            if id(node) in in_place:
                needs.setdefault(id(memory_of(node.srcs[0])), "updated in place")
        choice = decide(order, Demands(roots, needs, in_place))
        drafter = Drafter(order, choice.stored, in_place)
        versions = _output_versions(drafter, outputs, donated)
        drafts = [*drafter.checks, *drafter.drafts]
        edges = find_order(drafts, drafter.buffers)
        again = False
        for draft in drafts:
            if reads_itself(draft):
                again = True
                _separate(draft.subject, forced, refused)
        _, cyclic = sort(edges.before)
        for number in cyclic:
            subject = drafts[number].subject
            if drafts[number].over is not None and id(subject) in in_place:
                again = True
                refused.add(id(subject))
                decisions.append(
                    Decision(subject.op.name.lower(), "copied", "old contents are read later")
                )
        if not again:
            return Drafted(drafter, drafts, edges, versions, choice, decisions)


def _separate(node: Node, forced: dict[int, str], refused: set[int]) -> None:
    """Compute what an update writes before it writes; if that is done already, copy."""
    sources = [memory_of(src) for src in node.srcs[1:]]
    fresh = [src for src in sources if id(src) not in forced and src.op is not Op.BUFFER]
    if not fresh:
        refused.add(id(node))
    for src in fresh:
        forced[id(src)] = "an update reads what it overwrites"


def _output_versions(
    drafter: Drafter, outputs: Sequence[Node], donated: frozenset[int]
) -> list[str]:
    """The version that holds each output. Inputs that are not donated are copied, and so is what
    two different outputs would share."""
    versions: list[str] = []
    known: dict[int, str] = {}
    used: set[str] = set()
    for node in outputs:
        if id(node) not in known:
            root = memory_of(node)
            name = drafter.names[id(root)]
            is_leaf = root.op is Op.BUFFER
            kept = is_leaf and not _is_donated(root, donated)
            if kept or drafter.buffers.root(name) in used:
                name = drafter.copy(root)
            used.add(drafter.buffers.root(name))
            known[id(node)] = name
        versions.append(known[id(node)])
    return versions


def _is_donated(node: Node, donated: frozenset[int]) -> bool:
    assert isinstance(node.attr, LeafAttr)
    return node.attr.slot in donated


# --- the program ------------------------------------------------------------------------------


def _program(drafted: Drafted, groups: list[Group], order: Sequence[Node]) -> Program:
    buffers, drafter = drafted.drafter.buffers, drafted.drafter
    needed = _needed(groups, drafted)
    kernels = [
        assemble(group, buffers, names, drafter.numbers)
        for group, names in zip(groups, needed, strict=True)
    ]
    slots, numbers, arena = _slots(kernels, drafted, order)
    steps = tuple(
        Step(
            kernel.kernel,
            tuple(numbers[name] for name in kernel.arguments),
            kernel.scalars,
            _origin(group),
        )
        for kernel, group in zip(kernels, groups, strict=True)
    )
    outputs = tuple(numbers[buffers.root(name)] for name in drafted.outputs)
    decisions = (*drafted.choice.decisions, *drafted.decisions)
    return Program(slots, steps, outputs, arena, decisions)


def _needed(groups: list[Group], drafted: Drafted) -> list[set[str]]:
    """For each group the versions that others read: other groups, updates, the caller."""
    outside: dict[str, int] = {}
    for place_, group in enumerate(groups):
        for draft in group.drafts:
            names = reads_of(draft)
            for name in names if draft.over is None else {*names, draft.over}:
                before = outside.setdefault(name, place_)
                if before != place_:
                    outside[name] = -1
    result: list[set[str]] = []
    always = {*drafted.outputs, *drafted.drafter.buffers.over.values()}
    for place_, group in enumerate(groups):
        targets = {draft.target for draft in group.drafts}
        result.append({n for n in targets if n in always or outside.get(n, -1) != place_})
    return result


def _origin(group: Group) -> str | None:
    for draft in group.drafts:
        if draft.stage.kind is StageKind.CHECK:
            return draft.subject.origin
    return None


def _slots(
    kernels: Sequence[Assembled], drafted: Drafted, order: Sequence[Node]
) -> tuple[tuple[Slot, ...], dict[str, int], int]:
    """Program slots, the slot of each memory, and the bytes of the arena."""
    buffers = drafted.drafter.buffers
    slots: list[Slot] = []
    numbers: dict[str, int] = {}
    leaves = [node.attr for node in order if node.op is Op.BUFFER]
    for attr in sorted((a for a in leaves if isinstance(a, LeafAttr)), key=lambda a: a.slot):
        name = leaf_name(attr.slot)
        if name not in numbers:
            numbers[name] = len(slots)
            slots.append(Slot(SlotKind.INPUT, attr.slot, attr.dtype, buffers.size[name]))
    for number, version in enumerate(drafted.outputs):
        name = buffers.root(version)
        if name not in numbers:
            numbers[name] = len(slots)
            slots.append(Slot(SlotKind.OUTPUT, number, buffers.dtype[name], buffers.size[name]))
    alive: dict[str, tuple[int, int]] = {}
    for step, kernel in enumerate(kernels):
        for name in kernel.arguments:
            if name not in numbers:
                alive[name] = (alive.get(name, (step, step))[0], step)
    lifetimes = [(*span, buffers.nbytes(name)) for name, span in alive.items()]
    offsets, arena = place(lifetimes)
    for number, (name, offset) in enumerate(zip(alive, offsets, strict=True)):
        numbers[name] = len(slots)
        slots.append(Slot(SlotKind.ARENA, number, buffers.dtype[name], buffers.size[name], offset))
    return tuple(slots), numbers, arena
