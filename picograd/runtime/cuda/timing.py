"""How long each kernel of a program takes on the GPU, by events on its stream.

In: the marks that a timed run sets before its first kernel and after each. Out: a `Timing` for
each. Work that keeps the stream busy is enqueued first: else the time of a kernel that is shorter
than its launch would be the host's.

>>> Stopwatch.__slots__
('_laps', '_last', '_timings', 'opened')
"""

from __future__ import annotations

from typing import Any

from picograd.runtime.cuda.driver import Driver
from picograd.runtime.cuda.roofline import hold
from picograd.runtime.observe import Timing, Unit
from picograd.schedule.kernel import Kernel


class Stopwatch:
    """Events between the kernels of one run."""

    __slots__ = ("_laps", "_last", "_timings", "opened")

    def __init__(self, opened: Driver, timings: list[Timing]) -> None:
        self.opened = opened
        self._timings = timings
        self._laps: list[tuple[Kernel, Unit, Any, Any]] = []
        self._last: Any = None

    def begin(self, launches: int) -> None:
        """So many launches come now; nobody waits for the stream between them."""
        hold(launches)
        self._last = self._mark()

    def lap(self, kernel: Kernel, unit: Unit) -> None:
        """A kernel was enqueued."""
        now = self._mark()
        self._laps.append((kernel, unit, self._last, now))
        self._last = now

    def finish(self) -> None:
        """Wait, and say how long the kernels took."""
        self.opened.stream.synchronize()
        for kernel, unit, start, end in self._laps:
            self._timings.append(Timing(kernel, end.time_since(start) * 1e-3, unit))

    def _mark(self) -> Any:
        event = self.opened.cuda.Event()
        event.record(self.opened.stream)
        return event
