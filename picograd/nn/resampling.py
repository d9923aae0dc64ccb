"""Images (signals, volumes) at other sizes and places.

In: (N, C, *) and sizes, factors or a grid. Out: (N, C, *). Which elements an output reads depends
on the sizes alone, so positions and weights are computed once on the host; `grid_sample`, whose
positions are data, computes them like anything else. Exported by `picograd.nn.functional`.

>>> import picograd
>>> interpolate(picograd.tensor([[[1.0, 3.0]]]), scale_factor=2, mode="linear").tolist()
[[[1.0, 1.5, 2.5, 3.0]]]
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from picograd.dtypes import int32, int64
from picograd.frontend.autocasting import in_float32
from picograd.frontend.gathering import along_dim
from picograd.frontend.interop import tensor
from picograd.frontend.naming import recorded_as
from picograd.frontend.tensor import Tensor
from picograd.nn.pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

_LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """The input at another size: nearest, nearest-exact, linear kinds, bicubic or area."""
    rank = input.ndim - 2
    if not 1 <= rank <= 3:
        raise NotImplementedError(
            "interpolate(): only 3-D, 4-D and 5-D tensors are resized, but got one of shape "
            f"{list(input._shape)}"
        )
    if antialias:
        raise NotImplementedError("interpolate(): antialias=True isn't supported")
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear "
            "| bicubic | trilinear"
        )
    sizes, scales = _sizes(input, size, scale_factor)
    if recompute_scale_factor:
        scales = [None] * rank
    if mode == "area":
        pool = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[rank - 1]
        return pool(input, sizes)
    if (mode in _LINEAR and _LINEAR[mode] != rank) or (mode == "bicubic" and rank != 2):
        raise NotImplementedError(
            f"Got {input.ndim}D input, but {mode} mode needs {_LINEAR.get(mode, 2) + 2}D input"
        )
    if mode not in ("nearest", "nearest-exact", "bicubic", *_LINEAR):
        raise NotImplementedError(
            "Input Error: Only 3D, 4D and 5D input Tensors supported with modes: nearest | linear "
            f"| bilinear | bicubic | trilinear | area | nearest-exact (got {mode})"
        )
    x = input
    for n, (wanted, scale) in enumerate(zip(sizes, scales, strict=True)):
        axis = n + 2
        positions = _positions(x.shape[axis], wanted, scale, mode, bool(align_corners))
        x = _resampled(x, axis, positions, mode)
    return x


def _sizes(
    input: Tensor, size: int | Sequence[int] | None, factor: float | Sequence[float] | None
) -> tuple[list[int], list[float | None]]:
    rank = input.ndim - 2
    if (size is None) == (factor is None):
        raise ValueError("only one of size or scale_factor should be defined, and one must be")
    if size is not None:
        sizes = [size] * rank if isinstance(size, int) else [int(s) for s in size]
        if len(sizes) != rank:
            raise ValueError(
                f"Input and output must have the same number of spatial dimensions, but got input "
                f"with spatial dimensions of {list(input.shape[2:])} and output size of {sizes}"
            )
        return sizes, [None] * rank
    assert factor is not None
    factors = (
        [float(factor)] * rank if isinstance(factor, int | float) else list(map(float, factor))
    )
    if len(factors) != rank:
        raise ValueError(
            f"Input and scale_factor must have the same number of spatial dimensions, but got an "
            f"input of {list(input.shape)} and scale_factor of {factors}"
        )
    sizes = [math.floor(e * f) for e, f in zip(input.shape[2:], factors, strict=True)]
    return sizes, list(factors)


def _positions(
    extent: int, wanted: int, scale: float | None, mode: str, align_corners: bool
) -> np.ndarray:
    """Where in the input each output lies."""
    out = np.arange(wanted, dtype=np.float64)
    step = extent / wanted if scale is None else 1 / scale
    if mode == "nearest":
        return np.minimum(np.floor(out * np.float32(step)), extent - 1)
    if mode == "nearest-exact":
        return np.minimum(np.floor((out + 0.5) * np.float32(step)), extent - 1)
    if align_corners:
        return out * ((extent - 1) / (wanted - 1) if wanted > 1 else 0.0)
    place = (out + 0.5) * step - 0.5
    return place if mode == "bicubic" else np.maximum(place, 0.0)


def _resampled(x: Tensor, axis: int, positions: np.ndarray, mode: str) -> Tensor:
    """One axis read at positions between its elements."""
    last = x.shape[axis] - 1
    if mode.startswith("nearest"):
        return x.index_select(axis, tensor(positions.astype(np.int64), device=x.device))
    low = np.floor(positions)
    rest = positions - low
    taps = [(0, 1 - rest), (1, rest)]
    if mode == "bicubic":
        taps = list(zip(range(-1, 3), _cubic(rest), strict=True))
    result = None
    shape = (-1, *(1,) * (x.ndim - 1 - axis))
    for offset, weights in taps:
        index = np.clip(low + offset, 0, last).astype(np.int64)
        picked = x.index_select(axis, tensor(index, device=x.device))
        part = picked * tensor(weights, dtype=x.dtype, device=x.device).view(shape)
        result = part if result is None else result + part
    assert result is not None
    return result


Shares = TypeVar("Shares", np.ndarray, Tensor)


def _cubic(t: Shares, a: float = -0.75) -> list[Shares]:
    """Weights of four neighbours (Keys 1981), of arrays or tensors."""

    def near(d: Shares) -> Shares:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Shares) -> Shares:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """The old name of `interpolate`."""
    warnings.warn("`upsample` is deprecated. Use `interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """An old name of `interpolate` by nearest neighbours."""
    warnings.warn("`upsample_nearest` is deprecated. Use `interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
) -> Tensor:
    """An old name of `interpolate` between neighbours, corners on corners."""
    warnings.warn("`upsample_bilinear` is deprecated. Use `interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, "bilinear", True)


# --- channels to places and back ------------------------------------------------------------------


@recorded_as("PixelShuffleBackward0")
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(*, C r r, H, W) -> (*, C, H r, W r)."""
    r = upscale_factor
    if input.ndim < 3 or r <= 0 or input.shape[-3] % (r * r):
        raise RuntimeError(
            f"pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor={r}, but got input of size {list(input.shape)}"
        )
    x = input.unflatten(-3, (-1, r, r))
    x = x.movedim(-4, -2).movedim(-4, -1)  # C, H, r, W, r
    return x.flatten(-2).flatten(-3, -2)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(*, C, H r, W r) -> (*, C r r, H, W)."""
    r = downscale_factor
    if input.ndim < 3 or r <= 0 or input.shape[-2] % r or input.shape[-1] % r:
        raise RuntimeError(
            f"pixel_unshuffle expects height and width to be divisible by downscale_factor={r}, "
            f"but got input of size {list(input.shape)}"
        )
    x = input.unflatten(-1, (-1, r)).unflatten(-3, (-1, r))  # C, H, r, W, r
    return x.movedim(-3, -4).movedim(-1, -3).flatten(-5, -3)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels (g, C / g) in the order (C / g, g)."""
    if input.shape[1] % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {input.shape[1]} channels and "
            f"{groups} groups."
        )
    return input.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


# --- positions that are data ----------------------------------------------------------------------


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """(N, 2, 3) maps -> (N, H, W, 2) positions from -1 to 1 (or (N, 3, 4) -> (N, D, H, W, 3))."""
    axes = []
    for extent in size[2:]:
        line = np.linspace(-1, 1, extent) if extent > 1 else np.zeros(1)
        axes.append(line if align_corners else line * (extent - 1) / extent)
    mesh = np.meshgrid(*axes, indexing="ij")
    places = np.stack([*mesh[::-1], np.ones(tuple(size[2:]))], -1)
    rank = len(size) - 2
    flat = tensor(places.reshape(-1, rank + 1), dtype=theta.dtype, device=theta.device)
    return (flat @ theta.transpose(1, 2)).view(size[0], *size[2:], rank)


@recorded_as("GridSampler2DBackward0")
@in_float32
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """`input` (N, C, H, W) at positions (N, Ho, Wo, 2), x first, -1 to 1 from edge to edge.

    Source: Jaderberg et al. 2015, Spatial Transformer Networks.
    """
    rank = input.ndim - 2
    modes, paddings = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
    if mode not in modes or padding_mode not in paddings:
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or "
            "'bicubic' and padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{mode}' and '{padding_mode}'"
        )
    if grid.ndim != input.ndim or grid.shape[0] != input.shape[0] or grid.shape[-1] != rank:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {rank} in last dimension and the input's "
            f"batch size, but got grid with sizes {list(grid.shape)} and input with sizes "
            f"{list(input.shape)}"
        )
    if mode == "bicubic" and rank != 2:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    places = []
    for n, extent in enumerate(input.shape[2:]):
        place = grid[..., rank - 1 - n]
        if align_corners:
            place = (place + 1) / 2 * (extent - 1)
        else:
            place = ((place + 1) * extent - 1) / 2
        if mode != "bicubic":
            place = _inside(place, extent, padding_mode, bool(align_corners))
        places.append(place)
    if mode == "bicubic":
        return _bicubic(input, places, padding_mode, bool(align_corners))
    if mode == "nearest":
        found, valid = _at(input, [place.round() for place in places])
        return found * valid.unsqueeze(1)
    lows = [place.floor() for place in places]
    result = None
    for corner in range(1 << rank):
        at, weight = [], None
        for n, (low, place) in enumerate(zip(lows, places, strict=True)):
            high = corner >> n & 1
            share = place - low if high else 1 - (place - low)
            weight = share if weight is None else weight * share
            at.append(low + high)
        assert weight is not None
        found, valid = _at(input, at)
        part = found * (weight * valid).unsqueeze(1)
        result = part if result is None else result + part
    assert result is not None
    return result


def _bicubic(
    input: Tensor, places: Sequence[Tensor], padding_mode: str, align_corners: bool
) -> Tensor:
    """The sum over 4 by 4 elements; those outside are what the padding puts there."""
    result = None
    at: list[list[Tensor]] = []
    weights: list[list[Tensor]] = []
    for place, extent in zip(places, input.shape[2:], strict=True):
        low = place.floor().detach()
        at.append([_inside(low + k, extent, padding_mode, align_corners) for k in range(-1, 3)])
        weights.append(_cubic(place - low))
    for row, row_weight in zip(at[0], weights[0], strict=True):
        for column, weight in zip(at[1], weights[1], strict=True):
            found, valid = _at(input, [row, column])
            part = found * (row_weight * weight * valid).unsqueeze(1)
            result = part if result is None else result + part
    assert result is not None
    return result


@in_float32
def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """`grid_sample` with numbers for the names of modes."""
    mode = ("bilinear", "nearest", "bicubic")[interpolation_mode]
    padding = ("zeros", "border", "reflection")[padding_mode]
    return grid_sample(input, grid, mode, padding, align_corners)


def _inside(place: Tensor, extent: int, padding_mode: str, align_corners: bool) -> Tensor:
    """Positions after border or reflection padding."""
    if padding_mode == "zeros":
        return place
    if padding_mode == "reflection":
        low, span = (0.0, extent - 1.0) if align_corners else (-0.5, float(extent))
        if span <= 0:
            return place * 0
        away = (place - low).abs()
        turns = (away / span).floor()
        rest = away - turns * span
        odd = turns % 2
        place = rest * (1 - odd) + (span - rest) * odd + low
    return place.clamp(0, extent - 1)


def _at(input: Tensor, places: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The elements at whole positions (at the edge for those outside), and which are inside."""
    flat, valid = None, None
    whole = int32 if math.prod(input.shape[2:]) < 1 << 31 else int64
    for place, extent in zip(places, input.shape[2:], strict=True):
        here = (place >= 0) & (place <= extent - 1)
        index = place.detach().to(whole).clamp(0, extent - 1)  # NaN is some place too
        flat = index if flat is None else flat * extent + index
        valid = here if valid is None else valid & here
    assert flat is not None and valid is not None
    batch, channels = input.shape[:2]
    index = flat.view(batch, 1, -1).expand(batch, channels, -1)
    found = along_dim(input.flatten(2), 2, index).view(batch, channels, *flat.shape[1:])
    return found, valid
