"""`torch.cuda.memory`: how much of the GPU's memory is in use.

In: questions. Out: bytes, as the allocator of `runtime.cuda.memory` counts them.

>>> issubclass(OutOfMemoryError, RuntimeError)
True
"""

from __future__ import annotations

from typing import Any

from picograd.errors import OutOfMemoryError as OutOfMemoryError
from picograd.runtime.cuda import driver, memory


def _in_use() -> bool:
    return driver.get.cache_info().currsize > 0


def memory_allocated(device: Any = None) -> int:
    """The bytes of the GPU's memory that tensors hold."""
    return memory.allocator().allocated if _in_use() else 0


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that tensors and running programs held at once."""
    return memory.allocator().peak if _in_use() else 0


def memory_reserved(device: Any = None) -> int:
    """The bytes that picograd holds, those kept for reuse included."""
    return memory.allocator().reserved if _in_use() else 0


def max_memory_reserved(device: Any = None) -> int:
    """The most bytes that picograd held."""
    return memory.allocator().peak_reserved if _in_use() else 0


memory_cached, max_memory_cached = memory_reserved, max_memory_reserved


def reset_peak_memory_stats(device: Any = None) -> None:
    """Begin to look for the peak anew."""
    if _in_use():
        memory.allocator().reset_peak()


reset_max_memory_allocated = reset_accumulated_memory_stats = reset_peak_memory_stats


def memory_stats(device: Any = None) -> dict[str, int]:
    """The numbers above by the names that torch has for them."""
    if not _in_use():
        return {}
    return {
        "allocated_bytes.all.current": memory_allocated(),
        "allocated_bytes.all.peak": max_memory_allocated(),
        "reserved_bytes.all.current": memory_reserved(),
        "reserved_bytes.all.peak": max_memory_reserved(),
    }


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """The numbers above as a table."""
    rows = [f"| {name:28} | {size / 2**20:12.1f} MiB |" for name, size in memory_stats().items()]
    return "\n".join(rows)


def empty_cache() -> None:
    """Give memory that is kept for reuse back to the driver."""
    if _in_use():
        with driver.get():
            memory.allocator().empty_cache()


def ipc_collect() -> None:
    """Nothing: no other process uses this one's memory."""
