"""Device memory: blocks that are kept for reuse, and buffers in it.

In: sizes, and arrays to copy. Out: `DeviceBuffer`, what a tensor on "cuda" holds. All kernels and
copies go to one stream in order, so memory that a dying buffer gives back may be handed out again
at once: whoever gets it writes after the last one has read. Copies to the host wait.

>>> DeviceBuffer.__mro__[1].__name__
'Buffer'
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from picograd.dtypes import DType
from picograd.errors import OutOfMemoryError
from picograd.runtime.allocator import Allocator, Block, Chunk, LowestFirst
from picograd.runtime.buffer import Buffer
from picograd.runtime.cuda import capture, driver, functions
from picograd.runtime.cuda.corner import Piece, copy_corner

# What borrowed memory was kept alive by: no longer needed by us, and since then an event.
_leaving: deque[object] = deque()
_lent: deque[tuple[Any, list[object]]] = deque()


class DeviceAllocator(Allocator):
    """Free lists of device memory. Only `allocate` and `empty_cache` free any: they run with the
    context current, unlike a dying block."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._freed = self._returned
        self.most = limit  # bytes that it may have of the driver
        self.peak = 0  # the most bytes in live blocks
        self.peak_reserved = 0  # the most bytes from the driver

    def allocate(self, size: int) -> Block:
        block = super().allocate(size)
        self._look_for_peaks()
        return block

    def allocate_all(self, sizes: Sequence[int]) -> list[Block]:
        blocks = super().allocate_all(sizes)
        self._look_for_peaks()
        return blocks

    def _look_for_peaks(self) -> None:
        self.peak = max(self.peak, self._allocated)
        self.peak_reserved = max(self.peak_reserved, self._allocated + self._cached)

    def release(self, chunk: Chunk) -> None:
        self._freed.append(chunk)

    def divert(self, chunks: deque[Chunk] | None) -> None:
        """Keep what is given back from now on there, and not for reuse (None: for reuse)."""
        self._freed = self._returned if chunks is None else chunks

    def take_back(self, chunks: deque[Chunk]) -> None:
        """What was kept elsewhere is free again."""
        self._returned.extend(chunks)

    def reset_peak(self) -> None:
        """Begin to look for the peak anew."""
        self.peak = self.allocated
        self.peak_reserved = self.reserved

    def obtain(self, capacity: int) -> Chunk:
        cuda = driver.get().cuda
        # What is to be obtained counts as allocated already.
        if self._allocated + self._cached > self.most:
            raise MemoryError(f"only {self.most} bytes are allowed")
        try:
            memory = cuda.mem_alloc(capacity)
        except cuda.MemoryError as error:
            raise MemoryError(str(error)) from None
        return Chunk(int(memory), capacity, memory)

    def kept(self) -> LowestFirst:
        return LowestFirst()  # a graph whose addresses come again need not be updated

    def refuse(self, size: int) -> RuntimeError:
        free, total = driver.get().cuda.mem_get_info()
        return OutOfMemoryError(
            f"CUDA out of memory. Tried to allocate {size} bytes; the GPU has {total}, of which "
            f"{free} are free; picograd's tensors hold {self.allocated}{self._allowed(total)}. "
            "Use smaller tensors or delete some."
        )

    def _allowed(self, total: int) -> str:
        if self.most >= total:
            return ""
        return f" and may hold {self.most} (set_per_process_memory_fraction)"


@lru_cache(maxsize=1)
def allocator() -> DeviceAllocator:
    """The allocator of the device."""
    opened = driver.get()
    made = DeviceAllocator(limit=1 << 62)
    opened.at_end.append(made.empty_cache)
    return made


def allocate(size: int) -> Block:
    """Device memory, not cleared. Raises RuntimeError when there is none."""
    with driver.get() as opened:
        return allocate_all(opened, [size])[0]


def clear(address: int, words: int) -> None:
    """Enqueue zeros for 4-byte words."""
    with driver.get() as opened:
        opened.cuda.memset_d32_async(address, 0, words, opened.stream)


class DeviceBuffer(Buffer):
    """A buffer in device memory. `array` is a copy of its contents, which nobody can write to."""

    __slots__ = ()

    @property
    def array(self) -> np.ndarray:
        capture.forbid("the CPU reads a tensor of the GPU")
        opened = driver.get()
        contents = np.empty(self.size, self.dtype.numpy)
        if self.size:
            with opened:
                raw = contents.view(np.uint8)
                opened.cuda.memcpy_dtoh_async(raw, self.address, opened.stream)
                opened.synchronize()
        contents.flags.writeable = False
        return contents

    def write(self, array: np.ndarray) -> None:
        """Replace the contents. The array is free again when this returns."""
        noting = capture.current()
        if noting is not None:
            return self._note_write(noting, array)
        opened = driver.get()
        contents = np.ascontiguousarray(array, self.dtype.numpy).reshape(-1)
        if contents.size:
            with opened:
                # From pageable memory: the driver has read it when the call returns.
                opened.cuda.memcpy_htod_async(self.address, contents.view(np.uint8), opened.stream)
                if functions.is_pinned(contents.ctypes.data):
                    opened.synchronize()

    def _note_write(self, noting: capture.Capture, array: np.ndarray) -> None:
        """Later runs find the same constants: in a buffer that nobody else writes to."""
        contents = np.ascontiguousarray(array, self.dtype.numpy).reshape(-1)
        source = empty(self.dtype, self.size)
        with driver.get() as opened:
            if self.size:
                opened.cuda.memcpy_htod(source.address, contents.view(np.uint8))
        noting.kept_constants.append(source)
        self.copy_from(source)

    def copy_from(self, other: Buffer) -> None:
        if not isinstance(other, DeviceBuffer):
            capture.forbid("a tensor of the CPU is copied to the GPU")
            self.write(other.array)
        elif self.size:
            to, source, size = self.address, other.address, self.nbytes
            _give(
                lambda opened: opened.cuda.memcpy_dtod_async(to, source, size, opened.stream),
                *(self, other),
            )

    def copy_corner(self, shape: Sequence[int], other: Buffer, other_shape: Sequence[int]) -> None:
        mine, its = Piece(self.address, shape), Piece(other.address, other_shape)
        _give(lambda opened: copy_corner(opened, mine, its, self.dtype.itemsize), self, other)


def _give(action: capture.Action, *buffers: Buffer) -> None:
    """Enqueue work on buffers, or note it."""
    noting = capture.current()
    if noting is not None:
        noting.note(action, *buffers)
        return
    with driver.get() as opened:
        action(opened)


class _Borrowed:
    """Memory of somebody else, held until the work that was enqueued in our time is done."""

    __slots__ = ("_owner",)
    _leave = _leaving.append

    def __init__(self, owner: object) -> None:
        self._owner = owner

    def __del__(self) -> None:
        self._leave(self._owner)


def borrowed(dtype: DType, size: int, address: int, owner: object) -> DeviceBuffer:
    """A buffer over memory that lives as long as `owner`."""
    return DeviceBuffer(dtype, size, "cuda", address, _Borrowed(owner))


def _give_back(opened: driver.Driver) -> None:
    """Let go of borrowed memory whose last work is done. The context is current."""
    if _leaving:
        passed = opened.cuda.Event(opened.cuda.event_flags.DISABLE_TIMING)
        passed.record(opened.stream)
        owners = [_leaving.popleft() for _ in range(len(_leaving))]
        _lent.append((passed, owners))
        if _lent.clear not in opened.at_end:
            opened.at_end.append(_lent.clear)
    while _lent and _lent[0][0].query():
        _lent.popleft()


def empty(dtype: DType, size: int) -> DeviceBuffer:
    """A new buffer with unspecified contents."""
    block = allocate(max(size * dtype.itemsize, 1))
    return DeviceBuffer(dtype, size, "cuda", block.address, block)


def allocate_all(opened: driver.Driver, sizes: Sequence[int]) -> list[Block]:
    """A block of each size in bytes, not cleared. The context is current."""
    if _leaving or _lent:
        _give_back(opened)
    return allocator().allocate_all(sizes)
