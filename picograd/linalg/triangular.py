"""Systems with a triangular matrix.

In: a triangular matrix and right-hand sides. Out: the solution, by substitution on the host:
halves of the matrix are solved one after the other, so that most of the work is matrix products.
A zero on the diagonal gives infinities, as in torch.

>>> import picograd
>>> lower = picograd.tensor([[2.0, 0.0], [1.0, 1.0]])
>>> solve_triangular(lower, picograd.tensor([[2.0], [3.0]]), upper=False).tolist()
[[1.0], [2.0]]
"""

from __future__ import annotations

from typing import Any

import numpy as np

from picograd.frontend.function import Function
from picograd.frontend.promotion import broadcast_shapes
from picograd.frontend.registry import writing_out
from picograd.frontend.tensor import Tensor
from picograd.linalg.host import check_square, on_host

_BLOCK = 32


def substitute(a: np.ndarray, b: np.ndarray, upper: bool, unit: bool) -> np.ndarray:
    """The solution X of a X = b for batches of one shape."""
    x = np.array(b, copy=True)
    with np.errstate(all="ignore"):
        stack = [(0, a.shape[-1], False)]
        while stack:
            low, high, solved = stack.pop()
            middle = (low + high) // 2
            first, second = slice(low, middle), slice(middle, high)
            if upper:
                first, second = second, first
            if solved:
                x[..., second, :] -= a[..., second, first] @ x[..., first, :]
                stack.append((second.start, second.stop, False))
            elif high - low <= _BLOCK:
                _rows(a, x, low, high, upper, unit)
            else:
                stack.append((low, high, True))
                stack.append((first.start, first.stop, False))
    return x


def _rows(a: np.ndarray, x: np.ndarray, low: int, high: int, upper: bool, unit: bool) -> None:
    """Substitute the rows of one diagonal block in place."""
    for row in range(high - 1, low - 1, -1) if upper else range(low, high):
        known = slice(row + 1, high) if upper else slice(low, row)
        x[..., row, :] -= (a[..., row : row + 1, known] @ x[..., known, :])[..., 0, :]
        if not unit:
            x[..., row, :] /= a[..., row, row][..., None]


class _Triangular(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, upper: bool, unit: bool) -> Tensor:
        x = on_host(lambda b, a: substitute(a, b, upper, unit), b, a)
        ctx.save_for_backward(a, x)
        ctx.upper, ctx.unit = upper, unit
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        a, x = ctx.saved_tensors
        side = _Triangular.apply(a.mH, gradient, not ctx.upper, ctx.unit)
        matrix = None
        if ctx.needs_input_grad[0]:
            matrix = -(side @ x.mH)
            offset = 1 if ctx.unit else 0
            matrix = matrix.triu(offset) if ctx.upper else matrix.tril(-offset)
        return matrix, side, None, None


def expanded(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two batches of matrices with the batch dimensions broadcast."""
    lead = broadcast_shapes(a._shape[:-2], b._shape[:-2])
    return a.expand((*lead, *a._shape[-2:])), b.expand((*lead, *b._shape[-2:]))


@writing_out
def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X with `A @ X = B` (or `X @ A = B` if not `left`) for a triangular A."""
    check_square(A, "linalg.solve_triangular")
    if A.dtype is not B.dtype:
        raise RuntimeError(
            "linalg.solve_triangular: Expected A and B to have the same dtype, but found A of "
            f"type {A.dtype} and B of type {B.dtype} instead"
        )
    if B.ndim < 2:
        raise RuntimeError(
            "linalg.solve_triangular: The input tensor B must have at least 2 dimensions, got "
            f"shape {list(B._shape)}"
        )
    if not left:
        turned = solve_triangular(A.mT, B.mT, upper=not upper, unitriangular=unitriangular)
        return turned.mT
    if A._shape[-1] != B._shape[-2]:
        raise RuntimeError(
            "linalg.solve_triangular: Incompatible shapes of A and B for the equation AX = B "
            f"({A._shape[-2]}x{A._shape[-1]} and {B._shape[-2]}x{B._shape[-1]})"
        )
    a, b = expanded(A, B)
    return _Triangular.apply(a, b, upper, unitriangular)
