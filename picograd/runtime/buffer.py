"""Memory of a realised value.

In: a dtype and a size, or a NumPy array. Out: `Buffer`, which nodes hold (`node.buffer`), which
executables read and write, and whose `array` the frontend copies from. A buffer is flat and
row-major; shapes and strides belong to the tensors above it.

>>> from picograd.dtypes import float32
>>> buffer = empty(float32, 3)
>>> buffer.array[:] = [1, 2, 3]
>>> buffer.size, buffer.address % 64, float(buffer.array.sum())
(3, 0, 6.0)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import prod

import numpy as np

from picograd.dtypes import ALL, DType, from_numpy
from picograd.runtime.allocator import HOST, Block


class Buffer:
    """`size` elements of `dtype` at `address` on `device`, alive as long as `owner`.

    `array` is a one-dimensional NumPy view of the memory, made when it is first asked for; it
    keeps the memory alive on its own.
    """

    __slots__ = ("__weakref__", "_array", "address", "device", "dtype", "owner", "size")

    pinned = False  # whether a GPU copies from and to it by itself
    dtype: DType
    size: int
    device: str
    address: int
    owner: object

    def __init__(self, dtype: DType, size: int, device: str, address: int, owner: object) -> None:
        self.dtype = dtype
        self.size = size
        self.device = device
        self.address = address
        self.owner = owner
        self._array: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        """The size in bytes."""
        return self.size * self.dtype.itemsize

    @property
    def array(self) -> np.ndarray:
        if self._array is None:
            memory = np.asarray(self.owner)[: self.nbytes]
            self._array = memory.view(self.dtype.numpy)
        return self._array

    def bytes(self) -> np.ndarray:
        """A NumPy view of all bytes, at least `nbytes`, that keeps the memory alive on its own."""
        if self._array is None and isinstance(self.owner, Block):
            return np.asarray(self.owner)
        return self.array.view(np.uint8)

    def write(self, array: np.ndarray) -> None:
        """Replace the contents by those of an array with as many elements."""
        np.copyto(self.array, array.reshape(-1))

    def copy_from(self, other: Buffer) -> None:
        """Replace the contents by those of a buffer of the same dtype and size."""
        self.write(other.array)

    def copy_corner(self, shape: Sequence[int], other: Buffer, other_shape: Sequence[int]) -> None:
        """Replace the elements of two row-major arrays that have the same coordinates by the
        other's. The arrays need not fill their buffers."""
        part = tuple(slice(min(sizes)) for sizes in zip(shape, other_shape, strict=True))
        target = self.array[: prod(shape)].reshape(shape)
        target[part] = other.array[: prod(other_shape)].reshape(other_shape)[part]

    def clear_beyond(self, shape: Sequence[int], corner: Sequence[int]) -> None:
        """Make zeros of the elements of a row-major array that lie outside of a corner of it."""
        target = self.array[: prod(shape)].reshape(shape)
        for size in corner:
            target[size:] = 0
            target = np.moveaxis(target[:size], 0, -1)

    def exclusive(self) -> bool:
        """True when nobody else sees the memory: it is picograd's own, and no NumPy array over it
        is alive outside. Only then may a program write into it in place of making a copy."""
        if not isinstance(self.owner, Block):
            return False  # `_array` stays: it can't be made again from somebody else's array
        self._array = None
        return sys.getrefcount(self.owner) == _ALONE

    def __repr__(self) -> str:
        return f"<Buffer {self.dtype.name}[{self.size}] on {self.device}>"


def _count_alone() -> int:
    """What `sys.getrefcount(buffer.owner)` gives when the buffer is the only holder."""
    buffer = Buffer(ALL[0], 0, "cpu", 0, object())
    return sys.getrefcount(buffer.owner)


_ALONE = _count_alone()


def empty(dtype: DType, size: int, device: str = "cpu") -> Buffer:
    """A new buffer with unspecified contents, 64-byte aligned."""
    if device == "cuda":
        from picograd.runtime.cuda import memory

        return memory.empty(dtype, size)
    block = HOST.allocate(size * dtype.itemsize)
    return Buffer(dtype, size, device, block.address, block)


def filled(dtype: DType, size: int, number: int | float | complex | bool) -> Buffer:
    """A new buffer of the host that holds one number everywhere. Zeros in large new memory cost
    nothing until somebody reads or writes them."""
    buffer = empty(dtype, size)
    pattern = np.array(number, dtype.numpy)
    assert isinstance(buffer.owner, Block)
    if any(pattern.tobytes()) or not buffer.owner.cleared:
        buffer.array.fill(pattern[()])
    return buffer


def from_array(array: np.ndarray, device: str = "cpu") -> Buffer:
    """A buffer over the memory of a C-contiguous array; nothing is copied but to a GPU.

    Raises ValueError when the array is not C-contiguous or not writeable, because writes through
    the buffer must reach the array, and TypeError for element types that no tensor can hold.
    """
    dtype = from_numpy(array.dtype)
    if device == "cuda":
        copied = empty(dtype, array.size, device)
        copied.write(array)
        return copied
    if not array.flags.c_contiguous or not array.flags.writeable:
        raise ValueError(
            f"only a C-contiguous and writeable array can be shared, and this one of shape "
            f"{array.shape} and strides {array.strides} is not; copy it first (array.copy())"
        )
    flat = array.reshape(-1)
    buffer = Buffer(dtype, flat.size, device, flat.__array_interface__["data"][0], array)
    buffer._array = flat
    return buffer
