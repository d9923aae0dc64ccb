"""RESHAPE over capacities: which axes become which.

In: a value and the extents of the result. Out: the value with its axes regrouped. A RESHAPE of
the user's tensor keeps the order of elements; so does regrouping whole axes. A varying axis is
never cut (the cut would move with its size), a constant one is where that helps.
"""

from __future__ import annotations

from math import prod

from picograd.graph.elastic.build import Product, State
from picograd.graph.elastic.layout import (
    Dim,
    Elastic,
    Spread,
    Unsupported,
    merge,
    physical,
    reshape,
    settle,
)
from picograd.graph.elastic.sizes import Extent, Sizes, Symbol


def regroup(state: State, value: Elastic, extents: tuple[Extent, ...]) -> Elastic:
    """The value with dims of the given extents."""
    value = _settled(value, extents)
    stream: list[Extent | Spread] = []
    for dim in value.dims:
        stream.extend([dim] if isinstance(dim, Spread) else [f for f in dim if f != 1])
    stream.reverse()
    dims: list[Dim] = []
    for extent in extents:
        if extent == 1:
            dims.append((1,))
        elif stream and isinstance(stream[-1], Spread) and stream[-1].extent == extent:
            dims.append(Spread(stream.pop().extent))  # pyright: ignore[reportAttributeAccessIssue]
        else:
            dims.append(_take(state, stream, extent))
    if stream:
        raise Unsupported("a reshape across a varying axis")
    return Elastic(reshape(value.node, physical(dims)), tuple(dims))


def _settled(value: Elastic, extents: tuple[Extent, ...]) -> Elastic:
    """Spread dims stay spread only where the result has them as they are."""
    wanted = list(extents)
    merged: list[int] = []
    for number, dim in enumerate(value.dims):
        if isinstance(dim, Spread):
            if dim.extent in wanted:
                wanted.remove(dim.extent)
            else:
                merged.append(number)
    return settle(value, merged)


def _take(state: State, stream: list[Extent | Spread], extent: Extent) -> Dim:
    """Take from the (reversed) stream what makes up one extent, in every observation."""
    target = state.symbols.seen(extent)
    factors: list[Extent] = []
    have: Sizes = (1,) * len(target)
    while have != target:
        if not stream:
            raise Unsupported("a reshape of other sizes")
        factor = stream.pop()
        if isinstance(factor, Spread):
            raise Unsupported("a reshape of a repeated axis")
        seen = state.symbols.seen(factor)
        after = tuple(a * b for a, b in zip(have, seen, strict=True))
        if 0 in after:
            raise Unsupported("a reshape of nothing")
        if any(t % n for t, n in zip(target, after, strict=True)):
            factor = _cut(stream, factor, have, target)
            after = tuple(n * factor for n in have)
        factors.append(factor)
        have = after
    if isinstance(extent, Symbol) and factors != [extent]:
        constants = prod(factor for factor in factors if isinstance(factor, int))
        numbers = tuple(factor.number for factor in factors if isinstance(factor, Symbol))
        state.conditions.append(Product(extent.number, constants, numbers))
    return merge(factors)


def _cut(stream: list[Extent | Spread], factor: Extent, have: Sizes, target: Sizes) -> int:
    """The leading part of a constant factor that completes the target; the rest stays."""
    parts = {t // n if t % n == 0 else 0 for t, n in zip(target, have, strict=True)}
    part = parts.pop()
    if parts or not isinstance(factor, int) or part == 0 or factor % part:
        raise Unsupported("a reshape that cuts a varying axis")
    stream.append(factor // part)
    return part
