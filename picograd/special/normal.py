"""The normal distribution's function, its inverse and logarithm; entropy terms.

In: float tensors. Out: tensors that are relatively exact far out in the tails.

>>> import picograd
>>> ndtr(picograd.tensor([0.0])).tolist()
[0.5]
"""

from __future__ import annotations

import math

from picograd.frontend.composite import with_rule
from picograd.frontend.elementwise import floating
from picograd.frontend.promotion import Operand, get_default_dtype, result_type
from picograd.frontend.promotion import align as aligned
from picograd.frontend.registry import writing_out
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor
from picograd.frontend.transcendental import _ERFC_WIDE, _polynomial, erf, erfc, erfinv
from picograd.special.gamma import in_double

_ROOT = math.sqrt(0.5)


@writing_out
def ndtr(input: Tensor) -> Tensor:
    """The probability that a standard normal number is less."""
    x = floating(input)
    return erfc(-x * _ROOT) * 0.5


def _density(x: Tensor) -> Tensor:
    return (x * x * -0.5).exp() / math.sqrt(2 * math.pi)


def _quantile(p: Tensor) -> Tensor:
    lower = choose(p > 0.5, 1 - p, p)
    inside = (lower > 0).logical_and(lower < 0.5)
    safe = choose(inside, lower, 0.25)
    x = erfinv(2 * safe - 1) * math.sqrt(2)
    for _ in range(2):
        # Newton on the logarithm, which is nearly a parabola in the tail.
        value = choose(inside, erfc(-x * _ROOT) * 0.5, 0.25)
        x = x - (value.log() - safe.log()) * value / _density(x)
    edge = choose(lower == 0.5, 0.0, choose(lower == 0, -math.inf, p * math.nan))  # type: ignore[arg-type]
    x = choose(inside, x, edge)
    return choose(p > 0.5, -x, x)


@writing_out
def ndtri(input: Tensor) -> Tensor:
    """The inverse of `ndtr`."""
    x = floating(input)
    return with_rule(
        "SpecialNdtriBackward0",
        lambda: in_double(_quantile, x),
        (x,),
        lambda gradient, result: (gradient / _density(result),),
    )


def _scaled_tail(x: Tensor) -> Tensor:
    tail = x > 0.5
    z = choose(tail, x, 1.0)
    t = (z * 0.5 + 1).reciprocal()
    far = t * _polynomial(2 * t - 1, _ERFC_WIDE).exp()
    near = choose(tail, 0.0, x)
    return choose(tail, far, (near * near).exp() * (1 - erf(near)))


@writing_out
def erfcx(input: Tensor) -> Tensor:
    """`exp(input**2) * erfc(input)`."""
    x = floating(input)
    return with_rule(
        "SpecialErfcxBackward0",
        lambda: in_double(_scaled_tail, x),
        (x,),
        lambda gradient, x: (gradient * (2 * x * erfcx(x) - 2 / math.sqrt(math.pi)),),
        (x,),
    )


@writing_out
def log_ndtr(input: Tensor) -> Tensor:
    """The logarithm of `ndtr`, without underflow."""
    x = floating(input)
    tail = x < -1
    below, above = choose(tail, x, -1.0), choose(tail, 0.0, x)
    far = (erfcx(-below * _ROOT) * 0.5).log() - below * below * 0.5
    return choose(tail, far, (-erfc(above * _ROOT) * 0.5).log1p())


@writing_out
def entr(input: Tensor) -> Tensor:
    """`-input * log(input)`: 0 at 0, -inf below."""
    x = floating(input)
    inside = x > 0
    safe = choose(inside, x, 1.0)
    other = choose(x == 0, 0.0, choose(x < 0, -math.inf, x))  # type: ignore[arg-type]
    return choose(inside, -safe * safe.log(), other)


@writing_out
def xlog1py(input: Operand, other: Operand) -> Tensor:
    """`input * log1p(other)`, and 0 where `input` is 0."""
    dtype = result_type(input, other)
    x, y = aligned(input, other, dtype=dtype if dtype.is_inexact else get_default_dtype())
    vanishing = (x == 0).logical_and(y == y)  # type: ignore[attr-defined]
    safe = choose(vanishing, 0.0, y)
    return x * safe.log1p()
