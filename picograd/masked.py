"""Reductions in which a mask chooses the elements that count, with the names of `torch.masked`.

In: a tensor and a mask that broadcasts to it (True: the element counts; None: all do). Out: what
the plain function gives once each other element is replaced by the function's identity.

>>> import picograd
>>> x = picograd.tensor([1.0, 2.0, 3.0])
>>> sum(x, mask=picograd.tensor([True, False, True])).tolist()
4.0
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from picograd.dtypes import DType, bool_, float32, int64
from picograd.frontend import primitives, reductions, scans, sorting, statistics
from picograd.frontend.elementwise import filled_like
from picograd.frontend.promotion import wrap_dim, wrap_dims
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor
from picograd.frontend.transcendental import logaddexp as plain_logaddexp

Dims = int | tuple[int, ...] | None


def _filled(x: Tensor, mask: Tensor | None, value: float) -> Tensor:
    """The tensor with `value` wherever the mask is False."""
    if mask is None:
        return x
    kept = primitives.cast(mask, bool_).expand(x._shape)
    return choose(kept, x, filled_like(x, value))


def _cast(x: Tensor, dtype: DType | None) -> Tensor:
    return x if dtype is None or dtype is x.dtype else primitives.cast(x, dtype)


def _limit(x: Tensor, sign: int) -> float:
    """The largest number of the tensor's dtype, or with -1 the smallest."""
    if x.dtype.is_float:
        return sign * math.inf
    if x.dtype is bool_:
        return sign > 0
    signed = x.dtype.is_signed
    if sign < 0:
        return -(2 ** (x.dtype.bits - 1)) if signed else 0
    return 2 ** (x.dtype.bits - signed) - 1


def _every(dim: Dims, rank: int) -> tuple[int, ...]:
    return wrap_dims(None if dim == () else dim, rank)


def _reduction(name: str, plain: Callable[..., Tensor], identity: Callable[[Tensor], float]) -> Any:
    """The masked form of a reduction over dimensions."""

    def function(
        input: Tensor,
        dim: Dims = None,
        *,
        keepdim: bool | None = False,
        dtype: DType | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        filled = _filled(input, mask, identity(input))
        if name in ("sum", "prod") and dtype is not None:
            filled = _cast(filled, dtype)
        result = plain(filled, _every(dim, input.ndim), bool(keepdim))
        return _cast(result, dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`{name}` of the elements that the mask chooses."
    return function


def _along(name: str, plain: Callable[..., Tensor], identity: Callable[[Tensor], float]) -> Any:
    """The masked form of a function along one dimension that keeps the shape."""

    def function(
        input: Tensor, dim: int, *, dtype: DType | None = None, mask: Tensor | None = None
    ) -> Tensor:
        x = _cast(input, dtype)
        return plain(_filled(x, mask, identity(x)), wrap_dim(dim, x.ndim))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`{name}` of the elements that the mask chooses."
    return function


def _place(name: str, plain: Callable[..., Tensor], sign: int) -> Any:
    """The masked form of `argmax` or `argmin`."""

    def function(
        input: Tensor,
        dim: int | None = None,
        *,
        keepdim: bool | None = False,
        dtype: DType | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        found = plain(_filled(input, mask, _limit(input, sign)), dim, bool(keepdim))
        return _cast(found, dtype or input.dtype)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`{name}` among the elements that the mask chooses."
    return function


def _lowest(x: Tensor) -> float:
    return _limit(x, -1)


def _highest(x: Tensor) -> float:
    return _limit(x, 1)


def _log_of_sum(x: Tensor, dims: Dims, keepdim: bool) -> Tensor:
    """`logsumexp` in the tensor's own dtype, as torch.masked gives it for integers too."""
    return _cast(statistics.logsumexp(x, dims, keepdim), x.dtype)


sum = _reduction("sum", reductions.sum, lambda x: 0)
prod = _reduction("prod", reductions.prod, lambda x: 1)
amax = _reduction("amax", reductions.amax, _lowest)
amin = _reduction("amin", reductions.amin, _highest)
logsumexp = _reduction("logsumexp", _log_of_sum, _lowest)
argmax = _place("argmax", reductions.argmax, -1)
argmin = _place("argmin", reductions.argmin, 1)
cumsum = _along("cumsum", scans.cumsum, lambda x: 0)
cumprod = _along("cumprod", scans.cumprod, lambda x: 1)
softmax = _along("softmax", statistics.softmax, _lowest)
log_softmax = _along("log_softmax", statistics.log_softmax, _lowest)
softmin = _along("softmin", lambda x, dim: statistics.softmax(-x, dim), _highest)


def _count(x: Tensor, dims: tuple[int, ...], mask: Tensor | None) -> Tensor:
    """How many elements count, the dimensions kept."""
    return reductions.sum(_filled(filled_like(x, 1, int64), mask, 0), dims, True)


def _kept(result: Tensor, dims: tuple[int, ...], keepdim: bool | None) -> Tensor:
    return result if keepdim or not result.ndim else result.squeeze(dims)


def mean(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The mean of the elements that the mask chooses; nan where there are none."""
    x, dims = _cast(input, dtype), _every(dim, input.ndim)
    if not x.dtype.is_inexact:
        x = _cast(x, float32)
    total = reductions.sum(_filled(x, mask, 0), dims, True)
    return _kept(total / _count(x, dims, mask), dims, keepdim)


def median(
    input: Tensor,
    dim: int = -1,
    *,
    keepdim: bool = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The lower median of the elements that the mask chooses; nan where there are none."""
    x = input if input.dtype.is_float else _cast(input, float32)
    found = sorting.nanmedian(_filled(x, mask, math.nan), dim, keepdim)
    result: Tensor = found[0] if isinstance(found, tuple) else found
    if input.dtype.is_float:
        return result
    if bool((result != result).any()):  # type: ignore[attr-defined]
        raise ValueError(
            "masked median expects no fully masked out rows if dtype is not floating point"
        )
    return _cast(result, dtype or input.dtype)


def norm(
    input: Tensor,
    ord: float | None = 2.0,
    dim: Dims = None,
    *,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The vector norm of the elements that the mask chooses."""
    order = 2.0 if ord is None else float(ord)
    x = _filled(_cast(input, dtype), mask, math.inf if order == -math.inf else 0)
    return statistics.norm(x, order, _every(dim, input.ndim), bool(keepdim))


def normalize(
    input: Tensor,
    ord: float,
    dim: int,
    *,
    eps: float = 1e-12,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The chosen elements over their norm along a dimension; 0 elsewhere."""
    size = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return _filled(input, mask, 0) / size.clamp(min=eps)  # type: ignore[attr-defined]


def var(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The variance of the elements that the mask chooses."""
    if unbiased is not None and correction is not None:
        raise AssertionError("Only one of unbiased and correction may be given")
    lost = 1.0 if unbiased is None else float(unbiased)
    lost = lost if correction is None else float(correction)
    x, dims = _cast(input, dtype), _every(dim, input.ndim)
    if not x.dtype.is_inexact:
        x = _cast(x, float32)
    count = _count(x, dims, mask)
    moved = x - reductions.sum(_filled(x, mask, 0), dims, True) / count
    size = moved.abs() if x.dtype.is_complex else moved  # type: ignore[attr-defined]
    total = reductions.sum(_filled(size * size, mask, 0), dims, True)
    left = (_cast(count, total.dtype) - lost).clamp(min=0)  # type: ignore[attr-defined]
    return _kept(total / left, dims, keepdim)


def std(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool | None = False,
    dtype: DType | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The standard deviation of the elements that the mask chooses."""
    found = var(
        input, dim, unbiased, correction=correction, keepdim=keepdim, dtype=dtype, mask=mask
    )
    return found.sqrt()  # type: ignore[attr-defined]


def logaddexp(
    input: Tensor,
    other: Tensor,
    *,
    dtype: DType | None = None,
    input_mask: Tensor | None = None,
    other_mask: Tensor | None = None,
) -> Tensor:
    """`logaddexp`, to which a masked element adds nothing."""
    first = _filled(input, input_mask, _lowest(input))
    second = _filled(other, other_mask, _lowest(other))
    return _cast(plain_logaddexp(first, second), dtype or input.dtype)


__all__ = [
    "amax",
    "amin",
    "argmax",
    "argmin",
    "cumprod",
    "cumsum",
    "log_softmax",
    "logaddexp",
    "logsumexp",
    "mean",
    "median",
    "norm",
    "normalize",
    "prod",
    "softmax",
    "softmin",
    "std",
    "sum",
    "var",
]
