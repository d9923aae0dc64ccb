"""Bessel functions of order 0 and 1: J, Y, K, K scaled by an exponential, and the spherical J0.

In: float tensors. Out: tensors, computed in double precision: power series near 0, Hankel's
asymptotic one beyond, and for K an integral over the line, which the trapezoid rule gives to the
last bits because its integrand dies off like a bell curve. As in torch there are no gradients.

>>> import picograd
>>> bessel_j0(picograd.tensor([0.0])).tolist()
[1.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from picograd.frontend.elementwise import filled_like, floating
from picograd.frontend.registry import writing_out
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor
from picograd.special.bessel import horner, i0, i1
from picograd.special.gamma import in_double

_BORDER, _NEAR_TERMS, _FAR_TERMS = 12.0, 36, 12
_K_BORDER, _K_STEP, _K_NODES = 2.0, 0.4, 24
_EULER = 0.5772156649015329


def _powers(order: int) -> list[float]:
    return [1 / (math.factorial(k) * math.factorial(k + order)) for k in range(_NEAR_TERMS)]


def _logarithmic(order: int) -> list[float]:
    """The power series beside the logarithm in Y and K: sums of two digammas over factorials."""
    harmonic = [math.fsum(1 / n for n in range(1, k + 1)) for k in range(_NEAR_TERMS + order)]
    pairs = [harmonic[k] + harmonic[k + order] - 2 * _EULER for k in range(_NEAR_TERMS)]
    return [pair * power for pair, power in zip(pairs, _powers(order), strict=True)]


def _series(coefficients: list[float], order: int, sign: int, x: Tensor) -> Tensor:
    """The sum of `c[k] * (sign * x**2 / 4)**k`, times `(x / 2)**order`."""
    result = horner(x * x * (sign * 0.25), coefficients)
    return result * x * 0.5 if order else result


def _far(order: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """J and Y at large x: Hankel's expansion around a wave."""
    terms = [1.0]
    for k in range(1, 2 * _FAR_TERMS):
        terms.append(terms[-1] * (4 * order * order - (2 * k - 1) ** 2) / (8 * k))
    signed = [term * (-1) ** (k // 2) for k, term in enumerate(terms)]
    inverse = x.reciprocal()
    square = inverse * inverse
    p, q = horner(square, signed[::2]), horner(square, signed[1::2]) * inverse
    phase = x - (2 * order + 1) * math.pi / 4
    sine, cosine = phase.sin(), phase.cos()
    size = (inverse * (2 / math.pi)).sqrt()
    return (p * cosine - q * sine) * size, (p * sine + q * cosine) * size


def _first(order: int, x: Tensor) -> Tensor:
    """J."""
    size = x.abs()
    near = size < _BORDER
    close = _series(_powers(order), order, -1, choose(near, size, 0.0))
    result = choose(near, close, _far(order, choose(near, _BORDER, size))[0])
    result = choose(size == math.inf, 0.0, result)  # type: ignore[arg-type]
    return choose(x < 0, -result, result) if order else result


def _second(order: int, x: Tensor) -> Tensor:
    """Y."""
    near = (x < _BORDER).logical_and(x > 0)
    small = choose(near, x, 1.0)
    wave = _series(_powers(order), order, -1, small)
    close = 2 * (small * 0.5).log() * wave - _series(_logarithmic(order), order, -1, small)
    close = close - 2 / small if order else close
    result = choose(near, close / math.pi, _far(order, choose(x < _BORDER, _BORDER, x))[1])
    return _left_of_zero(x, result, -math.inf)


def _third(order: int, x: Tensor) -> Tensor:
    """K times exp(x)."""
    near = (x < _K_BORDER).logical_and(x > 0)
    small, large = choose(near, x, 1.0), choose(x < _K_BORDER, _K_BORDER, x)
    growing = _series(_powers(order), order, 1, small)
    close = _series(_logarithmic(order), order, 1, small) * 0.5
    close = close - (small * 0.5).log() * growing
    close = (small.reciprocal() - close if order else close) * small.exp()
    root = large.rsqrt()
    total = filled_like(x, 0.5)
    for node in range(1, _K_NODES):
        half = root * (node * _K_STEP / 2)
        sine = half.sinh()
        term = (sine * sine * large * -2).exp()
        total = total + (term * (half * 2).cosh() if order else term)
    beyond = choose(large == math.inf, 0.0, total * root * _K_STEP)  # type: ignore[arg-type]
    return _left_of_zero(x, choose(near, close, beyond), math.inf)


def _left_of_zero(x: Tensor, result: Tensor, limit: float) -> Tensor:
    result = choose(x == 0, limit, result)  # type: ignore[arg-type]
    return choose(x < 0, math.nan, choose(x != x, math.nan, result))  # type: ignore[arg-type]


def _spherical(x: Tensor) -> Tensor:
    zero = x == 0
    wave = x.sin() / choose(zero, 1.0, x)  # type: ignore[arg-type]
    wave = choose(x.abs() == math.inf, 0.0, wave)  # type: ignore[arg-type]
    return choose(zero, 1.0, wave)  # type: ignore[arg-type]


def _exported(name: str, formula: Callable[[Tensor], Tensor]) -> Any:
    def function(input: Tensor) -> Tensor:
        return in_double(formula, floating(input).detach())

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`torch.special.{name}`."
    return writing_out(function)


bessel_j0 = _exported("bessel_j0", lambda x: _first(0, x))
bessel_j1 = _exported("bessel_j1", lambda x: _first(1, x))
bessel_y0 = _exported("bessel_y0", lambda x: _second(0, x))
bessel_y1 = _exported("bessel_y1", lambda x: _second(1, x))
modified_bessel_i0 = _exported("modified_bessel_i0", i0)
modified_bessel_i1 = _exported("modified_bessel_i1", i1)
modified_bessel_k0 = _exported("modified_bessel_k0", lambda x: _third(0, x) * (-x).exp())
modified_bessel_k1 = _exported("modified_bessel_k1", lambda x: _third(1, x) * (-x).exp())
scaled_modified_bessel_k0 = _exported("scaled_modified_bessel_k0", lambda x: _third(0, x))
scaled_modified_bessel_k1 = _exported("scaled_modified_bessel_k1", lambda x: _third(1, x))
spherical_bessel_j0 = _exported("spherical_bessel_j0", _spherical)
