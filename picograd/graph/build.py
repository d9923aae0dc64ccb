"""Short constructors that rules and passes use to build graphs.

In: nodes and plain Python values. Out: nodes. Each is `make` with the attribute filled in; those
that would change nothing give back their source.

>>> from picograd.dtypes import int32
>>> uniform_constant(full(const(3, int32, "cpu"), (2, 5))).value
3
"""

from __future__ import annotations

from picograd.dtypes import DType
from picograd.graph.index import Index
from picograd.graph.node import Node, const, make
from picograd.graph.ops import (
    AxesAttr,
    CastAttr,
    Combiner,
    ConstAttr,
    Op,
    ReduceAttr,
    Shape,
    ShapeAttr,
    SliceAttr,
)

Number = int | float | complex | bool


def reshape(x: Node, shape: Shape) -> Node:
    return x if x.shape == shape else make(Op.RESHAPE, (x,), ShapeAttr(shape))


def expand(x: Node, shape: Shape) -> Node:
    return x if x.shape == shape else make(Op.EXPAND, (x,), ShapeAttr(shape))


def permute(x: Node, axes: tuple[int, ...]) -> Node:
    return x if axes == tuple(range(len(axes))) else make(Op.PERMUTE, (x,), AxesAttr(axes))


def cast(x: Node, dtype: DType) -> Node:
    return x if x.dtype is dtype else make(Op.CAST, (x,), CastAttr(dtype))


def reduce(combiner: Combiner, x: Node, axes: tuple[int, ...]) -> Node:
    return make(Op.REDUCE, (x,), ReduceAttr(combiner, axes)) if axes else x


def window(
    x: Node,
    starts: tuple[int | Index, ...],
    sizes: tuple[int, ...],
    steps: tuple[int, ...] | None = None,
) -> Node:
    return make(Op.SLICE, (x,), SliceAttr(starts, sizes, steps or (1,) * len(sizes)))


def select(x: Node, axis: int, position: int) -> Node:
    """Element `position` of one axis, which stays with extent 1."""
    starts = tuple(position if n == axis else 0 for n in range(len(x.shape)))
    sizes = tuple(1 if n == axis else extent for n, extent in enumerate(x.shape))
    return window(x, starts, sizes)


def full(scalar: Node, shape: Shape) -> Node:
    """A 0-d node repeated to a shape."""
    return expand(reshape(scalar, (1,) * len(shape)), shape)


def full_like(value: Number, like: Node) -> Node:
    """A constant of a node's dtype, shape and device."""
    return full(const(value, like.dtype, like.device), like.shape)


def uniform_source(node: Node) -> Node | None:
    """The 0-d node that `node` repeats, if it is plainly one."""
    while node.shape:
        if node.op not in (Op.RESHAPE, Op.EXPAND) or not node.srcs:
            return None
        node = node.srcs[0]
    return node


def uniform_constant(node: Node) -> ConstAttr | None:
    """The constant that all elements of a node are, if it is plainly one."""
    source = uniform_source(node)
    if source is None or not isinstance(source.attr, ConstAttr) or source.buffer is not None:
        return None
    return source.attr
