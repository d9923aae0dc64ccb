"""Data from outside: `tensor`, `as_tensor`, `from_numpy`, `asarray`.

In: Python numbers, nested sequences, NumPy arrays, tensors. Out: tensors. `tensor` copies;
`from_numpy`, and `as_tensor` where it can, share the memory of an array, which pins the storage
(see `frontend/storage.py`).

>>> import numpy as np, picograd
>>> a = np.zeros(3, dtype=np.float32)
>>> x = from_numpy(a)
>>> a[1] = 5
>>> x.tolist()
[0.0, 5.0, 0.0]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from picograd import dtypes
from picograd.dtypes import DType, bool_, int64
from picograd.frontend.device import device, device_name
from picograd.frontend.known import remember
from picograd.frontend.promotion import default_complex, get_default_dtype, type_name
from picograd.frontend.registry import operation
from picograd.frontend.storage import copied
from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.node import Node, leaf
from picograd.runtime import buffer as buffers


def shared_node(array: np.ndarray, place: str, dtype: DType | None = None) -> Node:
    """The node of a contiguous array's memory; nothing is copied."""
    if dtype is not None and array.dtype != dtype.numpy:
        array = array.view(dtype.numpy)
    return remember(leaf(buffers.from_array(array, place), array.shape), array)


def owned(array: np.ndarray, place: str) -> Tensor:
    """A tensor with memory of its own that holds a copy of an array."""
    return wrap(copied(array, place))


def _infer(data: object, depth: int) -> tuple[tuple[int, ...], DType | None]:
    """Shape and dtype of nested sequences; the dtype is None if there is no number."""
    if isinstance(data, Tensor):
        return _infer_tensor(data, depth)
    if isinstance(data, np.ndarray):
        return data.shape, dtypes.from_numpy(data.dtype.newbyteorder("="))
    if isinstance(data, (bool, np.bool_)):
        return (), bool_
    if isinstance(data, np.generic):
        return (), dtypes.from_numpy(data.dtype)
    if isinstance(data, int):
        return (), int64
    if isinstance(data, float):
        return (), get_default_dtype()
    if isinstance(data, complex):
        return (), default_complex()
    if isinstance(data, str):
        if depth:
            raise ValueError("too many dimensions 'str'")
        raise TypeError("new(): invalid data type 'str'")
    if hasattr(data, "__len__") and hasattr(data, "__getitem__"):
        return _infer_sequence(cast("Sequence[object]", data), depth)
    raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")


def _infer_tensor(data: Tensor, depth: int) -> tuple[tuple[int, ...], DType | None]:
    """A tensor inside of a sequence is one number, whatever its shape."""
    if depth and data.numel() != 1:
        if data.dtype.is_inexact:
            raise ValueError("only one element tensors can be converted to Python scalars")
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return () if depth else data._shape, data.dtype


def _infer_sequence(data: Sequence[object], depth: int) -> tuple[tuple[int, ...], DType | None]:
    if not len(data):
        return (0,), None
    kinds = set(map(type, data))
    if kinds <= {int, float, bool}:  # the usual innermost row
        if float in kinds:
            return (len(data),), get_default_dtype()
        return (len(data),), int64 if int in kinds else bool_
    shape: tuple[int, ...] | None = None
    dtype: DType | None = None
    for entry in data:
        if shape is not None and isinstance(entry, str):
            raise TypeError("new(): invalid data type 'str'")
        entry_shape, entry_dtype = _infer(entry, depth + 1)
        if shape is None:
            shape = entry_shape
        elif shape != entry_shape:
            if not shape or not entry_shape:
                raise TypeError("not a sequence of equal depth: numbers and sequences are mixed")
            raise ValueError(
                f"expected sequence of length {shape[0]} at dim {depth + 1} (got {entry_shape[0]})"
            )
        if entry_dtype is not None:
            dtype = entry_dtype if dtype is None else dtypes.promote(dtype, entry_dtype)
    assert shape is not None
    return (len(data), *shape), dtype


def _plain(data: object) -> object:
    """Nested sequences with tensors replaced by arrays."""
    if isinstance(data, Tensor):
        return data.item() if data.numel() == 1 else data.detach().tolist()
    if isinstance(data, (list, tuple)) and not all(type(e) in (int, float, bool) for e in data):
        return [_plain(entry) for entry in data]
    return data


def array_of(data: object, dtype: DType | None) -> np.ndarray:
    """Any accepted data as a new or shared array of the right dtype."""
    if isinstance(data, np.ndarray):
        check_array(data)
        return data if dtype is None else _converted(data, dtype)
    shape, inferred = _infer(data, 0)
    kind = dtype or inferred or get_default_dtype()
    if inferred is not None and inferred.is_complex and not kind.is_complex:
        raise RuntimeError(
            f"value cannot be converted to type {type_name(kind).lower()} without overflow"
        )
    try:
        truncates = kind.is_integer and inferred is not None and inferred.is_inexact
        if truncates or kind.name in ("float16", "bfloat16"):
            array = np.array(_plain(data), dtype=np.float64).astype(kind.numpy)
        else:
            array = np.array(_plain(data), dtype=kind.numpy)
    except OverflowError:
        if kind.itemsize == 8:
            raise ValueError("Overflow when unpacking long long") from None
        raise RuntimeError(
            f"value cannot be converted to type {kind.name} without overflow"
        ) from None
    return array.reshape(shape)


def check_array(array: np.ndarray) -> DType:
    """The dtype of an array; torch's errors for arrays that no tensor can be made of."""
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion "
            "between byte orders is currently not supported."
        )
    if any(stride < 0 for stride in array.strides) and array.size:
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array  with array.copy().) "
        )
    return dtypes.from_numpy(array.dtype)


def _converted(array: np.ndarray, dtype: DType) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        return array.astype(dtype.numpy, copy=False)


@operation(method=False)
def tensor(
    data: object,
    *,
    dtype: DType | None = None,
    device: str | device | None = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor that holds a copy of numbers, nested sequences, an array or a tensor."""
    if isinstance(data, Tensor):
        result = data.detach().clone()
        if dtype is not None or device is not None:
            result = result.to(device=device, dtype=dtype)
    elif hasattr(data, "__cuda_array_interface__"):
        result = as_tensor(data, dtype, device).clone()
    else:
        result = owned(array_of(data, dtype), device_name(device))
    if requires_grad:
        if not result.dtype.is_inexact:
            raise RuntimeError(
                "Only Tensors of floating point and complex dtype can require gradients"
            )
        result.requires_grad_()
    return result


@operation(method=False)
def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor over the memory of an array: writes to one are seen through the other."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    check_array(ndarray)
    return _sharing(ndarray, _host())


@operation(method=False)
def frombuffer(
    buffer: Any,
    *,
    dtype: DType,
    count: int = -1,
    offset: int = 0,
    requires_grad: bool = False,
) -> Tensor:
    """A row of elements over the memory of an object with Python's buffer interface."""
    size = memoryview(buffer).nbytes
    item = dtype.itemsize
    if not size:
        raise ValueError(f"both buffer length ({size}) and count ({count}) must not be 0")
    if not 0 <= offset < size:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length "
            f"({size} bytes) minus 1"
        )
    if count == 0 or count < -1:
        raise ValueError(f"both buffer length ({size}) and count ({count}) must not be 0")
    if count < 0 and (size - offset) % item:
        raise ValueError(
            f"buffer length ({size - offset} bytes) after offset ({offset} bytes) must be a "
            f"multiple of element size ({item})"
        )
    number = (size - offset) // item if count < 0 else count
    if offset + number * item > size:
        raise ValueError(
            f"requested buffer length ({number} * {item} bytes) after offset ({offset} bytes) must "
            f"not be greater than actual buffer length ({size} bytes)"
        )
    raw = np.frombuffer(buffer, np.uint8, number * item, offset)
    result = _sharing(raw.view(dtype.numpy), _host())
    return result.requires_grad_() if requires_grad else result


def _host() -> str:
    """The default device if its memory is the host's, else the CPU."""
    chosen = device_name(None)
    return "cpu" if chosen == "cuda" else chosen


def _sharing(array: np.ndarray, place: str) -> Tensor:
    """A tensor over an array's memory: over its base, as a view, if it isn't contiguous."""
    if place == "cuda":
        return owned(array, place)
    if array.flags.c_contiguous and array.flags.writeable:
        result = wrap(shared_node(array, place))
        result._storage.pin()
        return result
    base = _dense(array)
    if base is None or not array.flags.writeable:
        # No view steps can express this memory: it overlaps, has gaps or is read-only.
        return owned(array, place)
    order, dense = base
    result = wrap(shared_node(dense, place))
    result._storage.pin()
    inverse = [order.index(axis) for axis in range(array.ndim)]
    whole = result.permute(*inverse)
    return whole._alias()


def _dense(array: np.ndarray) -> tuple[list[int], np.ndarray] | None:
    """The order of axes in which an array is contiguous, and the array in that order."""
    order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    turned = array.transpose(order)
    return (order, turned) if turned.flags.c_contiguous else None


@operation(method=False)
def as_tensor(
    data: object, dtype: DType | None = None, device: str | device | None = None
) -> Tensor:
    """As `tensor`, but sharing the memory (and the history) of what needs no conversion."""
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=dtype)
    if isinstance(data, np.ndarray):
        found = check_array(data)
        if dtype is None or dtype is found:
            return _sharing(data, device_name(device))
    if hasattr(data, "__cuda_array_interface__"):
        from picograd.frontend.gpu_memory import from_interface

        return from_interface(data).to(device="cuda" if device is None else device, dtype=dtype)
    return tensor(data, dtype=dtype, device=device)


@operation(method=False)
def asarray(
    obj: object,
    *,
    dtype: DType | None = None,
    device: str | device | None = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """As `as_tensor`, of whatever NumPy makes an array of too; `copy=True` never shares."""
    if not isinstance(obj, (Tensor, np.ndarray)):
        if hasattr(obj, "__cuda_array_interface__"):
            obj = as_tensor(obj, dtype, device)
        elif hasattr(obj, "__array__"):
            obj = np.asarray(obj)
    result = tensor(obj, dtype=dtype, device=device) if copy else as_tensor(obj, dtype, device)
    if requires_grad:
        result.requires_grad_()
    return result


@operation(method=False)
def scalar_tensor(
    s: bool | int | float | complex,
    *,
    dtype: DType | None = None,
    device: str | device | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A 0-d tensor of the default float type."""
    kind = dtype or get_default_dtype()
    return tensor(s, dtype=kind, device=device, requires_grad=requires_grad)


def legacy_tensor(*args: object, dtype: DType | None = None) -> Tensor:
    """`Tensor(2, 3)` (that shape, contents unspecified) and `Tensor([1, 2])` (floats)."""
    kind = dtype or get_default_dtype()
    if len(args) == 1 and isinstance(args[0], Tensor):
        return args[0]._alias() if args[0].dtype is kind else args[0].detach().to(kind)
    if len(args) == 1 and isinstance(args[0], tuple) and type(args[0]) is not tuple:
        args = tuple(args[0])  # a Size
    elif len(args) == 1 and isinstance(args[0], (float, complex)):
        raise TypeError(f"new(): data must be a sequence (got {type(args[0]).__name__})")
    elif len(args) == 1 and not isinstance(args[0], int):
        return tensor(args[0], dtype=kind)
    shape = tuple(int(cast("int", extent)) for extent in args) or (0,)
    memory = np.zeros(shape, dtype=kind.numpy)
    return owned(memory, device_name(None))
