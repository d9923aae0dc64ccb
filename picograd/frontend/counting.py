"""Distinct values, counts, and searching: unique, bincount, histograms, searchsorted.

In: tensors. Out: tensors. What depends on the numbers themselves (how many distinct ones there are)
is computed at once, so these functions realise their input: on the host, or where a GPU has the
tensors, with `selecting`.

>>> import picograd
>>> picograd.unique(picograd.tensor([3, 1, 3]))
tensor([1, 3])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from picograd.dtypes import DType, bool_, float32, float64, int32, int64
from picograd.frontend import primitives
from picograd.frontend.comparison import eq, ge, le, logical_and, ne
from picograd.frontend.composite import without_derivative
from picograd.frontend.elementwise import div, mul, sub
from picograd.frontend.gathering import along_dim
from picograd.frontend.hostdata import from_array, values
from picograd.frontend.movement import stack
from picograd.frontend.promotion import wrap_dim
from picograd.frontend.registry import operation
from picograd.frontend.selecting import counted, distinct, on_gpu, runs, searched
from picograd.frontend.selection import choose, clamp
from picograd.frontend.sorting import sort
from picograd.frontend.tensor import Tensor


def _device(x: Tensor) -> str:
    return x._storage.node.device


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
    if on_gpu(input) and dim is None and input.numel():
        flat = distinct(input.reshape((-1,)))
        inverse = flat.inverse.reshape(input._shape) if return_inverse else None
        return _chosen(
            "unique", input, flat.values, inverse, flat.counts if return_counts else None
        )
    array, place = values(input), _device(input)
    if dim is None and not input.dtype.is_complex:
        parts = _counted(array.reshape(-1), return_inverse) or _by_order(input, return_inverse)
        found, inverse, counts = parts
        inverse = inverse.reshape(array.shape) if return_inverse else inverse
    else:
        axis = None if dim is None else wrap_dim(dim, input.ndim)
        found, inverse, counts = np.unique(
            array, return_inverse=True, return_counts=True, axis=axis
        )
        inverse = inverse.reshape(array.shape if axis is None else -1)
    elements = primitives.cast(from_array(found, place), input.dtype)
    return _chosen(
        "unique",
        input,
        elements,
        from_array(inverse.astype(np.int64), place) if return_inverse else None,
        from_array(counts.astype(np.int64), place) if return_counts else None,
    )


def _chosen(
    name: str, x: Tensor, found: Tensor, inverse: Tensor | None, counts: Tensor | None
) -> Tensor | tuple[Tensor, ...]:
    """What was asked for."""
    rest = [one for one in (inverse, counts) if one is not None]
    first = without_derivative(name, found, x)
    return (first, *rest) if rest else first


_Distinct = tuple[np.ndarray, np.ndarray, np.ndarray]  # values, inverse (if wanted), counts


def _counted(array: np.ndarray, with_inverse: bool) -> _Distinct | None:
    """Distinct integers that lie close together, by counting; None of other arrays."""
    if not array.size or array.dtype.kind not in "iub":
        return None
    low, high = int(array.min()), int(array.max())
    if high - low >= max(1 << 16, array.size) or high >= 1 << 63:
        return None
    shifted = array.astype(np.int64) - low
    counts = np.bincount(shifted)
    present = counts > 0
    inverse = (np.cumsum(present) - 1)[shifted] if with_inverse else shifted[:0]
    return (np.flatnonzero(present) + low).astype(array.dtype), inverse, counts[present]


def _by_order(x: Tensor, with_inverse: bool) -> _Distinct:
    """Distinct elements from the sorted ones. Every NaN is one of its own."""
    ordered, places = sort(x.detach().reshape((-1,)))
    elements = values(ordered)
    starts = np.ones(elements.size, bool)
    starts[1:] = elements[1:] != elements[:-1]
    firsts = np.flatnonzero(starts)
    inverse = np.empty(elements.size if with_inverse else 0, np.int64)
    if with_inverse:
        inverse[values(places)] = np.cumsum(starts) - 1
    return elements[firsts], inverse, np.diff(firsts, append=elements.size)


@operation()
def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """The elements without those that equal the one before."""
    if on_gpu(input) and dim is None and input.numel():
        flat = runs(input.detach().reshape((-1,)))
        inverse = flat.inverse.reshape(input._shape) if return_inverse else None
        counts = flat.counts if return_counts else None
        return _chosen("unique_consecutive", input, flat.values, inverse, counts)
    array = values(input)
    rows = array.reshape(-1) if dim is None else np.moveaxis(array, dim, 0)
    starts = np.ones(len(rows), bool)
    changes = rows[1:] != rows[:-1]
    starts[1:] = changes.any(tuple(range(1, rows.ndim))) if rows.ndim > 1 else changes
    found = rows[starts] if dim is None else np.moveaxis(rows[starts], 0, dim)
    place = _device(input)
    elements = primitives.cast(from_array(found, place), input.dtype)
    inverse = counts = None
    if return_inverse:
        number = np.cumsum(starts) - 1
        inverse = from_array(number.reshape(array.shape) if dim is None else number, place)
    if return_counts:
        edges = np.append(np.flatnonzero(starts), len(rows))
        counts = from_array(np.diff(edges), place)
    return _chosen("unique_consecutive", input, elements, inverse, counts)


@operation()
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number occurs (or the sum of its weights)."""
    if input.ndim != 1 or input.dtype.is_inexact:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if on_gpu(input) and input.numel():
        low, high = (values(bound) for bound in (input.min(), input.max()))
        if low < 0:
            raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
        dtype = float64 if weights is not None and weights.dtype is not float32 else float32
        ones = primitives.constant(1, int64, "cuda", input._shape)
        parts = ones if weights is None else primitives.cast(weights.detach(), dtype)
        return counted(primitives.cast(input, int64), max(int(high) + 1, minlength), parts)
    array = values(input)
    try:
        counts = np.bincount(array, None if weights is None else values(weights), minlength)
    except ValueError:
        if not (array < 0).any():
            raise
        message = "bincount only supports 1-d non-negative integral inputs."
        raise RuntimeError(message) from None
    if weights is not None and weights.dtype.name == "float32":
        counts = counts.astype(np.float32)
    return from_array(counts, _device(input))


@operation(out=True)
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of `bins` equal parts of [min, max]."""
    if bins <= 0:
        raise RuntimeError(f"histc(): bins must be > 0, but got {bins}")
    x = input.detach().reshape((-1,))
    if not x.dtype.is_float:
        x = primitives.cast(x, float64)
    low, high = float(min), float(max)
    if low == high and x.numel():
        low, high = values(primitives.cast(stack([x.min(), x.max()], 0), float64)).tolist()
    if low == high:
        low, high = low - 1, high + 1
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    return primitives.cast(_in_bins(x, bins, low, high), input.dtype)


def _in_bins(x: Tensor, bins: int, low: float, high: float) -> Tensor:
    """How many elements lie in each of equal parts; the highest edge is inside."""
    first, last = (np.asarray(edge).astype(x.dtype.numpy) for edge in (low, high))
    place = div(mul(sub(x, low), bins), float(last - first))
    inside = logical_and(ge(x, low), le(x, high))
    found = choose(inside, clamp(primitives.cast(place, int64), max=bins - 1), bins)
    if not on_gpu(x):
        counts = np.bincount(values(found), minlength=bins + 1)[:bins]
        return from_array(counts.astype(np.int64), _device(x))
    ones = primitives.constant(1, int64, "cuda", x._shape)
    return counted(found, bins + 1, ones).narrow(0, 0, bins)


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
    if on_gpu(sorted_sequence) and (not isinstance(input, Tensor) or on_gpu(input)):
        return _searched_on_gpu(sorted_sequence, input, where == "right", out_int32, sorter)
    edges = values(sorted_sequence)
    if sorter is not None:
        edges = np.take_along_axis(edges, values(sorter), -1)
    wanted = values(input) if isinstance(input, Tensor) else np.asarray(input)
    if edges.ndim == 1:
        found = np.searchsorted(edges, wanted, where)
    else:
        _check_rows(edges.shape, wanted.shape)
        found = np.zeros(wanted.shape, np.int64)
        for place in np.ndindex(wanted.shape[:-1]):
            found[place] = np.searchsorted(edges[place], wanted[place], where)
    dtype: DType = int32 if out_int32 else int64
    return from_array(np.asarray(found, dtype.numpy), _device(sorted_sequence))


def _check_rows(edges: Sequence[int], wanted: Sequence[int]) -> None:
    if tuple(wanted[:-1]) != tuple(edges[:-1]):
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
            f"dimensions of boundaries tensor and input value tensor must match, but we got "
            f"boundaries tensor {list(edges)} and input value tensor {list(wanted)}"
        )


def _searched_on_gpu(
    edges: Tensor, wanted: Tensor | float, behind: bool, narrow: bool, sorter: Tensor | None
) -> Tensor:
    if sorter is not None:
        edges = along_dim(edges, edges.ndim - 1, sorter, checked=False)
    if not isinstance(wanted, Tensor):
        dtype = edges.dtype if isinstance(wanted, int) or edges.dtype.is_float else float64
        wanted = primitives.constant(wanted, dtype, _device(edges))
    if edges.ndim > 1:
        _check_rows(edges._shape, wanted._shape)
    found = searched(edges, wanted, behind)
    return primitives.cast(found, int32) if narrow else found


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
    if on_gpu(elements) and on_gpu(test_elements) and elements.dtype is test_elements.dtype:
        return _is_among(elements.detach(), test_elements.detach().reshape((-1,)), invert)
    first = values(elements) if isinstance(elements, Tensor) else np.asarray(elements)
    second = values(test_elements) if isinstance(test_elements, Tensor) else test_elements
    place = _device(elements if isinstance(elements, Tensor) else test_elements)
    return primitives.cast(from_array(np.isin(first, second, invert=invert), place), bool_)


def _is_among(x: Tensor, tests: Tensor, invert: bool) -> Tensor:
    """Where an element is one of a vector's."""
    number = tests._shape[0]
    if not number:
        return primitives.constant(invert, bool_, _device(x), x._shape)
    ordered = sort(tests).values
    near = clamp(searched(ordered, x, False), max=number - 1)
    found = primitives.gather(ordered, (0,), (near,), True)
    return ne(found, x) if invert else eq(found, x)
