"""Tensors out of a file's storages: the same views, sharing the same memory.

In: what a pickle says of a storage (dtype, record, length, location) and of a tensor over it
(offset, size, strides), none of which is trusted. Out: tensors. Tensors over one storage share
memory if their strides can be said in view steps (slices, transposes, expansions); overlapping
windows become copies.

>>> import numpy as np
>>> from picograd.dtypes import float32
>>> base = LoadedStorage(float32, 6, "cpu", lambda: np.arange(6, dtype=np.float32))
>>> column = base.tensor(1, (3,), (2,))
>>> column += 10
>>> base.tensor(0, (3, 2), (2, 1)).tolist()
[[0.0, 11.0], [2.0, 13.0], [4.0, 15.0]]
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from picograd.dtypes import DType
from picograd.frontend import view
from picograd.frontend.grad_mode import no_grad
from picograd.frontend.storage import strided
from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.node import leaf
from picograd.runtime import buffer as buffers

LONGEST_COPY = 1 << 28  # elements of a tensor that needs more memory than its storage has


class LoadedStorage:
    """One storage of a file: read when the first tensor over it is made."""

    def __init__(
        self, dtype: DType, length: int, device: str, contents: Callable[[], np.ndarray]
    ) -> None:
        self.dtype = dtype
        self.length = length
        self.device = device
        self._contents = contents
        self._root: Tensor | None = None  # all of the memory, as the first tensor saw it

    def cpu(self) -> LoadedStorage:
        """For functions given as `map_location`: the storage on the CPU."""
        self.device = "cpu"
        return self

    def _read(self, shape: tuple[int, ...]) -> Tensor:
        memory = buffers.empty(self.dtype, self.length, self.device)
        memory.write(self._contents())
        return wrap(leaf(memory, shape))

    def tensor(
        self,
        offset: int,
        size: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: DType | None = None,
    ) -> Tensor:
        """A tensor over the storage. Raises RuntimeError if it would leave the storage."""
        if dtype is not None and dtype is not self.dtype:
            self._see_as(dtype)
        _check(offset, size, strides, self.length)
        count = math.prod(size)
        whole = count == self.length and offset == 0 and view.is_contiguous(size, strides)
        if self._root is None:
            self._root = self._read(size if whole else (self.length,))
            if whole:
                return self._root
        with no_grad():
            flat = self._root.view(-1)
            if count == 0:
                made = flat[:0].view(size)
            elif view.is_contiguous(size, strides):
                made = flat[offset : offset + count].view(size)
            else:
                found = _as_views(flat, offset, size, strides)
                made = self._copy(offset, size, strides) if found is None else found
        return made._alias()

    def _see_as(self, dtype: DType) -> None:
        """An untyped storage gets the dtype of the first tensor over it."""
        if self._root is not None:
            raise RuntimeError("two tensors of different dtypes share a storage of the file")
        contents = self._contents
        self.length = self.length * self.dtype.itemsize // dtype.itemsize
        whole = self.length * dtype.itemsize
        self.dtype = dtype
        self._contents = lambda: typed(contents().view(np.uint8)[:whole], dtype)

    def _copy(self, offset: int, size: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
        count = math.prod(size)
        if count > max(LONGEST_COPY, self.length):
            raise RuntimeError(
                f"a tensor of size {list(size)} over a storage of {self.length} elements "
                "overlaps itself, and is too large to be copied"
            )
        array = strided(self._contents(), size, strides, offset)
        memory = buffers.empty(self.dtype, count, self.device)
        memory.write(array)
        return wrap(leaf(memory, size))


def typed(raw: np.ndarray, dtype: DType) -> np.ndarray:
    """Bytes as elements; what isn't 0 is True, so that a file can't bring other bools."""
    return raw != 0 if dtype.is_bool else raw.view(dtype.numpy)


def _check(offset: int, size: tuple[int, ...], strides: tuple[int, ...], length: int) -> None:
    """Everything a file may say of a tensor, before memory is touched."""
    numbers = (offset, *size, *strides)
    if not all(type(n) is int for n in numbers) or len(size) != len(strides):
        raise pickle.UnpicklingError(
            f"a tensor needs an integer offset, size and stride, not {numbers!r}"[:200]
        )
    if min(numbers) < 0 or max(numbers) >= 1 << 62 or len(size) > 64:
        raise RuntimeError(
            f"a tensor of size {list(size)[:8]} and strides {list(strides)[:8]} is impossible"
        )
    if math.prod(size) >= 1 << 62:
        raise RuntimeError(f"a tensor of size {list(size)[:8]} has too many elements")
    last = offset + sum((n - 1) * stride for n, stride in zip(size, strides, strict=True))
    if (0 in size and offset > length) or (0 not in size and last >= length):
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(strides)}, storage offset {offset} "
            f"need {last + 1} elements and are out of bounds for storage of size {length}"
        )


def _as_views(
    flat: Tensor, offset: int, size: tuple[int, ...], strides: tuple[int, ...]
) -> Tensor | None:
    """A strided window of flat memory by slicing, reshaping, permuting and expanding; None if
    that is impossible.

    Axes in the order of their strides are digits of a mixed-radix number, the element's place.
    Each digit takes part of its range, which is a slice.
    """
    axes = [axis for axis, n in enumerate(size) if n > 1 and strides[axis] > 0]
    axes.sort(key=lambda axis: -strides[axis])
    if not axes:
        narrow = flat[offset : offset + 1].view((1,) * len(size))
        return narrow.expand(size)
    lengths = [size[axis] for axis in axes]
    steps = [strides[axis] for axis in axes]
    if len(axes) == 1:
        window = flat[offset : offset + (lengths[0] - 1) * steps[0] + 1 : steps[0]]
    else:
        found = _digits(flat, offset, lengths, steps)
        if found is None:
            return None
        window = found
    order = sorted(range(len(axes)), key=lambda place: axes[place])
    window = window.permute(order)
    narrow = tuple([n if axis in axes else 1 for axis, n in enumerate(size)])
    # Extents of 1 are inserted; this never copies.
    return window.view(narrow).expand(size)


def _digits(flat: Tensor, offset: int, lengths: list[int], steps: list[int]) -> Tensor | None:
    """`flat` with an axis for every step, largest first; None if the steps don't nest."""
    span = lengths[0] * steps[0]
    start = min(offset, flat.numel() - span)
    if start < 0 or any(a % b for a, b in pairwise(steps)):
        return None
    radices = [a // b for a, b in pairwise(steps)]
    rest = offset - start
    cuts: list[slice] = [slice(None)]
    if rest >= steps[0]:
        return None
    for radix, length, step in zip(radices, lengths[1:], steps[1:], strict=True):
        digit, rest = divmod(rest, step)
        if digit + length > radix:
            return None
        cuts.append(slice(digit, digit + length))
    grid = flat[start : start + span].view(lengths[0], *radices, steps[-1])
    return grid[(*cuts, rest)]
