"""QR, singular values and eigenvalues.

In: batches of matrices. Out: torch's named results. LAPACK computes them on the host; the gradients
are formulas in tensor operations, so they can be differentiated again. They exist where torch's do:
singular values and eigenvalues that vectors depend on must differ.

>>> import picograd
>>> eigvalsh(picograd.tensor([[2.0, 0.0], [0.0, 1.0]])).tolist()
[1.0, 2.0]
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np

from picograd.frontend.autocasting import in_float32
from picograd.frontend.conversion import complex, imag, real
from picograd.frontend.diagonals import diag_embed
from picograd.frontend.function import Function
from picograd.frontend.hostdata import values
from picograd.frontend.movement import cat
from picograd.frontend.promotion import as_complex
from picograd.frontend.registry import writing_out
from picograd.frontend.tensor import Tensor
from picograd.linalg.host import (
    LinAlgError,
    check_matrix,
    check_square,
    identity,
    tensor_of,
)
from picograd.linalg.solving import solve
from picograd.linalg.triangular import solve_triangular


class QR(NamedTuple):
    """`torch.return_types.linalg_qr`."""

    Q: Tensor
    R: Tensor


class SVD(NamedTuple):
    """`torch.return_types.linalg_svd`."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class Eigh(NamedTuple):
    """`torch.return_types.linalg_eigh`."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class Eig(NamedTuple):
    """`torch.return_types.linalg_eig`."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def _run(function: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    try:
        return function(*args, **kwargs)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(
            f"{name}: The algorithm failed to converge because the input matrix is "
            f"ill-conditioned or has too many repeated or non-finite values ({error})"
        ) from None


# --- QR -------------------------------------------------------------------------------------------


class _QR(Function):
    _step_name = "LinalgQrBackward0"

    @staticmethod
    def forward(ctx: Any, a: Tensor, mode: str) -> tuple[Tensor, Tensor]:
        array = values(a)
        if mode == "r":
            q, r = np.zeros((0,), array.dtype), np.asarray(np.linalg.qr(array, mode="r"))
        else:
            q, r = cast(
                "tuple[np.ndarray, np.ndarray]", np.linalg.qr(array, mode=cast("Any", mode))
            )
        first, second = tensor_of(q, a), tensor_of(r, a)
        ctx.mode = mode
        ctx.save_for_backward(first, second)
        return first, second

    @staticmethod
    def backward(ctx: Any, q_gradient: Tensor, r_gradient: Tensor) -> Any:
        q, r = ctx.saved_tensors
        if ctx.mode == "r":
            raise RuntimeError(
                "The derivative of linalg.qr depends on Q, which is not computed when "
                "mode='r'. Please use linalg.qr(A, mode='reduced') if you are going to require "
                "gradients in one of the factors of the QR decomposition."
            )
        rows, columns = q._shape[-2], r._shape[-1]
        if ctx.mode == "complete" and rows > columns:
            raise RuntimeError(
                "The QR decomposition is not differentiable when mode='complete' and nrows > ncols"
            )
        if columns <= rows:
            return _qr_gradient(q, r, q_gradient, r_gradient), None
        square, rest = r[..., :, :rows], r_gradient[..., :, rows:]
        # The columns beyond the square part are products with Q.
        beyond = q @ r[..., :, rows:]
        q_gradient = q_gradient + beyond @ rest.mH
        first = _qr_gradient(q, square, q_gradient, r_gradient[..., :, :rows])
        return cat((first, q @ rest), -1), None


def _qr_gradient(q: Tensor, r: Tensor, q_gradient: Tensor, r_gradient: Tensor) -> Tensor:
    """The gradient of a matrix that has at least as many rows as columns."""
    product = r @ r_gradient.mH - q_gradient.mH @ q
    lower = product.tril(-1)
    mirrored = lower + lower.mH + (product + product.mH).tril().triu() * 0.5
    inner = q_gradient + q @ mirrored
    return solve_triangular(r.mH, inner, upper=False, left=False)


@writing_out
@in_float32
def qr(A: Tensor, mode: str = "reduced") -> QR:
    """Q orthogonal and R upper triangular with `A = Q @ R`."""
    check_matrix(A, "linalg.qr")
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), "
            "'r', or 'complete'"
        )
    return QR(*_QR.apply(A, mode))


# --- singular values ------------------------------------------------------------------------------


def _skew(x: Tensor) -> Tensor:
    return x - x.mH


class _SVD(Function):
    _step_name = "LinalgSvdBackward0"

    @staticmethod
    def forward(ctx: Any, a: Tensor, full: bool) -> tuple[Tensor, Tensor, Tensor]:
        found = _run(np.linalg.svd, "linalg.svd", values(a), full_matrices=full)
        u, s, vh = [tensor_of(part, a) for part in found]
        ctx.save_for_backward(u, s, vh)
        return u, s, vh

    @staticmethod
    def backward(ctx: Any, u_gradient: Tensor, s_gradient: Tensor, vh_gradient: Tensor) -> Any:
        u, s, vh = ctx.saved_tensors
        rows, count, columns = u._shape[-2], s._shape[-1], vh._shape[-1]
        u, vh = u[..., :, :count], vh[..., :count, :]
        u_gradient, vh_gradient = u_gradient[..., :, :count], vh_gradient[..., :count, :]
        squares = s * s
        distance = squares.unsqueeze(-2) - squares.unsqueeze(-1) + identity(s, count)
        of_u, of_v = u.mH @ u_gradient, vh @ vh_gradient.mH
        row, column = s.unsqueeze(-2), s.unsqueeze(-1)
        inner = _skew(of_u) / distance * row + column * (_skew(of_v) / distance)
        inner = inner + diag_embed(s_gradient)
        if u.dtype.is_complex:
            # The phases of the vectors are free; what is left turns U against V.
            angle = imag(of_u.diagonal(0, -2, -1)) / s
            turn = complex(angle * 0, angle)
            inner = inner + diag_embed(turn)
        gradient = u @ inner @ vh
        if rows > count:
            gradient = gradient + ((u_gradient - u @ of_u) / row) @ vh
        if columns > count:
            gradient = gradient + u @ ((vh_gradient - of_v.mH @ vh) / column)
        return gradient, None


@writing_out
@in_float32
def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> SVD:
    """U, S and Vh with `A = U @ diag(S) @ Vh`, S from the largest."""
    check_matrix(A, "linalg.svd")
    return SVD(*_SVD.apply(A, bool(full_matrices)))


class _SingularValues(Function):
    """Without vectors: the gradient is finite for equal values too."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        ctx.save_for_backward(a)
        found = _run(np.linalg.svd, "linalg.svdvals", values(a), compute_uv=False)
        return tensor_of(found, a)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (a,) = ctx.saved_tensors
        u, _, vh = svd(a, full_matrices=False)
        return (u * gradient.unsqueeze(-2)) @ vh


@writing_out
@in_float32
def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values, the largest first."""
    check_matrix(A, "linalg.svdvals")
    if A.requires_grad:
        return _SingularValues.apply(A)
    return tensor_of(_run(np.linalg.svd, "linalg.svdvals", values(A), compute_uv=False), A)


# --- eigenvalues ----------------------------------------------------------------------------------


def _differences(eigenvalues: Tensor) -> Tensor:
    """L[j] - L[i], with ones on the diagonal, whose quotients are not used."""
    size = eigenvalues._shape[-1]
    return eigenvalues.unsqueeze(-2) - eigenvalues.unsqueeze(-1) + identity(eigenvalues, size)


def _off_diagonal(x: Tensor) -> Tensor:
    return x.tril(-1) + x.triu(1)


class _Eigh(Function):
    _step_name = "LinalgEighBackward0"

    @staticmethod
    def forward(ctx: Any, a: Tensor, triangle: str) -> tuple[Tensor, Tensor]:
        found = _run(np.linalg.eigh, "linalg.eigh", values(a), UPLO=triangle)
        eigenvalues, vectors = [tensor_of(part, a) for part in found]
        ctx.save_for_backward(eigenvalues, vectors)
        return eigenvalues, vectors

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, vectors_gradient: Tensor) -> Any:
        eigenvalues, vectors = ctx.saved_tensors
        inner = _off_diagonal((vectors.mH @ vectors_gradient) / _differences(eigenvalues))
        inner = inner + diag_embed(gradient)
        result = vectors @ inner @ vectors.mH
        return (result + result.mH) * 0.5, None


def _triangle(UPLO: str) -> str:
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"linalg.eigh: expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper()


@writing_out
@in_float32
def eigh(A: Tensor, UPLO: str = "L") -> Eigh:
    """Eigenvalues in ascending order and eigenvectors of a symmetric (Hermitian) matrix."""
    check_square(A, "linalg.eigh")
    return Eigh(*_Eigh.apply(A, _triangle(UPLO)))


@writing_out
@in_float32
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of a symmetric (Hermitian) matrix in ascending order."""
    if A.requires_grad:
        return eigh(A, UPLO).eigenvalues
    check_square(A, "linalg.eigvalsh")
    found = _run(np.linalg.eigvalsh, "linalg.eigvalsh", values(A), UPLO=_triangle(UPLO))
    return tensor_of(found, A)


class _Eig(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> tuple[Tensor, Tensor]:
        wanted = as_complex(a.dtype).numpy
        found = _run(np.linalg.eig, "linalg.eig", values(a))
        eigenvalues, vectors = [tensor_of(part.astype(wanted), a) for part in found]
        ctx.real = not a.dtype.is_complex
        ctx.save_for_backward(eigenvalues, vectors)
        return eigenvalues, vectors

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, vectors_gradient: Tensor) -> Tensor:
        eigenvalues, vectors = ctx.saved_tensors
        product = vectors.mH @ vectors_gradient
        sizes = real(product.diagonal(0, -2, -1))
        # The vectors have length 1, which takes the part along them away.
        product = product - (vectors.mH @ vectors) * sizes.unsqueeze(-2)
        inner = _off_diagonal(product / _differences(eigenvalues).conj())
        inner = inner + diag_embed(gradient)
        result = solve(vectors.mH, inner @ vectors.mH)
        return real(result).clone() if ctx.real else result


@writing_out
@in_float32
def eig(A: Tensor) -> Eig:
    """Eigenvalues and eigenvectors of any square matrix, as complex numbers."""
    check_square(A, "linalg.eig")
    return Eig(*_Eig.apply(A))


@writing_out
@in_float32
def eigvals(A: Tensor) -> Tensor:
    """The eigenvalues of any square matrix, as complex numbers."""
    return eig(A).eigenvalues
