"""Attention's namespace: `SDPBackend`, `sdpa_kernel`, `flex_attention`.

In: names of the kernels that torch has for attention. Out: a context that changes nothing, since
here every attention is compiled from its definition (`nn/attention/dot_product.py`).

>>> with sdpa_kernel([SDPBackend.MATH, SDPBackend.FLASH_ATTENTION]):
...     pass
"""

from __future__ import annotations

import enum
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from picograd.frontend.missing import Missing as _Missing


class SDPBackend(enum.IntEnum):
    """Torch's implementations of attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(
    backends: list[SDPBackend] | SDPBackend, set_priority: bool = False
) -> Iterator[None]:
    """Ask for certain implementations; all of them are the same one here."""
    listed = [backends] if isinstance(backends, SDPBackend) else backends
    if not isinstance(listed, list) or not all(isinstance(one, SDPBackend) for one in listed):
        raise AssertionError("Backend must be an instance of SDPBackend or a list of SDPBackend")
    yield


def __getattr__(name: str) -> ModuleType:
    if name == "flex_attention":
        return importlib.import_module("picograd.nn.attention.flex_attention")
    raise _Missing("picograd.nn.attention", name, lambda: [*globals(), "flex_attention"])
