"""Tensors that are made from numbers alone: zeros, ranges, grids.

In: sizes, numbers, dtype and device. Out: tensors whose contents are constants or counters of the
graph, so that they cost no memory until something needs it. `tensor`, `from_numpy` and their like
are in `interop.py`.

>>> import picograd
>>> picograd.arange(3)
tensor([0, 1, 2])
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from picograd.dtypes import DType, bool_, float64, int64
from picograd.frontend import primitives
from picograd.frontend.device import device, device_name
from picograd.frontend.elementwise import add, mul, pow
from picograd.frontend.memory_formats import formatted
from picograd.frontend.promotion import (
    Number,
    Operand,
    broadcast_to,
    get_default_dtype,
    number_dtype,
    number_of,
)
from picograd.frontend.registry import operation
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Op, Shape

Device = str | device | None


def as_shape(size: tuple[object, ...], name: str) -> Shape:
    """Sizes given as numbers or as one sequence; torch's errors for negative ones."""
    if len(size) == 1 and not isinstance(size[0], int) and isinstance(size[0], Sequence):
        size = tuple(size[0])
    shape = []
    for extent in size:
        number = extent.item() if isinstance(extent, Tensor) else number_of(extent)
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(
                f"{name}(): argument 'size' must be tuple of ints, but found element of type "
                f"{type(extent).__name__}"
            )
        if number < 0:
            raise RuntimeError(
                f"{name}: Dimension size must be non-negative, got {number} in {list(size)}"
            )
        shape.append(number)
    return tuple(shape)


def finish(result: Tensor, requires_grad: bool) -> Tensor:
    """The end of every creating function: a leaf that may require grad."""
    return result.requires_grad_(True) if requires_grad else result


def filled(
    size: tuple[object, ...],
    value: Number,
    dtype: DType | None,
    where: Device,
    requires_grad: bool,
    name: str,
) -> Tensor:
    """A tensor of one number."""
    shape = as_shape(size, name)
    result = primitives.constant(value, dtype or get_default_dtype(), device_name(where), shape)
    return finish(result, requires_grad)


@operation(method=False, out=True)
def zeros(
    *size: object,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    **named: object,
) -> Tensor:
    """A tensor of zeros."""
    return filled(_sizes(size, named), 0, dtype, device, requires_grad, "zeros")


@operation(method=False, out=True)
def ones(
    *size: object,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    **named: object,
) -> Tensor:
    """A tensor of ones."""
    return filled(_sizes(size, named), 1, dtype, device, requires_grad, "ones")


@operation(method=False, out=True)
def empty(
    *size: object,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    memory_format: object = None,
    **named: object,
) -> Tensor:
    """A tensor whose contents don't matter (they are zeros)."""
    result = filled(_sizes(size, named), 0, dtype, device, False, "empty")
    return finish(formatted(result, memory_format), requires_grad)


def _sizes(size: tuple[object, ...], named: dict[str, object]) -> tuple[object, ...]:
    """The positional sizes, or the keyword `size=`; TypeError for any other keyword."""
    if "size" in named:
        size = (named.pop("size"),)
    if named:
        raise TypeError(f"unexpected keyword argument '{next(iter(named))}'")
    return size


@operation(method=False, out=True)
def full(
    size: Sequence[int],
    fill_value: Operand,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of one number, whose type gives the dtype."""
    if isinstance(fill_value, Tensor):
        shape = as_shape((size,), "full")
        value = fill_value if dtype is None else primitives.cast(fill_value, dtype)
        return finish(broadcast_to(value, shape).clone(), requires_grad)
    number = number_of(fill_value)
    if number is None:
        raise TypeError(
            "full(): argument 'fill_value' must be Number, not " + type(fill_value).__name__
        )
    return filled((size,), number, dtype or number_dtype(number), device, requires_grad, "full")


def _like(
    x: Tensor,
    value: Number,
    dtype: DType | None,
    where: Device,
    requires_grad: bool,
    memory_format: object,
) -> Tensor:
    place = x._storage.node.device if where is None else device_name(where)
    result = primitives.constant(value, dtype or x.dtype, place, x._shape)
    return finish(formatted(result, memory_format), requires_grad)


@operation(method=False)
def zeros_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
    memory_format: object = None,
) -> Tensor:
    """Zeros of the shape, dtype and device of another tensor."""
    return _like(input, 0, dtype, device, requires_grad, memory_format)


@operation(method=False)
def ones_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
    memory_format: object = None,
) -> Tensor:
    """Ones of the shape, dtype and device of another tensor."""
    return _like(input, 1, dtype, device, requires_grad, memory_format)


@operation(method=False)
def empty_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
    memory_format: object = None,
) -> Tensor:
    """A tensor like another whose contents don't matter."""
    return _like(input, 0, dtype, device, requires_grad, memory_format)


@operation(method=False)
def full_like(
    input: Tensor,
    fill_value: Number,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
    memory_format: object = None,
) -> Tensor:
    """One number in the shape, dtype and device of another tensor."""
    return _like(input, fill_value, dtype, device, requires_grad, memory_format)


def _new(
    x: Tensor,
    size: tuple[object, ...],
    value: Number,
    dtype: DType | None,
    where: Device,
    requires_grad: bool,
    name: str,
) -> Tensor:
    place = where if where is not None else x._storage.node.device
    return filled(size, value, dtype or x.dtype, place, requires_grad, name)


@operation(function=False)
def new_zeros(
    self: Tensor,
    *sizes: object,
    size: object = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Zeros of this dtype and device."""
    return _new(self, sizes or (size or (),), 0, dtype, device, requires_grad, "new_zeros")


@operation(function=False)
def new_ones(
    self: Tensor,
    *sizes: object,
    size: object = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones of this dtype and device."""
    return _new(self, sizes or (size or (),), 1, dtype, device, requires_grad, "new_ones")


@operation(function=False)
def new_empty(
    self: Tensor,
    *sizes: object,
    size: object = None,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of this dtype and device whose contents don't matter."""
    return _new(self, sizes or (size or (),), 0, dtype, device, requires_grad, "new_empty")


@operation(function=False)
def new_full(
    self: Tensor,
    size: Sequence[int],
    fill_value: Number,
    *,
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """One number in this dtype and device."""
    return _new(self, (size,), fill_value, dtype, device, requires_grad, "new_full")


# --- ranges --------------------------------------------------------------------------------------


def _bound(value: object) -> Number:
    number = value.item() if isinstance(value, Tensor) else number_of(value)
    if number is None:
        raise TypeError(f"arange(): expected a number, got {type(value).__name__}")
    return number


@operation(method=False, out=True)
def arange(
    start: Operand,
    end: Operand | None = None,
    step: Operand = 1,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below `end`."""
    if end is None:
        start, end = 0, start
    low, high, stride = _bound(start), _bound(end), _bound(step)
    if isinstance(low, complex) or isinstance(high, complex) or isinstance(stride, complex):
        raise RuntimeError("arange(): complex bounds are not supported")
    if dtype is not None and dtype.is_integer:
        low, high, stride = int(low), int(high), int(stride)
    whole = all(isinstance(number, int) for number in (low, high, stride))
    if dtype is None:
        dtype = int64 if whole else get_default_dtype()
    if stride == 0:
        raise RuntimeError("step must be nonzero")
    if (high - low) * stride < 0:
        raise RuntimeError(
            f"upper bound and lower bound inconsistent with step sign: {low}, {high}, {stride}"
        )
    count = -((low - high) // stride) if whole else math.ceil((high - low) / stride)
    place = device_name(device)
    if dtype.is_integer or dtype is bool_:
        index = primitives.iota(int(count), int64, place)
        result = primitives.cast(add(mul(index, int(stride)), int(low)), dtype)
    else:
        index = primitives.iota(int(count), float64, place)
        result = primitives.cast(add(mul(index, float(stride)), float(low)), dtype)
    return finish(result.detach(), requires_grad)


@operation(method=False, out=True)
def linspace(
    start: Operand,
    end: Operand,
    steps: int,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers at equal distances, both ends included."""
    if steps < 0:
        raise RuntimeError(f"number of steps must be non-negative, got {steps}")
    low, high = float(_bound(start)), float(_bound(end))  # type: ignore[arg-type]
    wanted, place = dtype or get_default_dtype(), device_name(device)
    if wanted.is_integer:
        low, high = float(int(low)), float(int(high))
    if steps <= 1:
        return filled((steps,), low, wanted, place, requires_grad, "linspace")
    # From both ends to the middle, as torch does, so that the last number is exactly `end`.
    index = primitives.iota(steps, float64, place)
    step = (high - low) / (steps - 1)
    first = add(mul(index, step), low)
    last = add(mul(add(index, 1.0 - steps), step), high)
    half = primitives.constant(float(steps // 2), float64, place, (steps,))
    both = choose(primitives.elementwise(Op.LT, index, half), first, last)
    return finish(primitives.cast(both, wanted), requires_grad)


@operation(method=False, out=True)
def logspace(
    start: Operand,
    end: Operand,
    steps: int,
    base: float = 10.0,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """`base` to the powers of `linspace(start, end, steps)`."""
    ends = float(_bound(start)), float(_bound(end))  # type: ignore[arg-type]
    if dtype is not None and dtype.is_integer:
        ends = float(int(ends[0])), float(int(ends[1]))
    exponents = linspace(*ends, steps, dtype=float64, device=device)
    result = primitives.cast(pow(base, exponents), dtype or get_default_dtype())
    return finish(result, requires_grad)


@operation(method=False, out=True)
def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
    shape = as_shape((n, n if m is None else m), "eye")
    place = device_name(device)
    row = primitives.reshape(primitives.iota(shape[0], int64, place), (shape[0], 1))
    column = primitives.reshape(primitives.iota(shape[1], int64, place), (1, shape[1]))
    same = primitives.elementwise(Op.EQ, broadcast_to(row, shape), broadcast_to(column, shape))
    return finish(primitives.cast(same, dtype or get_default_dtype()), requires_grad)
