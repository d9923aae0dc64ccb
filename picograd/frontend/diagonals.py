"""Triangles and diagonals: parts of matrices kept, and matrices made of them.

In: tensors. Out: tensors with fresh storage; diagonals as views are in `views.py`.

>>> import picograd
>>> picograd.tril(picograd.ones(2, 2)).tolist()
[[1.0, 0.0], [1.0, 1.0]]
"""

from __future__ import annotations

from picograd.dtypes import int64
from picograd.frontend import primitives
from picograd.frontend.elementwise import filled_like
from picograd.frontend.movement import at_least, broadcast_zero, cat
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import broadcast_to, wrap_dim
from picograd.frontend.registry import operation
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Op


def _below(rows: int, columns: int, diagonal: int, place: str) -> Tensor:
    """Where column <= row + diagonal, as a bool matrix."""
    row = primitives.iota(rows, int64, place)
    column = primitives.iota(columns, int64, place)
    shape = (rows, columns)
    limit = row + diagonal if diagonal else row
    return primitives.elementwise(
        Op.LE,
        broadcast_to(primitives.reshape(column, (1, columns)), shape),
        broadcast_to(primitives.reshape(limit, (rows, 1)), shape),
    )


def _triangle(x: Tensor, diagonal: int, lower: bool, name: str) -> Tensor:
    if x.ndim < 2:
        raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
    rows, columns = x._shape[-2:]
    shift = diagonal if lower else diagonal - 1
    mask = broadcast_to(_below(rows, columns, shift, x._storage.node.device), x._shape)
    zero = filled_like(x, 0)
    first, second = (x, zero) if lower else (zero, x)
    return primitives.elementwise(Op.WHERE, mask, first, second)


@operation(inplace=True, out=True)
@recorded_as("TrilBackward0")
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle; the rest is zero."""
    return _triangle(input, diagonal, True, "tril")


@operation(inplace=True, out=True)
@recorded_as("TriuBackward0")
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle; the rest is zero."""
    return _triangle(input, diagonal, False, "triu")


@operation(out=True)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The matrix with a vector on its diagonal, or the diagonal of a matrix."""
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim == 2:
        return input.diagonal(diagonal).clone()
    raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")


@operation()
@recorded_as("DiagEmbedBackward0")
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last dimension on their diagonals."""
    size = input._shape[-1] + (offset if offset >= 0 else -offset)
    place = input._storage.node.device
    position = primitives.iota(input._shape[-1], int64, place)
    row = position - offset if offset < 0 else position
    column = position + offset if offset > 0 else position
    lead = input.ndim - 1
    base = broadcast_zero(input, (*input._shape[:-1], size, size))
    value = primitives.permute(input, (lead, *range(lead))) if lead else input
    result = primitives.scatter(base, value, (lead, lead + 1), (row, column), True)
    first, second = wrap_dim(dim1, result.ndim), wrap_dim(dim2, result.ndim)
    if (first, second) == (lead, lead + 1):
        return result
    order = list(range(lead))
    for axis, source in sorted(((first, lead), (second, lead + 1))):
        order.insert(axis, source)
    return primitives.permute(result, tuple(order))


@operation(method=False)
def block_diag(*tensors: Tensor) -> Tensor:
    """The matrices along a diagonal, zeros elsewhere."""
    blocks = [at_least(x, 2) for x in tensors]
    columns = sum(block._shape[1] for block in blocks)
    padded, before = [], 0
    for block in blocks:
        after = columns - before - block._shape[1]
        padded.append(primitives.pad(block, (0, before), (0, after)))
        before += block._shape[1]
    return cat(padded, 0)
