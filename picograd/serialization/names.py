"""The closed list: which global names a file may use, and what they stand for here.

In: a module and a name out of a pickle. Out: a dtype, a kind of storage, or a `Maker` that rebuilds
a tensor, a parameter or one of Python's containers. Everything else is refused, unless the program
has said that it is safe (`add_safe_globals`). Nothing is imported in order to look a name up.

>>> lookup("torch", "float32", trusted=False)
torch.float32
>>> lookup("os", "system", trusted=False)  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
_pickle.UnpicklingError: Weights only load failed: Unsupported global: GLOBAL os.system was not ...
"""

from __future__ import annotations

import codecs
import sys
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from picograd import dtypes
from picograd.dtypes import DType
from picograd.frontend.device import Size, device
from picograd.frontend.tensor import Tensor
from picograd.nn.hooks import Hooks
from picograd.nn.module import Module
from picograd.nn.parameter import Buffer, Parameter
from picograd.serialization.machine import Maker, checked_key, refuse
from picograd.serialization.storages import LoadedStorage

# Torch has a storage class for each of its older dtypes.
STORAGE_OF: dict[DType, str] = {
    dtypes.float64: "DoubleStorage",
    dtypes.float32: "FloatStorage",
    dtypes.float16: "HalfStorage",
    dtypes.bfloat16: "BFloat16Storage",
    dtypes.int64: "LongStorage",
    dtypes.int32: "IntStorage",
    dtypes.int16: "ShortStorage",
    dtypes.int8: "CharStorage",
    dtypes.uint8: "ByteStorage",
    dtypes.bool_: "BoolStorage",
    dtypes.complex64: "ComplexFloatStorage",
    dtypes.complex128: "ComplexDoubleStorage",
}
UNTYPED = "UntypedStorage"


class StorageKind:
    """What a storage's elements are."""

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype


# --- what rebuilds tensors ----------------------------------------------------------------------


def _tensor(
    storage: object,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool = False,
    hooks: object = None,
    metadata: object = None,
) -> Tensor:
    return _rebuilt(storage, offset, size, stride, None, requires_grad, metadata)


def _tensor_of_dtype(
    storage: object,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool,
    hooks: object,
    dtype: DType,
    metadata: object = None,
) -> Tensor:
    if not isinstance(dtype, DType):
        raise refuse(f"a tensor's dtype can't be {type(dtype).__name__}")
    return _rebuilt(storage, offset, size, stride, dtype, requires_grad, metadata)


def _rebuilt(
    storage: object,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    dtype: DType | None,
    requires_grad: object,
    metadata: object,
) -> Tensor:
    if not isinstance(storage, LoadedStorage):
        raise refuse(f"a tensor's storage can't be {type(storage).__name__}")
    result = storage.tensor(offset, tuple(size), tuple(stride), dtype)
    marks = metadata if isinstance(metadata, dict) else {}
    if marks.get("conj") is True:
        result = result.conj().resolve_conj() if result.dtype.is_complex else result
    if marks.get("neg") is True:
        result = -result
    if requires_grad is True and result.dtype.is_inexact:
        result.requires_grad_()
    return result


def _parameter(data: Tensor, requires_grad: bool, hooks: object = None) -> Parameter:
    return Parameter(data, requires_grad is True)


def _parameter_with_state(
    data: Tensor, requires_grad: bool, hooks: object, state: object
) -> Parameter:
    return set_state(Parameter(data, requires_grad is True), state)


def _of_type(function: object, kind: object, arguments: object, state: object) -> Tensor:
    if not isinstance(function, Maker) or function.call is None or type(arguments) is not tuple:
        raise refuse("a tensor that is rebuilt by something unknown")
    made = function.call(*arguments)
    if not isinstance(made, Tensor) or not isinstance(kind, Maker) or kind.name not in KINDS:
        raise refuse(f"a tensor of the unknown class {kind!r}"[:200])
    if kind.name == "Parameter" and not isinstance(made, Parameter):
        made = Parameter(made.detach(), made.requires_grad)
    if kind.name == "Buffer":
        made = Buffer(made)
    return set_state(made, state)


KINDS = ("Tensor", "Parameter", "Buffer")


def set_state(target: Any, state: Any) -> Any:
    """The attributes of an object of a known class."""
    if type(target) is OrderedDict or isinstance(target, Tensor):
        if type(state) is not dict or not all(type(key) is str for key in state):
            raise refuse(f"setting the state of {type(target).__name__} to {type(state).__name__}")
        target.__dict__.update(state)
        return target
    if any(type(target) is one for one in _safe.values()) or isinstance(target, (Module, Hooks)):
        setter = getattr(target, "__setstate__", None)
        if setter is not None:
            setter(state)
        elif type(state) is dict:
            target.__dict__.update(state)
        else:
            raise refuse(f"setting the state of {type(target).__name__}")
        return target
    raise refuse(f"setting the state of {type(target).__name__}")


# --- Python's own -------------------------------------------------------------------------------


def _pairs(make: Callable[[], Any]) -> Callable[..., Any]:
    def call(given: Iterable[Any] = ()) -> Any:
        result = make()
        for key, value in given.items() if type(given) is dict else given:
            result[checked_key(key)] = value
        return result

    return call


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise refuse("text in an unknown encoding")
    return codecs.encode(text, "latin1")


def _set(values: Iterable[Any] = ()) -> set[Any]:
    if type(values) is not list:
        raise refuse("a set of something that is no list")
    return {checked_key(value) for value in values}


def _default_dict(factory: object = None) -> defaultdict[Any, Any]:
    known = {"dict": dict, "list": list, "set": set, "int": int, "float": float}
    if factory is None:
        return defaultdict()
    if not isinstance(factory, Maker) or factory.name not in known:
        raise refuse("a defaultdict of an unknown factory")
    return defaultdict(known[factory.name])


def _bytes(given: object = b"", encoding: str = "latin1") -> bytearray:
    return bytearray(_encode(given, encoding) if type(given) is str else _plain_bytes(given))


def _plain_bytes(given: object) -> bytes:
    if type(given) not in (bytes, bytearray):
        raise refuse("a bytearray of something that is no bytes")
    return bytes(given)  # type: ignore[arg-type]


def _size(extents: object) -> Size:
    if type(extents) not in (tuple, list) or not all(type(n) is int for n in extents):  # type: ignore[union-attr]
        raise refuse("a Size of something that is no integers")
    return Size(extents)  # type: ignore[arg-type]


def _device(kind: str, index: int | None = None) -> device:
    """The device, or the CPU for one that isn't here: a value must not stop a file loading."""
    try:
        return device(kind, index)
    except RuntimeError:
        return device("cpu")


MAKERS: dict[tuple[str, str], object] = {
    ("torch._utils", "_rebuild_tensor"): Maker("_rebuild_tensor", _tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Maker("_rebuild_tensor_v2", _tensor),
    ("torch._utils", "_rebuild_tensor_v3"): Maker("_rebuild_tensor_v3", _tensor_of_dtype),
    ("torch._utils", "_rebuild_parameter"): Maker("_rebuild_parameter", _parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): Maker(
        "_rebuild_parameter_with_state", _parameter_with_state
    ),
    ("torch._tensor", "_rebuild_from_type_v2"): Maker("_rebuild_from_type_v2", _of_type),
    ("torch", "Tensor"): Maker("Tensor"),
    ("torch.nn.parameter", "Parameter"): Maker("Parameter", _parameter),
    ("torch.nn.parameter", "Buffer"): Maker("Buffer"),
    # Every module has one, where torch's have dictionaries; what is in it has to be allowed.
    ("picograd.nn.hooks", "Hooks"): Maker("Hooks", new=Hooks),
    ("torch", "Size"): Maker("Size", _size),
    ("torch", "device"): Maker("device", _device),
    ("collections", "OrderedDict"): Maker("OrderedDict", _pairs(OrderedDict), OrderedDict),
    ("collections", "Counter"): Maker("Counter", _pairs(Counter)),
    ("collections", "defaultdict"): Maker("defaultdict", _default_dict),
    ("_codecs", "encode"): Maker("encode", _encode),
    ("torch.storage", UNTYPED): StorageKind(dtypes.uint8),
    ("torch", UNTYPED): StorageKind(dtypes.uint8),
}
MAKERS |= {("torch", name): StorageKind(dtype) for dtype, name in STORAGE_OF.items()}
MAKERS |= {("torch", dtype.name): dtype for dtype in dtypes.ALL}
for _module in ("builtins", "__builtin__"):
    MAKERS |= {
        (_module, "set"): Maker("set", _set),
        (_module, "bytearray"): Maker("bytearray", _bytes),
        (_module, "complex"): Maker("complex", lambda real, imag: complex(real, imag)),
        (_module, "dict"): Maker("dict"),
        (_module, "list"): Maker("list"),
        (_module, "int"): Maker("int"),
        (_module, "float"): Maker("float"),
    }


# --- what a program has declared safe -----------------------------------------------------------

_safe: dict[tuple[str, str], Any] = {}


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Let files use these classes and functions (or pairs of one and its name)."""
    for one in safe_globals:
        found, name = (
            one if isinstance(one, tuple) else (one, f"{one.__module__}.{one.__qualname__}")
        )
        module, _, rest = name.rpartition(".")
        _safe[(module, rest)] = found


def get_safe_globals() -> list[Any]:
    """What was declared safe."""
    return list(_safe.values())


def clear_safe_globals() -> None:
    """Forget what was declared safe."""
    _safe.clear()


class safe_globals:
    """`with safe_globals([Class]):` lets files use the class inside."""

    def __init__(self, safe_globals: list[Any]) -> None:
        self._given = safe_globals

    def __enter__(self) -> None:
        self._before = dict(_safe)
        add_safe_globals(self._given)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _safe.clear()
        _safe.update(self._before)


def lookup(module: str, name: str, trusted: bool) -> object:
    """What a name stands for; raises pickle.UnpicklingError unless it is on the list."""
    found = MAKERS.get((module, name), None)
    if found is not None:
        return found
    declared = _safe.get((module, name))
    if isinstance(declared, type):
        kind = declared
        return Maker(name, declared, lambda *args: kind.__new__(kind, *args), declared)
    if declared is not None:
        return Maker(name, declared, value=declared)
    own = _module_class(module, name) if trusted else None
    if own is not None:
        return Maker(name, new=lambda: object.__new__(own))
    raise refuse(
        f"Unsupported global: GLOBAL {module}.{name} was not an allowed global by default. If you "
        f"trust the file, call `picograd.serialization.add_safe_globals([{name}])` first"
        + ("" if trusted else ", or use `weights_only=False` for a whole module")
    )


def _module_class(module: str, name: str) -> type | None:
    """A class of modules (or of their hooks) that the program has imported already."""
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) and issubclass(found, (Module, Hooks)) else None
