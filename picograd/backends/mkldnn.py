"""Intel's library of layers, which picograd doesn't use.

>>> is_available()
False
"""

enabled = False


def is_available() -> bool:
    """Whether the library is there."""
    return False
