"""Attention with several heads, its projections given as tensors.

In: queries, keys and values (L, N, E), weights and masks. Out: what is attended, and the weights.
Exported by `picograd.nn.functional`; the layer is `picograd.nn.MultiheadAttention`.

>>> import picograd
>>> x, one = picograd.ones(2, 1, 4), picograd.eye(4)
>>> multi_head_attention_forward(
...     x, x, x, 4, 2, picograd.cat([one] * 3), None, None, None, False, 0.0, one, None
... )[0].shape
torch.Size([2, 1, 4])
"""

from __future__ import annotations

import math

from picograd.dtypes import DType
from picograd.frontend.movement import cat
from picograd.frontend.statistics import softmax
from picograd.frontend.tensor import Tensor
from picograd.nn.activations import dropout
from picograd.nn.padding import pad
from picograd.nn.weights import linear


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """The attended values (L, N, E), and the weights (averaged over heads) if they are wanted."""
    width = query._shape[-1]
    if width != embed_dim_to_check or width % num_heads:
        raise AssertionError(
            f"was expecting embedding dimension of {embed_dim_to_check}, a multiple of {num_heads} "
            f"heads, but got {width}"
        )
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    batched = query.ndim == 3
    if not batched:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    separate = [q_proj_weight, k_proj_weight, v_proj_weight]
    if not use_separate_proj_weight:
        assert in_proj_weight is not None
        separate = list(in_proj_weight.chunk(3))  # type: ignore[attr-defined]
    biases = [None] * 3 if in_proj_bias is None else in_proj_bias.chunk(3)  # type: ignore[attr-defined]
    given = zip((query, key, value), separate, biases, strict=True)
    made = [linear(x, weight, bias) for x, weight, bias in given]  # type: ignore[arg-type]
    length, batch, _ = query._shape
    for n, extra in ((1, bias_k), (2, bias_v)):
        if extra is not None:
            made[n] = cat([made[n], extra.expand(1, batch, -1)])
    heads = [_heads(x, num_heads) for x in made]
    for n, static in ((1, static_k), (2, static_v)):
        if static is not None:
            heads[n] = static.unflatten(0, (batch, num_heads))  # type: ignore[attr-defined]
        if add_zero_attn:
            heads[n] = pad(heads[n], (0, 0, 0, 1))
    mask = _combined(attn_mask, key_padding_mask, heads[1]._shape[2], num_heads, query.dtype)
    scores = heads[0] @ heads[1].transpose(-2, -1) / math.sqrt(width // num_heads)
    weights = softmax(scores if mask is None else scores + mask, -1)
    weights = dropout(weights, dropout_p, training) if dropout_p else weights
    joined = (weights @ heads[2]).permute(2, 0, 1, 3).reshape((length, batch, -1))
    output = linear(joined, out_proj_weight, out_proj_bias)
    shown = weights.mean(1) if average_attn_weights else weights  # type: ignore[attr-defined]
    if not batched:
        output, shown = output.squeeze(1), shown.squeeze(0)
    return output, shown if need_weights else None


def _heads(x: Tensor, number: int) -> Tensor:
    """(L, N, E) -> (N, heads, L, E / heads)."""
    return x.unflatten(-1, (number, -1)).permute(1, 2, 0, 3)  # type: ignore[attr-defined]


def _combined(
    mask: Tensor | None, padding: Tensor | None, length: int, heads: int, dtype: DType
) -> Tensor | None:
    """Both masks as one to add, for keys that may have got more at their end."""
    total = None
    if mask is not None:
        total = _additive(mask, length, dtype)
        total = total.unflatten(0, (-1, heads)) if mask.ndim == 3 else total  # type: ignore[attr-defined]
    if padding is not None:
        own = _additive(padding, length, dtype)[:, None, None, :]
        total = own if total is None else total + own
    return total


def _additive(mask: Tensor, length: int, dtype: DType) -> Tensor:
    """A mask as numbers to add: -inf where a boolean one says no, 0 for the keys it lacks."""
    found = mask.to(dtype)
    if mask.dtype.is_bool:
        found = (found * 0).masked_fill(mask, -math.inf)  # type: ignore[attr-defined]
    return pad(found, (0, length - mask._shape[-1]))
