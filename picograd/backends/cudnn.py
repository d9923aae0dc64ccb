"""Switches of NVIDIA's library of layers, which picograd doesn't use.

>>> is_available()
False
"""

enabled, benchmark, deterministic, allow_tf32 = False, False, False, False


def is_available() -> bool:
    """Whether the library is there."""
    return False


def version() -> None:
    """Its version: none."""
