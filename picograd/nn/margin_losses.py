"""Losses that ask for a margin between labels, and the distances that such losses use.

In: predictions and targets. Out: as in `picograd.nn.losses`. Exported by `picograd.nn.functional`.

>>> import picograd
>>> multi_margin_loss(picograd.tensor([0.0, 0.5]), picograd.tensor(1)).item()
0.25
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from picograd.frontend.autocasting import in_float32
from picograd.frontend.interop import tensor
from picograd.frontend.movement import stack
from picograd.frontend.naming import recorded_as
from picograd.frontend.selection import choose, clamp
from picograd.frontend.statistics import norm
from picograd.frontend.tensor import Tensor
from picograd.nn.activations import logsigmoid
from picograd.nn.losses import pairwise_distance, reduced, reduction_mode

Distance = Callable[[Tensor, Tensor], Tensor]


@recorded_as("MultiMarginLossBackward0")
@in_float32
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """How far the other classes come within the margin of the right one, averaged over classes."""
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    input = input if input.ndim else input.reshape(1)
    classes = input.shape[-1]
    place = target.reshape(input.shape[:-1]).unsqueeze(-1)
    short = clamp(input - input.gather(-1, place) + margin, min=0)
    other = tensor(np.arange(classes)) != place
    loss = choose(other, short if p == 1 else short.square(), 0.0)
    if weight is not None:
        loss = loss * weight[place]
    return reduced(loss.sum(-1) / classes, reduction_mode(reduction, size_average, reduce))


@recorded_as("MultilabelMarginLossBackward0")
@in_float32
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """As `multi_margin_loss` with several right classes: those in `target` before its first -1."""
    if input.shape != target.shape:
        raise RuntimeError(
            f"inconsistent target size {list(target.shape)} for input of size {list(input.shape)}"
        )
    classes = input.shape[-1] if input.ndim else 1
    x, labels = (t if t.ndim else t.reshape(1) for t in (input, target))
    given = (labels < 0).cumsum(-1) == 0
    labels = labels.clamp(min=0)
    same = labels.unsqueeze(-1) == tensor(np.arange(classes))
    right = (same & given.unsqueeze(-1)).any(-2)
    short = clamp(x.unsqueeze(-2) - x.gather(-1, labels).unsqueeze(-1) + 1, min=0)
    counted = given.unsqueeze(-1) & ~right.unsqueeze(-2)
    loss = choose(counted, short, 0.0).sum((-2, -1)) / classes
    return reduced(loss, reduction_mode(reduction, size_average, reduce))


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The binary cross entropy of every class, averaged over classes."""
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    loss = loss if weight is None else loss * weight
    return reduced(loss.mean(-1), reduction_mode(reduction, size_average, reduce))


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Distance | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` by any distance."""
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        other = distance(positive, negative)
        far = choose(other < far, other, far)
    return reduced(clamp(near - far + margin, min=0), reduction)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm of the differences of every two rows, (0, 1), (0, 2), ... first."""
    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    first, second = np.triu_indices(input.shape[0], 1)
    rows = stack([input.index_select(0, tensor(i, device=input.device)) for i in (first, second)])
    return norm(rows[0] - rows[1], p, -1)
