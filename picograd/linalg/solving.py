"""Inverse, determinant and linear systems.

In: batches of square matrices. Out: tensors (and torch's named results); singular matrices raise
`LinAlgError` where torch does. LAPACK factorises on the host; the gradients are solves again.

>>> import picograd
>>> solve(picograd.tensor([[2.0, 0.0], [0.0, 4.0]]), picograd.tensor([2.0, 2.0])).tolist()
[1.0, 0.5]
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from picograd.frontend.autocasting import in_float32
from picograd.frontend.conversion import complex, imag
from picograd.frontend.diagonals import diag_embed
from picograd.frontend.function import Function
from picograd.frontend.hostdata import values
from picograd.frontend.registry import writing_out
from picograd.frontend.tensor import Tensor
from picograd.linalg.elimination import factorise
from picograd.linalg.host import (
    LinAlgError,
    check_square,
    on_host,
    tensor_of,
    which,
)
from picograd.linalg.triangular import expanded


class InvEx(NamedTuple):
    """`torch.return_types.linalg_inv_ex`."""

    inverse: Tensor
    info: Tensor


class SolveEx(NamedTuple):
    """`torch.return_types.linalg_solve_ex`."""

    result: Tensor
    info: Tensor


class SLogDet(NamedTuple):
    """`torch.return_types.linalg_slogdet`."""

    sign: Tensor
    logabsdet: Tensor


def _zero_pivots(a: np.ndarray) -> np.ndarray:
    """The number (from 1) of the first zero pivot of each matrix, 0 if there is none."""
    return factorise(a)[2]


def _not_invertible(a: np.ndarray) -> LinAlgError:
    info = _zero_pivots(a)
    bad = info != 0
    number = int(info.reshape(-1)[int(np.argmax(bad.reshape(-1)))]) or a.shape[-1]
    return LinAlgError(
        f"linalg.inv: {which(bad)}The diagonal element {number} is zero, the inversion could not "
        "be completed because the input matrix is singular."
    )


class _Inverse(Function):
    _step_name = "LinalgInvExBackward0"

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        try:
            inverse = on_host(np.linalg.inv, a)
        except np.linalg.LinAlgError:
            raise _not_invertible(values(a)) from None
        ctx.save_for_backward(inverse)
        return inverse

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        turned = ctx.saved_tensors[0].mH
        return -(turned @ gradient @ turned)


@writing_out
@in_float32
def inv(A: Tensor) -> Tensor:
    """The inverse of each matrix; `LinAlgError` if one is singular."""
    check_square(A, "linalg.inv")
    return _Inverse.apply(A)


def _no_info(a: Tensor) -> Tensor:
    return tensor_of(np.zeros(a._shape[:-2], np.int32), a)


@writing_out
@in_float32
def inv_ex(A: Tensor, *, check_errors: bool = False) -> InvEx:
    """The inverses and, instead of an error, the number of the zero pivot (0 if there is none)."""
    check_square(A, "linalg.inv")
    try:
        return InvEx(_Inverse.apply(A), _no_info(A))
    except LinAlgError:
        if check_errors:
            raise
    info = tensor_of(_zero_pivots(values(A)).astype(np.int32), A)
    return InvEx(A * float("nan"), info)


class _Solve(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        try:
            x = on_host(np.linalg.solve, a, b)
        except np.linalg.LinAlgError:
            bad = _zero_pivots(values(a)) != 0
            raise LinAlgError(
                f"torch.linalg.solve: {which(bad)}The solver failed because the input matrix is "
                "singular."
            ) from None
        ctx.save_for_backward(a, x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        a, x = ctx.saved_tensors
        side = _Solve.apply(a.mH, gradient)
        return (-(side @ x.mH) if ctx.needs_input_grad[0] else None), side


@writing_out
@in_float32
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X with `A @ X = B` (or `X @ A = B` if not `left`); B may be a batch of vectors."""
    check_square(A, "linalg.solve")
    if A.dtype is not B.dtype:
        raise RuntimeError(
            f"linalg.solve: Expected A and B to have the same dtype, but found A of type {A.dtype} "
            f"and B of type {B.dtype} instead"
        )
    vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and B._shape == A._shape[:-1])
    if vector and not left:
        raise RuntimeError(
            "linalg.solve: Vector broadcasting of the left hand side is not supported for "
            "left=False. In this case linalg.solve is equivalent to B / A.squeeze(-1)"
        )
    columns = B.unsqueeze(-1) if vector else B
    if not left:
        return solve(A.mT, columns.mT).mT
    if A._shape[-1] != columns._shape[-2]:
        raise RuntimeError(
            "linalg.solve: Incompatible shapes of A and B for the equation AX = B "
            f"({A._shape[-2]}x{A._shape[-1]} and {columns._shape[-2]}x{columns._shape[-1]})"
        )
    x = _Solve.apply(*expanded(A, columns))
    return x.squeeze(-1) if vector else x


@writing_out
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> SolveEx:
    """The solution and, instead of an error, the number of the zero pivot (0: there is none)."""
    try:
        return SolveEx(solve(A, B, left=left), _no_info(A))
    except LinAlgError:
        if check_errors:
            raise
    info = tensor_of(_zero_pivots(values(A)).astype(np.int32), A)
    return SolveEx(B * float("nan"), info)


# --- determinants ---------------------------------------------------------------------------------


def cofactors(a: np.ndarray) -> np.ndarray:
    """The derivative of the determinant, conjugated, which exists for singular matrices too."""
    u, s, vh = np.linalg.svd(a)
    ones = np.ones_like(s[..., :1])
    before = np.concatenate([ones, np.cumprod(s[..., :-1], -1)], -1)
    after = np.concatenate([np.cumprod(s[..., :0:-1], -1)[..., ::-1], ones], -1)
    turn = np.conj(np.linalg.det(u) * np.linalg.det(vh))[..., None, None]
    return turn * ((u * (before * after)[..., None, :]) @ vh)


class _Determinant(Function):
    _step_name = "LinalgDetBackward0"

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        determinant = on_host(np.linalg.det, a)
        ctx.save_for_backward(a, determinant)
        return determinant

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        a, determinant = ctx.saved_tensors
        if not values(determinant).all():
            return gradient[..., None, None] * on_host(cofactors, a)
        scale = (gradient * determinant.conj())[..., None, None]
        return scale * _Inverse.apply(a).mH


@writing_out
def det(A: Tensor) -> Tensor:
    """The determinant of each matrix."""
    check_square(A, "linalg.det")
    return _Determinant.apply(A)


class _LogDeterminant(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> tuple[Tensor, Tensor]:
        found = np.linalg.slogdet(values(a))
        sign, size = tensor_of(found[0], a), tensor_of(found[1], a)
        ctx.save_for_backward(a, sign)
        return sign, size

    @staticmethod
    def backward(ctx: Any, sign_gradient: Tensor, gradient: Tensor) -> Tensor:
        a, sign = ctx.saved_tensors
        scale = gradient
        if a.dtype.is_complex:
            turned = imag(sign_gradient.conj() * sign)
            scale = complex(gradient, -turned)
        scale = scale[..., None].expand(a._shape[:-1])
        return _Solve.apply(a.mH, diag_embed(scale))


@writing_out
def slogdet(A: Tensor) -> SLogDet:
    """Sign and logarithm of the size of each determinant."""
    check_square(A, "linalg.slogdet")
    return SLogDet(*_LogDeterminant.apply(A))


def logdet(input: Tensor) -> Tensor:
    """The logarithm of each determinant: NaN where it is negative."""
    check_square(input, "logdet")
    sign, size = slogdet(input)
    return size + sign.log()
