"""t-SNE: handwritten digits laid out in the plane, alike near alike.

After van der Maaten and Hinton 2008. Each image attracts those that are near it in 64 dimensions
and is pushed away by all: the gradient of the difference between two tables of likeness, one of the
images (bell curves whose widths give every image the same number of neighbours) and one of the
plane (a curve with a heavy tail). All n^2 pairs are computed here, as matrices.

    python examples/tsne.py [--points 1000] [--steps 400] [--torch]

Prints the plane as text. Expect the nearest neighbour to be the same digit for about 95 % of the
points: in two dimensions nearly as often as in 64.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

import digits
import numpy as np

if "--torch" in sys.argv:  # the same program on PyTorch
    import torch
else:
    import picograd as torch

TINY = 1e-12


def squared_distances(x):
    """[N, D] points -> [N, N]."""
    squares = (x * x).sum(1)
    return (squares[:, None] - 2 * (x @ x.T) + squares).clamp(min=0)


def likeness(x, perplexity: float = 30.0, rounds: int = 40):
    """[N, N], its sum 1: how near the points are, as each of them sees it.

    Row i is a softmax of -beta_i d_ij^2. A bisection finds the beta of every row, all at once, for
    which the row's entropy is log(perplexity).
    """
    n = x.shape[0]
    itself = torch.eye(n, dtype=torch.bool)
    distances = squared_distances(x)
    distances = distances / distances.mean()
    low, high = torch.full((n, 1), 1e-3), torch.full((n, 1), 1e4)
    for _ in range(rounds):
        beta = (low * high).sqrt()
        p = (-beta * distances).masked_fill(itself, -math.inf).softmax(dim=1)
        entropy = -(p * (p + TINY).log()).sum(dim=1, keepdim=True)
        wide = entropy > math.log(perplexity)  # too many neighbours: a narrower curve
        low, high = torch.where(wide, beta, low), torch.where(wide, high, beta)
    return (p + p.T) / (2 * n)


def plane_likeness(y):
    """Likeness in the plane before it is divided by its sum: 1 / (1 + d^2), zero for itself."""
    return (1 / (1 + squared_distances(y))).fill_diagonal_(0)


def forces(p, y):
    """The gradient at y [N, 2]: attraction by p, repulsion by the plane's own likeness."""
    w = plane_likeness(y)
    pull = (p - w / w.sum()) * w
    return 4 * (pull.sum(dim=1, keepdim=True) * y - pull @ y)


def divergence(p, y):
    """Kullback and Leibler's: what the forces make smaller."""
    w = plane_likeness(y)
    return (p * ((p + TINY) / (w / w.sum() + TINY)).log()).sum()


def lay_out(p, y, steps: int, report: int = 100) -> tuple[object, list[float]]:
    """Gradient descent with momentum from y; attraction is four times as strong at first."""
    rate = max(p.shape[0] / 16, 10.0)
    speed, losses = torch.zeros_like(y), []
    for step in range(steps):
        early = step < min(steps // 4, 100)
        speed = (0.5 if early else 0.8) * speed - rate * forces(4 * p if early else p, y)
        y = y + speed
        y = y - y.mean(dim=0)
        if report and (step + 1) % report == 0:
            losses.append(divergence(p, y).item())
            print(f"step {step + 1:4}  divergence {losses[-1]:.3f}", flush=True)
    return y, losses


def same_neighbour(x, labels) -> float:
    """The share of points whose nearest other point has their label."""
    nearest = squared_distances(x).fill_diagonal_(math.inf).argmin(dim=1)
    return (labels[nearest] == labels).float().mean().item()


def drawing(y: np.ndarray, labels: np.ndarray, width: int = 90, height: int = 32) -> str:
    """The plane as text: each point is its digit."""
    low, high = y.min(axis=0), y.max(axis=0)
    places = ((y - low) / (high - low) * (width - 1, height - 1)).astype(int)
    lines = [[" "] * width for _ in range(height)]
    for (column, row), label in zip(places, labels):
        lines[row][column] = str(label)
    return "\n".join("".join(line).rstrip() for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--torch", action="store_true", help="run it with PyTorch instead")
    options = parser.parse_args()

    images, names = digits.load(options.points)
    x, labels = torch.tensor(images).flatten(1), torch.tensor(names)
    start = np.random.default_rng(0).standard_normal((len(x), 2)).astype(np.float32)
    started = time.perf_counter()
    y, _ = lay_out(likeness(x), torch.tensor(1e-2 * start), options.steps)
    print(f"{time.perf_counter() - started:.1f} s\n\n{drawing(y.cpu().numpy(), names)}\n")
    print(
        f"nearest neighbour is the same digit: {same_neighbour(x, labels):.1%} in 64 dimensions, "
        f"{same_neighbour(y, labels):.1%} in the plane"
    )


if __name__ == "__main__":
    main()
