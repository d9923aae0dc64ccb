"""Conversions named after types: `x.float()`, `x.long()`, ...

In: a tensor. Out: the tensor itself if it has the type, else a converted copy. `to` and `type` are
in `memory.py`.

>>> import picograd
>>> picograd.tensor([1.9, -1.9]).long()
tensor([ 1, -1])
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import cast

import numpy as np

from picograd import dtypes
from picograd.dtypes import DType
from picograd.frontend import primitives, promotion
from picograd.frontend.autocasting import in_float32
from picograd.frontend.memory_formats import formatted
from picograd.frontend.promotion import Operand, align
from picograd.frontend.registry import METHODS, operation
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Op

Method = Callable[..., object]

NAMES = {
    "float": dtypes.float32,
    "double": dtypes.float64,
    "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16,
    "long": dtypes.int64,
    "int": dtypes.int32,
    "short": dtypes.int16,
    "char": dtypes.int8,
    "byte": dtypes.uint8,
    "bool": dtypes.bool_,
    "cfloat": dtypes.complex64,
    "cdouble": dtypes.complex128,
}


def _register(name: str, dtype: DType) -> None:
    def convert(self: Tensor, memory_format: object = None) -> Tensor:
        return formatted(primitives.cast(self, dtype), memory_format)

    convert.__name__ = name
    convert.__qualname__ = f"Tensor.{name}"
    convert.__doc__ = f"The tensor as {dtype.name}."
    operation(function=False, name=name)(convert)


for _name, _dtype in NAMES.items():
    _register(_name, _dtype)


@operation(method=False)
def real(input: Tensor) -> Tensor:
    """The real parts; a real tensor itself."""
    return primitives.elementwise(Op.REAL, input) if input.dtype.is_complex else input


@operation(method=False)
def imag(input: Tensor) -> Tensor:
    """The imaginary parts of a complex tensor."""
    if not input.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return primitives.elementwise(Op.IMAG, input)


@operation()
def conj(input: Tensor) -> Tensor:
    """The complex conjugate."""
    if not input.dtype.is_complex:
        return input
    turned = primitives.elementwise(Op.NEG, primitives.elementwise(Op.IMAG, input))
    return primitives.elementwise(Op.COMPLEX, primitives.elementwise(Op.REAL, input), turned)


@operation(method=False, out=True, tensors=True)
def complex(real: Tensor, imag: Tensor) -> Tensor:
    """A complex tensor of two real ones of the same type."""
    if real.dtype is not imag.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {real.dtype.name} but got scalar type "
            f"{imag.dtype.name} for second argument"
        )
    return primitives.elementwise(Op.COMPLEX, *align(real, imag))


@operation(method=False, out=True, tensors=True)
@in_float32
def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """A complex tensor of absolute values and angles."""
    size, turn = align(abs, angle)
    cosine, sine = (primitives.elementwise(op, turn) for op in (Op.COS, Op.SIN))
    return primitives.elementwise(
        Op.COMPLEX,
        primitives.elementwise(Op.MUL, size, cosine),
        primitives.elementwise(Op.MUL, size, sine),
    )


@operation(
    method=False,
    also={
        "tensor": "tensor1",
        "other": "tensor2",
        "scalar": "tensor1",
        "scalar1": "tensor1",
        "scalar2": "tensor2",
    },
)
def result_type(tensor1: Operand, tensor2: Operand) -> DType:
    """The dtype of an arithmetic operation on two tensors or numbers."""
    for given in (tensor1, tensor2):
        if not isinstance(given, (Tensor, numbers.Number, np.generic)):
            raise TypeError(
                f"result_type(): arguments must be tensors or numbers, not {type(given).__name__}"
            )
    return promotion.result_type(tensor1, tensor2)


for _function in (
    promotion.promote_types,
    promotion.can_cast,
    promotion.broadcast_shapes,
    promotion.get_default_dtype,
    promotion.set_default_dtype,
):
    operation(method=False)(_function)

# Torch has these two as attributes of tensors.
METHODS["real"], METHODS["imag"] = (cast("Method", property(part)) for part in (real, imag))
