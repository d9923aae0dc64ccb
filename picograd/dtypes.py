"""Element types, their NumPy twins, and torch's promotion rules.

In: nothing but NumPy and ml_dtypes. Out: the `DType` constants (`float32`, `int64`, ...) and
`promote`. Every stage of the compiler uses this module; it imports none of them.

>>> from picograd.dtypes import float32, int64, promote
>>> promote(int64, float32)
torch.float32
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import ml_dtypes
import numpy as np

# The order of the kinds is the order of torch's promotion lattice: a value of a later kind wins.
KINDS = ("bool", "uint", "int", "float", "complex")


@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """One element type. There is exactly one instance of each, so `is` compares them.

    `kind` is one of `KINDS`; `itemsize` is in bytes; `numpy` is the NumPy type of the same bits.
    """

    name: str
    kind: str
    itemsize: int
    numpy: np.dtype

    # What follows from the kind; read so often that it is not computed again.
    bits: int = field(init=False)  # the width of one element (a bool is stored in one byte)
    is_bool: bool = field(init=False)
    is_integer: bool = field(init=False)  # true for signed and unsigned integers, not for bool
    is_signed: bool = field(init=False)
    is_float: bool = field(init=False)
    is_floating_point: bool = field(init=False)  # torch's name of `is_float`
    is_complex: bool = field(init=False)
    is_inexact: bool = field(init=False)  # true for the types that can carry a gradient

    def __post_init__(self) -> None:
        kind = self.kind
        for name, value in {
            "bits": 8 * self.itemsize,
            "is_bool": kind == "bool",
            "is_integer": kind in ("int", "uint"),
            "is_signed": kind in ("int", "float", "complex"),
            "is_float": kind == "float",
            "is_floating_point": kind == "float",
            "is_complex": kind == "complex",
            "is_inexact": kind in ("float", "complex"),
        }.items():
            object.__setattr__(self, name, value)

    @property
    def lowest(self) -> int | float | bool:
        """The least value: -inf for floats."""
        if self.kind == "float":
            return float("-inf")
        if self.kind == "bool":
            return False
        return -(1 << (self.bits - 1)) if self.kind == "int" else 0

    @property
    def highest(self) -> int | float | bool:
        """The greatest value: +inf for floats."""
        if self.kind == "float":
            return float("inf")
        if self.kind == "bool":
            return True
        return (1 << (self.bits - 1)) - 1 if self.kind == "int" else (1 << self.bits) - 1

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return {"bool": "bool_"}.get(self.name, self.name)


bool_ = DType("bool", "bool", 1, np.dtype(np.bool_))
uint8 = DType("uint8", "uint", 1, np.dtype(np.uint8))
uint16 = DType("uint16", "uint", 2, np.dtype(np.uint16))
uint32 = DType("uint32", "uint", 4, np.dtype(np.uint32))
uint64 = DType("uint64", "uint", 8, np.dtype(np.uint64))
int8 = DType("int8", "int", 1, np.dtype(np.int8))
int16 = DType("int16", "int", 2, np.dtype(np.int16))
int32 = DType("int32", "int", 4, np.dtype(np.int32))
int64 = DType("int64", "int", 8, np.dtype(np.int64))
float16 = DType("float16", "float", 2, np.dtype(np.float16))
bfloat16 = DType("bfloat16", "float", 2, np.dtype(ml_dtypes.bfloat16))
float32 = DType("float32", "float", 4, np.dtype(np.float32))
float64 = DType("float64", "float", 8, np.dtype(np.float64))
complex64 = DType("complex64", "complex", 8, np.dtype(np.complex64))
complex128 = DType("complex128", "complex", 16, np.dtype(np.complex128))

ALL = (
    bool_,
    uint8,
    uint16,
    uint32,
    uint64,
    int8,
    int16,
    int32,
    int64,
    float16,
    bfloat16,
    float32,
    float64,
    complex64,
    complex128,
)
# Types that have a name and limits; no tensor has them.
float8_e4m3fn = DType("float8_e4m3fn", "float", 1, np.dtype(ml_dtypes.float8_e4m3fn))
float8_e5m2 = DType("float8_e5m2", "float", 1, np.dtype(ml_dtypes.float8_e5m2))
WITHOUT_TENSORS = (float8_e4m3fn, float8_e5m2)
BY_NAME = {dtype.name: dtype for dtype in ALL}
_BY_NUMPY = {dtype.numpy: dtype for dtype in ALL}


def from_numpy(numpy_dtype: np.dtype) -> DType:
    """The DType with the bits of a NumPy dtype.

    Raises TypeError for NumPy types that no tensor can hold (strings, objects, big-endian numbers).
    """
    found = _BY_NUMPY.get(numpy_dtype)
    if found is None:
        for dtype in WITHOUT_TENSORS:
            if dtype.numpy == numpy_dtype:
                computable(dtype)
        raise TypeError(
            f"can't convert a NumPy array of type {numpy_dtype} to a tensor; the supported types "
            f"are {', '.join(dtype.name for dtype in ALL)}"
        )
    return found


_BY_PYTHON_TYPE = {bool: bool_, int: int64, float: float64, complex: complex128}


def computable(dtype: DType) -> DType:
    """The dtype itself. Raises NotImplementedError for one that no tensor can have."""
    if dtype.itemsize == 1 and dtype.kind == "float":
        raise NotImplementedError(f"tensors of {dtype} aren't supported: use torch.bfloat16")
    return dtype


def as_dtype(value: object, function: str, argument: str = "dtype") -> DType:
    """The dtype that an argument names: a DType, or one of Python's own number types.

    Raises TypeError for anything else.

    >>> as_dtype(float, "zeros")
    torch.float64
    """
    if isinstance(value, DType):
        return value
    if isinstance(value, type) and value in _BY_PYTHON_TYPE:
        return _BY_PYTHON_TYPE[value]
    found = repr(value) if isinstance(value, str) else type(value).__name__
    raise TypeError(f"{function}(): argument '{argument}' must be torch.dtype, not {found}")


@cache
def promote(first: DType, second: DType) -> DType:
    """The type of a binary operation on two tensors of equal rank category (torch's lattice).

    Raises RuntimeError for a mix of uint16/uint32/uint64 with signed integers, as torch does.
    """
    if first is second:
        return first
    low, high = sorted((first, second), key=lambda dtype: KINDS.index(dtype.kind))
    if low.kind == high.kind:
        if {low, high} == {float16, bfloat16}:
            return float32
        return low if low.itemsize > high.itemsize else high
    if high.kind == "int" and low.kind == "uint":
        return _promote_mixed_sign(low, high)
    if high.is_complex and low is float64:
        return complex128
    return high


def _promote_mixed_sign(unsigned: DType, signed: DType) -> DType:
    if unsigned is not uint8:
        raise RuntimeError(
            f"Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
            f"{unsigned.name.capitalize()} and {signed.name.capitalize()}"
        )
    return int16 if signed is int8 else signed


def real_of(dtype: DType) -> DType:
    """The type of the parts of a complex type; any other type is its own."""
    return {complex64: float32, complex128: float64}.get(dtype, dtype)
