"""Torch's older spellings: `FloatTensor(...)`, `x.new(...)`, `resize_`, `hsplit` and their like.

In: what the newer spellings take. Out: tensors made by them; `EXPORTS` has one class per dtype.

>>> import picograd
>>> x = picograd.LongTensor([1, 2])
>>> isinstance(x, picograd.LongTensor), x.type()
(True, 'torch.LongTensor')
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

from picograd.dtypes import BY_NAME, DType
from picograd.frontend import primitives
from picograd.frontend.creation import Device, arange, as_shape, finish
from picograd.frontend.device import device_name, set_default_device
from picograd.frontend.interop import legacy_tensor, tensor
from picograd.frontend.movement import cat
from picograd.frontend.promotion import set_default_dtype
from picograd.frontend.registry import operation
from picograd.frontend.slicing import tensor_split
from picograd.frontend.tensor import Tensor
from picograd.runtime import cuda

LEGACY = {
    "float16": "Half",
    "float32": "Float",
    "float64": "Double",
    "int8": "Char",
    "uint8": "Byte",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "bool": "Bool",
    "bfloat16": "BFloat16",
    "complex64": "ComplexFloat",
    "complex128": "ComplexDouble",
}


class LegacyType(type):
    """The type of `FloatTensor` and its like: makes tensors of one dtype, and recognises them.

    Those of `torch.cuda` are tensors on the GPU, the others tensors on the default device.
    """

    dtype: DType

    def __call__(cls, *args: object) -> Tensor:
        if cls.__module__ == "torch.cuda" and cuda.why_not() is not None:
            raise TypeError(
                f"type {cls.__module__}.{cls.__name__} not available. "
                f"Torch not compiled with CUDA enabled: {cuda.why_not()}"
            )
        return legacy_tensor(*args, dtype=cls.dtype).to(cls.place)

    def __instancecheck__(cls, instance: object) -> bool:
        if not isinstance(instance, Tensor) or instance.dtype is not cls.dtype:
            return False
        places = {instance._storage.node.device, cls.place}
        return len(places) == 1 or "cuda" not in places

    @property
    def place(cls) -> str:
        """The device of these tensors."""
        return "cuda" if cls.__module__ == "torch.cuda" else device_name(None)


def _legacy_types(module: str) -> dict[str, LegacyType]:
    made = {}
    for key, kind in LEGACY.items():
        dtype, name = BY_NAME[key], f"{kind}Tensor"
        members = {"dtype": dtype, "__module__": module, "__doc__": f"Tensors of {dtype}."}
        made[name] = LegacyType(name, (), members)
    return made


EXPORTS = _legacy_types("torch")
CUDA_TYPES = _legacy_types("torch.cuda")


def _legacy_type(name: str) -> LegacyType | None:
    """The type that a program spells `torch.FloatTensor` or `torch.cuda.FloatTensor`."""
    short = name.removeprefix("torch.").removeprefix("cuda.")
    return (CUDA_TYPES if "cuda." in name else EXPORTS).get(short)


@operation(method=False)
def set_default_tensor_type(t: str | LegacyType) -> None:
    """`set_default_dtype` of a class such as `DoubleTensor` or of its name; one of `torch.cuda`
    makes the GPU the default device."""
    found = _legacy_type(t) if isinstance(t, str) else t
    if not isinstance(found, LegacyType):
        raise TypeError(f"invalid type object: {t!r}")
    set_default_device("cuda" if found.__module__ == "torch.cuda" else None)
    set_default_dtype(found.dtype)


# --- new tensors like another -------------------------------------------------------------------


@operation(function=False)
def new(self: Tensor, *args: object) -> Tensor:
    """`Tensor(...)` with this dtype and device."""
    return legacy_tensor(*args, dtype=self.dtype).to(self.device)


@operation(function=False)
def new_tensor(
    self: Tensor,
    data: object,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """A copy of data in this dtype and on this device, unless others are given."""
    place = self.device if device is None else device
    return tensor(data, dtype=dtype or self.dtype, device=place, requires_grad=requires_grad)


# --- other sizes ---------------------------------------------------------------------------------


@operation(function=False, name="type")
def type_(
    self: Tensor, dtype: DType | str | type | None = None, non_blocking: bool = False
) -> str | Tensor:
    """The legacy name of the tensor's type, or the tensor converted to another."""
    if dtype is None:
        place = "cuda." if self._storage.node.device == "cuda" else ""
        return f"torch.{place}{LEGACY.get(self.dtype.name, self.dtype.name)}Tensor"
    if isinstance(dtype, DType):
        return primitives.cast(self, dtype)
    found = _legacy_type(dtype) if isinstance(dtype, str) else dtype
    if not isinstance(found, LegacyType):
        raise ValueError(f"invalid type: '{dtype}'")
    return primitives.cast(self.to(found.place, non_blocking=non_blocking), found.dtype)


@operation(function=False)
def resize_(
    self: Tensor, *sizes: object, size: object = None, memory_format: object = None
) -> Tensor:
    """Give the tensor another shape: the first elements, followed by zeros if there are too few.

    A tensor that grows gets memory of its own.
    """
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    shape = as_shape(sizes or (size,), "resize_")
    wanted, flat = math.prod(shape), self.detach().reshape(-1)
    missing = wanted - flat.numel()
    if missing > 0:
        zeros = primitives.constant(0, self.dtype, self._storage.node.device, (missing,))
        flat = cat([flat, zeros])
    self.data = flat[:wanted].view(shape)
    return self


@operation(function=False)
def resize(self: Tensor, *sizes: object) -> Tensor:
    """The elements in another shape of as many elements; `reshape` is its newer name."""
    warnings.warn("non-inplace resize is deprecated", UserWarning, stacklevel=3)
    shape = as_shape(sizes, "resize")
    if math.prod(shape) != self.numel():
        raise RuntimeError(
            f"requested resize to {'x'.join(map(str, shape))} ({math.prod(shape)} elements in "
            f"total), but the given tensor has a size of {'x'.join(map(str, self.shape))} "
            f"({self.numel()} elements). autograd's resize can only change the shape of a given "
            "tensor, while preserving the number of elements. "
        )
    return self.contiguous().view(shape)


@operation(also={"input": "self"})
def resize_as_(self: Tensor, the_template: Tensor, memory_format: object = None) -> Tensor:
    """`resize_` to the shape of another tensor."""
    return resize_(self, the_template.shape)


@operation(method=False)
def range(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... up to `end` included, as floats."""
    if end is None:
        start, end = 0, start
    count = math.floor((end - start) / step) + 1
    index = arange(count, dtype=BY_NAME["float64"], device=device)
    return finish((index * step + start).to(dtype or tensor(0.0).dtype), requires_grad)


# --- splitting by name ---------------------------------------------------------------------------


def _split(
    x: Tensor, sections: int | Sequence[int], axis: int, name: str, rank: int
) -> tuple[Tensor, ...]:
    if x.ndim < rank:
        raise RuntimeError(
            f"torch.{name} requires a tensor with at least {rank} dimension, but got a tensor with "
            f"{x.ndim} dimensions!"
        )
    if isinstance(sections, int) and (sections <= 0 or x._shape[axis] % sections):
        raise RuntimeError(
            f"torch.{name} attempted to split along dimension {axis}, but the size of the "
            f"dimension {x._shape[axis]} is not divisible by the split_size {sections}!"
        )
    return tensor_split(x, sections, axis)


@operation(also={"indices": "sections"})
def hsplit(input: Tensor, sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Pieces of the columns (of a vector: of the elements)."""
    return _split(input, sections, 0 if input.ndim == 1 else 1, "hsplit", 1)


@operation(also={"indices": "sections"})
def vsplit(input: Tensor, sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Pieces of the rows."""
    return _split(input, sections, 0, "vsplit", 2)


@operation(also={"indices": "sections"})
def dsplit(input: Tensor, sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """Pieces along the third dimension."""
    return _split(input, sections, 2, "dsplit", 3)
