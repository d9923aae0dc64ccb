"""Attention from its formula, for one head and for many, and what it learns to look up.

`attend` is softmax(Q K^T / sqrt(D) + M) V for one head. `attend_many` adds what a language model
needs: a batch, several heads, projections of one input, a causal mask. Both are checked against
`scaled_dot_product_attention`. Then the second is trained on a task that cannot be done without
looking back: a sequence tells pairs (key, value), and its last token asks for one of the keys.

    python examples/attention.py [--steps 300] [--torch]

Expect the loss to fall from 2.8 (a guess among 16 values) to almost nothing.

Shapes
    B: batch   T: tokens   N: heads   D: width of a head   C = N D: width of a token
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

F = torch.nn.functional
KEYS, VALUES, HEADS, PAIRS = 16, 16, 2, 6


def attend(q, k, v, mask):
    """[T, D] queries, keys and values, [T, T] mask of 0 and -inf -> [T, D]."""
    scores = q @ k.T / math.sqrt(q.shape[1]) + mask
    # Softmax by hand: the largest score of a row is subtracted first, so that exp can't overflow.
    weights = (scores - scores.max(dim=-1, keepdim=True).values).exp()
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights @ v


def attend_many(x, wq, wk, wv, mask, heads: int):
    """[B, T, C] tokens, [C, C] projections, [B, N, T, T] mask -> [B, T, C]."""
    b, t, c = x.shape
    q, k, v = ((x @ w).view(b, t, heads, c // heads).transpose(1, 2) for w in (wq, wk, wv))
    scores = q @ k.transpose(-2, -1) / math.sqrt(c // heads) + mask
    weights = (scores - scores.max(dim=-1, keepdim=True).values).exp()
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return (weights @ v).transpose(1, 2).contiguous().view(b, t, c)


def causal(tokens: int):
    """[T, T]: a token sees itself and those before it."""
    return torch.full((tokens, tokens), -math.inf).triu(1)


# --- the task -------------------------------------------------------------------------------------


def questions(rng: np.random.Generator, count: int):
    """[B, T, C] tokens, each a one-hot key beside a one-hot value, the last a key; answers."""
    keys = rng.permuted(np.tile(np.arange(KEYS), (count, 1)), axis=1)[:, :PAIRS]
    values = rng.integers(0, VALUES, (count, PAIRS))
    asked = rng.integers(0, PAIRS, count)
    rows = np.arange(count)
    tokens = np.zeros((count, PAIRS + 1, KEYS + VALUES), np.float32)
    tokens[rows[:, None], np.arange(PAIRS), keys] = 1
    tokens[rows[:, None], np.arange(PAIRS), KEYS + values] = 1
    tokens[rows, PAIRS, keys[rows, asked]] = 1
    return torch.tensor(tokens), torch.tensor(values[rows, asked])


def weights(rng: np.random.Generator) -> list:
    """Projections to queries, keys, values, and from tokens to the values' logits."""
    c = KEYS + VALUES
    shapes = [(c, c), (c, c), (c, c), (c, VALUES)]
    scale = c**-0.5
    return [
        torch.tensor((scale * rng.standard_normal(shape)).astype(np.float32), requires_grad=True)
        for shape in shapes
    ]


def answers(parameters: list, tokens):
    """[B, VALUES] logits, read from the last token."""
    wq, wk, wv, wo = parameters
    b, t, _ = tokens.shape
    mask = causal(t).expand(b, HEADS, t, t)
    return attend_many(tokens, wq, wk, wv, mask, HEADS)[:, -1] @ wo


def train(parameters: list, rng: np.random.Generator, steps: int, batch: int = 128) -> list[float]:
    """Adam on fresh questions; the losses."""
    optimizer = torch.optim.Adam(parameters, lr=0.03)
    losses = []
    for step in range(steps):
        tokens, expected = questions(rng, batch)
        loss = F.cross_entropy(answers(parameters, tokens), expected)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 50 == 0:
            print(f"step {step:4}  loss {losses[-1]:.3f}", flush=True)
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    options = parser.parse_args()

    q, k, v = torch.randn(3, 64, 32).unbind()
    ours, library = attend(q, k, v, causal(64)), F.scaled_dot_product_attention
    theirs = library(q[None], k[None], v[None], is_causal=True)[0]
    print(f"one head: differs from the library's by {(ours - theirs).abs().max().item():.1e}")

    rng = np.random.default_rng(0)
    parameters = weights(rng)
    started = time.perf_counter()
    losses = train(parameters, rng, options.steps)
    seconds = time.perf_counter() - started
    tokens, expected = questions(rng, 1000)
    with torch.no_grad():
        right = (answers(parameters, tokens).argmax(1) == expected).float().mean().item()
    print(
        f"loss {losses[0]:.3f} -> {losses[-1]:.3f} in {seconds:.1f} s, {right:.1%} answered rightly"
    )


if __name__ == "__main__":
    main()
