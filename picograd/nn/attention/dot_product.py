"""Attention: `softmax(query @ key.T) @ value`.

In: (*, L, E), (*, S, E), (*, S, V). Out: (*, L, V). Exported by `picograd.nn.functional`.

Source: Vaswani et al. 2017, Attention Is All You Need.

>>> import picograd
>>> scaled_dot_product_attention(*[picograd.ones(1, 2, 4)] * 3).shape
torch.Size([1, 2, 4])
"""

from __future__ import annotations

import math
from typing import Any

from picograd.dtypes import bool_, float32
from picograd.frontend import primitives
from picograd.frontend.autocasting import in_fewer_bits
from picograd.frontend.composite import with_rule
from picograd.frontend.contractions import matmul
from picograd.frontend.elementwise import add, mul, sub
from picograd.frontend.grad_mode import no_grad, state
from picograd.frontend.naming import recorded_as
from picograd.frontend.reductions import fold, positions, spread
from picograd.frontend.selection import choose
from picograd.frontend.stamps import stamped
from picograd.frontend.statistics import softmax as _softmax
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Combiner, Op
from picograd.nn.activations import dropout


@recorded_as("ScaledDotProductFlashAttentionForCpuBackward0")
@in_fewer_bits
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
    if is_causal and attn_mask is not None:
        raise RuntimeError("Explicit attn_mask should not be set when is_causal=True")
    tensors = (query, key, value) if attn_mask is None else (query, key, value, attn_mask)
    if dropout_p:
        return _attended(*tensors, is_causal, factor, dropout_p)
    name = "ScaledDotProductFlashAttentionForCpuBackward0"
    return stamped(name, _attended, tensors, is_causal, factor, 0.0)


def _attended(query: Tensor, key: Tensor, value: Tensor, *others: Any) -> Tensor:
    """The result, of the mask (if there is one) and whether it is causal, factor and dropout."""
    *masks, is_causal, factor, dropout_p = others
    attn_mask = masks[0] if masks else None
    scores = mul(matmul(query, key.transpose(-2, -1)), factor)
    if is_causal:
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
    if dropout_p or weights._shape[:-2] != value._shape[:-2]:
        return matmul(dropout(weights, dropout_p, dropout_p > 0), value)
    return _mixed(scores, weights, value)


def _mixed(scores: Tensor, weights: Tensor, value: Tensor) -> Tensor:
    """`weights @ value`, of weights that are a softmax of the scores' rows, or nothing.

    What is the same for all scores of a row in their gradient, the sum of the weights times their
    gradients, is the result times its gradient: one pass over both, and no table.
    """
    with no_grad():
        result = matmul(weights, value)

    def rule(
        gradient: Tensor, weights: Tensor, value: Tensor, result: Tensor
    ) -> tuple[Tensor, Tensor]:
        back = matmul(gradient, value.transpose(-2, -1))
        if state.enabled:  # the result is saved as a number, the weights as what depends on scores
            products = mul(back, weights)
        else:
            wide = gradient.dtype if gradient.dtype.itemsize > 2 else float32
            products = mul(primitives.cast(gradient, wide), primitives.cast(result, wide))
        total = fold(Combiner.SUM, products, (products.ndim - 1,), False)
        moved = sub(back, spread(total, back, (back.ndim - 1,)))
        found = primitives.cast(mul(weights, moved), scores.dtype)
        return found, matmul(weights.transpose(-2, -1), gradient)

    name, saved = "ScaledDotProductAttentionBackward0", (weights, value, result)
    return with_rule(name, lambda: result, (scores, value), rule, saved, watched=(value,))
