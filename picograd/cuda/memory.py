"""`torch.cuda.memory`: how much of the GPU's memory is in use.

In: questions. Out: bytes, as the allocator of `runtime.cuda.memory` counts them.

>>> issubclass(OutOfMemoryError, RuntimeError)
True
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from picograd.cuda.opening import opened
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


reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats
reset_accumulated_memory_stats = reset_peak_memory_stats


def memory_stats(device: Any = None) -> OrderedDict[str, int]:
    """The numbers above by the names that torch has for them."""
    found: OrderedDict[str, int] = OrderedDict()
    if _in_use():
        found["allocated_bytes.all.current"] = memory_allocated()
        found["allocated_bytes.all.peak"] = max_memory_allocated()
        found["reserved_bytes.all.current"] = memory_reserved()
        found["reserved_bytes.all.peak"] = max_memory_reserved()
    return found


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """The free bytes of the GPU's memory and all of them."""
    with opened() as gpu:
        return gpu.cuda.mem_get_info()


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Let tensors have only a part of the GPU's memory."""
    gpu = opened()
    if not isinstance(fraction, float):
        raise TypeError("Invalid type for fraction argument, must be `float`")
    if fraction < 0 or fraction > 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    memory.allocator().most = int(gpu.device.total_memory() * fraction)


def get_per_process_memory_fraction(device: Any = None) -> float:
    """The part of the GPU's memory that tensors may have."""
    total = opened().device.total_memory()
    return min(memory.allocator().most / total, 1.0)


def get_allocator_backend() -> str:
    """What torch calls an allocator that keeps memory for reuse."""
    return "native"


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
