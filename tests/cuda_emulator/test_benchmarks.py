"""`benchmarks/run.py --device cuda` from end to end, at small sizes.

Runs wherever there is a GPU, and under `python -m tests.cuda_emulator`.
"""

from __future__ import annotations

from types import ModuleType

import pytest

import picograd as torch
from tests.test_benchmarks import benchmark  # noqa: F401  (a fixture)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

SOME = ("copy, negated", "sum of rows", "matmul 1024 bfloat16", "MLP 12-8-3, batch 4, Adam")


@pytest.mark.parametrize("name", SOME)
def test_a_workload_is_checked_and_timed(benchmark: ModuleType, name: str) -> None:  # noqa: F811
    (workload,) = (w for w in benchmark.gpu_workloads.ladder(tiny=True) if w.name == name)
    contest = benchmark.enter(workload, [], "cuda")
    assert not contest.failures
    samples = benchmark.measure_gpu(workload, contest, benchmark.Effort(0.0, 1, 1))
    (row,) = benchmark.report.rows(workload, samples)
    assert row.percent_of_bandwidth > 0 and row.percent_of_fma_peak > 0 and row.how == "graph"
    assert f"{row.host_ms:9.3f}  graph" in benchmark.report.line(row)
    assert torch.cuda.get_device_name() in benchmark.machine_of("cuda", [])
