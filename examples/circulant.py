"""Circulant and Toeplitz matrices multiply by FFT, and a blur that is learned through it.

Row i of a circulant matrix is its first column turned by i, so its product with a vector is a
circular convolution: the inverse transform of a product of transforms, O(n log n) instead of
O(n^2). A Toeplitz matrix (constant along its diagonals, the matrix of a convolution) is a corner of
a circulant one of twice the size.

Then the column itself is learned: given signals and what an unknown filter made of them, gradient
descent through the FFT finds the filter.

    python examples/circulant.py [--steps 200] [--torch]
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

if "--torch" in sys.argv:  # the same program on PyTorch
    import torch
else:
    import picograd as torch


def circulant(column):
    """The matrix [n, n]: C[i, j] = column[(i - j) mod n]."""
    n = column.shape[0]
    index = torch.arange(n)
    return column[(index[:, None] - index) % n]


def circulant_times(column, x):
    """`circulant(column) @ x` for every x of [..., n], by FFT."""
    spectrum = torch.fft.rfft(column) * torch.fft.rfft(x)
    return torch.fft.irfft(spectrum, n=x.shape[-1])


def toeplitz(column, row):
    """The matrix [n, n]: its first column, and its first row (row[0] is not looked at)."""
    n = column.shape[0]
    index = torch.arange(n)
    diagonals = torch.cat([column, row[1:].flip(0)])
    return diagonals[(index[:, None] - index) % (2 * n - 1)]


def toeplitz_times(column, row, x):
    """`toeplitz(column, row) @ x`: the upper half of a circulant product of twice the size."""
    n = column.shape[0]
    doubled = torch.cat([column, column[:1], row[1:].flip(0)])
    padded = torch.nn.functional.pad(x, (0, n))
    return circulant_times(doubled, padded)[..., :n]


def bell(n: int, width: float) -> np.ndarray:
    """A blur: a bell curve around 0 on a circle of n points, its sum 1."""
    distance = np.minimum(np.arange(n), n - np.arange(n))
    curve = np.exp(-0.5 * (distance / width) ** 2)
    return (curve / curve.sum()).astype(np.float32)


def learn(x, y, steps: int) -> tuple[object, list[float]]:
    """The column of which y is the circulant product with x, and the losses on the way."""
    column = torch.zeros(x.shape[-1], requires_grad=True)
    optimizer = torch.optim.Adam([column], lr=0.01)
    losses = []
    for step in range(steps):
        loss = (circulant_times(column, x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 50 == 0:
            print(f"step {step:4}  loss {losses[-1]:.6f}")
    return column.detach(), losses


def timed(function, *arguments) -> tuple[object, float]:
    """A result, and the seconds of the fastest of five calls (the first ones compile)."""
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        result = function(*arguments)
        result[0].item()
        seconds.append(time.perf_counter() - started)
    return result, min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    for n in (256, 1024, 4096):
        column, row, x = torch.tensor(rng.standard_normal((3, n), np.float32)).unbind()
        for name, build, fast, numbers in (
            ("circulant", circulant, circulant_times, (column,)),
            ("Toeplitz", toeplitz, toeplitz_times, (column, row)),
        ):
            expected, slow_seconds = timed(torch.matmul, build(*numbers), x)
            result, seconds = timed(fast, *numbers, x)
            error = ((result - expected).norm() / expected.norm()).item()
            print(
                f"{name:9} {n:5}: matrix {slow_seconds * 1e3:7.2f} ms, FFT {seconds * 1e3:6.2f} ms,"
                f" differ by {error:.1e}"
            )

    blur = torch.tensor(bell(256, 3.0))
    signals = torch.tensor(rng.standard_normal((32, 256), np.float32))
    found, _ = learn(signals, circulant_times(blur, signals), options.steps)
    print(
        f"the learned filter differs from the true one by {(found - blur).abs().max().item():.1e}"
    )


if __name__ == "__main__":
    main()
