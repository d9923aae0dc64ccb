"""Several values of one shape (for the user) brought into one layout.

In: the sources of an elementwise op, the index tensors of a gather. Out: the same with equal dims.
A spread dim takes any form. Where one source has merged axes, as after `view(batch * time, width)`,
and another has one axis for them, the other's elements are fetched from where they stand.
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.dtypes import int32
from picograd.graph.elastic.build import State
from picograd.graph.elastic.layout import (
    Dim,
    Elastic,
    Spread,
    Unsupported,
    adopt,
    filled,
    physical,
    positions,
    select,
    size,
)
from picograd.graph.elastic.sizes import Extent, Symbol
from picograd.graph.node import Node, make
from picograd.graph.ops import AxesAttr, CastAttr, GatherAttr, Op


def align(state: State, values: Sequence[Elastic]) -> list[Elastic]:
    """The values in one layout. Raises Unsupported if two have merged axes in different ways."""
    dims: list[Dim] = []
    for choices in zip(*(value.dims for value in values), strict=True):
        settled = [dim for dim in choices if isinstance(dim, tuple)]
        dims.append(max(settled, key=len) if settled else choices[0])
    return [bring(state, value, tuple(dims)) for value in values]


def bring(state: State, value: Elastic, dims: tuple[Dim, ...]) -> Elastic:
    """The value in a layout. Raises Unsupported where it has axes merged in another way."""
    for number, (have, want) in enumerate(zip(value.dims, dims, strict=True)):
        if isinstance(have, Spread) or have == want:
            continue
        assert isinstance(want, tuple)
        if len(have) != 1 or not isinstance(have[0], Symbol):
            raise Unsupported("axes merged in two ways")
        value = take_apart(state, value, number, want)
    return adopt(value, dims)


def take_apart(state: State, value: Elastic, number: int, factors: tuple[Extent, ...]) -> Elastic:
    """The value with a dim that is one axis as several, row-major, whose sizes multiply to it."""
    (axis,) = value.axes(number)
    place = _row_major(state, factors)
    node = value.node
    if node.op is Op.IOTA:
        fetched = place
        if node.dtype is not place.dtype:
            fetched = make(Op.CAST, (place,), CastAttr(node.dtype))
    else:
        held = state.held((factors,))
        inside = select(held, place, 0)
        fetched = make(Op.GATHER, (node, inside), GatherAttr((axis,), checked=True))
        count, rank = len(factors), len(fetched.shape)
        order = (*range(count, count + axis), *range(count), *range(count + axis, rank))
        if order != tuple(range(rank)):
            fetched = make(Op.PERMUTE, (fetched,), AxesAttr(order))
    dims = (*value.dims[:number], factors, *value.dims[number + 1 :])
    return Elastic(fetched, dims)


def _row_major(state: State, factors: tuple[Extent, ...]) -> Node:
    """Each element's position in the tensor that is as large as the sizes, not the capacities."""
    shape = physical((factors,))
    if size(factors) > int(int32.highest):
        raise Unsupported("more elements than int32 can count")
    place = positions(shape, 0, state.device)
    for axis, factor in list(enumerate(factors))[1:]:
        extent = filled(state.number(factor), shape)
        place = make(Op.MUL, (place, extent))
        place = make(Op.ADD, (place, positions(shape, axis, state.device)))
    assert place.dtype is int32
    return place
