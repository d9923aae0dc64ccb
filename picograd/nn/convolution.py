"""Convolutions: windows of the input, contracted with the kernel.

In: (N, C, *) or (C, *) and kernels (O, C / groups, *). Out: (N, O, *). This is what torch's names
and arguments mean; `nn.correlation` computes.

>>> import picograd
>>> conv1d(picograd.ones(1, 1, 4), picograd.ones(1, 1, 2)).tolist()
[[[2.0, 2.0, 2.0]]]
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.frontend.autocasting import in_fewer_bits
from picograd.frontend.naming import recorded_as
from picograd.frontend.tensor import Tensor
from picograd.nn.correlation import Convolution, Geometry, Transposed

Extents = int | Sequence[int]


def per_axis(value: Extents, rank: int, name: str) -> tuple[int, ...]:
    """One number per spatial axis."""
    given = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(given) == 1:
        given *= rank
    if len(given) != rank:
        raise RuntimeError(f"expected {name} to be a single integer or {rank}, got {list(given)}")
    return given


def _check(input: Tensor, weight: Tensor, bias: Tensor | None, rank: int, name: str) -> None:
    if weight.ndim != rank + 2:
        raise RuntimeError(
            f"{name}: expected a {rank + 2}D weight, got one of shape {list(weight.shape)}"
        )
    if input.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {name}, but got "
            f"input of size: {list(input.shape)}"
        )
    if input.dtype is not weight.dtype:
        raise RuntimeError(
            f"Input type ({input.dtype}) and weight type ({weight.dtype}) should be the same"
        )
    if bias is not None and bias.dtype is not input.dtype:
        raise RuntimeError(
            f"Input type ({input.dtype}) and bias type ({bias.dtype}) should be the same"
        )


def _padding(
    padding: str | Extents, sizes: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Before and after each axis."""
    if padding == "valid":
        return (0,) * len(sizes), (0,) * len(sizes)
    if padding == "same":
        if any(stride != 1 for stride in strides):
            raise RuntimeError("padding='same' is not supported for strided convolutions")
        totals = [d * (k - 1) for d, k in zip(dilations, sizes, strict=True)]
        pairs = [(total // 2, total - total // 2) for total in totals]
    elif isinstance(padding, str):
        raise RuntimeError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
    else:
        pairs = [(p, p) for p in per_axis(padding, len(sizes), "padding")]
    if any(number < 0 for pair in pairs for number in pair):
        raise RuntimeError("negative padding is not supported")
    return tuple(before for before, _ in pairs), tuple(after for _, after in pairs)


def _convolution(
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Extents,
    padding: str | Extents,
    dilation: Extents,
    groups: int,
) -> Tensor:
    name = f"conv{rank}d"
    _check(input, weight, bias, rank, name)
    if input.ndim == rank + 1:
        batch = input.unsqueeze(0)
        return _convolution(rank, batch, weight, bias, stride, padding, dilation, groups).squeeze(0)
    outputs, channels, *sizes = weight.shape
    strides = per_axis(stride, rank, "stride")
    dilations = per_axis(dilation, rank, "dilation")
    if min(strides) <= 0 or min(dilations) <= 0:
        raise RuntimeError("non-positive stride or dilation is not supported")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if outputs % groups or input.shape[1] != channels * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(weight.shape)}, expected input"
            f"{list(input.shape)} to have {channels * groups} channels, but got "
            f"{input.shape[1]} channels instead"
        )
    before, after = _padding(padding, sizes, strides, dilations)
    geometry = Geometry(strides, before, after, dilations, groups)
    padded = [a + b + n for a, n, b in zip(before, input.shape[2:], after, strict=True)]
    reach = geometry.reach(sizes)
    if any(extent < size for extent, size in zip(padded, reach, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: {padded}. Kernel size: {reach}. "
            "Kernel size can't be greater than actual input size"
        )
    result = Convolution.apply(input, weight, geometry)
    return result if bias is None else result + bias.reshape(-1, *(1,) * rank)


@recorded_as("ConvolutionBackward0")
@in_fewer_bits
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extents = 1,
    padding: str | Extents = 0,
    dilation: Extents = 1,
    groups: int = 1,
) -> Tensor:
    """(N, C, L) with kernels (O, C / groups, K)."""
    return _convolution(1, input, weight, bias, stride, padding, dilation, groups)


@recorded_as("ConvolutionBackward0")
@in_fewer_bits
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extents = 1,
    padding: str | Extents = 0,
    dilation: Extents = 1,
    groups: int = 1,
) -> Tensor:
    """(N, C, H, W) with kernels (O, C / groups, KH, KW)."""
    return _convolution(2, input, weight, bias, stride, padding, dilation, groups)


@recorded_as("ConvolutionBackward0")
@in_fewer_bits
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extents = 1,
    padding: str | Extents = 0,
    dilation: Extents = 1,
    groups: int = 1,
) -> Tensor:
    """(N, C, D, H, W) with kernels (O, C / groups, KD, KH, KW)."""
    return _convolution(3, input, weight, bias, stride, padding, dilation, groups)


# --- transposed -----------------------------------------------------------------------------------


def _transposed(
    rank: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Extents,
    padding: Extents,
    output_padding: Extents,
    groups: int,
    dilation: Extents,
) -> Tensor:
    """The convolution's transpose: its gradient by the input."""
    name = f"conv_transpose{rank}d"
    _check(input, weight, bias, rank, name)
    if input.ndim == rank + 1:
        batch = input.unsqueeze(0)
        rest = (stride, padding, output_padding, groups, dilation)
        return _transposed(rank, batch, weight, bias, *rest).squeeze(0)
    channels = weight.shape[0]
    sizes = list(weight.shape[2:])
    if input.shape[1] != channels or channels % groups:
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(weight.shape)}, expected input"
            f"{list(input.shape)} to have {channels} channels, but got {input.shape[1]} channels "
            "instead"
        )
    strides = per_axis(stride, rank, "stride")
    paddings = per_axis(padding, rank, "padding")
    extra = per_axis(output_padding, rank, "output_padding")
    dilations = per_axis(dilation, rank, "dilation")
    if any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
        raise RuntimeError("output padding must be smaller than either stride or dilation")
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, sizes, strict=True)]
    extents, after = [], []
    for number, step, size, before, more in zip(
        input.shape[2:], strides, reach, paddings, extra, strict=True
    ):
        extents.append((number - 1) * step + size - 2 * before + more)
        after.append(before - more)
    geometry = Geometry(strides, paddings, tuple(after), dilations, groups)
    if min(extents) <= 0:
        raise RuntimeError(
            f"Given input size per channel: {list(input.shape[2:])}. Calculated output size per "
            f"channel: {extents}. Output size is too small"
        )
    result = Transposed.apply(input, weight, tuple(extents), geometry)
    return result if bias is None else result + bias.reshape(-1, *(1,) * rank)


@recorded_as("ConvolutionBackward0")
@in_fewer_bits
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extents = 1,
    padding: Extents = 0,
    output_padding: Extents = 0,
    groups: int = 1,
    dilation: Extents = 1,
) -> Tensor:
    """(N, C, L) with kernels (C, O / groups, K)."""
    return _transposed(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@recorded_as("ConvolutionBackward0")
@in_fewer_bits
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extents = 1,
    padding: Extents = 0,
    output_padding: Extents = 0,
    groups: int = 1,
    dilation: Extents = 1,
) -> Tensor:
    """(N, C, H, W) with kernels (C, O / groups, KH, KW)."""
    return _transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@recorded_as("ConvolutionBackward0")
@in_fewer_bits
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extents = 1,
    padding: Extents = 0,
    output_padding: Extents = 0,
    groups: int = 1,
    dilation: Extents = 1,
) -> Tensor:
    """(N, C, D, H, W) with kernels (C, O / groups, KD, KH, KW)."""
    return _transposed(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
