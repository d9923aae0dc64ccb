"""`torch.cpu`: the processor as a device like others.

In: nothing. Out: it is there, it is one, and its work is done when a function returns or a number
is asked for.

>>> is_available(), device_count(), current_device()
(True, 1, 'cpu')
"""

from __future__ import annotations

from typing import Any

from picograd.cpu import amp as amp

__all__ = [
    "current_device", "device_count", "is_available", "is_initialized", "set_device", "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """True."""
    return True


def is_initialized() -> bool:
    """True."""
    return True


def device_count() -> int:
    """1."""
    return 1


def current_device() -> str:
    """The only one."""
    return "cpu"


def set_device(device: Any) -> None:
    """Nothing to choose."""


def synchronize(device: Any = None) -> None:
    """Nothing to wait for."""
