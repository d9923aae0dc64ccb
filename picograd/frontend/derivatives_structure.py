"""Derivatives of the reduce and movement families: see `frontend/derivatives.py`.

In: nothing. Out: rows of `tape.RECORDERS`.

>>> from picograd.frontend import tape
>>> tape.RECORDERS[Op.REDUCE, Combiner.SUM].__name__
'SumBackward0'
"""

from __future__ import annotations

import math
from typing import cast

from picograd.dtypes import int64
from picograd.frontend import primitives
from picograd.frontend.autograd import unexpanded, unsliced
from picograd.frontend.derivatives import (
    add,
    conj,
    derivative,
    div,
    mul,
    number,
    where,
    zero_like,
)
from picograd.frontend.primitives import elementwise
from picograd.frontend.tape import Gradients, PrimitiveGrad
from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.build import uniform_constant
from picograd.graph.ops import (
    AxesAttr,
    Combiner,
    ConcatAttr,
    GatherAttr,
    Op,
    PadAttr,
    ReduceAttr,
    ScanAttr,
    ScatterReduceAttr,
    SliceAttr,
)

# --- reduce -------------------------------------------------------------------------------------


def spread(x: Tensor, axes: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """A reduced tensor repeated along the axes that were removed."""
    kept = tuple([1 if axis in axes else extent for axis, extent in enumerate(shape)])
    return primitives.expand(primitives.reshape(x, kept), shape)


@derivative(Op.REDUCE, Combiner.SUM, name="SumBackward0")
def _sum(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (spread(grad, cast("ReduceAttr", ctx.attr).axes, ctx.shapes[0]),)


@derivative(Op.REDUCE, Combiner.PROD, saves=(0,), name="ProdBackward0")
def _prod(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (_product_gradient(ctx.source(0), grad, cast("ReduceAttr", ctx.attr).axes),)


def _extreme(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    """All the elements that equal the extreme share its gradient evenly."""
    axes, shape = cast("ReduceAttr", ctx.attr).axes, ctx.shapes[0]
    chosen = primitives.cast(_same(ctx.source(0), spread(ctx.result, axes, shape)), grad.dtype)
    count = primitives.reduce(Combiner.SUM, chosen, axes)
    return (mul(spread(div(grad, count), axes, shape), chosen),)


derivative(Op.REDUCE, Combiner.MAX, saves=(0,), result=True, name="AmaxBackward0")(_extreme)
derivative(Op.REDUCE, Combiner.MIN, saves=(0,), result=True, name="AminBackward0")(_extreme)


def _same(a: Tensor, b: Tensor) -> Tensor:
    """Where two tensors are equal or both NaN."""
    both_nan = elementwise(Op.AND, elementwise(Op.NE, a, a), elementwise(Op.NE, b, b))
    return elementwise(Op.OR, elementwise(Op.EQ, a, b), both_nan)


def _product_gradient(x: Tensor, grad: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Gradient of a product: each element's is the product of all the others, zeros or not."""
    kept = tuple([axis for axis in range(x.ndim) if axis not in axes])
    order = (*kept, *axes)
    moved = primitives.permute(x, order)
    rows = tuple([x._shape[axis] for axis in kept])
    length = math.prod([x._shape[axis] for axis in axes])
    flat = primitives.reshape(moved, (*rows, length))
    others = mul(_exclusive(flat, False), _exclusive(flat, True))
    slope = mul(spread(grad, (len(rows),), (*rows, length)), conj(others))
    inverse = tuple([order.index(axis) for axis in range(x.ndim)])
    return primitives.permute(primitives.reshape(slope, moved._shape), inverse)


def _exclusive(x: Tensor, backwards: bool) -> Tensor:
    """The product of the elements before each one (behind it, if `backwards`) on the last axis."""
    axis, length = x.ndim - 1, x._shape[-1]
    if length == 0:
        return x
    if backwards:
        x = primitives.flip(x, (axis,))
    products = primitives.scan(Combiner.PROD, x, axis)
    none, edge = (0,) * axis, (0,) * axis + (1,)
    body = primitives.slice_(products, (*none, 0), (*x._shape[:-1], length - 1), (1,) * x.ndim)
    shifted = primitives.pad(body, edge, (0,) * x.ndim, 1)
    return primitives.flip(shifted, (axis,)) if backwards else shifted


@derivative(Op.SCAN, Combiner.SUM, name="CumsumBackward0")
def _cumsum(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (_suffix_sum(grad, cast("ScanAttr", ctx.attr).axis),)


@derivative(Op.SCAN, Combiner.PROD, saves=(0,), name="CumprodBackward0")
def _cumprod(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (_scan_product_gradient(ctx.source(0), grad, cast("ScanAttr", ctx.attr).axis),)


def _running_extreme(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    """Each position's gradient goes to the last element that reached the running extreme."""
    axis, x = cast("ScanAttr", ctx.attr).axis, ctx.source(0)
    device = x._storage.node.device
    order = (*[n for n in range(x.ndim) if n != axis], axis)
    length = x._shape[axis]
    reached = primitives.permute(_same(x, ctx.result), order)
    shape = reached._shape
    line = primitives.reshape(
        primitives.iota(length, int64, device), (1,) * (x.ndim - 1) + (length,)
    )
    position = primitives.expand(line, shape)
    winner = where(reached, position, number(0, position))
    winner = primitives.scan(Combiner.MAX, winner, x.ndim - 1)
    rows = math.prod(shape[:-1])
    first = primitives.reshape(primitives.iota(rows, int64, device), (rows, 1))
    first = mul(
        primitives.expand(first, (rows, length)),
        primitives.constant(length, int64, device, (rows, length)),
    )
    target = primitives.reshape(
        add(first, primitives.reshape(winner, (rows, length))), (rows * length,)
    )
    flat = primitives.reshape(primitives.permute(grad, order), (rows * length,))
    summed = primitives.scatter_reduce(
        Combiner.SUM, zero_like(flat), flat, (0,), (target,), checked=True
    )
    inverse = tuple([order.index(n) for n in range(x.ndim)])
    return (primitives.permute(primitives.reshape(summed, shape), inverse),)


derivative(Op.SCAN, Combiner.MAX, saves=(0,), result=True, name="CummaxBackward0")(_running_extreme)
derivative(Op.SCAN, Combiner.MIN, saves=(0,), result=True, name="CumminBackward0")(_running_extreme)


def _suffix_sum(x: Tensor, axis: int) -> Tensor:
    turned = primitives.flip(x, (axis,))
    return primitives.flip(primitives.scan(Combiner.SUM, turned, axis), (axis,))


def _scan_product_gradient(x: Tensor, grad: Tensor, axis: int) -> Tensor:
    """Gradient of a running product, exact with any number of zeros.

    `out[k] = x[0] ... x[k]`, so `d out[k] / d x[j]` is that product without `x[j]`. A table of
    all (j, k) is summed along k.
    """
    order = (*[n for n in range(x.ndim) if n != axis], axis)
    moved, outer = primitives.permute(x, order), primitives.permute(grad, order)
    rows, length = moved._shape[:-1], moved._shape[-1]
    square = (*rows, length, length)
    table = primitives.expand(primitives.reshape(moved, (*rows, 1, length)), square)
    device = x._storage.node.device
    positions = primitives.iota(length, int64, device)
    line = (1,) * len(rows)
    j = primitives.expand(primitives.reshape(positions, (*line, length, 1)), square)
    k = primitives.expand(primitives.reshape(positions, (*line, 1, length)), square)
    without = where(elementwise(Op.EQ, j, k), number(1, table), table)
    products = primitives.scan(Combiner.PROD, without, len(rows) + 1)
    weights = primitives.expand(primitives.reshape(outer, (*rows, 1, length)), square)
    terms = where(elementwise(Op.LE, j, k), mul(weights, conj(products)), zero_like(products))
    summed = primitives.reduce(Combiner.SUM, terms, (len(rows) + 1,))
    inverse = tuple([order.index(n) for n in range(x.ndim)])
    return primitives.permute(summed, inverse)


@derivative(Op.SCATTER_REDUCE, Combiner.SUM, tail=2, name="ScatterAddBackward0")
def _scatter_add(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    attr, indices = cast("ScatterReduceAttr", ctx.attr), ctx.sources(2)
    value = primitives.gather(grad, attr.axes, indices, attr.checked) if ctx.needs(1) else None
    return (grad, value, *[None] * len(indices))


def _scatter_extreme(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    """The base's element and the values that equal the result share its gradient."""
    attr, indices = cast("ScatterReduceAttr", ctx.attr), ctx.sources(2)
    base, value, result = ctx.source(0), ctx.source(1), ctx.result
    axes, none = attr.axes, [None] * len(indices)
    from_base = primitives.cast(_same(base, result), grad.dtype)
    there = primitives.gather(result, axes, indices, attr.checked)
    from_value = primitives.cast(_same(value, there), grad.dtype)
    count = primitives.scatter_reduce(
        Combiner.SUM, from_base, from_value, axes, indices, attr.checked
    )
    share = div(grad, count)
    back = primitives.gather(share, axes, indices, attr.checked)
    return (mul(share, from_base), mul(back, from_value), *none)


for _combiner in (Combiner.MAX, Combiner.MIN):
    derivative(
        Op.SCATTER_REDUCE,
        _combiner,
        saves=(0, 1),
        tail=2,
        result=True,
        name="ScatterReduceBackward0",
    )(_scatter_extreme)


@derivative(Op.SCATTER_REDUCE, Combiner.PROD, saves=(0, 1), tail=2, name="ScatterReduceBackward0")
def _scatter_product(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    """Each factor's slope is the product of the others, which zeros must not turn into NaN."""
    attr, indices = cast("ScatterReduceAttr", ctx.attr), ctx.sources(2)
    base, value, axes = ctx.source(0), ctx.source(1), attr.axes

    def split(x: Tensor) -> tuple[Tensor, Tensor]:
        is_zero = elementwise(Op.EQ, x, zero_like(x))
        return is_zero, where(is_zero, number(1, x), x)

    base_zero, base_rest = split(base)
    value_zero, value_rest = split(value)
    zeros = primitives.scatter_reduce(
        Combiner.SUM,
        primitives.cast(base_zero, grad.dtype),
        primitives.cast(value_zero, grad.dtype),
        axes,
        indices,
        attr.checked,
    )
    product = primitives.scatter_reduce(
        Combiner.PROD, base_rest, value_rest, axes, indices, attr.checked
    )

    def slope(is_zero: Tensor, rest: Tensor, zeros: Tensor, product: Tensor) -> Tensor:
        nothing = zero_like(product)
        others_are_zero = elementwise(Op.NE, zeros, primitives.cast(is_zero, zeros.dtype))
        return where(others_are_zero, nothing, div(product, rest))

    def back(x: Tensor) -> Tensor:
        return primitives.gather(x, axes, indices, attr.checked)

    base_grad = mul(grad, slope(base_zero, base_rest, zeros, product))
    value_grad = mul(back(grad), slope(value_zero, value_rest, back(zeros), back(product)))
    return (base_grad, value_grad, *[None] * len(indices))


# --- movement -----------------------------------------------------------------------------------


@derivative(Op.RESHAPE, name="ReshapeBackward0")
def _reshape(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (primitives.reshape(grad, ctx.shapes[0]),)


@derivative(Op.PERMUTE)
def _permute(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    axes = cast("AxesAttr", ctx.attr).axes
    return (primitives.permute(grad, tuple([axes.index(n) for n in range(len(axes))])),)


@derivative(Op.EXPAND)
def _expand(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (unexpanded(grad, ctx.shapes[0]),)


@derivative(Op.PAD, name="ConstantPadNdBackward0")
def _pad(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    attr, shape = cast("PadAttr", ctx.attr), ctx.shapes[0]
    return (primitives.slice_(grad, attr.before, shape, (1,) * len(shape)),)


@derivative(Op.SLICE)
def _slice(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    attr = cast("SliceAttr", ctx.attr)
    return (unsliced(grad, cast("tuple[int, ...]", attr.starts), attr.steps, ctx.shapes[0]),)


@derivative(Op.FLIP)
def _flip(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (primitives.flip(grad, cast("AxesAttr", ctx.attr).axes),)


@derivative(Op.GATHER, tail=1, name="IndexBackward0")
def _gather(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    attr, indices = cast("GatherAttr", ctx.attr), ctx.sources(1)
    zeros = primitives.constant(0, grad.dtype, grad._storage.node.device, ctx.shapes[0])
    summed = primitives.scatter_reduce(Combiner.SUM, zeros, grad, attr.axes, indices, attr.checked)
    return (summed, *[None] * len(indices))


@derivative(Op.UPDATE, name="CopySlices")
def _update(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    attr = cast("SliceAttr", ctx.attr)
    starts, sizes, steps = cast("tuple[int, ...]", attr.starts), attr.sizes, attr.steps
    base = value = None
    source, erased = _erased(grad)
    if ctx.needs(0):
        both = None if erased is None else _joined(erased, attr)
        under, part = (grad, attr) if both is None else (source, both)
        nothing = primitives.constant(0, grad.dtype, grad._storage.node.device, part.sizes)
        firsts = cast("tuple[int, ...]", part.starts)
        base = primitives.update(under, nothing, firsts, part.sizes, part.steps)
    if ctx.needs(1):
        seen = grad if erased is None or _meet(erased, attr) else source
        value = primitives.slice_(seen, starts, sizes, steps)
    return (base, value)


@derivative(Op.CONCAT, name="CatBackward0")
def _concat(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    attr = cast("ConcatAttr", ctx.attr)
    nowhere, steps = (0,) * grad.ndim, (1,) * grad.ndim
    parts: list[Tensor | None] = []
    for place, (start, shape) in enumerate(zip(attr.values(), ctx.shapes, strict=True)):
        starts = (*nowhere[: attr.axis], start, *nowhere[attr.axis + 1 :])
        needed = ctx.needs(place)
        parts.append(primitives.slice_(grad, starts, shape, steps) if needed else None)
    return tuple(parts)


def _erased(grad: Tensor) -> tuple[Tensor, SliceAttr | None]:
    """What a gradient was before the last update put zeros into a part of it, and the part.

    So the gradient of each piece of a joined tensor is a part of the whole's gradient, and not of
    one in which the pieces behind it were erased one by one.
    """
    node = grad.node
    attr = node.attr
    if not isinstance(attr, SliceAttr) or node.op is not Op.UPDATE or node.buffer is not None:
        return grad, None
    filler = uniform_constant(node.srcs[1])
    known = all(isinstance(start, int) for start in attr.starts)
    if filler is None or filler.value != 0 or not known or grad._meta is not None:
        return grad, None
    return wrap(node.srcs[0]), attr


def _meet(first: SliceAttr, second: SliceAttr) -> bool:
    """Whether two parts may have an element in common."""
    sides = zip(_spans(first), _spans(second), strict=True)
    return all(a < d and c < b for (a, b), (c, d) in sides)


def _spans(part: SliceAttr) -> list[tuple[int, int]]:
    """Along each axis, the first element of a part and the one after its last."""
    starts = cast("tuple[int, ...]", part.starts)
    sides = zip(starts, part.sizes, part.steps, strict=True)
    return [(start, start + (size - 1) * step + 1) for start, size, step in sides]


def _joined(first: SliceAttr, second: SliceAttr) -> SliceAttr | None:
    """Two parts without gaps as one, where they lie side by side along one axis."""
    if {*first.steps, *second.steps} != {1}:
        return None
    one, other = _spans(first), _spans(second)
    apart = [axis for axis in range(len(one)) if one[axis] != other[axis]]
    if len(apart) != 1:
        return None
    (a, b), (c, d) = one[apart[0]], other[apart[0]]
    if b != c and d != a:
        return None
    low, high = min(a, c), max(b, d)
    starts = [low if n == apart[0] else start for n, (start, _) in enumerate(one)]
    sizes = [high - low if n == apart[0] else size for n, size in enumerate(first.sizes)]
    return SliceAttr(tuple(starts), tuple(sizes), first.steps)


@derivative(Op.SCATTER, tail=2, name="IndexPutBackward0")
def _scatter(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    attr, indices = cast("GatherAttr", ctx.attr), ctx.sources(2)
    axes = attr.axes
    base = value = None
    if ctx.needs(0):
        nothing = primitives.constant(0, grad.dtype, grad._storage.node.device, ctx.shapes[1])
        base = primitives.scatter(grad, nothing, axes, indices, attr.checked)
    if ctx.needs(1):
        value = primitives.gather(grad, axes, indices, attr.checked)
    return (base, value, *[None] * len(indices))
