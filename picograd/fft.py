"""Discrete Fourier transforms with the names of `torch.fft`.

In: real or complex tensors of any size. Out: tensors (complex64 or complex128, float for the
inverse real transforms). The transforms run on the host through `numpy.fft`, as factorisations
do; the gradient of a transform is a transform the other way, so gradients can be differentiated.

>>> import picograd
>>> fft(picograd.tensor([1.0, 0.0, 0.0])).real.tolist()
[1.0, 1.0, 1.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from picograd.dtypes import DType
from picograd.frontend import primitives
from picograd.frontend.autocasting import raised
from picograd.frontend.conversion import complex, conj, real
from picograd.frontend.creation import Device, arange
from picograd.frontend.elementwise import filled_like
from picograd.frontend.function import Function
from picograd.frontend.hostdata import from_array, values
from picograd.frontend.movement import cat, replaced, roll
from picograd.frontend.promotion import as_complex, get_default_dtype, type_name, wrap_dim
from picograd.frontend.registry import writing_out
from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.node import leaf
from picograd.graph.ops import Shape
from picograd.runtime.buffer import empty

Sizes = Sequence[int] | None
Dims = int | Sequence[int] | None

# A transform and its adjoint are scaled alike: what one direction calls "backward" (scaled on the
# way back) the other calls "forward".
_OTHER_WAY = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def _on_host(
    function: Callable[..., np.ndarray], x: Tensor, dtype: DType, shape: Shape, **given: Any
) -> Tensor:
    """A transform of the host's contents; on the CPU its result lies in memory that is warm."""
    device = x._storage.node.device
    if device != "cpu" or not math.prod(shape):
        return from_array(np.asarray(function(values(x), **given), dtype.numpy), device)
    memory = empty(dtype, math.prod(shape))
    function(values(x), out=memory.array.reshape(shape), **given)
    return wrap(leaf(memory, shape))


def _float_of(dtype: DType) -> DType:
    """The type of the parts of a complex number."""
    from picograd.dtypes import float32, float64

    return float64 if dtype.bits == 128 else float32


class _Complex(Function):
    """Complex to complex over dims, forward or inverse."""

    _step_name = "FftC2CBackward0"

    @staticmethod
    def forward(ctx: Any, x: Tensor, dims: tuple[int, ...], norm: str, inverse: bool) -> Tensor:
        ctx.dims, ctx.norm, ctx.inverse = dims, norm, inverse
        run = np.fft.ifftn if inverse else np.fft.fftn
        return _on_host(run, x, x.dtype, x._shape, axes=dims, norm=norm)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        turned = _Complex.apply(gradient, ctx.dims, _OTHER_WAY[ctx.norm], not ctx.inverse)
        return turned, None, None, None


def _half_spectrum(x: Tensor, dims: tuple[int, ...], norm: str) -> Tensor:
    shape = replaced(x._shape, dims[-1], x._shape[dims[-1]] // 2 + 1)
    return _on_host(np.fft.rfftn, x, as_complex(x.dtype), shape, axes=dims, norm=norm)


class _Spectrum(Function):
    """Real to complex over dims, forward or inverse: half of it says all, the rest is mirrored."""

    _step_name = "FftR2CBackward0"

    @staticmethod
    def forward(ctx: Any, x: Tensor, dims: tuple[int, ...], norm: str, inverse: bool) -> Tensor:
        ctx.dims, ctx.norm, ctx.inverse = dims, norm, inverse
        *others, last = dims
        half = _half_spectrum(x, dims, _OTHER_WAY[norm] if inverse else norm)
        mirrored = half.narrow(last, 1, x._shape[last] - half._shape[last]).flip(dims)
        mirrored = roll(mirrored, (1,) * len(others), tuple(others)) if others else mirrored
        parts = (conj(half), mirrored) if inverse else (half, conj(mirrored))
        return cat(parts, last)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        turned = _Complex.apply(gradient, ctx.dims, _OTHER_WAY[ctx.norm], not ctx.inverse)
        return real(turned).clone(), None, None, None


class _FromReal(Function):
    """Real to complex over dims; the last of them keeps the half that says it all."""

    _step_name = "FftR2CBackward0"

    @staticmethod
    def forward(ctx: Any, x: Tensor, dims: tuple[int, ...], norm: str) -> Tensor:
        ctx.dims, ctx.norm, ctx.size = dims, norm, x._shape[dims[-1]]
        return _half_spectrum(x, dims, norm)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        whole = _resized(gradient, ctx.dims[-1], ctx.size)
        turned = _Complex.apply(whole, ctx.dims, _OTHER_WAY[ctx.norm], True)
        return real(turned).clone(), None, None


class _ToReal(Function):
    """Half of a Hermitian spectrum to a real tensor whose last dim has `size` elements."""

    _step_name = "FftC2RBackward0"

    @staticmethod
    def forward(ctx: Any, x: Tensor, dims: tuple[int, ...], norm: str, size: int) -> Tensor:
        ctx.dims, ctx.norm, ctx.size = dims, norm, size
        sizes = (*[x._shape[dim] for dim in dims[:-1]], size)
        shape = replaced(x._shape, dims[-1], size)
        dtype = _float_of(x.dtype)
        return _on_host(np.fft.irfftn, x, dtype, shape, s=sizes, axes=dims, norm=norm)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        turned = _FromReal.apply(gradient, ctx.dims, _OTHER_WAY[ctx.norm])
        # Every element but the first (and the middle one) stands for its mirror image too.
        count = ctx.size // 2 + 1
        weights = np.full(count, 2.0)
        weights[0] = 1.0
        if ctx.size % 2 == 0:
            weights[-1] = 1.0
        shape = [1] * gradient.ndim
        shape[ctx.dims[-1]] = count
        scale = from_array(
            weights.reshape(shape).astype(turned.dtype.numpy), turned._storage.node.device
        )
        return turned * scale, None, None, None


# --- arguments ------------------------------------------------------------------------------------


def _norm(norm: str | None) -> str:
    if norm is None:
        return "backward"
    if norm not in _OTHER_WAY:
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    return norm


def _resized(x: Tensor, dim: int, size: int) -> Tensor:
    """A dim cut off, or continued with zeros, to a size."""
    own = x._shape[dim]
    if size < own:
        return x.narrow(dim, 0, size)
    if size == own:
        return x
    none = (0,) * x.ndim
    after = tuple(size - own if n == dim else 0 for n in range(x.ndim))
    return primitives.pad(x, none, after)


def _checked(x: Tensor, name: str, real_only: bool = False) -> Tensor:
    """The input as a float or complex tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}"
        )
    if real_only and x.dtype.is_complex:
        raise RuntimeError(f"{name} expects a real input tensor, but got {type_name(x.dtype)}")
    if not x.dtype.is_inexact:
        return primitives.cast(x, get_default_dtype())
    x = raised(x)
    if x.dtype.is_float and x.dtype.bits < 32:
        raise RuntimeError(f"Unsupported dtype {type_name(x.dtype)}: convert with .float() first")
    return x


def _as_complex(x: Tensor) -> Tensor:
    return x if x.dtype.is_complex else complex(x, filled_like(x, 0))


def _arguments(x: Tensor, sizes: Sizes, dims: Dims) -> tuple[tuple[int, ...], list[int]]:
    """The dims of a transform over several of them and the size of each (-1: as it is)."""
    given = [dims] if isinstance(dims, int) else dims
    if given is None:
        count = x.ndim if sizes is None else len(sizes)
        if count > x.ndim:
            raise RuntimeError(
                f"Got shape with {count} values but input tensor only has {x.ndim} dimensions."
            )
        places = tuple(range(x.ndim - count, x.ndim))
    else:
        places = tuple(wrap_dim(int(dim), x.ndim) for dim in given)
    if len(set(places)) != len(places):
        raise RuntimeError("FFT dims must be unique")
    if sizes is None:
        return places, [-1] * len(places)
    if len(sizes) != len(places):
        raise RuntimeError(
            "When given, dim and shape arguments must have the same length, but got "
            f"{len(places)} dims and {len(sizes)} sizes"
        )
    return places, [int(size) for size in sizes]


def _fitted(x: Tensor, places: Sequence[int], sizes: Sequence[int]) -> Tensor:
    for dim, size in zip(places, sizes, strict=True):
        wanted = x._shape[dim] if size == -1 else size
        if wanted < 1:
            raise RuntimeError(f"Invalid number of data points ({wanted}) specified")
        x = _resized(x, dim, wanted)
    return x


def _plain(x: Tensor, s: Sizes, dim: Dims, norm: str | None, inverse: bool, name: str) -> Tensor:
    x = _checked(x, name)
    places, sizes = _arguments(x, s, dim)
    fitted = _fitted(x, places, sizes)
    if not places:
        return _as_complex(fitted).clone()
    step = _Complex if x.dtype.is_complex else _Spectrum
    return step.apply(fitted, places, _norm(norm), inverse)


def _half(x: Tensor, s: Sizes, dim: Dims, norm: str, name: str) -> Tensor:
    x = _checked(x, name, real_only=True)
    places, sizes = _arguments(x, s, dim)
    if not places:
        raise RuntimeError(f"{name} must transform at least one axis")
    return _FromReal.apply(_fitted(x, places, sizes), places, norm)


def _whole(x: Tensor, s: Sizes, dim: Dims, norm: str, name: str) -> Tensor:
    x = _as_complex(_checked(x, name))
    places, sizes = _arguments(x, s, dim)
    if not places:
        raise RuntimeError(f"{name} must transform at least one axis")
    size = 2 * (x._shape[places[-1]] - 1) if sizes[-1] == -1 else sizes[-1]
    if size < 1:
        raise RuntimeError(f"Invalid number of data points ({size}) specified")
    fitted = _fitted(x, places, [*sizes[:-1], size // 2 + 1])
    return _ToReal.apply(fitted, places, norm, size)


def _one(n: int | None) -> Sizes:
    return None if n is None else (n,)


# --- the transforms -------------------------------------------------------------------------------


@writing_out
def fft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The transform along one dim."""
    return _plain(input, _one(n), dim, norm, False, "fft")


@writing_out
def ifft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The inverse transform along one dim."""
    return _plain(input, _one(n), dim, norm, True, "ifft")


@writing_out
def fftn(input: Tensor, s: Sizes = None, dim: Dims = None, norm: str | None = None) -> Tensor:
    """The transform over several dims (all of them by default)."""
    return _plain(input, s, dim, norm, False, "fftn")


@writing_out
def ifftn(input: Tensor, s: Sizes = None, dim: Dims = None, norm: str | None = None) -> Tensor:
    """The inverse transform over several dims (all of them by default)."""
    return _plain(input, s, dim, norm, True, "ifftn")


@writing_out
def fft2(input: Tensor, s: Sizes = None, dim: Dims = (-2, -1), norm: str | None = None) -> Tensor:
    """The transform over two dims."""
    return _plain(input, s, dim, norm, False, "fft2")


@writing_out
def ifft2(input: Tensor, s: Sizes = None, dim: Dims = (-2, -1), norm: str | None = None) -> Tensor:
    """The inverse transform over two dims."""
    return _plain(input, s, dim, norm, True, "ifft2")


@writing_out
def rfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The half of a real signal's transform that says it all."""
    return _half(input, _one(n), dim, _norm(norm), "rfft")


@writing_out
def irfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The real signal of `n` elements (by default an even number) that has this `rfft`."""
    return _whole(input, _one(n), dim, _norm(norm), "irfft")


@writing_out
def rfftn(input: Tensor, s: Sizes = None, dim: Dims = None, norm: str | None = None) -> Tensor:
    """`rfft` along the last dim, `fft` along the others."""
    return _half(input, s, dim, _norm(norm), "rfftn")


@writing_out
def irfftn(input: Tensor, s: Sizes = None, dim: Dims = None, norm: str | None = None) -> Tensor:
    """The inverse of `rfftn`."""
    return _whole(input, s, dim, _norm(norm), "irfftn")


@writing_out
def rfft2(input: Tensor, s: Sizes = None, dim: Dims = (-2, -1), norm: str | None = None) -> Tensor:
    """`rfftn` over two dims."""
    return _half(input, s, dim, _norm(norm), "rfft2")


@writing_out
def irfft2(input: Tensor, s: Sizes = None, dim: Dims = (-2, -1), norm: str | None = None) -> Tensor:
    """The inverse of `rfft2`."""
    return _whole(input, s, dim, _norm(norm), "irfft2")


@writing_out
def hfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The real transform of half of a Hermitian signal."""
    turned = conj(_as_complex(_checked(input, "hfft")))
    return _whole(turned, _one(n), dim, _OTHER_WAY[_norm(norm)], "hfft")


@writing_out
def ihfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """The inverse of `hfft`."""
    return conj(_half(input, _one(n), dim, _OTHER_WAY[_norm(norm)], "ihfft"))


@writing_out
def hfftn(input: Tensor, s: Sizes = None, dim: Dims = None, norm: str | None = None) -> Tensor:
    """`hfft` along the last dim, `fft` along the others."""
    turned = conj(_as_complex(_checked(input, "hfftn")))
    return _whole(turned, s, dim, _OTHER_WAY[_norm(norm)], "hfftn")


@writing_out
def ihfftn(input: Tensor, s: Sizes = None, dim: Dims = None, norm: str | None = None) -> Tensor:
    """The inverse of `hfftn`."""
    return conj(_half(input, s, dim, _OTHER_WAY[_norm(norm)], "ihfftn"))


@writing_out
def hfft2(input: Tensor, s: Sizes = None, dim: Dims = (-2, -1), norm: str | None = None) -> Tensor:
    """`hfftn` over two dims."""
    return hfftn(input, s, dim, norm)


@writing_out
def ihfft2(input: Tensor, s: Sizes = None, dim: Dims = (-2, -1), norm: str | None = None) -> Tensor:
    """The inverse of `hfft2`."""
    return ihfftn(input, s, dim, norm)


# --- frequencies ----------------------------------------------------------------------------------


@writing_out
def fftfreq(
    n: int,
    d: float = 1.0,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """The frequencies of the elements of `fft` of n samples at distance d."""
    place = arange(n, dtype=dtype or get_default_dtype(), device=device)
    moved = place - (place >= (n + 1) // 2).to(place.dtype) * n
    result = (moved / (n * d)).detach()
    return result.requires_grad_(True) if requires_grad else result


@writing_out
def rfftfreq(
    n: int,
    d: float = 1.0,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """The frequencies of the elements of `rfft` of n samples at distance d."""
    place = arange(n // 2 + 1, dtype=dtype or get_default_dtype(), device=device)
    result = (place / (n * d)).detach()
    return result.requires_grad_(True) if requires_grad else result


def _rolled(x: Tensor, dim: Dims, shift: Callable[[int], int]) -> Tensor:
    dims = range(x.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    places = [wrap_dim(int(one), x.ndim) for one in dims]
    return roll(x, tuple(shift(x._shape[n]) for n in places), tuple(places)) if places else x


def fftshift(input: Tensor, dim: Dims = None) -> Tensor:
    """The frequency 0 moved to the middle."""
    return _rolled(input, dim, lambda size: size // 2)


def ifftshift(input: Tensor, dim: Dims = None) -> Tensor:
    """The inverse of `fftshift`."""
    return _rolled(input, dim, lambda size: math.ceil(size / 2))
