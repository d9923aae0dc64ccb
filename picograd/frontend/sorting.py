"""Order: sort, topk, median, quantile, unique, counting and searching.

In: tensors. Out: tensors; most are pairs (values, indices). The order is found on the host by
NumPy's O(n log n) sort, so these functions realise their input; the values are then gathered by
index, which gives them their gradient.

>>> import picograd
>>> picograd.sort(picograd.tensor([3, 1, 2])).indices
tensor([1, 2, 0])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from picograd.dtypes import DType, bool_, int32, int64
from picograd.frontend import primitives
from picograd.frontend.autocasting import in_float32
from picograd.frontend.composite import with_rule, without_derivative
from picograd.frontend.elementwise import filled_like, lerp, mul, sub
from picograd.frontend.gathering import along_dim
from picograd.frontend.hostdata import from_array, values
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import wrap_dim
from picograd.frontend.reductions import ValuesIndices
from picograd.frontend.registry import operation
from picograd.frontend.return_types import returning
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor


def _device(x: Tensor) -> str:
    return x._storage.node.device


def order(x: np.ndarray, axis: int, descending: bool) -> np.ndarray:
    """Where the elements stand in sorted order: stable, NaN counts as the largest."""
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    backwards = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(backwards, axis)


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
    indices = from_array(order(values(input), axis, descending), _device(input))
    return ValuesIndices(along_dim(input, axis, indices), indices)


@operation()
def argsort(
    input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False
) -> Tensor:
    """Where the elements in sorted order were."""
    axis = wrap_dim(dim, input.ndim)
    if not input.ndim:
        return filled_like(input, 0, int64)
    return from_array(order(values(input), axis, descending), _device(input))


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
    indices = _best(values(input), k, axis, largest)
    found = from_array(np.ascontiguousarray(indices), _device(input))
    return ValuesIndices(along_dim(input, axis, found), found)


def _best(x: np.ndarray, k: int, axis: int, largest: bool) -> np.ndarray:
    """Where the k best stand, best first; of many, only the candidates are sorted."""
    if largest and x.dtype.kind == "f" and k * 8 < x.shape[axis] and not np.isnan(x).any():
        candidates = np.argpartition(x, x.shape[axis] - k, axis=axis)
        candidates = np.sort(
            np.take(candidates, range(x.shape[axis] - k, x.shape[axis]), axis), axis
        )
        picked = np.take_along_axis(x, candidates, axis)
        return np.take_along_axis(candidates, order(picked, axis, True), axis)
    return np.take(order(x, axis, largest), range(k), axis)


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


def _at_rank(x: Tensor, axis: int, rank: int, keepdim: bool) -> ValuesIndices:
    if not x.ndim:
        return sort(x)
    position = order(values(x), axis, False).take([rank], axis)
    return _picked(x, axis, position, keepdim)


def _picked(x: Tensor, axis: int, position: np.ndarray, keepdim: bool) -> ValuesIndices:
    indices = from_array(np.ascontiguousarray(position, np.int64), _device(x))
    found = along_dim(x, axis, indices)
    if keepdim:
        return ValuesIndices(found, indices)
    shape = x._shape[:axis] + x._shape[axis + 1 :]
    return ValuesIndices(primitives.reshape(found, shape), primitives.reshape(indices, shape))


def _median(x: Tensor, axis: int, keepdim: bool, skip_nan: bool) -> ValuesIndices:
    array = values(x)
    ranks = order(array, axis, False)
    nans = np.isnan(array).sum(axis, keepdims=True) if x.dtype.is_float else 0
    count = np.full(array.sum(axis, keepdims=True).shape, array.shape[axis], np.int64)
    middle = (count - nans - 1).clip(0) // 2
    if not skip_nan:
        middle = np.where(np.asarray(nans) > 0, count - nans, middle)
    return _picked(x, axis, np.take_along_axis(ranks, middle, axis), keepdim)


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

    def last_of_most_frequent(row: np.ndarray) -> int:
        found, counts = np.unique(row, return_counts=True)
        return int(np.flatnonzero(row == found[counts.argmax()])[-1])

    position = np.apply_along_axis(last_of_most_frequent, axis, values(input))
    return _picked(input, axis, np.expand_dims(position, axis), keepdim)


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
    levels = values(q).reshape(-1) if isinstance(q, Tensor) else np.array([q], np.float64)
    if ((levels < 0) | (levels > 1)).any():
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
    from picograd.frontend.movement import stack

    return stack(results, 0)


# --- distinct values and counts ------------------------------------------------------------------


@operation()
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """The distinct elements (or slices along `dim`) in order."""
    array = values(input)
    axis = None if dim is None else wrap_dim(dim, input.ndim)
    found, inverse, counts = np.unique(array, return_inverse=True, return_counts=True, axis=axis)
    inverse = inverse.reshape(array.shape) if axis is None else inverse.reshape(-1)
    place = _device(input)
    distinct = primitives.cast(from_array(found, place), input.dtype)
    result = [without_derivative("unique", distinct, input)]
    if return_inverse:
        result.append(from_array(inverse.astype(np.int64), place))
    if return_counts:
        result.append(from_array(counts.astype(np.int64), place))
    return result[0] if len(result) == 1 else tuple(result)


@operation()
def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """The elements without those that equal the one before."""
    array = values(input)
    rows = array.reshape(-1) if dim is None else np.moveaxis(array, dim, 0)
    starts = np.ones(len(rows), bool)
    starts[1:] = (rows[1:] != rows[:-1]).any(tuple(range(1, rows.ndim)))
    found = rows[starts] if dim is None else np.moveaxis(rows[starts], 0, dim)
    place = _device(input)
    distinct = primitives.cast(from_array(found, place), input.dtype)
    result = [without_derivative("unique_consecutive", distinct, input)]
    if return_inverse:
        inverse = np.cumsum(starts) - 1
        result.append(from_array(inverse.reshape(array.shape) if dim is None else inverse, place))
    if return_counts:
        edges = np.append(np.flatnonzero(starts), len(rows))
        result.append(from_array(np.diff(edges), place))
    return result[0] if len(result) == 1 else tuple(result)


@operation()
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number occurs (or the sum of its weights)."""
    if input.ndim != 1 or input.dtype.is_inexact:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    array = values(input)
    if (array < 0).any():
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    counts = np.bincount(array, None if weights is None else values(weights), minlength)
    if weights is not None and weights.dtype.name == "float32":
        counts = counts.astype(np.float32)
    return from_array(counts, _device(input))


@operation(out=True)
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of `bins` equal parts of [min, max]."""
    if bins <= 0:
        raise RuntimeError(f"histc(): bins must be > 0, but got {bins}")
    array = values(input)
    low, high = (array.min(), array.max()) if min == max and array.size else (min, max)
    if low == high:
        low, high = low - 1, high + 1
    counts, _ = np.histogram(array, bins, (float(low), float(high)))
    return primitives.cast(from_array(counts, _device(input)), input.dtype)


class Histogram(NamedTuple):
    """The result of `histogram`."""

    hist: Tensor
    bin_edges: Tensor


@operation(out=True)
def histogram(
    input: Tensor,
    bins: int | Tensor = 100,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """Counts per bin, and the edges of the bins."""
    edges = values(bins) if isinstance(bins, Tensor) else bins
    counts, found = np.histogram(
        values(input),
        edges,
        None if range is None else (range[0], range[1]),
        weights=None if weight is None else values(weight),
        density=density,
    )
    place = _device(input)
    return Histogram(
        primitives.cast(from_array(counts, place), input.dtype),
        primitives.cast(from_array(found, place), input.dtype),
    )


class HistogramDD(NamedTuple):
    """The result of `histogramdd`."""

    hist: Tensor
    bin_edges: tuple[Tensor, ...]


def _edges(column: np.ndarray, bins: int, limits: Sequence[float]) -> np.ndarray:
    """The borders of equal parts of the limits, by default of what the column has."""
    low, high = limits or ((column.min(), column.max()) if column.size else (0.0, 1.0))
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1).astype(column.dtype)


@operation(method=False, out=True)
def histogramdd(
    input: Tensor,
    bins: int | Sequence[int] | Sequence[Tensor],
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> HistogramDD:
    """Counts of points, the rows of `input`, per box of a grid, and the grid's borders."""
    points = values(input).reshape(-1, input._shape[-1])
    wanted = [bins] * points.shape[1] if isinstance(bins, int) else list(bins)
    if len(wanted) != points.shape[1]:
        raise RuntimeError(
            f"histogramdd(): Expected {points.shape[1]} sequences of bin edges or bin counts for "
            f"points of that many dimensions, got {len(wanted)}"
        )
    edges, cells, inside = [], [], np.ones(len(points), bool)
    for axis, (one, column) in enumerate(zip(wanted, points.T, strict=True)):
        limits = range[2 * axis : 2 * axis + 2] if range is not None else ()
        border = values(one) if isinstance(one, Tensor) else _edges(column, one, limits)
        edges.append(border)
        inside &= (column >= border[0]) & (column <= border[-1])
        cell = np.searchsorted(border, column, "right") - 1
        cells.append(np.minimum(cell, len(border) - 2))
    counts = np.zeros([len(border) - 1 for border in edges], points.dtype)
    share = np.ones(len(points), points.dtype) if weight is None else values(weight).reshape(-1)
    np.add.at(counts, tuple(cell[inside] for cell in cells), share[inside])
    if density:
        counts /= counts.sum()
        for axis, border in enumerate(edges):
            along = [-1 if n == axis else 1 for n in np.arange(len(edges))]
            counts /= np.diff(border).reshape(along)
    place = _device(input)
    return HistogramDD(from_array(counts, place), tuple(from_array(one, place) for one in edges))


# --- searching -----------------------------------------------------------------------------------


@operation(out=True)
def searchsorted(
    sorted_sequence: Tensor,
    input: Tensor | float,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where the numbers would be inserted to keep the (innermost) sequence in order.

    `sorter`: the positions that sort the sequence, if it isn't sorted.
    """
    where = "right" if right or side == "right" else "left"
    edges = values(sorted_sequence)
    if sorter is not None:
        edges = np.take_along_axis(edges, values(sorter), -1)
    wanted = values(input) if isinstance(input, Tensor) else np.asarray(input)
    if edges.ndim == 1:
        found = np.searchsorted(edges, wanted, where)
    else:
        if wanted.shape[:-1] != edges.shape[:-1]:
            raise RuntimeError(
                "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
                f"dimensions of boundaries tensor and input value tensor must match, but we got "
                f"boundaries tensor {list(edges.shape)} and input value tensor {list(wanted.shape)}"
            )
        found = np.zeros(wanted.shape, np.int64)
        for place in np.ndindex(wanted.shape[:-1]):
            found[place] = np.searchsorted(edges[place], wanted[place], where)
    dtype: DType = int32 if out_int32 else int64
    return from_array(np.asarray(found, dtype.numpy), _device(sorted_sequence))


@operation(out=True)
def bucketize(
    input: Tensor | float, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """Which bucket of a sorted sequence of boundaries each number belongs to."""
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


@operation(method=False, out=True, also={"element": "elements", "test_element": "test_elements"})
def isin(
    elements: Tensor, test_elements: Tensor, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each element occurs among the test elements."""
    first = values(elements) if isinstance(elements, Tensor) else np.asarray(elements)
    second = values(test_elements) if isinstance(test_elements, Tensor) else test_elements
    place = _device(elements if isinstance(elements, Tensor) else test_elements)
    return primitives.cast(from_array(np.isin(first, second, invert=invert), place), bool_)
