"""`torch.cuda.nvtx`: marks for NVIDIA's profilers, which picograd's kernels have by their names.

In: messages. Out: nothing but what torch gives back; no profiler is told. Ranges may nest.

>>> range_push("outer"), range_push("inner"), range_pop(), range_pop()
(0, 1, 1, 0)
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]

_open = threading.local()
_handles = count(1)


def range_push(msg: str) -> int:
    """Begin a range; the number of those around it."""
    depth = getattr(_open, "depth", 0)
    _open.depth = depth + 1
    return depth


def range_pop() -> int:
    """End the innermost range; the number of those around it."""
    _open.depth = getattr(_open, "depth", 0) - 1
    return _open.depth


def range_start(msg: str) -> int:
    """Begin a range that may end on another thread; its handle."""
    return next(_handles)


def range_end(range_id: int) -> None:
    """End the range of a handle."""


def mark(msg: str) -> None:
    """A moment."""


@contextmanager
def range(msg: str, *args: Any, **kwargs: Any) -> Iterator[None]:
    """A range around what is inside, or around each call of a function."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()
