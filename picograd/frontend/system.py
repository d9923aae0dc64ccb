"""Names that are about the machine rather than about numbers: threads, waiting, memory.

In: nothing. Out: `EXPORTS`, which `picograd/__init__.py` makes names of the package.

>>> import picograd
>>> y = picograd.ones(3) * 2
>>> picograd.synchronize()  # computes what is pending
"""

from __future__ import annotations

from picograd import engine
from picograd.frontend.limits import finfo, iinfo
from picograd.runtime import device


def synchronize() -> None:
    """Compute every live tensor that is pending, and wait for it.

    Tensors are lazy: a clock around an operation measures how long it takes to record it. Call
    this before you stop the clock (torch has `torch.cuda.synchronize` for the same reason).
    """
    engine.realize_pending()
    device.synchronize()


def set_num_threads(count: int) -> None:
    """How many threads programs of the CPU device use. Results do not depend on it.

    Raises RuntimeError unless the count is positive, as torch does.
    """
    from picograd.runtime import pool

    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"set_num_threads expects an int, but got {type(count).__name__}")
    if count < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    pool.set_num_threads(count)


def get_num_threads() -> int:
    """How many threads programs of the CPU device use."""
    from picograd.runtime import pool

    return pool.get_num_threads()


def memory_allocated() -> int:
    """Bytes of host memory that live tensors hold."""
    from picograd.runtime import allocator

    return allocator.memory_allocated()


EXPORTS: dict[str, object] = {
    "synchronize": synchronize,
    "set_num_threads": set_num_threads,
    "get_num_threads": get_num_threads,
    "memory_allocated": memory_allocated,
    "finfo": finfo,
    "iinfo": iinfo,
}
