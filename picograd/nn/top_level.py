"""Functions of `nn.functional` whose arguments torch calls differently at the top of the package.

In: tensors. Out: what the functions of the same names in `nn.functional` give. `picograd/later.py`
shows them there.

>>> import picograd
>>> picograd.dropout(picograd.ones(2), 0.5, train=False)
tensor([1., 1.])
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.frontend.random import Generator
from picograd.frontend.tensor import Tensor
from picograd.nn import functional


def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`dropout` of `nn.functional`."""
    return functional.dropout(input, p, train)


def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`alpha_dropout` of `nn.functional`."""
    return functional.alpha_dropout(input, p, train)


def feature_alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`feature_alpha_dropout` of `nn.functional`."""
    return functional.feature_alpha_dropout(input, p, train)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """`layer_norm` of `nn.functional`, with a switch that changes nothing."""
    return functional.layer_norm(input, normalized_shape, weight, bias, eps)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """`rrelu` of `nn.functional`, with a generator for the slopes."""
    return functional.rrelu(input, lower, upper, training, generator=generator)
