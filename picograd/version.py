"""`torch.version`: which libraries this build has.

In: nothing. Out: names. `cuda` is the version of CUDA that the driver knows; None without a GPU.

>>> from picograd.cuda import is_available
>>> (__getattr__("cuda") is not None) == is_available()
True
"""

from __future__ import annotations

from picograd import __version__ as __version__

hip: str | None = None
xpu: str | None = None
git_version = "unknown"
debug = False


def __getattr__(name: str) -> str | None:
    if name != "cuda":
        raise AttributeError(f"module 'torch.version' has no attribute '{name}'")
    from picograd.runtime.cuda import why_not
    from picograd.runtime.cuda.functions import version

    return version() if why_not() is None else None
