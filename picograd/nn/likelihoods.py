"""Losses that are minus the logarithm of a distribution's likelihood, up to a constant.

In: predicted parameters and targets. Out: a 0-d tensor, or one loss per sample with
`reduction="none"`. Exported by `picograd.nn.functional`.

>>> import picograd
>>> poisson_nll_loss(picograd.tensor([0.0]), picograd.tensor([2.0])).item()
1.0
"""

from __future__ import annotations

import math

from picograd.frontend.autocasting import in_float32
from picograd.frontend.comparison import lt
from picograd.frontend.elementwise import add, div, filled_like, mul, square, sub
from picograd.frontend.selection import choose, clamp
from picograd.frontend.tensor import Tensor
from picograd.frontend.transcendental import exp, log, xlogy
from picograd.nn.losses import cross_entropy, reduced, reduction_mode
from picograd.nn.weights import linear


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: object = None,
) -> Tensor:
    """`cross_entropy` of a linear map of (N, features) or (features,), by classes.

    `options` say how torch saves memory; they don't change the value, and are not needed here.
    """
    classes, *places, features = linear_weight._shape
    if input.ndim not in (1, 2) or input._shape[-1] != features:
        raise RuntimeError(
            f"linear_cross_entropy: expected input of shape (N, {features}) or ({features},) for "
            f"linear_weight of shape {list(linear_weight._shape)}, got {list(input._shape)}"
        )
    if linear_bias is not None and linear_bias._shape != (classes, *places):
        raise RuntimeError(
            f"expected linear_bias shape {(classes, *places)}, got {linear_bias._shape}"
        )
    shape = (*input._shape[:-1], classes, *places)
    if ignore_index is not None and target._shape == shape:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    flat = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight.reshape(-1, features), flat).reshape(shape)
    return cross_entropy(
        logits,
        target,
        weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


@in_float32
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-likelihood of Poisson counts."""
    loss = (
        sub(exp(input), mul(target, input))
        if log_input
        else sub(input, mul(target, log(add(input, eps))))
    )
    if full:
        big = lt(filled_like(target, 1), target)
        safe = choose(big, target, filled_like(target, 1))
        stirling = add(sub(xlogy(safe, safe), safe), mul(log(mul(safe, 2 * math.pi)), 0.5))
        loss = add(loss, choose(big, stirling, 0.0))
    return reduced(loss, reduction_mode(reduction, size_average, reduce))


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-likelihood of normal numbers; `var` may lack the last dimension."""
    if isinstance(var, Tensor) and var._shape != input._shape:
        if var._shape == input._shape[:-1]:
            var = var.unsqueeze(-1)
        elif var._shape != (*input._shape[:-1], 1):
            raise ValueError(
                f"var is of incorrect size: {list(var._shape)} for {list(input._shape)}"
            )
    spread = add(var, sub(clamp(var.detach(), min=eps), var.detach()))
    loss = mul(add(log(spread), div(square(sub(input, target)), spread)), 0.5)
    return reduced(add(loss, 0.5 * math.log(2 * math.pi)) if full else loss, reduction)
