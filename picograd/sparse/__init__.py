"""Sparse matrices with the names of `torch.sparse`.

In: places and values. Out: `SparseTensor`, in coordinate form, and its products with tensors.

>>> import picograd
>>> eye = picograd.eye(2).to_sparse()
>>> mm(eye, picograd.tensor([[1.0], [2.0]])).tolist()
[[1.0], [2.0]]
"""

from picograd import dtypes as _dtypes
from picograd.sparse.coordinates import (
    SparseTensor,
    addmm,
    legacy,
    mm,
    sparse_coo_tensor,
    sum,
    to_sparse,
)

FloatTensor = legacy(_dtypes.float32)
DoubleTensor = legacy(_dtypes.float64)
LongTensor = legacy(_dtypes.int64)
IntTensor = legacy(_dtypes.int32)

__all__ = [
    "DoubleTensor",
    "FloatTensor",
    "IntTensor",
    "LongTensor",
    "SparseTensor",
    "addmm",
    "mm",
    "sparse_coo_tensor",
    "sum",
    "to_sparse",
]
