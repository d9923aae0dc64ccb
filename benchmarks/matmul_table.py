"""One product of two matrices, from Python's loops to the machine's peak, in one table.

    python benchmarks/matmul_table.py [--size 4096] [--rounds 3] [--markdown docs/performance.md]

Python's loops are timed on a few elements of the result and extrapolated (about an hour for 4096);
NumPy, PyTorch (where installed) and picograd compute the whole. Peers take turns, so that a busy
machine is as busy for all; the table gives medians. Every result is checked against NumPy's.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1]))  # a checkout need not be installed

import report
from run import wait_for_idle_workers


def pure_python(a: np.ndarray, b: np.ndarray, seconds: float = 2.0) -> float:
    """Seconds that three loops over lists of lists would take, from as many elements as fit."""
    size = len(a)
    rows, columns = a.tolist(), b.tolist()  # columns: walked down, as the loops do
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        i, j = divmod(done, size)
        total = 0.0
        for k in range(size):
            total += rows[i][k] * columns[k][j]
        done += 1
        if abs(total - float(a[i] @ b[:, j])) > 1e-3 * size**0.5:
            sys.exit("the loops are wrong")
    return (time.perf_counter() - started) / done * size * size


def steps(a: np.ndarray, b: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """What each peer times: a whole product."""
    import picograd

    def tensors(module) -> Callable[[], np.ndarray]:
        x, y = module.tensor(a), module.tensor(b)
        return lambda: (x @ y).numpy()

    found: dict[str, Callable[[], np.ndarray]] = {"NumPy": lambda: a @ b}
    if importlib.util.find_spec("torch") is not None:
        import torch

        found["PyTorch"] = tensors(torch)
    found["picograd"] = tensors(picograd)
    return found


def measure(size: int, rounds: int) -> dict[str, float]:
    """Median seconds of each way."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    expected = a @ b
    peers = steps(a, b)
    for name, step in peers.items():
        error = np.abs(step() - expected).max() / np.abs(expected).max()
        if not error < 2e-5:
            sys.exit(f"{name} is wrong: error {error:.1e} of the largest element")
    samples: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, step in peers.items():
            wait_for_idle_workers()
            started = time.perf_counter()
            step()
            samples[name].append(time.perf_counter() - started)
    seconds = {"Python's loops (extrapolated)": pure_python(a, b)}
    return seconds | {name: statistics.median(values) for name, values in samples.items()}


def table(size: int, found: dict[str, float]) -> list[str]:
    """The lines of the table, in Markdown."""
    slowest = max(found.values())
    lines = [
        f"| two matrices of {size} x {size}, float32 | time | GFLOP/s | times as fast |",
        "|---|---:|---:|---:|",
    ]
    for name, seconds in found.items():
        shown = f"{seconds:,.1f} s" if seconds >= 10 else f"{seconds * 1e3:.1f} ms"
        rate = 2 * size**3 / seconds / 1e9
        lines.append(f"| {name} | {shown} | {rate:.3f} | {slowest / seconds:,.0f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Time one matrix product.")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown", type=Path, help="put the table into this file")
    options = parser.parse_args()
    lines = table(options.size, measure(options.size, options.rounds))
    print("\n".join(lines))
    if options.markdown:
        report.write_block(options.markdown, "matmul", "\n".join(lines))


if __name__ == "__main__":
    main()
