"""Numerical helpers: slopes, combinations, quantiles without NaN.

In: tensors. Out: tensors, by a few lines over other functions.

>>> import picograd
>>> picograd.combinations(picograd.tensor([1, 2, 3])).tolist()
[[1, 2], [1, 3], [2, 3]]
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import cast

import numpy as np

from picograd.frontend.autocasting import in_float32
from picograd.frontend.comparison import ne
from picograd.frontend.conversion import complex as complex_
from picograd.frontend.elementwise import floating
from picograd.frontend.function import Function, FunctionCtx
from picograd.frontend.gathering import index_select
from picograd.frontend.hostdata import from_array, values
from picograd.frontend.interop import tensor
from picograd.frontend.movement import cat, stack
from picograd.frontend.promotion import align
from picograd.frontend.registry import operation
from picograd.frontend.scans import diff
from picograd.frontend.tensor import Tensor


@operation(inplace=True, out=True)
def conj_physical(input: Tensor) -> Tensor:
    """The complex conjugate, computed."""
    return input.conj().clone()


@operation(method=False)
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All r-element choices of a vector, in order, one a row."""
    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = np.array(list(choose(range(input.shape[0]), r)), np.int64).reshape(-1, r)
    if not rows.size:
        return input[:0].reshape(rows.shape if r else (0,))
    places = tensor(rows.reshape(-1), device=input.device)
    return index_select(input, 0, places).view(*rows.shape)


@operation(method=False)
def unravel_index(indices: Tensor, shape: Sequence[int]) -> tuple[Tensor, ...]:
    """The coordinates of flat positions in an array of the given shape."""
    sizes = [shape] if isinstance(shape, int) else list(shape)
    found, rest = [], indices
    for size in reversed(sizes):
        found.append(rest % size)
        rest = rest.div(size, rounding_mode="floor")
    return tuple(reversed(found))


@operation(method=False)
def gradient(
    input: Tensor,
    *,
    spacing: float | Sequence[float | Tensor] | None = None,
    dim: int | Sequence[int] | None = None,
    edge_order: int = 1,
) -> tuple[Tensor, ...]:
    """Central differences along dimensions, one-sided ones at the ends (of order `edge_order`)."""
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    x = floating(input)
    dims = range(input.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    axes = [axis % input.ndim for axis in dims]
    spacing = 1 if spacing is None else spacing
    steps: list[float | Tensor]
    if isinstance(spacing, int | float):
        steps = [spacing] * len(axes)
    else:
        steps = list(spacing)
    return tuple(_along(x, axis, h, edge_order) for axis, h in zip(axes, steps, strict=True))


def _along(x: Tensor, axis: int, step: float | Tensor, edge_order: int) -> Tensor:
    """One dimension's slope, by the quotients of neighbours weighted by their distances."""
    extent = x.shape[axis]
    if extent < edge_order + 1:
        raise RuntimeError(
            "torch.gradient expected each dimension size to be at least edge_order+1"
        )
    shape = [-1 if n == axis else 1 for n in range(x.ndim)]
    if isinstance(step, Tensor) and step.ndim:
        widths = diff(step).to(x.dtype).reshape(shape)
    else:
        width = step.item() if isinstance(step, Tensor) else float(step)
        widths = x.new_full([extent - 1 if n == axis else 1 for n in range(x.ndim)], width)
    slopes = diff(x, dim=axis) / widths
    before, after = slopes.narrow(axis, 0, extent - 2), slopes.narrow(axis, 1, extent - 2)
    left, right = widths.narrow(axis, 0, extent - 2), widths.narrow(axis, 1, extent - 2)
    middle = (before * right + after * left) / (left + right)
    first, last = slopes.narrow(axis, 0, 1), slopes.narrow(axis, extent - 2, 1)
    if edge_order == 2:
        a, b = widths.narrow(axis, 0, 1), widths.narrow(axis, 1, 1)
        first = first + (first - slopes.narrow(axis, 1, 1)) * a / (a + b)
        a, b = widths.narrow(axis, extent - 2, 1), widths.narrow(axis, extent - 3, 1)
        last = last + (last - slopes.narrow(axis, extent - 3, 1)) * a / (a + b)
    return cat([first, middle, last], axis)


@operation(out=True)
@in_float32
def nanquantile(
    input: Tensor,
    q: Tensor | float,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """Quantiles of the numbers that aren't NaN; NaN where there are none."""
    x = input.reshape(-1) if dim is None or not input.ndim else input
    axis = 0 if dim is None else dim % max(x.ndim, 1)
    rows = x.movedim(axis, -1)
    order = rows.sort(dim=-1).values  # NaN last
    count = (~rows.isnan()).sum(-1, keepdim=True)
    levels: Sequence[float | Tensor] = [q] if isinstance(q, int | float) else q.reshape(-1).unbind()
    results = []
    for level in levels:
        place = (count - 1).clamp(min=0).to(x.dtype) * level
        low, high = place.floor(), place.ceil()
        weight = {
            "linear": place - low,
            "lower": low * 0,
            "higher": low * 0 + 1,
            "midpoint": low * 0 + 0.5,
            "nearest": place.round() - low,
        }[interpolation]
        ends = [order.gather(-1, end.long()) for end in (low, high)]
        one = (ends[0] + (ends[1] - ends[0]) * weight).movedim(-1, axis)
        if keepdim:
            results.append(one.reshape((1,) * input.ndim) if dim is None or not input.ndim else one)
        else:
            results.append(one.squeeze(axis))
    return stack(results) if isinstance(q, Tensor) and q.ndim else results[0]


@operation(inplace=True, out=True)
def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """`source`'s slices combined into those that `index` names: prod, mean, amax or amin."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got "
            f"{reduce}."
        )
    axis = dim % max(input.ndim, 1)
    shape = [-1 if n == axis else 1 for n in range(source.ndim)]
    places = index.long().reshape(shape).expand_as(source)
    return input.scatter_reduce(dim, places, source, reduce, include_self=include_self)


@operation(method=False)
def view_as_real(input: Tensor) -> Tensor:
    """Real and imaginary parts in a new last dimension; a copy (torch's is a view)."""
    if not input.dtype.is_complex:
        raise RuntimeError(
            f"view_as_real is only supported for complex tensors, but got {input.dtype}"
        )
    parts = cast("list[Tensor]", [input.real, input.imag])
    return stack(parts, -1)


@operation(method=False)
@in_float32
def view_as_complex(input: Tensor) -> Tensor:
    """The last dimension, of extent 2, as complex numbers; a copy (torch's is a view)."""
    if not input.ndim or input.shape[-1] != 2:
        raise RuntimeError(
            f"Tensor must have a last dimension of size 2, but the shape is {list(input.shape)}"
        )
    return complex_(input[..., 0], input[..., 1])


class Nextafter(Function):
    """A step so small that `input`'s gradient passes where there is one; `other` has no part."""

    @staticmethod
    def forward(ctx: FunctionCtx, input: Tensor, other: Tensor) -> Tensor:
        ctx.save_for_backward(ne(input, other))
        found = np.nextafter(values(input), values(other))
        return from_array(np.asarray(found), input.device.type)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        (moved,) = ctx.saved_tensors
        return gradient * moved, gradient * 0


@operation(inplace=True, out=True, tensors=True)
def nextafter(input: Tensor, other: Tensor) -> Tensor:
    """The next number after `input` towards `other`; computed on the host."""
    return Nextafter.apply(*align(input, other))  # type: ignore[return-value]
