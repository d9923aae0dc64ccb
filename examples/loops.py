"""Loops over elements, and the few tensor operations that say the same.

Two exercises: squared distances from two rows to all rows, and a transposed matrix of squares with
zeros on its diagonal. Each is written as Python loops, which touch one number at a time, and by
matching shapes: a loop over an index becomes an axis, a sum over it a reduction, an `if` a mask.

    python examples/loops.py [--torch]
"""

from __future__ import annotations

import sys
import time

import numpy as np

if "--torch" in sys.argv:  # the same program on PyTorch
    import torch
else:
    import picograd as torch


# --- A: r[k, i] = sum over j of (x[k, j] - x[i, j])^2, for k in {0, 1} ----------------------------


def distances_by_loops(x):
    rows, columns = x.shape
    r = torch.zeros((2, rows), dtype=x.dtype)
    for i in range(rows):
        for j in range(columns):
            for k in range(2):
                r[k, i] += (x[k, j] - x[i, j]) ** 2
    return r


def distances(x):
    """[2, 1, columns] minus [rows, columns] is [2, rows, columns]; its last axis is summed."""
    return ((x[:2, None] - x) ** 2).sum(2)


def distances_transposed_late(x):
    """The same numbers from [rows, 2, columns]; the transposition moves no memory."""
    return ((x[:2] - x[:, None]) ** 2).sum(2).transpose(0, 1)


def distances_by_products(x):
    """|a - b|^2 = |a|^2 - 2 ab + |b|^2: one matrix product instead of a cube of differences."""
    squares = (x**2).sum(1)
    return squares[:2, None] - 2 * x[:2] @ x.T + squares


# --- B: r[j, i] = x[i, j]^2 where i != j, else 0 --------------------------------------------------


def squares_by_loops(x):
    rows, columns = x.shape
    r = torch.empty((columns, rows), dtype=x.dtype)
    for i in range(rows):
        for j in range(columns):
            r[j, i] = (i != j) * x[i, j] ** 2
    return r


def squares_by_index(x):
    """Writes zeros at (0, 0), (1, 1), ... of a copy, through a pair of index tensors."""
    x = x.clone()
    diagonal = torch.arange(min(x.shape))
    x[diagonal, diagonal] = 0
    return (x**2).T


def squares_by_mask(x):
    """Asks every element whether it is on the diagonal; writes nothing in place."""
    rows, columns = x.shape
    off_diagonal = torch.arange(rows)[:, None] != torch.arange(columns)
    return torch.where(off_diagonal, x**2, 0).T


TASKS = {
    "A: squared distances": (
        distances_by_loops,
        (distances, distances_transposed_late, distances_by_products),
    ),
    "B: squares off the diagonal": (squares_by_loops, (squares_by_index, squares_by_mask)),
}


def timed(function, x) -> tuple[object, float]:
    """A function's result, and the seconds of the fastest of five calls (the first compile)."""
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        result = function(x)
        result.sum().item()  # nothing is computed before a number is asked for
        seconds.append(time.perf_counter() - started)
    return result, min(seconds)


def main() -> None:
    x = torch.tensor(np.random.default_rng(42).random((30, 40)))
    for task, (loops, others) in TASKS.items():
        expected, slow = timed(loops, x)
        print(f"{task}\n  {loops.__name__:27}{slow * 1e3:9.2f} ms")
        for function in others:
            result, seconds = timed(function, x)
            same = torch.allclose(result, expected)
            print(
                f"  {function.__name__:27}{seconds * 1e3:9.2f} ms  {slow / seconds:7.0f} times as "
                f"fast, {'the same numbers' if same else 'OTHER NUMBERS'}"
            )


if __name__ == "__main__":
    main()
