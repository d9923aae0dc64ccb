"""`torch.accelerator`: the device besides the CPU. There is none.

In: questions. Out: answers of a machine without one.

>>> is_available(), device_count(), current_accelerator()
(False, 0, None)
"""

from __future__ import annotations

from typing import Any, NoReturn

from picograd.frontend.device import device


def is_available() -> bool:
    """Whether there is an accelerator."""
    return False


def device_count() -> int:
    """How many there are."""
    return 0


def current_accelerator(check_available: bool = False) -> device | None:
    """The accelerator's device."""
    return None


def _none(*args: Any, **kwargs: Any) -> NoReturn:
    """Needs an accelerator."""
    raise RuntimeError("Cannot access accelerator device when none is available.")


set_device_index = set_device_idx = current_device_index = current_device_idx = _none
synchronize = current_stream = set_stream = device_index = _none
