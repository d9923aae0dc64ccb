"""The LLVM types and constants of element types.

In: a `DType`, a number of lanes. Out: pieces of LLVM text. Used by all modules of `codegen.llvm`.
A value has one type in registers and another in memory where they must differ: bool is an `i1`
in registers and an `i8` in memory; bfloat16 is the `i16` of its bits in both (its arithmetic
runs in float32); complex numbers are two registers, and never come here.

>>> from picograd.dtypes import float32
>>> vector(register(float32), 16)
'<16 x float>'
>>> literal(0.1, float32)
'0x3FB99999A0000000'
"""

from __future__ import annotations

import struct
from functools import cache, lru_cache

import numpy as np

from picograd.dtypes import DType, bfloat16, float16, float64

_REGISTER = {"bool": "i1", "float16": "half", "bfloat16": "i16", "float32": "float"}


@cache
def register(dtype: DType) -> str:
    """The type of one element in a register."""
    if dtype is float64:
        return "double"
    return _REGISTER.get(dtype.name) or f"i{dtype.bits}"


@cache
def stored(dtype: DType) -> str:
    """The type of one element in memory."""
    return "i8" if dtype.is_bool else register(dtype)


@cache
def vector(element: str, lanes: int) -> str:
    """A vector type, or the element itself for one lane."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


_SUFFIX = {"half": "f16", "float": "f32", "double": "f64", "ptr": "p0"}


@cache
def suffix(element: str, lanes: int) -> str:
    """How the names of overloaded intrinsics spell a type: `v16f32`."""
    name = _SUFFIX.get(element, element)
    return name if lanes == 1 else f"v{lanes}{name}"


def double_text(value: float) -> str:
    """LLVM's exact spelling of a float or double constant: the bits of the double."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


@lru_cache(maxsize=4096)
def _literal(key: str, value: int | float | bool, dtype: DType) -> str:
    if dtype.is_bool:
        return "true" if value else "false"
    if dtype.is_integer:
        return str(int(value))
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.array(value, np.float64).astype(dtype.numpy)
    if dtype is float16 or dtype is bfloat16:
        bits = int(rounded.view(np.uint16))
        return f"0xH{bits:04X}" if dtype is float16 else str(bits)
    return double_text(float(rounded))


def literal(value: int | float | bool, dtype: DType) -> str:
    """One element as a constant of its register type."""
    key = float(value).hex() if dtype.is_float else str(value)
    return _literal(key, value, dtype)


@lru_cache(maxsize=4096)
def splat(element: str, constant: str, lanes: int) -> str:
    """A constant in every lane (or the constant itself for one lane)."""
    return constant if lanes == 1 else f"splat ({element} {constant})"


def sequence(element: str, constants: list[int]) -> str:
    """A vector constant of integers."""
    return "<" + ", ".join(f"{element} {constant}" for constant in constants) + ">"
