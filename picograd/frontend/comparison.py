"""Comparison, logic and bit operations, element by element.

In: tensors and Python numbers that broadcast. Out: bool tensors (bit operations: of the operands'
dtype), and Python bools from `equal` and `allclose`.

>>> import picograd
>>> picograd.gt(picograd.tensor([1, 5]), 3)
tensor([False,  True])
"""

from __future__ import annotations

import math

from picograd.dtypes import bool_, float64
from picograd.frontend import primitives
from picograd.frontend.elementwise import abs, add, binary, filled_like, mul, sub
from picograd.frontend.promotion import Operand, align, operand, type_name
from picograd.frontend.registry import operation
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Op


@operation(inplace=True, out=True)
def eq(input: Tensor, other: Operand) -> Tensor:
    """`input == other`."""
    return binary(Op.EQ, "eq", input, other)


@operation(inplace=True, out=True, aliases=("not_equal",))
def ne(input: Tensor, other: Operand) -> Tensor:
    """`input != other`."""
    return binary(Op.NE, "ne", input, other)


@operation(inplace=True, out=True, aliases=("less",))
def lt(input: Tensor, other: Operand) -> Tensor:
    """`input < other`."""
    return binary(Op.LT, "lt", input, other)


@operation(inplace=True, out=True, aliases=("less_equal",))
def le(input: Tensor, other: Operand) -> Tensor:
    """`input <= other`."""
    return binary(Op.LE, "le", input, other)


@operation(inplace=True, out=True, aliases=("greater",))
def gt(input: Tensor, other: Operand) -> Tensor:
    """`input > other`."""
    a, b = align(operand(input, "input", "gt"), operand(other, "other", "gt"))
    return primitives.elementwise(Op.LT, b, a)


@operation(inplace=True, out=True, aliases=("greater_equal",))
def ge(input: Tensor, other: Operand) -> Tensor:
    """`input >= other`."""
    a, b = align(operand(input, "input", "ge"), operand(other, "other", "ge"))
    return primitives.elementwise(Op.LE, b, a)


@operation(tensors=True)
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and elements (a Python bool)."""
    return input.shape == other.shape and bool(eq(input, other).all().item())


@operation()
def isnan(input: Tensor) -> Tensor:
    """Where an element is not a number."""
    return primitives.elementwise(Op.NE, input, input)


@operation()
def isinf(input: Tensor) -> Tensor:
    """Where an element is infinite."""
    if not input.dtype.is_inexact:
        return filled_like(input, False, bool_)
    return eq(abs(input), math.inf)


@operation()
def isfinite(input: Tensor) -> Tensor:
    """Where an element is neither infinite nor NaN."""
    if not input.dtype.is_inexact:
        return filled_like(input, True, bool_)
    return lt(abs(input), math.inf)


@operation(out=True)
def isposinf(input: Tensor) -> Tensor:
    """Where an element is +inf."""
    return eq(input, math.inf) if input.dtype.is_float else filled_like(input, False, bool_)


@operation(out=True)
def isneginf(input: Tensor) -> Tensor:
    """Where an element is -inf."""
    return eq(input, -math.inf) if input.dtype.is_float else filled_like(input, False, bool_)


@operation(tensors=True)
def isclose(
    input: Tensor,
    other: Tensor,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> Tensor:
    """Where `|input - other| <= atol + rtol * |other|` or both are equal."""
    for name, bound in (("rtol", rtol), ("atol", atol)):
        if bound < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {bound}")
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{type_name(input.dtype)} did not match {type_name(other.dtype)}")
    close = eq(input, other)
    if input.dtype is bool_:
        return close
    if input.dtype.is_inexact and equal_nan:
        close = logical_or(close, logical_and(isnan(input), isnan(other)))
    if input.dtype.is_integer:  # whose differences may wrap round
        input, other = primitives.cast(input, float64), primitives.cast(other, float64)
    error = abs(sub(input, other))
    near = le(error, add(abs(mul(other, rtol)), atol))
    return logical_or(close, logical_and(isfinite(error), near))


@operation(tensors=True)
def allclose(
    input: Tensor,
    other: Tensor,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> bool:
    """Whether `isclose` holds everywhere (a Python bool)."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all().item())


# --- logic and bits ------------------------------------------------------------------------------


def truth(x: Tensor) -> Tensor:
    """`x != 0` as a bool tensor."""
    return x if x.dtype is bool_ else primitives.cast(x, bool_)


def _logical(op: Op, name: str, input: Operand, other: Operand) -> Tensor:
    a, b = align(operand(input, "input", name), operand(other, "other", name))
    return primitives.elementwise(op, truth(a), truth(b))


@operation(inplace=True, out=True, tensors=True)
def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """Where both are nonzero."""
    return _logical(Op.AND, "logical_and", input, other)


@operation(inplace=True, out=True, tensors=True)
def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """Where at least one is nonzero."""
    return _logical(Op.OR, "logical_or", input, other)


@operation(inplace=True, out=True, tensors=True)
def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """Where exactly one is nonzero."""
    return _logical(Op.XOR, "logical_xor", input, other)


@operation(inplace=True, out=True)
def logical_not(input: Tensor) -> Tensor:
    """Where an element is zero."""
    return primitives.elementwise(Op.NOT, truth(input))


def _bitwise(op: Op, name: str, input: Operand, other: Operand) -> Tensor:
    a, b = align(operand(input, "input", name), operand(other, "other", name))
    if a.dtype.is_inexact:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{type_name(a.dtype)}'")
    return primitives.elementwise(op, a, b)


@operation(inplace=True, out=True)
def bitwise_and(input: Operand, other: Operand) -> Tensor:
    """The bits that both have; logical for bool."""
    return _bitwise(Op.AND, "bitwise_and", input, other)


@operation(inplace=True, out=True)
def bitwise_or(input: Operand, other: Operand) -> Tensor:
    """The bits that either has; logical for bool."""
    return _bitwise(Op.OR, "bitwise_or", input, other)


@operation(inplace=True, out=True)
def bitwise_xor(input: Operand, other: Operand) -> Tensor:
    """The bits that differ; logical for bool."""
    return _bitwise(Op.XOR, "bitwise_xor", input, other)


@operation(inplace=True, out=True)
def bitwise_not(input: Tensor) -> Tensor:
    """The bits turned round; logical for bool."""
    if input.dtype.is_inexact:
        raise NotImplementedError(
            f"\"bitwise_not_cpu\" not implemented for '{type_name(input.dtype)}'"
        )
    return primitives.elementwise(Op.NOT, input)


@operation(inplace=True, out=True)
def bitwise_left_shift(input: Operand, other: Operand) -> Tensor:
    """`input << other`."""
    return _bitwise(Op.SHL, "lshift", input, other)


@operation(inplace=True, out=True)
def bitwise_right_shift(input: Operand, other: Operand) -> Tensor:
    """`input >> other`, arithmetic for signed types."""
    return _bitwise(Op.SHR, "rshift", input, other)
