"""`torch.nn.functional`: layers as functions.

In: tensors, weights and settings. Out: tensors. Activations and losses are in their own modules and
are exported here. Importable as `import picograd.nn.functional as F`.

>>> import picograd
>>> linear(picograd.tensor([1.0, 2.0]), picograd.tensor([[3.0, 4.0]])).item()
11.0
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from picograd.dtypes import bool_, int64
from picograd.frontend import primitives
from picograd.frontend.contractions import matmul
from picograd.frontend.einstein import bilinear
from picograd.frontend.elementwise import add, div, filled_like, mul, rsqrt, square, sub
from picograd.frontend.hostdata import values
from picograd.frontend.indexing import known_range, prepared
from picograd.frontend.movement import cat
from picograd.frontend.promotion import broadcast_to, type_name
from picograd.frontend.reductions import mean, positions
from picograd.frontend.selection import choose, clamp, threshold
from picograd.frontend.statistics import norm, var_mean
from picograd.frontend.statistics import softmax as _softmax
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Combiner, Op
from picograd.nn.activations import (
    celu,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    elu,
    gelu,
    glu,
    gumbel_softmax,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
)
from picograd.nn.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    cosine_similarity,
    cross_entropy,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    mse_loss,
    nll_loss,
    pairwise_distance,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
)

__all__ = [
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "embedding",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "group_norm",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "margin_ranking_loss",
    "mish",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "poisson_nll_loss",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "triplet_margin_loss",
]


# --- weights -------------------------------------------------------------------------------------


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input @ weight.T + bias`."""
    if weight.ndim == 2 and input.ndim and input._shape[-1] != weight._shape[1]:
        rows = math.prod(input._shape[:-1])
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input._shape[-1]} and "
            f"{weight._shape[1]}x{weight._shape[0]})"
        )
    turned = primitives.permute(weight, (1, 0)) if weight.ndim == 2 else weight
    result = matmul(input, turned)
    return result if bias is None else add(result, bias)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of `weight` that the indices name; row `padding_idx` gets no gradient."""
    if max_norm is not None or scale_grad_by_freq:
        raise NotImplementedError("embedding(): max_norm and scale_grad_by_freq are not supported")
    if input.dtype.name not in ("int64", "int32"):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got {type_name(input.dtype)} instead"
        )
    try:
        index, checked = prepared(input, weight._shape[0], 0, wrapping=False)
    except IndexError as error:
        raise IndexError(f"index out of range in self ({error})") from None
    if padding_idx is None:
        return primitives.gather(weight, (0,), (index,), checked)
    row = padding_idx + weight._shape[0] if padding_idx < 0 else padding_idx
    place = primitives.reshape(positions(weight, 0).narrow(1, 0, 1), (weight._shape[0], 1))
    fixed = primitives.elementwise(Op.EQ, place, filled_like(place, row))
    table = choose(fixed, weight.detach(), weight)
    return primitives.gather(table, (0,), (index,), checked)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A new last dimension with 1 at the class and 0 elsewhere (int64)."""
    if tensor.dtype is not int64:
        raise RuntimeError(
            f"one_hot is only applicable to index tensor of type LongTensor, got {tensor.dtype}"
        )
    bounds = known_range(tensor)
    if num_classes == -1:
        if not tensor.numel():
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        num_classes = int(values(tensor).max()) + 1
    if bounds is not None and bounds[1] >= bounds[0]:
        if bounds[0] < 0:
            raise RuntimeError("Class values must be non-negative.")
        if bounds[1] >= num_classes:
            raise RuntimeError(
                f"Class values must be smaller than num_classes ({bounds[1]} >= {num_classes})."
            )
    shape = (*tensor._shape, num_classes)
    classes = primitives.iota(num_classes, int64, tensor._storage.node.device)
    wide = broadcast_to(primitives.reshape(tensor, (*tensor._shape, 1)), shape)
    same = primitives.elementwise(Op.EQ, wide, broadcast_to(classes, shape))
    return primitives.cast(same, int64)


# --- normalisation -------------------------------------------------------------------------------


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else mul(x, weight)
    return x if bias is None else add(x, bias)


def _per_channel(x: Tensor, parameter: Tensor | None) -> Tensor | None:
    if parameter is None or x.ndim == 2:
        return parameter
    return parameter.reshape(tuple(-1 if n == 1 else 1 for n in range(x.ndim)))


def _standardised(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    """`x` less its mean over `dims`, divided by its (biased) standard deviation."""
    variance, average = var_mean(x, dims, correction=0, keepdim=True)
    return mul(sub(x, average), rsqrt(add(variance, eps)))


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
    x = _wide(input)
    small = float(ml_dtypes.finfo(input.dtype.numpy).eps) if eps is None else eps
    result = mul(x, rsqrt(add(mean(square(x), dims, keepdim=True), small)))
    result = primitives.cast(result, input.dtype)
    return result if weight is None else mul(result, weight)


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
        variance, average = var_mean(x, dims, correction=0, keepdim=True)
        if running_mean is not None and running_var is not None:
            unbiased = mul(variance.detach(), number / (number - 1))
            _blend(running_mean, average.detach(), momentum)
            _blend(running_var, unbiased, momentum)
        scale = rsqrt(add(variance, eps))
    else:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "Expected running_mean and running_var to be defined when training=False"
            )
        average = _per_channel(x, running_mean)
        variance = _per_channel(x, running_var)
        assert average is not None and variance is not None
        scale = rsqrt(add(variance, eps))
    result = _affine(mul(sub(x, average), scale), weight, bias)
    return primitives.cast(result, input.dtype)


def _blend(running: Tensor, fresh: Tensor, momentum: float) -> None:
    from picograd.frontend.grad_mode import no_grad

    with no_grad():
        flat = primitives.cast(fresh.reshape(running._shape), running.dtype)
        running._overwrite(add(mul(running, 1 - momentum), mul(flat, momentum)))


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
    grouped = x.reshape((x._shape[0], num_groups, -1))
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


# --- attention -----------------------------------------------------------------------------------


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`softmax(query @ key.T * scale + mask) @ value`."""
    if enable_gqa:
        times = query._shape[-3] // key._shape[-3]
        key, value = (x.repeat_interleave(times, dim=-3) for x in (key, value))
    factor = 1 / math.sqrt(query._shape[-1]) if scale is None else scale
    scores = mul(matmul(query, key.transpose(-2, -1)), factor)
    if is_causal:
        if attn_mask is not None:
            raise RuntimeError("Explicit attn_mask should not be set when is_causal=True")
        row, column = positions(scores, scores.ndim - 2), positions(scores, scores.ndim - 1)
        attn_mask = primitives.elementwise(Op.LE, column, row)
    if attn_mask is not None:
        if attn_mask.dtype is bool_:
            scores = choose(attn_mask, scores, -math.inf)
        else:
            scores = add(scores, attn_mask)
    weights = _softmax(scores, -1)
    if attn_mask is not None and attn_mask.dtype is bool_ and not is_causal:
        # A query that may look at nothing gets zeros, not NaN.
        seen = primitives.reduce(Combiner.MAX, attn_mask, (attn_mask.ndim - 1,))
        weights = choose(primitives.reshape(seen, (*seen._shape, 1)), weights, 0.0)
    return matmul(dropout(weights, dropout_p, dropout_p > 0), value)


# --- padding -------------------------------------------------------------------------------------


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """More (or, for negative numbers, fewer) elements at both ends of the last dimensions."""
    if len(pad) % 2 or len(pad) // 2 > input.ndim:
        raise RuntimeError(
            "Padding length must be divisible by 2 and at most twice the number of dimensions, got "
            f"{list(pad)} for a tensor of {input.ndim} dimensions"
        )
    pairs = [(int(pad[n]), int(pad[n + 1])) for n in range(0, len(pad), 2)]
    axes = [input.ndim - 1 - n for n in range(len(pairs))]
    if mode == "constant":
        return _pad_constant(input, axes, pairs, 0 if value is None else value)
    result = input
    for axis, (before, after) in zip(axes, pairs, strict=True):
        result = _pad_axis(result, axis, before, after, mode)
    return result


def _pad_constant(x: Tensor, axes: list[int], pairs: list[tuple[int, int]], value: float) -> Tensor:
    before, after = [0] * x.ndim, [0] * x.ndim
    for axis, (low, high) in zip(axes, pairs, strict=True):
        extent = x._shape[axis]
        if low + high + extent < 0:
            raise RuntimeError(
                f"The input size {extent}, plus negative padding {low} and {high} resulted in a "
                f"negative output size, in dimension {axis}"
            )
        start, stop = max(0, -low), extent - max(0, -high)
        if start or stop != extent:
            x = x.narrow(axis, start, stop - start)
        before[axis], after[axis] = max(0, low), max(0, high)
    return primitives.pad(x, tuple(before), tuple(after), value)


def _pad_axis(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """Padding by the tensor's own elements, picked by computed positions."""
    if not before and not after:
        return x
    extent = x._shape[axis]
    if mode == "reflect" and max(before, after) >= extent:
        raise RuntimeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but "
            f"got: padding ({before}, {after}) at dimension {axis} of input {list(x._shape)}"
        )
    if mode == "circular" and max(before, after) > extent:
        raise RuntimeError("Padding value causes wrapping around more than once.")
    parts = [x]
    if mode == "circular":
        head, tail = x.narrow(axis, extent - before, before), x.narrow(axis, 0, after)
    elif mode == "replicate":
        head = _repeated(x.narrow(axis, 0, 1), axis, before)
        tail = _repeated(x.narrow(axis, extent - 1, 1), axis, after)
    elif mode == "reflect":
        head = primitives.flip(x.narrow(axis, 1, before), (axis,))
        tail = primitives.flip(x.narrow(axis, extent - 1 - after, after), (axis,))
    else:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    parts = ([head] if before else []) + parts + ([tail] if after else [])
    return cat(parts, axis)


def _repeated(x: Tensor, axis: int, times: int) -> Tensor:
    return primitives.expand(x, (*x._shape[:axis], times, *x._shape[axis + 1 :]))
