"""A caching allocator of aligned host memory.

In: sizes in bytes, from `runtime.buffer` and the executables. Out: `Block`s, each of which gives
its memory back when it is garbage-collected. Memory that comes back is kept and handed out again,
because pages that the kernel has to map and clear cost more than most kernels: a fresh 64 MB
result takes tens of milliseconds, writing it again takes two.

Freeing must be safe at any point (the garbage collector may run inside `allocate`), so a dying
block only appends its chunk to a deque; whoever holds the lock next sorts the deque into the
free lists.

>>> allocator = Allocator(limit=1 << 20)
>>> block = allocator.allocate(1000)
>>> block.address % ALIGNMENT, allocator.allocated
(0, 1024)
>>> del block
>>> allocator.allocated, allocator.reserved
(0, 1024)
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from functools import lru_cache
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np

from picograd.runtime.fork import renew_in_child

ALIGNMENT = 64
LARGE = 1 << 20  # from here on a chunk is its own mapping
HUGE_PAGE = 2 << 20


class Chunk(NamedTuple):
    """Memory of the system: `capacity` usable bytes at `address`, alive as long as `backing`.
    When it is obtained they are zeros if `cleared`."""

    address: int
    capacity: int
    backing: object
    cleared: bool = False


class Block:
    """`size` bytes at `address`; the memory returns to its allocator when the block dies.

    It offers `__array_interface__`, so `numpy.asarray(block)` is a uint8 array over the memory
    that keeps the block alive.
    """

    __slots__ = ("_allocator", "_chunk", "address", "cleared", "size")

    def __init__(
        self, chunk: Chunk, size: int, allocator: Allocator, cleared: bool = False
    ) -> None:
        self.cleared = cleared  # whether it came as zeros, of which no page was touched yet
        self._chunk = chunk
        self._allocator = allocator
        self.address = chunk.address
        self.size = size

    @property
    def __array_interface__(self) -> dict[str, object]:
        return {
            "version": 3,
            "shape": (self.size,),
            "typestr": "|u1",
            "data": (self.address, False),
        }

    def __del__(self) -> None:
        self._allocator.release(self._chunk)


@lru_cache(maxsize=4096)
def size_class(size: int) -> int:
    """The capacity that serves a request: multiples of 64 up to 1 KiB, then eight classes for
    each power of two, so that at most an eighth is wasted.

    >>> size_class(0), size_class(65), size_class(1025), size_class(1 << 26)
    (64, 128, 1152, 67108864)
    """
    if size <= 1024:
        return max(ALIGNMENT, -(-size // ALIGNMENT) * ALIGNMENT)
    step = 1 << ((size - 1).bit_length() - 4)
    return -(-size // step) * step


class LowestFirst:
    """Free chunks of which the one with the lowest address is handed out first: equal requests
    that find equal memory free get equal addresses, in whatever order it became free."""

    def __init__(self) -> None:
        self._heap: list[Chunk] = []

    def append(self, chunk: Chunk) -> None:
        heappush(self._heap, chunk)

    def pop(self) -> Chunk:
        return heappop(self._heap)

    popleft = pop

    def __len__(self) -> int:
        return len(self._heap)


class Allocator:
    """Free lists by size class, at most `limit` bytes in them.

    When more would be cached, the least recently used size class gives up its oldest chunk.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._returned: deque[Chunk] = deque()
        self._free: OrderedDict[int, deque[Chunk] | LowestFirst] = OrderedDict()
        self._cached = 0
        self._allocated = 0
        self._lock = threading.Lock()

    def allocate(self, size: int) -> Block:
        """Memory of at least `size` bytes, not cleared. Raises RuntimeError when there is none."""
        capacity = size_class(size)
        with self._lock:
            if self._returned:
                self._sort()
            chunks = self._free.get(capacity)
            self._allocated += capacity
            if chunks:
                self._cached -= capacity
                self._free.move_to_end(capacity)
                return Block(chunks.pop(), size, self)
        try:
            chunk = self.obtain(capacity)
        except (MemoryError, OSError, ValueError, OverflowError):
            chunk = self._retry(capacity, size)
        return Block(chunk, size, self, chunk.cleared)

    def allocate_all(self, sizes: Sequence[int]) -> list[Block]:
        """A block for each size, under one lock where they are at hand."""
        blocks: list[Block] = []
        with self._lock:
            if self._returned:
                self._sort()
            for size in sizes:
                capacity = size_class(size)
                chunks = self._free.get(capacity)
                if not chunks:
                    break
                self._allocated += capacity
                self._cached -= capacity
                self._free.move_to_end(capacity)
                blocks.append(Block(chunks.pop(), size, self))
        for size in sizes[len(blocks) :]:
            blocks.append(self.allocate(size))
        return blocks

    def release(self, chunk: Chunk) -> None:
        """Take a chunk back: called by dying blocks, on any thread, even inside `allocate`."""
        self._returned.append(chunk)
        if chunk.capacity >= LARGE and self._lock.acquire(blocking=False):
            try:
                self._sort()
            finally:
                self._lock.release()

    def empty_cache(self) -> None:
        """Give all cached memory back to the system."""
        with self._lock:
            self._sort()
            self._free.clear()
            self._cached = 0

    @property
    def allocated(self) -> int:
        """Bytes in live blocks."""
        with self._lock:
            self._sort()
            return self._allocated

    @property
    def reserved(self) -> int:
        """Bytes in live blocks and in the cache."""
        with self._lock:
            self._sort()
            return self._allocated + self._cached

    def renew_lock(self) -> None:
        """For the child of a fork: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def _sort(self) -> None:
        """Move returned chunks to the free lists and trim those. The lock is held."""
        while self._returned:
            chunk = self._returned.popleft()
            self._allocated -= chunk.capacity
            self._cached += chunk.capacity
            chunks = self._free.get(chunk.capacity)
            if chunks is None:
                chunks = self._free[chunk.capacity] = self.kept()
            chunks.append(chunk)
            self._free.move_to_end(chunk.capacity)
        while self._cached > self.limit and self._free:
            capacity = next(iter(self._free))
            chunks = self._free[capacity]
            if chunks:
                chunks.popleft()
                self._cached -= capacity
            if not chunks:
                del self._free[capacity]

    def _retry(self, capacity: int, size: int) -> Chunk:
        """Ask the system once more, with nothing held back in the cache."""
        self.empty_cache()
        try:
            return self.obtain(capacity)
        except (MemoryError, OSError, ValueError, OverflowError) as error:
            with self._lock:
                self._allocated -= capacity
            raise self.refuse(size) from error

    # --- where the memory comes from: another kind of memory overrides these ------------------

    def obtain(self, capacity: int) -> Chunk:
        """Memory of the system. Raises MemoryError or its like when there is none."""
        return _map(capacity)

    def kept(self) -> deque[Chunk] | LowestFirst:
        """A new list of free chunks of one size: the one that came last is handed out first."""
        return deque()

    def refuse(self, size: int) -> RuntimeError:
        """What to raise when a request can't be served."""
        return RuntimeError(
            f"DefaultCPUAllocator: can't allocate memory: you tried to allocate {size} bytes "
            f"({self.allocated} are in use). Use smaller tensors or delete some."
        )


def _map(capacity: int) -> Chunk:
    """Fresh aligned memory: a part of a NumPy array, or a mapping of its own when large."""
    if capacity < LARGE:
        array = np.empty(capacity + ALIGNMENT - 1, np.uint8)
        address = array.ctypes.data
        return Chunk(address + -address % ALIGNMENT, capacity, array)
    alignment = HUGE_PAGE if capacity >= HUGE_PAGE else ALIGNMENT
    length = capacity + alignment
    if hasattr(mmap, "MAP_ANONYMOUS"):
        mapping = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    else:
        mapping = mmap.mmap(-1, length)
    start = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    skip = -start % alignment
    if alignment == HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # without huge pages small ones do
            mapping.madvise(mmap.MADV_HUGEPAGE, skip, capacity)
    return Chunk(start + skip, capacity, mapping, cleared=True)


def memory_of_machine() -> int:
    """The bytes of RAM that this process may use: the machine's, or its control group's limit."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        total = 4 << 30
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            return min(total, int(file.read()))
    except (OSError, ValueError):
        return total


HOST = Allocator(limit=memory_of_machine() // 4)
renew_in_child(HOST.renew_lock)


def memory_allocated() -> int:
    """The bytes of host memory that live tensors and running programs hold."""
    return HOST.allocated


def memory_reserved() -> int:
    """The bytes of host memory that picograd holds, its cache included."""
    return HOST.reserved


def empty_cache() -> None:
    """Give picograd's cached host memory back to the system."""
    HOST.empty_cache()
