"""The driver's functions that pycuda lacks, through ctypes, on pycuda's streams and context.

In: names and arguments as the driver's manual has them. Out: nothing, or the error that pycuda
would raise. Called by `graphs` and by what orders picograd's stream with others.

>>> LEGACY, PER_THREAD
(1, 2)
"""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from typing import Any

from picograd.runtime.cuda import driver

LEGACY, PER_THREAD = 1, 2  # names of two default streams, which are no handles
NOT_READY = 600  # CUDA_ERROR_NOT_READY
_DISABLE_TIMING = 2
_MEMORY_TYPE, _HOST = 2, 1  # CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_MEMORYTYPE_HOST


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The driver's library: the one that pycuda has loaded."""
    return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")


def version() -> str:
    """The newest version of CUDA that the driver knows."""
    found = ctypes.c_int()
    library().cuDriverGetVersion(ctypes.byref(found))
    return f"{found.value // 1000}.{found.value % 1000 // 10}"


def call(name: str, *arguments: Any) -> None:
    """Call a function of the driver. Raises RuntimeError with the driver's words."""
    function = getattr(library(), name, None)
    if function is None:
        raise RuntimeError(
            f"CUDA error: this driver has no {name}, it is too old (CUDA {version()}). "
            "Upgrade NVIDIA's driver."
        )
    check(name, function(*arguments))


def check(name: str, code: int) -> None:
    """Raise RuntimeError for what a function of the driver has answered, unless it is 0."""
    if code:
        text = ctypes.c_char_p()
        library().cuGetErrorString(code, ctypes.byref(text))
        said = text.value.decode() if text.value else f"error {code}"
        raise driver.failed(RuntimeError(f"{name} failed: {said}"))


def handle(stream: int) -> ctypes.c_void_p:
    """A stream, for `call`."""
    return ctypes.c_void_p(stream)


def is_pinned(address: int) -> bool:
    """Whether host memory is pinned, by whomever: the driver copies from it later."""
    kind = ctypes.c_uint()
    with driver.get():
        code = library().cuPointerGetAttribute(
            ctypes.byref(kind), _MEMORY_TYPE, ctypes.c_uint64(address)
        )
    return not code and kind.value == _HOST


def order(first: int, second: int) -> None:
    """What stream `second` gets from now on waits for all that `first` has got."""
    if first == second:
        return
    event = ctypes.c_void_p()
    with driver.get():
        call("cuEventCreate", ctypes.byref(event), _DISABLE_TIMING)
        try:
            call("cuEventRecord", event, ctypes.c_void_p(first))
            call("cuStreamWaitEvent", ctypes.c_void_p(second), event, 0)
        finally:
            call("cuEventDestroy_v2", event)
