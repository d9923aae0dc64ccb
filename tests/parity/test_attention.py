"""Attention that is computed by blocks of rows agrees with torch, and so do its gradients."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

# batch, heads, queries, keys, dimension, dimension of values
SIZES = {
    "even": (2, 2, 64, 64, 16, 16),
    "odd": (2, 3, 70, 77, 20, 33),
    "few_queries": (1, 2, 50, 333, 8, 40),
    "few_keys": (1, 2, 200, 90, 33, 65),
    "one_head": (1, 1, 193, 193, 128, 128),
}


def heads(m: ModuleType, q, k, v):
    return m.nn.functional.scaled_dot_product_attention(q, k, v)


def causal(m: ModuleType, q, k, v):
    return m.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def buffer(m: ModuleType, q, k, v):
    mask = m.tensor(np.tril(np.ones((q.shape[-2], k.shape[-2]), np.float32)))
    scores = (q @ k.transpose(-2, -1)) * (1 / math.sqrt(k.shape[-1]))
    return m.softmax(scores.masked_fill(mask == 0, -math.inf), dim=-1) @ v


def sliding(m: ModuleType, q, k, v):
    row, column = m.arange(q.shape[-2]).view(-1, 1), m.arange(k.shape[-2])
    outside = (column > row + 100) | (column < row - 150)
    return (q @ k.transpose(-2, -1)).masked_fill(outside, -math.inf).softmax(-1) @ v


def no_key_at_first(m: ModuleType, q, k, v):
    """The first rows see nothing: NaN."""
    mask = m.ones(q.shape[-2], k.shape[-2]).tril(-3).bool()
    return (q @ k.transpose(-2, -1)).masked_fill(~mask, -math.inf).softmax(-1) @ v


def nothing_seen(m: ModuleType, q, k, v):
    """Queries that may look at nothing get zeros here."""
    mask = m.arange(q.shape[-2]).view(-1, 1) % 5 > m.arange(k.shape[-2]) % 3
    return m.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def biased(m: ModuleType, q, k, v):
    bias = -0.1 * (m.arange(q.shape[-2]).view(-1, 1) - m.arange(k.shape[-2])).abs()
    scores = q @ k.transpose(-2, -1) + bias * m.arange(1, q.shape[1] + 1).view(-1, 1, 1)
    return scores.softmax(-1) @ v


def shared(m: ModuleType, q, k, v):
    """One head of keys and values for all queries."""
    return (q @ k[:, :1].transpose(-2, -1)).softmax(-1) @ v[:, :1]


def einsum(m: ModuleType, q, k, v):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    weights = m.einsum("bqhd,bkhd->bhqk", q, k).softmax(-1)
    return m.einsum("bhqk,bkhd->bqhd", weights, v)


def merged(m: ModuleType, q, k, v):
    """Heads side by side again, as a projection wants them."""
    found = m.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return found.transpose(1, 2).contiguous().view(q.shape[0], q.shape[2], -1).tanh()


CASES = [
    *((function, "odd") for function in (heads, causal, buffer, sliding, biased, einsum, merged)),
    *((causal, size) for size in SIZES if size != "odd"),
    *((sliding, size) for size in ("few_keys", "one_head")),
    *((function, "even") for function in (no_key_at_first, nothing_seen, shared)),
]


def compute(m: Any, function: Any, size: str, dtype: str) -> list[np.ndarray]:
    """The result and the gradients of the three inputs."""
    batch, number, rows, columns, depth, width = SIZES[size]
    generator = np.random.default_rng(5)
    shapes = ((rows, depth), (columns, depth), (columns, width))
    leaves = [
        m.tensor(generator.standard_normal((batch, number, *shape)).astype(np.float32))
        .to(getattr(m, dtype))
        .requires_grad_()
        for shape in shapes
    ]
    result = function(m, *leaves)
    (result * result.detach().cos()).sum().backward()
    return [x.detach().double().numpy() for x in (result, *(leaf.grad for leaf in leaves))]


@pytest.mark.parametrize(("function", "size"), CASES)
def test_results_and_gradients(function: Any, size: str) -> None:
    compare(function, size, "float32", 2e-5)


@pytest.mark.parametrize("function", [heads, causal])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("bfloat16", 0.04)])
def test_other_dtypes(function: Any, dtype: str, tolerance: float) -> None:
    compare(function, "odd", dtype, tolerance)


def compare(function: Any, size: str, dtype: str, tolerance: float) -> None:
    want = compute(torch, function, size, dtype)
    for one, other in zip(compute(picograd, function, size, dtype), want, strict=True):
        scale = np.nanmax(np.abs(other), initial=1e-9)
        np.testing.assert_allclose(one / scale, other / scale, rtol=0, atol=tolerance)


def test_second_gradients() -> None:
    found = []
    for m in (picograd, torch):
        generator = np.random.default_rng(7)
        leaves = [
            m.tensor(generator.standard_normal((2, 64, 8)).astype(np.float32)).requires_grad_()
            for _ in range(3)
        ]
        q, k, v = leaves
        result = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        first = m.autograd.grad(result.square().sum(), leaves, create_graph=True)
        sum(g.square().sum() for g in first).backward()
        found.append([leaf.grad.numpy() for leaf in leaves])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4 * np.abs(other).max())


def test_dropout_keeps_the_forward_pass_and_the_gradient_in_step() -> None:
    """The same numbers are drawn again backward: the gradient of the values is what the weights
    were, so values times their gradient sum to the result."""
    q, k, v = (picograd.randn(2, 64, 8) for _ in range(3))
    v.requires_grad_()
    function = picograd.nn.functional.scaled_dot_product_attention
    result = function(q, k, v, dropout_p=0.3)
    result.sum().backward()
    assert v.grad is not None
    assert (v * v.grad).sum().item() == pytest.approx(result.sum().item(), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("size", [(2, 0, 64), (2, 64, 0), (0, 64, 64)])
def test_empty(size: tuple[int, int, int]) -> None:
    batch, rows, columns = size
    shapes = []
    for m in (picograd, torch):
        q, k, v = m.zeros(batch, rows, 8), m.zeros(batch, columns, 8), m.zeros(batch, columns, 8)
        result = (q @ k.transpose(-2, -1)).softmax(-1) @ v
        shapes.append((tuple(result.shape), result.sum().item()))
    assert shapes[0] == shapes[1]
