"""Switches of NVIDIA's library of layers, which picograd doesn't use: remembered.

>>> is_available(), enabled
(False, True)
>>> with flags(enabled=False):
...     enabled
True
"""

import contextlib
from collections.abc import Iterator
from typing import Any

enabled, benchmark, deterministic, allow_tf32 = True, False, False, True
benchmark_limit: int | None = None
fp32_precision = "none"


def is_available() -> bool:
    """Whether the library is there."""
    return False


def version() -> None:
    """Its version: none."""


def is_acceptable(tensor: Any) -> bool:
    """Whether the library would take a tensor."""
    return False


def set_flags(
    _enabled: bool | None = None,
    _benchmark: bool | None = None,
    _benchmark_limit: int | None = None,
    _deterministic: bool | None = None,
    _allow_tf32: bool | None = None,
    _fp32_precision: str = "none",
) -> tuple[Any, ...]:
    """Set those that are given; what they all were."""
    given = (_enabled, _benchmark, _benchmark_limit, _deterministic, _allow_tf32)
    names = ("enabled", "benchmark", "benchmark_limit", "deterministic", "allow_tf32")
    before = tuple([globals()[name] for name in names])
    globals().update({n: value for n, value in zip(names, given, strict=True) if value is not None})
    return (*before, fp32_precision)


@contextlib.contextmanager
def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
    fp32_precision: str = "none",
) -> Iterator[None]:
    """Set all of them for a while."""
    *before, _ = set_flags(enabled, benchmark, benchmark_limit, deterministic, allow_tf32)
    try:
        yield
    finally:
        set_flags(*before)
