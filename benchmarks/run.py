"""Time picograd beside its peers, interleaved in one run, after checking every result.

    python benchmarks/run.py [--family rows] [--only softmax] [--peers numpy,torch] [--quick]
                             [--json rows.json] [--markdown docs/performance.md] [--device cuda]

Machines are shared and their clocks move, so absolute times mean little: each round runs every
peer once, after the worker threads of the one before have stopped spinning, and measures the
machine's own FMA peak and memory bandwidth too. The table gives medians, and ratios of medians.
Nothing is timed before its result was compared with float64. `--device cuda` has workloads and a
way of timing of its own (`workloads/gpu.py`, `gpu.py`).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1]))  # a checkout need not be installed

# A first call compiles, whatever an earlier run has left on the disk.
os.environ.setdefault("PICOGRAD_CACHE", "0")

import gpu
import oracle
import peers as framework
import report
from peers import OWN, PEERS
from workloads import gpu as gpu_workloads
from workloads import ladder
from workloads.base import Step, Workload

PAUSE = 0.015  # seconds between runtimes, at least
LONGEST_PAUSE = 0.5
CALLS = 3  # before anything is timed
SHORT = 0.002  # a sample lasts at least this long: shorter steps are repeated
DEFAULT = "numpy,torch,torch out=,jax,tinygrad"


@dataclass(frozen=True)
class Effort:
    """How many rounds a workload gets: as many as fit, within limits."""

    seconds: float = 2.0
    fewest: int = 3
    most: int = 25

    def rounds(self, one: float) -> int:
        return max(self.fewest, min(self.most, int(self.seconds / one)))


QUICK = Effort(0.4, 2, 7)


@dataclass
class Contest:
    """The peers that have computed the right result, and what was seen of their first calls."""

    steps: dict[str, Step] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    usual: dict[str, float] = field(default_factory=dict)  # seconds of a later call
    kernels: int = 0
    failures: list[str] = field(default_factory=list)


def enter(workload: Workload, names: Sequence[str], device: str | None = None) -> Contest:
    """Build and check each peer's step; `device` "cuda", or None for each one's own."""
    contest = Contest()
    arrays = workload.inputs(np.random.default_rng(0))
    want = oracle.expected(workload, arrays)
    for name in (OWN, *names):
        try:
            given = {n: a.copy() for n, a in arrays.items()}
            step = framework.build(name, workload, given, device)
            if step is not None:
                _check(contest, workload, name, step, want)
        except Exception as error:  # the others can still be timed
            message = str(error).strip().split("\n")[0][:150]
            contest.failures.append(f"{name} failed: {type(error).__name__}: {message}")
    return contest


def _check(
    contest: Contest, workload: Workload, name: str, step: Step, want: list[list[np.ndarray]]
) -> None:
    """Compare the first results; call often enough that a program is specialised, then general."""
    from picograd import engine

    worst = 0.0
    for number in range(CALLS):
        engine.statistics.reset()
        start = time.perf_counter()
        result = step()
        seconds = time.perf_counter() - start
        contest.first.setdefault(name, seconds)
        # Results that depend on what was before are compared as far as they were computed.
        known = want[number] if number < len(want) else None if len(want) > 1 else want[0]
        if known is not None:
            worst = max(worst, oracle.error(framework.as_arrays(result), known))
        result = None
    if not worst <= workload.tolerance:
        contest.failures.append(
            f"{name} is WRONG: error {worst:.1e} of the largest magnitude, "
            f"allowed {workload.tolerance:.0e}"
        )
        return
    if name == OWN:
        contest.kernels = engine.statistics.kernels_run
    contest.steps[name], contest.errors[name], contest.usual[name] = step, worst, seconds


def measure_gpu(workload: Workload, contest: Contest, effort: Effort) -> report.Samples:
    """Time all steps on the GPU, whatever the clock says meanwhile."""
    samples = _no_samples(contest)
    gpu.measure(workload, contest.steps, samples, effort.fewest + effort.most // 4)
    return samples


def _no_samples(contest: Contest) -> report.Samples:
    empty: dict[str, list[float]] = {name: [] for name in contest.steps}
    return report.Samples(empty, contest.first, contest.errors, [], [], contest.kernels)


def measure(contest: Contest, effort: Effort) -> report.Samples:
    """Time all steps in turn; in each round another one begins."""
    from picograd.runtime.roofline import measure_roofline

    repeats = {n: max(1, round(SHORT / seconds)) for n, seconds in contest.usual.items()}
    one = sum(s * (repeats[n] + 1) + PAUSE for n, s in contest.usual.items()) + 0.04
    samples = _no_samples(contest)
    order = list(contest.steps.items())
    for number in range(effort.rounds(one)):
        wait_for_idle_workers()
        roof = measure_roofline()
        samples.gflops.append(roof.gflops)
        samples.bandwidth.append(roof.plain_gigabytes_per_second)
        turn = number % len(order)
        for name, step in order[turn:] + order[:turn]:
            wait_for_idle_workers()
            samples.seconds[name].append(_sample(step, repeats[name]))
    return samples


def wait_for_idle_workers() -> None:
    """Sleep until this process uses no processor, or for half a second.

    Workers spin after a job, in case another follows: those of OpenBLAS for 0.1 s. Whoever computes
    meanwhile shares a core with one, and gets two thirds of the machine.
    """
    for _ in range(round(LONGEST_PAUSE / PAUSE)):
        used = time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - used < PAUSE / 20:
            return


def _sample(step: Callable[[], object], repeats: int) -> float:
    """Seconds of a step. Short ones are repeated: what wakes threads and fills caches is past."""
    if repeats > 1:
        step()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


def usable(names: Sequence[str], device: str | None = None) -> list[str]:
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        sys.exit(f"unknown peers: {', '.join(unknown)}; known: {', '.join(PEERS)}")
    found = []
    for name in names:
        reason = framework.unusable(name, device)
        if reason is None:
            found.append(name)
        else:
            print(f"{name} is left out: {reason}")
    return found


def machine(names: Sequence[str]) -> str:
    """What the numbers were taken with."""
    from picograd.runtime import host, pool

    versions = dict.fromkeys(framework.version(name) for name in (OWN, *names))
    target = host.target()
    return (
        f"{target.cpu}, {pool.get_num_threads()} threads, vectors of {target.vector_bytes * 8} "
        f"bits; Python {platform.python_version()}, {', '.join(versions)}"
    )


def machine_of(device: str | None, names: Sequence[str]) -> str:
    return gpu.machine(names) if device == "cuda" else machine(names)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time picograd beside its peers.")
    parser.add_argument(
        "--peers",
        help=f"some of {', '.join(PEERS)} (default: {DEFAULT}; of a GPU {gpu.DEFAULT}); compile "
        "(torch.compile) needs a C++ compiler and some 10 s a workload, and is measured where "
        "fusion is what counts",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute")
    parser.add_argument("--tiny", action="store_true", help="small sizes: whether all of it works")
    parser.add_argument("--family", default="", help="one family of workloads")
    parser.add_argument("--only", default="", help="part of a workload's name")
    parser.add_argument("--quick", action="store_true", help="few rounds: a first impression")
    parser.add_argument("--list", action="store_true", help="show the workloads and stop")
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    parser.add_argument("--markdown", type=Path, help="put the tables into this file")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    device = "cuda" if options.device == "cuda" else None
    made = (gpu_workloads.ladder if device else ladder)(options.tiny)
    chosen = [
        workload
        for workload in made
        if options.only in workload.name and options.family in ("", workload.family)
    ]
    if options.list:
        for workload in chosen:
            print(f"{workload.family:14}{workload.name}")
        return
    if device:
        gpu.require()
    wanted = options.peers if options.peers is not None else gpu.DEFAULT if device else DEFAULT
    names = usable([name for name in wanted.split(",") if name], device)
    started = time.perf_counter()
    caption = machine_of(device, names)
    header = report.GPU_HEADER if device else report.HEADER
    print(f"{caption}\nratio = time of the peer / time of picograd\n{header}")
    found: list[report.Row] = []
    failures: list[str] = []
    effort = QUICK if options.quick else Effort()
    for workload in chosen:
        contest = enter(workload, names, device)
        for failure in contest.failures:
            print(f"{workload.name}: {failure}", flush=True)
            failures.append(f"{workload.name}: {failure}")
        if contest.steps:
            samples = measure_gpu(workload, contest, effort) if device else measure(contest, effort)
            rows = report.rows(workload, samples)
            print("\n".join(report.line(row) for row in rows), flush=True)
            found += rows
        del contest
        gc.collect()
        if device:
            gpu.release()
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in found], indent=1))
    if options.markdown:
        report.write_block(
            options.markdown,
            "gpu" if device else "ladder",
            report.markdown(found, f"Taken on {caption}."),
        )
    print(f"{len(chosen)} workloads in {time.perf_counter() - started:.0f} s")
    if any(f": {OWN} " in failure for failure in failures):
        sys.exit("picograd failed, or was wrong: see above")


if __name__ == "__main__":
    main()
