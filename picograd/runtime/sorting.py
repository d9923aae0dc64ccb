"""The order of rows, computed by generated code on all threads, or on the GPU where the rows are.

In: a buffer of rows. Out: the first k elements of each row in order and where they were (`order`),
or where the element of a rank is (`position`). Stable; NaN counts as the greatest number, and -0
equals 0. `frontend/sorting.py` calls it.

>>> import numpy as np
>>> from picograd.runtime.buffer import from_array
>>> x = from_array(np.array([3.0, 1.0, 2.0, 1.0], np.float32))
>>> values, indices = order(x, 1, 4, 4, descending=False)
>>> values.array.tolist(), indices.array.tolist()
([1.0, 1.0, 2.0, 3.0], [1, 3, 2, 0])
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from picograd.codegen.sorting import first
from picograd.codegen.sorting.module import PARTS, module
from picograd.codegen.sorting.radix import BINS, COUNTER_BYTES
from picograd.codegen.target import Target
from picograd.dtypes import DType, int64
from picograd.runtime import disk
from picograd.runtime.allocator import HOST
from picograd.runtime.buffer import Buffer, empty
from picograd.runtime.host import target
from picograd.runtime.jit import Library
from picograd.runtime.phases import Call, run
from picograd.runtime.pool import get_num_threads

LONG_ROW = 1 << 16  # from so many elements on, few rows are sorted one by one, by all threads
# From so many on, rows never share the threads: each keeps its scratch memory for the next phase.
HUGE_ROW = 1 << 22
MOST_BLOCKS = 64
MEANINGS = {"given": first.GIVEN, "median": first.MEDIAN, "nanmedian": first.NAN_MEDIAN}


@lru_cache(maxsize=256)
def _library(part: str, dtype: DType, machine: Target) -> Library:
    return disk.compiled(module(part, dtype, machine), machine)


def _address(part: str, dtype: DType, phase: str) -> int:
    return _library(part, dtype, target()).addresses[phase]


def order(
    x: Buffer, rows: int, n: int, k: int, descending: bool, with_values: bool = True
) -> tuple[Buffer, Buffer]:
    """The first k of every row in order, and their positions in the row (int64).

    Without values, the first result is empty. Raises RuntimeError for rows of 2**32 elements.
    """
    if n >= 1 << 32:
        raise RuntimeError(f"rows of 2**32 or more elements can't be sorted, and this has {n}")
    if x.device == "cuda":
        from picograd.runtime.cuda import sorting

        return sorting.order(x, rows, n, k, descending, with_values)
    values = empty(x.dtype, rows * k if with_values else 0)
    indices = empty(int64, rows * k)
    if not rows * k:
        return values, indices
    flip = -1 if descending else 0
    buffers = [x.address, values.address if with_values else 0, indices.address]
    if n <= first.RANKED or 2 * k <= n:
        room = min(n, max(256, 2 * k))
        work = n * 1.5 + k * 20.0
        call = Call(_address("first", x.dtype, "sort_first"), rows, work, (n, k, flip, room))
        run([call], buffers, first.scratch_bytes(k, room))
        return values, indices
    least, digits = _keys(x, descending)
    if n < LONG_ROW or (n < HUGE_ROW and rows >= 2 * get_num_threads()):
        work, numbers = n * (2.0 + 1.5 * digits), (n, k, flip, least, digits)
        call = Call(_address("rows", x.dtype, "sort_rows"), rows, work, numbers)
        run([call], buffers, COUNTER_BYTES + 2 * n * _record_bytes(x.dtype))
    else:
        _by_blocks(x, (rows, n, k), (flip, least, digits), buffers)
    return values, indices


def _keys(x: Buffer, descending: bool) -> tuple[int, int]:
    """The least key (wrapped to a signed number), and the digits of keys that count from it:
    integers are often less apart than their type allows."""
    if not x.dtype.is_integer:
        return 0, x.dtype.itemsize
    low, high = int(x.array.min()), int(x.array.max())
    sign = 1 << (x.dtype.bits - 1) if x.dtype.is_signed else 0
    least = ~(high + sign) if descending else low + sign
    wrapped = (least + (1 << 63)) % (1 << 64) - (1 << 63)
    return wrapped, max(1, -(-(high - low).bit_length() // 8))


def position(x: Buffer, rows: int, n: int, rank: int, meaning: str = "given") -> Buffer:
    """Where each row's element of a rank (from 0) is; or its median's, or that of what is not NaN,
    whatever the rank."""
    if x.device == "cuda":
        from picograd.runtime.cuda import sorting

        return sorting.position(x, rows, n, rank, MEANINGS[meaning])
    indices = empty(int64, rows)
    if rows:
        address = _address("rank", x.dtype, "sort_rank")
        numbers, together = (n, rank, MEANINGS[meaning]), 1 if n >= HUGE_ROW else rows
        for row in range(0, rows, together):
            here = [x.address + row * n * x.dtype.itemsize, indices.address + row * 8]
            call = Call(address, together, n * 3.0, numbers)
            run([call], here, first.rank_scratch_bytes(n))
    return indices


def _record_bytes(dtype: DType) -> int:
    return 16 if dtype.bits > 32 else 8


def _by_blocks(
    x: Buffer, extents: tuple[int, int, int], keys: tuple[int, int, int], buffers: list[int]
) -> None:
    """Long rows, one after another, each by all threads. `extents`: rows, n, k; `keys`: the flip
    mask, the least key, digits."""
    (rows, n, k), (flip, least, digits) = extents, keys
    size = max(LONG_ROW // 4, -(-n // MOST_BLOCKS))
    count = -(-n // size)
    records = [HOST.allocate(n * _record_bytes(x.dtype)) for _ in range(2)]
    counters = HOST.allocate(count * BINS * 8)
    start, *digit, finish = (_address("blocks", x.dtype, phase) for phase in PARTS["blocks"])
    for row in range(rows):
        homes = [block.address for block in records]
        cells = np.array([homes[0], homes[0], *homes], np.int64)
        here = [x.address + row * n * x.dtype.itemsize]
        here.append(buffers[1] and buffers[1] + row * k * x.dtype.itemsize)
        here += [buffers[2] + row * k * 8, counters.address, cells.ctypes.data]
        calls = [Call(start, count, size * 1.0, (n, size, flip, 0, count, least))]
        for shift in range(0, 8 * digits, 8):
            numbers, extents = (n, size, flip, shift, count, least), (count, 1, count)
            for address, extent, work in zip(digit, extents, (1.0, 0.0, 2.0), strict=True):
                calls.append(Call(address, extent, size * work, numbers))
        calls.append(Call(finish, -(-k // size), size * 2.0, (k, size, flip, 0, count, least)))
        run(calls, here)
