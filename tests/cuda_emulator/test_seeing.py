"""What DEBUG, DUMP and the profiler show of a GPU: the ladder that the CPU has.

Runs wherever there is a GPU, and under `python -m tests.cuda_emulator`.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

import picograd as torch
from picograd import engine
from picograd.env import Context
from picograd.runtime.cuda import modules

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

# level -> what it is the first to print
LADDER = {
    1: "kernels, compiled in",
    2: "% of the roofline",
    3: "max_{i1:40}",
    4: 'extern "C" __global__ void',
    5: "loop IR after map_to_grid",
    6: "% occupancy)",
}


def compute(monkeypatch: pytest.MonkeyPatch, columns: int = 40) -> None:
    """A softmax whose kernels are as good as new."""
    monkeypatch.setattr(modules, "_known", {})
    x = torch.arange(columns * 30.0, device="cuda").reshape(30, columns)
    assert torch.softmax(x / 100, -1).sum().item() == pytest.approx(30)


@pytest.mark.parametrize("level", LADDER)
def test_each_level_adds_its_own(
    level: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.clear_cache()
    with Context(DEBUG=level):
        compute(monkeypatch)
    shown = capsys.readouterr().err
    for number, text in LADDER.items():
        assert (text in shown) == (number <= level), (number, shown)
    assert "LLVM" not in shown
    assert all(float(time) > 0 for time in re.findall(r"([\d.]+) us", shown))


def test_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine.clear_cache()
    with Context(DUMP=str(tmp_path)):
        compute(monkeypatch)
    folders = [path.parent for path in tmp_path.glob("*/kernel.cu")]
    assert folders
    for folder in folders:
        names = {path.name for path in folder.iterdir()}
        assert {"kernel.txt", "loops_00_lower.txt"} <= names
        (listing,) = names & {"kernel.sass", "kernel.ptx"}
        assert (folder / listing).read_text().startswith("// ")


def test_profiler(tmp_path: Path) -> None:
    profiler = torch.profiler
    x = torch.ones(100, device="cuda")
    with profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as prof:
        x.exp().sum().item()
    averages = prof.key_averages()
    assert averages and all(row.device_time_total > 0 == row.cpu_time_total for row in averages)
    assert "CUDA total" in averages.table(sort_by="cuda_time_total")
    path = tmp_path / "trace.json"
    prof.export_chrome_trace(str(path))
    rows = json.loads(path.read_text())["traceEvents"]
    assert {row["tid"] for row in rows} == {"GPU"}
    for before, after in pairwise(rows):
        assert before["ts"] + before["dur"] <= after["ts"] + 1e-3
