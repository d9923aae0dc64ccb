"""Variance, norms and the softmax family: reductions that are composed of others.

In: float tensors and dimensions. Out: tensors. All are two-pass or shifted by the maximum, so that
nothing overflows that need not, and `sqrt`'s gradient at 0 is 0 where torch's is.

>>> import picograd
>>> picograd.softmax(picograd.tensor([0.0, 0.0]), dim=0)
tensor([0.5000, 0.5000])
"""

from __future__ import annotations

import math

from picograd.dtypes import DType
from picograd.frontend import primitives
from picograd.frontend.comparison import isfinite, ne
from picograd.frontend.composite import with_rule
from picograd.frontend.elementwise import (
    abs,
    add,
    div,
    filled_like,
    mul,
    neg,
    pow,
    reciprocal,
    square,
    sub,
)
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import Number, get_default_dtype, type_name, wrap_dim, wrap_dims
from picograd.frontend.reductions import (
    Dims,
    amax,
    amin,
    count,
    fold,
    restore,
    safe_sqrt,
    spread,
)
from picograd.frontend.registry import operation
from picograd.frontend.selection import choose
from picograd.frontend.stamps import stamped
from picograd.frontend.tensor import Tensor
from picograd.frontend.transcendental import exp, log
from picograd.graph.ops import Combiner, Op


def _moments(
    x: Tensor, dim: Dims | bool, unbiased: bool | None, correction: Number | None, name: str
) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Mean (dims removed), variance (dims removed) and the dims."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if not x.dtype.is_inexact:
        raise RuntimeError(f"{name}: only support floating point and complex dtypes")
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    dims = wrap_dims(dim, x.ndim)
    number = count(x, dims)
    total = fold(Combiner.SUM, x, dims, False)
    average = div(total, number) if number else mul(total, math.nan)
    centred = sub(x, spread(average, x, dims) if x.ndim else average)
    if x.dtype.is_complex:
        parts = [primitives.elementwise(op, centred) for op in (Op.REAL, Op.IMAG)]
        squares = add(square(parts[0]), square(parts[1]))
    else:
        squares = square(centred)
    scatter = fold(Combiner.SUM, squares, dims, False)
    freedom = max(number - float(correction.real), 0.0)
    if freedom:
        return average, div(scatter, freedom), dims
    return average, div(scatter, filled_like(scatter, 0)), dims


def _kept(result: Tensor, x: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    return restore(result, x, dims) if keepdim and x.ndim else result


@operation(out=True)
@recorded_as("VarBackward0")
def var(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
) -> Tensor:
    """The variance; divided by `n - correction` (1 by default)."""
    _, variance, dims = _moments(input, dim, unbiased, correction, "var")
    return _kept(variance, input, dims, keepdim)


@operation(out=True)
@recorded_as("StdBackward0")
def std(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
) -> Tensor:
    """The standard deviation; the variance is divided by `n - correction` (1 by default)."""
    _, variance, dims = _moments(input, dim, unbiased, correction, "std")
    return _kept(safe_sqrt(variance), input, dims, keepdim)


@operation()
@recorded_as("VarMeanBackward0")
def var_mean(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
) -> tuple[Tensor, Tensor]:
    """Variance and mean."""
    average, variance, dims = _moments(input, dim, unbiased, correction, "var_mean")
    return _kept(variance, input, dims, keepdim), _kept(average, input, dims, keepdim)


@operation()
@recorded_as("StdMeanBackward0")
def std_mean(
    input: Tensor,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Number | None = None,
) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean."""
    variance, average = var_mean(input, dim, unbiased, keepdim, correction=correction)
    return safe_sqrt(variance), average


def _nuclear(x: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """The sum of the singular values of the matrices in two dimensions."""
    moved = x.movedim(dims, (-2, -1))  # type: ignore[attr-defined]
    total = fold(Combiner.SUM, moved.svd(compute_uv=False).S, (moved.ndim - 2,), False)
    for dim in sorted(dims) if keepdim else ():
        total = total.unsqueeze(dim)
    return total


@operation(method=False, name="norm")
def _norm_function(
    input: Tensor,
    p: Number | str | None = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    out: Tensor | None = None,
    dtype: DType | None = None,
) -> Tensor:
    """`Tensor.norm`, with `out` where torch's function has it."""
    result = norm(input, p, dim, keepdim, dtype)
    return result if out is None else out._store_out(result)


@operation(function=False)
@recorded_as("LinalgVectorNormBackward0")
def norm(
    input: Tensor,
    p: Number | str | None = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    dtype: DType | None = None,
) -> Tensor:
    """The vector p-norm over `dim` ("fro" is 2); its gradient at 0 is 0."""
    x = input if dtype is None or dtype is input.dtype else primitives.cast(input, dtype)
    if not x.dtype.is_inexact:
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{type_name(x.dtype)}"
        )
    if p == "nuc":
        return _nuclear(x, (0, 1) if dim is None else wrap_dims(dim, x.ndim), keepdim)
    order = 2.0 if p is None or isinstance(p, (str, complex)) else float(p)
    dims = wrap_dims(dim, x.ndim)
    if order == 2 and x.dtype.is_float:
        return safe_sqrt(fold(Combiner.SUM, square(x), dims, keepdim))
    size = abs(x)
    if order == math.inf:
        return amax(size, dims, keepdim)
    if order == -math.inf:
        return amin(size, dims, keepdim)
    if order == 0:
        # The size itself where it is 0, so that the result depends on the input, with slope 0.
        return fold(Combiner.SUM, choose(ne(size, 0), 1.0, size), dims, keepdim)
    if order == 1:
        return fold(Combiner.SUM, size, dims, keepdim)
    if order == 2:
        return safe_sqrt(fold(Combiner.SUM, square(size), dims, keepdim))
    zero = primitives.elementwise(Op.EQ, size, filled_like(size, 0))
    powers = choose(zero, 0.0 if order > 0 else math.inf, pow(choose(zero, 1.0, size), order))
    total = fold(Combiner.SUM, powers, dims, keepdim)
    nothing = primitives.elementwise(Op.EQ, total, filled_like(total, 0))
    return choose(nothing, 0.0, pow(choose(nothing, 1.0, total), 1 / order))


@operation(tensors=True)
def dist(input: Tensor, other: Tensor, p: Number = 2) -> Tensor:
    """The p-norm of the difference."""
    return norm(sub(input, other), p)


@operation(inplace=True, out=True)
@recorded_as("RenormBackward0")
def renorm(input: Tensor, p: Number, dim: int, maxnorm: float) -> Tensor:
    """Each slice along `dim` scaled down to a p-norm of at most `maxnorm`."""
    axis = wrap_dim(dim, input.ndim)
    size = norm(input, p, tuple(n for n in range(input.ndim) if n != axis), keepdim=True)
    too_long = primitives.elementwise(Op.LT, filled_like(size, maxnorm), size)
    return mul(input, choose(too_long, mul(reciprocal(add(size, 1e-7)), maxnorm), 1.0))


# --- softmax and its relatives -------------------------------------------------------------------


def shift(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The maximum over `dims` as a constant of autograd, repeated to the shape of `x`."""
    fixed = x.detach()
    return spread(fold(Combiner.MAX, fixed, dims, False), x, dims) if x.ndim else fixed


@operation(out=True)
@recorded_as("LogsumexpBackward0")
def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """`log(sum(exp(input)))` without overflow."""
    x = input if input.dtype.is_inexact else primitives.cast(input, get_default_dtype())
    dims = wrap_dims(dim, x.ndim)
    if x.dtype.is_complex:
        return _kept(log(fold(Combiner.SUM, exp(x), dims, False)), x, dims, keepdim)
    top = fold(Combiner.MAX, x.detach(), dims, False)
    top = choose(isfinite(top), top, 0.0)
    moved = sub(x, spread(top, x, dims) if x.ndim else top)
    total = add(log(fold(Combiner.SUM, exp(moved), dims, False)), top)
    return _kept(total, x, dims, keepdim)


def _float_input(x: Tensor, dtype: DType | None, name: str) -> Tensor:
    if dtype is not None and dtype is not x.dtype:
        x = primitives.cast(x, dtype)
    if not x.dtype.is_float:
        raise NotImplementedError(
            f"\"{name}_lastdim_kernel_impl\" not implemented for '{type_name(x.dtype)}'"
        )
    return x


@operation(out=True)
def softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """`exp(input)` divided by its sum over `dim`."""
    x = _float_input(input, dtype, "softmax")
    return stamped("SoftmaxBackward0", _softmax, (x,), wrap_dim(dim, x.ndim))


def _softmax(x: Tensor, dim: int) -> Tensor:
    dims = (dim,)

    def compute() -> Tensor:
        weights = exp(sub(x, shift(x, dims)))
        return div(weights, _total(weights, dims))

    def rule(gradient: Tensor, result: Tensor) -> tuple[Tensor]:
        weighted = mul(gradient, result)
        return (sub(weighted, mul(result, _total(weighted, dims))),)

    return with_rule("SoftmaxBackward0", compute, (x,), rule)


@operation(out=True)
def log_softmax(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """The logarithm of softmax, exact where softmax underflows."""
    x = _float_input(input, dtype, "log_softmax")
    return stamped("LogSoftmaxBackward0", _log_softmax, (x,), wrap_dim(dim, x.ndim))


def _log_softmax(x: Tensor, dim: int) -> Tensor:
    dims = (dim,)

    def compute() -> Tensor:
        moved = sub(x, shift(x, dims))
        return sub(moved, log(_total(exp(moved), dims)))

    def rule(gradient: Tensor, result: Tensor) -> tuple[Tensor]:
        return (sub(gradient, mul(exp(result), _total(gradient, dims))),)

    return with_rule("LogSoftmaxBackward0", compute, (x,), rule)


def _total(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The sum over `dims`, repeated to the shape of `x`."""
    return spread(fold(Combiner.SUM, x, dims, False), x, dims) if x.ndim else x


@operation(out=True)
def softmin(input: Tensor, dim: int, dtype: DType | None = None) -> Tensor:
    """`softmax(-input)`."""
    return softmax(neg(input), dim, dtype)
