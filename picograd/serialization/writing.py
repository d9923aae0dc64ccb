"""Objects as the pickle that torch's unpicklers read, and the storages it refers to.

In: any object. Out: the pickle's bytes, in which tensors, parameters, dtypes and devices have
torch's names, and the storages in the order of their record numbers. `save` calls it.

>>> import picograd
>>> pickler = dumped([picograd.ones(2)])
>>> [len(one.array) for one in pickler.storages]
[2]
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any, cast

import numpy as np

from picograd.dtypes import DType
from picograd.frontend.device import Size, device
from picograd.frontend.storage import Storage
from picograd.frontend.tensor import Tensor
from picograd.nn.parameter import Parameter
from picograd.nn.state import StateDict
from picograd.serialization.names import STORAGE_OF, UNTYPED


class Name:
    """A global of torch's, written by name only."""

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __call__(self, *args: object) -> object:
        raise TypeError(f"{self.module}.{self.name} is written, not called")


REBUILD = Name("torch._utils", "_rebuild_tensor_v2")
REBUILD_DTYPE = Name("torch._utils", "_rebuild_tensor_v3")
REBUILD_PARAMETER = Name("torch._utils", "_rebuild_parameter")
REBUILD_PARAMETER_STATE = Name("torch._utils", "_rebuild_parameter_with_state")
REBUILD_TYPE = Name("torch._tensor", "_rebuild_from_type_v2")
TENSOR = Name("torch", "Tensor")
DEVICE = Name("torch", "device")
SIZE = Name("torch", "Size")
STORAGES = {dtype: Name("torch", name) for dtype, name in STORAGE_OF.items()}
UNTYPED_STORAGE = Name("torch.storage", UNTYPED)


class SavedStorage:
    """A storage that tensors of the object refer to; holds it, so that its id stays its own."""

    def __init__(self, storage: Storage, dtype: DType, number: int) -> None:
        self.storage = storage
        self.dtype = dtype
        self.key = str(number)

    @property
    def array(self) -> np.ndarray:
        """The contents as bytes' worth of elements."""
        return self.storage.buffer.array

    @property
    def bytes(self) -> int:
        """The size of the contents."""
        return self.array.nbytes

    def identity(self) -> tuple[object, ...]:
        """What the pickle says of it."""
        typed = self.dtype in STORAGES
        kind = STORAGES[self.dtype] if typed else UNTYPED_STORAGE
        length = self.bytes // self.dtype.itemsize if typed else self.bytes
        place = "cuda:0" if self.storage.node.device == "cuda" else "cpu"
        return ("storage", kind, self.key, place, length)


class Pickler(pickle._Pickler):
    """Python's own pickler, which can be told to write names that are not importable here."""

    dispatch: Any = {**pickle._Pickler.dispatch}  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, stream: io.BytesIO, protocol: int) -> None:
        super().__init__(stream, protocol)
        self.storages: list[SavedStorage] = []
        self._known: dict[int, SavedStorage] = {}

    def persistent_id(self, obj: object) -> tuple[object, ...] | None:
        """Storages are outside of the pickle."""
        return obj.identity() if isinstance(obj, SavedStorage) else None

    def _write_name(self, obj: object, module: str, name: str) -> None:
        python = cast("Any", self)  # the methods of the pickler in Python
        python.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        python.memoize(obj)

    def _save_name(self, obj: Name) -> None:
        self._write_name(obj, obj.module, obj.name)

    def _save_dtype(self, obj: DType) -> None:
        self._write_name(obj, "torch", obj.name)

    def reducer_override(self, obj: Any) -> Any:
        """What torch writes for tensors, sizes and devices."""
        if isinstance(obj, Parameter) and type(obj) is Parameter:
            parts = (obj.detach(), obj.requires_grad, OrderedDict())
            if obj.__dict__:
                return REBUILD_PARAMETER_STATE, (*parts, dict(obj.__dict__))
            return REBUILD_PARAMETER, parts
        if isinstance(obj, Tensor):
            function, parts = self._tensor(obj)
            if obj.__dict__:
                return REBUILD_TYPE, (function, TENSOR, parts, dict(obj.__dict__))
            return function, parts
        if isinstance(obj, Size):
            return SIZE, (tuple(obj),)
        if isinstance(obj, device):
            return DEVICE, (str(obj) if obj.type == "cuda" else "cpu",)
        if type(obj) is StateDict:  # torch has no class for it
            return OrderedDict, (), dict(obj.__dict__) or None, None, iter(obj.items())
        return NotImplemented

    def _tensor(self, x: Tensor) -> tuple[Name, tuple[object, ...]]:
        parts = (
            self._storage(x),
            x._offset,
            tuple(x._shape),
            tuple(x.stride()),
            x.requires_grad,
            OrderedDict(),
        )
        if x.dtype in STORAGES:
            return REBUILD, parts
        return REBUILD_DTYPE, (*parts, x.dtype)

    def _storage(self, x: Tensor) -> SavedStorage:
        storage = x._storage
        known = self._known.get(id(storage))
        if known is None:
            known = SavedStorage(storage, x.dtype, len(self.storages))
            self._known[id(storage)] = known
            self.storages.append(known)
        elif known.dtype is not x.dtype:
            raise RuntimeError(
                "Cannot save multiple tensors or storages that view the same data as different "
                f"types: {known.dtype} and {x.dtype}"
            )
        return known


Pickler.dispatch |= {Name: Pickler._save_name, DType: Pickler._save_dtype}


class Dumped:
    """A pickle and the storages it refers to."""

    def __init__(self, text: bytes, storages: list[SavedStorage]) -> None:
        self.text = text
        self.storages = storages


def dumped(obj: object, protocol: int = 2) -> Dumped:
    """The pickle of an object."""
    stream = io.BytesIO()
    pickler = Pickler(stream, protocol)
    pickler.dump(obj)
    return Dumped(stream.getvalue(), pickler.storages)
