"""DLPack: memory shared with other libraries, both ways.

In: a tensor, or a capsule or an object with `__dlpack__` of another library. Out: a capsule, or a
tensor over the same memory; writes to one are seen through the other. NumPy makes the capsules; the
structures of DLPack 1 are read here, so that element types that NumPy lacks (bfloat16) pass too.

>>> import numpy as np
>>> a = np.zeros(3, np.float32)
>>> x = from_dlpack(a)
>>> x[1] = 5
>>> a.tolist(), np.from_dlpack(x).tolist()
([0.0, 5.0, 0.0], [0.0, 5.0, 0.0])
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from picograd import dtypes
from picograd.dtypes import DType
from picograd.frontend.interop import _sharing
from picograd.frontend.storage import strided
from picograd.frontend.tensor import Tensor

CPU, HOST_MEMORY = 1, (1, 3)  # kDLCPU; kDLCPU and kDLCUDAHost
READ_ONLY = 1  # a flag of versioned capsules
PLAIN, VERSIONED = b"dltensor", b"dltensor_versioned"
USED = {PLAIN: b"used_dltensor", VERSIONED: b"used_dltensor_versioned"}  # capsules keep the address
# DLPack's code of each kind of element type.
KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex", 6: "bool"}
BFLOAT = 4


class _Array(ctypes.Structure):
    """DLTensor."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


_DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Managed(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = [("array", _Array), ("context", ctypes.c_void_p), ("deleter", _DELETER)]


class _ManagedVersioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", _DELETER),
        ("flags", ctypes.c_uint64),
        ("array", _Array),
    ]


_python = ctypes.pythonapi
_python.PyCapsule_IsValid.argtypes = [ctypes.py_object, ctypes.c_char_p]
_python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_python.PyCapsule_GetPointer.restype = ctypes.c_void_p
_python.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]


def _opened(capsule: Any) -> tuple[_Managed | _ManagedVersioned, bytes, int]:
    """What a capsule that nobody has taken yet points to, the capsule's name, the address."""
    for name, kind in ((PLAIN, _Managed), (VERSIONED, _ManagedVersioned)):
        if _python.PyCapsule_IsValid(capsule, name):
            address = _python.PyCapsule_GetPointer(capsule, name)
            return kind.from_address(address), name, address
    raise RuntimeError(
        "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only "
        "once, so you might have already constructed a tensor from it once."
    )


class _Owner:
    """The taken memory: the other library's deleter runs when the last array over it is gone."""

    def __init__(self, managed: _Managed | _ManagedVersioned, address: int, nbytes: int) -> None:
        self.managed, self.address = managed, address
        array = managed.array
        place = (array.data or 0) + array.byte_offset
        frozen = isinstance(managed, _ManagedVersioned) and bool(managed.flags & READ_ONLY)
        self.__array_interface__ = {
            "data": (place, frozen),
            "shape": (nbytes,),
            "typestr": "|u1",
            "version": 3,
        }

    def __del__(self) -> None:
        if self.managed.deleter:
            self.managed.deleter(self.address)


def _dtype_of(array: _Array) -> DType:
    name = KINDS.get(array.code, f"code{array.code}") + str(array.bits)
    found = {"bool8": "bool"}.get(name, name)
    if array.lanes != 1 or found not in dtypes.BY_NAME:
        raise RuntimeError(f"Unsupported element type in DLPack: {name} of {array.lanes} lanes")
    return dtypes.BY_NAME[found]


def _taken(capsule: Any) -> np.ndarray:
    """The array over a capsule's memory, which owns it from now on."""
    managed, name, address = _opened(capsule)
    array = managed.array
    if array.device_type not in HOST_MEMORY:
        raise RuntimeError(f"from_dlpack: memory of device type {array.device_type} isn't the host")
    dtype = _dtype_of(array)
    shape = tuple(array.shape[: array.ndim])
    if array.strides:
        strides = tuple(array.strides[: array.ndim])
    else:
        strides = tuple([int(np.prod(shape[n + 1 :])) for n in range(len(shape))])
    if any(step < 0 for step in strides):
        raise BufferError("from_dlpack: negative strides are not supported; copy the array first")
    empty = 0 in shape
    last = 0 if empty else sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) + 1
    owner = _Owner(managed, address, last * dtype.itemsize)
    _python.PyCapsule_SetName(capsule, USED[name])
    if empty:
        return np.empty(shape, dtype.numpy)
    return strided(np.asarray(owner).view(dtype.numpy), shape, strides, 0)


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of another library's array or of a capsule."""
    if not hasattr(ext_tensor, "__dlpack__"):
        array = _taken(ext_tensor)
    else:
        kind, _ = ext_tensor.__dlpack_device__()
        kind = int(kind)
        if kind not in HOST_MEMORY:
            raise RuntimeError(f"from_dlpack: memory of device type {kind} isn't the host's")
        try:
            capsule = ext_tensor.__dlpack__(max_version=(1, 0))
        except TypeError:  # from before DLPack 1
            capsule = ext_tensor.__dlpack__()
        array = _taken(capsule)
    if copy:
        array = array.copy()
    return _sharing(array, "cpu")


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule over the tensor's memory, for one taker."""
    return export(tensor)


def export(
    self: Tensor,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """`Tensor.__dlpack__`: a capsule over the tensor's memory."""
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if dl_device is not None and int(dl_device[0]) != CPU:
        raise BufferError(f"Can't export to the device {dl_device}: the memory is the host's")
    narrow = self.dtype.name == "bfloat16"
    source = self.clone() if copy else self
    array = source._storage.export(source._shape, source.stride(), source._offset)
    array = array.view(np.uint16 if narrow else self.dtype.numpy)
    versioned = max_version is not None and max_version[0] >= 1
    options: dict[str, Any] = {"max_version": (1, 0)} if versioned else {}
    capsule: Any = array.__dlpack__(**options)
    if narrow:
        managed, _, _ = _opened(capsule)
        managed.array.code = BFLOAT
    return capsule


def device_of(self: Tensor) -> tuple[int, int]:
    """`Tensor.__dlpack_device__`: the host's memory."""
    return (CPU, 0)
