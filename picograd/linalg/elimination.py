"""LU factorisation with partial pivoting.

In: batches of matrices. Out: torch's packed factors and pivots, or P, L and U. NumPy has no LU, so
it is done here, in columns, over the whole batch at once.

>>> import picograd
>>> lu(picograd.tensor([[0.0, 2.0], [4.0, 0.0]])).U.tolist()
[[4.0, 0.0], [0.0, 2.0]]
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from picograd.frontend.function import Function
from picograd.frontend.hostdata import values
from picograd.frontend.movement import cat
from picograd.frontend.registry import writing_out
from picograd.frontend.tensor import Tensor
from picograd.linalg.host import check_matrix, check_square, identity, tensor_of
from picograd.linalg.triangular import expanded, solve_triangular


class PLU(NamedTuple):
    """`torch.return_types.linalg_lu`."""

    P: Tensor
    L: Tensor
    U: Tensor


class LUFactor(NamedTuple):
    """`torch.return_types.linalg_lu_factor`."""

    LU: Tensor
    pivots: Tensor


class LUFactorEx(NamedTuple):
    """`torch.return_types.linalg_lu_factor_ex`."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


def factorise(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Packed factors, pivots (from 1) and the number of the first zero pivot of each matrix."""
    lead, (rows, columns) = a.shape[:-2], a.shape[-2:]
    packed = np.array(a.reshape(math.prod(lead), rows, columns))
    every = np.arange(len(packed))
    steps = min(rows, columns)
    pivots = np.zeros((len(packed), steps), np.int32)
    info = np.zeros(len(packed), np.int32)
    for k in range(steps):
        below = packed[:, k:, k]
        best = (np.abs(np.real(below)) + np.abs(np.imag(below))).argmax(
            -1
        ) + k  # as LAPACK measures
        pivots[:, k] = best + 1
        swapped = packed[every, best]
        packed[every, best], packed[:, k] = packed[:, k].copy(), swapped
        pivot = packed[:, k, k]
        info[(pivot == 0) & (info == 0)] = k + 1
        packed[:, k + 1 :, k] /= np.where(pivot == 0, 1, pivot)[:, None]
        packed[:, k + 1 :, k + 1 :] -= packed[:, k + 1 :, k, None] * packed[:, k, None, k + 1 :]
    return packed.reshape(a.shape), pivots.reshape(*lead, steps), info.reshape(lead)


def permutation(pivots: np.ndarray, rows: int) -> np.ndarray:
    """The matrices P with A = P L U."""
    flat = pivots.reshape(math.prod(pivots.shape[:-1]), pivots.shape[-1])
    order = np.tile(np.arange(rows), (len(flat), 1))
    every = np.arange(len(flat))
    for k in range(flat.shape[1]):
        other = flat[:, k] - 1
        kept = order[:, k].copy()
        order[:, k] = order[every, other]
        order[every, other] = kept
    matrices = np.eye(rows)[order].swapaxes(-1, -2)
    return matrices.reshape(*pivots.shape[:-1], rows, rows)


def _parts(packed: Tensor) -> tuple[Tensor, Tensor]:
    """L and U of packed factors."""
    rows, columns = packed._shape[-2:]
    steps = min(rows, columns)
    lower = packed[..., :, :steps].tril(-1)
    ones = identity(packed, rows)[:, :steps]
    return lower + ones, packed[..., :steps, :].triu()


class _Factor(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        packed, pivots, info = [tensor_of(part, a) for part in factorise(values(a))]
        ctx.save_for_backward(packed, pivots)
        ctx.mark_non_differentiable(pivots, info)
        return packed, pivots, info

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *unused: Tensor) -> Tensor:
        packed, pivots = ctx.saved_tensors
        rows, columns = packed._shape[-2:]
        steps = min(rows, columns)
        lower, upper = _parts(packed)
        order = tensor_of(permutation(values(pivots), rows).astype(packed.dtype.numpy), packed)
        left, right = gradient.tril(-1)[..., :, :steps], gradient.triu()[..., :steps, :]
        below, beside = left[..., steps:, :], right[..., :, steps:]
        square, corner = lower[..., :steps, :], upper[..., :, :steps]
        # What the rows below, or the columns beside, the leading square block add to its gradient.
        inner_l = square.mH @ left[..., :steps, :]
        inner_u = right[..., :, :steps] @ corner.mH
        if rows > columns:
            inner_u = inner_u - lower[..., steps:, :].mH @ below
        if columns > rows:
            inner_l = inner_l - beside @ upper[..., :, steps:].mH
        middle = inner_l.tril(-1) + inner_u.triu()
        block = solve_triangular(square.mH, middle, upper=True, unitriangular=True)
        block = solve_triangular(corner.mH, block, upper=False, left=False)
        if rows > columns:
            under = solve_triangular(corner.mH, below, upper=False, left=False)
            block = cat((block, under), -2)
        if columns > rows:
            aside = solve_triangular(square.mH, beside, upper=True, unitriangular=True)
            block = cat((block, aside), -1)
        return order @ block


@writing_out
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> LUFactorEx:
    """Packed factors, pivots and the number of the first zero pivot (0 if there is none)."""
    check_matrix(A, "linalg.lu_factor_ex")
    if not pivot:
        raise NotImplementedError("linalg.lu_factor(pivot=False) isn't supported: pivot=True is")
    return LUFactorEx(*_Factor.apply(A))


@writing_out
def lu_factor(A: Tensor, *, pivot: bool = True) -> LUFactor:
    """Packed factors and pivots."""
    return LUFactor(*lu_factor_ex(A, pivot=pivot)[:2])


@writing_out
def lu(A: Tensor, *, pivot: bool = True) -> PLU:
    """P, L and U with `A = P @ L @ U`."""
    return PLU(*lu_unpack(*lu_factor(A, pivot=pivot)))


@writing_out
def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> PLU:
    """P, L and U of packed factors; what isn't wanted is empty."""
    nothing = LU_data.new_zeros((0,))
    lower, upper = _parts(LU_data) if unpack_data else (nothing, nothing)
    order = nothing
    if unpack_pivots:
        made = permutation(values(LU_pivots), LU_data._shape[-2])
        order = tensor_of(made.astype(LU_data.dtype.numpy), LU_data)
    return PLU(order, lower, upper)


@writing_out
def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """X with `A @ X = B` (or the other sides) from the packed factors of A."""
    check_square(LU, "linalg.lu_solve")
    order, lower, upper = lu_unpack(LU, pivots)
    if not left:
        return lu_solve(LU, pivots, B.mH, adjoint=not adjoint).mH
    lower, b = expanded(lower, B)
    if adjoint:
        y = solve_triangular(upper.mH, b, upper=False)
        return order @ solve_triangular(lower.mH, y, upper=True, unitriangular=True)
    y = solve_triangular(lower, order.mT @ b, upper=False, unitriangular=True)
    return solve_triangular(upper, y, upper=True)
