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
from typing import cast

from picograd.dtypes import BY_NAME, DType
from picograd.frontend import primitives
from picograd.frontend.creation import Device, arange, as_shape, finish
from picograd.frontend.interop import legacy_tensor, tensor
from picograd.frontend.movement import cat
from picograd.frontend.promotion import set_default_dtype
from picograd.frontend.registry import operation
from picograd.frontend.slicing import tensor_split
from picograd.frontend.tensor import Tensor

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
    """The type of `FloatTensor` and its like: makes tensors of one dtype, and recognises them."""

    dtype: DType

    def __call__(cls, *args: object) -> Tensor:
        return legacy_tensor(*args, dtype=cls.dtype)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype


def _legacy_type(name: str, dtype: DType) -> LegacyType:
    members = {"dtype": dtype, "__module__": "torch", "__doc__": f"Tensors of {dtype}."}
    return LegacyType(name, (), members)


EXPORTS = {
    f"{name}Tensor": _legacy_type(f"{name}Tensor", BY_NAME[key]) for key, name in LEGACY.items()
}


@operation(method=False)
def set_default_tensor_type(t: str | LegacyType) -> None:
    """`set_default_dtype` of a class such as `DoubleTensor` or of its name."""
    found = EXPORTS.get(t.removeprefix("torch.")) if isinstance(t, str) else t
    if not isinstance(found, LegacyType):
        raise TypeError(f"invalid type object: {t!r}")
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
    if str(getattr(dtype, "__module__", dtype)).startswith("torch.cuda"):
        kind = f"torch.{dtype.__name__}" if isinstance(dtype, type) else str(dtype)
        return cast("Tensor", type_(self.to("cuda"), kind.replace("torch.cuda.", "torch.")))
    if isinstance(dtype, type) and isinstance(getattr(dtype, "dtype", None), DType):
        return primitives.cast(self, cast("DType", dtype.dtype))  # FloatTensor and its like
    wanted = str(dtype).removeprefix("torch.").removesuffix("Tensor")
    for name, legacy in LEGACY.items():
        if legacy == wanted:
            return primitives.cast(self, BY_NAME[name])
    raise ValueError(f"invalid type: '{dtype}'")


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
