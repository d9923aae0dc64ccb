"""Cholesky's factorisation and what is computed from a factor.

In: batches of symmetric (Hermitian) positive-definite matrices, of which the lower triangle is
read. Out: triangular factors; `LinAlgError` names the leading minor that isn't positive-definite.

>>> import picograd
>>> cholesky(picograd.tensor([[4.0, 2.0], [2.0, 2.0]])).tolist()
[[2.0, 0.0], [1.0, 1.0]]
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from picograd.frontend.autocasting import in_float32
from picograd.frontend.function import Function
from picograd.frontend.hostdata import values
from picograd.frontend.registry import writing_out
from picograd.frontend.tensor import Tensor
from picograd.linalg.host import LinAlgError, check_square, identity, tensor_of, which
from picograd.linalg.triangular import expanded, solve_triangular


class CholeskyEx(NamedTuple):
    """`torch.return_types.linalg_cholesky_ex`."""

    L: Tensor
    info: Tensor


def _failing_minor(matrix: np.ndarray) -> int:
    """The order of the first leading minor that isn't positive-definite; 0 if all are."""
    low, high = 0, matrix.shape[-1] + 1
    while high - low > 1:
        middle = (low + high) // 2
        try:
            np.linalg.cholesky(matrix[:middle, :middle])
            low = middle
        except np.linalg.LinAlgError:
            high = middle
    return high if high <= matrix.shape[-1] else 0


def _factors(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The factors and the order of the failing minor of each matrix."""
    info = np.zeros(a.shape[:-2], np.int32)
    try:
        return np.linalg.cholesky(a), info
    except np.linalg.LinAlgError:
        pass
    factors = np.zeros_like(a)
    for place in np.ndindex(info.shape):
        order = info[place] = _failing_minor(a[place])
        good = order - 1 if order else a.shape[-1]
        factors[place][:good, :good] = np.linalg.cholesky(a[place][:good, :good])
    return factors, info


class _Cholesky(Function):
    _step_name = "LinalgCholeskyExBackward0"

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> tuple[Tensor, Tensor]:
        factor, info = [tensor_of(part, a) for part in _factors(values(a))]
        ctx.save_for_backward(factor)
        ctx.mark_non_differentiable(info)
        return factor, info

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, info: Tensor) -> Tensor:
        (factor,) = ctx.saved_tensors
        turned = factor.mH
        product = (turned @ gradient).tril()
        middle = (product + product.tril(-1).mH) * 0.5
        left = solve_triangular(turned, middle, upper=True)
        return solve_triangular(factor, left, upper=False, left=False)


def _upper(factor: Tensor, upper: bool) -> Tensor:
    return factor.mH if upper else factor


@writing_out
@in_float32
def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> CholeskyEx:
    """The factors and, instead of an error, the order of the failing minor (0: there is none)."""
    check_square(A, "linalg.cholesky")
    factor, info = _Cholesky.apply(A)
    if check_errors:
        _check(info, "linalg.cholesky")
    return CholeskyEx(_upper(factor, upper), info)


def _check(info: Tensor, name: str) -> None:
    orders = values(info)
    if orders.any():
        order = orders.reshape(-1)[int(np.argmax(orders.reshape(-1) != 0))]
        raise LinAlgError(
            f"{name}: {which(orders != 0)}The factorization could not be completed because the "
            f"input is not positive-definite (the leading minor of order {order} is not "
            "positive-definite)."
        )


@writing_out
@in_float32
def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """L with `A = L @ L.mH` (or U with `A = U.mH @ U` if `upper`)."""
    return cholesky_ex(A, upper=upper, check_errors=True).L


class _FactorSolve(Function):
    @staticmethod
    def forward(ctx: Any, b: Tensor, lower: Tensor) -> Tensor:
        x = solve_triangular(lower.mH, solve_triangular(lower, b, upper=False), upper=True)
        ctx.save_for_backward(lower, x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        lower, x = ctx.saved_tensors
        side = _FactorSolve.apply(gradient, lower)
        product = side @ x.mH
        return side, -((product + product.mH) @ lower)


@writing_out
@in_float32
def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X with `A @ X = B`, given Cholesky's factor of A."""
    check_square(L, "cholesky_solve")
    if B.ndim < 2:
        raise RuntimeError(f"b should have at least 2 dimensions, but has {B.ndim} dimensions")
    lower, b = expanded(L.mH if upper else L, B)
    return _FactorSolve.apply(b, lower)


@writing_out
@in_float32
def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A, given Cholesky's factor of A."""
    check_square(L, "cholesky_inverse")
    return cholesky_solve(identity(L, L._shape[-1]), L, upper)
