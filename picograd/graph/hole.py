"""Holes: leaves that stand for a value nobody has yet.

In: a shape, a dtype, a device. Out: a node without sources and without memory, unequal to all
others. A function is run on holes to see its graph (`frontend/batching.py`); the engine refuses to
compute what stands on one.

>>> from picograd.dtypes import float32
>>> is_hole(hole((2, 3), float32, "cpu"))
True
"""

from __future__ import annotations

from picograd.dtypes import DType
from picograd.graph.node import Node, number
from picograd.graph.ops import NO_ATTR, Op, Shape


def hole(shape: Shape, dtype: DType, device: str) -> Node:
    """A new hole."""
    node = Node()
    node.op, node.srcs, node.attr, node.origin = Op.BUFFER, (), NO_ATTR, None
    node.dtype, node.shape, node.device, node.buffer = dtype, shape, device, None
    # A structure that no program has; nodes over it are inferred like any others.
    node.structure = -1 - number((Op.BUFFER, None, dtype, shape, device))
    node.number, node.mark = -1, 0
    return node


def is_hole(node: Node) -> bool:
    """Whether `hole` made a node."""
    return node.op is Op.BUFFER and node.structure < 0
