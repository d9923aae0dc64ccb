"""Norms of vectors and matrices, and what is read from singular values.

In: tensors. Out: norms, condition numbers, ranks. Everything is a composition of tensor operations
and singular values, which have gradients of their own.

>>> import picograd
>>> vector_norm(picograd.tensor([3.0, 4.0])).item()
5.0
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from picograd.dtypes import DType
from picograd.frontend import primitives
from picograd.frontend.autocasting import in_float32
from picograd.frontend.elementwise import abs as absolute
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import wrap_dim, wrap_dims
from picograd.frontend.reductions import amax, amin
from picograd.frontend.reductions import sum as total
from picograd.frontend.registry import writing_out
from picograd.frontend.selection import choose
from picograd.frontend.statistics import norm as vector_norm_of
from picograd.frontend.tensor import Tensor
from picograd.linalg.decompositions import eigvalsh, svdvals
from picograd.linalg.host import LinAlgError, check_inexact, check_matrix, check_square
from picograd.linalg.solving import inv

Order = int | float | str | None
Dims = int | Sequence[int] | None


def _converted(x: Tensor, dtype: DType | None) -> Tensor:
    return x if dtype is None else primitives.cast(x, dtype)


@writing_out
@recorded_as("LinalgVectorNormBackward0")
def vector_norm(
    x: Tensor,
    ord: int | float = 2,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """The p-norm of the elements along `dim` (of all of them by default)."""
    converted = _converted(x, dtype)
    empty = converted.numel() == 0 and (ord < 0 or ord == math.inf)
    dims = wrap_dims(dim, x.ndim)
    if empty and any(not x._shape[n] for n in dims):
        raise RuntimeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the "
            f"operation does not have an identity (shape {list(x._shape)})"
        )
    if not x.ndim and ord not in (0,):
        return absolute(converted)
    return vector_norm_of(converted, ord, dims, keepdim)


def _two(dim: Sequence[int], rank: int) -> tuple[int, int]:
    if isinstance(dim, int) or len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {dim}")
    first, second = (wrap_dim(int(n), rank) for n in dim)
    if first == second:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({first}, {second})")
    return first, second


def _kept(result: Tensor, dims: tuple[int, int], keepdim: bool) -> Tensor:
    """A result without two dimensions with them as extents of 1."""
    if keepdim:
        for dim in sorted(dims):
            result = result.unsqueeze(dim)
    return result


@writing_out
def matrix_norm(
    A: Tensor,
    ord: int | float | str = "fro",
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """The norm of each matrix in two dimensions: "fro", "nuc", 1, 2, inf or a negative one."""
    check_inexact(A, "linalg.matrix_norm")
    if A.ndim < 2:
        raise RuntimeError(
            "linalg.matrix_norm: The input tensor A must have at least 2 dimensions, got shape "
            f"{list(A._shape)}"
        )
    x, dims = _converted(A, dtype), _two(dim, A.ndim)
    if ord == "fro":
        return vector_norm_of(x, 2, dims, keepdim)
    if ord == "nuc" or ord in (2, -2):
        moved = x.movedim(dims, (-2, -1))  # type: ignore[attr-defined]
        found = svdvals(moved)
        if ord == "nuc":
            result = total(found, -1)
        else:
            result = amax(found, -1) if ord == 2 else amin(found, -1)
        return _kept(result, dims, keepdim)
    if ord in (1, -1, math.inf, -math.inf):
        summed, rest = dims if isinstance(ord, (int, float)) and math.fabs(ord) == 1 else dims[::-1]
        sums = total(absolute(x), summed, keepdim=True)
        best = (amax if float(ord) > 0 else amin)(sums, rest, keepdim=True)
        return best if keepdim else best.squeeze(dims)
    raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")


@writing_out
def norm(
    A: Tensor,
    ord: Order = None,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """`matrix_norm` where two dimensions are meant, else `vector_norm`."""
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if dim is None and A.ndim not in (1, 2):
        raise RuntimeError(
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
            f"{A.ndim}D."
        )
    dims = wrap_dims(dim, A.ndim)
    if len(dims) == 2:
        return matrix_norm(A, ord, dims, keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise RuntimeError(
            f"linalg.norm: If ord is a string, it needs a matrix; got ord={ord} for dim={dim} of "
            f"shape {list(A._shape)}"
        )
    return vector_norm(A, ord, dims, keepdim, dtype=dtype)


@writing_out
@in_float32
def cond(A: Tensor, p: Order = None) -> Tensor:
    """The condition number of each matrix; infinite for a singular one."""
    check_matrix(A, "linalg.cond")
    if p is None or p in (2, -2):
        found = svdvals(A)
        largest, smallest = found[..., 0], found[..., -1]
        return smallest / largest if p == -2 else largest / smallest
    check_square(A, f"linalg.cond({p})")
    try:
        return matrix_norm(A, p) * matrix_norm(inv(A), p)
    except LinAlgError:
        from picograd.linalg.solving import inv_ex

        inverse, info = inv_ex(A)
        size = matrix_norm(A, p) * matrix_norm(inverse, p)
        return choose(info == 0, size, math.inf)  # type: ignore[arg-type]


def threshold(
    found: Tensor, size: int, atol: float | Tensor | None, rtol: float | Tensor | None
) -> Tensor:
    """What counts as zero among singular values: `max(atol, rtol * largest)`."""
    if rtol is None:
        unset = atol is None or not (isinstance(atol, Tensor) or atol > 0)
        relative: float | Tensor = size * _epsilon(found.dtype) if unset else 0.0
    else:
        relative = rtol
    largest = amax(found, -1)
    if isinstance(relative, Tensor) and relative.ndim:
        largest = largest * relative
    else:
        largest = largest * relative
    absolute_part = 0.0 if atol is None else atol
    return choose(largest < absolute_part, absolute_part, largest)  # type: ignore[operator]


def _epsilon(dtype: DType) -> float:
    return 2.0**-23 if dtype.bits == 32 else 2.0**-52


@writing_out
@in_float32
def matrix_rank(
    A: Tensor,
    tol: float | Tensor | None = None,
    hermitian: bool = False,
    *,
    atol: float | Tensor | None = None,
    rtol: float | Tensor | None = None,
) -> Tensor:
    """How many singular values of each matrix are not (nearly) zero."""
    check_matrix(A, "linalg.matrix_rank")
    fixed = A.detach()
    if tol is not None:
        atol, rtol = tol, 0.0
    found = absolute(eigvalsh(fixed)) if hermitian else svdvals(fixed)
    if not found._shape[-1]:
        return total(found > 0, -1)  # type: ignore[operator]
    limit = threshold(found, max(A._shape[-2:]), atol, rtol)
    return total(found > limit.unsqueeze(-1), -1)  # type: ignore[operator]
