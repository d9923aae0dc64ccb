"""`torch.accelerator`: the device besides the CPU, which is the GPU where there is one.

In: questions. Out: the answers of `picograd.cuda`.

>>> device_count() == int(is_available())
True
"""

from __future__ import annotations

from typing import Any

from picograd import cuda
from picograd.frontend.device import device


def is_available() -> bool:
    """Whether there is an accelerator."""
    return cuda.is_available()


def device_count() -> int:
    """How many there are."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> device | None:
    """The accelerator's device, or None."""
    return device("cuda", 0) if cuda.is_available() else None


def _check() -> None:
    if not cuda.is_available():
        raise RuntimeError("Cannot access accelerator device when none is available.")


def current_device_index() -> int:
    """The number of the accelerator in use."""
    _check()
    return cuda.current_device()


def set_device_index(device: Any, /) -> None:
    """Choose an accelerator."""
    _check()
    cuda.set_device(device)


def synchronize(device: Any = None, /) -> None:
    """Compute what is pending and wait for it."""
    _check()
    cuda.synchronize()


def current_stream(device: Any = None, /) -> cuda.Stream:
    """The stream in use."""
    _check()
    return cuda.current_stream()


def set_stream(stream: cuda.Stream) -> None:
    """Nothing: there is one stream."""
    _check()


def device_index(device: int | None, /) -> Any:
    """`with device_index(0):` does nothing: there is one accelerator."""
    _check()
    return cuda.current_stream()


set_device_idx, current_device_idx = set_device_index, current_device_index
