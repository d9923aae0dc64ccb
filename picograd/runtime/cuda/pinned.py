"""Pinned memory of the host, from and to which copies run while the host goes on.

In: sizes, and the wish to copy. Out: `PinnedBuffer`, a buffer of the CPU in such memory. A copy to
it is waited for by whoever reads it first; memory of a dead one is not handed out again before the
copies that use it are done.

>>> PinnedBuffer.__mro__[1].__name__
'Buffer'
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from picograd.dtypes import DType
from picograd.runtime.allocator import Allocator, Block, Chunk
from picograd.runtime.buffer import Buffer
from picograd.runtime.cuda import capture, driver, memory

_LIMIT = 1 << 62  # all is kept: the driver takes milliseconds to pin memory


class PinnedAllocator(Allocator):
    """Free lists of pinned memory. `busy` has the event behind the last copy of a chunk."""

    def __init__(self) -> None:
        super().__init__(_LIMIT)
        self.busy: dict[int, Any] = {}

    def release(self, chunk: Chunk) -> None:
        self._returned.append(chunk)

    def obtain(self, capacity: int) -> Chunk:
        cuda = driver.get().cuda
        try:
            array = cuda.pagelocked_empty(capacity, np.uint8)
        except cuda.MemoryError as error:
            raise MemoryError(str(error)) from None
        return Chunk(array.ctypes.data, capacity, array)

    def refuse(self, size: int) -> RuntimeError:
        return RuntimeError(
            f"CUDA error: out of memory: tried to pin {size} bytes of the host's memory. "
            "Pin less, or delete pinned tensors."
        )

    def _sort(self) -> None:
        """As the base class, of what no copy uses any more. The context is current."""
        waiting = []
        for _ in range(len(self._returned)):
            chunk = self._returned.popleft()
            event = self.busy.get(chunk.address)
            if event is not None and not event.query():
                waiting.append(chunk)
                continue
            self.busy.pop(chunk.address, None)
            self._returned.append(chunk)
        super()._sort()
        self._returned.extend(waiting)


@lru_cache(maxsize=1)
def allocator() -> PinnedAllocator:
    """The allocator of this process."""
    opened = driver.get()
    made = PinnedAllocator()
    opened.at_end += [made.busy.clear, made.empty_cache]
    return made


class PinnedBuffer(Buffer):
    """A buffer of the CPU in pinned memory. Whoever asks for its address, or its array, waits for
    the copy that fills it; whoever may write to it, for the copy that reads it."""

    __slots__ = ("_arriving", "_place")
    pinned = True

    def __init__(self, dtype: DType, size: int, block: Block) -> None:
        self._arriving: Any = None
        super().__init__(dtype, size, "cpu", block.address, block)

    @property
    def address(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._wait()
        return self._place

    @address.setter
    def address(self, place: int) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._place = place

    @property
    def array(self) -> np.ndarray:
        self._wait()
        return super().array

    def exclusive(self) -> bool:
        _wait_for(allocator().busy.get(self._place))
        return super().exclusive()

    def _wait(self) -> None:
        if self._arriving is not None:
            _wait_for(self._arriving)
            self._arriving = None

    def _mark(self, opened: driver.Driver) -> Any:
        """An event behind the copy that was just enqueued, for who wants the memory next."""
        event = opened.cuda.Event(opened.cuda.event_flags.DISABLE_TIMING)
        event.record(opened.stream)
        allocator().busy[self._place] = event
        return event

    def send(self) -> memory.DeviceBuffer:
        """A copy on the GPU, enqueued."""
        capture.forbid("a tensor of the CPU is copied to the GPU")
        made = memory.empty(self.dtype, self.size)
        if self.size:
            with driver.get() as opened:
                opened.cuda.memcpy_htod_async(made.address, self._raw(), opened.stream)
                self._mark(opened)
        return made

    def receive(self, source: Buffer) -> None:
        """Let a buffer of the GPU be copied here."""
        capture.forbid("the CPU reads a tensor of the GPU")
        if self.size:
            with driver.get() as opened:
                opened.cuda.memcpy_dtoh_async(self._raw(), source.address, opened.stream)
                self._arriving = self._mark(opened)

    def _raw(self) -> np.ndarray:
        return super().array.view(np.uint8)


def _wait_for(event: Any) -> None:
    if event is not None:
        with driver.get():
            event.synchronize()


def empty(dtype: DType, size: int) -> PinnedBuffer:
    """A new pinned buffer with unspecified contents."""
    with driver.get():
        block = allocator().allocate(max(size * dtype.itemsize, 1))
    return PinnedBuffer(dtype, size, block)
