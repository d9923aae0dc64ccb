"""A randomized SVD, and words that mean something alike.

The k largest singular values of an m x n matrix do not need the O(m n^2) of a full decomposition
(Halko, Martinsson and Tropp 2011): multiply by a few random vectors, and the results span the
directions in which the matrix is large; decompose the small matrix that is left on that basis.

The matrix counts which words occur in which paragraphs of the text that `help()` shows
(`pydoc_data.topics`): rows are words, columns paragraphs. Words that keep the same company lie in
the same direction of the first singular vectors (Deerwester et al. 1990).

    python examples/randomized_svd.py [--rank 24] [--torch]

Expect every round to halve the error of the singular values, in a fraction of the full time.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from pydoc_data.topics import topics

import numpy as np

if "--torch" in sys.argv:  # the same program on PyTorch
    import torch
else:
    import picograd as torch


def randomized_svd(a, rank: int, start, rounds: int = 2):
    """U [m, rank], S [rank], V [n, rank] of a [m, n]; `start` is random, [n, rank + a few].

    A round multiplies by A and its transpose once more: the singular values that are not wanted
    fade. Orthogonalising in between keeps what is small but wanted from drowning in rounding.
    """
    basis = torch.linalg.qr(a @ start).Q
    for _ in range(rounds):
        basis = torch.linalg.qr(a.T @ basis).Q
        basis = torch.linalg.qr(a @ basis).Q
    u, s, vh = torch.linalg.svd(basis.T @ a, full_matrices=False)
    return (basis @ u)[:, :rank], s[:rank], vh[:rank].T


def counts(words: int = 800) -> tuple[np.ndarray, list[str]]:
    """[words, paragraphs]: log(1 + count), weighed by how rare the word is; and the words."""
    text = "\n\n".join(topics[name] for name in sorted(topics))
    paragraphs = [re.findall(r"[a-z]{4,}", part.lower()) for part in text.split("\n\n")]
    paragraphs = [part for part in paragraphs if len(part) > 4]
    frequency = Counter(word for part in paragraphs for word in set(part))
    chosen = [word for word, _ in frequency.most_common(words + 60)[60:]]
    row = {word: n for n, word in enumerate(chosen)}
    matrix = np.zeros((len(chosen), len(paragraphs)), np.float32)
    for column, part in enumerate(paragraphs):
        for word, count in Counter(part).items():
            if word in row:
                matrix[row[word], column] = np.log1p(count)
    rarity = np.log(len(paragraphs) / np.array([frequency[word] for word in chosen]))
    return matrix * rarity[:, None].astype(np.float32), chosen


def neighbours(u, s, words: list[str], word: str, count: int = 5) -> list[str]:
    """The words whose directions are nearest to a word's."""
    places = torch.nn.functional.normalize(u * s, dim=1)
    likeness = places @ places[words.index(word)]
    return [words[n] for n in likeness.topk(count + 1).indices.tolist() if words[n] != word]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rank", type=int, default=24)
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    options = parser.parse_args()

    matrix, words = counts()
    a = torch.tensor(matrix)
    print(f"{a.shape[0]} words x {a.shape[1]} paragraphs")
    started = time.perf_counter()
    exact = torch.linalg.svdvals(a)
    exact_seconds = time.perf_counter() - started + 0 * exact[0].item()
    generator = np.random.default_rng(0)
    start = generator.standard_normal((a.shape[1], options.rank + 10)).astype(np.float32)
    for rounds in (0, 1, 2, 4):
        started = time.perf_counter()
        u, s, v = randomized_svd(a, options.rank, torch.tensor(start), rounds)
        error = ((s - exact[: options.rank]).abs() / exact[: options.rank]).max().item()
        seconds = time.perf_counter() - started
        missing = (torch.linalg.norm(a - (u * s) @ v.T) / torch.linalg.norm(a)).item()
        print(
            f"rank {options.rank}, {rounds} rounds: {seconds:6.2f} s (all singular values: "
            f"{exact_seconds:.2f} s), values off by {error:6.2%}, {missing:.1%} of the norm missing"
        )
    for word in ("import", "float", "loop", "inheritance", "await"):
        if word in words:
            print(f"{word:12}", ", ".join(neighbours(u, s, words, word)))


if __name__ == "__main__":
    main()
