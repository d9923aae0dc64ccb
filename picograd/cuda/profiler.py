"""`torch.cuda.profiler`: tell NVIDIA's profilers when to look.

In: calls. Out: the driver's `cuProfilerStart` and `cuProfilerStop`, behind all work so far.

>>> profile.__name__
'profile'
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from picograd import engine
from picograd.cuda.opening import opened
from picograd.runtime.cuda import functions

__all__ = ["profile", "start", "stop"]


def start() -> None:
    """What comes from now on is profiled."""
    with opened():
        engine.realize_pending()
        functions.call("cuProfilerStart")


def stop() -> None:
    """What comes from now on isn't."""
    with opened() as gpu:
        engine.realize_pending()
        gpu.synchronize()
        functions.call("cuProfilerStop")


@contextmanager
def profile() -> Iterator[None]:
    """What is inside is profiled."""
    start()
    try:
        yield
    finally:
        stop()
