"""Normalisation: mean 0 and variance 1 over chosen axes, then scaled and shifted.

In: tensors and the axes that a name implies. Out: tensors of the same shape; statistics of running
means are changed in place. Exported by `picograd.nn.functional`.

>>> import picograd
>>> layer_norm(picograd.tensor([1.0, 3.0]), (2,)).round().tolist()
[-1.0, 1.0]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from picograd.frontend import primitives
from picograd.frontend.composite import with_rule
from picograd.frontend.elementwise import add, div, mul, rsqrt, square, sub
from picograd.frontend.naming import recorded_as
from picograd.frontend.reductions import fold, mean
from picograd.frontend.selection import clamp
from picograd.frontend.stamps import stamped
from picograd.frontend.statistics import norm, var_mean
from picograd.frontend.tape import Gradients
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Combiner


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else mul(x, weight)
    return x if bias is None else add(x, bias)


def _per_channel(x: Tensor, parameter: Tensor | None) -> Tensor | None:
    if parameter is None or x.ndim == 2:
        return parameter
    return parameter.reshape(tuple(-1 if n == 1 else 1 for n in range(x.ndim)))


def _moments(x: Tensor, dims: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor]:
    """The mean over `dims`, and one over the (biased) standard deviation."""
    variance, average = var_mean(x, dims, correction=0, keepdim=True)
    return average, rsqrt(add(variance, eps))


def _standardised(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    """`x` less its mean over `dims`, divided by its (biased) standard deviation."""
    average, scale = _moments(x, dims, eps)
    return mul(sub(x, average), scale)


def _wide(x: Tensor) -> Tensor:
    """16-bit floats as float32: statistics are computed in float32."""
    from picograd.dtypes import float32

    return primitives.cast(x, float32) if x.dtype.itemsize == 2 else x


def _check_normalized(input: Tensor, normalized_shape: Sequence[int]) -> tuple[int, ...]:
    shape = tuple(normalized_shape)
    if not shape or input._shape[-len(shape) :] != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape "
            f"[*, {', '.join(map(str, shape))}], but got input of size{list(input._shape)}"
        )
    return tuple(range(input.ndim - len(shape), input.ndim))


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 over the last dimensions, then scale and shift."""
    dims = _check_normalized(input, normalized_shape)
    tensors = tuple([x for x in (input, weight, bias) if x is not None])
    name = "NativeLayerNormBackward0"
    return stamped(name, _layer_norm, tensors, dims, eps, weight is not None)


def _layer_norm(input: Tensor, *others: Any) -> Tensor:
    *parameters, dims, eps, scaled = others
    weight = parameters.pop(0) if scaled else None
    bias = parameters[0] if parameters else None
    result = _affine(_standardised(_wide(input), dims, eps), weight, bias)
    return primitives.cast(result, input.dtype)


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """Divided by the root of the mean square over the last dimensions, then scaled."""
    import ml_dtypes

    dims = _check_normalized(input, normalized_shape)
    small = float(ml_dtypes.finfo(input.dtype.numpy).eps) if eps is None else eps
    tensors = (input,) if weight is None else (input, weight)
    return stamped("MulBackward0", _rms_norm, tensors, dims, small)


def _rms_norm(input: Tensor, *others: Any) -> Tensor:
    *weights, dims, small = others
    weight = weights[0] if weights else None
    x = _wide(input)
    result = mul(x, rsqrt(add(mean(square(x), dims, keepdim=True), small)))
    result = primitives.cast(result, input.dtype)
    return result if weight is None else primitives.cast(mul(result, weight), input.dtype)


@recorded_as("NativeBatchNormBackward0")
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 per channel; training updates the running statistics in place."""
    if not input.numel():
        return input.clone()
    x = _wide(input)
    weight, bias = _per_channel(x, weight), _per_channel(x, bias)
    dims = tuple(n for n in range(x.ndim) if n != 1)
    if training:
        number = x.numel() // x._shape[1]
        if number == 1:
            raise ValueError(
                "Expected more than 1 value per channel when training, got input size "
                f"{input.shape}"
            )
        if running_mean is not None and running_var is not None:
            variance, average = var_mean(x.detach(), dims, correction=0, keepdim=True)
            _blend(running_mean, average, momentum)
            _blend(running_var, mul(variance, number / (number - 1)), momentum)
        return primitives.cast(_over_channels(x, weight, bias, dims, eps), input.dtype)
    if running_mean is None or running_var is None:
        raise RuntimeError(
            "Expected running_mean and running_var to be defined when training=False"
        )
    average, variance = _per_channel(x, running_mean), _per_channel(x, running_var)
    assert average is not None and variance is not None
    result = _affine(mul(sub(x, average), rsqrt(add(variance, eps))), weight, bias)
    return primitives.cast(result, input.dtype)


def _over_channels(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, dims: tuple[int, ...], eps: float
) -> Tensor:
    """Each channel standardised over `dims`, scaled and shifted; `weight` and `bias` have one
    number for each channel.

    Its gradient needs two sums over a channel, which are those of scale and shift, and then one
    pass; through the steps of mean and variance it would take several.
    """
    given = tuple([one for one in (x, weight, bias) if one is not None])

    def rule(gradient: Tensor, x: Tensor, *others: Tensor) -> Gradients:
        average, scale = _moments(x, dims, eps)
        even = mul(sub(x, average), scale)
        shift = fold(Combiner.SUM, gradient, dims, keepdim=True)
        spread = fold(Combiner.SUM, mul(gradient, even), dims, keepdim=True)
        share = shift.numel() / x.numel()
        rest = sub(sub(gradient, mul(shift, share)), mul(even, mul(spread, share)))
        factor = scale if weight is None else mul(scale, others[0])
        sums = [one for one, used in ((spread, weight), (shift, bias)) if used is not None]
        found = [mul(rest, factor), *sums]
        return [
            primitives.cast(one.reshape(source._shape), source.dtype)
            for one, source in zip(found, given, strict=True)
        ]

    def compute() -> Tensor:
        return _affine(_standardised(x, dims, eps), weight, bias)

    return with_rule("NativeBatchNormBackward0", compute, given, rule, given)


def _blend(running: Tensor, fresh: Tensor, momentum: float) -> None:
    from picograd.frontend.grad_mode import no_grad

    with no_grad():
        flat = primitives.cast(fresh.reshape(running._shape), running.dtype)
        running._overwrite(add(mul(running, 1 - momentum), mul(flat, momentum)))


@recorded_as("NativeGroupNormBackward0")
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 per sample and group of channels."""
    if input.ndim < 2 or input._shape[1] % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(input._shape)} and num_groups={num_groups}"
        )
    x = _wide(input)
    grouped = x.reshape((x._shape[0], num_groups, math.prod(x._shape[1:]) // num_groups))
    result = _standardised(grouped, (2,), eps).reshape(x._shape)
    result = _affine(result, _per_channel(x, weight), _per_channel(x, bias))
    return primitives.cast(result, input.dtype)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Mean 0 and variance 1 per sample and channel; running statistics average over samples."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if running_mean is not None and running_var is not None:
        spread, average = var_mean(_wide(input).detach(), tuple(range(2, input.ndim)))
        _blend(running_mean, mean(average, 0), momentum)
        _blend(running_var, mean(spread, 0), momentum)
    result = _standardised(_wide(input), tuple(range(2, input.ndim)), eps)
    result = _affine(result, _per_channel(input, weight), _per_channel(input, bias))
    return primitives.cast(result, input.dtype)


def normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """Divided by the p-norm along a dimension (at least eps)."""
    result = div(input, clamp(norm(input, p, dim, keepdim=True), min=eps))
    return result if out is None else out._store_out(result)
