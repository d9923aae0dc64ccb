"""Which results an index tensor that points outside has spoilt, and whose line it was.

In: the graph of a program that stopped because some index lies outside its dimension, and a way to
compute single nodes. Out: the spoilt nodes with the message for each. Called by `engine` when a
program fails, so that everything else can be computed without them.

A program only knows that one of its checks failed; it was compiled from a simplified graph, perhaps
for another call. So blame is found in the graph as it was written: index tensors are computed one
by one, in order, and whatever uses a bad one is spoilt.

>>> from picograd.dtypes import int64
>>> from picograd.graph.node import const, make
>>> from picograd.graph.ops import GatherAttr, IotaAttr
>>> x = make(Op.IOTA, (), IotaAttr(3, int64), "cpu")
>>> bad = make(Op.GATHER, (x, const(7, int64, "cpu")), GatherAttr((0,), False))
>>> spoilt([x, *bad.srcs, bad], lambda index: np.array(7))[bad].splitlines()[0]
'index 7 is out of bounds for dimension 0 with size 3'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from picograd.graph.node import Node
from picograd.graph.ops import GatherAttr, Op, ScatterReduceAttr


def spoilt(order: Sequence[Node], compute: Callable[[Node], np.ndarray]) -> dict[Node, str]:
    """The nodes that can't be computed -> why; `order` has sources before consumers.

    `compute` gives the contents of an index node none of whose sources is spoilt.
    """
    reasons: dict[Node, str] = {}
    for node in order:
        for src in node.srcs:
            if src in reasons:
                reasons[node] = reasons[src]
                break
        else:
            reason = _outside(node, compute)
            if reason is not None:
                reasons[node] = reason
    return reasons


def _outside(node: Node, compute: Callable[[Node], np.ndarray]) -> str | None:
    """What is wrong with a node's own indices."""
    attr = node.attr
    if not isinstance(attr, GatherAttr | ScatterReduceAttr) or attr.checked or not node.srcs:
        return None
    table = node.srcs[0]
    indices = node.srcs[1:] if node.op is Op.GATHER else node.srcs[2:]
    for axis, index in zip(attr.axes, indices, strict=True):
        size = table.shape[axis]
        values = compute(index)
        wrong = values[(values < 0) | (values >= size)]
        if wrong.size:
            return _message(node, index, int(wrong.flat[0]), axis, size)
    return None


def _message(node: Node, index: Node, value: int, axis: int, size: int) -> str:
    if value < 0 and index.op is Op.WHERE:  # where(i < 0, i + size, i): say what the user wrote
        value -= size
    where = f" at {node.origin}" if node.origin else ""
    verb = "read" if node.op is Op.GATHER else "written"
    return (
        f"index {value} is out of bounds for dimension {axis} with size {size}\n"
        f"A tensor of shape {list(node.srcs[0].shape)} was {verb} at a computed index tensor of "
        f"shape {list(index.shape)}{where}. Tensors that were to be written keep what they held."
    )
