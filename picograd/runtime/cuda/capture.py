"""Work that is noted instead of given to the stream, to be given again and again.

In: on one thread, from `begin` to `end`, the programs and copies that would be enqueued. Out: a
`Capture`, whose `enqueue` gives them to the stream: on the same memory, which is kept as long as
the capture. Called by `picograd.cuda.graphs`; `executable` and `memory` ask `current`.

>>> current() is None
True
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from picograd.runtime.allocator import Chunk
from picograd.runtime.buffer import Buffer

if TYPE_CHECKING:
    from picograd.runtime.cuda.driver import Driver

Action = Callable[["Driver"], None]
_now: list[Capture] = []


class Capture:
    """Noted work. `touched` are the buffers that it reads and writes; `chunks` is memory that was
    given back meanwhile, which nobody else may get."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.actions: list[Action] = []
        self.chunks: deque[Chunk] = deque()
        self.kept: list[Buffer] = []
        self.kept_constants: list[Buffer] = []
        # The values of the noted programs, and which of them are the numbers of random streams:
        # (slot, draws behind the first). Those of the program that comes next.
        self.random: list[tuple[list[int], list[tuple[int, int]]]] = []
        self.slots: list[tuple[int, int]] = []
        # Of work whose buffers aren't known: their addresses, and numbers that are none.
        self.addresses: set[int] = set()
        self._touched: dict[int, weakref.ref[Buffer]] = {}

    def note(self, action: Action, *buffers: Buffer) -> None:
        """Note work on some buffers."""
        self.actions.append(action)
        for buffer in buffers:
            self._touched[id(buffer)] = weakref.ref(buffer)

    def touched(self) -> list[Buffer]:
        """The buffers that are still alive."""
        return [buffer for one in self._touched.values() if (buffer := one()) is not None]

    def begin(self) -> None:
        """From now on, note what this thread does."""
        if _now:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        _now.append(self)

    def end(self) -> None:
        """Enqueue again."""
        self.kept = self.touched()
        _now.remove(self)

    def enqueue(self, opened: Driver) -> None:
        """Do the noted work."""
        with opened, opened.lock:
            for action in self.actions:
                action(opened)


def current() -> Capture | None:
    """What notes this thread's work."""
    return _now[0] if _now and _now[0].thread == threading.get_ident() else None


def forbid(doing: str) -> None:
    """Raise RuntimeError for what can't be noted."""
    if current() is not None:
        raise RuntimeError(
            f"CUDA error: operation not permitted when stream is capturing: {doing}. "
            "Do it before or after the capture."
        )
