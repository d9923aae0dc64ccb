"""Methods about a tensor's memory: sizes, numbers, arrays, copies and in-place writes.

In: tensors. Out: numbers, NumPy arrays, copies. This is where laziness ends: `item`, `tolist`,
`numpy`, `bool(x)` and printing compute what they need.

>>> import picograd
>>> x = picograd.tensor([[1, 2], [3, 4]])
>>> x.numpy()[0, 0] = 9
>>> x.sum().item()
18
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from picograd import engine
from picograd.dtypes import DType, as_dtype
from picograd.frontend import pinning, primitives, tape, view
from picograd.frontend import storage as storages
from picograd.frontend.device import Size, device_name
from picograd.frontend.grad_mode import state
from picograd.frontend.memory_formats import copied, formatted, in_format
from picograd.frontend.promotion import broadcast_pair, check_cast, type_name, wrap_dim
from picograd.frontend.registry import attribute, operation
from picograd.frontend.tensor import Tensor, wrap
from picograd.frontend.views import expanded_to, transpose
from picograd.graph.node import convert

Number = bool | int | float | complex

# --- sizes --------------------------------------------------------------------------------------


@operation(function=False)
def size(self: Tensor, dim: int | None = None) -> Size | int:
    """The shape, or one extent of it."""
    return self.shape if dim is None else self._shape[wrap_dim(dim, self.ndim)]


@operation(function=False, aliases=("ndimension",))
def dim(self: Tensor) -> int:
    """The number of axes."""
    return len(self._shape)


@operation(aliases=("nelement",))
def numel(input: Tensor) -> int:
    """The number of elements."""
    count = 1
    for extent in input._shape:
        count *= extent
    return count


@operation(function=False)
def element_size(self: Tensor) -> int:
    """The bytes of one element."""
    return self.dtype.itemsize


@attribute
def itemsize(self: Tensor) -> int:
    """The bytes of one element."""
    return self.dtype.itemsize


@attribute
def nbytes(self: Tensor) -> int:
    """The bytes of all the elements."""
    return self.dtype.itemsize * numel(self)


@operation(function=False)
def storage_offset(self: Tensor) -> int:
    """Where in the storage the tensor begins, in elements."""
    return self._offset


@operation(function=False)
def is_contiguous(self: Tensor, memory_format: object = None) -> bool:
    """Whether memory order is that of the format, row-major by default."""
    if memory_format is not None:
        return in_format(self, memory_format)
    return self._strides is None or view.is_contiguous(self._shape, self._strides)


@operation(function=False)
def data_ptr(self: Tensor) -> int:
    """The address of the first element; computes the tensor."""
    return self._storage.address() + self._offset * self.dtype.itemsize


@attribute
def layout(self: Tensor) -> str:
    """Always strided."""
    return "torch.strided"


@attribute
def is_cuda(self: Tensor) -> bool:
    """Whether the tensor is on an NVIDIA GPU."""
    return self._storage.node.device == "cuda"


@attribute
def is_xpu(self: Tensor) -> bool:
    """Whether the tensor is on an Intel GPU."""
    return False


@attribute
def is_sparse(self: Tensor) -> bool:
    """Always False: a sparse tensor is a `picograd.sparse.SparseTensor`."""
    return False


@attribute
def names(self: Tensor) -> tuple[None, ...]:
    """No axis has a name."""
    return (None,) * self.ndim


@operation(method=False)
def is_tensor(input: object) -> bool:
    """Whether an object is a tensor."""
    return isinstance(input, Tensor)


@operation()
def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a float."""
    return input.dtype.is_float


@operation()
def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex."""
    return input.dtype.is_complex


@operation(function=False)
def is_signed(self: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return self.dtype.is_signed


@operation(function=False)
def get_device(self: Tensor) -> int:
    """The number of the tensor's GPU; -1 on the CPU."""
    return 0 if self._storage.node.device == "cuda" else -1


@attribute
def T(self: Tensor) -> Tensor:
    """The axes reversed."""
    from picograd.frontend.slicing import transposed

    return transposed(self)


@attribute
def mT(self: Tensor) -> Tensor:
    """The last two axes exchanged; a number stays."""
    if not self.ndim:
        return self
    if self.ndim < 2:
        raise RuntimeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {self.ndim}-D "
            "tensor."
        )
    return transpose(self, -2, -1)


@attribute
def H(self: Tensor) -> Tensor:
    """A matrix transposed (and conjugated)."""
    from picograd.frontend.views import adjoint

    if self.ndim not in (0, 2):
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor."
        )
    return adjoint(self) if self.ndim else self


# --- numbers and arrays -------------------------------------------------------------------------


def host_array(x: Tensor) -> np.ndarray:
    """The contents as an array for immediate reading; not a copy, not to be kept or written."""
    storage = x._storage
    if storage.node.buffer is not None or not x._steps or _shows_most(x):
        return x._array()
    node = x.node
    engine.realize([node])
    flat = cast("np.ndarray", cast("object", node.buffer).array)  # type: ignore[attr-defined]
    return storages.strided(flat, x._shape, view.contiguous_strides(x._shape), 0)


def _shows_most(x: Tensor) -> bool:
    """Whether the view shows so much of its storage that computing all of it is no waste."""
    return 2 * numel(x) >= x._storage.node.size


@operation(function=False)
def item(self: Tensor) -> Number:
    """The only element as a Python number."""
    if numel(self) != 1:
        raise RuntimeError(f"a Tensor with {numel(self)} elements cannot be converted to Scalar")
    return host_array(self).item()


@operation(function=False)
def tolist(self: Tensor) -> list | Number:
    """The elements as nested lists of Python numbers."""
    array = host_array(self)
    if self.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    return array.tolist()


@operation(function=False)
def numpy(self: Tensor, *, force: bool = False) -> np.ndarray:
    """An array over the same memory: writes to one are seen through the other."""
    if self.requires_grad and not force:
        raise RuntimeError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )
    if self.dtype.name == "bfloat16":
        raise TypeError("Got unsupported ScalarType BFloat16")
    if self._storage.node.device == "cuda":
        if not force:
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to "
                "copy the tensor to host memory first."
            )
        return host_array(self).copy()
    array = self._storage.export(self._shape, self._strides, self._offset)
    return array.view(self.dtype.numpy) if array.dtype != self.dtype.numpy else array


def array_protocol(
    self: Tensor, dtype: np.dtype | None = None, copy: bool | None = None
) -> np.ndarray:
    """`np.array(x)` and `np.asarray(x)`."""
    array = self.numpy()
    if dtype is not None and array.dtype != dtype:
        return array.astype(dtype)
    return array.copy() if copy else array


def truth(self: Tensor) -> bool:
    """`bool(x)` of a tensor with one element."""
    count = numel(self)
    if count == 0:
        raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
    if count > 1:
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
    return bool(item(self))


def index(self: Tensor) -> int:
    """`range(x)`, `list[x]`: one element of an integer tensor."""
    if numel(self) != 1 or self.dtype.is_inexact:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(cast("int", item(self)))


def format_(self: Tensor, specification: str) -> str:
    """`f"{x:.3f}"` formats the number of a 0-d tensor."""
    if not self.ndim:
        return format(item(self), specification)
    return object.__format__(self, specification) if specification else str(self)


def contains(self: Tensor, element: object) -> bool:
    """`element in x`."""
    if isinstance(element, (Tensor, bool, int, float, complex, np.generic)):
        return bool(cast("Tensor", self == element).any().item())
    raise RuntimeError(
        f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}."
    )


def iterate(self: Tensor) -> object:
    """The positions of the first axis."""
    if not self.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


# --- copies and writes --------------------------------------------------------------------------


@operation()
def clone(input: Tensor, *, memory_format: object = None) -> Tensor:
    """A copy with memory of its own; gradients pass through."""
    if getattr(memory_format, "order", None):
        return copied(input, memory_format)
    result = wrap(input._snapshot())
    if state.enabled:
        edge = input._edge()
        if edge is not None:
            node = tape.named(tape.IdentityGrad, "CloneBackward0")((edge,), (input._signature(),))
            result._meta = tape.Meta((node, 0))
    return result


@operation(function=False, name="_assign")
def assign(self: Tensor, value: Tensor) -> Tensor:
    """In place: the result of an operation into the tensor it was computed from."""
    if value._shape != self._shape:
        raise RuntimeError(
            f"output with shape {list(self._shape)} doesn't match the broadcast shape "
            f"{list(value._shape)}"
        )
    if value.dtype is not self.dtype:
        check_cast(value.dtype, self.dtype)
        value = primitives.cast(value, self.dtype)
    self._overwrite(value)
    return self


@operation(function=False, name="_store_out")
def store_out(self: Tensor, value: Tensor) -> Tensor:
    """`out=`: replace the contents, and the shape if it differs."""
    if state.enabled and (self.requires_grad or value.requires_grad):
        raise RuntimeError(
            "functions with out=... arguments don't support automatic differentiation, but one of "
            "the arguments requires grad."
        )
    if value.dtype is not self.dtype:
        check_cast(value.dtype, self.dtype)
        value = primitives.cast(value, self.dtype)
    if value._shape != self._shape:
        self.data = wrap(value._snapshot())
        return self
    self._overwrite(value)
    return self


@operation(function=False, also={"src": "other"})
def copy_(self: Tensor, other: Tensor, non_blocking: bool = False) -> Tensor:
    """Store another tensor, broadcast and converted."""
    if not isinstance(other, Tensor):
        raise TypeError(
            f"copy_(): argument 'other' (position 1) must be Tensor, not {type(other).__name__}"
        )
    value = other
    if value._storage.node.device != self._storage.node.device:
        value = value.to(self.device, non_blocking=non_blocking)
    value = primitives.cast(value, self.dtype)
    if value._shape != self._shape:
        common = broadcast_pair(self._shape, value._shape)
        if common != self._shape:
            raise RuntimeError(
                f"output with shape {list(self._shape)} doesn't match the broadcast shape "
                f"{list(common)}"
            )
        lead = len(common) - value.ndim
        value = primitives.reshape(value, (1,) * lead + value._shape)
        value = primitives.expand(value, common)
    edge = value._edge() if state.enabled else None
    if edge is not None:
        kept = wrap(value._snapshot())
        node = tape.named(tape.IdentityGrad, "CopyBackwards")((edge,), (value._signature(),))
        kept._meta = tape.Meta((node, 0))
        value = kept
    self._overwrite(value, computed=False)
    return self


@operation(function=False)
def fill_(input: Tensor, value: Number | Tensor) -> Tensor:
    """Every element set to one number."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value.ndim} dimensions."
            )
        return copy_(input, expanded_to(value, input._shape))
    if isinstance(value, complex) and not input.dtype.is_complex:
        raise RuntimeError(
            f"value cannot be converted to type {type_name(input.dtype).lower()} without overflow"
        )
    number = convert(value, input.dtype)
    filler = primitives.constant(number, input.dtype, input._storage.node.device, input._shape)
    input._overwrite(filler, uniform=True, computed=False)
    return input


@operation(function=False)
def zero_(input: Tensor) -> Tensor:
    """Every element set to 0."""
    return fill_(input, 0)


@operation(function=False)
def set_(
    self: Tensor,
    source: Tensor,
    storage_offset: int = 0,
    size: Sequence[int] | None = None,
    stride: Sequence[int] | None = None,
) -> Tensor:
    """Share the memory of another tensor from now on, or a part of it."""
    if size is None:
        self.data = source
        return self
    steps = stride or view.contiguous_strides(tuple(size))
    self.data = source.detach().as_strided(size, steps, storage_offset)
    return self


# --- other dtypes and devices -------------------------------------------------------------------


@operation(function=False)
def to(self: Tensor, *args: object, **kwargs: object) -> Tensor:
    """The tensor in another dtype or on another device; itself if it is so already."""
    given, device = kwargs.get("dtype"), kwargs.get("device")
    flags = [argument for argument in args if isinstance(argument, bool)]
    non_blocking = bool(kwargs.get("non_blocking")) or flags[:1] == [True]
    copy = bool(kwargs.get("copy")) or flags[1:2] == [True]
    dtype = None if given is None else as_dtype(given, "to")
    for argument in args:
        if isinstance(argument, (DType, type)):
            dtype = as_dtype(argument, "to")
        elif isinstance(argument, Tensor):
            dtype, device = argument.dtype, argument.device
        elif isinstance(argument, bool) or argument is None:
            continue
        else:
            device = argument
    result = self
    if device is not None:
        place = device_name(f"cuda:{device}" if type(device) is int else cast("str", device))
        if place != self._storage.node.device:
            result = _moved(self, place, non_blocking)
    if dtype is not None:
        result = primitives.cast(result, dtype)
    form = kwargs.get("memory_format")
    result = formatted(result, form)
    return clone(result, memory_format=form) if copy and result is self else result


def _moved(x: Tensor, place: str, non_blocking: bool) -> Tensor:
    """A copy on another device."""
    if engine.is_listened() and x._shape:
        raise RuntimeError(
            "Cannot copy between CPU and CUDA tensors during CUDA graph capture: copy before or "
            "after it (x.copy_(y) into a tensor that the graph reads)."
        )
    node = pinning.sent(x, place) if non_blocking else None
    result = wrap(storages.copied(host_array(x), place) if node is None else node)
    edge = x._edge() if state.enabled else None
    if edge is not None:
        node = _MovedGrad((edge,), (result._signature(),))
        node.source_device = x._storage.node.device
        result._meta = tape.Meta((node, 0))
    return result


class _MovedGrad(tape.GradNode):
    """The gradient moves back to the device that the tensor came from."""

    __slots__ = ("source_device",)

    source_device: str

    def name(self) -> str:
        return "ToCopyBackward0"

    def apply(self, gradients: list[Tensor | None]) -> tape.Gradients:
        gradient = gradients[0]
        return (None if gradient is None else to(gradient, self.source_device),)


@operation(function=False)
def cpu(self: Tensor) -> Tensor:
    """The tensor on the CPU."""
    return to(self, "cpu")


@operation(function=False)
def cuda(self: Tensor, device: object = None, non_blocking: bool = False) -> Tensor:
    """The tensor on the GPU. Raises AssertionError, as torch does, where there is none."""
    return to(self, "cuda" if device is None else device, non_blocking=non_blocking)


@operation(function=False)
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype of another."""
    return to(self, other.dtype)
