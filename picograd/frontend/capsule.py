"""DLPack's capsules: the structures of its versions 0 and 1, read and written.

In: a capsule of another library (`take`), or memory of ours (`make`). Out: what the capsule
describes, with an owner whose death calls the other library's deleter; or a capsule. Called by
`dlpack`.

>>> import numpy as np
>>> taken = take(np.zeros((2, 3), np.float32).__dlpack__())
>>> taken.dtype, taken.shape, taken.strides, taken.device
(torch.float32, (2, 3), (3, 1), (1, 0))
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

from picograd import dtypes
from picograd.dtypes import DType
from picograd.frontend.view import contiguous_strides
from picograd.graph.ops import Shape

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


_FORMS = {PLAIN: _Managed, VERSIONED: _ManagedVersioned}
_DESTRUCTOR = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)

# Declarations of our own: others use `ctypes.pythonapi` too, with types of theirs.
_python = ctypes.PyDLL(None)
_python.PyCapsule_IsValid.argtypes = [ctypes.py_object, ctypes.c_char_p]
_python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_python.PyCapsule_GetPointer.restype = ctypes.c_void_p
_python.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
_python.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, _DESTRUCTOR]
_python.PyCapsule_New.restype = ctypes.py_object
_by_address = ctypes.PyDLL(None)  # the same functions for a capsule that is no object any more
_by_address.PyCapsule_IsValid.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
_by_address.PyCapsule_GetPointer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
_by_address.PyCapsule_GetPointer.restype = ctypes.c_void_p


class Taken(NamedTuple):
    """What a capsule described. `strides` are in elements, `device` is DLPack's; the memory lives
    as long as `owner`."""

    address: int
    dtype: DType
    shape: Shape
    strides: Shape
    device: tuple[int, int]
    read_only: bool
    owner: object


class _Owner:
    """Taken memory: the other library's deleter runs when nobody needs it any more."""

    def __init__(self, managed: _Managed | _ManagedVersioned, address: int) -> None:
        self.managed, self.address = managed, address

    def __del__(self) -> None:
        if self.managed.deleter:
            self.managed.deleter(self.address)


def _opened(capsule: Any) -> tuple[_Managed | _ManagedVersioned, bytes, int]:
    """What a capsule that nobody has taken yet points to, the capsule's name, the address."""
    for name, kind in _FORMS.items():
        if _python.PyCapsule_IsValid(capsule, name):
            address = _python.PyCapsule_GetPointer(capsule, name)
            return kind.from_address(address), name, address
    raise RuntimeError(
        "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only "
        "once, so you might have already constructed a tensor from it once."
    )


def _dtype_of(array: _Array) -> DType:
    name = KINDS.get(array.code, f"code{array.code}") + str(array.bits)
    found = {"bool8": "bool"}.get(name, name)
    if array.lanes != 1 or found not in dtypes.BY_NAME:
        raise RuntimeError(f"Unsupported element type in DLPack: {name} of {array.lanes} lanes")
    return dtypes.BY_NAME[found]


def take(capsule: Any) -> Taken:
    """What a capsule describes; nobody else can take it from now on."""
    managed, name, address = _opened(capsule)
    array = managed.array
    dtype = _dtype_of(array)
    shape = tuple(array.shape[: array.ndim])
    strides = tuple(array.strides[: array.ndim]) if array.strides else contiguous_strides(shape)
    if any(step < 0 for step in strides):
        raise BufferError("from_dlpack: negative strides are not supported; copy the array first")
    read_only = isinstance(managed, _ManagedVersioned) and bool(managed.flags & READ_ONLY)
    _python.PyCapsule_SetName(capsule, USED[name])
    return Taken(
        (array.data or 0) + array.byte_offset,
        dtype,
        shape,
        strides,
        (array.device_type, array.device_id),
        read_only,
        _Owner(managed, address),
    )


def call_bfloat(capsule: Any) -> Any:
    """The same capsule, of 16-bit integers that are bfloat16."""
    managed, _, _ = _opened(capsule)
    managed.array.code = BFLOAT
    return capsule


# --- our own --------------------------------------------------------------------------------------

# What capsules that others hold point to, by address: it lives until the deleter is called.
_given: dict[int, tuple[Any, ...]] = {}


@_DELETER
def _delete(address: int, given: dict[int, tuple[Any, ...]] = _given) -> None:
    given.pop(address, None)


@_DESTRUCTOR
def _destroy(capsule: int, python: Any = _by_address, given: Any = _given) -> None:
    """A capsule that nobody took dies with its memory. It is gone already as a Python object."""
    for name in (PLAIN, VERSIONED):
        if python.PyCapsule_IsValid(capsule, name):
            given.pop(python.PyCapsule_GetPointer(capsule, name), None)


# Others may call these when this module is gone.
for _callback in (_delete, _destroy):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_callback))


def make(
    address: int,
    dtype: DType,
    shape: Shape,
    strides: Shape,
    device: tuple[int, int],
    versioned: bool,
    owner: object,
) -> Any:
    """A capsule over memory that lives as long as `owner`."""
    name = VERSIONED if versioned else PLAIN
    managed = _FORMS[name]()
    if isinstance(managed, _ManagedVersioned):
        managed.major, managed.minor = 1, 0
    extents = (ctypes.c_int64 * len(shape))(*shape)
    steps = (ctypes.c_int64 * len(shape))(*strides)
    array = managed.array
    array.data, (array.device_type, array.device_id) = address or None, device
    array.ndim, array.lanes, array.bits = len(shape), 1, 8 * dtype.itemsize
    kind = {"bfloat16": "bfloat"}.get(dtype.name, dtype.name.rstrip("0123456789"))
    array.code = next(code for code, known in KINDS.items() if known == kind)
    array.shape = ctypes.cast(extents, ctypes.POINTER(ctypes.c_int64))
    array.strides = ctypes.cast(steps, ctypes.POINTER(ctypes.c_int64))
    managed.deleter = _delete
    place = ctypes.addressof(managed)
    _given[place] = (managed, extents, steps, owner)
    return _python.PyCapsule_New(place, name, _destroy)
