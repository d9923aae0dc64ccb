"""Apple's GPUs, which picograd doesn't use.

>>> is_available()
False
"""


def is_available() -> bool:
    """Whether there is such a GPU that we can use."""
    return False


def is_built() -> bool:
    """Whether this build could use one."""
    return False
