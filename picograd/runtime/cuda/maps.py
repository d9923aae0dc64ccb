"""Descriptors of boxes of memory, for kernels that fetch these with one instruction (TMA).

In: a `loops.TileMap` and the address of its argument. Out: 128 bytes, as the driver encodes them:
the last parameters of a launch. pycuda lacks this function. Called by `launch`.

>>> SIZE
128
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

from picograd.codegen.loops import TileMap
from picograd.dtypes import bfloat16, float16
from picograd.runtime.cuda.functions import call

SIZE = 128
_ALIGNMENT = 64  # of what the driver writes to
_TYPES = {float16: 6, bfloat16: 9}  # CU_TENSOR_MAP_DATA_TYPE_...
_NO_INTERLEAVE, _SWIZZLE_128, _L2_128, _ZEROS_OUTSIDE = 0, 3, 2, 0


@lru_cache(maxsize=4096)
def encode(tile: TileMap, address: int) -> bytes:
    """The descriptor of an argument at an address. Raises RuntimeError where there can be none."""
    size = tile.dtype.itemsize
    room = ctypes.create_string_buffer(SIZE + _ALIGNMENT)
    start = -ctypes.addressof(room) % _ALIGNMENT
    sizes = (ctypes.c_uint64 * 3)(*tile.sizes)
    strides = (ctypes.c_uint64 * 2)(*[stride * size for stride in tile.strides])
    box = (ctypes.c_uint32 * 3)(*tile.box)
    steps = (ctypes.c_uint32 * 3)(1, 1, 1)
    call(
        "cuTensorMapEncodeTiled",
        ctypes.byref(room, start),
        ctypes.c_int(_TYPES[tile.dtype]),
        ctypes.c_uint32(3),
        ctypes.c_void_p(address + tile.offset * size),
        *(sizes, strides, box, steps),
        *(_NO_INTERLEAVE, _SWIZZLE_128, _L2_128, _ZEROS_OUTSIDE),
    )
    return room.raw[start : start + SIZE]
