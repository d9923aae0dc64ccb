"""What the host knows of tensors without waiting: memory of its own, and what it sent to a GPU.

In: nodes of computed contents. Out: their contents, or None where only the GPU has them. Whoever
copies small contents to a GPU calls `remember`; indices and the like are then checked at the call,
as on the CPU, and the programs that use them need not be waited for.

A node's value never changes, so what is known of a node stays true until the node is gone or its
memory is shown to others (`forget`).

>>> import picograd
>>> contents(picograd.tensor([3, 1])._storage.node).tolist()
[3, 1]
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from picograd.graph.node import Node

# Elements. Indices come by the batch; of floats only those that a program spells out are checked.
_INTEGERS = 1 << 16
_FLOATS = 1 << 10

_sent: WeakKeyDictionary[Node, np.ndarray] = WeakKeyDictionary()


def remember(node: Node, array: np.ndarray) -> Node:
    """The node, whose contents were copied from the array, with a note of them if it is small."""
    if node.device == "cuda" and node.size <= (_FLOATS if node.dtype.is_inexact else _INTEGERS):
        kept = np.array(array, node.dtype.numpy, order="C").reshape(-1)
        kept.flags.writeable = False
        _sent[node] = kept
    return node


def forget(node: Node) -> None:
    """From now on somebody else may write to the memory of the node's contents."""
    if node.device == "cuda":
        _sent.pop(node, None)


def contents(node: Node) -> np.ndarray | None:
    """The elements in memory order as a flat array to read, or None if the host has to compute
    them or to wait for them."""
    if node.buffer is None:
        return None
    return _sent.get(node) if node.device == "cuda" else node.buffer.array
