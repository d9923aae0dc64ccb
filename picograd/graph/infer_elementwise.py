"""Shape and dtype rules of the elementwise ops.

In: op, sources, attribute. Out: `(DType, Shape)`. `infer.RULES` lists the rules by op.

>>> from picograd.dtypes import float32
>>> from picograd.graph.node import const, make
>>> make(Op.LT, (const(1, float32, "cpu"), const(2, float32, "cpu"))).dtype
torch.bool
"""

from __future__ import annotations

from picograd.dtypes import (
    DType,
    complex64,
    complex128,
    computable,
    float32,
    float64,
    real_of,
)
from picograd.graph.checks import (
    TORCH_NAMES,
    Rule,
    Sources,
    attribute,
    check_arity,
    check_same_dtype,
    check_same_shape,
    describe,
    not_implemented,
)
from picograd.graph.ops import Attr, CastAttr, Op, Shape


def unary_rule(kinds: frozenset[str]) -> Rule:
    """A function of one number that keeps the dtype; `kinds` are the dtype kinds it accepts."""

    def rule(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
        if len(srcs) != 1:
            check_arity(op, srcs, 1)
        (x,) = srcs
        if x.dtype.kind not in kinds:
            raise not_implemented(op, x.dtype)
        return x.dtype, x.shape

    return rule


def binary_rule(kinds: frozenset[str], result: DType | None = None) -> Rule:
    """A function of two numbers of one dtype and shape, which gives `result` or that dtype."""

    def rule(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
        if len(srcs) != 2:
            check_arity(op, srcs, 2)
        x, y = srcs
        if x.shape != y.shape:
            check_same_shape(op, x, y)
        if x.dtype is not y.dtype:
            check_same_dtype(op, x, y)
        if x.dtype.kind not in kinds:
            raise not_implemented(op, x.dtype)
        return result or x.dtype, x.shape

    return rule


def rule_neg(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 1)
    if srcs[0].dtype.is_bool:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
            "invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return srcs[0].dtype, srcs[0].shape


def rule_abs(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 1)
    return real_of(srcs[0].dtype), srcs[0].shape


def rule_cast(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 1)
    return computable(attribute(op, attr, CastAttr).dtype), srcs[0].shape


def rule_bitcast(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 1)
    dtype = computable(attribute(op, attr, CastAttr).dtype)
    if dtype.itemsize != srcs[0].dtype.itemsize:
        raise RuntimeError(
            f"can't take the bits of {srcs[0].dtype.name} ({srcs[0].dtype.itemsize} bytes) as "
            f"{dtype.name} ({dtype.itemsize} bytes): the sizes of the elements differ"
        )
    return dtype, srcs[0].shape


def rule_where(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 3)
    condition, a, b = srcs
    if not condition.dtype.is_bool:
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{TORCH_NAMES[condition.dtype.name]}"
        )
    check_same_shape(op, condition, a)
    check_same_shape(op, a, b)
    check_same_dtype(op, a, b)
    return a.dtype, a.shape


def rule_complex(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 2)
    real, imaginary = srcs
    check_same_shape(op, real, imaginary)
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


def rule_part(op: Op, srcs: Sources, attr: Attr) -> tuple[DType, Shape]:
    check_arity(op, srcs, 1)
    if not srcs[0].dtype.is_complex:
        raise RuntimeError(
            f"{describe(op)} is not implemented for tensors with non-complex dtypes, got "
            f"{srcs[0].dtype.name}"
        )
    return real_of(srcs[0].dtype), srcs[0].shape
