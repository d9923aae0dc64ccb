"""What every factorisation shares: checked input, arrays for LAPACK, torch's error.

In: tensors. Out: NumPy arrays with their contents, tensors made of the results, `LinAlgError`.
Factorisations run on the host through NumPy's LAPACK, on realised buffers; their gradients are
written with tensor operations in the modules beside this one.

>>> import picograd
>>> solved = on_host(np.linalg.inv, picograd.tensor([[2.0]]))
>>> solved.tolist()
[[0.5]]
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from picograd.frontend.hostdata import from_array, values
from picograd.frontend.promotion import type_name
from picograd.frontend.tensor import Tensor


class LinAlgError(RuntimeError):
    """A matrix has no such inverse or factorisation."""

    __module__ = "picograd.linalg"


def device_of(x: Tensor) -> str:
    """The name of a tensor's device."""
    return x._storage.node.device


def on_host(function: Callable[..., np.ndarray], *tensors: Tensor) -> Tensor:
    """A NumPy function of the contents as a tensor of the same dtype; nothing is recorded."""
    result = function(*[values(x) for x in tensors])
    kept = np.asarray(result, dtype=tensors[0].dtype.numpy)
    return from_array(kept, device_of(tensors[0]))


def tensor_of(array: np.ndarray, like: Tensor) -> Tensor:
    """An array, in its own dtype, as a tensor on the device of another one."""
    return from_array(np.asarray(array), device_of(like))


def check_inexact(x: Tensor, name: str) -> None:
    """Raise torch's errors for what isn't a float32, float64 or complex tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'A' must be Tensor, not {type(x).__name__}")
    if not x.dtype.is_inexact:
        raise RuntimeError(
            f"{name}: Expected a floating point or complex tensor as input. Got "
            f"{type_name(x.dtype)}"
        )
    if x.dtype.is_float and x.dtype.bits < 32:
        raise RuntimeError(
            f"{name}: Low precision dtypes not supported. Got {type_name(x.dtype)}; convert with "
            ".float() first"
        )


def check_matrix(x: Tensor, name: str) -> None:
    """Raise torch's errors for what isn't a batch of matrices."""
    check_inexact(x, name)
    if x.ndim < 2:
        raise RuntimeError(
            f"{name}: The input tensor A must have at least 2 dimensions, got shape "
            f"{list(x._shape)}"
        )


def check_square(x: Tensor, name: str) -> None:
    """Raise torch's errors for what isn't a batch of square matrices."""
    check_matrix(x, name)
    if x._shape[-1] != x._shape[-2]:
        raise RuntimeError(
            f"{name}: A must be batches of square matrices, but they are {x._shape[-2]} by "
            f"{x._shape[-1]} matrices"
        )


def which(bad: np.ndarray) -> str:
    """How torch's messages name the first bad matrix of a batch."""
    if not bad.ndim:
        return ""
    return f"(Batch element {int(np.argmax(bad.reshape(-1)))}): "


def identity(like: Tensor, size: int) -> Tensor:
    """The identity matrix in the dtype and on the device of a tensor."""
    return tensor_of(np.eye(size, dtype=like.dtype.numpy), like)
