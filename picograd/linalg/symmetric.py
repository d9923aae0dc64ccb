"""L D L^H: the factorisation of symmetric matrices that need not be positive.

In: batches of symmetric (or Hermitian) matrices. Out: torch's named results, packed as LAPACK packs
them: L below the diagonal, D's blocks of 1 or 2 on it. Factors are computed on the host.

Source: Bunch and Kaufman 1977, Some Stable Methods for Calculating Inertia and Solving Symmetric
Linear Systems.

>>> import picograd
>>> a = picograd.tensor([[0.0, 1.0], [1.0, 0.0]])
>>> ldl_solve(*ldl_factor(a), picograd.tensor([[2.0], [3.0]])).tolist()
[[3.0], [2.0]]
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from picograd.frontend.composite import without_derivative
from picograd.frontend.hostdata import values
from picograd.frontend.registry import writing_out
from picograd.frontend.tensor import Tensor
from picograd.linalg.host import LinAlgError, check_square, tensor_of, which

# How much larger than the diagonal an element must be to become part of a pivot of 2 by 2.
_GROWTH = (1 + math.sqrt(17)) / 8


class LDLFactor(NamedTuple):
    """`torch.return_types.linalg_ldl_factor`."""

    LD: Tensor
    pivots: Tensor


class LDLFactorEx(NamedTuple):
    """`torch.return_types.linalg_ldl_factor_ex`."""

    LD: Tensor
    pivots: Tensor
    info: Tensor


def _size(x: np.ndarray) -> np.ndarray:
    return np.abs(np.real(x)) + np.abs(np.imag(x))


def _choose_pivot(a: np.ndarray, k: int) -> tuple[int, int]:
    """The row to bring up, and whether the pivot takes 1 or 2 rows; a's lower part counts."""
    n = len(a)
    diagonal = _size(a[k, k])
    if k + 1 == n:
        return k, 1
    row = k + 1 + int(np.argmax(_size(a[k + 1 :, k])))
    largest = _size(a[row, k])
    if max(diagonal, largest) == 0 or diagonal >= _GROWTH * largest:
        return k, 1
    beside = np.concatenate([a[row, k:row], a[row + 1 :, row]])
    other = _size(beside).max()
    if diagonal >= _GROWTH * largest * (largest / other):
        return k, 1
    return (row, 1) if _size(a[row, row]) >= _GROWTH * other else (row, 2)


def _exchange(a: np.ndarray, at: int, row: int, hermitian: bool) -> None:
    """Two rows and columns of the part that is still to be factorised, in its lower half."""
    turn = np.conj if hermitian else np.asarray
    below, between = slice(row + 1, None), slice(at + 1, row)
    a[below, [at, row]] = a[below, [row, at]]
    kept = a[between, at].copy()
    a[between, at], a[row, between] = turn(a[row, between]), turn(kept)
    if hermitian:
        a[row, at] = np.conj(a[row, at])
    a[[at, row], [at, row]] = a[[row, at], [row, at]]


def _factorise(a: np.ndarray, hermitian: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """One matrix's packed factors, its pivots (from 1, negative for pairs), its zero pivot."""
    a, n, k, info = np.array(a), len(a), 0, 0
    pivots = np.zeros(n, np.int32)
    while k < n:
        row, width = _choose_pivot(a, k)
        at = k + width - 1
        if row != at:
            _exchange(a, at, row, hermitian)
            if width == 2:
                a[[at, row], k] = a[[row, at], k]
        pivots[k : k + width] = row + 1 if width == 1 else -(row + 1)
        rest = slice(k + width, None)
        block = a[k : k + width, k : k + width]
        full = np.tril(block) + (np.tril(block, -1).conj().T if hermitian else np.tril(block, -1).T)
        if width == 1 and full[0, 0] == 0:
            info = info or k + 1
        else:
            side = a[rest, k : k + width]
            scaled = np.linalg.solve(full.T, side.T).T
            a[rest, rest] -= np.tril(scaled @ (side.conj().T if hermitian else side.T))
            a[rest, k : k + width] = scaled
        k += width
    return np.tril(a), pivots, info


@writing_out
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> LDLFactorEx:
    """Packed factors, pivots and the number of the first zero pivot (0 if there is none)."""
    check_square(A, "torch.linalg.ldl_factor_ex")
    array = values(A)
    packed, pivots = np.zeros_like(array), np.zeros(array.shape[:-1], np.int32)
    info = np.zeros(array.shape[:-2], np.int32)
    for place in np.ndindex(array.shape[:-2]):
        packed[place], pivots[place], info[place] = _factorise(array[place], hermitian)
    if check_errors and info.any():
        raise LinAlgError(
            f"torch.linalg.ldl_factor_ex: {which(info != 0)}The diagonal block of D is singular."
        )
    factors = without_derivative("linalg_ldl_factor_ex", tensor_of(packed, A), A)
    return LDLFactorEx(factors, tensor_of(pivots, A), tensor_of(info, A))


@writing_out
def ldl_factor(A: Tensor, *, hermitian: bool = False) -> LDLFactor:
    """Packed factors and pivots of a symmetric (or Hermitian) matrix."""
    return LDLFactor(*ldl_factor_ex(A, hermitian=hermitian, check_errors=True)[:2])


def _solve_one(
    packed: np.ndarray, pivots: np.ndarray, b: np.ndarray, hermitian: bool
) -> np.ndarray:
    turn = np.conj if hermitian else np.asarray
    x, n = np.array(b), len(packed)
    starts, k = [], 0
    while k < n:
        width = 1 if pivots[k] > 0 else 2
        starts.append((k, width, abs(int(pivots[k])) - 1))
        k += width
    for k, width, row in starts:  # L, then D
        x[[k + width - 1, row]] = x[[row, k + width - 1]]
        x[k + width :] -= packed[k + width :, k : k + width] @ x[k : k + width]
    for k, width, _ in starts:
        block = np.tril(packed[k : k + width, k : k + width])
        x[k : k + width] = np.linalg.solve(block + turn(np.tril(block, -1)).T, x[k : k + width])
    for k, width, row in reversed(starts):
        x[k : k + width] -= turn(packed[k + width :, k : k + width]).T @ x[k + width :]
        x[[k + width - 1, row]] = x[[row, k + width - 1]]
    return x


@writing_out
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """X with `A @ X = B` from the packed factors of A."""
    check_square(LD, "torch.linalg.ldl_solve")
    packed, order, right = values(LD), values(pivots), values(B)
    lead = np.broadcast_shapes(packed.shape[:-2], right.shape[:-2])
    packed = np.broadcast_to(packed, (*lead, *packed.shape[-2:]))
    order = np.broadcast_to(order, (*lead, order.shape[-1]))
    right = np.broadcast_to(right, (*lead, *right.shape[-2:]))
    result = np.zeros(right.shape, right.dtype)
    for place in np.ndindex(lead):
        result[place] = _solve_one(packed[place], order[place], right[place], hermitian)
    return without_derivative("linalg_ldl_solve", tensor_of(result, B), LD, B)
