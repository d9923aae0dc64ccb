"""Arithmetic of complex numbers written with real nodes.

In: pairs of real nodes (one shape, one dtype). Out: pairs, or real nodes for questions such as
`absolute`. Called by `complex.split_complex`, which finds the function of an op here.

>>> from picograd.dtypes import float32
>>> i = Pair(const(0.0, float32, "cpu"), const(1.0, float32, "cpu"))
>>> from picograd.graph.interpret import interpret
>>> [part.item() for part in interpret(multiply(i, i))]
[-1.0, 0.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from picograd.graph.build import full_like
from picograd.graph.node import Node, const, make
from picograd.graph.ops import Op


class Pair(NamedTuple):
    """The real and the imaginary part of a complex value."""

    real: Node
    imag: Node


def _op(op: Op) -> Callable[..., Node]:
    return lambda *srcs: make(op, srcs)


_add, _sub, _mul, _div = _op(Op.ADD), _op(Op.SUB), _op(Op.MUL), _op(Op.DIV)
_neg, _abs, _where = _op(Op.NEG), _op(Op.ABS), _op(Op.WHERE)
_eq, _ne, _lt, _le = _op(Op.EQ), _op(Op.NE), _op(Op.LT), _op(Op.LE)
_and, _or, _xor = _op(Op.AND), _op(Op.OR), _op(Op.XOR)


def _is_negative(x: Node) -> Node:
    """True for x < 0 and for -0."""
    zero = full_like(0, x)
    return _or(_lt(x, zero), _lt(make(Op.RECIPROCAL, (x,)), zero))


def _with_sign(magnitude: Node, sign: Node) -> Node:
    return _where(_xor(_is_negative(magnitude), _is_negative(sign)), _neg(magnitude), magnitude)


# --- arithmetic -----------------------------------------------------------------------------------


def add(x: Pair, y: Pair) -> Pair:
    return Pair(_add(x.real, y.real), _add(x.imag, y.imag))


def subtract(x: Pair, y: Pair) -> Pair:
    return Pair(_sub(x.real, y.real), _sub(x.imag, y.imag))


def negate(x: Pair) -> Pair:
    return Pair(_neg(x.real), _neg(x.imag))


def multiply(x: Pair, y: Pair) -> Pair:
    real = _sub(_mul(x.real, y.real), _mul(x.imag, y.imag))
    return Pair(real, _add(_mul(x.real, y.imag), _mul(x.imag, y.real)))


def divide(x: Pair, y: Pair) -> Pair:
    """Smith's division, which squares nothing and so overflows late."""
    a, b = x
    by_real = _le(_abs(y.imag), _abs(y.real))
    large, small = _where(by_real, *y), _where(by_real, y.imag, y.real)
    zero = full_like(0, large)
    ratio = _div(small, large)
    scale = make(Op.RECIPROCAL, (_add(large, _mul(small, ratio)),))
    real = _where(by_real, _add(a, _mul(b, ratio)), _add(_mul(a, ratio), b))
    imag = _where(by_real, _sub(b, _mul(a, ratio)), _sub(_mul(b, ratio), a))
    nothing, size = _eq(large, zero), _abs(y.real)
    return Pair(
        _where(nothing, _div(a, size), _mul(real, scale)),
        _where(nothing, _div(b, size), _mul(imag, scale)),
    )


def reciprocal(x: Pair) -> Pair:
    return divide(Pair(full_like(1, x.real), full_like(0, x.real)), x)


def equal(x: Pair, y: Pair) -> Node:
    return _and(_eq(x.real, y.real), _eq(x.imag, y.imag))


def not_equal(x: Pair, y: Pair) -> Node:
    return _or(_ne(x.real, y.real), _ne(x.imag, y.imag))


def absolute(x: Pair) -> Node:
    """hypot: scaled by the larger part, and infinite if either part is."""
    a, b = _abs(x.real), _abs(x.imag)
    large, small = make(Op.MAXIMUM, (a, b)), make(Op.MINIMUM, (a, b))
    zero, infinity = full_like(0, large), full_like(math.inf, large)
    ratio = _div(small, large)
    scaled = _mul(large, make(Op.SQRT, (_add(full_like(1, large), _mul(ratio, ratio)),)))
    scaled = _where(_eq(large, zero), zero, scaled)
    return _where(_or(_eq(a, infinity), _eq(b, infinity)), infinity, scaled)


# --- functions ------------------------------------------------------------------------------------


def exponential(x: Pair) -> Pair:
    size = make(Op.EXP, (x.real,))
    imag = _mul(size, make(Op.SIN, (x.imag,)))
    on_axis = _eq(x.imag, full_like(0, x.imag))
    return Pair(
        _where(on_axis, size, _mul(size, make(Op.COS, (x.imag,)))),
        _where(on_axis, x.imag, imag),
    )


def angle(x: Pair) -> Node:
    """atan2(imag, real), by the arc tangent of a ratio of at most 1."""
    a, b = _abs(x.real), _abs(x.imag)
    steep = _lt(a, b)
    large, small = _where(steep, b, a), _where(steep, a, b)
    ratio = _where(_eq(small, large), full_like(1, a), _div(small, large))
    ratio = _where(_eq(large, full_like(0, a)), full_like(0, a), ratio)
    turn = make(Op.ATAN, (ratio,))
    turn = _where(steep, _sub(full_like(math.pi / 2, turn), turn), turn)
    turn = _where(_is_negative(x.real), _sub(full_like(math.pi, turn), turn), turn)
    return _with_sign(turn, x.imag)


def logarithm(x: Pair) -> Pair:
    return Pair(make(Op.LOG, (absolute(x),)), angle(x))


def _scaled(x: Pair, factor: float) -> Pair:
    return Pair(*(_mul(part, full_like(factor, part)) for part in x))


def logarithm2(x: Pair) -> Pair:
    return _scaled(logarithm(x), 1 / math.log(2))


def exponential2(x: Pair) -> Pair:
    return exponential(_scaled(x, math.log(2)))


def square_root(x: Pair) -> Pair:
    """The root with a real part that is not negative."""
    half, zero = full_like(0.5, x.real), full_like(0, x.real)
    first = make(Op.SQRT, (_mul(half, _add(absolute(x), _abs(x.real))),))
    second = _where(_eq(first, zero), zero, _div(_mul(half, _abs(x.imag)), first))
    left = _lt(x.real, zero)
    return Pair(
        _where(left, second, first),
        _with_sign(_where(left, first, second), x.imag),
    )


def _hyperbolic(x: Node) -> tuple[Node, Node]:
    """(cosh, sinh) of a real node, accurate near 0."""
    one, half = full_like(1, x), full_like(0.5, x)
    growth = make(Op.EXPM1, (_abs(x),))
    infinite = _eq(growth, full_like(math.inf, x))
    inverse = _where(infinite, one, _div(growth, _add(growth, one)))
    sinh = _mul(half, _add(growth, inverse))
    grown = _add(growth, one)
    cosh = _mul(half, _add(grown, make(Op.RECIPROCAL, (grown,))))
    return cosh, _with_sign(sinh, x)


def sine(x: Pair) -> Pair:
    cosh, sinh = _hyperbolic(x.imag)
    return Pair(_mul(make(Op.SIN, (x.real,)), cosh), _mul(make(Op.COS, (x.real,)), sinh))


def cosine(x: Pair) -> Pair:
    cosh, sinh = _hyperbolic(x.imag)
    return Pair(_mul(make(Op.COS, (x.real,)), cosh), _neg(_mul(make(Op.SIN, (x.real,)), sinh)))


def exponential_minus_one(x: Pair) -> Pair:
    """exp(x) - 1 without cancellation: expm1(a) cos(b) - 2 sin(b / 2)^2 in the real part."""
    half = make(Op.SIN, (_mul(x.imag, full_like(0.5, x.imag)),))
    twice = _mul(full_like(2, half), _mul(half, half))
    growth = make(Op.EXPM1, (x.real,))
    on_axis = _eq(x.imag, full_like(0, x.imag))
    real = _sub(_mul(growth, make(Op.COS, (x.imag,))), twice)
    return Pair(_where(on_axis, growth, real), exponential(x).imag)


def logarithm_of_one_plus(x: Pair) -> Pair:
    """log(1 + x); near 0 half of log1p(|1 + x|^2 - 1)."""
    moved = Pair(_add(x.real, full_like(1, x.real)), x.imag)
    half, two = full_like(0.5, x.real), full_like(2, x.real)
    near = _and(_lt(_abs(x.real), half), _lt(_abs(x.imag), half))
    excess = _add(_mul(x.real, _add(x.real, two)), _mul(x.imag, x.imag))
    small = _mul(half, make(Op.LOG1P, (excess,)))
    return Pair(_where(near, small, make(Op.LOG, (absolute(moved),))), angle(moved))


def hyperbolic_tangent(x: Pair) -> Pair:
    """Kahan's form in sinh(a) and tan(b); far out 1 and what is left of the imaginary part."""
    a, b = x
    one = full_like(1, a)
    _, sinh = _hyperbolic(a)
    sin, cos = make(Op.SIN, (b,)), make(Op.COS, (b,))
    tangent = _div(sin, cos)
    beta = _add(one, _mul(tangent, tangent))
    squared = _mul(sinh, sinh)
    below = _add(one, _mul(beta, squared))
    near = make(Op.SQRT, (_add(one, squared),))
    real = _div(_mul(_mul(beta, near), sinh), below)
    far = _lt(full_like(20 if a.dtype.itemsize == 8 else 10, a), _abs(a))
    decay = make(Op.EXP, (_mul(full_like(-2, a), _abs(a)),))
    rest = _mul(_mul(full_like(4, a), _mul(sin, cos)), decay)
    return Pair(
        _where(far, _with_sign(one, a), real),
        _where(far, rest, _div(tangent, below)),
    )


def arc_tangent(x: Pair) -> Pair:
    """(atan2(2a, 1 - a^2 - b^2) / 2, log1p(4|b| / (a^2 + (1 - |b|)^2)) / 4 with b's sign)."""
    # Beyond the limit nothing changes; the squares stay finite.
    limit = full_like(1e15, x.real)
    a, b = (make(Op.MAXIMUM, (make(Op.MINIMUM, (part, limit)), _neg(limit))) for part in x)
    one, size = full_like(1, a), _abs(b)
    inside = _sub(_mul(_sub(one, size), _add(one, size)), _mul(a, a))
    turn = angle(Pair(inside, _mul(full_like(2, a), a)))
    away = _sub(one, size)
    ratio = _div(_mul(full_like(4, a), size), _add(_mul(a, a), _mul(away, away)))
    growth = _mul(full_like(0.25, a), make(Op.LOG1P, (ratio,)))
    return Pair(_mul(full_like(0.5, a), turn), _with_sign(growth, b))


def power(x: Pair, y: Pair) -> Pair:
    """exp(y * log(x)); a base of 0 gives 1 for the exponent 0, else 0."""
    zero, one = full_like(0, x.real), full_like(1, x.real)
    general = exponential(multiply(y, logarithm(x)))
    nothing = _and(_eq(x.real, zero), _eq(x.imag, zero))
    flat = _and(_eq(y.real, zero), _eq(y.imag, zero))
    real = _where(nothing, _where(flat, one, zero), general.real)
    return Pair(real, _where(nothing, zero, general.imag))


UNARY: dict[Op, Callable[[Pair], Pair]] = {
    Op.NEG: negate,
    Op.RECIPROCAL: reciprocal,
    Op.SQRT: square_root,
    Op.EXP: exponential,
    Op.EXP2: exponential2,
    Op.LOG: logarithm,
    Op.LOG2: logarithm2,
    Op.SIN: sine,
    Op.COS: cosine,
    Op.EXPM1: exponential_minus_one,
    Op.LOG1P: logarithm_of_one_plus,
    Op.TANH: hyperbolic_tangent,
    Op.ATAN: arc_tangent,
}
BINARY: dict[Op, Callable[[Pair, Pair], Pair]] = {
    Op.ADD: add,
    Op.SUB: subtract,
    Op.MUL: multiply,
    Op.DIV: divide,
    Op.POW: power,
}
TO_REAL: dict[Op, Callable[..., Node]] = {
    Op.ABS: absolute,
    Op.EQ: equal,
    Op.NE: not_equal,
    Op.REAL: lambda x: x.real,
    Op.IMAG: lambda x: x.imag,
}


def constant_pair(value: complex, like: Node) -> Pair:
    """A complex number as a pair of 0-d constants with the dtype of the parts."""
    return Pair(
        const(value.real, like.dtype, like.device), const(value.imag, like.dtype, like.device)
    )
