"""Torch's rules for operands that differ in type, shape or device.

In: tensors and Python numbers. Out: tensors of one dtype, shape and device, ready for the
primitives. Every function that takes more than one operand calls `align` (or its parts
`result_type` and `broadcast_shapes`) first.

A dtype belongs to a category (bool < integer < float < complex). Operands of rank > 0 decide; a
0-d tensor or a Python number counts only when its category is higher than theirs.

>>> broadcast_shapes((2, 1), (3,))
(2, 3)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np

from picograd.dtypes import (
    DType,
    as_dtype,
    bool_,
    complex64,
    complex128,
    float32,
    float64,
    int64,
    promote,
)
from picograd.frontend import primitives
from picograd.frontend.tensor import Tensor
from picograd.graph.infer import numbered
from picograd.graph.ops import Shape

Number = bool | int | float | complex
Operand = Tensor | Number

_default: list[DType] = [float32]
_CATEGORIES = {"bool": 0, "uint": 1, "int": 1, "float": 2, "complex": 3}
TYPE_NAMES = {
    "bool": "Bool",
    "uint8": "Byte",
    "uint16": "UInt16",
    "uint32": "UInt32",
    "uint64": "UInt64",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "float32": "Float",
    "float64": "Double",
    "complex64": "ComplexFloat",
    "complex128": "ComplexDouble",
}


def type_name(dtype: DType) -> str:
    """Torch's name of a dtype in its error messages: `Float`, `Long`, ..."""
    return TYPE_NAMES[dtype.name]


def get_default_dtype() -> DType:
    """The dtype of Python floats and of `zeros(3)`."""
    return _default[0]


def set_default_dtype(d: DType) -> None:
    """Change the dtype of Python floats; it must be a float."""
    if not isinstance(d, DType) or not d.is_float:
        raise TypeError(f"only floating-point types are supported as the default type, got {d}")
    _default[0] = d


def default_complex() -> DType:
    """The dtype of Python complex numbers."""
    return complex128 if _default[0] is float64 else complex64


def as_complex(dtype: DType) -> DType:
    """The complex type whose parts hold a float type."""
    if dtype.is_complex:
        return dtype
    return complex128 if dtype is float64 else complex64


def number_dtype(value: Number) -> DType:
    """The dtype that a Python number has on its own."""
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int64
    return _default[0] if isinstance(value, float) else default_complex()


def category(dtype: DType) -> int:
    """0 for bool, 1 for integers, 2 for floats, 3 for complex numbers."""
    return _CATEGORIES[dtype.kind]


def _combine(higher: DType | None, lower: DType | None) -> DType | None:
    """The dtype of operands of two priorities: the lower counts only by its category."""
    if higher is None or lower is None:
        return lower if higher is None else higher
    if higher.is_complex:
        return higher
    if higher.is_float:
        return as_complex(higher) if lower.is_complex else higher
    if higher is bool_ or lower.is_inexact:
        return promote(higher, lower)
    return higher


def _join(dtype: DType | None, other: DType) -> DType:
    return other if dtype is None else promote(dtype, other)


def result_type(*tensors: Operand) -> DType:
    """The dtype of an arithmetic operation on tensors and Python numbers."""
    ranked: DType | None = None
    scalar: DType | None = None
    number: DType | None = None
    for operand in tensors:
        if isinstance(operand, Tensor):
            if operand._shape:
                ranked = _join(ranked, operand.dtype)
            else:
                scalar = _join(scalar, operand.dtype)
        else:
            number = _join(number, number_dtype(operand))
    result = _combine(ranked, _combine(scalar, number))
    if result is None:
        raise TypeError("result_type() needs at least one tensor or number")
    return result


def promote_types(type1: DType | type, type2: DType | type) -> DType:
    """The smallest dtype that is not smaller in size or category than both."""
    return promote(
        as_dtype(type1, "promote_types", "type1"), as_dtype(type2, "promote_types", "type2")
    )


def can_cast(from_: DType | type, to: DType | type) -> bool:
    """Whether a result of type `from_` may be stored in a tensor of type `to`."""
    from_, to = as_dtype(from_, "can_cast", "from_"), as_dtype(to, "can_cast", "to")
    if from_.is_complex and not to.is_complex:
        return False
    if from_.is_float and not to.is_inexact:
        return False
    if from_.kind == "int" and to.kind == "uint":
        return True
    return not (to is bool_ and from_ is not bool_)


def check_cast(result: DType, to: DType) -> None:
    """Raise torch's RuntimeError where an in-place or `out=` result would lose its category."""
    if not can_cast(result, to):
        raise RuntimeError(
            f"result type {type_name(result)} can't be cast to the desired output type "
            f"{type_name(to)}"
        )


def broadcast_pair(first: Shape, second: Shape) -> Shape:
    """The common shape of two operands; torch's RuntimeError if there is none."""
    if first == second:
        return first
    rank = max(len(first), len(second))
    left = (1,) * (rank - len(first)) + first
    right = (1,) * (rank - len(second)) + second
    result = []
    for axis in range(rank - 1, -1, -1):
        a, b = left[axis], right[axis]
        if a != b and a != 1 and b != 1:
            raise RuntimeError(
                f"The size of tensor a ({a}) must match the size of tensor b ({b}) at "
                f"non-singleton dimension {axis} (shapes {list(first)} and {list(second)})"
            )
        result.append(b if a == 1 else a)
    return tuple(reversed(result))


def broadcast_shapes(*shapes: Shape | int) -> Shape:
    """The common shape of any number of shapes (an int stands for a shape of one axis)."""
    result: Shape = ()
    for shape in shapes:
        one = (shape,) if isinstance(shape, int) else tuple(int(extent) for extent in shape)
        for extent in one:
            if extent < 0:
                raise RuntimeError(
                    "Trying to create tensor with negative dimension "
                    f"({extent}): ({', '.join(map(str, one))})"
                )
        try:
            result = broadcast_pair(result, one)
        except RuntimeError as error:
            raise RuntimeError(
                "Shape mismatch: objects cannot be broadcast to a single shape: "
                + ", ".join(str(list(s) if not isinstance(s, int) else [s]) for s in shapes)
            ) from error
    return result


def broadcast_to(x: Tensor, shape: Shape) -> Tensor:
    """`x` repeated to a shape that it broadcasts to (fresh storage)."""
    own = x._shape
    if own == shape:
        return x
    if len(own) < len(shape):
        x = primitives.reshape(x, (1,) * (len(shape) - len(own)) + own)
        if x._shape == shape:
            return x
    return primitives.expand(x, shape)


def number_of(value: object) -> Number | None:
    """A Python or NumPy number as a Python number; None for anything else."""
    if isinstance(value, (bool, int, float, complex)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    return None


def operand(value: object, name: str = "other", function: str = "function") -> Operand:
    """An argument as a tensor or a Python number; TypeError for anything else."""
    if isinstance(value, Tensor):
        return value
    number = number_of(value)
    if number is not None:
        return number
    if isinstance(value, np.ndarray):
        from picograd.frontend.interop import tensor

        return tensor(value)
    raise TypeError(
        f"{function}(): argument '{name}' must be Tensor or a number, not {type(value).__name__}"
    )


def common_device(operands: Sequence[Operand]) -> str:
    """The device where the operands meet: that of the tensors of rank > 0, which must agree."""
    ranked = {t._storage.node.device for t in operands if isinstance(t, Tensor) and t._shape}
    if len(ranked) > 1:
        first, second = sorted(ranked)[:2]
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, "
            f"{numbered(first)} and {numbered(second)}!"
        )
    if ranked:
        return ranked.pop()
    for one in operands:
        if isinstance(one, Tensor):
            return one.node.device
    return "cpu"


def convert(value: Operand, dtype: DType, shape: Shape, device: str) -> Tensor:
    """One operand as a tensor of the given dtype, shape and device."""
    if not isinstance(value, Tensor):
        return primitives.constant(value, dtype, device, shape)
    here: Tensor = value if value.node.device == device else value.to(device)
    return broadcast_to(primitives.cast(here, dtype), shape)


def keeps_type(number: object, dtype: DType) -> TypeGuard[int | float]:
    """Whether a Python number is certain not to change the type of a tensor of `dtype`."""
    kind = type(number)
    return (kind is float and dtype.is_float) or (kind is int and dtype is not bool_)


def align(*operands: Operand, dtype: DType | None = None) -> tuple[Tensor, ...]:
    """The operands as tensors of one dtype (by default `result_type`), shape and device."""
    if len(operands) == 2:
        a, b = operands
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            same = a.dtype is b.dtype and a._shape == b._shape and dtype in (None, a.dtype)
            if same and a._storage.node.device == b._storage.node.device:
                return a, b
        elif isinstance(a, Tensor) and dtype is None and keeps_type(b, a.dtype):
            return a, primitives.constant(b, a.dtype, a._storage.node.device, a._shape)
    shape: Shape = ()
    for one in operands:
        if isinstance(one, Tensor):
            shape = broadcast_pair(shape, one._shape) if shape else one._shape
    device = common_device(operands)
    wanted = result_type(*operands) if dtype is None else dtype
    return tuple(convert(one, wanted, shape, device) for one in operands)


def wrap_dim(dim: int, rank: int) -> int:
    """A dimension counted from the end made positive; torch's IndexError outside the range."""
    span = max(rank, 1)
    if not -span <= dim < span:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-span}, {span - 1}], "
            f"but got {dim})"
        )
    return dim + span if dim < 0 else int(dim)


def wrap_dims(dims: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Several dimensions (None or empty: all), positive, in the order given, each once."""
    if dims is None:
        return tuple(range(rank))
    if isinstance(dims, int):
        return (wrap_dim(dims, rank),)
    wrapped = tuple(wrap_dim(int(dim), rank) for dim in dims)
    if len(set(wrapped)) != len(wrapped):
        twice = next(dim for dim in wrapped if wrapped.count(dim) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return wrapped or tuple(range(rank))
