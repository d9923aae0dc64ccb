"""Tensors that torch lays out otherwise: compressed sparse and quantised ones, and files.

In: torch's arguments. Out: what is dense, or NotImplementedError that says how to do without.
`picograd/later.py` shows these functions as torch's.

>>> to_dense([1, 2])
[1, 2]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from picograd.dtypes import DType, float32, float64, int64
from picograd.frontend.grad_mode import no_grad
from picograd.frontend.interop import as_tensor, from_numpy, tensor
from picograd.frontend.tensor import Tensor


def _compressed(*args: Any, **kwargs: Any) -> NoReturn:
    """Compressed sparse layouts aren't supported. Raises NotImplementedError."""
    raise NotImplementedError(
        "picograd has sparse tensors in coordinate form only: torch.sparse_coo_tensor"
    )


sparse_csr_tensor = sparse_csc_tensor = to_sparse_csr = sparse_compressed_tensor = _compressed


def spmm(input: Any, mat2: Any) -> Tensor:
    """The product of a matrix, sparse or not, with a dense one."""
    from picograd.sparse import mm

    return mm(input, mat2)


def to_dense(self: Tensor, dtype: DType | None = None, *, masked_grad: bool | None = None) -> Any:
    """The tensor itself: it is dense."""
    return self if dtype is None else self.to(dtype)


def dequantize(self: Tensor) -> Tensor:
    """The tensor in float32: it is not quantised."""
    return self.to(float32)


def record_stream(self: Tensor, stream: Any) -> None:
    """Nothing: the memory of tensors on the CPU has no streams."""


def reinforce(self: Tensor, *args: Any, **kwargs: Any) -> NoReturn:
    """Torch has removed it. Raises RuntimeError."""
    raise RuntimeError("reinforce() was removed.\nUse torch.distributions instead.")


def scaled_mm(*args: Any, **kwargs: Any) -> NoReturn:
    """Products of 8-bit floats. Raises NotImplementedError."""
    raise NotImplementedError(
        "torch._scaled_mm needs tensors of 8-bit floats, which picograd does not compute with: "
        "multiply bfloat16 tensors with `@`"
    )


def from_file(
    filename: str,
    shared: bool | None = None,
    size: int = 0,
    *,
    dtype: DType | None = None,
    **_: Any,
) -> Tensor:
    """The first numbers of a file. Raises NotImplementedError for memory that is shared with it."""
    if shared:
        raise NotImplementedError("from_file(shared=True): write the file with x.numpy().tofile()")
    kind = (dtype or float32).numpy
    return from_numpy(np.fromfile(filename, kind, size))


def as_tensor_fullprec(t: Any) -> Tensor:
    """A number as a float64 or int64 tensor; anything else as `as_tensor` has it."""
    if type(t) in (float, int):
        return tensor(t, dtype=float64 if type(t) is float else int64)
    return as_tensor(t)


def unscale(tensors: Sequence[Tensor], found_inf: Tensor, inv_scale: Tensor) -> None:
    """Multiply gradients by a number, and say in `found_inf` whether one was not finite."""
    with no_grad():
        for one in tensors:
            if not bool(one.isfinite().all()):  # type: ignore[attr-defined]
                found_inf.fill_(1)
            one.mul_(inv_scale)
