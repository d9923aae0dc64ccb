"""Functions of matrices and products that need no factorisation of their own.

In: tensors. Out: matrix exponentials and powers, chains of products, cross products, tensors
solved as matrices.

>>> import picograd
>>> matrix_power(picograd.tensor([[2.0]]), -2).tolist()
[[0.25]]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from picograd.frontend.autocasting import in_fewer_bits, in_float32
from picograd.frontend.einstein import chain_matmul, natural_power
from picograd.frontend.function import Function
from picograd.frontend.movement import cat, roll
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import broadcast_shapes, wrap_dim
from picograd.frontend.reductions import sum as total
from picograd.frontend.registry import writing_out
from picograd.frontend.slicing import diagonal as diagonal_view
from picograd.frontend.tensor import Tensor
from picograd.linalg.host import check_square, on_host
from picograd.linalg.solving import inv, solve

# Numerator of the Pade approximation of exp of degree 13, and the norm up to which it is exact.
_PADE = [
    math.factorial(26 - n) * math.factorial(13)
    / (math.factorial(26) * math.factorial(n) * math.factorial(13 - n))
    for n in range(14)
]  # fmt: skip
_PADE_NORM = 5.37


def exponential(a: np.ndarray) -> np.ndarray:
    """exp of each matrix: scaled down, a Pade approximation in double precision, squared."""
    wide = a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)
    largest = float(np.abs(wide).sum(-2).max(initial=0))
    if not math.isfinite(largest):
        return np.full_like(a, np.nan)
    halvings = max(0, math.ceil(math.log2(largest / _PADE_NORM))) if largest else 0
    x = wide / 2.0**halvings
    power = np.broadcast_to(np.eye(a.shape[-1]), a.shape)
    even, odd = np.zeros_like(wide), np.zeros_like(wide)
    for degree, coefficient in enumerate(_PADE):
        if degree % 2:
            odd = odd + coefficient * power
        else:
            even = even + coefficient * power
        power = power @ x
    result = np.linalg.solve(even - odd, even + odd)
    for _ in range(halvings):
        result = result @ result
    return result.astype(a.dtype)


class _Exponential(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        ctx.save_for_backward(a)
        return on_host(exponential, a)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # exp of [[A, G], [0, A]] has the derivative of exp at A along G in its corner.
        turned = ctx.saved_tensors[0].mH
        size = turned._shape[-1]
        top = cat((turned, gradient), -1)
        bottom = cat((gradient * 0, turned), -1)
        return _Exponential.apply(cat((top, bottom), -2))[..., :size, size:]


@writing_out
def matrix_exp(A: Tensor) -> Tensor:
    """The matrix exponential."""
    check_square(A, "linalg.matrix_exp")
    return _Exponential.apply(A) if A.numel() else A.clone()


@writing_out
def matrix_power(A: Tensor, n: int) -> Tensor:
    """A square matrix multiplied by itself n times; the inverse's power if n is negative."""
    if A.ndim < 2 or A._shape[-1] != A._shape[-2]:
        check_square(A, "linalg.matrix_power")
    return natural_power(inv(A), -n) if n < 0 else natural_power(A, n)


@writing_out
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of matrices in the cheapest order; the ends may be vectors."""
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    chain = list(tensors)
    row, column = chain[0].ndim == 1, chain[-1].ndim == 1
    if row:
        chain[0] = chain[0].unsqueeze(0)
    if column:
        chain[-1] = chain[-1].unsqueeze(-1)
    for position, x in enumerate(chain):
        if x.ndim != 2:
            raise RuntimeError(
                f"multi_dot(): tensor {position} must be 2D but got {tensors[position].ndim}D"
            )
    result = chain_matmul(*chain)
    result = result.squeeze(-1) if column else result
    return result.squeeze(0) if row else result


@writing_out
@recorded_as("LinalgCrossBackward0")
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The cross product of vectors of 3 elements along a dimension."""
    if input.ndim != other.ndim:
        raise RuntimeError(
            "linalg.cross: inputs must have the same number of dimensions, got "
            f"{input.ndim} and {other.ndim}"
        )
    axis = wrap_dim(dim, input.ndim)
    if input._shape[axis] != 3 or other._shape[axis] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input._shape[axis]} "
            f"and {other._shape[axis]}"
        )
    shape = broadcast_shapes(input._shape, other._shape)
    a, b = input.expand(shape), other.expand(shape)
    forward = roll(a, -1, axis) * roll(b, -2, axis)
    return forward - roll(a, -2, axis) * roll(b, -1, axis)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """A view of the diagonals."""
    return diagonal_view(A, offset, dim1, dim2)


@writing_out
@in_fewer_bits
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """Sums of products along a dimension, the first factor conjugated."""
    first = x.conj() if x.dtype.is_complex else x  # type: ignore[attr-defined]
    return total(first * y, dim)


@writing_out
def vander(x: Tensor, N: int | None = None) -> Tensor:
    """Vandermonde's matrix: the powers 0 to N - 1 of each element along a new last dimension."""
    x = x if x.ndim else x.reshape((1,))
    count = x._shape[-1] if N is None else N
    if count <= 1 and N is not None and N < 1:
        raise RuntimeError(f"N must be greater than 1, got {N}")
    powers = [x * 0 + 1]
    for _ in range(count - 1):
        powers.append(powers[-1] * x)
    return cat([power.unsqueeze(-1) for power in powers], -1)


@writing_out
@in_float32
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse with respect to `tensordot` over the first `ind` dimensions."""
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    rows, columns = A._shape[:ind], A._shape[ind:]
    size = math.prod(columns)
    if size != math.prod(rows):
        raise RuntimeError(
            f"Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {size} != {math.prod(rows)}"
        )
    return inv(A.reshape((size, size))).reshape((*columns, *rows))


@writing_out
@in_float32
def tensorsolve(A: Tensor, B: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """X with `tensordot(A, X, X.ndim) = B`."""
    moved = A
    if dims is not None:
        places = [wrap_dim(dim, A.ndim) for dim in dims]
        moved = A.permute((*[n for n in range(A.ndim) if n not in places], *places))
    shape = moved._shape[B.ndim :]
    size = math.prod(shape)
    if B.numel() != size:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {size} != {B.numel()}"
        )
    return solve(moved.reshape((size, size)), B.reshape((-1,))).reshape(shape)
