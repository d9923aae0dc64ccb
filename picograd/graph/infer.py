"""The dtype, shape and device of every op, and the errors of a wrong expression.

In: an op, its sources and its attribute. Out: `(DType, Shape, device)`. `node.make` calls `infer`
once for each new node; it is the only place where shapes and dtypes are checked, so its errors
are those that a user sees: torch's exception types, naming the shapes and dtypes.

One small rule per op stands in `RULES`.

>>> from picograd.dtypes import float32
>>> from picograd.graph.node import const, make
>>> from picograd.graph.ops import Op
>>> make(Op.LT, (const(1, float32, "cpu"), const(2, float32, "cpu"))).dtype
torch.bool
"""

from __future__ import annotations

from picograd.dtypes import DType, bool_, computable, uint32
from picograd.graph.checks import (
    Rule,
    Sources,
    attribute,
    check_arity,
    check_axes,
    check_combiner,
    describe,
    not_implemented,
    source_list,
)
from picograd.graph.infer_elementwise import (
    binary_rule,
    rule_abs,
    rule_bitcast,
    rule_cast,
    rule_complex,
    rule_neg,
    rule_part,
    rule_where,
    unary_rule,
)
from picograd.graph.infer_movement import (
    rule_concat,
    rule_expand,
    rule_flip,
    rule_gather,
    rule_pad,
    rule_permute,
    rule_reshape,
    rule_scatter,
    rule_slice,
    rule_update,
)
from picograd.graph.ops import (
    Attr,
    ConstAttr,
    IotaAttr,
    LeafAttr,
    Op,
    RandomAttr,
    ReduceAttr,
    ScanAttr,
    Shape,
)


def numbered(device: str) -> str:
    """The name that torch's users know a device by: a GPU has a number."""
    return "cuda:0" if device == "cuda" else device


def infer(op: Op, srcs: Sources, attr: Attr, device: str | None) -> tuple[DType, Shape, str]:
    """The dtype, shape and device of an expression; raises what torch raises if it is wrong."""
    for src in srcs:
        if device is None:
            device = src.device
        elif src.device != device:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, "
                f"{numbered(device)} and {numbered(src.device)}! "
                f"({describe(op)} of {source_list(srcs)})"
            )
    if device is None:
        raise TypeError(f"{describe(op)} has no source, so it needs a device")
    dtype, shape = RULES[op](op, srcs, attr)
    return dtype, shape, device


# --- reduce ---------------------------------------------------------------------------------------


def _reduce(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 1)
    (x,) = srcs
    reduction = attribute(op, attr, ReduceAttr)
    check_axes(op, reduction.axes, len(x.shape))
    check_combiner(op, reduction.combiner, x.dtype)
    axes = reduction.axes
    return x.dtype, tuple(n for axis, n in enumerate(x.shape) if axis not in axes)


def _scan(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 1)
    (x,) = srcs
    scan = attribute(op, attr, ScanAttr)
    check_axes(op, (scan.axis,), len(x.shape))
    check_combiner(op, scan.combiner, x.dtype)
    return x.dtype, x.shape


# --- leaves ---------------------------------------------------------------------------------------


def _const(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 0)
    return computable(attribute(op, attr, ConstAttr).dtype), ()


def _numbered(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 0)
    leaf = attribute(op, attr, LeafAttr)
    if op is Op.PARAMETER and leaf.shape:
        raise RuntimeError(f"a parameter is a single number, not a tensor of shape {leaf.shape}")
    return computable(leaf.dtype), leaf.shape


def _iota(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 0)
    iota = attribute(op, attr, IotaAttr)
    if not iota.dtype.is_integer:
        raise not_implemented(op, iota.dtype)
    if iota.extent < 0:
        raise RuntimeError(f"iota of the negative extent {iota.extent}")
    return iota.dtype, (iota.extent,)


def _random(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 0)
    random = attribute(op, attr, RandomAttr)
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
    Op.NEG: rule_neg,
    Op.ABS: rule_abs,
    Op.NOT: unary_rule(_BITS),
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
        unary_rule(_INEXACT),
    ),
    Op.ERF: unary_rule(_FLOATS),
    **dict.fromkeys((Op.FLOOR, Op.CEIL, Op.TRUNC, Op.ROUND), unary_rule(_REAL)),
    Op.CAST: rule_cast,
    Op.BITCAST: rule_bitcast,
    **dict.fromkeys((Op.ADD, Op.SUB, Op.MUL), binary_rule(_ANY)),
    Op.DIV: binary_rule(_INEXACT),
    **dict.fromkeys((Op.FLOORDIV, Op.MOD), binary_rule(_REAL)),
    Op.POW: binary_rule(_NUMBERS),
    **dict.fromkeys((Op.MAXIMUM, Op.MINIMUM), binary_rule(_ORDERED)),
    **dict.fromkeys((Op.EQ, Op.NE), binary_rule(_ANY, bool_)),
    **dict.fromkeys((Op.LT, Op.LE), binary_rule(_ORDERED, bool_)),
    **dict.fromkeys((Op.AND, Op.OR, Op.XOR), binary_rule(_BITS)),
    **dict.fromkeys((Op.SHL, Op.SHR), binary_rule(_INTEGERS)),
    Op.WHERE: rule_where,
    Op.COMPLEX: rule_complex,
    Op.REAL: rule_part,
    Op.IMAG: rule_part,
    Op.REDUCE: _reduce,
    Op.SCAN: _scan,
    Op.SCATTER_REDUCE: rule_scatter,
    Op.RESHAPE: rule_reshape,
    Op.PERMUTE: rule_permute,
    Op.EXPAND: rule_expand,
    Op.PAD: rule_pad,
    Op.SLICE: rule_slice,
    Op.FLIP: rule_flip,
    Op.GATHER: rule_gather,
    Op.UPDATE: rule_update,
    Op.CONCAT: rule_concat,
    Op.SCATTER: rule_scatter,
}
