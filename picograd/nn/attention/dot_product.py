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

from picograd.dtypes import bool_
from picograd.frontend import primitives
from picograd.frontend.autocasting import in_fewer_bits
from picograd.frontend.contractions import matmul
from picograd.frontend.elementwise import add, mul
from picograd.frontend.naming import recorded_as
from picograd.frontend.reductions import positions
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
    return matmul(dropout(weights, dropout_p, dropout_p > 0), value)
