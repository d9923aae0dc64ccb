"""What a call costs when there is nothing to compute, in microseconds.

    python benchmarks/overhead.py [--markdown docs/performance.md]

Each number is the median of many: a program of one tiny kernel from the Python call to the numbers
on the host; a hundred tiny kernels in one program; a node of the graph, recorded and thrown away.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1]))  # a checkout need not be installed
os.environ.setdefault("PICOGRAD_CACHE", "0")

import report

MANY = 200


def microseconds(step: Callable[[], object], count: int = MANY) -> float:
    """The median time of a call, after a few that warm up."""
    for _ in range(20):
        step()
    samples = []
    for _ in range(count):
        start = time.perf_counter()
        step()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples) * 1e6


def one_kernel(torch: Any) -> float:
    """`x + 1` to an array on the host, through `compile` where that is picograd's."""
    x = torch.ones(4, 4)
    add = torch.compile(lambda x: x + 1) if torch.__name__ == "picograd" else lambda x: x + 1
    return microseconds(lambda: add(x).numpy())


def hundred_kernels(torch: Any) -> float:
    """A hundred products of 8 x 8, each of the one before."""
    x, w = torch.ones(8, 8), torch.full((8, 8), 0.125)

    def chain(x: Any, w: Any) -> Any:
        for _ in range(100):
            x = x @ w
        return x

    run = torch.compile(chain) if torch.__name__ == "picograd" else chain
    return microseconds(lambda: run(x, w).numpy())


def node(torch: Any) -> float:
    """One operation of a long expression. picograd only records it here, torch computes it."""
    x, length = torch.ones(4, 4), 200
    samples = []
    for _ in range(30):
        start = time.perf_counter()
        y = x
        for _ in range(length // 2):
            y = y * 0.5 + x
        samples.append(time.perf_counter() - start)
        y.numpy()  # not timed: what was recorded must not pile up
    return statistics.median(samples) * 1e6 / length


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what calls cost.")
    parser.add_argument("--markdown", type=Path, help="put the table into this file")
    options = parser.parse_args()
    import picograd

    modules = {"picograd": picograd}
    if importlib.util.find_spec("torch") is not None:
        import torch

        modules["PyTorch"] = torch
    rows = {
        "1 tiny kernel, to the host": one_kernel,
        "100 tiny kernels in one program": hundred_kernels,
        "1 node of a graph": node,
    }
    lines = [f"| microseconds | {' | '.join(modules)} |", "|---|" + "---:|" * len(modules)]
    for name, measure in rows.items():
        cells = [f"{measure(module):.1f}" for module in modules.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    print("\n".join(lines))
    if options.markdown:
        report.write_block(options.markdown, "overhead", "\n".join(lines))


if __name__ == "__main__":
    main()
