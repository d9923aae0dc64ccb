"""Checks that the shape and dtype rules share, each with torch's message.

In: an op with the sources or attribute to check. Out: nothing, or an exception that names the
shapes and dtypes. Called by the rules of `infer.py`, `infer_elementwise.py`, `infer_movement.py`.

>>> from picograd.graph.ops import Op
>>> check_axes(Op.FLIP, (2,), 2)
Traceback (most recent call last):
IndexError: Dimension out of range (expected to be in range of [0, 1], but got 2) in flip
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from picograd.dtypes import DType
from picograd.graph.ops import Attr, Combiner, Op, Shape

if TYPE_CHECKING:
    from picograd.graph.node import Node

Sources = tuple["Node", ...]
Rule = Callable[[Op, Sources, Attr], tuple[DType, Shape]]
A = TypeVar("A")

# What torch calls the element types in its messages.
TORCH_NAMES = {
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


def describe(op: Op) -> str:
    """The name of an op in messages."""
    return op.name.lower()


def source_list(srcs: Sources) -> str:
    return ", ".join(f"{src.dtype.name}{list(src.shape)}" for src in srcs) or "nothing"


def attribute(op: Op, attr: Attr, kind: type[A]) -> A:
    if not isinstance(attr, kind):
        raise TypeError(f"{describe(op)} needs a {kind.__name__}, got {type(attr).__name__}")
    return attr


def check_arity(op: Op, srcs: Sources, count: int) -> None:
    if len(srcs) != count:
        raise TypeError(
            f"{describe(op)} takes {count} sources, got {len(srcs)}: {source_list(srcs)}"
        )


def not_implemented(op: Op, dtype: DType) -> NotImplementedError:
    return NotImplementedError(
        f"\"{describe(op)}\" not implemented for '{TORCH_NAMES[dtype.name]}'"
    )


def check_same_shape(op: Op, first: Node, second: Node) -> None:
    a, b = first.shape, second.shape
    if a == b:
        return
    if len(a) == len(b):
        for axis, (m, n) in enumerate(zip(a, b, strict=True)):
            if m != n:
                raise RuntimeError(
                    f"The size of tensor a ({m}) must match the size of tensor b ({n}) at "
                    f"non-singleton dimension {axis}: {describe(op)} of shapes {list(a)} and "
                    f"{list(b)}"
                )
    raise RuntimeError(
        f"The number of dimensions of tensor a ({len(a)}) must match that of tensor b ({len(b)}): "
        f"{describe(op)} of shapes {list(a)} and {list(b)}; expand them to one shape first"
    )


def check_same_dtype(op: Op, first: Node, second: Node) -> None:
    if first.dtype is not second.dtype:
        raise RuntimeError(
            f"expected both tensors of {describe(op)} to have the same dtype, but got "
            f"{first.dtype.name} and {second.dtype.name}; cast one of them"
        )


def check_axes(op: Op, axes: tuple[int, ...], rank: int) -> None:
    for axis in axes:
        if not 0 <= axis < rank:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [0, {rank - 1}], but got "
                f"{axis}) in {describe(op)}"
            )
    if len(set(axes)) != len(axes):
        repeated = next(axis for axis in axes if axes.count(axis) > 1)
        raise RuntimeError(f"dim {repeated} appears multiple times in the list of dims {axes}")


def check_combiner(op: Op, combiner: Combiner, dtype: DType) -> None:
    if dtype.is_complex and combiner in (Combiner.MAX, Combiner.MIN):
        raise NotImplementedError(
            f"\"{combiner.name.lower()}\" not implemented for '{TORCH_NAMES[dtype.name]}'"
        )
