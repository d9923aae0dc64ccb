"""The older names of linear algebra, at the top level of the package and on tensors.

In: tensors. Out: what torch's older functions give, where their interface differs from `linalg`'s.
`picograd/later.py` lists which of these and of `linalg`'s functions the package shows.

>>> import picograd
>>> picograd.svd(picograd.tensor([[3.0]])).S.tolist()
[3.0]
"""

from __future__ import annotations

from typing import NamedTuple

from picograd.frontend.autocasting import in_float32
from picograd.frontend.random import gaussian
from picograd.frontend.registry import writing_out
from picograd.frontend.tensor import Tensor
from picograd.linalg import decompositions, definite, elimination, functions, solving
from picograd.linalg.least_squares import pinv
from picograd.linalg.triangular import solve_triangular


class SVD(NamedTuple):
    """`torch.return_types.svd`: V itself, not its adjoint."""

    U: Tensor
    S: Tensor
    V: Tensor


class TriangularSolve(NamedTuple):
    """`torch.return_types.triangular_solve`."""

    solution: Tensor
    cloned_coefficient: Tensor


@writing_out
@in_float32
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """As `linalg.cholesky`."""
    return definite.cholesky(input, upper=upper)


@writing_out
@in_float32
def qr(input: Tensor, some: bool = True) -> decompositions.QR:
    """As `linalg.qr`; the complete Q if not `some`."""
    return decompositions.qr(input, "reduced" if some else "complete")


@writing_out
@in_float32
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> SVD:
    """As `linalg.svd`, with V instead of its adjoint."""
    if not compute_uv:
        rows, columns = input._shape[-2:]
        zeros = input.new_zeros
        lead = input._shape[:-2]
        left, right = zeros((*lead, rows, rows)), zeros((*lead, columns, columns))
        return SVD(left, decompositions.svdvals(input), right)
    u, s, vh = decompositions.svd(input, full_matrices=not some)
    return SVD(u, s, vh.mH)


@in_float32
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """As `linalg.pinv` with a relative limit."""
    return pinv(input, rcond)


@writing_out
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """As `linalg.cross`; by default along the first dimension of extent 3."""
    if dim is None:
        found = [n for n, extent in enumerate(input._shape) if extent == 3]
        if not found:
            raise RuntimeError(f"no dimension of size 3 in input of shape {list(input._shape)}")
        dim = found[0]
    return functions.cross(input, other, dim=dim)


@writing_out
@in_float32
def triangular_solve(
    input: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> TriangularSolve:
    """`linalg.solve_triangular` with the arguments the other way round."""
    matrix = A.mT if transpose else A
    solution = solve_triangular(
        matrix, input, upper=upper != transpose, unitriangular=unitriangular
    )
    return TriangularSolve(solution, A.clone())


@writing_out
@in_float32
def lu_solve(input: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """As `linalg.lu_solve`."""
    return elimination.lu_solve(LU_data, LU_pivots, input)


@writing_out
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Vandermonde's matrix, its powers falling unless `increasing`."""
    found = functions.vander(x, x.numel() if N is None else N)
    return found if increasing else found.flip(-1)


@writing_out
def lu_method(self: Tensor, pivot: bool = True, get_infos: bool = False) -> tuple[Tensor, ...]:
    """Packed factors and pivots of `Tensor.lu`."""
    found = elimination.lu_factor_ex(self, pivot=pivot)
    return tuple(found) if get_infos else tuple(found[:2])


@writing_out
@in_float32
def inverse(input: Tensor) -> Tensor:
    """As `linalg.inv`."""
    return solving.inv(input)


def svd_lowrank(
    A: Tensor, q: int = 6, niter: int = 2, M: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The largest `q` singular values and their vectors, from random projections (Halko et al.)."""
    x = A if M is None else A - M
    wide = x._shape[-2] < x._shape[-1]
    x = x.mH if wide else x
    shape = (*x._shape[:-2], x._shape[-1], q)
    start = gaussian(shape, x.dtype, None, x._storage.node.device)
    basis = decompositions.qr(x @ start).Q
    for _ in range(niter):
        other = decompositions.qr(x.mH @ basis).Q
        basis = decompositions.qr(x @ other).Q
    u, s, vh = decompositions.svd(basis.mH @ x, full_matrices=False)
    left, right = basis @ u, vh.mH
    return (right, s, left) if wide else (left, s, right)


def pca_lowrank(
    A: Tensor, q: int | None = None, center: bool = True, niter: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    """`svd_lowrank` of a matrix whose columns are moved to mean 0."""
    rows, columns = A._shape[-2:]
    count = min(6, rows, columns) if q is None else q
    if not 0 <= count <= min(rows, columns):
        raise ValueError(
            f"q(={count}) must be non-negative integer and not greater than min(m, n)="
            f"{min(rows, columns)}"
        )
    moved = A - A.mean(-2, True) if center else A  # type: ignore[attr-defined]
    return svd_lowrank(moved, count, niter)
