"""The operators of `Tensor`: Python's special methods over the registered functions.

In: the tables of `frontend/registry.py`. Out: `install`, which `picograd/__init__.py` calls once.
An operand that no operation understands makes the method return NotImplemented, so that the other
operand's class gets its turn.

>>> import picograd
>>> (2 - picograd.tensor([1, 2])).tolist()
[1, 0]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np

from picograd.frontend import slicing
from picograd.frontend.naming import recorded_as
from picograd.frontend.registry import FUNCTIONS, METHODS
from picograd.frontend.tensor import Tensor

if TYPE_CHECKING:
    Function = Callable[..., Tensor]

# special method -> function
UNARY = {"neg": "neg", "pos": "positive", "abs": "abs", "invert": "bitwise_not"}
BINARY = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "div",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
}
# What torch calls the step of a number that isn't on the left of the tensor.
REFLECTED = {"sub": "RsubBackward1", "truediv": "MulBackward0"}
COMPARISONS = {"eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge"}
OPERANDS = (Tensor, bool, int, float, complex, np.generic, np.ndarray)


def _forward(function: Function) -> Function:
    def method(self: Tensor, other: object) -> Tensor:
        return function(self, other) if isinstance(other, OPERANDS) else NotImplemented

    return method


def _reflected(function: Function, step: str | None) -> Function:
    def method(self: Tensor, other: object) -> Tensor:
        if not isinstance(other, OPERANDS):
            return NotImplemented
        return function(other, self)

    return method if step is None else cast("Function", recorded_as(step)(method))


def _writing(function: Function) -> Function:
    def method(self: Tensor, other: object) -> Tensor:
        if not isinstance(other, OPERANDS):
            return NotImplemented
        return self._assign(function(self, other))

    return method


def _inverting(function: Function) -> Function:
    def method(self: Tensor) -> Tensor:
        if self.dtype.is_inexact:
            raise TypeError(
                "~ (operator.invert) is only implemented on integer and Boolean-type tensors, not "
                f"{self.dtype}"
            )
        return function(self)

    return method


def install(tables: dict[str, Callable[..., object]] = FUNCTIONS) -> None:
    """Give `Tensor` its special methods."""
    methods: dict[str, Callable[..., object]] = {}
    for name, function_name in UNARY.items():
        if function_name in tables:
            function = cast("Function", tables[function_name])
            methods[f"__{name}__"] = _inverting(function) if name == "invert" else function
    for name, function_name in BINARY.items():
        function = tables.get(function_name)
        if function is not None:
            plain = cast("Function", METHODS.get(function_name, function))
            methods[f"__{name}__"] = _forward(plain)
            methods[f"__r{name}__"] = _reflected(plain, REFLECTED.get(name))
            methods[f"__i{name}__"] = _writing(plain)
    for name, function_name in COMPARISONS.items():
        function = tables.get(function_name)
        if function is not None:
            methods[f"__{name}__"] = _forward(
                cast("Function", METHODS.get(function_name, function))
            )
    methods["__getitem__"] = slicing.getitem
    methods["__setitem__"] = slicing.setitem
    methods["__rdiv__"] = methods["__rtruediv__"]
    for name, method in methods.items():
        setattr(Tensor, name, method)
