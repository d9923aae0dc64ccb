"""Edge values of every dtype, and how tests run one op on them and compare."""

from __future__ import annotations

import math

import numpy as np

from picograd import dtypes as dt
from picograd.dtypes import DType
from picograd.graph.interpret import interpret
from picograd.graph.node import make
from picograd.graph.ops import (
    Op,
)
from tests.graph.builders import leaf, same_bits

FLOATS = [dt.float16, dt.bfloat16, dt.float32, dt.float64]


SIGNED = [dt.int8, dt.int16, dt.int32, dt.int64]


# Torch implements little arithmetic on the wider unsigned types.
INTEGERS = [dt.uint8, *SIGNED]


FLOAT_EDGES = [
    *(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, -7.0, 1e-3, 100.0, 1e4, -1e4),
    *(math.inf, -math.inf, math.nan, 6e-8, 1e-40, 3e38, 0.1, 0.7, 5.3),
]


def samples(dtype: DType) -> np.ndarray:
    if dtype.is_float:
        with np.errstate(all="ignore"):
            return np.array(FLOAT_EDGES).astype(np.float32).astype(dtype.numpy)
    if dtype.is_bool:
        return np.array([False, True])
    if dtype.is_complex:
        parts = [0.0, 1.0, -2.5, 0.3]
        return np.array([complex(a, b) for a in parts for b in parts], dtype.numpy)
    low, high = int(dtype.lowest), int(dtype.highest)
    edges = {low, low + 1, high, high - 1, 0, 1, 2, 3, 7, high // 2, *([-1, -2, -7] if low else [])}
    return np.array(sorted(edges)).astype(dtype.numpy)


def pairs(dtype: DType) -> tuple[np.ndarray, np.ndarray]:
    x = samples(dtype)
    return np.repeat(x, len(x)), np.tile(x, len(x))


def run(op: Op, arrays: list[np.ndarray], attr=None) -> np.ndarray:
    leaves = tuple(leaf(n, x.shape, dt.from_numpy(x.dtype)) for n, x in enumerate(arrays))
    node = make(op, leaves, attr) if attr is not None else make(op, leaves)
    return interpret([node], dict(enumerate(arrays)))[0]


def close(ours: np.ndarray, theirs: np.ndarray, ulps: float) -> bool:
    """Equal dtypes, and numbers that differ by at most some units in the last place."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    if ours.dtype.kind in "biu":
        return bool(np.array_equal(ours, theirs))
    if ulps == 0:
        return same_bits(ours, theirs)
    epsilon = {2: 2**-8 if ours.dtype != np.float16 else 2**-11, 4: 2**-24, 8: 2**-53, 16: 2**-53}
    if ours.dtype == np.complex64:
        epsilon[8] = 2**-24
    wide = np.complex128 if ours.dtype.kind == "c" else np.float64
    a, b = ours.astype(wide), theirs.astype(wide)
    return np.allclose(
        a, b, rtol=2 * ulps * epsilon[ours.itemsize], atol=_smallest(ours.dtype), equal_nan=True
    )


def _smallest(dtype: np.dtype) -> float:
    """The least number that both sides resolve (torch's bfloat16 functions drop subnormals)."""
    return {2: 6e-8 if dtype == np.float16 else 1.2e-38, 4: 1e-45}.get(dtype.itemsize, 1e-300)
