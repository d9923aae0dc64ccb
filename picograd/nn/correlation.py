"""A convolution and its transpose, each with the derivative that the other one is.

In: (N, C, *) and kernels (O, C / groups, *) with a `Geometry`. Out: (N, O, *), and back. Called by
`nn.convolution`, which knows torch's arguments.

Windows are movement, so a convolution is one contraction. Its gradient by the image would be a sum
over windows that overlap, all of which had to be stored; as a convolution of the gradient it is
one contraction too. With strides there is one for each phase: every `stride`-th element sees the
same part of the kernel, and no zeros are multiplied.

>>> import picograd
>>> plain = Geometry((1,), (0,), (0,), (1,), 1)
>>> Convolution.apply(picograd.ones(1, 1, 4), picograd.ones(1, 1, 2), plain).tolist()
[[[2.0, 2.0, 2.0]]]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd
from typing import Any

from picograd.frontend.creation import zeros
from picograd.frontend.einstein import einsum
from picograd.frontend.function import Function
from picograd.frontend.tensor import Tensor
from picograd.nn.padding import constant_pad_nd


@dataclass(frozen=True, slots=True)
class Geometry:
    """How windows lie over an image: one number for each of its axes (negative padding cuts)."""

    strides: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int

    @property
    def rank(self) -> int:
        return len(self.strides)

    def reach(self, sizes: Sequence[int]) -> list[int]:
        """How many elements windows of so many elements span."""
        return [(size - 1) * d + 1 for size, d in zip(sizes, self.dilations, strict=True)]

    def padded(self, x: Tensor) -> Tensor:
        """The image with its padding."""
        if not any(self.before) and not any(self.after):
            return x
        pairs = reversed(list(zip(self.before, self.after, strict=True)))
        return constant_pad_nd(x, [number for pair in pairs for number in pair])


def windows(
    x: Tensor, sizes: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Tensor:
    """The windows over the last axes: (*, extents) -> (*, numbers of windows, sizes)."""
    rank = len(sizes)
    first = x.ndim - rank
    for n, (size, stride, dilation) in enumerate(zip(sizes, strides, dilations, strict=True)):
        x = x.unfold(first + n, (size - 1) * dilation + 1, stride)
        if dilation > 1:
            x = x[..., ::dilation]
    return x


def _letters(rank: int) -> tuple[str, str]:
    """Axes of places and axes inside of windows, for einsum."""
    return "xyz"[:rank], "uvw"[:rank]


def _seen(x: Tensor, sizes: Sequence[int], geometry: Geometry) -> Tensor:
    """The windows of an image: (N, groups, C / groups, places, inside)."""
    seen = windows(geometry.padded(x), sizes, geometry.strides, geometry.dilations)
    return seen.unflatten(1, (geometry.groups, x.shape[1] // geometry.groups))


def correlate(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Every window's product with every kernel."""
    outputs, _, *sizes = weight.shape
    places, inside = _letters(geometry.rank)
    kernel = weight.unflatten(0, (geometry.groups, outputs // geometry.groups))
    equation = f"ngc{places}{inside},goc{inside}->ngo{places}"
    return einsum(equation, _seen(x, sizes, geometry), kernel).flatten(1, 2)


def kernel_gradient(
    x: Tensor, gradient: Tensor, sizes: Sequence[int], geometry: Geometry
) -> Tensor:
    """The gradient of `correlate` by its kernels."""
    places, inside = _letters(geometry.rank)
    parts = gradient.unflatten(1, (geometry.groups, gradient.shape[1] // geometry.groups))
    equation = f"ngo{places},ngc{places}{inside}->goc{inside}"
    return einsum(equation, parts, _conjugate(_seen(x, sizes, geometry))).flatten(0, 1)


@dataclass(frozen=True, slots=True)
class _Phase:
    """The elements `first, first + stride, ...` of an image's axis, as windows of the result's:
    which part of the kernel they see, last tap first, and how the result is padded for that."""

    first: int
    taps: tuple[int, ...]
    before: int
    after: int
    dilation: int


def _phases(
    extent: int, number: int, size: int, stride: int, before: int, dilation: int
) -> list[_Phase]:
    """The phases of an axis of `extent` elements over which there are `number` windows.

    Element `i` (counted with the padding) has a part in window `(i - tap * dilation) / stride`
    where that is whole: for every `stride / gcd`-th tap, each `dilation / gcd` windows earlier.
    """
    found: list[_Phase] = []
    common = gcd(stride, dilation)
    for first in range(min(stride, extent)):
        place = first + before
        taps = [tap for tap in range(size) if (place - tap * dilation) % stride == 0]
        count = -(-(extent - first) // stride)
        if not taps:
            found.append(_Phase(first, (), 0, count, 1))
            continue
        start = (place - taps[-1] * dilation) // stride
        last = (place - taps[0] * dilation) // stride + count - 1
        found.append(
            _Phase(first, tuple(reversed(taps)), -start, last - (number - 1), dilation // common)
        )
    return found


def spread(y: Tensor, weight: Tensor, extents: Sequence[int], geometry: Geometry) -> Tensor:
    """The transpose of `correlate`: what each element of an image of these extents gets back."""
    groups = geometry.groups
    outputs, channels, *sizes = weight.shape
    kernel = weight.unflatten(0, (groups, outputs // groups)).transpose(1, 2).flatten(0, 1)
    strides, numbers = geometry.strides, y.shape[2:]
    axes = zip(extents, numbers, sizes, strides, geometry.before, geometry.dilations, strict=True)
    phases = list(product(*(_phases(*axis) for axis in axes)))
    shape = (y.shape[0], channels * groups, *extents)
    if len(phases) == 1 and _is_seen(phases[0], numbers) and max(strides) == 1:
        return _part(y, kernel, phases[0], groups)
    parts = [
        _part(y, kernel, chosen, groups) if _is_seen(chosen, numbers) else None for chosen in phases
    ]
    return _interleaved(parts, phases, strides, shape, y)


def _interleaved(
    parts: Sequence[Tensor | None],
    phases: Sequence[Sequence[_Phase]],
    strides: Sequence[int],
    shape: Sequence[int],
    like: Tensor,
) -> Tensor:
    """The image made of its phases: a sum of parts, each with zeros where the others are."""
    lead, extents = tuple(shape[:2]), tuple(shape[2:])
    rank = len(extents)
    counts = [-(-extent // stride) for extent, stride in zip(extents, strides, strict=True)]
    result: Tensor | None = None
    for part, chosen in zip(parts, phases, strict=True):
        if part is None:
            continue
        padding: list[int] = []
        for axis in reversed(range(rank)):
            first, stride = chosen[axis].first, strides[axis]
            padding += [first, stride - 1 - first, 0, counts[axis] - part.shape[2 + axis]]
        apart = part.reshape(*lead, *(n for extent in part.shape[2:] for n in (extent, 1)))
        apart = constant_pad_nd(apart, padding)
        result = apart if result is None else result + apart
    if result is None:
        return zeros(shape, dtype=like.dtype, device=like.device)
    whole = [count * stride for count, stride in zip(counts, strides, strict=True)]
    image = result.reshape(*lead, *whole)
    for axis, extent in enumerate(extents, 2):
        image = image.narrow(axis, 0, extent)
    return image


def _is_seen(phases: Sequence[_Phase], numbers: Sequence[int]) -> bool:
    """Whether any window sees these elements."""
    return all(
        phase.taps and -phase.before < number and -phase.after < number
        for phase, number in zip(phases, numbers, strict=True)
    )


def _part(y: Tensor, kernel: Tensor, phases: Sequence[_Phase], groups: int) -> Tensor:
    """The elements of one phase along each axis."""
    for axis, phase in enumerate(phases, 2):
        low, high = phase.taps[-1], phase.taps[0]
        step = phase.taps[0] - phase.taps[1] if len(phase.taps) > 1 else 1
        kernel = kernel[(slice(None),) * axis + (slice(low, high + 1, step),)]
    kernel = kernel.flip(tuple(range(2, kernel.ndim)))
    before, after = tuple(p.before for p in phases), tuple(p.after for p in phases)
    dilations = tuple(p.dilation for p in phases)
    geometry = Geometry((1,) * len(phases), before, after, dilations, groups)
    return correlate(y, kernel, geometry)


def _conjugate(x: Tensor) -> Tensor:
    return x.conj() if x.is_complex() else x


class Convolution(Function):
    """`correlate` on the tape."""

    _step_name = "ConvolutionBackward0"

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return correlate(x, weight, geometry)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        geometry, (to_image, to_kernel, _) = ctx.geometry, ctx.needs_input_grad
        image = kernel = None
        if to_image:
            image = Transposed.apply(gradient, _conjugate(weight), x.shape[2:], geometry)
        if to_kernel:
            kernel = kernel_gradient(x, gradient, weight.shape[2:], geometry)
        return image, kernel, None


class Transposed(Function):
    """`spread` on the tape."""

    _step_name = "ConvolutionBackward0"

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, weight: Tensor, extents: Sequence[int], geometry: Geometry
    ) -> Tensor:
        ctx.save_for_backward(y, weight)
        ctx.geometry = geometry
        return spread(y, weight, extents, geometry)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        y, weight = ctx.saved_tensors
        geometry, (to_result, to_kernel, *_) = ctx.geometry, ctx.needs_input_grad
        result = kernel = None
        if to_result:
            result = Convolution.apply(gradient, _conjugate(weight), geometry)
        if to_kernel:
            kernel = _conjugate(kernel_gradient(gradient, y, weight.shape[2:], geometry))
        return result, kernel, None, None
