"""The regularised incomplete gamma functions.

In: pairs of non-negative numbers a and x. Out: P(a, x), the share of the gamma function's integral
below x, and Q(a, x), the share above. A power series left of a + 1 and a continued fraction right
of it converge on the host, in double precision; the derivative in x is the integrand itself.

Source: the series and the fraction are 8.11.4 and 8.9.2 of the NIST Digital Library of Mathematical
Functions; the fraction is evaluated by Lentz's method.

>>> import picograd
>>> gammainc(picograd.tensor([1.0]), picograd.tensor([1.0])).tolist()
[0.6321205496788025]
"""

from __future__ import annotations

import math

import numpy as np

from picograd.frontend.composite import with_rule
from picograd.frontend.elementwise import floating
from picograd.frontend.hostdata import from_array, values
from picograd.frontend.promotion import align
from picograd.frontend.registry import writing_out
from picograd.frontend.tensor import Tensor
from picograd.special.gamma import lgamma

_STEPS = 20000
_TINY = 1e-300


def _series(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The sum of x**n / (a (a + 1) ... (a + n)), for x up to a + 1."""
    term = 1 / a
    total = term.copy()
    for n in range(1, _STEPS):
        term = term * (x / (a + n))
        total += term
        if (term <= total * 1e-17).all():
            break
    return total


def _fraction(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The continued fraction of Q(a, x) without its factor, for x beyond a + 1."""
    b = x + 1 - a
    c, d = np.full_like(b, 1 / _TINY), 1 / b
    found = d.copy()
    for n in range(1, _STEPS):
        step = -n * (n - a)
        b = b + 2
        d, c = step * d + b, b + step / c
        d = 1 / np.where(np.abs(d) < _TINY, _TINY, d)
        c = np.where(np.abs(c) < _TINY, _TINY, c)
        found *= d * c
        if (np.abs(d * c - 1) < 1e-16).all():
            break
    return found


def _shares(a: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P and Q of arrays of one shape."""
    a, x = np.asarray(a, np.float64), np.asarray(x, np.float64)
    plain = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    own_a, own_x = np.where(plain, a, 1.0), np.where(plain, x, 1.0)
    logs = np.vectorize(math.lgamma, otypes=[np.float64])(own_a)
    scale = np.exp(own_a * np.log(own_x) - own_x - logs)
    left = own_x <= own_a + 1
    lower = scale * _series(own_a, np.where(left, own_x, 1.0))
    upper = scale * _fraction(np.where(left, 1.0, own_a), np.where(left, 3.0, own_x))
    below = np.where(left, lower, 1 - upper)
    above = np.where(left, 1 - lower, upper)
    bad = (a < 0) | (x < 0) | np.isnan(a) | np.isnan(x) | ((a == 0) & (x == 0))
    bad |= np.isinf(a) & np.isinf(x)
    full = (x == np.inf) | (a == 0)
    below = np.where(plain, below, np.where(bad, np.nan, np.where(full, 1.0, 0.0)))
    above = np.where(plain, above, np.where(bad, np.nan, np.where(full, 0.0, 1.0)))
    return below, above


def _share(name: str, input: Tensor, other: Tensor, side: int) -> Tensor:
    a, x = (floating(one) for one in align(input, other))
    sign = 1 - 2 * side

    def computed() -> Tensor:
        found = _shares(values(a), values(x))[side]
        return from_array(np.asarray(found, a.dtype.numpy), a._storage.node.device)

    def rule(gradient: Tensor, a: Tensor, x: Tensor) -> tuple[None, Tensor]:
        if input.requires_grad:
            raise RuntimeError(f"the derivative for '{name}: input' is not implemented.")
        slope = ((a - 1) * x.log() - x - lgamma(a)).exp()  # type: ignore[attr-defined]
        return None, gradient * slope * sign

    return with_rule(f"{name.capitalize()}Backward0", computed, (a, x), rule, (a, x))


@writing_out
def gammainc(input: Tensor, other: Tensor) -> Tensor:
    """P(input, other), which grows from 0 to 1 with `other`."""
    return _share("igamma", input, other, 0)


@writing_out
def gammaincc(input: Tensor, other: Tensor) -> Tensor:
    """Q(input, other) = 1 - P(input, other)."""
    return _share("igammac", input, other, 1)
