"""One row per op: what the tape saves of it, and how a gradient goes back through it.

In: nothing. Out: `tape.RECORDERS`, filled at import, and `NOT_DIFFERENTIABLE`. The reduce and
movement families are in `derivatives_structure.py`. A rule takes the
tape node and the gradient of its output and returns the gradients of its inputs, written with
recorded primitives, so that derivatives of derivatives come by themselves. A test fails when an op
is neither in the table nor in `NOT_DIFFERENTIABLE`.

>>> tape.RECORDERS[Op.MUL].saves
(0, 1)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

from picograd.frontend import primitives, tape
from picograd.frontend.primitives import elementwise
from picograd.frontend.tape import Gradients, PrimitiveGrad
from picograd.frontend.tensor import Tensor
from picograd.graph.ops import COMPARISONS, LEAVES, Combiner, Op

Rule = Callable[[PrimitiveGrad, Tensor], Gradients]

# Ops whose result doesn't depend on its inputs in a way that has a derivative.
NOT_DIFFERENTIABLE = (
    LEAVES | COMPARISONS | {Op.NOT, Op.AND, Op.OR, Op.XOR, Op.SHL, Op.SHR, Op.BITCAST}
)


# The ops of which torch's formula saves what ours saves: writes to that are noticed.
VERSIONED = frozenset(
    {
        Op.ABS, Op.SQRT, Op.EXP, Op.EXP2, Op.EXPM1, Op.LOG, Op.LOG2, Op.LOG1P, Op.SIN, Op.COS,
        Op.TANH, Op.ATAN, Op.ERF, Op.MUL, Op.DIV, Op.POW,
    }
)  # fmt: skip


def derivative(
    op: Op,
    combiner: Combiner | None = None,
    *,
    saves: tuple[int, ...] = (),
    tail: int | None = None,
    result: bool = False,
    name: str | None = None,
) -> Callable[[Rule], Rule]:
    """Register the rule of an op (of one combiner, for reduces).

    It saves the inputs `saves`, those from `tail` on, and the result if `result` says so.
    """

    def register(rule: Rule) -> Rule:
        title = name or f"{op.name.capitalize()}Backward0"
        # `a / b` needs a and b for b's gradient, and b for a's.
        watches = tuple(n for n in saves if op is not Op.POW or n == 0)
        members = {
            "__slots__": (),
            "watches": watches if op in VERSIONED else (),
            "watches_result": result and op in VERSIONED and op is not Op.POW,
            "op": op,
            "saves": saves,
            "tail": tail,
            "saves_result": result,
            "rule": staticmethod(rule),
        }
        key = op if combiner is None else (op, combiner)
        tape.RECORDERS[key] = cast("type[PrimitiveGrad]", type(title, (PrimitiveGrad,), members))
        return rule

    return register


# --- small vocabulary ---------------------------------------------------------------------------


def number(value: float, like: Tensor) -> Tensor:
    """A constant of the shape, dtype and device of a tensor."""
    return primitives.constant(value, like.dtype, like._storage.node.device, like._shape)


def add(a: Tensor, b: Tensor) -> Tensor:
    return elementwise(Op.ADD, a, b)


def sub(a: Tensor, b: Tensor) -> Tensor:
    return elementwise(Op.SUB, a, b)


def mul(a: Tensor, b: Tensor) -> Tensor:
    return elementwise(Op.MUL, a, b)


def div(a: Tensor, b: Tensor) -> Tensor:
    return elementwise(Op.DIV, a, b)


def neg(a: Tensor) -> Tensor:
    return elementwise(Op.NEG, a)


def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return elementwise(Op.WHERE, condition, a, b)


def conj(a: Tensor) -> Tensor:
    """The complex conjugate; `a` itself if it is real."""
    if not a.dtype.is_complex:
        return a
    return elementwise(Op.COMPLEX, elementwise(Op.REAL, a), neg(elementwise(Op.IMAG, a)))


def zero_like(a: Tensor) -> Tensor:
    return number(0, a)


# --- elementwise: unary -------------------------------------------------------------------------


@derivative(Op.NEG)
def _neg(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (neg(grad),)


@derivative(Op.ABS, saves=(0,))
def _abs(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    x = ctx.source(0)
    if x.dtype.is_complex:
        raise NotImplementedError("the derivative of abs of a complex tensor isn't supported yet")
    zero = zero_like(x)
    down = where(elementwise(Op.LT, x, zero), neg(grad), zero)
    return (where(elementwise(Op.LT, zero, x), grad, down),)


@derivative(Op.SQRT, result=True)
def _sqrt(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    root = conj(ctx.result)
    return (div(grad, mul(number(2, root), root)),)


@derivative(Op.RECIPROCAL, result=True)
def _reciprocal(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    inverse = conj(ctx.result)
    return (neg(mul(grad, mul(inverse, inverse))),)


@derivative(Op.EXP, result=True)
def _exp(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (mul(grad, conj(ctx.result)),)


@derivative(Op.EXP2, result=True)
def _exp2(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    result = conj(ctx.result)
    return (mul(mul(grad, result), number(math.log(2), result)),)


@derivative(Op.EXPM1, result=True)
def _expm1(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    result = conj(ctx.result)
    return (mul(grad, add(result, number(1, result))),)


@derivative(Op.LOG, saves=(0,))
def _log(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (div(grad, conj(ctx.source(0))),)


@derivative(Op.LOG2, saves=(0,))
def _log2(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    x = conj(ctx.source(0))
    return (div(grad, mul(x, number(math.log(2), x))),)


@derivative(Op.LOG1P, saves=(0,), name="Log1PBackward0")
def _log1p(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    x = conj(ctx.source(0))
    return (div(grad, add(x, number(1, x))),)


@derivative(Op.SIN, saves=(0,))
def _sin(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (mul(grad, conj(elementwise(Op.COS, ctx.source(0)))),)


@derivative(Op.COS, saves=(0,))
def _cos(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (mul(grad, neg(conj(elementwise(Op.SIN, ctx.source(0))))),)


@derivative(Op.TANH, result=True)
def _tanh(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    result = conj(ctx.result)
    return (mul(grad, sub(number(1, result), mul(result, result))),)


@derivative(Op.ATAN, saves=(0,))
def _atan(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    x = conj(ctx.source(0))
    return (div(grad, add(mul(x, x), number(1, x))),)


@derivative(Op.ERF, saves=(0,))
def _erf(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    x = ctx.source(0)
    bell = elementwise(Op.EXP, neg(mul(x, x)))
    return (mul(mul(bell, number(2 / math.sqrt(math.pi), x)), grad),)


def _flat(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    """Steps: the derivative is 0 wherever there is one."""
    return (zero_like(grad),)


for _op in (Op.FLOOR, Op.CEIL, Op.TRUNC, Op.ROUND):
    derivative(_op)(_flat)


@derivative(Op.CAST, name="ToCopyBackward0")
def _cast(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (primitives.cast(grad, ctx.source_dtype),)


# --- elementwise: binary and ternary ------------------------------------------------------------


@derivative(Op.ADD)
def _add(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (grad, grad)


@derivative(Op.SUB)
def _sub(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (grad, neg(grad) if ctx.needs(1) else None)


@derivative(Op.MUL, saves=(0, 1))
def _mul(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (
        mul(grad, conj(ctx.source(1))) if ctx.needs(0) else None,
        mul(grad, conj(ctx.source(0))) if ctx.needs(1) else None,
    )


@derivative(Op.DIV, saves=(0, 1))
def _div(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    a, b = ctx.source(0), conj(ctx.source(1))
    over = div(grad, b)
    second = neg(mul(over, div(conj(a), b))) if ctx.needs(1) else None
    return (over if ctx.needs(0) else None, second)


@derivative(Op.FLOORDIV)
def _floordiv(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (
        zero_like(grad) if ctx.needs(0) else None,
        zero_like(grad) if ctx.needs(1) else None,
    )


@derivative(Op.MOD, saves=(0, 1), name="RemainderBackward0")
def _mod(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    if not ctx.needs(1):
        return (grad, None)
    quotient = elementwise(Op.FLOORDIV, ctx.source(0), ctx.source(1))
    return (grad, neg(mul(grad, quotient)))


@derivative(Op.POW, saves=(0, 1), result=True)
def _pow(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    base, exponent = ctx.source(0), ctx.source(1)
    zero, one = zero_like(base), number(1, base)
    first = second = None
    if ctx.needs(0):
        slope = mul(exponent, elementwise(Op.POW, base, sub(exponent, one)))
        slope = where(elementwise(Op.EQ, exponent, zero), zero, slope)
        first = mul(grad, conj(slope))
    if ctx.needs(1):
        slope = mul(ctx.result, elementwise(Op.LOG, base))
        at_zero = elementwise(Op.EQ, base, zero)
        if not base.dtype.is_complex:
            grows = elementwise(Op.LE, zero, exponent)
            at_zero = elementwise(Op.AND, at_zero, grows)
        second = mul(grad, conj(where(at_zero, zero, slope)))
    return (first, second)


def _extreme(wins: Op) -> Rule:
    """MAXIMUM and MINIMUM: the winner takes the gradient; equals share it."""

    def rule(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
        a, b = ctx.source(0), ctx.source(1)
        shared = where(elementwise(Op.EQ, a, b), div(grad, number(2, grad)), grad)
        zero = zero_like(grad)
        lose_a = elementwise(Op.LT, a, b) if wins is Op.MAXIMUM else elementwise(Op.LT, b, a)
        lose_b = elementwise(Op.LT, b, a) if wins is Op.MAXIMUM else elementwise(Op.LT, a, b)
        return (
            where(lose_a, zero, shared) if ctx.needs(0) else None,
            where(lose_b, zero, shared) if ctx.needs(1) else None,
        )

    return rule


derivative(Op.MAXIMUM, saves=(0, 1))(_extreme(Op.MAXIMUM))
derivative(Op.MINIMUM, saves=(0, 1))(_extreme(Op.MINIMUM))


@derivative(Op.WHERE, saves=(0,))
def _where(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    condition, zero = ctx.source(0), zero_like(grad)
    return (
        None,
        where(condition, grad, zero) if ctx.needs(1) else None,
        where(condition, zero, grad) if ctx.needs(2) else None,
    )


# --- elementwise: complex numbers ---------------------------------------------------------------


@derivative(Op.COMPLEX)
def _complex(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (elementwise(Op.REAL, grad), elementwise(Op.IMAG, grad))


@derivative(Op.REAL)
def _real(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (elementwise(Op.COMPLEX, grad, zero_like(grad)),)


@derivative(Op.IMAG)
def _imag(ctx: PrimitiveGrad, grad: Tensor) -> Gradients:
    return (elementwise(Op.COMPLEX, zero_like(grad), grad),)
