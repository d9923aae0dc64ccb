"""The driver, for what of `picograd.cuda` needs it.

In: nothing. Out: the driver, or torch's errors where there is no GPU.

>>> check_device(None), check_device("cuda:0")
(None, None)
"""

from __future__ import annotations

from typing import Any

from picograd.frontend.device import device as Device
from picograd.runtime import cuda as runtime
from picograd.runtime.cuda import driver


def opened() -> driver.Driver:
    """The driver. Raises AssertionError where there is no GPU, as torch without CUDA does."""
    reason = runtime.why_not()
    if reason is not None:
        raise AssertionError(
            f"Torch not compiled with CUDA enabled: {reason}. "
            "Ask `torch.cuda.is_available()` first."
        )
    return driver.get()


def required(name: str) -> driver.Driver:
    """The driver, for an object that torch without CUDA can't make. Raises RuntimeError."""
    reason = runtime.why_not()
    if reason is not None:
        raise RuntimeError(f"torch.cuda.{name} requires CUDA support: {reason}")
    return driver.get()


def number_of(device: Any) -> int | None:
    """The number of a GPU that an argument names; None where it names none."""
    if device is None or isinstance(device, int):
        return device
    found = Device(device)
    if found.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {found}")
    return found.index


def check_device(device: Any) -> None:
    """Raises AssertionError for any GPU but the first, as torch for one that is not there."""
    if number_of(device) not in (None, 0, -1):
        raise AssertionError(f"Invalid device id: picograd uses cuda:0, not {device}")
