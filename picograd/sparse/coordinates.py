"""Sparse tensors in coordinate form: where the values are, and the values.

In: a matrix of places, one column for each value, and a vector of values, which may be
differentiable. Out: `SparseTensor`. Its product with a dense matrix gathers rows, multiplies them
and adds them up where they belong, so that gradients follow from those three.

>>> import picograd
>>> made = sparse_coo_tensor([[0, 1], [2, 0]], [3.0, 4.0], (2, 3))
>>> made.to_dense().tolist()
[[0.0, 0.0, 3.0], [4.0, 0.0, 0.0]]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from picograd.dtypes import DType, int64
from picograd.frontend.device import Size
from picograd.frontend.hostdata import from_array, values
from picograd.frontend.interop import tensor
from picograd.frontend.movement import cat, stack
from picograd.frontend.tensor import Tensor

_LAYOUT = "torch.sparse_coo"


class SparseTensor:
    """A tensor that is zero where it has no value; values at one place add up."""

    is_sparse, layout = True, _LAYOUT

    def __init__(self, places: Tensor, kept: Tensor, shape: Sequence[int], merged: bool) -> None:
        self._places, self._kept = places, kept
        self._shape, self._merged = Size(shape), merged

    def _with(self, kept: Tensor) -> SparseTensor:
        return SparseTensor(self._places, kept, self._shape, self._merged)

    @property
    def shape(self) -> Size:
        """The shape of the tensor with its zeros."""
        return self._shape

    @property
    def ndim(self) -> int:
        """The number of dims."""
        return len(self._shape)

    @property
    def dtype(self) -> DType:
        """The dtype of the values."""
        return self._kept.dtype

    @property
    def device(self) -> Any:
        """Where the values are."""
        return self._kept.device

    @property
    def requires_grad(self) -> bool:
        """Whether the values do."""
        return self._kept.requires_grad

    @property
    def T(self) -> SparseTensor:
        """The transposed matrix."""
        return self.t()

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one extent of it."""
        return self._shape if dim is None else self._shape[dim]

    def dim(self) -> int:
        """The number of dims."""
        return len(self._shape)

    sparse_dim = dim

    def dense_dim(self) -> int:
        """0: each value is one number."""
        return 0

    def numel(self) -> int:
        """The number of elements with the zeros."""
        return math.prod(self._shape)

    def _nnz(self) -> int:
        return self._kept._shape[0]

    def _indices(self) -> Tensor:
        return self._places

    def _values(self) -> Tensor:
        return self._kept

    def is_coalesced(self) -> bool:
        """Whether the places are sorted and each is there once."""
        return self._merged

    def indices(self) -> Tensor:
        """The places, of a tensor that is coalesced."""
        self._need_merged("indices")
        return self._places

    def values(self) -> Tensor:
        """The values, of a tensor that is coalesced."""
        self._need_merged("values")
        return self._kept

    def _need_merged(self, name: str) -> None:
        if not self._merged:
            raise RuntimeError(
                f"Cannot get {name} on an uncoalesced tensor, please call .coalesce() first"
            )

    def _flat(self) -> Tensor:
        """The places in the flattened tensor."""
        flat = self._places[0]
        for row, extent in zip(self._places[1:].unbind(0), self._shape[1:], strict=True):
            flat = flat * extent + row
        return flat

    def coalesce(self) -> SparseTensor:
        """The same tensor with sorted places, each of them once."""
        if self._merged:
            return self
        found, group = np.unique(values(self._flat()), return_inverse=True)
        place = self._places._storage.node.device
        rows = np.stack(np.unravel_index(found, self._shape)).astype(np.int64)
        kept = self._kept.new_zeros((len(found),))
        kept = kept.index_add(0, from_array(group.astype(np.int64), place), self._kept)
        return SparseTensor(from_array(rows, place), kept, self._shape, True)

    def to_dense(self) -> Tensor:
        """The tensor with its zeros."""
        flat = self._kept.new_zeros((self.numel(),)).index_add(0, self._flat(), self._kept)
        return flat.reshape(self._shape)

    def t(self) -> SparseTensor:
        """The transposed matrix."""
        return self.transpose(0, 1)

    def transpose(self, dim0: int, dim1: int) -> SparseTensor:
        """The tensor with two dims exchanged."""
        order = list(range(self.ndim))
        order[dim0], order[dim1] = order[dim1], order[dim0]
        places = stack([self._places[n] for n in order])
        shape = [self._shape[n] for n in order]
        return SparseTensor(places, self._kept, shape, self._merged and order == sorted(order))

    def to(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """The tensor with values of another dtype or elsewhere."""
        return self._with(self._kept.to(*args, **kwargs))

    def cpu(self) -> SparseTensor:
        """Itself: tensors are on the CPU."""
        return self

    def cuda(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """The tensor on the GPU; raises where there is none."""
        return self._with(self._kept.cuda(*args, **kwargs))

    def float(self) -> SparseTensor:
        """Values in float32."""
        return self._with(self._kept.float())

    def double(self) -> SparseTensor:
        """Values in float64."""
        return self._with(self._kept.double())

    def detach(self) -> SparseTensor:
        """The tensor without a history."""
        return self._with(self._kept.detach())

    def clone(self) -> SparseTensor:
        """A copy."""
        return SparseTensor(self._places.clone(), self._kept.clone(), self._shape, self._merged)

    def requires_grad_(self, requires_grad: bool = True) -> SparseTensor:
        """Make the values collect a gradient."""
        self._kept.requires_grad_(requires_grad)
        return self

    def sum(self, dim: int | None = None) -> Any:
        """The sum of everything."""
        return self._kept.sum() if dim is None else sum(self, dim)

    def _scaled(self, other: Any) -> SparseTensor:
        if isinstance(other, SparseTensor) or (isinstance(other, Tensor) and other.ndim):
            raise NotImplementedError(
                "a sparse tensor times another tensor isn't supported: multiply by a number, or "
                "use to_dense()"
            )
        return self._with(self._kept * other)

    __mul__ = __rmul__ = mul = _scaled

    def __truediv__(self, other: Any) -> SparseTensor:
        return self._with(self._kept / other)

    def __neg__(self) -> SparseTensor:
        return self._with(-self._kept)

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, SparseTensor):
            return self.to_dense() + other
        if self._shape != other._shape:
            raise RuntimeError(
                f"add: expected sizes of 'self' and 'other' to match, but {list(self._shape)} != "
                f"{list(other._shape)}"
            )
        places = cat([self._places, other._places], 1)
        return SparseTensor(places, cat([self._kept, other._kept]), self._shape, False)

    __radd__ = add = __add__

    def __matmul__(self, other: Tensor) -> Tensor:
        return mm(self, other)

    matmul = mm = spmm = __matmul__

    def __rmatmul__(self, other: Tensor) -> Tensor:
        return mm(self.t(), other.t()).t()

    def __repr__(self) -> str:
        places, kept = (
            repr(x.detach()).replace("\n", "\n" + " " * indent)
            for x, indent in ((self._places, 15), (self._kept, 14))
        )
        tail = ", requires_grad=True" if self.requires_grad else ""
        return (
            f"tensor(indices={places},\n       values={kept},\n       "
            f"size={tuple(self._shape)}, nnz={self._nnz()}, layout={_LAYOUT}{tail})"
        )


def sparse_coo_tensor(
    indices: Any,
    values: Any = None,
    size: Sequence[int] | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
    is_coalesced: bool | None = None,
) -> SparseTensor:
    """The sparse tensor with values at the places that the columns of `indices` name."""
    if values is None:  # sparse_coo_tensor(size): all zeros
        size, indices = indices, np.zeros((len(indices), 0), np.int64)
        values = np.zeros(0, np.float32)
    places = indices if isinstance(indices, Tensor) else tensor(indices, dtype=int64)
    kept = values if isinstance(values, Tensor) else tensor(values)
    if dtype is not None or device is not None:
        kept = kept.to(device or kept.device, dtype or kept.dtype)
    places = places.to(int64)
    if places.ndim != 2 or kept.ndim != 1 or places._shape[1] != kept._shape[0]:
        raise NotImplementedError(
            "sparse_coo_tensor takes indices of shape (dims, n) and n values, got "
            f"{list(places._shape)} and {list(kept._shape)}"
        )
    shape = _checked(places, size)
    if requires_grad:
        kept = kept.detach().requires_grad_()
    return SparseTensor(places, kept, shape, bool(is_coalesced))


def _checked(places: Tensor, size: Sequence[int] | None) -> tuple[int, ...]:
    """The shape, given or the smallest one, that has all the places."""
    found = values(places)
    highest = found.max(1, initial=-1)
    if size is None:
        return tuple(int(n) + 1 for n in highest)
    shape = tuple(size)
    if len(shape) != len(highest):
        raise RuntimeError(
            f"number of dimensions must be sparse_dim ({len(highest)}) + dense_dim (0), but got "
            f"{len(shape)}"
        )
    if (found < 0).any() or (highest >= np.array(shape)).any():
        raise RuntimeError(
            f"size is inconsistent with indices: the largest are {highest.tolist()}, the size is "
            f"{list(shape)}"
        )
    return shape


def to_sparse(
    self: Tensor,
    sparse_dim: int | None = None,
    *,
    layout: object = None,
    blocksize: object = None,
    dense_dim: int | None = None,
) -> SparseTensor:
    """The elements that aren't zero, with their places."""
    if layout not in (None, "torch.sparse_coo") or blocksize is not None:
        raise NotImplementedError("to_sparse makes coordinates: other layouts aren't supported")
    if sparse_dim not in (None, self.ndim) or dense_dim:
        raise NotImplementedError("to_sparse with dense dims isn't supported")
    places = self.nonzero()
    return SparseTensor(places.t(), self[places.unbind(1)], self._shape, True)


def legacy(dtype: DType) -> Callable[..., SparseTensor]:
    """`torch.sparse.FloatTensor(indices, values, size)` and its likes."""

    def make(*arguments: Any) -> SparseTensor:
        if len(arguments) >= 2 and isinstance(arguments[0], Tensor):
            return sparse_coo_tensor(*arguments, dtype=dtype)
        return sparse_coo_tensor(tuple(*arguments) if len(arguments) == 1 else arguments)

    return make


def mm(sparse: Any, dense: Any) -> Tensor:
    """The product of a sparse matrix with a dense one (or a vector)."""
    if not isinstance(sparse, SparseTensor):
        return sparse @ dense
    if not isinstance(dense, Tensor):
        raise NotImplementedError(
            "a product of two sparse matrices isn't supported: use to_dense()"
        )
    if sparse.ndim != 2 or dense.ndim not in (1, 2) or sparse._shape[1] != dense._shape[0]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({'x'.join(map(str, sparse._shape))} and "
            f"{'x'.join(map(str, dense._shape))})"
        )
    rows, columns = sparse._places[0], sparse._places[1]
    kept = sparse._kept if dense.ndim == 1 else sparse._kept.unsqueeze(1)
    zeros = dense.new_zeros((sparse._shape[0], *dense._shape[1:]))
    return zeros.index_add(0, rows, kept * dense.index_select(0, columns))


def addmm(mat: Tensor, mat1: Any, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * mat + alpha * mat1 @ mat2 for a sparse `mat1`."""
    return beta * mat + alpha * mm(mat1, mat2)


def sum(input: SparseTensor, dim: Any = None, dtype: Any = None) -> Any:
    """The sum of all values, or over some dims as a sparse tensor."""
    if dtype is not None:
        input = input.to(dtype)
    if dim is None:
        return input._kept.sum()
    dims = {n % input.ndim for n in ((dim,) if isinstance(dim, int) else dim)}
    left = [n for n in range(input.ndim) if n not in dims]
    if not left:
        return input._kept.sum()
    places = stack([input._places[n] for n in left])
    shape = [input._shape[n] for n in left]
    return SparseTensor(places, input._kept, shape, False).coalesce()
