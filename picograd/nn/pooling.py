"""Pooling: the largest element or the mean of every window.

In: (N, C, *) or (C, *). Out: the same with smaller extents. Windows are those of a convolution
(`picograd.nn.correlation.windows`). Exported by `picograd.nn.functional`.

>>> import picograd
>>> max_pool1d(picograd.tensor([[1.0, 3.0, 2.0, 0.0]]), 2).tolist()
[[3.0, 2.0]]
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from picograd.frontend.autocasting import in_float32
from picograd.frontend.creation import arange
from picograd.frontend.interop import tensor
from picograd.frontend.naming import recorded_as
from picograd.frontend.registry import writing_out
from picograd.frontend.tensor import Tensor
from picograd.nn import sliding
from picograd.nn.convolution import Extents, per_axis
from picograd.nn.correlation import windows
from picograd.nn.padding import pad

MOST_SLICES = 32  # windows with more elements along an axis are reduced one by one


class _Axis(NamedTuple):
    """Where the windows of one axis lie."""

    size: int
    stride: int
    padding: int
    dilation: int
    number: int  # of windows
    after: int  # elements to pad behind, beyond the input

    def reach(self) -> int:
        """From the first element of a window to its last."""
        return self.dilation * (self.size - 1) + 1


def _axis(
    extent: int, size: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> _Axis:
    if size <= 0 or stride <= 0 or dilation <= 0:
        raise RuntimeError("kernel size, stride and dilation must be greater than zero")
    if padding < 0:
        raise RuntimeError(f"pad must be non-negative, but got pad: {padding}")
    if padding * 2 > dilation * (size - 1) + 1:
        raise RuntimeError(
            f"pad should be at most half of effective kernel size, but got pad={padding}, "
            f"kernel_size={size} and dilation={dilation}"
        )
    room = extent + 2 * padding - dilation * (size - 1) - 1
    number = (math.ceil(room / stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (number - 1) * stride >= extent + padding:
        number -= 1  # a window that begins behind the input sees nothing
    if number <= 0:
        raise RuntimeError(f"an input extent of {extent} gives an output size of {number}")
    needed = (number - 1) * stride + dilation * (size - 1) + 1
    return _Axis(size, stride, padding, dilation, number, max(0, needed - extent - padding))


def _axes(
    rank: int,
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None,
    padding: Extents,
    dilation: Extents,
    ceil_mode: bool,
    name: str,
) -> list[_Axis]:
    if input.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"{name}: Expected {rank + 1}D or {rank + 2}D input, but got one of size "
            f"{list(input.shape)}"
        )
    sizes = per_axis(kernel_size, rank, "kernel_size")
    none = stride is None or (not isinstance(stride, int) and len(tuple(stride)) == 0)
    strides = sizes if none else per_axis(stride or 0, rank, "stride")
    paddings = per_axis(padding, rank, "padding")
    dilations = per_axis(dilation, rank, "dilation")
    parts = zip(input.shape[-rank:], sizes, strides, paddings, dilations, strict=True)
    return [_axis(*part, ceil_mode) for part in parts]


def _seen(input: Tensor, axes: Sequence[_Axis], value: float) -> Tensor:
    """The windows with `value` outside of the input: (*, numbers, elements of a window)."""
    amounts = [n for axis in reversed(axes) for n in (axis.padding, axis.after)]
    x = pad(input, amounts, value=value) if any(amounts) else input
    rank = len(axes)
    x = windows(x, [a.size for a in axes], [a.stride for a in axes], [a.dilation for a in axes])
    cut = (slice(0, axis.number) for axis in axes)
    return x[(..., *cut, *[slice(None)] * rank)].flatten(-rank)


def _sliding(input: Tensor, axes: Sequence[_Axis]) -> list[sliding.Window] | None:
    """The axes as `picograd.nn.sliding` wants them, if their windows are short."""
    if max(axis.size for axis in axes) > MOST_SLICES:
        return None
    numbered = zip(range(input.ndim - len(axes), input.ndim), axes, strict=True)
    return [sliding.Window(n, *axis) for n, axis in numbered]


def _lowest(x: Tensor) -> float:
    return -math.inf if x.dtype.is_float else x.dtype.lowest


def _max_pool(
    rank: int,
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None,
    padding: Extents,
    dilation: Extents,
    ceil_mode: bool,
    return_indices: bool,
) -> Tensor | tuple[Tensor, Tensor]:
    name = f"max_pool{rank}d"
    axes = _axes(rank, input, kernel_size, stride, padding, dilation, ceil_mode, name)
    slid = _sliding(input, axes)
    if slid is not None:
        found = sliding.largest(input, slid)
        return (found, sliding.places(input.detach(), slid)) if return_indices else found
    found, which = _seen(input, axes, _lowest(input)).max(-1)
    if not return_indices:
        return found
    plane = input.shape[-rank:]
    places = arange(math.prod(plane), device=input.device).view(*plane)
    places = _seen(places, axes, -1).expand(*which.shape, -1)
    return found, places.gather(-1, which.unsqueeze(-1)).squeeze(-1)


def _avg_pool(
    rank: int,
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None,
    padding: Extents,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    axes = _axes(rank, input, kernel_size, stride, padding, 1, ceil_mode, f"avg_pool{rank}d")
    slid = _sliding(input, axes)
    total = _seen(input, axes, 0).sum(-1) if slid is None else sliding.total(input, slid)
    if divisor_override is not None:
        if divisor_override == 0:
            raise RuntimeError("divisor must be not zero")
        return _divided(total, divisor_override)
    counts = np.ones((), np.float64)
    for axis, extent in zip(axes, input.shape[-rank:], strict=True):
        counts = np.multiply.outer(counts, _counts(axis, extent, count_include_pad))
    if (counts == counts.flat[0]).all():
        return _divided(total, int(counts.flat[0]))
    return _divided(total, tensor(counts, dtype=input.dtype, device=input.device))


def _divided(total: Tensor, count: int | Tensor) -> Tensor:
    """The mean; of integers, an integer."""
    return total / count if total.dtype.is_float else total.div(count, rounding_mode="trunc")


def _counts(axis: _Axis, extent: int, count_include_pad: bool) -> np.ndarray:
    """How many elements each window of an axis has."""
    start = np.arange(axis.number) * axis.stride - axis.padding
    end = np.minimum(start + axis.size, extent + axis.padding)
    if not count_include_pad:
        start, end = np.maximum(start, 0), np.minimum(end, extent)
    return end - start


@recorded_as("SqueezeBackward1")
def max_pool1d(
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    dilation: Extents = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """(N, C, L): the largest element of every window; with `return_indices`, its place too."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@recorded_as("MaxPool2DWithIndicesBackward0")
def max_pool2d(
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    dilation: Extents = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """(N, C, H, W): the largest element of every window; with `return_indices`, its place too."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@recorded_as("MaxPool3DWithIndicesBackward0")
@in_float32
def max_pool3d(
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    dilation: Extents = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """(N, C, D, H, W): the largest element of every window."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@recorded_as("SqueezeBackward1")
def avg_pool1d(
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """(N, C, L): the mean of every window."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@writing_out
@recorded_as("AvgPool2DBackward0")
def avg_pool2d(
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """(N, C, H, W): the mean of every window."""
    return _avg_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


@writing_out
@recorded_as("AvgPool3DBackward0")
@in_float32
def avg_pool3d(
    input: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """(N, C, D, H, W): the mean of every window."""
    return _avg_pool(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


# --- windows that fit a wanted size ---------------------------------------------------------------

Wanted = int | None | Sequence[int | None]


def _wanted(rank: int, input: Tensor, output_size: Wanted) -> list[tuple[int, int]]:
    """The axes whose extent changes, each with how many windows it gets."""
    if input.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"adaptive pooling: Expected {rank + 1}D or {rank + 2}D tensor, but got "
            f"{list(input.shape)}"
        )
    wanted: Sequence[int | None]
    if output_size is None or isinstance(output_size, int):
        wanted = (output_size,) * rank
    else:
        wanted = tuple(output_size) * (rank if len(output_size) == 1 else 1)
    numbered = zip(range(input.ndim - rank, input.ndim), wanted, strict=True)
    return [(a, n) for a, n in numbered if n is not None and n != input.shape[a]]


def _adaptive_windows(x: Tensor, axis: int, number: int) -> tuple[Tensor, np.ndarray]:
    """Window i of n over an extent e is [floor(i e / n), ceil((i + 1) e / n)).

    Their elements lie in a new last dimension, the shorter windows filled with their last element;
    and which elements are real: (number, longest) booleans.
    """
    extent = x.shape[axis]
    i = np.arange(number)
    start, end = i * extent // number, -(-(i + 1) * extent // number)
    longest = int((end - start).max()) if number else 1
    steps = np.arange(longest)
    real = (steps < (end - start)[:, None]).reshape(number, *(1,) * (x.ndim - 1 - axis), longest)
    if number and extent % number == 0:
        return x.unflatten(axis, (number, longest)).movedim(axis + 1, -1), real
    table = np.minimum(start[:, None] + steps, (end - 1)[:, None])
    picked = x.index_select(axis, tensor(table.reshape(-1), device=x.device))
    return picked.unflatten(axis, (number, longest)).movedim(axis + 1, -1), real


def _adaptive_mean(rank: int, input: Tensor, output_size: Wanted) -> Tensor:
    x = input
    for axis, number in _wanted(rank, input, output_size):
        x = _mean(*_adaptive_windows(x, axis, number))
    return x


def _adaptive_largest(rank: int, input: Tensor, output_size: Wanted, return_indices: bool) -> Any:
    """The last axis goes first: of equal elements the first in memory wins."""
    axes = _wanted(rank, input, output_size)[::-1]
    x, plane = input, input.shape[-rank:]
    places = None
    if return_indices:
        places = arange(math.prod(plane), device=input.device).view(*plane).expand(*input.shape)
    for axis, number in axes:
        x, which = _adaptive_windows(x, axis, number)[0].max(-1)
        if places is not None:
            seen = _adaptive_windows(places, axis, number)[0]
            places = seen.gather(-1, which.unsqueeze(-1)).squeeze(-1)
    return x if places is None else (x, places)


def _mean(seen: Tensor, real: np.ndarray) -> Tensor:
    if real.all():
        return seen.mean(-1)
    weights = real / real.sum(-1, keepdims=True)
    return (seen * tensor(weights, dtype=seen.dtype, device=seen.device)).sum(-1)


def adaptive_avg_pool1d(input: Tensor, output_size: Wanted) -> Tensor:
    """(N, C, L) -> (N, C, output_size) by means."""
    return _adaptive_mean(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Wanted) -> Tensor:
    """(N, C, H, W) -> (N, C, *output_size) by means."""
    return _adaptive_mean(2, input, output_size)


@in_float32
def adaptive_avg_pool3d(input: Tensor, output_size: Wanted) -> Tensor:
    """(N, C, D, H, W) -> (N, C, *output_size) by means."""
    return _adaptive_mean(3, input, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: Wanted, return_indices: bool = False) -> Any:
    """(N, C, L) -> (N, C, output_size) by maxima, with their places if asked for."""
    return _adaptive_largest(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Wanted, return_indices: bool = False) -> Any:
    """(N, C, H, W) -> (N, C, *output_size) by maxima, with their places if asked for."""
    return _adaptive_largest(2, input, output_size, return_indices)


@in_float32
def adaptive_max_pool3d(input: Tensor, output_size: Wanted, return_indices: bool = False) -> Any:
    """(N, C, D, H, W) -> (N, C, *output_size) by maxima, with their places if asked for."""
    return _adaptive_largest(3, input, output_size, return_indices)


# --- the same, with the places of the maxima in any case ------------------------------------------


def _with_indices(pool: Callable[..., Any]) -> Callable[..., Any]:
    """The pool as a function that always returns (maxima, places)."""

    names = inspect.unwrap(pool).__code__.co_varnames

    @functools.wraps(pool)
    def pooled(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(names, args, strict=False)) | kwargs
        return pool(**{**given, "return_indices": True})

    pooled.__name__ = pooled.__qualname__ = f"{pool.__name__}_with_indices"
    return pooled


max_pool1d_with_indices = _with_indices(max_pool1d)
max_pool2d_with_indices = _with_indices(max_pool2d)
max_pool3d_with_indices = _with_indices(max_pool3d)
adaptive_max_pool1d_with_indices = _with_indices(adaptive_max_pool1d)
adaptive_max_pool2d_with_indices = _with_indices(adaptive_max_pool2d)
adaptive_max_pool3d_with_indices = _with_indices(adaptive_max_pool3d)
