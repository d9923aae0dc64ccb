"""`torch.cuda.nvtx`: marks for NVIDIA's profilers, which picograd's kernels have by their names.

In: messages. Out: calls of NVIDIA's library of marks, where it is found; else the profiler is told
nothing, and the results are torch's all the same. Work is lazy: a range shows when the program said
what is in it, and what it was given to the GPU for. Without a GPU each raises RuntimeError, as in
torch.

>>> _find() is _find()
True
"""

from __future__ import annotations

import ctypes
import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from picograd.runtime import cuda as runtime

__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]

_NAMES = ("libnvToolsExt.so.1", "libnvToolsExt.so", "nvToolsExt64_1.dll")
_open = threading.local()
_handles = count(1)


@lru_cache(maxsize=1)
def _find() -> ctypes.CDLL | None:
    """The library: of the system, or of NVIDIA's wheel nvidia-nvtx."""
    spec = importlib.util.find_spec("nvidia")
    roots = (spec.submodule_search_locations or ()) if spec else ()
    wheels = [str(path) for root in roots for path in Path(root).glob("*/lib/libnvToolsExt.so*")]
    for name in (*_NAMES, *wheels):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.nvtxRangeStartA.restype = ctypes.c_uint64
        library.nvtxRangeEnd.argtypes = [ctypes.c_uint64]
        return library
    return None


def _library() -> ctypes.CDLL | None:
    if runtime.why_not() is not None:
        raise RuntimeError(
            "NVTX functions not installed. Are you sure you have a CUDA build? "
            f"({runtime.why_not()})"
        )
    return _find()


def range_push(msg: str) -> int:
    """Begin a range; the number of those around it."""
    library = _library()
    if library is not None:
        return library.nvtxRangePushA(msg.encode())
    depth = getattr(_open, "depth", 0)
    _open.depth = depth + 1
    return depth


def range_pop() -> int:
    """End the innermost range; the number of those around it."""
    library = _library()
    if library is not None:
        return library.nvtxRangePop()
    _open.depth = getattr(_open, "depth", 0) - 1
    return _open.depth


def range_start(msg: str) -> int:
    """Begin a range that may end on another thread; its handle."""
    library = _library()
    return next(_handles) if library is None else library.nvtxRangeStartA(msg.encode())


def range_end(range_id: int) -> None:
    """End the range of a handle."""
    library = _library()
    if library is not None:
        library.nvtxRangeEnd(range_id)


def mark(msg: str) -> None:
    """A moment."""
    library = _library()
    if library is not None:
        library.nvtxMarkA(msg.encode())


@contextmanager
def range(msg: str, *args: Any, **kwargs: Any) -> Iterator[None]:
    """A range around what is inside, or around each call of a function."""
    range_push(msg.format(*args, **kwargs))
    try:
        yield
    finally:
        range_pop()
