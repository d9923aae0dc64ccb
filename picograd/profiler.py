"""`torch.profiler`: how long kernels and the ranges that a program names take, by the clock.

In: a `profile` block, and `record_function` blocks inside. Out: the number and the times of kernels
and ranges, as a table or as a file for a browser's trace viewer. A range lasts as long as its
block: what is built in it and computed later isn't in it. `DEBUG=2` says more about kernels.

>>> with profile(activities=[ProfilerActivity.CPU]) as prof:
...     for _ in range(2):
...         with record_function("step"):
...             pass
>>> [(entry.key, entry.count) for entry in prof.key_averages()]
[('step', 2)]
"""

from __future__ import annotations

import enum
import functools
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from picograd import engine
from picograd.runtime.observe import Timing


class ProfilerActivity(enum.Enum):
    """What may be profiled: kernels and the program's own ranges. Both kinds always are."""

    CPU = 0
    CUDA = 2


class ProfilerAction(enum.Enum):
    """What a profile does in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0
) -> Callable[[int], ProfilerAction]:
    """Which steps are recorded: in cycles of `wait`, `warmup` and `active` steps."""

    def action(step: int) -> ProfilerAction:
        cycle, place = divmod(step - skip_first, wait + warmup + active)
        if step < skip_first or (repeat and cycle >= repeat) or place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        last = place == wait + warmup + active - 1
        return ProfilerAction.RECORD_AND_SAVE if last else ProfilerAction.RECORD

    return action


@dataclass
class Event:
    """One range or kernel: its name, and when it began and how long it took, in microseconds: on
    the CPU, or on the GPU."""

    name: str
    start: float
    cpu_time: float = 0.0
    device_time: float = 0.0

    @property
    def duration(self) -> float:
        return self.cpu_time + self.device_time


@dataclass
class Average:
    """All ranges, or runs of a kernel, of one name."""

    key: str
    count: int = 0
    cpu_time_total: float = 0.0
    device_time_total: float = 0.0

    @property
    def cpu_time(self) -> float:
        """Microseconds a call."""
        return self.cpu_time_total / self.count

    @property
    def device_time(self) -> float:
        """Microseconds a call on the GPU."""
        return self.device_time_total / self.count


class Averages(list[Average]):
    """The ranges by name."""

    def table(
        self, sort_by: str | None = None, row_limit: int = 100, header: str | None = None, **_: Any
    ) -> str:
        """The names with their numbers of calls and times, as text."""
        rows = list(self)
        if sort_by is not None:
            wanted = sort_by.replace("self_", "").replace("cuda", "device")
            rows.sort(key=lambda row: getattr(row, wanted, row.cpu_time_total), reverse=True)
        rows = rows[:row_limit] if row_limit >= 0 else rows
        width = max([len("Name"), *(len(row.key) for row in rows)])
        columns = {"CPU": ("cpu_time_total", "cpu_time")}
        if any(row.device_time_total for row in self):
            columns["CUDA"] = "device_time_total", "device_time"
        heads = [f"{name + end:>13}" for name in columns for end in (" total", " time avg")]
        lines = [f"{'Name':>{width}}  {'  '.join(heads)}  {'# of Calls':>10}"]
        for row in rows:
            times = [f"{getattr(row, name):>11.3f}us" for pair in columns.values() for name in pair]
            lines.append(f"{row.key:>{width}}  {'  '.join(times)}  {row.count:>10}")
        return "\n".join(([header] if header else []) + lines) + "\n"


class record_function:
    """A named range, as a block or a decorator."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self._start = 0.0

    def __enter__(self) -> Self:
        self._start = time.perf_counter()
        return self

    def __exit__(self, *exception: object) -> None:
        end = time.perf_counter()
        for active in _ACTIVE:
            active.saw(Event(self.name, self._start * 1e6, (end - self._start) * 1e6))

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return function(*args, **kwargs)

        return timed


class profile:
    """Collects the ranges and kernels that end while it is open and its schedule says so."""

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        **_: Any,
    ) -> None:
        self.schedule = schedule
        self.on_trace_ready = on_trace_ready
        self.step_num = 0
        self._events: list[Event] = []
        self._action = self._planned()

    def _planned(self) -> ProfilerAction:
        return ProfilerAction.RECORD if self.schedule is None else self.schedule(self.step_num)

    def saw(self, event: Event) -> None:
        """Keep the range if the schedule records now."""
        if self._action in RECORDING:
            self._events.append(event)

    def start(self) -> None:
        """Begin."""
        _ACTIVE.append(self)
        engine.watch_kernels(_saw_kernels)

    def stop(self) -> None:
        """End; what is recorded and not yet handed over is."""
        _ACTIVE.remove(self)
        if not _ACTIVE:
            engine.watch_kernels(None)
        if self._action in RECORDING and self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def step(self) -> None:
        """The program's next step begins."""
        before = self._action
        self.step_num += 1
        self._action = self._planned()
        if before is ProfilerAction.RECORD_AND_SAVE and self.on_trace_ready is not None:
            self.on_trace_ready(self)
        if before not in RECORDING or before is ProfilerAction.RECORD_AND_SAVE:
            self._events = [] if self._action in RECORDING else self._events

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def events(self) -> list[Event]:
        """The ranges in the order in which they ended."""
        return list(self._events)

    def key_averages(self, group_by_input_shape: bool = False, **_: Any) -> Averages:
        """The ranges by name."""
        found: dict[str, Average] = {}
        for event in self._events:
            average = found.setdefault(event.name, Average(event.name))
            average.count += 1
            average.cpu_time_total += event.cpu_time
            average.device_time_total += event.device_time
        return Averages(found.values())

    def export_chrome_trace(self, path: str) -> None:
        """Write the ranges as a file that browsers' trace viewers read."""
        rows = [
            {
                "name": e.name,
                "ph": "X",
                "ts": e.start,
                "dur": e.duration,
                "pid": 0,
                "tid": "GPU" if e.device_time else "CPU",
            }
            for e in self._events
        ]
        Path(path).write_text(json.dumps({"traceEvents": rows}))


_ACTIVE: list[profile] = []


def _saw_kernels(timings: Sequence[Timing], device: str) -> None:
    """A program's kernels have run, one after another; the last has just ended."""
    start = time.perf_counter() - sum(timing.seconds for timing in timings)
    column = "device_time" if device == "cuda" else "cpu_time"
    for timing in timings:
        for active in _ACTIVE:
            active.saw(Event(timing.kernel.name, start * 1e6, **{column: timing.seconds * 1e6}))
        start += timing.seconds


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[profile], None]:
    """Writes each trace into the folder, for `profile(on_trace_ready=...)`."""

    def write(done: profile) -> None:
        folder = Path(dir_name)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{worker_name or 'worker'}.{time.time_ns()}.pt.trace.json"
        done.export_chrome_trace(str(folder / name))

    return write
