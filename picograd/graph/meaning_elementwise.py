"""The NumPy meaning of every elementwise op.

In: a node and the arrays of its sources. Out: the array of its value. `interpret.MEANING` lists
the functions by op; constant folding uses them through it. The semantics are those written down in
`ops.py`.

Transcendental functions of float32 are computed in float64 and rounded once, so they are the
correctly rounded values that compiled kernels are measured against. float16 and bfloat16 compute
in float32.

>>> import numpy as np
>>> floor_divide(np.array([7, -7, 7], np.int32), np.array([2, 2, 0], np.int32))
array([ 3, -4,  0], dtype=int32)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from picograd.dtypes import DType, bfloat16, float16, real_of
from picograd.graph.node import Node
from picograd.graph.ops import CastAttr

Arrays = Sequence[np.ndarray]
Function = Callable[..., np.ndarray]


def is_half(dtype: DType) -> bool:
    """True for the 16-bit floats, which compute in float32 and round once per node."""
    return dtype is float16 or dtype is bfloat16


def rounded(x: np.ndarray, dtype: DType) -> np.ndarray:
    """A float result in the node's dtype. 16-bit floats are rounded from float32."""
    if is_half(dtype):
        x = np.asarray(x, np.float32)
    return np.asarray(x, dtype.numpy)


def in_own_precision(function: Function) -> Callable[[Node, Arrays], np.ndarray]:
    """A function that NumPy rounds correctly in each type (float32 for the 16-bit floats)."""

    def meaning(node: Node, sources: Arrays) -> np.ndarray:
        if is_half(node.srcs[-1].dtype):
            sources = [x.astype(np.float32) if x.dtype != np.bool_ else x for x in sources]
        return rounded(function(*sources), node.dtype)

    return meaning


def in_double(function: Function) -> Callable[[Node, Arrays], np.ndarray]:
    """A transcendental function: computed in float64 (complex128), then rounded."""

    def meaning(node: Node, sources: Arrays) -> np.ndarray:
        wide = np.complex128 if node.dtype.is_complex else np.float64
        return rounded(function(*(x.astype(wide) for x in sources)), node.dtype)

    return meaning


# --- arithmetic -----------------------------------------------------------------------------------


def subtract(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.logical_xor(x, y) if x.dtype == np.bool_ else np.subtract(x, y)


def reciprocal(x: np.ndarray) -> np.ndarray:
    return np.divide(x.dtype.type(1), x)


def modulo(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Torch's remainder: the sign of the divisor; a zero keeps the sign of the dividend."""
    if x.dtype.kind != "f":
        return np.remainder(x, y)
    rest = np.asarray(np.fmod(x, y))
    return np.where((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest)


def floor_divide(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Torch's floor_divide, whose float form is exact where `floor(x / y)` is not."""
    if x.dtype.kind != "f":
        return np.floor_divide(x, y)
    rest = np.fmod(x, y)
    quotient = (x - rest) / y
    quotient = np.where((rest != 0) & ((rest < 0) != (y < 0)), quotient - 1, quotient)
    floor = np.floor(quotient)
    floor = np.where(quotient - floor > 0.5, floor + 1, floor)
    result = np.where(quotient != 0, floor, np.copysign(quotient.dtype.type(0), x / y))
    return np.where(y == 0, x / y, result)


def power(node: Node, sources: Arrays) -> np.ndarray:
    if not node.dtype.is_integer:
        return in_double(np.power)(node, sources)
    base, exponent = sources
    negative = exponent < 0
    result = np.power(base, np.where(negative, exponent.dtype.type(0), exponent))
    odd = (exponent & 1).astype(np.bool_)
    inverse = np.where(base == 1, 1, np.where(base == -1, np.where(odd, -1, 1), 0))
    return np.where(negative, inverse.astype(base.dtype), result)


def absolute(node: Node, sources: Arrays) -> np.ndarray:
    (x,) = sources
    if node.srcs[0].dtype.is_complex:
        return np.hypot(np.real(x).astype(np.float64), np.imag(x).astype(np.float64)).astype(
            real_of(node.srcs[0].dtype).numpy
        )
    return in_own_precision(np.abs)(node, sources)


def error_function(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x)).astype(np.float64)


def integral(function: Function) -> Callable[[Node, Arrays], np.ndarray]:
    """FLOOR, CEIL, TRUNC, ROUND: integers are their own."""

    def meaning(node: Node, sources: Arrays) -> np.ndarray:
        if node.dtype.is_integer:
            return sources[0]
        return in_own_precision(function)(node, sources)

    return meaning


# --- bits -----------------------------------------------------------------------------------------


def shift_left(x: np.ndarray, count: np.ndarray) -> np.ndarray:
    inside = (count >= 0) & (count < 8 * x.dtype.itemsize)
    zero = x.dtype.type(0)
    return np.where(inside, np.left_shift(x, np.where(inside, count, zero)), zero)


def shift_right(x: np.ndarray, count: np.ndarray) -> np.ndarray:
    inside = (count >= 0) & (count < 8 * x.dtype.itemsize)
    beyond = np.where(x < 0, x.dtype.type(-1), x.dtype.type(0)) if x.dtype.kind == "i" else 0
    shifted = np.right_shift(x, np.where(inside, count, x.dtype.type(0)))
    return np.where(inside, shifted, beyond).astype(x.dtype)


def bitcast(node: Node, sources: Arrays) -> np.ndarray:
    return np.array(sources[0], order="C").view(node.dtype.numpy)


# --- casts ----------------------------------------------------------------------------------------


def cast(node: Node, sources: Arrays) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, CastAttr)
    return convert_array(sources[0], node.srcs[0].dtype, attr.dtype)


def convert_array(x: np.ndarray, source: DType, target: DType) -> np.ndarray:
    """CAST: the rules of `ops.py` for numbers that the target cannot hold."""
    if source is target:
        return x
    if target.is_bool:
        return np.asarray(x != 0)
    if source.is_complex and not target.is_complex:
        x, source = np.real(x), real_of(source)
    if is_half(target):
        x = np.asarray(x, np.float32)
    if source.is_float and target.is_integer:
        return _float_to_integer(np.asarray(x, np.float64), target)
    return np.asarray(x).astype(target.numpy)


def _float_to_integer(x: np.ndarray, target: DType) -> np.ndarray:
    """Truncate; what int32 (int64 for 32-bit unsigned and wider) can't hold gives its least."""
    wide = np.int64 if target.itemsize == 8 or target.name == "uint32" else np.int32
    limit = float(np.iinfo(wide).max // 2 + 1) * 2
    truncated = np.trunc(x)
    inside = (truncated >= -limit) & (truncated < limit)
    result = np.where(inside, truncated, -limit).astype(wide)
    return result.astype(target.numpy)


def make_complex(node: Node, sources: Arrays) -> np.ndarray:
    result = np.empty(node.shape, node.dtype.numpy)
    result.real, result.imag = sources
    return result
