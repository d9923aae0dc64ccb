"""Sums, products, extremes and statistics over dimensions.

In: a tensor, which dimensions, and whether to keep them with extent 1. Out: a tensor; `max`, `min`
and their like give a named pair (values, indices). As in NumPy's twins, `axis` and `keepdims` are
accepted for `dim` and `keepdim`.

>>> import picograd
>>> picograd.sum(picograd.tensor([[1, 2], [3, 4]]), dim=1)
tensor([3, 7])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from picograd.dtypes import DType, bool_, int64
from picograd.frontend import primitives
from picograd.frontend.autocasting import in_float32
from picograd.frontend.autograd import label
from picograd.frontend.comparison import isnan, truth
from picograd.frontend.composite import with_rule
from picograd.frontend.elementwise import div, filled_like, mul
from picograd.frontend.naming import recorded_as
from picograd.frontend.promotion import (
    broadcast_to,
    type_name,
    wrap_dim,
    wrap_dims,
)
from picograd.frontend.registry import operation
from picograd.frontend.return_types import MinMax, ValuesIndices, returning
from picograd.frontend.selection import choose, maximum, minimum
from picograd.frontend.stamps import stamped
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import Combiner, Op

Dims = int | Sequence[int] | None


def fold(combiner: Combiner, x: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    """A primitive reduction over wrapped dims, of which a 0-d tensor has none."""
    if not x.ndim:
        return x.clone()
    result = primitives.reduce(combiner, x, tuple(sorted(dims)))
    return restore(result, x, dims) if keepdim else result


def restore(reduced: Tensor, x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """A reduced tensor with the reduced dims of `x` back as extents of 1."""
    shape = tuple(1 if axis in dims else extent for axis, extent in enumerate(x.shape))
    return primitives.reshape(reduced, shape)


def spread(reduced: Tensor, x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """A reduced tensor repeated to the shape of `x` again."""
    return broadcast_to(restore(reduced, x, dims), x._shape)


def count(x: Tensor, dims: tuple[int, ...]) -> int:
    """The number of elements that a reduction over `dims` combines."""
    return math.prod(x.shape[axis] for axis in dims) if x.ndim else 1


def safe_sqrt(x: Tensor) -> Tensor:
    """The square root with gradient 0 at 0."""
    zero = primitives.elementwise(Op.EQ, x, filled_like(x, 0))
    root = primitives.elementwise(Op.SQRT, choose(zero, filled_like(x, 1), x))
    return choose(zero, filled_like(x, 0), root)


def _accumulable(x: Tensor, dtype: DType | None) -> Tensor:
    """`x` as sums and products see it: integers and bools are int64 unless a dtype is given."""
    wanted = dtype or (x.dtype if x.dtype.is_inexact else int64)
    return x if x.dtype is wanted else primitives.cast(x, wanted)


def _inexact(x: Tensor, name: str, dtype: DType | None = None) -> Tensor:
    if dtype is not None and x.dtype is not dtype:
        x = primitives.cast(x, dtype)
    if not x.dtype.is_inexact:
        raise RuntimeError(
            f"{name}(): could not infer output dtype. Input dtype must be either a floating "
            f"point or complex dtype. Got: {type_name(x.dtype)}"
        )
    return x


# --- sums and products ---------------------------------------------------------------------------


@operation(out=True)
def sum(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The sum; of integers and bools in int64."""
    dims = wrap_dims(dim, input.ndim)
    result = fold(Combiner.SUM, _accumulable(input, dtype), dims, keepdim)
    return result if dim is None else label(result, "SumBackward1")


@operation(out=True)
@recorded_as("NansumBackward0")
def nansum(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The sum of what is not NaN."""
    return sum(choose(isnan(input), filled_like(input, 0), input), dim, keepdim, dtype=dtype)


@operation(out=True)
def mean(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The arithmetic mean of a float tensor."""
    x = _inexact(input, "mean", dtype)
    dims = wrap_dims(dim, x.ndim)
    return stamped("MeanBackward0" if dim is None else "MeanBackward1", _mean, (x,), dims, keepdim)


def _mean(x: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    return _average(fold(Combiner.SUM, x, dims, keepdim), count(x, dims))


def _average(total: Tensor, number: float) -> Tensor:
    if number == 0:
        return mul(total, math.nan)
    return div(total, number)


@operation(out=True)
def nanmean(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The mean of what is not NaN."""
    x = _inexact(input, "nanmean", dtype)
    number = sum(primitives.elementwise(Op.EQ, x, x), dim, keepdim)
    return div(nansum(x, dim, keepdim), number.to(x.dtype))


@operation(out=True)
@in_float32
def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The product; of integers and bools in int64."""
    dims = wrap_dims(dim, input.ndim)
    result = fold(Combiner.PROD, _accumulable(input, dtype), dims, keepdim)
    return result if dim is None else label(result, "ProdBackward1")


@operation()
def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """How many elements are not zero."""
    return sum(truth(input), dim)


# --- truth ---------------------------------------------------------------------------------------


def _truth_fold(combiner: Combiner, x: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    result = fold(combiner, truth(x), wrap_dims(dim, x.ndim), keepdim)
    return primitives.cast(result, x.dtype) if x.dtype.name == "uint8" else result


@operation(out=True)
def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether every element is nonzero."""
    return _truth_fold(Combiner.MIN, input, dim, keepdim)


@operation(out=True)
def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether some element is nonzero."""
    return _truth_fold(Combiner.MAX, input, dim, keepdim)


# --- extremes ------------------------------------------------------------------------------------


def _check_not_empty(x: Tensor, dims: tuple[int, ...], name: str, given: bool) -> None:
    if not given and not x.numel():
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify "
            "the reduction dim with the 'dim' argument."
        )
    for axis in dims:
        if x.ndim and not x.shape[axis]:
            raise IndexError(
                f"{name}(): Expected reduction dim {axis} to have non-zero size, but the shape "
                f"is {list(x.shape)}."
            )


def _extreme(combiner: Combiner, x: Tensor, dim: Dims, keepdim: bool, name: str) -> Tensor:
    dims = wrap_dims(dim, x.ndim)
    _check_not_empty(x, dims, name, dim is not None and dim != ())
    return fold(combiner, x, dims, keepdim)


@operation(out=True)
def amax(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The largest value; equal ones share the gradient."""
    return _extreme(Combiner.MAX, input, dim, keepdim, "amax")


@operation(out=True)
def amin(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The smallest value; equal ones share the gradient."""
    return _extreme(Combiner.MIN, input, dim, keepdim, "amin")


@operation(out=True)
@returning("aminmax", MinMax)
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> MinMax:
    """The smallest and the largest value."""
    where_to = () if dim is None else dim
    return MinMax(amin(input, where_to, keepdim), amax(input, where_to, keepdim))


def first_position(x: Tensor, value: Tensor, axis: int) -> Tensor:
    """Where along `axis` each extreme `value` stands first; NaN counts as extreme."""
    hit = primitives.elementwise(Op.EQ, x, spread(value, x, (axis,)))
    if x.dtype.is_float:
        hit = primitives.elementwise(Op.OR, hit, primitives.elementwise(Op.NE, x, x))
    position = positions(x, axis)
    far = filled_like(position, x.shape[axis])
    return primitives.reduce(
        Combiner.MIN, primitives.elementwise(Op.WHERE, hit, position, far), (axis,)
    )


def positions(x: Tensor, axis: int) -> Tensor:
    """The index along `axis` of every element of `x`, int64."""
    index = primitives.iota(x.shape[axis], int64, x.node.device)
    shape = tuple(x.shape[axis] if n == axis else 1 for n in range(x.ndim))
    return broadcast_to(primitives.reshape(index, shape), x._shape)


def _arg_extreme(
    combiner: Combiner, x: Tensor, dim: int | None, keepdim: bool, name: str
) -> Tensor:
    if x.dtype is bool_ and name.startswith("arg"):
        raise RuntimeError(f"{name}(): does not support bool input")
    if dim is None:
        if not x.numel():
            raise IndexError(
                f"{name}(): Expected reduction dim to be specified for an empty tensor"
            )
        flat = primitives.reshape(x, (x.numel(),)).detach()
        found = first_position(flat, primitives.reduce(combiner, flat, (0,)), 0)
        return primitives.reshape(found, (1,) * x.ndim) if keepdim else found
    axis = wrap_dim(dim, x.ndim)
    _check_not_empty(x, (axis,), name, True)
    if not x.ndim:
        return filled_like(x, 0, int64)
    x = x.detach()
    found = first_position(x, primitives.reduce(combiner, x, (axis,)), axis)
    return restore(found, x, (axis,)) if keepdim else found


@operation(out=True)
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest value stands first (in the flattened tensor if no dim is given)."""
    return _arg_extreme(Combiner.MAX, input, dim, keepdim, "argmax")


@operation(out=True)
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest value stands first (in the flattened tensor if no dim is given)."""
    return _arg_extreme(Combiner.MIN, input, dim, keepdim, "argmin")


def _extreme_pair(
    combiner: Combiner, x: Tensor, dim: int, keepdim: bool, name: str
) -> ValuesIndices:
    axis = wrap_dim(dim, x.ndim)
    _check_not_empty(x, (axis,), name, True)
    indices = _arg_extreme(combiner, x, dim, keepdim, name)
    if not x.ndim:
        return ValuesIndices(x.clone(), indices)

    def rule(gradient: Tensor, found: Tensor) -> tuple[Tensor]:
        # The gradient of max(dim) belongs to one element, the first of the equal ones.
        shape = x._shape
        kept = (*shape[:axis], 1, *shape[axis + 1 :])
        wide = [broadcast_to(primitives.reshape(t, kept), shape) for t in (found, gradient)]
        chosen = primitives.elementwise(Op.EQ, positions(x, axis), wide[0])
        return (primitives.elementwise(Op.WHERE, chosen, wide[1], filled_like(wide[1], 0)),)

    values = with_rule(
        f"{name.capitalize()}Backward0",
        lambda: fold(combiner, x, (axis,), keepdim),
        (x,),
        rule,
        (indices,),
    )
    return ValuesIndices(values, indices)


def _max_or_min(
    combiner: Combiner,
    input: Tensor,
    dim: int | Tensor | None,
    keepdim: bool,
    other: Tensor | None,
    pairwise: Callable[[Tensor, Tensor], Tensor],
    name: str,
) -> Tensor | ValuesIndices:
    if isinstance(dim, Tensor):
        return pairwise(input, dim)
    if other is not None:
        return pairwise(input, other)
    if dim is None:
        _check_not_empty(input, (), name, False)
        result = fold(combiner, input, wrap_dims(None, input.ndim), False)
        return label(result, "MaxBackward1" if combiner is Combiner.MAX else "MinBackward1")
    return _extreme_pair(combiner, input, dim, keepdim, name)


@operation(out=True)
@returning("max")
def max(
    input: Tensor,
    dim: int | Tensor | None = None,
    keepdim: bool = False,
    *,
    other: Tensor | None = None,
) -> Tensor | ValuesIndices:
    """The largest value; with a dim the pair (values, indices); of two tensors `maximum`."""
    return _max_or_min(Combiner.MAX, input, dim, keepdim, other, maximum, "max")


@operation(out=True)
@returning("min")
def min(
    input: Tensor,
    dim: int | Tensor | None = None,
    keepdim: bool = False,
    *,
    other: Tensor | None = None,
) -> Tensor | ValuesIndices:
    """The smallest value; with a dim the pair (values, indices); of two tensors `minimum`."""
    return _max_or_min(Combiner.MIN, input, dim, keepdim, other, minimum, "min")
