"""Arithmetic, element by element.

In: tensors and Python numbers of any shapes that broadcast. Out: tensors. Each function is exported
as `picograd.name` and `Tensor.name`, most also as `Tensor.name_`. Exponentials, trigonometry and
activations are in
`transcendental.py`, comparison and logic in `comparison.py`, selection in `selection.py`.

>>> import picograd
>>> picograd.add(picograd.tensor([1, 2]), 0.5)
tensor([1.5000, 2.5000])
"""

from __future__ import annotations

import math

import numpy as np

from picograd.dtypes import DType, bool_, float64, int64
from picograd.frontend import primitives
from picograd.frontend.autograd import label
from picograd.frontend.composite import with_rule, without_derivative
from picograd.frontend.hostdata import known_values
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import (
    Number,
    Operand,
    align,
    broadcast_to,
    get_default_dtype,
    keeps_type,
    operand,
    result_type,
    type_name,
)
from picograd.frontend.registry import operation
from picograd.frontend.stamps import stamped
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Op


def floating(x: Tensor) -> Tensor:
    """`x` itself if it is a float or complex tensor, else cast to the default dtype."""
    if not isinstance(x, Tensor):
        raise TypeError(f"argument 'input' (position 1) must be Tensor, not {type(x).__name__}")
    return x if x.dtype.is_inexact else primitives.cast(x, get_default_dtype())


def filled_like(x: Tensor, value: Number, dtype: DType | None = None) -> Tensor:
    """A constant of the shape and device of `x`."""
    return primitives.constant(value, dtype or x.dtype, x.node.device, x._shape)


def binary(op: Op, name: str, a: object, b: object) -> Tensor:
    """A primitive of two operands after torch's promotion and broadcasting."""
    result = directly(op, a, b)
    if result is not None:
        return result
    first, second = align(operand(a, "input", name), operand(b, "other", name))
    return primitives.elementwise(op, first, second)


def directly(op: Op, a: object, b: object) -> Tensor | None:
    """A primitive of two operands of one dtype, broadcast; None if there is more to do."""
    if not isinstance(a, Tensor):
        return None
    dtype = a.dtype
    if not isinstance(b, Tensor):
        return primitives.with_number(op, a, b) if keeps_type(b, dtype) else None
    if b.dtype is not dtype or a._storage.node.device != b._storage.node.device:
        return None
    if a._shape == b._shape:
        return primitives.primitive(op, (a, b))
    return stamped(f"{op.name.capitalize()}Backward0", _broadcast, (a, b), op)


def _broadcast(a: Tensor, b: Tensor, op: Op) -> Tensor:
    return primitives.elementwise(op, *align(a, b))


def scaled(x: Operand, alpha: Number, name: str, bound: DType) -> Operand:
    """`alpha * x`, for the `alpha=` argument of add and sub."""
    if isinstance(alpha, bool) and bound is not bool_:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and not bound.is_inexact:
        raise RuntimeError("For integral input tensors, argument alpha must not be a float.")
    if isinstance(alpha, (bool, int, float, complex)) and alpha == 1:
        return x
    if isinstance(x, Tensor):
        a, b = align(x, alpha, dtype=bound)
        return primitives.elementwise(Op.MUL, a, b)
    return x * alpha


# --- arithmetic ---------------------------------------------------------------------------------


@operation(inplace=True, out=True)
def add(input: Tensor, other: Operand, *, alpha: Number = 1) -> Tensor:
    """`input + alpha * other`."""
    if alpha == 1 and alpha is not True:
        return binary(Op.ADD, "add", input, other)
    a, b = operand(input, "input", "add"), operand(other, "other", "add")
    return binary(Op.ADD, "add", a, scaled(b, alpha, "add", result_type(a, b)))


@operation(inplace=True, out=True, aliases=("subtract",))
def sub(input: Tensor, other: Operand, *, alpha: Number = 1) -> Tensor:
    """`input - alpha * other`."""
    if alpha == 1 and alpha is not True and isinstance(input, Tensor) and input.dtype is not bool_:
        result = directly(Op.SUB, input, other)
        if result is not None:
            return result
    a, b = operand(input, "input", "sub"), operand(other, "other", "sub")
    dtypes = [t.dtype if isinstance(t, Tensor) else result_type(t) for t in (a, b)]
    if all(dtype is bool_ for dtype in dtypes):
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` "
            "or `logical_xor()` operator instead."
        )
    if bool_ in dtypes:
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are "
            "trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    if not (alpha == 1 and alpha is not True):
        b = scaled(b, alpha, "sub", result_type(a, b))
    return primitives.elementwise(Op.SUB, *align(a, b))


@operation()
def rsub(input: Tensor, other: Operand, *, alpha: Number = 1) -> Tensor:
    """`other - alpha * input`."""
    first = operand(other, "other", "rsub")
    if not isinstance(first, Tensor):
        dtype = result_type(input, first)
        if input.dtype is bool_ or isinstance(first, bool):
            sub(input, True)
        first = primitives.constant(first, dtype, input.node.device)
    return label(sub(first, input, alpha=alpha), "RsubBackward1")


@operation(inplace=True, out=True, aliases=("multiply",))
def mul(input: Tensor, other: Operand) -> Tensor:
    """`input * other`."""
    return binary(Op.MUL, "mul", input, other)


@operation(
    inplace=True,
    out=True,
    aliases=(
        "divide",
        "true_divide",
    ),
)
def div(input: Tensor, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """`input / other`; integers become floats unless a rounding mode is given."""
    if rounding_mode == "floor":
        return _integer_division(Op.FLOORDIV, "div_floor", input, other)
    if rounding_mode is None and isinstance(input, Tensor) and input.dtype.is_inexact:
        result = directly(Op.DIV, input, other)
        if result is not None:
            return result
    a, b = operand(input, "input", "div"), operand(other, "other", "div")
    dtype = result_type(a, b)
    if rounding_mode is None:
        exact = dtype if dtype.is_inexact else get_default_dtype()
        return primitives.elementwise(Op.DIV, *align(a, b, dtype=exact))
    if rounding_mode != "trunc":
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    first, second = align(a, b)
    if dtype.is_float:
        return primitives.elementwise(Op.TRUNC, primitives.elementwise(Op.DIV, first, second))
    _check_divisor(b)
    quotient = primitives.elementwise(Op.FLOORDIV, first, second)
    product = primitives.elementwise(Op.MUL, quotient, second)
    inexact = primitives.elementwise(Op.NE, product, first)
    below = primitives.elementwise(Op.LT, quotient, filled_like(quotient, 0))
    up = primitives.cast(primitives.elementwise(Op.AND, inexact, below), dtype)
    return primitives.elementwise(Op.ADD, quotient, up)


def _check_divisor(divisor: Operand) -> None:
    """Torch's error for an integer division by zero, where the divisor is known already.

    A divisor that is still to be computed isn't computed for this: division by it gives 0.
    """
    known = known_values(divisor) if isinstance(divisor, Tensor) else divisor
    if known is not None and np.any(known == 0):
        raise RuntimeError("ZeroDivisionError: integer division or remainder by zero")


def _integer_division(op: Op, name: str, input: Operand, other: Operand) -> Tensor:
    a, b = operand(input, "input", name), operand(other, "other", name)
    first, second = align(a, b)
    if first.dtype is bool_ or first.dtype.is_complex:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{type_name(first.dtype)}'")
    if not first.dtype.is_float:
        _check_divisor(b)
    return primitives.elementwise(op, first, second)


@operation(inplace=True, out=True)
def floor_divide(input: Tensor, other: Operand) -> Tensor:
    """The quotient rounded towards minus infinity, as Python's `//`; it has no derivative."""
    result = _integer_division(Op.FLOORDIV, "floor_divide", input, other)
    inputs = [x for x in (input, other) if isinstance(x, Tensor)]
    return without_derivative("floor_divide", result, *inputs)


@operation(inplace=True, out=True)
def remainder(input: Tensor, other: Operand) -> Tensor:
    """The remainder with the sign of the divisor, as Python's `%`."""
    return _integer_division(Op.MOD, "remainder", input, other)


@operation(inplace=True, out=True)
def fmod(input: Tensor, other: Operand) -> Tensor:
    """The remainder with the sign of the dividend, as C's `fmod`."""
    a, b = operand(input, "input", "fmod"), operand(other, "other", "fmod")
    first, second = align(a, b)
    if not first.dtype.is_float:
        _check_divisor(b)
    if not first.dtype.is_signed:
        return primitives.elementwise(Op.MOD, first, second)
    if first.dtype.is_float:
        saved = (first, second)
        return with_rule("FmodBackward0", lambda: _float_fmod(*saved), saved, _fmod_rule, saved)
    rest = primitives.elementwise(Op.MOD, first, second)
    zero = filled_like(rest, 0)
    apart = primitives.elementwise(
        Op.NE, primitives.elementwise(Op.LT, rest, zero), primitives.elementwise(Op.LT, first, zero)
    )
    apart = primitives.elementwise(Op.AND, apart, primitives.elementwise(Op.NE, rest, zero))
    moved = primitives.elementwise(Op.SUB, rest, second)
    return primitives.elementwise(Op.WHERE, apart, moved, rest)


def _float_fmod(first: Tensor, second: Tensor) -> Tensor:
    from picograd.frontend.selection import copysign

    size = primitives.elementwise(
        Op.MOD, primitives.elementwise(Op.ABS, first), primitives.elementwise(Op.ABS, second)
    )
    return copysign(size, first)


def _fmod_rule(gradient: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    quotient = primitives.elementwise(Op.TRUNC, primitives.elementwise(Op.DIV, first, second))
    return gradient, mul(gradient, neg(quotient))


@operation(inplace=True, out=True, aliases=("negative",))
def neg(input: Tensor) -> Tensor:
    """`-input`."""
    if input.dtype is bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
            "invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return primitives.elementwise(Op.NEG, input)


@operation()
def positive(input: Tensor) -> Tensor:
    """`+input`: the tensor itself."""
    if input.dtype is bool_:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


@operation(inplace=True, out=True, aliases=("absolute",))
def abs(input: Tensor) -> Tensor:
    """The absolute value; of a complex tensor the modulus."""
    if input.dtype.is_complex:
        return with_rule("AbsBackward0", lambda: _modulus(input), (input,), _modulus_rule, (input,))
    if input.dtype is bool_:
        raise NotImplementedError("\"abs_cpu\" not implemented for 'Bool'")
    if input.dtype.kind == "uint":
        return input.clone()
    return primitives.elementwise(Op.ABS, input)


def _modulus(x: Tensor) -> Tensor:
    return _hypot(primitives.elementwise(Op.REAL, x), primitives.elementwise(Op.IMAG, x))


def _modulus_rule(gradient: Tensor, x: Tensor) -> tuple[Tensor]:
    """Along the number itself; 0 at 0."""
    size = abs(x)
    nothing = primitives.elementwise(Op.EQ, size, filled_like(size, 0))
    safe = primitives.elementwise(Op.WHERE, nothing, filled_like(size, 1), size)
    scale = div(gradient, safe)
    parts = [mul(scale, primitives.elementwise(op, x)) for op in (Op.REAL, Op.IMAG)]
    return (primitives.elementwise(Op.COMPLEX, *parts),)


@operation(inplace=True, out=True, tensors=True)
def hypot(input: Tensor, other: Tensor) -> Tensor:
    """`sqrt(input**2 + other**2)` without overflow on the way."""
    a, b = align(input, other)
    if not a.dtype.is_inexact:
        raise NotImplementedError(f"\"hypot_cpu\" not implemented for '{type_name(a.dtype)}'")
    return with_rule("HypotBackward0", lambda: _hypot(a, b), (a, b), _hypot_rule, (a, b))


def _hypot_rule(gradient: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    length = hypot(a, b)
    return mul(gradient, div(a, length)), mul(gradient, div(b, length))


def _hypot(a: Tensor, b: Tensor) -> Tensor:
    a, b = primitives.elementwise(Op.ABS, a), primitives.elementwise(Op.ABS, b)
    large = primitives.elementwise(Op.MAXIMUM, a, b)
    # An infinite side beats a NaN.
    for side in (a, b):
        endless = primitives.elementwise(Op.EQ, side, filled_like(side, math.inf))
        large = primitives.elementwise(Op.WHERE, endless, side, large)
    plain = primitives.elementwise(
        Op.OR,
        primitives.elementwise(Op.EQ, large, filled_like(large, 0)),
        primitives.elementwise(Op.EQ, large, filled_like(large, math.inf)),
    )
    safe = primitives.elementwise(Op.WHERE, plain, filled_like(large, 1), large.detach())
    total = primitives.elementwise(
        Op.ADD,
        square(primitives.elementwise(Op.DIV, a, safe)),
        square(primitives.elementwise(Op.DIV, b, safe)),
    )
    root = primitives.elementwise(
        Op.SQRT, primitives.elementwise(Op.WHERE, plain, filled_like(large, 1), total)
    )
    return primitives.elementwise(
        Op.WHERE, plain, large, primitives.elementwise(Op.MUL, safe, root)
    )


@operation(inplace=True, out=True)
def pow(input: Operand, exponent: Operand) -> Tensor:
    """`input ** exponent`; small constant exponents become products and roots."""
    a, b = operand(input, "input", "pow"), operand(exponent, "exponent", "pow")
    dtype = result_type(a, b)
    if isinstance(a, Tensor) and not isinstance(b, (Tensor, complex)):
        if dtype.is_integer and b < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        special = _constant_power(a, b, dtype)
        if special is not None:
            return label(special, "PowBackward0")
    result = primitives.elementwise(Op.POW, *align(a, b))
    if not isinstance(b, Tensor):
        return result
    return label(result, "PowBackward1" if isinstance(a, Tensor) else "PowBackward2")


def _constant_power(x: Tensor, exponent: Number, dtype: DType) -> Tensor | None:
    if dtype is bool_ or exponent not in (1, 2, 3, 0.5, -0.5, -1, -2):
        return None
    if x.dtype is not dtype:
        x = primitives.cast(x, dtype)
    if exponent == 1:
        return x.clone()
    if exponent in (2, 3):
        squared = primitives.elementwise(Op.MUL, x, x)
        return squared if exponent == 2 else primitives.elementwise(Op.MUL, squared, x)
    if exponent == -2:
        x = primitives.elementwise(Op.MUL, x, x)
    elif exponent != -1:
        x = primitives.elementwise(Op.SQRT, x)
    return x if exponent == 0.5 else primitives.elementwise(Op.RECIPROCAL, x)


@operation(inplace=True, out=True)
def float_power(input: Operand, exponent: Operand) -> Tensor:
    """`pow` computed in float64."""
    a, b = operand(input, "input", "float_power"), operand(exponent, "exponent", "float_power")
    return primitives.elementwise(Op.POW, *align(a, b, dtype=float64))


@operation(inplace=True, out=True)
@recorded_as("PowBackward0")
def square(input: Tensor) -> Tensor:
    """`input * input`."""
    if input.dtype is bool_:
        input = primitives.cast(input, int64)
    return primitives.elementwise(Op.MUL, input, input)


@operation(inplace=True, out=True)
def reciprocal(input: Tensor) -> Tensor:
    """`1 / input`."""
    return primitives.elementwise(Op.RECIPROCAL, floating(input))


@operation(inplace=True, out=True)
def sqrt(input: Tensor) -> Tensor:
    """The square root."""
    return primitives.elementwise(Op.SQRT, floating(input))


@operation(inplace=True, out=True)
@recorded_as("RsqrtBackward0")
def rsqrt(input: Tensor) -> Tensor:
    """`1 / sqrt(input)`."""
    return primitives.elementwise(Op.RECIPROCAL, sqrt(input))


@operation(inplace=True, out=True)
@recorded_as("AddcmulBackward0")
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """`input + value * tensor1 * tensor2`."""
    product = mul(tensor1, tensor2)
    if not product.dtype.is_inexact and isinstance(value, float):
        value = int(value)
    return add(input, product if value == 1 else mul(product, value))


@operation(inplace=True, out=True)
@recorded_as("AddcdivBackward0")
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Number = 1) -> Tensor:
    """`input + value * tensor1 / tensor2`."""
    if not result_type(tensor1, tensor2).is_inexact:
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported; use "
            "`input + value * torch.trunc(tensor1 / tensor2)` instead."
        )
    return add(input, div(tensor1 if value == 1 else mul(tensor1, value), tensor2))


@operation(inplace=True, out=True)
@recorded_as("LerpBackward0")
def lerp(input: Tensor, end: Tensor, weight: Operand) -> Tensor:
    """`input + weight * (end - input)`, exact at both ends."""
    if input.dtype is not end.dtype:
        raise RuntimeError(f"expected dtype {input.dtype} for `end` but got dtype {end.dtype}")
    difference = sub(end, input)
    if not isinstance(weight, Tensor):
        if float(weight.real) < 0.5:
            return add(input, mul(difference, weight))
        return sub(end, mul(difference, 1 - weight))
    low = add(input, mul(weight, difference))
    high = sub(end, mul(difference, rsub(weight, 1)))
    near = binary(Op.LT, "lerp", abs(weight), 0.5)
    condition, low, high = *align(near), *align(low, high)
    return primitives.elementwise(Op.WHERE, broadcast_to(condition, low._shape), low, high)
