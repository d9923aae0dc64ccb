"""Shape and dtype rules of the movement ops, of SCATTER_REDUCE too.

In: op, sources, attribute. Out: `(DType, Shape)`. `infer.RULES` lists the rules by op.

>>> from picograd.dtypes import float32
>>> from picograd.graph.node import const, make
>>> make(Op.RESHAPE, (const(1, float32, "cpu"),), ShapeAttr((1, 1))).shape
(1, 1)
"""

from __future__ import annotations

from math import prod

from picograd.dtypes import DType
from picograd.graph.checks import (
    Sources,
    attribute,
    check_arity,
    check_axes,
    check_combiner,
    check_same_dtype,
    describe,
    not_implemented,
    source_list,
)
from picograd.graph.index import Index
from picograd.graph.ops import (
    Attr,
    AxesAttr,
    Combiner,
    ConcatAttr,
    GatherAttr,
    Op,
    PadAttr,
    ScatterReduceAttr,
    Shape,
    ShapeAttr,
    SliceAttr,
)


def rule_reshape(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 1)
    (x,) = srcs
    shape = attribute(op, attr, ShapeAttr).shape
    if prod(shape) != prod(x.shape) or min(shape, default=0) < 0:
        raise RuntimeError(
            f"shape '{list(shape)}' is invalid for input of size {prod(x.shape)} "
            f"(a tensor of shape {list(x.shape)})"
        )
    return x.dtype, shape


def rule_permute(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 1)
    (x,) = srcs
    axes = attribute(op, attr, AxesAttr).axes
    if len(axes) != len(x.shape):
        raise RuntimeError(
            f"permute(dims): number of dimensions in the tensor input does not match the length "
            f"of the desired ordering of dimensions i.e. input.dim() = {len(x.shape)} is not equal "
            f"to len(dims) = {len(axes)}"
        )
    check_axes(op, axes, len(x.shape))
    return x.dtype, tuple(x.shape[axis] for axis in axes)


def rule_expand(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 1)
    (x,) = srcs
    shape = attribute(op, attr, ShapeAttr).shape
    if len(shape) != len(x.shape):
        raise RuntimeError(
            f"expand keeps the number of dimensions: the target {list(shape)} has {len(shape)}, "
            f"the tensor {list(x.shape)} has {len(x.shape)}"
        )
    for axis, (old, new) in enumerate(zip(x.shape, shape, strict=True)):
        if new < 0 or (old != new and old != 1):
            raise RuntimeError(
                f"The expanded size of the tensor ({new}) must match the existing size ({old}) at "
                f"non-singleton dimension {axis}.  Target sizes: {list(shape)}.  Tensor sizes: "
                f"{list(x.shape)}"
            )
    return x.dtype, shape


def rule_pad(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 1)
    (x,) = srcs
    pad = attribute(op, attr, PadAttr)
    rank = len(x.shape)
    if (
        len(pad.before) != rank
        or len(pad.after) != rank
        or min(pad.before + pad.after, default=0) < 0
    ):
        raise RuntimeError(
            f"pad needs {rank} amounts (none negative) on each side for a tensor of shape "
            f"{list(x.shape)}, got {list(pad.before)} and {list(pad.after)}"
        )
    if pad.value.dtype is not x.dtype:
        raise RuntimeError(
            f"pad of a {x.dtype.name} tensor with a {pad.value.dtype.name} value; cast the value"
        )
    shape = tuple(b + n + a for b, n, a in zip(pad.before, x.shape, pad.after, strict=True))
    return x.dtype, shape


def _check_window(op: Op, attr: SliceAttr, shape: Shape) -> None:
    rank = len(shape)
    if not len(attr.starts) == len(attr.sizes) == len(attr.steps) == rank:
        raise RuntimeError(
            f"{describe(op)} of a tensor of shape {list(shape)} needs {rank} starts, sizes and "
            f"steps, got {list(attr.starts)}, {list(attr.sizes)} and {list(attr.steps)}"
        )
    for axis in range(rank):
        start, size, step = attr.starts[axis], attr.sizes[axis], attr.steps[axis]
        if size < 0 or step <= 0:
            raise RuntimeError(
                f"{describe(op)}: size {size} and step {step} of dimension {axis}; sizes must not "
                f"be negative and steps must be positive"
            )
        low, high = start.bounds() if isinstance(start, Index) else (start, start)
        last = high + (size - 1) * step + 1 if size else high
        if low < 0 or last > shape[axis]:
            raise IndexError(
                f"{describe(op)}: start {start}, size {size}, step {step} is out of bounds for "
                f"dimension {axis} with size {shape[axis]} (shape {list(shape)})"
            )


def rule_slice(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 1)
    window = attribute(op, attr, SliceAttr)
    _check_window(op, window, srcs[0].shape)
    return srcs[0].dtype, window.sizes


def rule_update(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 2)
    base, value = srcs
    window = attribute(op, attr, SliceAttr)
    _check_window(op, window, base.shape)
    if value.shape != window.sizes:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(value.shape)} cannot be written to a "
            f"window of shape {list(window.sizes)}"
        )
    check_same_dtype(op, base, value)
    return base.dtype, base.shape


def rule_concat(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    window = attribute(op, attr, ConcatAttr)
    first, axis, end = srcs[0], window.axis, 0
    before, after = first.shape[:axis], first.shape[axis + 1 :]
    for part, start in zip(srcs, window.starts, strict=True):
        if isinstance(start, int) and start != end:
            raise RuntimeError(f"a part starts at {start}, but the one before ends at {end}")
        end += part.shape[axis]
        if part.shape[:axis] != before or part.shape[axis + 1 :] != after:
            raise RuntimeError(
                f"Sizes of tensors must match except in dimension {axis}, got {list(first.shape)} "
                f"and {list(part.shape)}"
            )
        check_same_dtype(op, first, part)
    return first.dtype, (*before, end, *after)


def rule_flip(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 1)
    check_axes(op, attribute(op, attr, AxesAttr).axes, len(srcs[0].shape))
    return srcs[0].dtype, srcs[0].shape


def _indexed_shape(op: Op, shape: Shape, axes: tuple[int, ...], indices: Sources) -> Shape:
    """The shape that indexing `shape` gives: that of the indices, then the axes left over."""
    if not axes or len(indices) != len(axes):
        raise IndexError(
            f"{describe(op)}: {len(indices)} index tensors for the {len(axes)} dimensions "
            f"{list(axes)} of shape {list(shape)}"
        )
    check_axes(op, axes, len(shape))
    for index in indices:
        if not index.dtype.is_integer:
            raise IndexError(
                f"tensors used as indices must be integers, got {index.dtype.name}"
                f"{list(index.shape)}"
            )
        if index.shape != indices[0].shape:
            raise IndexError(
                f"shape mismatch: indexing tensors could not be broadcast together with shapes "
                f"{list(indices[0].shape)}, {list(index.shape)}"
            )
    return indices[0].shape + tuple(n for axis, n in enumerate(shape) if axis not in axes)


def rule_gather(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    if len(srcs) < 2:
        raise TypeError(f"gather takes a tensor and its indices, got {source_list(srcs)}")
    axes = attribute(op, attr, GatherAttr).axes
    return srcs[0].dtype, _indexed_shape(op, srcs[0].shape, axes, srcs[1:])


def rule_scatter(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    if len(srcs) < 3:
        raise TypeError(
            f"{describe(op)} takes a base, a value and indices, got {source_list(srcs)}"
        )
    base, value = srcs[0], srcs[1]
    if op is Op.SCATTER:
        axes = attribute(op, attr, GatherAttr).axes
    else:
        reduction = attribute(op, attr, ScatterReduceAttr)
        axes = reduction.axes
        check_combiner(op, reduction.combiner, base.dtype)
        if base.dtype.is_complex and reduction.combiner is Combiner.PROD:
            raise not_implemented(op, base.dtype)
    expected = _indexed_shape(op, base.shape, axes, srcs[2:])
    if value.shape != expected:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(value.shape)} cannot be written to an "
            f"indexing result of shape {list(expected)}"
        )
    check_same_dtype(op, base, value)
    return base.dtype, base.shape
