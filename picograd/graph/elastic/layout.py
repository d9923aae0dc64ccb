"""A value whose axes are longer than what they hold.

In: nodes over capacities. Out: `Elastic`, a node with the meaning of its axes; `align`, which
gives several values one layout; masks of what is held.

An axis of the user's tensor is a *dim*: usually one axis of the node. Where a RESHAPE merged a
varying axis with others, as in `view(batch * time, width)`, the dim is several axes of the node,
because elements that follow each other in the small tensor do not in the large one. A dim that
repeats one element (an EXPAND to a varying extent) is `Spread`: an axis of extent 1 that takes the
form of whatever it meets.

>>> from picograd.graph.elastic.sizes import Symbol
>>> physical(((4,), (2, Symbol(0, 16)), Spread(Symbol(0, 16))))
(4, 2, 16, 1)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from picograd.dtypes import bool_, int32
from picograd.graph.elastic.sizes import Extent, Symbol, room
from picograd.graph.node import Node, const, make
from picograd.graph.ops import IotaAttr, Op, Shape, ShapeAttr


class Unsupported(Exception):
    """This graph has no program for many sizes (yet): it gets one for its own size."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A dim of a varying extent whose elements are all the same."""

    extent: Symbol


Dim = tuple[Extent, ...] | Spread
Dims = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Elastic:
    """A node over capacities, and what its axes mean."""

    node: Node
    dims: Dims

    def axes(self, dim: int) -> list[int]:
        """The node's axes that make up a dim."""
        start = len(physical(self.dims[:dim]))
        return list(range(start, start + len(physical(self.dims[dim : dim + 1]))))


def physical(dims: Iterable[Dim]) -> Shape:
    """The node's shape."""
    shape: list[int] = []
    for dim in dims:
        shape.extend([1] if isinstance(dim, Spread) else map(room, dim))
    return tuple(shape)


def varies(dims: Iterable[Dim]) -> bool:
    """True if some extent is known at run time only."""
    return any(isinstance(dim, Spread) or any(isinstance(f, Symbol) for f in dim) for dim in dims)


def single(dims: Dims, dim: int) -> Extent:
    """The extent of a dim that is one axis."""
    factors = dims[dim]
    if isinstance(factors, Spread) or len(factors) != 1:
        raise Unsupported("an op along merged axes")
    return factors[0]


# --- nodes ----------------------------------------------------------------------------------------


def reshape(node: Node, shape: Shape) -> Node:
    return node if node.shape == shape else make(Op.RESHAPE, (node,), ShapeAttr(shape))


def expand(node: Node, shape: Shape) -> Node:
    return node if node.shape == shape else make(Op.EXPAND, (node,), ShapeAttr(shape))


def filled(number: Node, shape: Shape) -> Node:
    """A 0-d node, repeated."""
    return expand(reshape(number, (1,) * len(shape)), shape)


def along(node: Node, axis: int, shape: Shape) -> Node:
    """A 1-d node as the axis of a shape, repeated along the others."""
    return expand(reshape(node, tuple(n if k == axis else 1 for k, n in enumerate(shape))), shape)


def positions(shape: Shape, axis: int, device: str) -> Node:
    """Each element's position along an axis."""
    return along(make(Op.IOTA, (), IotaAttr(shape[axis], int32), device), axis, shape)


def select(mask: Node | None, node: Node, other: int | float | bool) -> Node:
    """The node where the mask holds, a number elsewhere."""
    if mask is None:
        return node
    fill = filled(const(other, node.dtype, node.device), node.shape)
    return make(Op.WHERE, (mask, node, fill))


# --- layouts --------------------------------------------------------------------------------------


def settle(value: Elastic, dims: Sequence[int] | None = None) -> Elastic:
    """Without spread dims (all, or those given): each repeats along an axis of its own."""
    chosen = range(len(value.dims)) if dims is None else dims
    fixed = list(value.dims)
    for dim in chosen:
        spread = fixed[dim]
        if isinstance(spread, Spread):
            fixed[dim] = (spread.extent,)
    return adopt(value, tuple(fixed))


def adopt(value: Elastic, dims: Dims) -> Elastic:
    """The value in a layout that differs from its own only where it is spread."""
    if value.dims == dims:
        return value
    ones: list[int] = []
    for have, want in zip(value.dims, dims, strict=True):
        if have == want:
            ones.extend(physical((have,)))
        elif isinstance(have, Spread) and not isinstance(want, Spread):
            ones.extend([1] * len(want))
        else:
            raise Unsupported("two layouts of one dim")
    return Elastic(expand(reshape(value.node, tuple(ones)), physical(dims)), dims)


def merge(factors: Sequence[Extent]) -> tuple[Extent, ...]:
    """The normal form of a dim: neighbouring constants are one, and no ones."""
    merged: list[Extent] = []
    for factor in factors:
        if factor == 1:
            continue
        last = merged[-1] if merged else None
        if isinstance(factor, int) and isinstance(last, int):
            merged[-1] = last * factor
        else:
            merged.append(factor)
    return tuple(merged) or (1,)


def size(factors: Iterable[Extent]) -> int:
    """The number of elements that a dim has room for."""
    return prod(map(room, factors))


def conjunction(masks: Sequence[Node]) -> Node | None:
    """All masks at once."""
    if not masks:
        return None
    result = masks[0]
    assert result.dtype is bool_
    for mask in masks[1:]:
        result = make(Op.AND, (result, mask))
    return result
