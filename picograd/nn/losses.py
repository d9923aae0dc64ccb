"""Loss functions of `picograd.nn.functional`.

In: predictions and targets. Out: a 0-d tensor, or one loss per sample with `reduction="none"`. All
work on logits where they can, so that nothing under- or overflows.

>>> import picograd
>>> mse_loss(picograd.tensor([1.0, 2.0]), picograd.tensor([1.0, 4.0])).item()
2.0
"""

from __future__ import annotations

from typing import Any

from picograd.dtypes import int64
from picograd.frontend import primitives
from picograd.frontend.autocasting import in_float32
from picograd.frontend.comparison import eq, lt
from picograd.frontend.elementwise import (
    abs,
    add,
    div,
    filled_like,
    mul,
    neg,
    rsub,
    sqrt,
    square,
    sub,
)
from picograd.frontend.gathering import along_dim
from picograd.frontend.hostdata import known_values
from picograd.frontend.indexing import known_range
from picograd.frontend.movement import broadcast_tensors
from picograd.frontend.naming import recorded_as
from picograd.frontend.reductions import mean, sum
from picograd.frontend.selection import choose, clamp
from picograd.frontend.stamps import stamped
from picograd.frontend.statistics import log_softmax, norm
from picograd.frontend.tensor import Tensor
from picograd.frontend.transcendental import exp, log, log1p, xlogy
from picograd.nn.activations import logsigmoid


def reduction_mode(reduction: str, size_average: bool | None, reduce: bool | None) -> str:
    """The reduction, where torch's old two flags may stand for it."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """The mean, the sum or the losses themselves."""
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f"{reduction} is not a valid value for reduction")


def _check_sizes(input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        import warnings

        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )


@recorded_as("MseLossBackward0")
@in_float32
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The squared difference."""
    _check_sizes(input, target)
    loss = square(sub(input, target))
    loss = loss if weight is None else mul(loss, weight)
    return reduced(loss, reduction_mode(reduction, size_average, reduce))


@in_float32
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The absolute difference."""
    _check_sizes(input, target)
    loss = abs(sub(input, target))
    loss = loss if weight is None else mul(loss, weight)
    return reduced(loss, reduction_mode(reduction, size_average, reduce))


@recorded_as("SmoothL1LossBackward0")
@in_float32
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Squared below `beta`, absolute above."""
    if beta < 0:
        raise ValueError("smooth_l1_loss does not support negative values for beta.")
    _check_sizes(input, target)
    difference = sub(input, target)
    size = abs(difference)
    if beta == 0:
        return reduced(size, reduction_mode(reduction, size_average, reduce))
    near = lt(size, beta)
    loss = choose(near, mul(square(difference), 0.5 / beta), sub(size, 0.5 * beta))
    return reduced(loss, reduction_mode(reduction, size_average, reduce))


@recorded_as("HuberLossBackward0")
@in_float32
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Squared below `delta`, linear above."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    _check_sizes(input, target)
    difference = sub(input, target)
    size = abs(difference)
    far = mul(sub(size, 0.5 * delta), delta)
    loss = choose(lt(filled_like(size, delta), size), far, mul(square(difference), 0.5))
    return reduced(loss if weight is None else mul(loss, weight), reduction)


# --- classification ------------------------------------------------------------------------------


def _class_axis(input: Tensor) -> int:
    return 0 if input.ndim == 1 else 1


def _check_classes(input: Tensor, target: Tensor, ignore_index: int) -> tuple[bool, bool]:
    """Torch's errors for targets that don't fit the input, and for known classes outside.

    Whether the classes are known, and whether none of them is negative or ignored.
    """
    if not input.ndim:
        raise RuntimeError("input tensor should be 1D or 2D")
    axis = _class_axis(input)
    expected = input._shape[:axis] + input._shape[axis + 1 :]
    if target._shape != expected:
        if input.ndim > 1 and target.ndim and target._shape[0] != input._shape[0]:
            raise ValueError(
                f"Expected input batch_size ({input._shape[0]}) to match target batch_size "
                f"({target._shape[0]})."
            )
        raise RuntimeError(
            f"Expected target size {list(expected)}, got {list(target._shape)} (input "
            f"{list(input._shape)})"
        )
    bounds = known_range(target)
    if bounds is not None and bounds[1] >= bounds[0]:
        for found in bounds:
            if found != ignore_index and not 0 <= found < input._shape[axis]:
                raise IndexError(f"Target {found} is out of bounds.")
    if bounds is None:
        return False, False
    return True, bounds[0] >= 0 and not bounds[0] <= ignore_index <= bounds[1]


@in_float32
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Minus the log-probability of the target class; classes stand along dim 1."""
    mode = reduction_mode(reduction, size_average, reduce)
    if target.dtype.name not in ("int64", "uint8", "int32"):
        raise RuntimeError(f"expected scalar type Long but found {target.dtype.name}")
    known = _check_classes(input, target, ignore_index)
    name = "NllLossBackward0" if input.ndim < 3 else "NllLoss2DBackward0"
    tensors = (input, target) if weight is None else (input, target, weight)
    return stamped(name, _nll_loss, tensors, mode, ignore_index, *known)


def _nll_loss(input: Tensor, target: Tensor, *options: Any) -> Tensor:
    """The loss; the options are the classes' weights, if they have any, and constants."""
    *weight, mode, ignore_index, checked, inside = options
    losses, weights = _picked(
        input, target, weight[0] if weight else None, ignore_index, checked, inside
    )
    if mode != "mean":
        return reduced(losses, mode)
    return mean(losses) if weights is None else div(sum(losses), sum(weights))


def _picked(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    checked: bool,
    inside: bool,
) -> tuple[Tensor, Tensor | None]:
    """Weighted losses, and their weights (None: all are 1); see `_check_classes`."""
    axis = _class_axis(input)
    classes = primitives.cast(target, int64)
    ignored = None
    if not inside and (checked or ignore_index != -100 or target.dtype.name != "uint8"):
        ignored = eq(classes, ignore_index)
        classes = choose(ignored, filled_like(classes, 0), classes)
    index = primitives.reshape(classes, (*classes._shape[:axis], 1, *classes._shape[axis:]))
    losses = neg(primitives.reshape(along_dim(input, axis, index, checked), target._shape))
    weights: Tensor | None = None
    if weight is not None:
        if weight._shape != (input._shape[axis],):
            raise RuntimeError(
                "weight tensor should be defined either for all "
                f"{input._shape[axis]} classes or no classes but got weight tensor of shape: "
                f"{list(weight._shape)}"
            )
        weights = primitives.gather(weight, (0,), (classes,), checked)
        losses = mul(losses, weights)
    if ignored is not None:
        losses = choose(ignored, filled_like(losses, 0), losses)
        one = filled_like(losses, 1) if weights is None else weights
        weights = choose(ignored, filled_like(losses, 0), one)
    return losses, weights


@in_float32
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """`nll_loss` of `log_softmax(input)`; the target holds classes or probabilities."""
    mode = reduction_mode(reduction, size_average, reduce)
    axis = _class_axis(input)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if target.dtype.is_float:
        return _soft_entropy(input, target, weight, mode, label_smoothing)
    known = _check_classes(input, target, ignore_index)
    logs = log_softmax(input, axis)
    if not label_smoothing:
        return nll_loss(logs, target, weight, ignore_index=ignore_index, reduction=mode)
    losses, weights = _picked(logs, target, weight, ignore_index, *known)
    smooth = neg(sum(_weighted(logs, weight, axis), axis))
    if weights is None:
        weights = filled_like(losses, 1)
    else:
        smooth = choose(eq(target, ignore_index), filled_like(smooth, 0), smooth)
    share = label_smoothing / input._shape[axis]
    both = add(mul(losses, 1 - label_smoothing), mul(smooth, share))
    if mode != "mean":
        return reduced(both, mode)
    return div(sum(both), sum(weights))


def _weighted(logs: Tensor, weight: Tensor | None, axis: int) -> Tensor:
    if weight is None:
        return logs
    shape = tuple(-1 if n == axis else 1 for n in range(logs.ndim))
    return mul(logs, weight.reshape(shape))


def _soft_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, mode: str, smoothing: float
) -> Tensor:
    if target._shape != input._shape:
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities of shape "
            f"{list(input._shape)}, got {list(target._shape)}"
        )
    axis = _class_axis(input)
    logs = _weighted(log_softmax(input, axis), weight, axis)
    if smoothing:
        target = add(mul(target, 1 - smoothing), smoothing / input._shape[axis])
    losses = neg(sum(mul(logs, target), axis))
    if mode != "mean":
        return reduced(losses, mode)
    return div(sum(losses), max(losses.numel(), 1))


# --- probabilities -------------------------------------------------------------------------------


@recorded_as("BinaryCrossEntropyBackward0")
@in_float32
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The cross entropy of probabilities; logarithms are bounded by -100."""
    if input.shape != target.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}) is deprecated. Please ensure they have the same size."
        )
    for name, given in (("input", input), ("target", target)):
        known = known_values(given)
        if known is not None and not ((known >= 0) & (known <= 1)).all():
            raise RuntimeError(f"all elements of {name} should be between 0 and 1")
    yes, no = clamp(log(input), min=-100), clamp(log1p(neg(input)), min=-100)
    loss = neg(add(mul(target, yes), mul(rsub(target, 1), no)))
    loss = loss if weight is None else mul(loss, weight)
    return reduced(loss, reduction_mode(reduction, size_average, reduce))


@recorded_as("BinaryCrossEntropyWithLogitsBackward0")
@in_float32
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """The binary cross entropy of `sigmoid(input)`."""
    if input.shape != target.shape:
        raise ValueError(
            f"Target size ({target.shape}) must be the same as input size ({input.shape})"
        )
    logs = logsigmoid(input)
    miss = mul(rsub(target, 1), input)
    if pos_weight is None:
        loss = sub(miss, logs)
    else:
        factor = add(mul(sub(pos_weight, 1), target), 1)
        loss = sub(miss, mul(factor, logs))
    loss = loss if weight is None else mul(loss, weight)
    return reduced(loss, reduction_mode(reduction, size_average, reduce))


@in_float32
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """The divergence of the target from `exp(input)`."""
    if log_target:
        loss = mul(exp(target), sub(target, input))
    else:
        loss = sub(xlogy(target, target), mul(target, input))
    mode = reduction_mode(reduction, size_average, reduce)
    if mode == "batchmean":
        return div(sum(loss), input._shape[0])
    return reduced(loss, mode)


# --- distances -----------------------------------------------------------------------------------


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along `dim`."""
    x1, x2 = broadcast_tensors(x1, x2)
    product = sum(mul(x1, x2), dim)
    first, second = clamp(norm(x1, 2, dim), min=eps), clamp(norm(x2, 2, dim), min=eps)
    return div(product, mul(first, second))


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of differences along the last dimension."""
    return norm(add(sub(x1, x2), eps), p, -1, keepdim)


@in_float32
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`1 - cos` of pairs that belong together, `cos - margin` of others."""
    sizes = mul(add(sum(square(input1), -1), 1e-12), add(sum(square(input2), -1), 1e-12))
    similarity = div(sum(mul(input1, input2), -1), sqrt(sizes))
    apart = choose(eq(target, -1), clamp(sub(similarity, margin), min=0), 0.0)
    loss = choose(eq(target, 1), rsub(similarity, 1), apart)
    return reduced(loss, reduction_mode(reduction, size_average, reduce))


@in_float32
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`max(0, -target * (input1 - input2) + margin)`."""
    loss = clamp(add(mul(neg(target), sub(input1, input2)), margin), min=0)
    return reduced(loss, reduction_mode(reduction, size_average, reduce))


@in_float32
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`input` where the target is 1, `max(0, margin - input)` where it is -1."""
    apart = choose(eq(target, 1), 0.0, clamp(rsub(input, margin), min=0))
    loss = add(apart, choose(eq(target, -1), 0.0, input))
    return reduced(loss, reduction_mode(reduction, size_average, reduce))


@in_float32
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """How much nearer the positive is than the negative, less the margin."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        other = pairwise_distance(positive, negative, p, eps)
        far = choose(lt(other, far), other, far)
    loss = clamp(add(sub(near, far), margin), min=0)
    return reduced(loss, reduction_mode(reduction, size_average, reduce))


@recorded_as("SoftMarginLossBackward0")
@in_float32
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """`log(1 + exp(-target * input))`."""
    loss = neg(logsigmoid(mul(target, input)))
    return reduced(loss, reduction_mode(reduction, size_average, reduce))
