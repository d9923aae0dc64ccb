"""Sparse matrix times vector by `gather` and `scatter_reduce`: which words hold a text together.

A matrix with m entries that are not zero needs m multiplications, however large it is: gather the
vector's element of every entry's column, multiply by the entry, and add up what falls into the same
row. Here the matrix joins words that stand next to each other in the text that `help()` shows
(`pydoc_data.topics`), some 3,000 words and 42,000 pairs. Its largest eigenvector, found by
multiplying again and again (PageRank: Page et al. 1999), tells which words are central
(Mihalcea and Tarau 2004).

    python examples/sparse.py [--torch]

Then the entries are learned: with `scatter_reduce`'s gradient, a vector's images are enough to
recover the matrix. Expect both forms of the product to agree, and the loss to fall towards zero.
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from itertools import pairwise
from pydoc_data.topics import topics
from typing import NamedTuple

import numpy as np

if "--torch" in sys.argv:  # the same program on PyTorch
    import torch
else:
    import picograd as torch

DAMPING = 0.85


class Sparse(NamedTuple):
    """A square matrix: entry n is values[n] at (rows[n], columns[n])."""

    size: int
    rows: object
    columns: object
    values: object

    def __matmul__(self, x):
        """The product with a vector [size]."""
        products = self.values * x.gather(0, self.columns)
        return torch.zeros(self.size).scatter_reduce(0, self.rows, products, "sum")

    def dense(self):
        """The matrix with its zeros (entries at one place are added)."""
        zeros = torch.zeros(self.size, self.size)
        return zeros.index_put((self.rows, self.columns), self.values, accumulate=True)


def neighbours() -> tuple[Sparse, list[str]]:
    """The matrix of words side by side, each column's sum 1; and the words."""
    text = " ".join(topics[name] for name in sorted(topics)).lower()
    sequence = re.findall(r"[a-z]{3,}", text)
    words = sorted(set(sequence))
    number = {word: n for n, word in enumerate(words)}
    pairs = Counter(pair for a, b in pairwise(sequence) for pair in ((a, b), (b, a)))
    rows = np.array([number[a] for a, _ in pairs])
    columns = np.array([number[b] for _, b in pairs])
    weights = np.array([*pairs.values()], np.float32)
    weights /= np.bincount(columns, weights, len(words)).astype(np.float32)[columns]
    entries = (torch.tensor(part) for part in (rows, columns, weights))
    return Sparse(len(words), *entries), words


def rank(matrix: Sparse, rounds: int = 60) -> tuple[object, list[float]]:
    """How often each word is met on a random walk; how much every round changed that."""
    share = torch.full((matrix.size,), 1 / matrix.size)
    changes = []
    for _ in range(rounds):
        following = (1 - DAMPING) / matrix.size + DAMPING * (matrix @ share)
        changes.append((following - share).abs().sum().item())
        share = following
        if changes[-1] < 1e-6:
            break
    return share, changes


def learn(matrix: Sparse, x, y, steps: int) -> tuple[object, list[float]]:
    """Entries for the places of a matrix with which it takes each x of [B, size] to y."""
    values = torch.zeros(matrix.values.shape, requires_grad=True)
    optimizer = torch.optim.Adam([values], lr=0.1)
    rows = matrix.rows.expand(len(x), -1)
    losses = []
    for _ in range(steps):
        products = values * x.gather(1, matrix.columns.expand(len(x), -1))
        found = torch.zeros(x.shape).scatter_reduce(1, rows, products, "sum")
        loss = (found - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return values.detach(), losses


def scattered(rng: np.random.Generator, size: int, entries: int) -> Sparse:
    """A random matrix."""
    places = rng.choice(size * size, entries, replace=False)
    values = rng.standard_normal(entries, np.float32)
    rows, columns = np.divmod(places, size)
    return Sparse(size, torch.tensor(rows), torch.tensor(columns), torch.tensor(values))


def main() -> None:
    matrix, words = neighbours()
    print(f"{matrix.size} words, {len(matrix.values)} pairs that stand side by side")
    share, changes = rank(matrix)
    print(f"{len(changes)} rounds until the ranks change by {changes[-1]:.1e}")
    best = share.topk(400).indices.tolist()
    print("central:", ", ".join([words[n] for n in best if len(words[n]) > 5][:16]))

    dense = matrix.dense()
    products = {"sparse": lambda: matrix @ share, "dense": lambda: dense @ share}
    for name, product in products.items():
        seconds = []
        for _ in range(5):  # the first calls compile
            started = time.perf_counter()
            product().sum().item()
            seconds.append(time.perf_counter() - started)
        print(f"{name:6} product {min(seconds) * 1e3:8.3f} ms")
    print(f"they differ by {((matrix @ share) - dense @ share).abs().max().item():.1e}")

    rng = np.random.default_rng(0)
    hidden = scattered(rng, 100, 1000)
    x = torch.tensor(rng.standard_normal((32, 100), np.float32))
    found, losses = learn(hidden, x, x @ hidden.dense().T, 300)
    error = (found - hidden.values).abs().max().item()
    print(f"learned entries: loss {losses[0]:.3f} -> {losses[-1]:.1e}, largest error {error:.1e}")


if __name__ == "__main__":
    main()
