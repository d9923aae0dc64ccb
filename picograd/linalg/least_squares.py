"""The pseudo-inverse and least squares.

In: batches of matrices of any rank. Out: tensors and torch's named result. Both are computed on the
host from singular values; the gradients are formulas in the pseudo-inverse itself.

>>> import picograd
>>> pinv(picograd.tensor([[2.0]])).tolist()
[[0.5]]
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from picograd.frontend.autocasting import in_float32
from picograd.frontend.function import Function
from picograd.frontend.hostdata import values
from picograd.frontend.reductions import sum as total
from picograd.frontend.registry import writing_out
from picograd.frontend.tensor import Tensor
from picograd.linalg.host import check_matrix, on_host, tensor_of
from picograd.linalg.triangular import expanded

Tolerance = float | Tensor | None


class LeastSquares(NamedTuple):
    """`torch.return_types.linalg_lstsq`."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def _pinv_gradient(a: Tensor, inverse: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of a matrix of constant rank, given that of its pseudo-inverse."""
    turned, adjoint = inverse.mH, gradient.mH
    if a._shape[-2] <= a._shape[-1]:
        product = adjoint @ inverse
        side = product @ turned
        outer = adjoint - product @ a
        return side - (inverse @ product).mH - a @ (inverse @ side) + turned @ (inverse @ outer)
    product = inverse @ adjoint
    side = turned @ product
    outer = adjoint - a @ product
    return side - (product @ inverse).mH + (outer @ inverse) @ turned - ((side @ inverse) @ a)


class _PseudoInverse(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, limits: Any, hermitian: bool) -> Tensor:
        inverse = on_host(lambda a: _inverted(a, limits, hermitian), a)
        ctx.save_for_backward(a, inverse)
        return inverse

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        a, inverse = ctx.saved_tensors
        return _pinv_gradient(a, inverse, gradient), None, None


def _inverted(a: np.ndarray, limits: Any, hermitian: bool) -> np.ndarray:
    atol, rtol = limits
    u, s, vh = np.linalg.svd(a, full_matrices=False, hermitian=hermitian)
    if rtol is None:
        rtol = max(a.shape[-2:]) * np.finfo(s.dtype).eps if not np.any(atol) else 0.0
    largest = s.max(-1, initial=0)
    limit = np.maximum(atol, np.asarray(rtol) * largest)[..., None]
    inverse = np.where(s > limit, 1 / np.where(s > limit, s, 1), 0)
    return (vh.conj().swapaxes(-1, -2) * inverse[..., None, :]) @ u.conj().swapaxes(-1, -2)


def _plain(limit: Tolerance) -> Any:
    return values(limit) if isinstance(limit, Tensor) else limit


@writing_out
def pinv(
    A: Tensor,
    rcond: Tolerance = None,
    hermitian: bool = False,
    *,
    atol: Tolerance = None,
    rtol: Tolerance = None,
) -> Tensor:
    """The Moore-Penrose inverse; singular values up to `max(atol, rtol * largest)` count as 0."""
    check_matrix(A, "linalg.pinv")
    relative = rtol if rcond is None else rcond
    limits = (0.0 if atol is None else _plain(atol)), _plain(relative)
    return _PseudoInverse.apply(A, limits, hermitian)


class _LeastSquares(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, rcond: float | None) -> Tensor:
        ctx.save_for_backward(a, b)
        limits = (0.0, rcond)
        return on_host(lambda a, b: _minimised(a, b, limits), a, b)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        a, b = ctx.saved_tensors
        inverse = pinv(a)
        matrix = None
        if ctx.needs_input_grad[0]:
            matrix = _pinv_gradient(a, inverse, gradient @ b.mH)
        return matrix, inverse.mH @ gradient, None


def _minimised(a: np.ndarray, b: np.ndarray, limits: Any) -> np.ndarray:
    return _inverted(a, limits, False) @ b


_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


@writing_out
@in_float32
def lstsq(
    A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> LeastSquares:
    """The X that minimises `norm(A @ X - B)`, the smallest one if there are several."""
    check_matrix(A, "torch.linalg.lstsq")
    if B.ndim < 1:
        raise RuntimeError("torch.linalg.lstsq: other must have at least 1 dimension.")
    if A.dtype is not B.dtype:
        raise RuntimeError(
            f"torch.linalg.lstsq: Expected input and other to have the same dtype, but got input's "
            f"dtype {A.dtype} and other's dtype {B.dtype}"
        )
    if driver is not None and driver not in _DRIVERS:
        raise RuntimeError(
            "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    vector = A.ndim - 1 == B.ndim and A._shape[:-1] == B._shape
    columns = B.unsqueeze(-1) if vector else B
    if columns.ndim < 2 or columns._shape[-2] != A._shape[-2]:
        raise RuntimeError(
            "torch.linalg.lstsq: input.size(-2) should match other.size(-2) "
            f"({list(A._shape)} and {list(B._shape)})"
        )
    a, b = expanded(A, columns)
    solution = _LeastSquares.apply(a, b, rcond)
    found = np.linalg.svd(values(a), compute_uv=False)
    limit = max(a._shape[-2:]) * np.finfo(found.dtype).eps if rcond is None else rcond
    ranks = (found > limit * found.max(-1, initial=0, keepdims=True)).sum(-1)
    nothing = solution.detach().new_zeros((0,))
    rows, unknowns = a._shape[-2:]
    residuals = solution.reshape(-1)[:0]
    if rows > unknowns and _has_residuals(driver, a, ranks):
        difference = a @ solution - b
        residuals = total(difference.abs().square(), -2)  # type: ignore[attr-defined]
    return LeastSquares(
        solution.squeeze(-1) if vector else solution,
        residuals,
        tensor_of(ranks.astype(np.int64), A) if driver != "gels" else _no_rank(A),
        tensor_of(found, A) if driver in ("gelsd", "gelss") else nothing,
    )


def _has_residuals(driver: str | None, a: Tensor, ranks: np.ndarray) -> bool:
    """Whether torch's driver gives residuals: "gelsy", the default one, never does."""
    if driver in ("gelsd", "gelss"):
        return bool(np.all(ranks == a._shape[-1]))
    return driver == "gels"


def _no_rank(like: Tensor) -> Tensor:
    return tensor_of(np.zeros((0,), np.int64), like)
