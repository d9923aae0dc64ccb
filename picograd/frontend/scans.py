"""Prefix operations along one dimension: cumulative sums, products, extremes.

In: a tensor and a dimension. Out: a tensor of the same shape; `cummax` and `cummin` give the pair
(values, indices).

>>> import picograd
>>> picograd.cumsum(picograd.tensor([1, 2, 3]), dim=0)
tensor([1, 3, 6])
"""

from __future__ import annotations

import math

from picograd.dtypes import DType, int64
from picograd.frontend import primitives
from picograd.frontend.composite import with_rule
from picograd.frontend.elementwise import add, filled_like, mul, sub
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import type_name, wrap_dim
from picograd.frontend.reductions import ValuesIndices, positions
from picograd.frontend.registry import operation
from picograd.frontend.return_types import returning
from picograd.frontend.tensor import Tensor
from picograd.frontend.transcendental import exp, log
from picograd.graph.ops import Combiner, Op


def _prefix(combiner: Combiner, x: Tensor, dim: int, dtype: DType | None) -> Tensor:
    wanted = dtype or (x.dtype if x.dtype.is_inexact else int64)
    x = primitives.cast(x, wanted)
    axis = wrap_dim(dim, x.ndim)
    return primitives.scan(combiner, x, axis) if x.ndim else x.clone()


@operation(inplace=True, out=True)
def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """The running sum."""
    return _prefix(Combiner.SUM, input, dim, dtype)


@operation(inplace=True, out=True)
def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """The running product."""
    return _prefix(Combiner.PROD, input, dim, dtype)


def _running_extreme(combiner: Combiner, x: Tensor, dim: int, name: str) -> ValuesIndices:
    axis = wrap_dim(dim, x.ndim)
    if not x.ndim:
        return ValuesIndices(x.clone(), filled_like(x, 0, int64))
    fixed = x.detach()
    best = primitives.scan(combiner, fixed, axis)
    hit = primitives.elementwise(Op.EQ, fixed, best)
    if x.dtype.is_float:
        hit = primitives.elementwise(Op.OR, hit, primitives.elementwise(Op.NE, fixed, fixed))
    where = positions(fixed, axis)
    marked = primitives.elementwise(Op.WHERE, hit, where, filled_like(where, -1))
    indices = primitives.scan(Combiner.MAX, marked, axis)

    def rule(gradient: Tensor, found: Tensor) -> tuple[Tensor]:
        from picograd.frontend.gathering import scatter_add

        return (scatter_add(filled_like(gradient, 0), axis, found, gradient),)

    values = with_rule(
        f"{name.capitalize()}Backward0",
        lambda: primitives.scan(combiner, x, axis),
        (x,),
        rule,
        (indices,),
    )
    return ValuesIndices(values, indices)


@operation(out=True)
@returning("cummax")
def cummax(input: Tensor, dim: int) -> ValuesIndices:
    """The running maximum and where it stands (the last of equal ones)."""
    return _running_extreme(Combiner.MAX, input, dim, "cummax")


@operation(out=True)
@returning("cummin")
def cummin(input: Tensor, dim: int) -> ValuesIndices:
    """The running minimum and where it stands (the last of equal ones)."""
    return _running_extreme(Combiner.MIN, input, dim, "cummin")


@operation(out=True)
@recorded_as("LogcumsumexpBackward0")
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """`log(cumsum(exp(input)))`, shifted by the maximum of the whole dimension.

    Prefixes that lie more than the exponent range below that maximum come out as -inf.
    """
    if not input.dtype.is_float:
        raise NotImplementedError(
            f"\"logcumsumexp_out_cpu\" not implemented for '{type_name(input.dtype)}'"
        )
    from picograd.frontend.statistics import shift

    axis = wrap_dim(dim, input.ndim)
    if not input.ndim:
        return input.clone()
    top = shift(input, (axis,))
    finite = primitives.elementwise(Op.LT, filled_like(top, -math.inf), top)
    top = primitives.elementwise(Op.WHERE, finite, top, filled_like(top, 0))
    return add(log(primitives.scan(Combiner.SUM, exp(sub(input, top)), axis)), top)


@operation(out=True)
def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """The n-th difference of neighbours along a dimension."""
    from picograd.frontend.movement import cat

    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    axis = wrap_dim(dim, input.ndim)
    if n == 0:
        return input.clone()
    parts = [part for part in (prepend, input, append) if part is not None]
    x = cat(parts, axis) if len(parts) > 1 else input
    for _ in range(n):
        extent = x._shape[axis]
        if extent < 2:
            return x.narrow(axis, 0, 0)
        later, earlier = x.narrow(axis, 1, extent - 1), x.narrow(axis, 0, extent - 1)
        x = primitives.elementwise(Op.XOR if x.dtype.is_bool else Op.SUB, later, earlier)
    return x


def _trapezoids(y: Tensor, x: Tensor | None, dx: float, axis: int) -> Tensor:
    """The area under every two neighbours along an axis."""
    extent = y._shape[axis]
    pairs = add(y.narrow(axis, 1, extent - 1), y.narrow(axis, 0, extent - 1))
    if x is None:
        return mul(pairs, dx / 2)
    grid: Tensor = x
    if x.ndim == 1 and y.ndim > 1:
        grid = x.reshape(tuple(-1 if n == axis else 1 for n in range(y.ndim)))
    widths = diff(grid, dim=wrap_dim(axis - y.ndim, grid.ndim))
    return mul(mul(pairs, widths), 0.5)


@operation(out=True, aliases=("trapz",))
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1.0, dim: int = -1) -> Tensor:
    """The integral along a dimension by the trapezoid rule."""
    from picograd.frontend.reductions import sum

    axis = wrap_dim(dim, y.ndim)
    return sum(_trapezoids(y, x, dx, axis), axis)


@operation(method=False)
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: float = 1.0, dim: int = -1
) -> Tensor:
    """The integral up to each point by the trapezoid rule."""
    axis = wrap_dim(dim, y.ndim)
    return cumsum(_trapezoids(y, x, dx, axis), axis)
