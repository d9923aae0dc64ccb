"""The dtype, shape and device of every op, and the errors of a wrong expression.

In: an op, its sources and its attribute. Out: `(DType, Shape, device)`. `node.make` calls `infer`
once for each new node; it is the only place where shapes and dtypes are checked, so its errors
are those that a user sees: torch's exception types, naming the shapes and dtypes.

One small rule per op stands in `RULES`.

>>> from picograd.dtype import float32
>>> from picograd.graph.node import const, make
>>> from picograd.graph.ops import Op
>>> make(Op.LT, (const(1, float32, "cpu"), const(2, float32, "cpu"))).dtype
torch.bool
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, TypeVar

from picograd.dtype import DType, bool_, complex64, complex128, float32, float64, real_of, uint32
from picograd.graph.index import Index
from picograd.graph.ops import (
    Attr,
    AxesAttr,
    CastAttr,
    Combiner,
    ConstAttr,
    GatherAttr,
    IotaAttr,
    LeafAttr,
    Op,
    PadAttr,
    RandomAttr,
    ReduceAttr,
    ScanAttr,
    ScatterReduceAttr,
    Shape,
    ShapeAttr,
    SliceAttr,
)

if TYPE_CHECKING:
    from picograd.graph.node import Node

Sources = tuple["Node", ...]
Rule = Callable[[Op, Sources, Attr], tuple[DType, Shape]]
A = TypeVar("A")

# What torch calls the element types in its messages.
TORCH_NAMES = {
    "bool": "Bool",
    "uint8": "Byte",
    "uint16": "UInt16",
    "uint32": "UInt32",
    "uint64": "UInt64",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "float32": "Float",
    "float64": "Double",
    "complex64": "ComplexFloat",
    "complex128": "ComplexDouble",
}


def infer(op: Op, srcs: Sources, attr: Attr, device: str | None) -> tuple[DType, Shape, str]:
    """The dtype, shape and device of an expression; raises what torch raises if it is wrong."""
    for src in srcs:
        if device is None:
            device = src.device
        elif src.device != device:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, "
                f"{device} and {src.device}! ({describe(op)} of {_sources(srcs)})"
            )
    if device is None:
        raise TypeError(f"{describe(op)} has no source, so it needs a device")
    dtype, shape = RULES[op](op, srcs, attr)
    return dtype, shape, device


def describe(op: Op) -> str:
    """The name of an op in messages."""
    return op.name.lower()


def _sources(srcs: Sources) -> str:
    return ", ".join(f"{src.dtype.name}{list(src.shape)}" for src in srcs) or "nothing"


def _attribute(op: Op, attr: Attr, kind: type[A]) -> A:
    if not isinstance(attr, kind):
        raise TypeError(f"{describe(op)} needs a {kind.__name__}, got {type(attr).__name__}")
    return attr


def _arity(op: Op, srcs: Sources, count: int) -> None:
    if len(srcs) != count:
        raise TypeError(f"{describe(op)} takes {count} sources, got {len(srcs)}: {_sources(srcs)}")


def _not_implemented(op: Op, dtype: DType) -> NotImplementedError:
    return NotImplementedError(
        f"\"{describe(op)}\" not implemented for '{TORCH_NAMES[dtype.name]}'"
    )


# --- elementwise ----------------------------------------------------------------------------------


def _same_shape(op: Op, first: Node, second: Node) -> None:
    a, b = first.shape, second.shape
    if a == b:
        return
    if len(a) == len(b):
        for axis, (m, n) in enumerate(zip(a, b, strict=True)):
            if m != n:
                raise RuntimeError(
                    f"The size of tensor a ({m}) must match the size of tensor b ({n}) at "
                    f"non-singleton dimension {axis}: {describe(op)} of shapes {list(a)} and "
                    f"{list(b)}"
                )
    raise RuntimeError(
        f"The number of dimensions of tensor a ({len(a)}) must match that of tensor b ({len(b)}): "
        f"{describe(op)} of shapes {list(a)} and {list(b)}; expand them to one shape first"
    )


def _same_dtype(op: Op, first: Node, second: Node) -> None:
    if first.dtype is not second.dtype:
        raise RuntimeError(
            f"expected both tensors of {describe(op)} to have the same dtype, but got "
            f"{first.dtype.name} and {second.dtype.name}; cast one of them"
        )


def _unary(kinds: frozenset[str]) -> Rule:
    """A function of one number that keeps the dtype; `kinds` are the dtype kinds it accepts."""

    def rule(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
        if len(srcs) != 1:
            _arity(op, srcs, 1)
        (x,) = srcs
        if x.dtype.kind not in kinds:
            raise _not_implemented(op, x.dtype)
        return x.dtype, x.shape

    return rule


def _binary(kinds: frozenset[str], result: DType | None = None) -> Rule:
    """A function of two numbers of one dtype and shape, which gives `result` or that dtype."""

    def rule(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
        if len(srcs) != 2:
            _arity(op, srcs, 2)
        x, y = srcs
        if x.shape != y.shape:
            _same_shape(op, x, y)
        if x.dtype is not y.dtype:
            _same_dtype(op, x, y)
        if x.dtype.kind not in kinds:
            raise _not_implemented(op, x.dtype)
        return result or x.dtype, x.shape

    return rule


def _neg(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 1)
    if srcs[0].dtype.is_bool:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
            "invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return srcs[0].dtype, srcs[0].shape


def _abs(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 1)
    return real_of(srcs[0].dtype), srcs[0].shape


def _cast(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 1)
    return _attribute(op, attr, CastAttr).dtype, srcs[0].shape


def _bitcast(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 1)
    dtype = _attribute(op, attr, CastAttr).dtype
    if dtype.itemsize != srcs[0].dtype.itemsize:
        raise RuntimeError(
            f"can't take the bits of {srcs[0].dtype.name} ({srcs[0].dtype.itemsize} bytes) as "
            f"{dtype.name} ({dtype.itemsize} bytes): the sizes of the elements differ"
        )
    return dtype, srcs[0].shape


def _where(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 3)
    condition, a, b = srcs
    if not condition.dtype.is_bool:
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{TORCH_NAMES[condition.dtype.name]}"
        )
    _same_shape(op, condition, a)
    _same_shape(op, a, b)
    _same_dtype(op, a, b)
    return a.dtype, a.shape


def _complex(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 2)
    real, imaginary = srcs
    _same_shape(op, real, imaginary)
    if real.dtype is not imaginary.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {TORCH_NAMES[real.dtype.name]} but got scalar type "
            f"{TORCH_NAMES[imaginary.dtype.name]} for second argument"
        )
    if real.dtype not in (float32, float64):
        raise RuntimeError(
            f"Expected both inputs to be Float or Double tensors but got "
            f"{TORCH_NAMES[real.dtype.name]} and {TORCH_NAMES[imaginary.dtype.name]}"
        )
    return (complex64 if real.dtype is float32 else complex128), real.shape


def _part(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 1)
    if not srcs[0].dtype.is_complex:
        raise RuntimeError(
            f"{describe(op)} is not implemented for tensors with non-complex dtypes, got "
            f"{srcs[0].dtype.name}"
        )
    return real_of(srcs[0].dtype), srcs[0].shape


# --- reduce ---------------------------------------------------------------------------------------


def _check_axes(op: Op, axes: tuple[int, ...], rank: int) -> None:
    for axis in axes:
        if not 0 <= axis < rank:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [0, {rank - 1}], but got "
                f"{axis}) in {describe(op)}"
            )
    if len(set(axes)) != len(axes):
        repeated = next(axis for axis in axes if axes.count(axis) > 1)
        raise RuntimeError(f"dim {repeated} appears multiple times in the list of dims {axes}")


def _check_combiner(op: Op, combiner: Combiner, dtype: DType) -> None:
    if dtype.is_complex and combiner in (Combiner.MAX, Combiner.MIN):
        raise NotImplementedError(
            f"\"{combiner.name.lower()}\" not implemented for '{TORCH_NAMES[dtype.name]}'"
        )


def _reduce(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 1)
    (x,) = srcs
    reduction = _attribute(op, attr, ReduceAttr)
    _check_axes(op, reduction.axes, len(x.shape))
    _check_combiner(op, reduction.combiner, x.dtype)
    axes = reduction.axes
    return x.dtype, tuple(n for axis, n in enumerate(x.shape) if axis not in axes)


def _scan(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 1)
    (x,) = srcs
    scan = _attribute(op, attr, ScanAttr)
    _check_axes(op, (scan.axis,), len(x.shape))
    _check_combiner(op, scan.combiner, x.dtype)
    return x.dtype, x.shape


# --- movement -------------------------------------------------------------------------------------


def _reshape(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 1)
    (x,) = srcs
    shape = _attribute(op, attr, ShapeAttr).shape
    if prod(shape) != prod(x.shape) or min(shape, default=0) < 0:
        raise RuntimeError(
            f"shape '{list(shape)}' is invalid for input of size {prod(x.shape)} "
            f"(a tensor of shape {list(x.shape)})"
        )
    return x.dtype, shape


def _permute(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 1)
    (x,) = srcs
    axes = _attribute(op, attr, AxesAttr).axes
    if len(axes) != len(x.shape):
        raise RuntimeError(
            f"permute(dims): number of dimensions in the tensor input does not match the length "
            f"of the desired ordering of dimensions i.e. input.dim() = {len(x.shape)} is not equal "
            f"to len(dims) = {len(axes)}"
        )
    _check_axes(op, axes, len(x.shape))
    return x.dtype, tuple(x.shape[axis] for axis in axes)


def _expand(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 1)
    (x,) = srcs
    shape = _attribute(op, attr, ShapeAttr).shape
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


def _pad(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 1)
    (x,) = srcs
    pad = _attribute(op, attr, PadAttr)
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


def _slice(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 1)
    window = _attribute(op, attr, SliceAttr)
    _check_window(op, window, srcs[0].shape)
    return srcs[0].dtype, window.sizes


def _update(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 2)
    base, value = srcs
    window = _attribute(op, attr, SliceAttr)
    _check_window(op, window, base.shape)
    if value.shape != window.sizes:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(value.shape)} cannot be written to a "
            f"window of shape {list(window.sizes)}"
        )
    _same_dtype(op, base, value)
    return base.dtype, base.shape


def _flip(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 1)
    _check_axes(op, _attribute(op, attr, AxesAttr).axes, len(srcs[0].shape))
    return srcs[0].dtype, srcs[0].shape


def _indexed_shape(op: Op, shape: Shape, axes: tuple[int, ...], indices: Sources) -> Shape:
    """The shape that indexing `shape` gives: that of the indices, then the axes left over."""
    if not axes or len(indices) != len(axes):
        raise IndexError(
            f"{describe(op)}: {len(indices)} index tensors for the {len(axes)} dimensions "
            f"{list(axes)} of shape {list(shape)}"
        )
    _check_axes(op, axes, len(shape))
    for index in indices:
        if not index.dtype.is_integer:
            raise IndexError(
                f"tensors used as indices must be integers, got {index.dtype.name}{list(index.shape)}"
            )
        if index.shape != indices[0].shape:
            raise IndexError(
                f"shape mismatch: indexing tensors could not be broadcast together with shapes "
                f"{list(indices[0].shape)}, {list(index.shape)}"
            )
    return indices[0].shape + tuple(n for axis, n in enumerate(shape) if axis not in axes)


def _gather(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    if len(srcs) < 2:
        _arity(op, srcs, 2)
    axes = _attribute(op, attr, GatherAttr).axes
    return srcs[0].dtype, _indexed_shape(op, srcs[0].shape, axes, srcs[1:])


def _scatter(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    if len(srcs) < 3:
        _arity(op, srcs, 3)
    base, value = srcs[0], srcs[1]
    if op is Op.SCATTER:
        axes = _attribute(op, attr, GatherAttr).axes
    else:
        reduction = _attribute(op, attr, ScatterReduceAttr)
        axes = reduction.axes
        _check_combiner(op, reduction.combiner, base.dtype)
    expected = _indexed_shape(op, base.shape, axes, srcs[2:])
    if value.shape != expected:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(value.shape)} cannot be written to an "
            f"indexing result of shape {list(expected)}"
        )
    _same_dtype(op, base, value)
    return base.dtype, base.shape


# --- leaves ---------------------------------------------------------------------------------------


def _const(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 0)
    return _attribute(op, attr, ConstAttr).dtype, ()


def _numbered(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 0)
    leaf = _attribute(op, attr, LeafAttr)
    if op is Op.PARAMETER and leaf.shape:
        raise RuntimeError(f"a parameter is a single number, not a tensor of shape {leaf.shape}")
    return leaf.dtype, leaf.shape


def _iota(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 0)
    iota = _attribute(op, attr, IotaAttr)
    if not iota.dtype.is_integer:
        raise _not_implemented(op, iota.dtype)
    if iota.extent < 0:
        raise RuntimeError(f"iota of the negative extent {iota.extent}")
    return iota.dtype, (iota.extent,)


def _random(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    _arity(op, srcs, 0)
    random = _attribute(op, attr, RandomAttr)
    if not 0 <= random.word < 4:
        raise RuntimeError(f"a Philox block has the words 0 to 3, not {random.word}")
    return uint32, random.shape


# --- the table ------------------------------------------------------------------------------------

_ANY = frozenset({"bool", "uint", "int", "float", "complex"})
_NUMBERS = _ANY - {"bool"}
_ORDERED = _ANY - {"complex"}
_REAL = frozenset({"uint", "int", "float"})
_INEXACT = frozenset({"float", "complex"})
_FLOATS = frozenset({"float"})
_BITS = frozenset({"bool", "uint", "int"})
_INTEGERS = frozenset({"uint", "int"})

RULES: dict[Op, Rule] = {
    Op.BUFFER: _numbered,
    Op.CONST: _const,
    Op.PARAMETER: _numbered,
    Op.IOTA: _iota,
    Op.RANDOM: _random,
    Op.NEG: _neg,
    Op.ABS: _abs,
    Op.NOT: _unary(_BITS),
    **dict.fromkeys(
        (
            Op.SQRT,
            Op.RECIPROCAL,
            Op.EXP,
            Op.EXP2,
            Op.EXPM1,
            Op.LOG,
            Op.LOG2,
            Op.LOG1P,
            Op.SIN,
            Op.COS,
            Op.TANH,
            Op.ATAN,
        ),
        _unary(_INEXACT),
    ),
    Op.ERF: _unary(_FLOATS),
    **dict.fromkeys((Op.FLOOR, Op.CEIL, Op.TRUNC, Op.ROUND), _unary(_REAL)),
    Op.CAST: _cast,
    Op.BITCAST: _bitcast,
    **dict.fromkeys((Op.ADD, Op.SUB, Op.MUL), _binary(_ANY)),
    Op.DIV: _binary(_INEXACT),
    **dict.fromkeys((Op.FLOORDIV, Op.MOD), _binary(_REAL)),
    Op.POW: _binary(_NUMBERS),
    **dict.fromkeys((Op.MAXIMUM, Op.MINIMUM), _binary(_ORDERED)),
    **dict.fromkeys((Op.EQ, Op.NE), _binary(_ANY, bool_)),
    **dict.fromkeys((Op.LT, Op.LE), _binary(_ORDERED, bool_)),
    **dict.fromkeys((Op.AND, Op.OR, Op.XOR), _binary(_BITS)),
    **dict.fromkeys((Op.SHL, Op.SHR), _binary(_INTEGERS)),
    Op.WHERE: _where,
    Op.COMPLEX: _complex,
    Op.REAL: _part,
    Op.IMAG: _part,
    Op.REDUCE: _reduce,
    Op.SCAN: _scan,
    Op.SCATTER_REDUCE: _scatter,
    Op.RESHAPE: _reshape,
    Op.PERMUTE: _permute,
    Op.EXPAND: _expand,
    Op.PAD: _pad,
    Op.SLICE: _slice,
    Op.FLIP: _flip,
    Op.GATHER: _gather,
    Op.UPDATE: _update,
    Op.SCATTER: _scatter,
}
