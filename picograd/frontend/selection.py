"""Selecting, bounding and rounding, element by element.

In: tensors and Python numbers that broadcast. Out: tensors. What is selected passes its gradient,
what is not selected gets exactly zero.

>>> import picograd
>>> picograd.clamp(picograd.tensor([-1.0, 0.5, 3.0]), 0, 1)
tensor([0.0000, 0.5000, 1.0000])
"""

from __future__ import annotations

import math

import ml_dtypes

from picograd.dtypes import DType, bool_
from picograd.frontend import primitives, tape
from picograd.frontend.comparison import isnan, logical_or
from picograd.frontend.composite import with_rule, without_derivative
from picograd.frontend.elementwise import abs, binary, div, filled_like, mul, neg, sub
from picograd.frontend.grad_mode import state
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import (
    Number,
    Operand,
    align,
    broadcast_pair,
    broadcast_to,
    check_cast,
    get_default_dtype,
    operand,
    result_type,
    type_name,
)
from picograd.frontend.registry import operation
from picograd.frontend.stamps import stamped
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Op


def choose(condition: Tensor, first: Operand, second: Operand) -> Tensor:
    """`where` for a bool tensor, which broadcasts with both operands."""
    if not isinstance(first, Tensor) and not isinstance(second, Tensor):
        dtype = result_type(first, second)
        shape = condition._shape
        first = primitives.constant(first, dtype, condition.node.device, shape)
        second = primitives.constant(second, dtype, condition.node.device, shape)
    a, b = align(first, second)
    shape = broadcast_pair(condition._shape, a._shape)
    if condition.node.device != a.node.device and not condition.ndim:
        condition = condition.to(a.node.device)
    return primitives.elementwise(
        Op.WHERE, broadcast_to(condition, shape), broadcast_to(a, shape), broadcast_to(b, shape)
    )


@operation(method=False, out=True)
def where(
    condition: Tensor, input: Operand | None = None, other: Operand | None = None
) -> Tensor | tuple[Tensor, ...]:
    """`input` where the condition holds, else `other`; alone: the indices where it holds."""
    if input is None and other is None:
        from picograd.frontend.indexing import nonzero

        return nonzero(condition, as_tuple=True)
    if not isinstance(condition, Tensor):
        raise TypeError(
            "where(): argument 'condition' (position 1) must be Tensor, not "
            f"{type(condition).__name__}"
        )
    if condition.dtype is not bool_:
        if condition.dtype.name != "uint8":
            raise RuntimeError(
                "where expected condition to be a boolean tensor, but got a tensor with dtype "
                f"{type_name(condition.dtype)}"
            )
        condition = primitives.cast(condition, bool_)
    return choose(condition, operand(input, "input", "where"), operand(other, "other", "where"))


@operation(function=False, name="where")
def _where_method(self: Tensor, condition: Tensor, other: Operand) -> Tensor:
    """`self` where the condition holds, else `other`."""
    result = where(condition, self, other)
    assert isinstance(result, Tensor)
    return result


@operation(inplace=True)
@recorded_as("MaskedFillBackward0")
def masked_fill(input: Tensor, mask: Tensor, value: Operand) -> Tensor:
    """`input` with `value` where the mask holds; the dtype stays."""
    if mask.dtype is not bool_:
        raise RuntimeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype.name}"
        )
    value = operand(value, "value", "masked_fill")
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                f"{value.ndim} dimension(s)."
            )
        check_cast(value.dtype, input.dtype)
        filler = primitives.cast(value, input.dtype)
    else:
        if not input.dtype.is_inexact and isinstance(value, float) and not value.is_integer():
            raise RuntimeError(
                f"value cannot be converted to type {input.dtype.name} without overflow"
            )
        filler = primitives.constant(value, input.dtype, input.node.device)
    return choose(mask, filler, input)


# --- bounds --------------------------------------------------------------------------------------


def _bounded(x: Tensor, bound: Tensor, below: bool) -> Tensor:
    """`max(x, bound)` (below) or `min(x, bound)`; at equality x has the gradient, at NaN nobody."""
    outside = (
        primitives.elementwise(Op.LT, x, bound)
        if below
        else primitives.elementwise(Op.LT, bound, x)
    )
    result = primitives.elementwise(Op.WHERE, outside, bound, x)
    if state.enabled and x.dtype.is_float and x.requires_grad:
        result = primitives.elementwise(Op.WHERE, isnan(x), x.detach(), result)
    return result


@operation(inplace=True, out=True, aliases=("clip",))
@recorded_as("ClampBackward1")
def clamp(input: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """`input` bounded by `min` and `max` (numbers or tensors, either may be missing)."""
    bounds = [operand(b, "min/max", "clamp") for b in (min, max) if b is not None]
    if not bounds:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if any(b != b for b in bounds if not isinstance(b, Tensor)):
        return mul(input, math.nan)
    x, *limits = align(input, *bounds)
    for bound, below, limit in zip(bounds, (min is not None, False), limits):
        x = _bounded(x, limit, below)
        if isinstance(bound, Tensor) and x.dtype.is_float:
            x = primitives.elementwise(Op.WHERE, isnan(limit), limit, x)
    return x


@operation(inplace=True, out=True)
def clamp_min(input: Tensor, min: Operand) -> Tensor:
    """`input` bounded from below."""
    return clamp(input, min=min)


@operation(inplace=True, out=True)
def clamp_max(input: Tensor, max: Operand) -> Tensor:
    """`input` bounded from above."""
    return clamp(input, max=max)


@operation(out=True, tensors=True)
def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger of each pair; NaN wins."""
    return binary(Op.MAXIMUM, "maximum", input, other)


@operation(out=True, tensors=True)
def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of each pair; NaN wins."""
    return binary(Op.MINIMUM, "minimum", input, other)


def _ignoring_nan(name: str, op: Op, input: Tensor, other: Tensor) -> Tensor:
    a, b = align(input, other)
    if not a.dtype.is_float:
        return primitives.elementwise(op, a, b)

    def wins(x: Tensor, y: Tensor) -> Tensor:
        """Where the result is `x`: also where both are equal, and where `y` is NaN."""
        low, high = (y, x) if op is Op.MAXIMUM else (x, y)
        no_less = primitives.elementwise(Op.LE, low, high)
        return primitives.elementwise(Op.OR, no_less, isnan(y))

    def rule(gradient: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        first, zero = wins(x, y), filled_like(gradient, 0)
        return (
            primitives.elementwise(Op.WHERE, first, gradient, zero),
            primitives.elementwise(Op.WHERE, first, zero, gradient),
        )

    return with_rule(
        name,
        lambda: primitives.elementwise(Op.WHERE, wins(a, b), a, b),
        (a, b),
        rule,
        (a, b),
    )


@operation(out=True, tensors=True)
def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger of each pair; NaN loses."""
    return _ignoring_nan("FmaxBackward0", Op.MAXIMUM, input, other)


@operation(out=True, tensors=True)
def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of each pair; NaN loses."""
    return _ignoring_nan("FminBackward0", Op.MINIMUM, input, other)


def greatest_finite(dtype: DType) -> float:
    """The largest finite number of a float type."""
    return float(ml_dtypes.finfo(dtype.numpy).max)


@operation(inplace=True, out=True)
@recorded_as("NanToNumBackward0")
def nan_to_num(
    input: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """NaN, +inf and -inf replaced by numbers (default: 0, the largest and the least finite)."""
    if not input.dtype.is_float:
        return input.clone()
    top = greatest_finite(input.dtype)
    result = choose(isnan(input), filled_like(input, 0.0 if nan is None else nan), input)
    high = filled_like(input, top if posinf is None else posinf)
    low = filled_like(input, -top if neginf is None else neginf)
    result = choose(binary(Op.EQ, "eq", input, math.inf), high, result)
    return choose(binary(Op.EQ, "eq", input, -math.inf), low, result)


# --- rounding and sign ---------------------------------------------------------------------------


def _rounded(op: Op, x: Tensor) -> Tensor:
    if x.dtype is bool_:
        raise NotImplementedError(f"\"{op.name.lower()}_vml_cpu\" not implemented for 'Bool'")
    if x.dtype.is_complex:
        raise NotImplementedError(
            f"\"{op.name.lower()}_vml_cpu\" not implemented for '{type_name(x.dtype)}'"
        )
    return primitives.elementwise(op, x) if x.dtype.is_float else x.clone()


@operation(inplace=True, out=True)
def floor(input: Tensor) -> Tensor:
    """The largest integer that is not above."""
    return _rounded(Op.FLOOR, input)


@operation(inplace=True, out=True)
def ceil(input: Tensor) -> Tensor:
    """The smallest integer that is not below."""
    return _rounded(Op.CEIL, input)


@operation(inplace=True, out=True, aliases=("fix",))
def trunc(input: Tensor) -> Tensor:
    """The integer part."""
    return _rounded(Op.TRUNC, input)


@operation(inplace=True, out=True)
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest number of so many decimals, halves to even."""
    if not decimals or not input.dtype.is_float:
        return _rounded(Op.ROUND, input)
    scale = 10.0 ** (decimals if decimals > 0 else -decimals)
    if decimals > 0:
        return div(_rounded(Op.ROUND, mul(input, scale)), scale)
    return mul(_rounded(Op.ROUND, div(input, scale)), scale)


@operation(inplace=True, out=True)
def frac(input: Tensor) -> Tensor:
    """The fractional part, with the sign of the input."""
    if not input.dtype.is_float:
        raise NotImplementedError(f"\"frac_cpu\" not implemented for '{type_name(input.dtype)}'")
    return sub(input, trunc(input))


@operation(inplace=True, out=True)
def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1 (0 for NaN)."""
    zero = filled_like(input, 0)
    above = primitives.cast(primitives.elementwise(Op.LT, zero, input), input.dtype)
    if not input.dtype.is_signed:
        return above
    below = primitives.cast(primitives.elementwise(Op.LT, input, zero), input.dtype)
    result = primitives.elementwise(Op.SUB, above, below)
    edge = input._edge() if state.enabled else None
    if edge is not None:
        step = tape.named(tape.ZeroGrad, "SignBackward0")((edge,), (result._signature(),))
        result._meta = tape.Meta((step, 0))
    return result


@operation(inplace=True, out=True)
def sgn(input: Tensor) -> Tensor:
    """`sign`; for complex numbers `input / |input|`."""
    if not input.dtype.is_complex:
        return sign(input)
    size = abs(input)
    at_zero = binary(Op.EQ, "eq", size, 0)
    return choose(at_zero, filled_like(input, 0), div(input, choose(at_zero, 1.0, size)))


@operation(out=True)
def signbit(input: Tensor) -> Tensor:
    """Where the sign bit is set (-0.0 included)."""
    if not input.dtype.is_float:
        return primitives.elementwise(Op.LT, input, filled_like(input, 0))
    from picograd.dtypes import BY_NAME

    bits = primitives.bitcast(input, BY_NAME[f"int{input.dtype.bits}"])
    return primitives.elementwise(Op.LT, bits, filled_like(bits, 0))


@operation(inplace=True, out=True)
def copysign(input: Tensor, other: Operand) -> Tensor:
    """The magnitude of `input` with the sign of `other`."""
    dtype = result_type(input, other)
    a, b = align(input, other, dtype=dtype if dtype.is_float else get_default_dtype())
    return with_rule("CopysignBackward0", lambda: _copysign(a, b), (a, b), _copysign_rule, (a, b))


def _copysign(a: Tensor, b: Tensor) -> Tensor:
    flip = primitives.elementwise(Op.XOR, signbit(a), signbit(b))
    return primitives.elementwise(Op.WHERE, flip, neg(a), a)


def _copysign_rule(gradient: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    zero = filled_like(a, 0)
    slope = div(_copysign(a.detach(), b.detach()), a.detach())
    slope = primitives.elementwise(Op.WHERE, primitives.elementwise(Op.EQ, a, zero), zero, slope)
    return mul(gradient, slope), zero


@operation(inplace=True, out=True, tensors=True)
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below zero, 1 above, `values` at zero; it has no derivative."""
    x, at_zero = align(input, values)
    zero = filled_like(x, 0)
    above = primitives.cast(primitives.elementwise(Op.LT, zero, x), x.dtype)
    level = primitives.elementwise(Op.EQ, x, zero)
    result = primitives.elementwise(Op.WHERE, level, at_zero, above)
    return without_derivative("heaviside", result, input, values)


@operation(inplace=True)
def relu(input: Tensor) -> Tensor:
    """`max(input, 0)` with gradient 0 at 0; -0.0 and NaN stay as they are."""
    if input.dtype is bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    return stamped("ReluBackward0", _ruled_relu, (input,))


def _ruled_relu(x: Tensor) -> Tensor:
    return with_rule("ReluBackward0", lambda: _relu(x), (x,), _relu_rule)


def _relu(x: Tensor) -> Tensor:
    zero = filled_like(x, 0)
    return primitives.elementwise(Op.WHERE, primitives.elementwise(Op.LT, x, zero), zero, x)


def _relu_rule(gradient: Tensor, result: Tensor) -> tuple[Tensor]:
    zero = filled_like(result, 0)
    bounded = primitives.elementwise(Op.LE, result, zero)
    return (primitives.elementwise(Op.WHERE, bounded, zero, gradient),)


@operation(method=False, out=True)
def threshold(input: Tensor, threshold: Number, value: Number, inplace: bool = False) -> Tensor:
    """`input` where it is above the threshold, else `value`."""
    bound = filled_like(input, threshold)
    keep = primitives.elementwise(Op.LT, bound, input)
    if input.dtype.is_float:
        keep = logical_or(keep, isnan(input))
    result = choose(keep, input, filled_like(input, value))
    return input._assign(result) if inplace else result
