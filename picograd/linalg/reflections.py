"""Products of Householder reflections, as LAPACK packs them.

In: packed reflections (below the diagonal) and their factors `tau`. Out: the products, in tensor
operations with gradients of their own, and the packing itself, which is made on the host.

>>> import picograd
>>> packed, tau = geqrf(picograd.tensor([[3.0], [4.0]]))
>>> householder_product(packed, tau).abs().tolist()
[[0.6000000238418579], [0.800000011920929]]
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from picograd.frontend.autocasting import in_float32
from picograd.frontend.composite import without_derivative
from picograd.frontend.hostdata import values
from picograd.frontend.registry import writing_out
from picograd.frontend.tensor import Tensor
from picograd.linalg.host import check_matrix, identity, tensor_of


class Geqrf(NamedTuple):
    """`torch.return_types.geqrf`."""

    a: Tensor
    tau: Tensor


@writing_out
@in_float32
def geqrf(input: Tensor) -> Geqrf:
    """R above the reflections whose product is Q, and their factors."""
    check_matrix(input, "geqrf")
    packed, tau = np.linalg.qr(values(input), mode="raw")
    found = tensor_of(np.ascontiguousarray(np.swapaxes(packed, -1, -2)), input)
    factors = tensor_of(tau, input)
    return Geqrf(
        without_derivative("geqrf", found, input), without_derivative("geqrf", factors, input)
    )


def _vectors(A: Tensor, count: int) -> Tensor:
    """Each reflection's vector as a column: a 1, and below it what is packed."""
    packed = A[..., :count].tril(-1)  # type: ignore[attr-defined]
    return packed + identity(A, A._shape[-2])[:, :count]


def _check(A: Tensor, tau: Tensor, name: str) -> None:
    check_matrix(A, name)
    rows, columns = A._shape[-2:]
    if rows < columns:
        raise RuntimeError(
            f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1], got "
            f"{list(A._shape)}"
        )
    if tau._shape[:-1] != A._shape[:-2] or tau._shape[-1] > columns:
        raise RuntimeError(
            f"{name}: tau of shape {list(tau._shape)} doesn't fit input of shape {list(A._shape)}"
        )
    if tau.dtype is not A.dtype:
        raise RuntimeError(f"{name}: tau dtype {tau.dtype} does not match input dtype {A.dtype}")


@writing_out
@in_float32
def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first columns of the product of the reflections `1 - tau v v^H` that LAPACK packs."""
    _check(A, tau, "torch.linalg.householder_product")
    if not A.numel():
        return A.clone()
    rows, columns = A._shape[-2:]
    result = identity(A, rows)[:, :columns].expand((*A._shape[:-2], rows, columns))
    if not tau.numel():
        return result + 0 * A  # without reflections too, a function of A
    vectors = _vectors(A, tau._shape[-1])
    for k in range(tau._shape[-1] - 1, -1, -1):
        vector = vectors[..., :, k : k + 1]
        result = result - tau[..., k, None, None] * (vector @ (vector.mH @ result))
    return result


@writing_out
@in_float32
def ormqr(
    input: Tensor, input2: Tensor, input3: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """`Q @ input3`, where Q is the whole product of the packed reflections; or the other sides."""
    check_matrix(input, "torch.ormqr")
    if input3._shape[-2 if left else -1] != input._shape[-2]:
        raise RuntimeError(
            f"torch.ormqr: other.shape[{-2 if left else -1}] must be equal to input.shape[-2], got "
            f"{list(input3._shape)} and {list(input._shape)}"
        )
    if not left:
        return ormqr(input, input2, input3.mH, True, not transpose).mH
    result, vectors = input3.clone(), _vectors(input, input2._shape[-1])
    factors = input2.conj() if transpose and input2.dtype.is_complex else input2  # type: ignore[attr-defined]
    count = input2._shape[-1]
    for k in range(count) if transpose else range(count - 1, -1, -1):
        vector = vectors[..., :, k : k + 1]
        result = result - factors[..., k, None, None] * (vector @ (vector.mH @ result))
    return result
