"""What belongs to one program: its nodes, which are stored, which memory may be overwritten.

In: requested nodes and the pending ones beside them. Out: `connected` (those that share nodes with
the request, in one walk with their sources), `outputs`, `donatable`. Called by `picograd.engine`
alone, under its lock: the walk leaves marks on the nodes (`Node.mark`, `Node.place`), which is
several times quicker than tables of what was seen.

>>> from picograd.dtypes import float32
>>> from picograd.graph.node import const, make
>>> two = const(2.0, float32, "cpu")
>>> double, other = make(Op.ADD, (two, two)), make(Op.NEG, (two,))
>>> connected([double], [other])
([<ADD float32[] on cpu>], [<CONST float32[] on cpu>, <ADD float32[] on cpu>])
"""

from __future__ import annotations

import itertools
import sys
from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter

from picograd.graph.node import Node
from picograd.graph.ops import REDUCES, Op
from picograd.graph.scores import is_large_product, scores_of
from picograd.runtime.buffer import Buffer

_marks = itertools.count(1)
_number = attrgetter("number")
_WRITES = frozenset({Op.UPDATE, Op.SCATTER, Op.SCATTER_REDUCE})
_SAME_MEMORY = frozenset({Op.RESHAPE})


# --- the walk -----------------------------------------------------------------------------------


def connected(requested: Sequence[Node], others: Sequence[Node]) -> tuple[list[Node], list[Node]]:
    """The requested nodes and those others that share nodes with them, directly or not; and all
    the nodes below these, sources first, each once.

    The first are in the order in which they were made: that of a loop's statements, whoever holds
    them. A leaf or a constant connects nothing.
    """
    roots = sorted({*others, *requested}, key=_number)
    order, group = _walk(roots)
    if group is None:
        return roots, order
    wanted = {group[node.place] for node in requested}
    roots = [root for root in roots if group[root.place] in wanted]
    return roots, below(roots)


def below(roots: Sequence[Node]) -> list[Node]:
    """All nodes below the roots, sources first, each once. Realised nodes count as leaves."""
    return _walk(roots)[0]


def _walk(roots: Sequence[Node]) -> tuple[list[Node], dict[int, int] | None]:
    """The nodes below the roots, sources first; and, unless all roots are connected, for the place
    of each root a number that connected ones share. Every node's `place` is that in the order."""
    mark = next(_marks)
    order: list[Node] = []
    add = order.append
    starts: list[int] = []  # where the nodes that each root brings in begin
    joins: list[tuple[int, int]] = []  # (root, place of a node of an earlier root below it)
    for number, root in enumerate(roots):
        start = len(order)
        starts.append(start)
        if root.mark == mark:
            if root.srcs:
                joins.append((number, root.place))
            continue
        stack = [root]
        while stack:
            node = stack[-1]
            if node.mark == mark:  # it was below another one, too
                stack.pop()
                continue
            waiting = len(stack)
            for src in node.srcs:
                if src.mark != mark:
                    if src.srcs:
                        stack.append(src)
                    else:
                        src.mark, src.place = mark, len(order)
                        add(src)
                elif src.place < start and src.srcs:
                    joins.append((number, src.place))
            if len(stack) == waiting:
                stack.pop()
                node.mark, node.place = mark, len(order)
                add(node)
    return order, _groups(roots, starts, joins)


def _groups(
    roots: Sequence[Node], starts: list[int], joins: list[tuple[int, int]]
) -> dict[int, int] | None:
    """The group of each root by its place, when there are several groups."""
    if len(roots) == 1:
        return None
    parent = list(range(len(roots)))

    def find(member: int) -> int:
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    for number, place in joins:
        parent[find(number)] = find(bisect_right(starts, place) - 1)
    groups = [find(number) for number in range(len(roots))]
    if len(set(groups)) <= 1:
        return None
    return {root.place: group for root, group in zip(roots, groups, strict=True)}


# --- who else holds what ------------------------------------------------------------------------


def _references(nodes: Sequence[Node]) -> list[int]:
    """The reference count of each node, seen from one list that holds each once."""
    return list(map(sys.getrefcount, nodes))


# What `_references` gives for an object that nobody else holds, on this interpreter.
_ALONE = _references([Node()])[0]


def _buffer_references(node: Node) -> int:
    return sys.getrefcount(node.buffer)


def _buffer_alone() -> int:
    node = Node()
    node.buffer = object()  # pyright: ignore[reportAttributeAccessIssue]
    return _buffer_references(node)


_BUFFER_ALONE = _buffer_alone()


def held(order: Sequence[Node]) -> list[bool]:
    """For each node of an order made by `below` whether something outside refers to it.

    Inside, a node is referred to by the sources of its consumers. What CPython counts beyond that
    is a storage, the tape, or a consumer outside. A count that is too high only costs memory.
    """
    counts = _references(order)
    inside = [_ALONE] * len(order)
    for node in order:
        for src in node.srcs:
            inside[src.place] += 1
    return [count > uses for count, uses in zip(counts, inside, strict=True)]


# --- what is stored, what may be overwritten ----------------------------------------------------


def outputs(order: Sequence[Node], roots: Sequence[Node], held: Sequence[bool]) -> list[Node]:
    """The roots, and the reductions that backward will want: never recompute those.

    It wants what is held, and computes that from the reductions below it; the scores of attention
    it computes again.
    """
    stored = [False] * len(order)
    for root in roots:
        stored[root.place] = True
    wanted = list(held)
    scores: set[int] | None = None
    for place in range(len(order) - 1, -1, -1):
        if wanted[place]:
            node = order[place]
            if node.buffer is None:
                if node.op in REDUCES and not stored[place] and is_large_product(node):
                    scores = scores_of(order) if scores is None else scores
                    if id(node) in scores:
                        for src in node.srcs:
                            wanted[src.place] = True
                        continue
                if node.op in REDUCES:
                    stored[place] = True
                elif not stored[place]:
                    for src in node.srcs:
                        wanted[src.place] = True
    return [node for node, kept in zip(order, stored, strict=True) if kept and node.buffer is None]


def donatable(order: Sequence[Node], stored: Sequence[Node], held: Sequence[bool]) -> list[int]:
    """Places (in the order) of leaves whose memory the program may overwrite.

    Only the base of a partial write is worth it. Nobody else may hold the leaf or its buffer, and
    no node that stays unrealised may need it later.
    """
    candidates: dict[int, None] = {}
    for node in order:
        if node.op in _WRITES and node.srcs:
            base = node.srcs[0]
            while base.op in _SAME_MEMORY and base.srcs:
                base = base.srcs[0]
            if base.buffer is not None and not held[base.place]:
                candidates[base.place] = None
    if not candidates:
        return []
    kept = {node.place for node in stored}
    stack = [
        node
        for node in order
        if held[node.place] and node.buffer is None and node.place not in kept
    ]
    seen: set[int] = set()
    while stack:
        place = stack.pop().place
        if place not in seen:
            seen.add(place)
            candidates.pop(place, None)
            stack.extend(order[place].srcs)
    owners: dict[int, int] = {}
    for node in order:
        if node.buffer is not None:
            owners[id(node.buffer)] = owners.get(id(node.buffer), 0) + 1
    return [place for place in candidates if _is_exclusive(order[place], owners)]


def _is_exclusive(leaf: Node, owners: dict[int, int]) -> bool:
    """Whether nobody but this one node sees the memory."""
    return (
        owners[id(leaf.buffer)] == 1
        and _buffer_references(leaf) == _BUFFER_ALONE
        and isinstance(leaf.buffer, Buffer)
        and leaf.buffer.exclusive()
    )
