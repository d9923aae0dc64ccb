"""The ladder of the benchmarks: every workload builds, and its peers agree with float64.

At small sizes, so that a workload can't rot unseen between two measurements.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
if not FOLDER.exists():
    pytest.skip("an installed package has no benchmarks", allow_module_level=True)


OWN_MODULES = {path.stem for path in FOLDER.iterdir()}


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """`benchmarks/run.py`, which finds its neighbours where it lies."""
    before = sys.path.copy(), set(sys.modules)
    spec = importlib.util.spec_from_file_location("benchmark_run", FOLDER / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before[0]
    for name in set(sys.modules) - before[1]:
        if name.split(".")[0] in ("benchmark_run", *OWN_MODULES):
            del sys.modules[name]


FAMILIES = (
    *("contraction", "convolution", "rows", "attention", "reduction"),
    *("movement", "elementwise", "training", "overhead"),
)


def peers(benchmark: ModuleType) -> list[str]:
    """Those that are installed and start at once."""
    quick = ("numpy", "torch", "torch out=")
    return [name for name in quick if benchmark.framework.unusable(name) is None]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_peer_agrees_with_float64(benchmark: ModuleType, family: str) -> None:
    workloads = [w for w in benchmark.ladder(tiny=True) if w.family == family]
    assert workloads
    for workload in workloads:
        contest = benchmark.enter(workload, peers(benchmark))
        assert not contest.failures, (workload.name, contest.failures)
        assert "picograd" in contest.steps


def test_the_families_are_all(benchmark: ModuleType) -> None:
    assert {workload.family for workload in benchmark.ladder()} == set(FAMILIES)
    names = [workload.name for workload in benchmark.ladder()]
    assert len(names) == len(set(names))


def test_the_ladder_of_a_gpu(benchmark: ModuleType) -> None:
    small, large = (benchmark.gpu_workloads.ladder(tiny) for tiny in (True, False))
    for workloads in (small, large):
        names = [workload.name for workload in workloads]
        assert len(names) == len(set(names))
    assert [w.family for w in large if w.waits] == ["overhead"]
    (reduced,) = (w for w in small if w.name == "matmul 1024 tf32")
    assert reduced.tf32 and not benchmark.enter(reduced, peers(benchmark)).failures


def test_without_a_gpu_it_says_so(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from picograd.runtime import cuda

    monkeypatch.setattr(cuda, "why_not", lambda: "nobody has one")
    monkeypatch.setattr(sys, "argv", ["run.py", "--device", "cuda"])
    with pytest.raises(SystemExit, match="there is no GPU to measure: nobody has one"):
        benchmark.main()
    assert benchmark.usable(["numpy"], "cuda") == []
    assert capsys.readouterr().out == "numpy is left out: for the CPU only\n"


def test_a_wrong_result_is_not_timed(benchmark: ModuleType) -> None:
    from dataclasses import replace

    right = next(w for w in benchmark.ladder(tiny=True) if w.name == "a + b")
    wrong = replace(right, numpy=lambda a, b: a - b)
    contest = benchmark.enter(wrong, ["numpy"])
    assert set(contest.steps) == {"picograd"}
    assert "WRONG" in contest.failures[0]


def test_rows_and_tables(benchmark: ModuleType, tmp_path: Path) -> None:
    workload: Any = next(w for w in benchmark.ladder(tiny=True) if w.name == "a + b")
    contest = benchmark.enter(workload, ["numpy"])
    samples = benchmark.measure(contest, benchmark.Effort(0.0, 2, 2))
    rows = {row.peer: row for row in benchmark.report.rows(workload, samples)}
    assert rows["picograd"].ratio_to_picograd == 1
    np.testing.assert_allclose(
        rows["numpy"].ratio_to_picograd, rows["numpy"].median_ms / rows["picograd"].median_ms
    )
    caption = benchmark.machine(["numpy"])
    assert f"numpy {np.__version__}" in caption and "picograd" in caption
    table = benchmark.report.markdown(list(rows.values()), caption)
    assert "| a + b |" in table and "NumPy" in table

    page = tmp_path / "page.md"
    page.write_text("before\n<!-- ladder -->\nold\n<!-- end of ladder -->\nafter\n")
    benchmark.report.write_block(page, "ladder", table)
    text = page.read_text()
    assert "old" not in text and table in text
    assert text.startswith("before") and text.endswith("after\n")
