"""Orthogonal polynomials with the names of `torch.special`, by their recurrences.

In: a tensor of arguments and a degree, which is a number or a tensor. Out: a tensor. A number takes
as many steps as its degree; a tensor of degrees takes as many as its largest and keeps, for each
element, the step of its own degree. A negative degree gives 0.

>>> import picograd
>>> chebyshev_polynomial_t(picograd.tensor([0.5]), 3).tolist()
[-1.0]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from picograd.frontend.elementwise import filled_like, floating
from picograd.frontend.promotion import Operand, align
from picograd.frontend.registry import writing_out
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor

# x, P[k - 1], P[k - 2] and k give P[k].
Step = Callable[[Tensor, Tensor, Tensor, int], Tensor]
First = Callable[[Tensor], Tensor]


def _of_degree(x: Tensor, degree: int, first: First, step: Step) -> Tensor:
    if degree < 0:
        return filled_like(x, 0)
    before, now = filled_like(x, 1), first(x)
    if degree == 0:
        return before
    for k in range(2, degree + 1):
        before, now = now, step(x, now, before, k)
    return now


def _of_degrees(x: Tensor, degrees: Tensor, first: First, step: Step) -> Tensor:
    whole = degrees.detach().trunc()  # type: ignore[attr-defined]
    result = choose(whole == 0, filled_like(x, 1), filled_like(x, 0))  # type: ignore[arg-type]
    if not whole.numel():
        return result
    before, now = filled_like(x, 1), first(x)
    for k in range(1, int(whole.max().item()) + 1):  # type: ignore[attr-defined]
        if k > 1:
            before, now = now, step(x, now, before, k)
        result = choose(whole == k, now, result)  # type: ignore[arg-type]
    return result


def _polynomial(name: str, first: First, step: Step, shift: bool = False) -> Any:
    """A family of polynomials whose first is 1 and whose second is `first(x)`."""

    def function(input: Operand, n: Operand) -> Tensor:
        if isinstance(input, Tensor) and isinstance(n, int):
            x = floating(input)
            return _of_degree(2 * x - 1 if shift else x, n, first, step)
        x, degrees = align(input, n)
        x, degrees = floating(x), floating(degrees)
        x = x + filled_like(degrees, 0)
        return _of_degrees(2 * x - 1 if shift else x, degrees + filled_like(x, 0), first, step)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The {name.replace('_', ' ')} of degree `n`."
    return writing_out(function)


def _chebyshev(x: Tensor, now: Tensor, before: Tensor, k: int) -> Tensor:
    return 2 * x * now - before


def _hermite(x: Tensor, now: Tensor, before: Tensor, k: int) -> Tensor:
    return 2 * x * now - 2 * (k - 1) * before


def _hermite_e(x: Tensor, now: Tensor, before: Tensor, k: int) -> Tensor:
    return x * now - (k - 1) * before


def _laguerre(x: Tensor, now: Tensor, before: Tensor, k: int) -> Tensor:
    return ((2 * k - 1 - x) * now - (k - 1) * before) / k


def _legendre(x: Tensor, now: Tensor, before: Tensor, k: int) -> Tensor:
    return ((2 * k - 1) * x * now - (k - 1) * before) / k


_FIRST: dict[str, First] = {
    "t": lambda x: x,
    "u": lambda x: 2 * x,
    "v": lambda x: 2 * x - 1,
    "w": lambda x: 2 * x + 1,
}


def _of_chebyshev(kind: str, shift: bool) -> Any:
    name = f"{'shifted_' * shift}chebyshev_polynomial_{kind}"
    return _polynomial(name, _FIRST[kind], _chebyshev, shift)


chebyshev_polynomial_t = _of_chebyshev("t", False)
chebyshev_polynomial_u = _of_chebyshev("u", False)
chebyshev_polynomial_v = _of_chebyshev("v", False)
chebyshev_polynomial_w = _of_chebyshev("w", False)
shifted_chebyshev_polynomial_t = _of_chebyshev("t", True)
shifted_chebyshev_polynomial_u = _of_chebyshev("u", True)
shifted_chebyshev_polynomial_v = _of_chebyshev("v", True)
shifted_chebyshev_polynomial_w = _of_chebyshev("w", True)
hermite_polynomial_h = _polynomial("hermite_polynomial_h", lambda x: 2 * x, _hermite)
hermite_polynomial_he = _polynomial("hermite_polynomial_he", lambda x: x, _hermite_e)
laguerre_polynomial_l = _polynomial("laguerre_polynomial_l", lambda x: 1 - x, _laguerre)
legendre_polynomial_p = _polynomial("legendre_polynomial_p", lambda x: x, _legendre)
