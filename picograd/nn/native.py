"""Normalisations that also return their statistics, and what backward passes are made of.

In: as `picograd.nn.functional`'s functions of the same name. Out: the result and the mean and the
reciprocal deviation, as torch's functions under a layer's surface give them. The package
exports them under these names.

>>> import picograd
>>> out, mean, scale = native_layer_norm(picograd.tensor([[1.0, 3.0]]), (2,), None, None, 0.0)
>>> out.tolist(), mean.tolist(), scale.tolist()
([[-1.0, 1.0]], [[2.0]], [[1.0]])
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.dtypes import DType
from picograd.frontend import primitives
from picograd.frontend.elementwise import add, rsqrt
from picograd.frontend.reductions import sum as total
from picograd.frontend.registry import writing_out
from picograd.frontend.statistics import var_mean
from picograd.frontend.tensor import Tensor
from picograd.nn.activations import dropout
from picograd.nn.normalisation import batch_norm, group_norm, layer_norm

Three = tuple[Tensor, Tensor, Tensor]


def _statistics(
    x: Tensor, dims: tuple[int, ...], eps: float, keepdim: bool
) -> tuple[Tensor, Tensor]:
    variance, mean = var_mean(x, dims, correction=0, keepdim=keepdim)
    return mean, rsqrt(add(variance, eps))


def native_layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Three:
    """`layer_norm`, the means, and the reciprocal deviations."""
    result = layer_norm(input, normalized_shape, weight, bias, eps)
    dims = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    return result, *_statistics(input.detach(), dims, eps, True)


def native_group_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    eps: float,
) -> Three:
    """`group_norm`, the means, and the reciprocal deviations, (N, groups)."""
    result = group_norm(input, group, weight, bias, eps)
    grouped = input.reshape((N, group, C * HxW // group))
    return result, *_statistics(grouped, (2,), eps, False)


@writing_out
def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Three:
    """`batch_norm`, and in training the channels' means and reciprocal deviations."""
    nothing = input.detach().new_zeros((0,))
    mean, scale = nothing, nothing
    if training:
        dims = tuple([n for n in range(input.ndim) if n != 1])
        mean, scale = _statistics(input.detach(), dims, eps, False)
    result = batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    return result, mean, scale


def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """`dropout`, and where elements were kept."""
    ones = dropout(input.detach() * 0 + 1, p, train is not False)
    return input * ones, ones != 0  # type: ignore[return-value]


def _softmax_backward_data(
    grad_output: Tensor, output: Tensor, dim: int, input_dtype: DType
) -> Tensor:
    """The gradient of softmax, given that of its result and the result."""
    product = grad_output * output
    gradient = product - output * total(product, dim, keepdim=True)
    return primitives.cast(gradient, input_dtype)


def _log_softmax_backward_data(
    grad_output: Tensor, output: Tensor, dim: int, input_dtype: DType
) -> Tensor:
    """The gradient of log_softmax, given that of its result and the result."""
    shares = output.exp()  # type: ignore[attr-defined]
    gradient = grad_output - shares * total(grad_output, dim, keepdim=True)
    return primitives.cast(gradient, input_dtype)
