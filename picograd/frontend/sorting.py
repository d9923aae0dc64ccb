"""Order: sort, topk, kthvalue, median, mode, quantile.

In: tensors. Out: tensors; most are pairs (values, indices). The order is found by
`runtime.sorting`, which is no part of a program, so these functions realise their input. Where a
gradient is recorded the values are gathered by index, which gives them theirs.

>>> import picograd
>>> picograd.sort(picograd.tensor([3, 1, 2])).indices
tensor([1, 2, 0])
"""

from __future__ import annotations

import math

from picograd.dtypes import int64
from picograd.frontend import primitives
from picograd.frontend.autocasting import in_float32
from picograd.frontend.comparison import ne
from picograd.frontend.composite import with_rule
from picograd.frontend.elementwise import filled_like, lerp, mul, sub
from picograd.frontend.gathering import along_dim
from picograd.frontend.grad_mode import state
from picograd.frontend.hostdata import memory, values
from picograd.frontend.movement import roll, stack
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import wrap_dim
from picograd.frontend.reductions import ValuesIndices, argmax, positions
from picograd.frontend.registry import operation
from picograd.frontend.return_types import returning
from picograd.frontend.scans import cummax
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.node import leaf
from picograd.runtime.buffer import Buffer


def _device(x: Tensor) -> str:
    return x._storage.node.device


def _rows(x: Tensor, axis: int) -> tuple[Buffer, int, int]:
    """The elements with an axis as rows in memory: how many rows, and how long they are."""
    if x.dtype.is_complex:
        raise RuntimeError(f" Sort does not support complex dtypes on {_device(x).upper()}")
    whole = x.detach()
    if axis != x.ndim - 1:
        whole = primitives.permute(whole, (*[n for n in range(x.ndim) if n != axis], axis))
    n = x._shape[axis]
    return memory(whole), x.numel() // n if n else 0, n


def _in_place(found: Buffer, x: Tensor, axis: int, extent: int) -> Tensor:
    """Results whose axis is last in memory, as a tensor like `x` but for that axis' extent."""
    found.device = _device(x)
    result = wrap(leaf(found, (*x._shape[:axis], *x._shape[axis + 1 :], extent)))
    if axis == x.ndim - 1:
        return result
    order = list(range(x.ndim - 1))
    order.insert(axis, x.ndim - 1)
    return primitives.permute(result, tuple(order))


def _ordered(x: Tensor, axis: int, k: int, descending: bool) -> ValuesIndices:
    """The first k elements along an axis, with their derivative, and where they were."""
    from picograd.runtime import sorting

    recorded = state.enabled and x._edge() is not None
    rows = _rows(x, axis)
    first, places = sorting.order(*rows, k, descending, with_values=not recorded)
    indices = _in_place(places, x, axis, k)
    if recorded:
        return ValuesIndices(along_dim(x, axis, indices), indices)
    return ValuesIndices(_in_place(first, x, axis, k), indices)


def _places(x: Tensor, axis: int, k: int, descending: bool) -> Tensor:
    """Where the first k elements along an axis are."""
    from picograd.runtime import sorting

    _, places = sorting.order(*_rows(x, axis), k, descending, with_values=False)
    return _in_place(places, x, axis, k)


@operation(out=True)
@returning("sort")
@recorded_as("SortBackward0")
def sort(
    input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False
) -> ValuesIndices:
    """The elements in order along a dimension, and where they were (stable)."""
    axis = wrap_dim(dim, input.ndim)
    if not input.ndim:
        return ValuesIndices(input.clone(), filled_like(input, 0, int64))
    return _ordered(input, axis, input._shape[axis], descending)


@operation()
def argsort(
    input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False
) -> Tensor:
    """Where the elements in sorted order were."""
    axis = wrap_dim(dim, input.ndim)
    if not input.ndim:
        return filled_like(input, 0, int64)
    return _places(input, axis, input._shape[axis], descending)


@operation(out=True)
def msort(input: Tensor) -> Tensor:
    """The elements in order along the first dimension."""
    return sort(input, 0).values


@operation(out=True)
@returning("topk")
@recorded_as("TopkBackward0")
def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> ValuesIndices:
    """The k largest (or smallest) elements along a dimension, in order."""
    axis = wrap_dim(dim, input.ndim)
    extent = input._shape[axis] if input.ndim else 1
    if not 0 <= k <= extent:
        raise RuntimeError(
            f"selected index k out of range (k={k}, dimension {axis} of {list(input._shape)})"
        )
    if not input.ndim:
        return sort(input)
    return _ordered(input, axis, k, largest)


@operation(out=True)
@returning("kthvalue")
@recorded_as("KthvalueBackward0")
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """The k-th smallest element along a dimension, counted from 1."""
    axis = wrap_dim(dim, input.ndim)
    extent = input._shape[axis] if input.ndim else 1
    if not extent:
        raise IndexError(f"kthvalue(): Expected reduction dim {axis} to have non-zero size.")
    if not 1 <= k <= extent:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    return _at_rank(input, axis, k - 1, keepdim)


def _at_rank(
    x: Tensor, axis: int, rank: int, keepdim: bool, meaning: str = "given"
) -> ValuesIndices:
    """The element of a rank along an axis; see `runtime.sorting.position`."""
    from picograd.runtime import sorting

    if not x.ndim:
        return sort(x)
    indices = _in_place(sorting.position(*_rows(x, axis), rank, meaning), x, axis, 1)
    return _picked(x, axis, indices, keepdim)


def _picked(x: Tensor, axis: int, indices: Tensor, keepdim: bool) -> ValuesIndices:
    found = along_dim(x, axis, indices)
    if keepdim:
        return ValuesIndices(found, indices)
    shape = x._shape[:axis] + x._shape[axis + 1 :]
    return ValuesIndices(primitives.reshape(found, shape), primitives.reshape(indices, shape))


def _median(x: Tensor, axis: int, keepdim: bool, skip_nan: bool) -> ValuesIndices:
    if not x._shape[axis]:
        raise IndexError("median(): Expected reduction dim to have non-zero size.")
    return _at_rank(x, axis, 0, keepdim, "nanmedian" if skip_nan else "median")


def _median_of(
    input: Tensor, dim: int | None, keepdim: bool, skip_nan: bool
) -> Tensor | ValuesIndices:
    if dim is None:
        if not input.numel():
            numeric = not (input.dtype.is_inexact or input.dtype.is_bool)
            nothing = input.dtype.lowest if numeric else math.nan
            return primitives.constant(nothing, input.dtype, _device(input))
        flat = input.reshape((-1,))

        def rule(gradient: Tensor, found: Tensor) -> tuple[Tensor]:
            # All the elements that equal the median share its gradient.
            x, middle = flat.detach(), found.detach()
            same = (x == middle) | ((x != x) & (middle != middle))
            return (gradient / same.sum() * same,)

        def compute() -> Tensor:
            return _median(flat, 0, False, skip_nan).values

        return with_rule("MedianBackward0", compute, (flat,), rule)
    axis = wrap_dim(dim, input.ndim)
    return _median(input, axis, keepdim, skip_nan) if input.ndim else sort(input)


@operation(out=True)
@returning("median")
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor | ValuesIndices:
    """The (lower) median; NaN if there is one."""
    return _median_of(input, dim, keepdim, False)


@operation(out=True)
@returning("nanmedian")
def nanmedian(
    input: Tensor, dim: int | None = None, keepdim: bool = False
) -> Tensor | ValuesIndices:
    """The (lower) median of what is not NaN."""
    return _median_of(input, dim, keepdim, True)


@operation(out=True)
@returning("mode")
@recorded_as("ModeBackward0")
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> ValuesIndices:
    """The most frequent element along a dimension (the least of equally frequent ones)."""
    axis = wrap_dim(dim, input.ndim)
    if not input.ndim:
        return sort(input)

    if not input._shape[axis]:
        raise IndexError(f"mode(): Expected reduction dim {axis} to have non-zero size.")

    ordered, places = _ordered(input.detach(), axis, input._shape[axis], False)
    # A run's length so far is greatest, for the first time, at the end of the first longest run.
    steps = positions(ordered, axis)
    begins = choose(ne(ordered, roll(ordered, 1, axis)), steps, 0)
    end = argmax(sub(steps, cummax(begins, axis).values), axis, keepdim=True)
    return _picked(input, axis, along_dim(places, axis, end), keepdim)


@operation(out=True)
@in_float32
def quantile(
    input: Tensor,
    q: Tensor | float,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The q-th quantiles along a dimension; several q's lead the result's shape."""
    levels = values(q).reshape(-1) if isinstance(q, Tensor) else [q]
    if any(level < 0 or level > 1 for level in levels):
        raise RuntimeError("quantile() q values must be in the range [0, 1]")
    if not input.numel():
        raise RuntimeError("quantile() input tensor must be non-empty")
    x = input.reshape((-1,)) if dim is None or not input.ndim else input
    axis = wrap_dim(0 if dim is None else dim, x.ndim)
    ordered = sort(x, axis).values
    results = []
    for n, level in enumerate(levels):
        place = float(level) * (x._shape[axis] - 1)
        low, high = math.floor(place), math.ceil(place)
        weight: float | Tensor | None = {
            "linear": place - low,
            "lower": 0.0,
            "higher": 1.0,
            "midpoint": 0.5,
            "nearest": float(round(place) - low),
        }.get(interpolation)
        if weight is None:
            raise RuntimeError(
                "quantile() interpolation must be one of linear, lower, higher, midpoint or "
                f"nearest, but got {interpolation}"
            )
        if interpolation == "linear" and isinstance(q, Tensor) and q.requires_grad:
            weight = sub(mul(q.reshape((-1,)).select(0, n), x._shape[axis] - 1), low)
        one = lerp(ordered.select(axis, low), ordered.select(axis, high), weight)
        greatest = ordered.select(axis, -1)  # NaN if there is any
        one = choose(greatest != greatest, greatest, one)
        one = one.unsqueeze(axis) if keepdim and dim is not None and input.ndim else one
        results.append(one.reshape((1,) * input.ndim) if keepdim and dim is None else one)
    if not (isinstance(q, Tensor) and q.ndim):
        return results[0]
    return stack(results, 0)
