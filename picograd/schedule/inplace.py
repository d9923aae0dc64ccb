"""Which updates write into the memory of their base instead of making a changed copy.

In: the nodes of a program, its outputs, and the inputs whose memory may be overwritten. Out: the
ids of updates and scatters that are worth doing in place and have a base that nobody needs
afterwards, as far as the graph shows; `schedule.hazards` then checks the order of reads and
writes. Called by `schedule.plan`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from picograd.graph.node import Node
from picograd.graph.ops import LeafAttr, Op
from picograd.schedule.decide import ALWAYS
from picograd.schedule.stages import memory_of

SCATTERS = frozenset({Op.SCATTER, Op.SCATTER_REDUCE})
LONG_CHAIN = 4  # updates of one value that are still one expression of nested masks
SMALL_PART = 8  # an update of less than 1/8 of its base is not worth a copy


def candidates(
    order: Sequence[Node], kept: Collection[int], donated: Collection[int]
) -> dict[int, str]:
    """Ids of the updates to do in place, with the reason.

    `kept` are ids of nodes whose memory must keep its contents: outputs.
    """
    found: dict[int, str] = {}
    depth: dict[int, int] = {}
    taken: set[int] = set()
    total = _chain_lengths(order, depth)
    # An input has a node for each shape that it is seen in.
    outputs = {_slot(node) for node in order if node.op is Op.BUFFER and id(node) in kept}
    for node in order:
        if node.op is not Op.UPDATE and node.op not in SCATTERS:
            continue
        if node.size == 0 or node.srcs[1].size == 0:
            continue
        base = memory_of(node.srcs[0])
        owner = _slot(base) if base.op is Op.BUFFER else id(base)
        if owner in taken or id(base) in kept or owner in outputs:
            continue  # one memory has one next version
        reason = _reason(node, base, donated, found, depth, total)
        if reason:
            found[id(node)] = reason
            taken.add(owner)
    return found


def _slot(base: Node) -> int:
    """A number of an input's memory that no id equals."""
    assert isinstance(base.attr, LeafAttr)
    return -1 - base.attr.slot


def _reason(
    node: Node,
    base: Node,
    donated: Collection[int],
    found: dict[int, str],
    depth: dict[int, int],
    total: dict[int, int],
) -> str:
    if base.op is Op.BUFFER:
        assert isinstance(base.attr, LeafAttr)
        return "its base is a dead input" if base.attr.slot in donated else ""
    if id(base) in found:
        return "its base was written in place"
    stored = base.op in ALWAYS
    if node.op in SCATTERS:
        return "its base has memory of its own" if stored else ""
    small = node.srcs[1].size * SMALL_PART <= base.size
    if stored and small:
        return "it changes a small part of a stored value"
    if depth.get(id(base), 0) and total[id(node)] > LONG_CHAIN:
        return "one of a long chain of updates"
    return ""


def _chain_lengths(order: Sequence[Node], depth: dict[int, int]) -> dict[int, int]:
    """How many updates follow each other up to each (`depth`) and in its whole chain."""
    chain: dict[int, list[int]] = {}
    for node in order:
        if node.op is Op.UPDATE:
            base = memory_of(node.srcs[0])
            depth[id(node)] = depth.get(id(base), 0) + 1
            members = chain.get(id(base))
            if members is None:
                members = []
            members.append(id(node))
            chain[id(node)] = members
    return {key: len(members) for key, members in chain.items()}
