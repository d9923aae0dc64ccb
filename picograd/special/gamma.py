"""The gamma function's logarithm and its derivatives.

In: float tensors (integers become the default float type). Out: tensors, by asymptotic series in
double precision after a shift to the right, so that float32 results are right to the last bits.
Each derivative is the next function of the family.

>>> import picograd
>>> lgamma(picograd.tensor([1.0, 5.0])).exp().round().tolist()
[1.0, 24.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable

from picograd.dtypes import float64
from picograd.frontend import primitives
from picograd.frontend.composite import with_rule
from picograd.frontend.elementwise import filled_like, floating
from picograd.frontend.promotion import Operand, align
from picograd.frontend.registry import writing_out
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor

# Bernoulli's numbers B2, B4, ...
_BERNOULLI = (
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798,
    -174611 / 330,
)  # fmt: skip
_SHIFT = 10


def in_double(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A function computed in float64, as the type of its argument."""
    return primitives.cast(function(primitives.cast(x, float64)), x.dtype)


def _series(z: Tensor, coefficients: list[float]) -> Tensor:
    """c1 / z + c2 / z**3 + ..."""
    inverse = z.reciprocal()
    square = inverse * inverse
    result = filled_like(z, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = result * square + coefficient
    return result * inverse


def _turned(x: Tensor) -> tuple[Tensor, Tensor]:
    """Whether the argument lies left of 1/2, and the argument or its mirror image 1 - x."""
    left = x < 0.5
    return left, choose(left, 1 - x, x)


def _log_gamma(x: Tensor) -> Tensor:
    left, y = _turned(x)
    low = y < _SHIFT
    product = filled_like(y, 1.0)
    for step in range(_SHIFT):
        product = product * (choose(low, y, 1.0) + step)
    z = choose(low, y + _SHIFT, y)
    terms = [b / ((2 * n + 2) * (2 * n + 1)) for n, b in enumerate(_BERNOULLI)]
    finite = choose(z == math.inf, 1.0, z)  # type: ignore[arg-type]
    right = (finite - 0.5) * finite.log() - finite + 0.5 * math.log(2 * math.pi)
    right = right + _series(finite, terms)
    right = choose(low, right - product.log(), right)
    right = choose(z == math.inf, math.inf, right)  # type: ignore[arg-type]
    sine = ((x - x.round()) * math.pi).sin().abs()
    mirrored = math.log(math.pi) - sine.log() - right
    result = choose(left, mirrored, right)
    return choose(x == -math.inf, math.inf, result)  # type: ignore[arg-type]


@writing_out
def lgamma(input: Tensor) -> Tensor:
    """The logarithm of the size of the gamma function."""
    x = floating(input)
    return with_rule(
        "LgammaBackward0",
        lambda: in_double(_log_gamma, x),
        (x,),
        lambda gradient, x: (gradient * digamma(x),),
        (x,),
    )


def _digamma(x: Tensor) -> Tensor:
    left, y = _turned(x)
    low = y < _SHIFT
    total = filled_like(y, 0.0)
    for step in range(_SHIFT):
        total = total + (choose(low, y, 1.0) + step).reciprocal()
    z = choose(low, y + _SHIFT, y)
    inverse = z.reciprocal()
    terms = [b / (2 * n + 2) for n, b in enumerate(_BERNOULLI)]
    right = z.log() - 0.5 * inverse - _series(z, terms) * inverse
    right = choose(low, right - total, right)
    angle = (x - x.round()) * math.pi
    mirrored = right - math.pi * angle.cos() / angle.sin()
    result = choose(left, mirrored, right)
    whole = left.logical_and(x == x.floor())
    at_zero = choose(x.signbit(), math.inf, filled_like(x, -math.inf))
    return choose(whole, choose(x == 0, at_zero, math.nan), result)  # type: ignore[arg-type]


@writing_out
def digamma(input: Tensor) -> Tensor:
    """The derivative of `lgamma`."""
    x = floating(input)
    return with_rule(
        "DigammaBackward0",
        lambda: in_double(_digamma, x),
        (x,),
        lambda gradient, x: (gradient * polygamma(1, x),),
        (x,),
    )


def _hurwitz(s: float | Tensor, q: Tensor) -> Tensor:
    """The sum of (q + k)**-s for k >= 0 by Euler and Maclaurin; q > 0 and s > 1."""
    total = filled_like(q, 0.0)
    for step in range(_SHIFT):
        total = total + (q + step) ** -s
    z = q + _SHIFT
    power = z**-s
    total = total + power * z / (s - 1) + power * 0.5
    factor, power = s, power / z
    for n, bernoulli in enumerate(_BERNOULLI):
        total = total + power * factor * (bernoulli / math.factorial(2 * n + 2))
        factor = factor * (s + (2 * n + 1)) * (s + (2 * n + 2))
        power = power / (z * z)
    return total


def _cotangents(n: int) -> list[float]:
    """The n-th derivative of cot as a polynomial in cot, the constant first."""
    polynomial = [0.0, 1.0]
    for _ in range(n):
        slope = [k * c for k, c in enumerate(polynomial)][1:]
        polynomial = [-a - b for a, b in zip([*slope, 0.0, 0.0], [0.0, 0.0, *slope], strict=True)]
    return polynomial


def _polygamma(n: int, x: Tensor) -> Tensor:
    scale = (-1.0) ** (n + 1) * math.factorial(n)
    positive = x > 0
    right = _hurwitz(n + 1, choose(positive, x, 1 - x)) * scale
    angle = (x - x.round()) * math.pi
    cotangent = angle.cos() / angle.sin()
    mirrored = filled_like(x, 0.0)
    for coefficient in reversed(_cotangents(n)):
        mirrored = mirrored * cotangent + coefficient
    mirrored = right * (-1.0) ** n - mirrored * math.pi ** (n + 1)
    pole = math.inf if n % 2 else -math.inf
    mirrored = choose(x == x.floor(), pole, mirrored)  # type: ignore[arg-type]
    return choose(positive, right, mirrored)


@writing_out
def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of `digamma`."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    if n == 0:
        return digamma(input)
    x = floating(input)
    return with_rule(
        "PolygammaBackward0",
        lambda: in_double(lambda x: _polygamma(n, x), x),
        (x,),
        lambda gradient, x: (gradient * polygamma(n + 1, x),),
        (x,),
    )


def polygamma_method(self: Tensor, n: int) -> Tensor:
    """`Tensor.polygamma`."""
    return polygamma(n, self)


@writing_out
def multigammaln(a: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    x = floating(a)
    total = filled_like(x, p * (p - 1) / 4 * math.log(math.pi))
    for n in range(p):
        total = total + lgamma(x - n / 2)
    return total


@writing_out
def zeta(input: Operand, other: Operand) -> Tensor:
    """Hurwitz's zeta function: the sum of `(other + k)**-input` for k >= 0; both positive."""
    s, q = align(input, other)
    s, q = floating(s), floating(q)
    wide, place = primitives.cast(s, float64), primitives.cast(q, float64)
    valid = (wide > 1).logical_and(place > 0)
    result = _hurwitz(choose(valid, wide, 2.0), choose(valid, place, 1.0))
    pole = (wide == 1).logical_or((wide > 1).logical_and((place <= 0) & (place == place.floor())))  # type: ignore[attr-defined]
    result = choose(valid, result, choose(pole, math.inf, math.nan * wide))
    return primitives.cast(result, s.dtype)
