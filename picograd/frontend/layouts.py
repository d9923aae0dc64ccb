"""Memory laid out on request: strides chosen by the caller, parts written through strides.

In: sizes, strides, orders of axes. Out: tensors whose contents don't matter, and copies with a part
replaced.

>>> import picograd
>>> picograd.empty_strided((2, 3), (1, 2)).stride()
(1, 2)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from picograd.dtypes import DType, float64, int32, int64
from picograd.frontend import primitives
from picograd.frontend.creation import Device, empty, new_empty
from picograd.frontend.elementwise import mul
from picograd.frontend.hostdata import from_array, values
from picograd.frontend.registry import operation
from picograd.frontend.selection import choose
from picograd.frontend.striding import as_strided
from picograd.frontend.tensor import Tensor


def _reach(size: Sequence[int], stride: Sequence[int]) -> int:
    """How many elements of memory the strides touch."""
    if len(size) != len(stride):
        raise RuntimeError(
            f"mismatch in length of strides and shape: {list(stride)} and {list(size)}"
        )
    pairs = zip(size, stride, strict=True)
    return 0 if 0 in size else 1 + sum((extent - 1) * step for extent, step in pairs)


@operation(method=False)
def empty_strided(
    size: Sequence[int],
    stride: Sequence[int],
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of given strides whose contents don't matter."""
    memory = empty(_reach(size, stride), dtype=dtype, device=device)
    return as_strided(memory, size, stride).requires_grad_(requires_grad)


@operation(function=False)
def new_empty_strided(
    self: Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    dtype: DType | None = None,
    device: Device = None,
    requires_grad: bool = False,
    layout: object = None,
    pin_memory: bool = False,
) -> Tensor:
    """`empty_strided` with this dtype and device, unless others are given."""
    memory = new_empty(self, _reach(size, stride), dtype=dtype, device=device)
    return as_strided(memory, size, stride).requires_grad_(requires_grad)


@operation(method=False)
def empty_permuted(
    size: Sequence[int],
    physical_layout: Sequence[int],
    *,
    dtype: DType | None = None,
    layout: object = None,
    device: Device = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor whose axes lie in memory in a given order, the outermost first."""
    if sorted(physical_layout) != list(range(len(size))):
        raise RuntimeError(
            f"Number of dimensions in size does not match the length of the physical_layout, or it "
            f"is no permutation: {list(size)} and {list(physical_layout)}"
        )
    dense = empty([size[axis] for axis in physical_layout], dtype=dtype, device=device)
    order = [list(physical_layout).index(axis) for axis in range(len(size))]
    return dense.permute(order).requires_grad_(requires_grad)


@operation()
def as_strided_scatter(
    input: Tensor,
    src: Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: int | None = None,
) -> Tensor:
    """A copy with `src` in the elements that `as_strided` names."""
    result = input.clone()
    part = as_strided(result, size, stride, storage_offset)
    if part._shape != src._shape:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = "
            f"{list(src._shape)}, slice size = {list(part._shape)}"
        )
    part.copy_(src)
    return result


@operation()
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The first `size` rows of `nonzero`, followed by rows of one number if there are fewer."""
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    places = np.argwhere(values(input))[:size]
    result = np.full((size, input.ndim), fill_value, np.int64)
    result[: len(places)] = places
    return from_array(result, input._storage.node.device)


class Frexp(NamedTuple):
    """`torch.return_types.frexp`."""

    mantissa: Tensor
    exponent: Tensor


@operation(out=True)
def frexp(input: Tensor) -> Frexp:
    """Mantissas and exponents, with `input = mantissa * 2**exponent`."""
    if not input.dtype.is_float:
        raise RuntimeError(f"torch.frexp() only supports floating-point dtypes, got {input.dtype}")
    x = primitives.cast(input, float64)
    fixed = x.detach()
    small = fixed.abs() < 2.0**-1022  # type: ignore[attr-defined]
    bits = choose(small, mul(fixed, 2.0**64), fixed).view(int64)
    power = ((bits >> 52) & 0x7FF) - 1022
    power = choose(small, power - 64, power)
    plain = fixed.isfinite().logical_and(fixed != 0)  # type: ignore[attr-defined]
    power = choose(plain, power, 0)
    # 2**-power in two factors, each of which is a normal number.
    half = power >> 1  # type: ignore[operator]
    first, second = (((1023 - part) << 52).view(float64) for part in (half, power - half))
    mantissa = mul(mul(x, first), second)
    return Frexp(primitives.cast(mantissa, input.dtype), primitives.cast(power, int32))
