"""Tensors by strides and by divisors: `as_strided`, and what integers have in common.

In: tensors, shapes and strides. Out: views where steps of a view can express the strides, else
copies. `gcd` and `lcm` compute on the host.

>>> import picograd
>>> x = picograd.arange(6)
>>> x.as_strided((2, 3), (1, 2)).tolist()
[[0, 2, 4], [1, 3, 5]]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from picograd.dtypes import bool_
from picograd.frontend import primitives
from picograd.frontend.hostdata import from_array, values
from picograd.frontend.promotion import align, type_name
from picograd.frontend.registry import operation
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Shape


@operation()
def as_strided(
    input: Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: int | None = None,
) -> Tensor:
    """The elements of the tensor's memory at `storage_offset + sum(index * stride)`.

    A view where a slice, a reshape, a permutation and `expand` can express it. Elements
    that overlap otherwise are a copy, which torch forbids to write too. Other strides raise
    NotImplementedError.
    """
    shape, strides = tuple(map(int, size)), tuple(map(int, stride))
    if len(shape) != len(strides):
        raise RuntimeError(f"mismatch in length of strides {strides} and shape {shape}")
    if any(extent < 0 for extent in (*shape, *strides)):
        raise RuntimeError(f"as_strided: negative sizes or strides: {shape}, {strides}")
    flat, first = _memory(input)
    start = (input._offset if storage_offset is None else storage_offset) - first
    last = start + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if 0 not in shape and not 0 <= start <= last < flat.numel():
        raise RuntimeError(
            f"setStorage: sizes {list(shape)}, strides {list(strides)}, storage offset "
            f"{start + first} reach outside of the {flat.numel()} elements of memory"
        )
    if 0 in shape:
        return flat[:0].view(shape)
    # Axes along which nothing moves are those of an expanded view.
    narrow = tuple([1 if step == 0 else n for n, step in zip(shape, strides, strict=True)])
    found = _as_view(flat, narrow, strides, start)
    if found is not None and narrow != shape:
        found = found.expand(shape)
    return _picked(flat, shape, strides, start) if found is None else found


def _memory(x: Tensor) -> tuple[Tensor, int]:
    """The contiguous tensor that `x` is a view of, as a vector, and where in memory it begins."""
    source = x if x._base is None else x._base
    if not source.is_contiguous():
        raise NotImplementedError(
            f"as_strided of a tensor of strides {source.stride()} without its base isn't supported"
        )
    return source.view(-1), source._offset


def _as_view(flat: Tensor, shape: Shape, strides: tuple[int, ...], start: int) -> Tensor | None:
    """The elements as a view, if each stride is a multiple of those within it.

    Memory is cut into a grid with an axis for each stride; the view is a block of that grid. The
    grid begins before `start` where it would reach past the end of memory otherwise.
    """
    order = sorted(range(len(shape)), key=lambda axis: -strides[axis])
    order = [axis for axis in order if shape[axis] != 1]
    steps, extents = [strides[axis] for axis in order], [shape[axis] for axis in order]
    if not order:
        return _with_ones(flat[start], shape)
    if len(order) == 1:
        vector = flat[start : start + (extents[0] - 1) * steps[0] + 1 : steps[0]]
        return _with_ones(vector, shape)
    inner = [*steps[1:], 1]
    shift = max(0, start + extents[0] * steps[0] - flat.numel())
    block = [slice(0, extents[0])]
    for step, within, extent in zip(steps, inner, [*extents[1:], 1], strict=True):
        first = shift % step // within
        if step % within or first + extent > step // within:
            return None
        block.append(slice(first, first + extent))
    begin = start - shift
    if begin < 0 or shift >= steps[0]:
        return None
    cut = [extents[0], *[a // b for a, b in zip(steps, inner, strict=True)]]
    grid = flat[begin : begin + extents[0] * steps[0]].view(cut)[tuple(block)].select(len(order), 0)
    turned = grid.permute(*[order.index(axis) for axis in sorted(order)])
    return _with_ones(turned, shape)


def _with_ones(x: Tensor, shape: Shape) -> Tensor:
    for axis, extent in enumerate(shape):
        if extent == 1:
            x = x.unsqueeze(axis)
    return x


def _picked(flat: Tensor, shape: Shape, strides: tuple[int, ...], start: int) -> Tensor:
    """A copy of elements that lie in memory more than once."""
    place = np.full(shape, start, np.int64)
    for axis, stride in enumerate(strides):
        along = [1] * len(shape)
        along[axis] = shape[axis]
        place += (np.arange(shape[axis]) * stride).reshape(along)
    if np.unique(place).size == place.size:
        raise NotImplementedError(
            f"as_strided({shape}, {strides}) of {flat.numel()} elements isn't supported: no view "
            "can express it, and a copy would lose what is written to it"
        )
    index = from_array(place.reshape(-1), flat._storage.node.device)
    found = primitives.gather(flat, (0,), (index,))
    return primitives.reshape(found, shape)


# --- divisors ------------------------------------------------------------------------------------


def _integers(name: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    for one, position in ((a, "input"), (b, "other")):
        if not isinstance(one, Tensor):
            raise TypeError(
                f"{name}(): argument '{position}' must be Tensor, not {type(one).__name__}"
            )
    first, second = align(a, b)
    if first.dtype.is_inexact or first.dtype is bool_:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{type_name(first.dtype)}'")
    return first, second


@operation(inplace=True, out=True)
def gcd(input: Tensor, other: Tensor) -> Tensor:
    """The greatest common divisor of each pair of integers."""
    a, b = _integers("gcd", input, other)
    return from_array(np.gcd(values(a), values(b)), a._storage.node.device)


@operation(inplace=True, out=True)
def lcm(input: Tensor, other: Tensor) -> Tensor:
    """The least common multiple of each pair of integers."""
    a, b = _integers("lcm", input, other)
    return from_array(np.lcm(values(a), values(b)), a._storage.node.device)
