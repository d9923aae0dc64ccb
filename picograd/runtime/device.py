"""Devices by name.

In: the name of a device, from a tensor. Out: the `Device` that computes its graphs. A backend adds
one row to `_MODULES`; its module is imported when the device is first used.

>>> get("cpu").name
'cpu'
>>> names()
('cpu', 'numpy', 'null', 'cuda')
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from picograd.graph.node import Node
from picograd.runtime.buffer import Buffer
from picograd.runtime.observe import Observer, Timing


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run that was completed; dropping its results would lose in-place writes."""

    def __init__(self, buffers: list[Buffer]) -> None:
        super().__init__()
        self.buffers = buffers


class Executable(Protocol):
    """A compiled program.

    kernel_count   the number of kernels that one run executes
    loaded         it came from the disk, compiled by an earlier process
    run            takes the buffers of the canonical graph's leaves (by slot) and the program's
                   values as 8-byte cells; returns one buffer per output. An output written in
                   place is its input's buffer. With `timings`, kernels run one at a time and one
                   entry per kernel is appended. Raises IndexError when a check fails; the
                   inputs are then as before. Raises `Interrupted`, with the results, when the
                   user's Ctrl-C came while the kernels ran to their end.
    """

    kernel_count: int
    loaded: bool

    def run(
        self,
        inputs: Sequence[Buffer],
        values: Sequence[int] = (),
        timings: list[Timing] | None = None,
    ) -> list[Buffer]: ...


# A canonical graph: its outputs, and the leaf slots whose memory the program may overwrite.
Canonical = tuple[list[Node], frozenset[int]]


class Device(Protocol):
    """Compiles canonical graphs.

    build    compiles one, under the eyes of an observer
    obtain   gives the program that an earlier process made of a graph of the same identity
             (`graph.canonical.identity`) where the device keeps such, else builds what `make`
             makes
    """

    name: str

    def build(
        self,
        outputs: Sequence[Node],
        donated: frozenset[int] = frozenset(),
        observer: Observer | None = None,
    ) -> Executable: ...

    def obtain(self, make: Callable[[], Canonical], identify: Callable[[], str]) -> Executable: ...


# name -> module with a function `device()`
_MODULES = {
    "cpu": "picograd.runtime.cpu",
    "numpy": "picograd.runtime.numpy",
    "null": "picograd.runtime.null",
    "cuda": "picograd.runtime.cuda",
}
_devices: dict[str, Device] = {}
_lock = threading.RLock()


def names() -> tuple[str, ...]:
    """The known devices."""
    return tuple(_MODULES)


def check(name: str) -> str:
    """The name itself. Raises RuntimeError for a device that picograd does not know."""
    if name not in _MODULES:
        raise RuntimeError(
            f"Expected one of {', '.join(_MODULES)} device type at start of device string: {name}"
        )
    return name


def synchronize() -> None:
    """Wait for the devices in use that work behind their callers' backs."""
    if "cuda" in _devices:
        from picograd.runtime.cuda import driver

        driver.get().synchronize()


def get(name: str) -> Device:
    """The device of a name. Raises RuntimeError, naming the known ones, for any other."""
    device = _devices.get(name)
    if device is None:
        with _lock:
            device = _devices.get(name)
            if device is None:
                module = importlib.import_module(_MODULES[check(name)])
                device = _devices[name] = module.device()
    return device
