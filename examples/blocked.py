"""Softmax and attention in blocks: one pass over the keys, no matrix of scores.

Attention as its formula says it writes T x T scores to memory, reads them for the softmax, and
writes the weights. In blocks it needs no more than a tile of them. The trick is a softmax that can
be continued: with the largest score so far `m` and the sum of exponentials `l`, a new block scales
what was there by exp(m_old - m_new) and adds its own part. So work the kernels that are known as
flash attention (Dao et al. 2022); a causal mask skips the blocks above the diagonal altogether.

    python examples/blocked.py [--tokens 512] [--torch]

Expect differences near 1e-6 from the one-step forms, values and gradients, and the time of each.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

import numpy as np

if "--torch" in sys.argv:  # the same program on PyTorch
    import torch
else:
    import picograd as torch


def softmax(x, block: int = 128):
    """Softmax of the last axis: a pass for the largest and the sum, and one for the result."""
    top = torch.full((*x.shape[:-1], 1), -math.inf)
    total = torch.zeros_like(top)
    for part in x.split(block, dim=-1):
        new_top = torch.maximum(top, part.max(dim=-1, keepdim=True).values)
        total = total * (top - new_top).exp() + (part - new_top).exp().sum(dim=-1, keepdim=True)
        top = new_top
    return (x - top).exp() / total


def attention(q, k, v, block: int = 128, causal: bool = True):
    """[..., T, D] queries, keys, values -> [..., T, D], by tiles of [block, block] scores."""
    return torch.cat(
        [
            _rows(q[..., start : start + block, :], start, k, v, block, causal)
            for start in range(0, q.shape[-2], block)
        ],
        dim=-2,
    )


def _rows(q, start: int, k, v, block: int, causal: bool):
    """The result for the block of queries that begins at `start`."""
    scale = q.shape[-1] ** -0.5
    rows = start + torch.arange(q.shape[-2])
    top = torch.full((*q.shape[:-1], 1), -math.inf)
    total = torch.zeros_like(top)
    result = torch.zeros_like(q)
    end = start + q.shape[-2] if causal else k.shape[-2]
    for begin in range(0, end, block):
        keys, values = k[..., begin : begin + block, :], v[..., begin : begin + block, :]
        scores = q @ keys.transpose(-2, -1) * scale
        if causal and begin + block > start:  # this tile crosses the diagonal
            columns = begin + torch.arange(keys.shape[-2])
            scores = scores.masked_fill(rows[:, None] < columns, -math.inf)
        new_top = torch.maximum(top, scores.max(dim=-1, keepdim=True).values)
        keep, weights = (top - new_top).exp(), (scores - new_top).exp()
        total = total * keep + weights.sum(dim=-1, keepdim=True)
        result = result * keep + weights @ values
        top = new_top
    return result / total


def plain(q, k, v):
    """Causal attention with all scores at once."""
    tokens = q.shape[-2]
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    return (scores + torch.full((tokens, tokens), -math.inf).triu(1)).softmax(dim=-1) @ v


def inputs(shape: tuple[int, ...], seed: int = 0) -> list:
    rng = np.random.default_rng(seed)
    return [
        torch.tensor(rng.standard_normal(shape, np.float32), requires_grad=True) for _ in range(3)
    ]


def gradients(function, tensors: list) -> list:
    """The result of a function, and the gradients of the sum of its squares."""
    result = function(*tensors)
    return [result.detach(), *torch.autograd.grad(result.square().sum(), tensors)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    options = parser.parse_args()

    x = 10 * torch.randn(100, 1000)
    error = (softmax(x) - x.softmax(-1)).abs().max().item()
    print(f"softmax in blocks of 128: differs by {error:.1e}")

    tensors = inputs((1, 4, options.tokens, 32))
    expected = gradients(plain, tensors)
    print(
        f"attention of {options.tokens} tokens, {expected[0].shape[1]} heads, forward and backward:"
    )
    forms = {"all at once": plain}
    forms |= {f"blocks of {n}": lambda *qkv, n=n: attention(*qkv, block=n) for n in (64, 128, 256)}
    for name, function in forms.items():
        seconds = []
        for _ in range(5):  # the first calls compile
            started = time.perf_counter()
            found = gradients(function, tensors)
            error = max((a - b).abs().max().item() for a, b in zip(found, expected))
            seconds.append(time.perf_counter() - started)
        print(f"  {name:15} {min(seconds) * 1e3:8.1f} ms, differs by {error:.1e}", flush=True)


if __name__ == "__main__":
    main()
