"""Time picograd beside its peers, interleaved in one run, after checking every result.

    python benchmarks/run.py [--peers numpy,torch,jax,tinygrad] [--only softmax] [--json out.json]

Machines are shared and their clocks move, so absolute times mean little: each round runs every
peer once, with a pause between them in which spinning worker threads go to sleep, and measures the
machine's own FMA peak and memory bandwidth too. The table gives medians, and ratios of medians.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from workloads import WORKLOADS, Arrays, Step, Workload

# A first call compiles, whatever an earlier run has left on the disk.
os.environ.setdefault("PICOGRAD_CACHE", "0")

PAUSE = 0.015  # seconds between runtimes: their workers spin for a while after a job
PEERS = ("numpy", "torch", "jax", "tinygrad")


@dataclass
class Row:
    """One measured cell: a workload on one framework."""

    workload: str
    peer: str
    median_ms: float
    fastest_ms: float
    first_call_ms: float
    gflops: float
    gigabytes_per_second: float
    percent_of_fma_peak: float
    percent_of_bandwidth: float
    ratio_to_picograd: float  # time of the peer / time of picograd: above 1, picograd is faster
    kernels: int | None = None


def build(peer: str, workload: Workload, arrays: Arrays) -> Step | None:
    """The step function of a peer, or None where the workload has none for it."""
    if peer == "picograd":
        import picograd

        step = workload.program(picograd, arrays)
        return lambda: _finish(picograd, step())
    if peer == "numpy":
        return workload.numpy(arrays) if workload.numpy else None
    if peer == "torch":
        import torch

        return workload.program(torch, arrays)
    if peer == "jax":
        import jax

        return workload.jax(jax, arrays) if workload.jax else None
    from tinygrad import Tensor

    return workload.tinygrad(Tensor, arrays) if workload.tinygrad else None


def _finish(picograd: Any, result: Any) -> Any:
    """picograd is lazy: a step ends when its numbers are there."""
    if isinstance(result, picograd.Tensor):
        picograd.synchronize()
    return result


def as_array(result: Any) -> np.ndarray:
    if hasattr(result, "numpy") and not isinstance(result, np.ndarray | np.generic):
        return np.asarray(result.numpy(), np.float64)
    return np.asarray(result, np.float64)


def expected(workload: Workload, arrays: Arrays) -> np.ndarray:
    """The reference result: in float64, or from picograd's interpreter for whole programs."""
    if workload.reference is not None:
        return workload.reference(arrays)
    import picograd
    from picograd.env import Context

    with Context(DEVICE="numpy"):
        return as_array(workload.program(picograd, arrays)())


def check(peer: str, workload: Workload, got: np.ndarray, want: np.ndarray) -> None:
    scale = float(np.abs(want).max()) or 1.0
    error = float(np.abs(got - want).max()) / scale
    if not error <= workload.tolerance:
        sys.exit(
            f"{workload.name}: {peer} is wrong: error {error:.2e} of the largest magnitude, "
            f"allowed {workload.tolerance:.1e}. Nothing was timed."
        )


def measure(workload: Workload, peers: list[str], roofline: Callable[[], Any]) -> list[Row]:
    """Check, then time one workload on every peer."""
    import picograd
    from picograd import engine

    arrays = workload.inputs(np.random.default_rng(0))
    want = expected(workload, arrays)
    steps: dict[str, Step] = {}
    first: dict[str, float] = {}
    kernels = 0
    for peer in ("picograd", *peers):
        step = build(peer, workload, {name: array.copy() for name, array in arrays.items()})
        if step is None:
            continue
        picograd.synchronize()
        engine.statistics.reset()
        start = time.perf_counter()
        result = step()
        first[peer] = (time.perf_counter() - start) * 1e3
        check(peer, workload, as_array(result), want)
        steps[peer] = step
        for _ in range(2):  # a program is specialised, then generalised: both before timing
            step()
        if peer == "picograd":
            engine.statistics.reset()
            step()
            kernels = engine.statistics.kernels_run
    samples: dict[str, list[float]] = {peer: [] for peer in steps}
    peaks: list[Any] = []
    for _ in range(workload.rounds):
        peaks.append(roofline())
        for peer, step in steps.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            step()
            samples[peer].append(time.perf_counter() - start)
    return _rows(workload, samples, first, peaks, kernels)


def _rows(
    workload: Workload,
    samples: dict[str, list[float]],
    first: dict[str, float],
    peaks: list[Any],
    kernels: int,
) -> list[Row]:
    medians = {peer: statistics.median(values) for peer, values in samples.items()}
    fma = statistics.median(peak.gflops for peak in peaks)
    bandwidth = statistics.median(peak.gigabytes_per_second for peak in peaks)
    rows = []
    for peer, median in medians.items():
        gflops, gigabytes = workload.flops / median / 1e9, workload.bytes / median / 1e9
        rows.append(
            Row(
                workload.name,
                peer,
                median * 1e3,
                min(samples[peer]) * 1e3,
                first[peer],
                gflops,
                gigabytes,
                100 * gflops / fma,
                100 * gigabytes / bandwidth,
                median / medians["picograd"],
                kernels if peer == "picograd" else None,
            )
        )
    return rows


HEADER = (
    f"{'workload':22}{'peer':10}{'median ms':>11}{'fastest':>10}{'ratio':>8}{'GFLOP/s':>9}"
    f"{'% peak':>8}{'GB/s':>8}{'% band':>8}{'kernels':>9}{'first call ms':>15}"
)


def show(row: Row) -> str:
    kernels = "" if row.kernels is None else str(row.kernels)
    return (
        f"{row.workload:22}{row.peer:10}{row.median_ms:11.3f}{row.fastest_ms:10.3f}"
        f"{row.ratio_to_picograd:8.2f}{row.gflops:9.1f}{row.percent_of_fma_peak:8.1f}"
        f"{row.gigabytes_per_second:8.1f}{row.percent_of_bandwidth:8.1f}{kernels:>9}"
        f"{row.first_call_ms:15.1f}"
    )


def installed(names: list[str]) -> list[str]:
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        sys.exit(f"unknown peers: {', '.join(unknown)}; known: {', '.join(PEERS)}")
    usable = []
    for name in names:
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed: left out")
        elif name == "tinygrad" and (reason := _tinygrad_fails()):
            print(f"tinygrad cannot compute here ({reason}): left out")
        else:
            usable.append(name)
    return usable


def _tinygrad_fails() -> str | None:
    """Why tinygrad can't run: its CPU device calls clang, which isn't part of its package."""
    from tinygrad import Tensor

    try:
        Tensor([1.0]).realize().numpy()
    except Exception as error:  # whatever it is, the other peers can be timed
        return f"{type(error).__name__}: {error}"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description="Time picograd beside its peers.")
    parser.add_argument("--peers", default="numpy,torch,jax,tinygrad")
    parser.add_argument("--only", default="", help="part of a workload's name")
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    options = parser.parse_args()
    peers = installed([name for name in options.peers.split(",") if name])

    from picograd.runtime.roofline import measure_roofline

    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}; ratio = peer's time / picograd's time"
    )
    print(HEADER)
    rows: list[Row] = []
    for workload in WORKLOADS:
        if options.only in workload.name:
            for row in measure(workload, peers, measure_roofline):
                print(show(row), flush=True)
                rows.append(row)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
