"""Modified Bessel functions of the first kind of order 0 and 1, plain and scaled.

In: float tensors. Out: tensors, by the power series near 0 and the asymptotic one beyond, in double
precision. Their derivatives are each other.

>>> import picograd
>>> i0(picograd.tensor([0.0])).tolist()
[1.0]
"""

from __future__ import annotations

import math

from picograd.frontend.composite import with_rule
from picograd.frontend.elementwise import filled_like, floating
from picograd.frontend.registry import writing_out
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor
from picograd.special.gamma import in_double

_BORDER, _NEAR_TERMS, _FAR_TERMS = 20.0, 42, 30


def horner(x: Tensor, coefficients: list[float]) -> Tensor:
    """A polynomial, the constant coefficient first."""
    result = filled_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = result * x + coefficient
    return result


def _scaled(order: int, x: Tensor) -> Tensor:
    """I(x) * exp(-abs(x))."""
    size = x.abs()
    near = size < _BORDER
    small, large = choose(near, size, 1.0), choose(near, _BORDER, size)
    plain = [1 / (math.factorial(k) * math.factorial(k + order)) for k in range(_NEAR_TERMS)]
    series = horner(small * small * 0.25, plain) * (-small).exp()
    far = [1.0]
    for k in range(1, _FAR_TERMS):
        far.append(far[-1] * ((2 * k - 1) ** 2 - 4 * order * order) / (8 * k))
    beyond = horner(large.reciprocal(), far) / (large.sqrt() * math.sqrt(2 * math.pi))
    if order:
        series = series * small * 0.5
    result = choose(near, series, beyond)
    return choose(x < 0, -result, result) if order else result


def _plain(order: int, x: Tensor) -> Tensor:
    return _scaled(order, x) * x.abs().exp()


@writing_out
def i0(input: Tensor) -> Tensor:
    """The modified Bessel function of order 0."""
    x = floating(input)
    return with_rule(
        "I0Backward0",
        lambda: in_double(lambda x: _plain(0, x), x),
        (x,),
        lambda gradient, x: (gradient * i1(x),),
        (x,),
    )


@writing_out
def i0e(input: Tensor) -> Tensor:
    """`i0(input) * exp(-abs(input))`."""
    x = floating(input)
    return with_rule(
        "SpecialI0EBackward0",
        lambda: in_double(lambda x: _scaled(0, x), x),
        (x,),
        lambda gradient, x: (gradient * (i1e(x) - x.sgn() * i0e(x)),),
        (x,),
    )


def _over(value: Tensor, x: Tensor) -> Tensor:
    """A function over its argument, whose limit at 0 is 1/2."""
    at_zero = x.abs() < 1e-30
    return choose(at_zero, 0.5, value / choose(at_zero, 1.0, x))


@writing_out
def i1(input: Tensor) -> Tensor:
    """The modified Bessel function of order 1."""
    x = floating(input)
    return with_rule(
        "SpecialI1Backward0",
        lambda: in_double(lambda x: _plain(1, x), x),
        (x,),
        lambda gradient, x: (gradient * (i0(x) - _over(i1(x), x)),),
        (x,),
    )


@writing_out
def i1e(input: Tensor) -> Tensor:
    """`i1(input) * exp(-abs(input))`."""
    x = floating(input)
    return with_rule(
        "SpecialI1EBackward0",
        lambda: in_double(lambda x: _scaled(1, x), x),
        (x,),
        lambda gradient, x: (gradient * (i0e(x) - x.sgn() * i1e(x) - _over(i1e(x), x)),),
        (x,),
    )
