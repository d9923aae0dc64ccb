"""What must run before what, when memory is overwritten.

In: drafts and the versions of memory they read and change. Out: for each draft the set of earlier
ones, or the updates that cannot be done in place. Called by `schedule.plan`.

An update in place runs after every stage that reads the old contents. When one of those needs the
update's own result, the update must make a copy instead.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from picograd.schedule.kernel import StageKind
from picograd.schedule.stages import Buffers, Draft
from picograd.schedule.walk import stage_accesses


@dataclass(slots=True)
class Order:
    """`before[n]` are the drafts that must run before draft n; `reads[n]` the versions it reads."""

    before: list[set[int]] = field(default_factory=list)
    reads: list[frozenset[str]] = field(default_factory=list)


def reads_of(draft: Draft) -> frozenset[str]:
    return frozenset(access.buffer for access in stage_accesses(draft.stage))


def find_order(drafts: Sequence[Draft], buffers: Buffers) -> Order:
    """The edges between drafts: value to reader, old reader to overwriter, check to overwriter."""
    order = Order(reads=[reads_of(draft) for draft in drafts])
    producer = {draft.target: n for n, draft in enumerate(drafts) if draft.target}
    readers: dict[str, list[int]] = {}
    for number, names in enumerate(order.reads):
        for name in names:
            readers.setdefault(name, []).append(number)
    checks = [n for n, draft in enumerate(drafts) if draft.stage.kind is StageKind.CHECK]
    for number, draft in enumerate(drafts):
        before = {producer[name] for name in order.reads[number] if name in producer}
        if draft.over is not None:
            if draft.over in producer:
                before.add(producer[draft.over])
            before.update(readers.get(draft.over, ()))
            if buffers.root(draft.over).startswith("in"):
                before.update(checks)
        before.discard(number)
        order.before.append(before)
    return order


def topological(before: Sequence[Collection[int]]) -> tuple[list[int], list[int]]:
    """The numbers in an order that respects the edges, early ones first, and those on cycles."""
    from heapq import heapify, heappop, heappush

    missing = [len(edges) for edges in before]
    after: list[list[int]] = [[] for _ in before]
    for number, edges in enumerate(before):
        for edge in edges:
            after[edge].append(number)
    ready = [number for number, edges in enumerate(missing) if edges == 0]
    heapify(ready)
    done: list[int] = []
    while ready:
        number = heappop(ready)
        done.append(number)
        for later in after[number]:
            missing[later] -= 1
            if missing[later] == 0:
                heappush(ready, later)
    return done, [number for number, edges in enumerate(missing) if edges > 0]


def reads_itself(draft: Draft) -> bool:
    """True when an update reads memory that it may already have overwritten.

    Reading is safe at exactly the element that is written next, and anywhere in an update of a
    single element.
    """
    if draft.over is None or not (draft.stage.inner or draft.stage.reduce):
        return False
    scatter = draft.stage.kind is StageKind.SCATTER
    return any(
        access.buffer == draft.over and (scatter or access.index != draft.stage.store)
        for access in stage_accesses(draft.stage)
    )
