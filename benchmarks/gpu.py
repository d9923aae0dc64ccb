"""How workloads are timed on a GPU: by events on its stream, over replays.

In: a contest of `run.py`, whose peers have computed the right results on the device "cuda". Out:
the samples of `report.py`. What is timed is the GPU's time of a step, so the host is given a head
start: before each sample the stream is kept busy for as long as enqueueing the steps takes.

- picograd replays its programs as CUDA graphs by itself. PyTorch's steps are captured as CUDA
  graphs here; what can't be captured is called. CuPy and Triton are called, JAX has no events and
  is timed by the clock, over many steps at once.
- Each peer has as many copies of its inputs as it takes to be larger than the L2 cache, and uses
  them in turn. Steps that train change their state instead.
- Programs of tiny kernels (`Workload.waits`) get no head start: what counts is when the last ends.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import peers as framework
import report
from peers import OWN
from workloads.base import Step, Workload

DEFAULT = "torch,torch math,compile,cupy,jax,triton"
_SAMPLE = 0.004  # seconds of the GPU's time in a sample
_MOST_COPIES = 8
_MOST_STEPS = 200


def require() -> None:
    """Leave with the reason where there is no GPU."""
    from picograd.runtime import cuda

    reason = cuda.why_not()
    if reason is not None:
        sys.exit(f"--device cuda: there is no GPU to measure: {reason}")


def machine(names: Sequence[str]) -> str:
    """What the numbers were taken with."""
    import picograd

    found = picograd.cuda.get_device_properties()
    versions = dict.fromkeys(framework.version(name) for name in (OWN, *names))
    return (
        f"{found.name}, {found.multi_processor_count} multiprocessors, "
        f"{found.total_memory / 2**30:.0f} GiB; {', '.join(versions)}"
    )


def release() -> None:
    """Give the memory that one framework keeps for reuse back to the others."""
    import picograd

    picograd.cuda.empty_cache()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass
class _Runner:
    """One peer's steps, one for each copy of its inputs."""

    peer: str
    steps: list[Step]
    captured: bool

    def sample(self, count: int, head_start: float) -> tuple[float, float]:
        """Seconds of a step on the GPU, and of enqueueing it on the host."""
        calls = itertools.islice(itertools.cycle(self.steps), count)
        if self.peer == "jax":
            return _by_clock(calls, count)
        start, end, between = _EVENTS[self.peer]()
        if head_start:
            _hold(self.peer, head_start)
        start.record()
        before = time.perf_counter()
        for call in calls:
            call()
        host = time.perf_counter() - before
        end.record()
        end.synchronize()
        return between(start, end) * 1e-3 / count, host / count


def _by_clock(calls: Any, count: int) -> tuple[float, float]:
    start = time.perf_counter()
    for call in calls:
        call()
    seconds = (time.perf_counter() - start) / count
    return seconds, seconds


def _torch_events() -> tuple[Any, Any, Callable[[Any, Any], float]]:
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    return start, end, lambda start, end: start.elapsed_time(end)


def _own_events() -> tuple[Any, Any, Callable[[Any, Any], float]]:
    import picograd

    start, end = (picograd.cuda.Event(enable_timing=True) for _ in range(2))
    return start, end, lambda start, end: start.elapsed_time(end)


def _cupy_events() -> tuple[Any, Any, Callable[[Any, Any], float]]:
    import cupy

    return cupy.cuda.Event(), cupy.cuda.Event(), cupy.cuda.get_elapsed_time


_EVENTS = {
    OWN: _own_events,
    "torch": _torch_events,
    "torch math": _torch_events,
    "compile": _torch_events,
    "triton": _torch_events,
    "cupy": _cupy_events,
}


def _hold(peer: str, seconds: float) -> None:
    """Keep the peer's stream busy for about so long."""
    if peer == OWN:
        from picograd.runtime.cuda import driver, roofline

        with driver.get():
            roofline.hold(round(seconds / roofline.LAUNCH))
    elif framework.PEERS.get(peer) in ("torch", "triton"):
        import torch

        torch.cuda._sleep(int(seconds * 2e9))  # in cycles


def _runner(workload: Workload, peer: str, step: Step) -> _Runner:
    steps = [step]
    if workload.checked == 1:  # steps that train change what they read
        for number in range(1, _copies(workload)):
            arrays = workload.inputs(np.random.default_rng(number))
            more = framework.build(peer, workload, arrays, "cuda")
            assert more is not None
            steps.append(more)
    for one in steps:
        for _ in range(3):  # the third run of a program is a replay
            one()
    captured = False
    if framework.PEERS.get(peer) == "torch":
        with suppress(Exception):  # what can't be captured is called
            steps, captured = [_captured(one) for one in steps], True
    return _Runner(peer, steps, captured)


def _copies(workload: Workload) -> int:
    """How many sets of inputs and results are four times as large as the L2 cache."""
    from picograd.runtime.cuda import driver

    opened = driver.get()
    cache = opened.device.get_attribute(opened.cuda.device_attribute.L2_CACHE_SIZE)
    return max(1, min(_MOST_COPIES, -(-4 * cache // max(int(workload.bytes), 1))))


def _captured(step: Step) -> Step:
    """A step of PyTorch as a CUDA graph."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()

    def replay() -> Any:
        graph.replay()
        return result

    return replay


def measure(
    workload: Workload, steps: dict[str, Step], samples: report.Samples, rounds: int
) -> None:
    """Time all peers in turn, `rounds` times; adds to the samples."""
    from picograd.runtime.cuda.roofline import measure_roofline

    runners = [_runner(workload, peer, step) for peer, step in steps.items()]
    counts, host = {}, {}
    for runner in runners:
        runner.sample(1, 0.0)
        one, enqueueing = runner.sample(len(runner.steps), 0.0)
        counts[runner.peer] = max(
            len(runner.steps), min(_MOST_STEPS, int(_SAMPLE / max(one, 1e-6)))
        )
        host[runner.peer] = 0.0 if workload.waits else 1.5 * enqueueing
    for number in range(rounds):
        roof = measure_roofline()
        on_tensor_cores = workload.tf32 or workload.dtype in ("bfloat16", "float16")
        samples.gflops.append(roof.tensor_gflops if on_tensor_cores else roof.gflops)
        samples.bandwidth.append(roof.gigabytes_per_second)
        turn = number % len(runners)
        for runner in runners[turn:] + runners[:turn]:
            count = counts[runner.peer]
            seconds, enqueueing = runner.sample(count, host[runner.peer] * count)
            samples.seconds[runner.peer].append(seconds)
            samples.host.setdefault(runner.peer, []).append(enqueueing)
    for runner in runners:
        samples.how[runner.peer] = _how(runner)


def _how(runner: _Runner) -> str:
    if runner.peer == "jax":
        return "clock"
    return "graph" if runner.captured or runner.peer == OWN else "calls"
