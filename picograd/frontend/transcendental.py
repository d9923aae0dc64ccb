"""Exponentials, logarithms, trigonometry and the activations built of them.

In: tensors (integers become the default float type). Out: tensors. What has no primitive is a
composite that is accurate over the whole range and has finite gradients wherever the function has.

>>> import picograd
>>> picograd.sigmoid(picograd.tensor([0.0]))
tensor([0.5000])
"""

from __future__ import annotations

import math

from picograd.dtypes import float32
from picograd.frontend import primitives
from picograd.frontend.composite import with_rule
from picograd.frontend.elementwise import (
    abs,
    add,
    binary,
    div,
    filled_like,
    floating,
    mul,
    neg,
    reciprocal,
    rsqrt,
    rsub,
    sqrt,
    square,
    sub,
)
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import Operand, align, get_default_dtype, result_type
from picograd.frontend.registry import operation
from picograd.frontend.selection import choose, clamp, copysign, maximum, sign, signbit
from picograd.frontend.stamps import stamped
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Op


def _primitive(op: Op, x: Tensor) -> Tensor:
    return primitives.elementwise(op, floating(x))


# --- exponentials and logarithms ----------------------------------------------------------------


@operation(inplace=True, out=True)
def exp(input: Tensor) -> Tensor:
    """e to the power of each element."""
    return _primitive(Op.EXP, input)


@operation(inplace=True, out=True)
@recorded_as("Exp2Backward0")
def exp2(input: Tensor) -> Tensor:
    """2 to the power of each element."""
    return _primitive(Op.EXP2, input)


@operation(inplace=True, out=True)
def expm1(input: Tensor) -> Tensor:
    """`exp(input) - 1`, exact near 0."""
    return _primitive(Op.EXPM1, input)


@operation(inplace=True, out=True)
def log(input: Tensor) -> Tensor:
    """The natural logarithm."""
    return _primitive(Op.LOG, input)


@operation(inplace=True, out=True)
def log2(input: Tensor) -> Tensor:
    """The logarithm to base 2."""
    return _primitive(Op.LOG2, input)


@operation(inplace=True, out=True)
@recorded_as("Log10Backward0")
def log10(input: Tensor) -> Tensor:
    """The logarithm to base 10."""
    return mul(_primitive(Op.LOG, input), 1 / math.log(10))


@operation(inplace=True, out=True)
def log1p(input: Tensor) -> Tensor:
    """`log(1 + input)`, exact near 0."""
    return _primitive(Op.LOG1P, input)


@operation(out=True, tensors=True)
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """`log(exp(input) + exp(other))` without overflow."""
    a, b = align(input, other)
    return with_rule("LogaddexpBackward0", lambda: _logaddexp(a, b), (a, b), _shares, (a, b))


def _shares(gradient: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of `logaddexp`: each of the two exponentials has its share of the sum."""
    return div(gradient, add(exp(sub(b, a)), 1)), div(gradient, add(exp(sub(a, b)), 1))


def _logaddexp(a: Tensor, b: Tensor) -> Tensor:
    equal_infinities = primitives.elementwise(
        Op.AND,
        primitives.elementwise(Op.EQ, a, b),
        binary(Op.EQ, "eq", abs(a), math.inf),
    )
    distance = choose(equal_infinities, filled_like(a, 0), sub(a, b))
    rest = primitives.elementwise(Op.LOG1P, exp(neg(abs(distance))))
    return choose(equal_infinities, a, add(maximum(a, b), rest))


@operation(out=True, tensors=True)
def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """`log2(2**input + 2**other)` without overflow."""
    scale = math.log(2)
    return div(logaddexp(mul(input, scale), mul(other, scale)), scale)


@operation(inplace=True, out=True)
def xlogy(input: Tensor, other: Operand) -> Tensor:
    """`input * log(other)`, and 0 where `input` is 0."""
    dtype = result_type(input, other)
    a, b = align(input, other, dtype=dtype if dtype.is_inexact else get_default_dtype())
    return with_rule("XlogyBackward0", lambda: _xlogy(a, b), (a, b), _xlogy_rule, (a, b))


def _xlogy_rule(gradient: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    vanishing = primitives.elementwise(
        Op.AND,
        primitives.elementwise(Op.EQ, a, filled_like(a, 0)),
        primitives.elementwise(Op.LE, b, filled_like(b, 0)),
    )
    return choose(vanishing, filled_like(a, 0), _xlogy(gradient, b)), div(mul(gradient, a), b)


def _xlogy(a: Tensor, b: Tensor) -> Tensor:
    vanishing = primitives.elementwise(
        Op.AND,
        primitives.elementwise(Op.EQ, a, filled_like(a, 0)),
        primitives.elementwise(
            Op.OR, binary(Op.LE, "xlogy", b, 0), binary(Op.EQ, "xlogy", b, math.inf)
        ),
    )
    safe = choose(vanishing, filled_like(b, 1), b)
    return mul(a, log(safe))


# --- trigonometry --------------------------------------------------------------------------------


@operation(inplace=True, out=True)
def sin(input: Tensor) -> Tensor:
    """The sine."""
    return _primitive(Op.SIN, input)


@operation(inplace=True, out=True)
def cos(input: Tensor) -> Tensor:
    """The cosine."""
    return _primitive(Op.COS, input)


@operation(inplace=True, out=True)
@recorded_as("TanBackward0")
def tan(input: Tensor) -> Tensor:
    """The tangent."""
    x = floating(input)
    return div(sin(x), cos(x))


@operation(inplace=True, out=True, aliases=("arctan",))
def atan(input: Tensor) -> Tensor:
    """The inverse tangent."""
    return _primitive(Op.ATAN, input)


@operation(inplace=True, out=True, aliases=("arcsin",))
def asin(input: Tensor) -> Tensor:
    """The inverse sine: `atan(x / sqrt((1 - x)(1 + x)))`, which is pi/2 of an infinity at 1."""
    x = floating(input)
    return with_rule(
        "AsinBackward0",
        lambda: atan(div(x, sqrt(mul(rsub(x, 1), add(x, 1))))),
        (x,),
        lambda gradient, x: (mul(gradient, _circle(x)),),
        (x,),
    )


def _circle(x: Tensor) -> Tensor:
    """`1 / sqrt(1 - x**2)`."""
    return reciprocal(sqrt(mul(rsub(x, 1), add(x, 1))))


@operation(inplace=True, out=True, aliases=("arccos",))
def acos(input: Tensor) -> Tensor:
    """The inverse cosine: `2 atan(sqrt((1 - x) / (1 + x)))`, exact near 1."""
    x = floating(input)
    return with_rule(
        "AcosBackward0",
        lambda: mul(atan(sqrt(div(rsub(x, 1), add(x, 1)))), 2),
        (x,),
        lambda gradient, x: (neg(mul(gradient, _circle(x))),),
        (x,),
    )


@operation(inplace=True, out=True, aliases=("arctan2",), tensors=True)
def atan2(input: Tensor, other: Tensor) -> Tensor:
    """The angle of the point (other, input), in (-pi, pi]."""
    dtype = result_type(input, other)
    y, x = align(input, other, dtype=dtype if dtype.is_float else get_default_dtype())
    return with_rule("Atan2Backward0", lambda: _atan2(y, x), (y, x), _atan2_rule, (y, x))


def _atan2_rule(gradient: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    size = add(square(y), square(x))
    at_zero = primitives.elementwise(Op.EQ, size, filled_like(size, 0))
    scale = choose(at_zero, filled_like(size, 0), reciprocal(size))
    return mul(gradient, mul(x, scale)), mul(gradient, neg(mul(y, scale)))


def _atan2(y: Tensor, x: Tensor) -> Tensor:
    steep = primitives.elementwise(Op.LT, abs(x), abs(y))
    corner = primitives.elementwise(Op.EQ, abs(x), abs(y))
    below = choose(steep, y, x)
    one = filled_like(x, 1)
    # |y| == |x| covers 0/0 and inf/inf, whose ratio is taken to be that of the signs.
    zero = primitives.elementwise(Op.EQ, below, filled_like(x, 0))
    infinite = binary(Op.EQ, "eq", abs(below), math.inf)
    special = primitives.elementwise(Op.AND, corner, primitives.elementwise(Op.OR, zero, infinite))
    ratio = div(choose(special, one, choose(steep, x, y)), choose(special, one, below))
    corner_ratio = choose(zero, filled_like(x, 0), mul(copysign(one, y), copysign(one, x)))
    angle = atan(choose(special, corner_ratio, ratio))
    half_turn = choose(signbit(x), copysign(filled_like(y, math.pi), y), filled_like(y, 0))
    flat = choose(
        primitives.elementwise(Op.AND, special, zero), copysign(half_turn, y), add(angle, half_turn)
    )
    return choose(steep, sub(mul(copysign(one, y), math.pi / 2), angle), flat)


@operation(inplace=True, out=True)
def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians."""
    return mul(floating(input), math.pi / 180)


@operation(inplace=True, out=True)
def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees."""
    return mul(floating(input), 180 / math.pi)


@operation(inplace=True, out=True)
def sinc(input: Tensor) -> Tensor:
    """`sin(pi x) / (pi x)`, and 1 at 0."""
    x = floating(input)
    if x.dtype.is_float and x.dtype.itemsize == 2:  # pi x would lose the phase
        return primitives.cast(sinc(primitives.cast(x, float32)), x.dtype)
    x = mul(x, math.pi)
    at_zero = primitives.elementwise(Op.EQ, x, filled_like(x, 0))
    safe = choose(at_zero, filled_like(x, 1), x)
    return choose(at_zero, filled_like(x, 1), div(sin(safe), safe))


# --- hyperbolic functions ------------------------------------------------------------------------


@operation(inplace=True, out=True)
def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return _primitive(Op.TANH, input)


@operation(inplace=True, out=True)
@recorded_as("SinhBackward0")
def sinh(input: Tensor) -> Tensor:
    """The hyperbolic sine."""
    x = floating(input)
    return mul(sub(expm1(x), expm1(neg(x))), 0.5)


@operation(inplace=True, out=True)
@recorded_as("CoshBackward0")
def cosh(input: Tensor) -> Tensor:
    """The hyperbolic cosine."""
    x = floating(input)
    return mul(add(exp(x), exp(neg(x))), 0.5)


@operation(inplace=True, out=True, aliases=("arcsinh",))
def asinh(input: Tensor) -> Tensor:
    """The inverse hyperbolic sine."""
    x = floating(input)
    return with_rule("AsinhBackward0", lambda: _asinh(x), (x,), _asinh_rule, (x,))


def _asinh_rule(gradient: Tensor, x: Tensor) -> tuple[Tensor]:
    return (mul(gradient, rsqrt(add(square(x), 1))),)


def _asinh(x: Tensor) -> Tensor:
    size = abs(x)
    large = binary(Op.LT, "lt", filled_like(x, 1e9 if x.dtype.name == "float64" else 1e4), size)
    small = choose(large, filled_like(x, 1), size)
    big = choose(large, size, filled_like(x, 1))
    root = sqrt(add(square(small), 1))
    near = log1p(add(small, div(square(small), add(root, 1))))
    return copysign(choose(large, add(log(big), math.log(2)), near), x)


@operation(inplace=True, out=True, aliases=("arccosh",))
def acosh(input: Tensor) -> Tensor:
    """The inverse hyperbolic cosine."""
    x = floating(input)
    return with_rule("AcoshBackward0", lambda: _acosh(x), (x,), _acosh_rule, (x,))


def _acosh_rule(gradient: Tensor, x: Tensor) -> tuple[Tensor]:
    return (mul(gradient, rsqrt(sub(square(x), 1))),)


def _acosh(x: Tensor) -> Tensor:
    rest = sub(x, 1)
    found = log1p(add(rest, mul(sqrt(rest), sqrt(add(rest, 2)))))
    # Far out it is the logarithm of 2 x, which may be no finite number itself.
    far = binary(Op.LT, "lt", filled_like(x, 2.0**28), x)
    return choose(far, add(log(x), math.log(2)), found)


@operation(inplace=True, out=True, aliases=("arctanh",))
def atanh(input: Tensor) -> Tensor:
    """The inverse hyperbolic tangent."""
    x = floating(input)
    return mul(sub(log1p(x), log1p(neg(x))), 0.5)


# --- the error function and its relatives --------------------------------------------------------


@operation(inplace=True, out=True)
def erf(input: Tensor) -> Tensor:
    """The error function."""
    return _primitive(Op.ERF, input)


# log(erfc(z) * exp(z * z) / t), a Chebyshev interpolation written as a polynomial of 2t - 1, where
# t = 2 / (2 + z): for float32, and for float64.
_ERFC_NARROW = (
    0.000333735894,
    -0.000207909121,
    -0.00204873476,
    0.00177656464,
    0.00870381204,
    -0.00987376875,
    -0.0468748882,
    0.0473431063,
    0.672642217,
    -0.671794076,
)
_ERFC_WIDE = (
    2.980513364515168e-08,
    7.992047577730608e-10,
    -2.895626567435524e-07,
    1.5975482569412025e-07,
    1.283394915356199e-06,
    -1.7128780471140371e-06,
    -2.963484230959699e-06,
    8.952692300720023e-06,
    1.3989370477611051e-07,
    -3.0421097531594203e-05,
    3.174693542327236e-05,
    7.149530982602198e-05,
    -0.00017430412986925938,
    -9.376035760297014e-05,
    0.0006736791352568864,
    -0.00014624252395767715,
    -0.002345812552995894,
    0.0017589331171176884,
    0.008824938561312326,
    -0.00987268934319109,
    -0.04689561023132892,
    0.04734330684142489,
    0.6726432239776583,
    -0.6717940840566906,
)


@operation(inplace=True, out=True)
def erfc(input: Tensor) -> Tensor:
    """`1 - erf(input)`, relatively exact for large inputs too."""
    x = floating(input)
    return with_rule("ErfcBackward0", lambda: _tail_of_erf(x), (x,), _erfc_rule, (x,))


def _erfc_rule(gradient: Tensor, x: Tensor) -> tuple[Tensor]:
    return (mul(gradient, mul(exp(neg(square(x))), -2 / math.sqrt(math.pi))),)


def _tail_of_erf(x: Tensor) -> Tensor:
    tail = binary(Op.LT, "lt", filled_like(x, 0.5), x)
    z = choose(tail, x, filled_like(x, 1))
    t = reciprocal(add(mul(z, 0.5), 1))
    wide = x.dtype.name == "float64"
    series = _polynomial(sub(mul(t, 2), 1), _ERFC_WIDE if wide else _ERFC_NARROW)
    return choose(tail, mul(t, exp(sub(series, square(z)))), rsub(erf(x), 1))


_ERFINV_CENTRE = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
)
_ERFINV_TAIL = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
)


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    result = filled_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        result = add(mul(result, x), coefficient)
    return result


@operation(inplace=True, out=True)
def erfinv(input: Tensor) -> Tensor:
    """The inverse of erf: Giles' polynomials, then two Newton steps."""
    x = floating(input)
    return with_rule("ErfinvBackward0", lambda: _inverse_erf(x), (x,), _erfinv_rule)


def _erfinv_rule(gradient: Tensor, result: Tensor) -> tuple[Tensor]:
    return (mul(gradient, mul(exp(square(result)), math.sqrt(math.pi) / 2)),)


def _inverse_erf(x: Tensor) -> Tensor:
    inside = binary(Op.LT, "lt", abs(x), 1.0)
    safe = choose(inside, x, filled_like(x, 0))
    w = neg(log1p(neg(square(safe))))
    centre = _polynomial(sub(w, 2.5), _ERFINV_CENTRE)
    tail = _polynomial(sub(sqrt(w), 3.0), _ERFINV_TAIL)
    root = mul(choose(binary(Op.LT, "lt", w, 5.0), centre, tail), safe)
    for _ in range(2):
        slope = mul(exp(neg(square(root))), 2 / math.sqrt(math.pi))
        root = sub(root, div(sub(erf(root), safe), slope))
    at_edge = binary(Op.EQ, "eq", abs(x), 1.0)
    edge = div(sign(x), choose(at_edge, filled_like(x, 0.0), filled_like(x, math.nan)))
    return choose(inside, root, edge)


# --- activations that are tensor methods ---------------------------------------------------------


@operation(inplace=True, out=True)
def sigmoid(input: Tensor) -> Tensor:
    """`1 / (1 + exp(-input))`; where exp overflows that is 0, and the gradient is 0 too."""
    return stamped("SigmoidBackward0", _sigmoid, (floating(input),))


def _sigmoid(x: Tensor) -> Tensor:
    return with_rule("", lambda: reciprocal(add(exp(neg(x)), 1)), (x,), _sigmoid_rule)


def _sigmoid_rule(gradient: Tensor, result: Tensor) -> tuple[Tensor]:
    return (mul(gradient, mul(rsub(result, 1), result)),)


@operation(inplace=True, out=True)
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """`log(input / (1 - input))`, with the input clamped to [eps, 1 - eps] if eps is given."""
    x = floating(input)
    if eps is not None:
        x = clamp(x, eps, 1 - eps)
    return with_rule("LogitBackward0", lambda: sub(log(x), log1p(neg(x))), (x,), _logit_rule, (x,))


def _logit_rule(gradient: Tensor, x: Tensor) -> tuple[Tensor]:
    inside = binary(Op.LE, "le", abs(sub(x, 0.5)), 0.5)
    slope = reciprocal(mul(x, rsub(x, 1)))
    return (mul(gradient, choose(inside, abs(slope), filled_like(x, math.nan))),)
