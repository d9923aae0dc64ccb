"""Sums, means and maxima of bags of rows of a table.

In: indices and a table. Out: one row per bag. Exported by `picograd.nn.functional`.

>>> import picograd
>>> table = picograd.tensor([[1.0], [2.0], [4.0]])
>>> embedding_bag(picograd.tensor([[0, 2]]), table, mode="sum").tolist()
[[5.0]]
"""

from __future__ import annotations

import math

from picograd.frontend.counting import searchsorted
from picograd.frontend.creation import arange, ones, zeros
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor
from picograd.nn.weights import embedding


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The rows of each bag combined: a row of `input`, or its elements from each offset on."""
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
            f"for mode='sum' (got mode='{mode}'). Please open a feature request on GitHub."
        )
    if (input.ndim == 2) != (offsets is None):
        raise ValueError(
            "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of "
            "fixed length sequences; 1D input needs offsets"
        )
    place = input.device
    if input.ndim == 2:
        number = input.shape[0]
        bags = arange(number, device=place).unsqueeze(1).expand(*input.shape).flatten()
    else:
        assert offsets is not None
        number = offsets.shape[0] - bool(include_last_offset)
        positions = arange(input.shape[0], device=place)
        bags = searchsorted(offsets[:number], positions, right=True) - 1
    even = input.ndim == 2 and input.shape[1] > 0
    flat = input.flatten()
    rows = embedding(flat, weight, None, max_norm, norm_type, scale_grad_by_freq, sparse)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.flatten().unsqueeze(1)
    counted = ones(flat.shape[0], 1, dtype=rows.dtype, device=place)
    if padding_idx is not None:
        real = (flat != padding_idx % weight.shape[0]).unsqueeze(1)
        rows = choose(real, rows, -math.inf if mode == "max" else 0.0)
        counted = real.to(rows.dtype)
    if even:
        return _even(rows.unflatten(0, input.shape), counted.unflatten(0, input.shape), mode)
    empty = zeros(number, weight.shape[1], dtype=rows.dtype, device=place)
    if mode == "sum":
        return empty.index_add(0, bags, rows)
    members = zeros(number, 1, dtype=rows.dtype, device=place).index_add(0, bags, counted)
    if mode == "mean":
        return empty.index_add(0, bags, rows) / members.clamp(min=1)
    places = bags.unsqueeze(1).expand(*rows.shape)
    largest = empty.scatter_reduce(0, places, rows, "amax", include_self=False)
    return choose(members > 0, largest, 0.0)


def _even(rows: Tensor, counted: Tensor, mode: str) -> Tensor:
    """Bags of one length: (bags, length, width), and which of the rows count."""
    if mode == "sum":
        return rows.sum(1)
    members = counted.sum(1)
    if mode == "mean":
        return rows.sum(1) / members.clamp(min=1)
    return choose(members > 0, rows.amax(1), 0.0)
