"""Poolings by other means: power means of windows, maxima put back, sums over channels.

In: (N, C, *). Out: the same with other extents. Exported by `picograd.nn.functional`.

>>> import picograd
>>> max_unpool1d(picograd.tensor([[5.0]]), picograd.tensor([[1]]), 2).tolist()
[[0.0, 5.0]]
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from picograd.frontend.autocasting import in_float32
from picograd.frontend.creation import zeros
from picograd.frontend.tensor import Tensor
from picograd.nn.convolution import Extents, per_axis
from picograd.nn.padding import pad
from picograd.nn.pooling import avg_pool1d, avg_pool2d, avg_pool3d


def _lp_pool(
    rank: int,
    input: Tensor,
    norm_type: float,
    kernel_size: Extents,
    stride: Extents | None,
    ceil_mode: bool,
) -> Tensor:
    pool = (avg_pool1d, avg_pool2d, avg_pool3d)[rank - 1]
    means = pool(input**norm_type, kernel_size, stride, 0, ceil_mode)
    number = math.prod(per_axis(kernel_size, rank, "kernel_size"))
    return (means.sign() * means.abs().relu() * number) ** (1 / norm_type)


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: Extents,
    stride: Extents | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(N, C, L): the p-th root of the sum of p-th powers of every window."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Extents,
    stride: Extents | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(N, C, H, W): the p-th root of the sum of p-th powers of every window."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Extents,
    stride: Extents | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(N, C, D, H, W): the p-th root of the sum of p-th powers of every window."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _max_unpool(
    rank: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Extents,
    stride: Extents | None,
    padding: Extents,
    output_size: Sequence[int] | None,
) -> Tensor:
    if input.ndim not in (rank + 1, rank + 2) or input.shape != indices.shape:
        raise RuntimeError(
            f"max_unpool{rank}d: expected input of {rank + 1} or {rank + 2} dimensions and indices "
            f"of its shape, but got {list(input.shape)} and {list(indices.shape)}"
        )
    sizes = per_axis(kernel_size, rank, "kernel_size")
    strides = sizes if stride is None else per_axis(stride, rank, "stride")
    paddings = per_axis(padding, rank, "padding")
    parts = zip(input.shape[-rank:], sizes, strides, paddings, strict=True)
    plane = [(extent - 1) * step - 2 * edge + size for extent, size, step, edge in parts]
    if output_size is not None:
        wanted = list(output_size)[-rank:]
        for given, usual, step in zip(wanted, plane, strides, strict=True):
            if not usual - step < given < usual + step:
                raise ValueError(
                    f"invalid output_size {list(output_size)}: each extent must lie within a "
                    f"stride of {plane}"
                )
        plane = wanted
    lead = input.shape[:-rank]
    empty = zeros(*lead, math.prod(plane), dtype=input.dtype, device=input.device)
    return empty.scatter(-1, indices.flatten(-rank), input.flatten(-rank)).view(*lead, *plane)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Maxima of `max_pool1d` put back to their places; zeros elsewhere."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


@in_float32
def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Maxima of `max_pool2d` put back to their places; zeros elsewhere."""
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


@in_float32
def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Extents,
    stride: Extents | None = None,
    padding: Extents = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Maxima of `max_pool3d` put back to their places; zeros elsewhere."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divided by a power of `k` plus `alpha` times the mean square of `size` channels around.

    Source: Krizhevsky et al. 2012, ImageNet Classification, section 3.3.
    """
    if input.ndim < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)"
        )
    if not input.numel():
        return input
    squares = input.square().flatten(2).unsqueeze(1)  # (N, 1, C, *)
    around = pad(squares, (0, 0, size // 2, (size - 1) // 2))
    means = avg_pool2d(around, (size, 1), 1).squeeze(1).view(*input.shape)
    return input / (means * alpha + k) ** beta
