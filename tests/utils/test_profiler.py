"""Which steps a profile records, and what it says about them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import picograd.profiler as ours

SCHEDULES = [
    {"wait": 1, "warmup": 1, "active": 2},
    {"wait": 0, "warmup": 1, "active": 1, "repeat": 2},
    {"wait": 1, "warmup": 0, "active": 3, "repeat": 1, "skip_first": 2},
]


@pytest.mark.parametrize("settings", SCHEDULES, ids=str)
def test_schedule_is_torchs(settings: dict[str, int]) -> None:
    theirs = pytest.importorskip("torch.profiler")
    there, here = theirs.schedule(**settings), ours.schedule(**settings)
    assert [here(n).name for n in range(12)] == [there(n).name for n in range(12)]


def test_each_window_is_handed_over_once() -> None:
    seen: list[list[str]] = []
    plan = ours.schedule(wait=1, warmup=1, active=2, repeat=2)
    with ours.profile(
        schedule=plan, on_trace_ready=lambda p: seen.append([e.name for e in p.events()])
    ) as prof:
        for step in range(9):
            with ours.record_function(f"step {step}"):
                pass
            prof.step()
    assert seen == [["step 2", "step 3"], ["step 6", "step 7"]]


def test_table_and_trace(tmp_path: Path) -> None:
    @ours.record_function("decorated")
    def work() -> int:
        return 3

    with ours.profile(activities=[ours.ProfilerActivity.CPU]) as prof:
        assert work() == 3
        with ours.record_function("block"):
            work()
    work()
    averages = {entry.key: entry for entry in prof.key_averages()}
    assert averages["decorated"].count == 2 and averages["block"].count == 1
    assert averages["block"].cpu_time_total >= prof.events()[1].cpu_time
    table = prof.key_averages().table(sort_by="cpu_time_total", row_limit=1)
    assert "block" in table or "decorated" in table
    prof.export_chrome_trace(str(tmp_path / "trace.json"))
    rows = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert [row["name"] for row in rows] == ["decorated", "decorated", "block"]
