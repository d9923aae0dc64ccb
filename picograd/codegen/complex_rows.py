"""The ops of complex numbers, in real loop IR values.

In: pairs of real values (real and imaginary part). Out: pairs, or real values. Called by
`passes/split_complex.py`; `Parts` makes the values.

>>> from picograd.dtypes import float32
>>> on = Parts(float32, 1)
>>> real, imaginary = negate(on, (on.number(1.0), on.zero))
>>> isinstance(real, Alu) and real.op is Op.NEG
True
"""

from __future__ import annotations

import math
from collections.abc import Callable

from picograd.codegen.loops import Alu, Broadcast, Literal, Value
from picograd.dtypes import DType, bool_, float64
from picograd.graph.ops import Op

Pair = tuple[Value, Value]


class Parts:
    """Makes real values of one dtype and number of lanes."""

    def __init__(self, dtype: DType, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        self.zero = self.number(0.0)

    def number(self, value: float) -> Value:
        literal = Literal.of(value, self.dtype)
        return literal if self.lanes == 1 else Broadcast(literal, self.lanes)

    def __call__(self, op: Op, *args: Value, dtype: DType | None = None) -> Value:
        return Alu(op, args, dtype or self.dtype, self.lanes)


# --- arithmetic on pairs --------------------------------------------------------------------------


def add(on: Parts, x: Pair, y: Pair) -> Pair:
    return on(Op.ADD, x[0], y[0]), on(Op.ADD, x[1], y[1])


def subtract(on: Parts, x: Pair, y: Pair) -> Pair:
    return on(Op.SUB, x[0], y[0]), on(Op.SUB, x[1], y[1])


def negate(on: Parts, x: Pair) -> Pair:
    return on(Op.NEG, x[0]), on(Op.NEG, x[1])


def multiply(on: Parts, x: Pair, y: Pair) -> Pair:
    (a, b), (c, d) = x, y
    real = on(Op.SUB, on(Op.MUL, a, c), on(Op.MUL, b, d))
    return real, on(Op.ADD, on(Op.MUL, a, d), on(Op.MUL, b, c))


def divide(on: Parts, x: Pair, y: Pair) -> Pair:
    """Smith's division: by the larger part of the divisor first, so that squares never overflow."""
    (a, b), (c, d) = x, y
    wide = on(Op.LE, on(Op.ABS, d), on(Op.ABS, c), dtype=bool_)
    large, small = on(Op.WHERE, wide, c, d), on(Op.WHERE, wide, d, c)
    none = on(Op.EQ, large, on.zero, dtype=bool_)  # 0 / 0 in the ratio would spoil a / 0
    ratio = on(Op.WHERE, none, on.zero, on(Op.DIV, small, large))
    scale = on(Op.ADD, large, on(Op.MUL, small, ratio))
    p, q = on(Op.WHERE, wide, a, b), on(Op.WHERE, wide, b, a)
    real = on(Op.DIV, on(Op.ADD, p, on(Op.MUL, q, ratio)), scale)
    difference = on(Op.SUB, q, on(Op.MUL, p, ratio))
    difference = on(Op.WHERE, wide, difference, on(Op.NEG, difference))
    return real, on(Op.DIV, difference, scale)


def modulus(on: Parts, x: Pair) -> Value:
    """sqrt(re**2 + im**2) scaled by the larger part; infinite when either part is."""
    a, b = on(Op.ABS, x[0]), on(Op.ABS, x[1])
    if on.dtype is not float64:  # squares of float32 fit into float64
        wide = Parts(float64, on.lanes)
        a, b = wide(Op.CAST, a), wide(Op.CAST, b)
        squares = wide(Op.ADD, wide(Op.MUL, a, a), wide(Op.MUL, b, b))
        found = on(Op.CAST, wide(Op.SQRT, squares))
    else:
        large, small = on(Op.MAXIMUM, a, b), on(Op.MINIMUM, a, b)
        none = on(Op.EQ, large, on.zero, dtype=bool_)
        ratio = on(Op.WHERE, none, on.zero, on(Op.DIV, small, large))
        root = on(Op.SQRT, on(Op.ADD, on.number(1.0), on(Op.MUL, ratio, ratio)))
        found = on(Op.MUL, large, root)
    infinity = on.number(float("inf"))
    for part in x:
        infinite = on(Op.EQ, on(Op.ABS, part), infinity, dtype=bool_)
        found = on(Op.WHERE, infinite, infinity, found)
    return found


def exponential(on: Parts, x: Pair) -> Pair:
    """exp(a) * (cos b, sin b); of a real number a real one, even where exp(a) is infinite."""
    size = on(Op.EXP, x[0])
    flat = on(Op.EQ, x[1], on.zero, dtype=bool_)
    imaginary = on(Op.MUL, size, on(Op.SIN, x[1]))
    return on(Op.MUL, size, on(Op.COS, x[1])), on(Op.WHERE, flat, x[1], imaginary)


def scale(on: Parts, x: Pair, factor: Value) -> Pair:
    return on(Op.MUL, x[0], factor), on(Op.MUL, x[1], factor)


def is_negative(on: Parts, x: Value) -> Value:
    """The sign bit, of zeros too."""
    inverse = on(Op.DIV, on.number(1.0), x)
    zero = on(Op.EQ, x, on.zero, dtype=bool_)
    return on(Op.LT, on(Op.WHERE, zero, inverse, x), on.zero, dtype=bool_)


def with_sign(on: Parts, size: Value, sign: Value) -> Value:
    return on(Op.WHERE, is_negative(on, sign), on(Op.NEG, size), size)


def angle(on: Parts, x: Pair) -> Value:
    """atan2(im, re): the arctangent of the smaller part over the larger, then the octant."""
    a, b = on(Op.ABS, x[0]), on(Op.ABS, x[1])
    flat = on(Op.LE, b, a, dtype=bool_)
    small, large = on(Op.WHERE, flat, b, a), on(Op.WHERE, flat, a, b)
    same = on(Op.EQ, small, large, dtype=bool_)  # 0/0 and inf/inf
    none = on(Op.EQ, large, on.zero, dtype=bool_)
    ratio = on(Op.WHERE, same, on.number(1.0), on(Op.DIV, small, large))
    turn = on(Op.ATAN, on(Op.WHERE, none, on.zero, ratio))
    turn = on(Op.WHERE, flat, turn, on(Op.SUB, on.number(math.pi / 2), turn))
    back = is_negative(on, x[0])
    turn = on(Op.WHERE, back, on(Op.SUB, on.number(math.pi), turn), turn)
    return with_sign(on, turn, x[1])


def logarithm(on: Parts, x: Pair) -> Pair:
    return on(Op.LOG, modulus(on, x)), angle(on, x)


def square_root(on: Parts, x: Pair) -> Pair:
    """The root with a real part that is not negative."""
    half = on.number(0.5)
    size = on(Op.MUL, half, on(Op.ABS, x[0]))
    root = on(Op.SQRT, on(Op.ADD, size, on(Op.MUL, half, modulus(on, x))))
    none = on(Op.EQ, root, on.zero, dtype=bool_)
    other = on(Op.DIV, on(Op.MUL, half, on(Op.ABS, x[1])), root)
    other = on(Op.WHERE, none, on.zero, other)
    right = on(Op.LE, on.zero, x[0], dtype=bool_)
    imaginary = on(Op.WHERE, right, other, root)
    return on(Op.WHERE, right, root, other), with_sign(on, imaginary, x[1])


def hyperbolic(on: Parts, x: Value) -> Pair:
    """(cosh x, sinh x), the latter from expm1 |x|, which keeps small numbers exact."""
    half, one, size = on.number(0.5), on.number(1.0), on(Op.ABS, x)
    grown = on(Op.EXP, size)
    cosh = on(Op.MUL, half, on(Op.ADD, grown, on(Op.DIV, one, grown)))
    more = on(Op.EXPM1, size)
    infinite = on(Op.EQ, more, on.number(math.inf), dtype=bool_)
    rest = on(Op.WHERE, infinite, one, on(Op.DIV, more, on(Op.ADD, more, one)))
    return cosh, with_sign(on, on(Op.MUL, half, on(Op.ADD, more, rest)), x)


def sine(on: Parts, x: Pair) -> Pair:
    cosh, sinh = hyperbolic(on, x[1])
    return on(Op.MUL, on(Op.SIN, x[0]), cosh), on(Op.MUL, on(Op.COS, x[0]), sinh)


def cosine(on: Parts, x: Pair) -> Pair:
    cosh, sinh = hyperbolic(on, x[1])
    imaginary = on(Op.MUL, on(Op.SIN, x[0]), sinh)
    return on(Op.MUL, on(Op.COS, x[0]), cosh), on(Op.NEG, imaginary)


def tangent(on: Parts, x: Pair) -> Pair:
    """tanh(a + ib) = (t (1 + s^2) + i s (1 - t^2)) / (1 + (t s)^2), with t = tanh a, s = tan b."""
    t, one = on(Op.TANH, x[0]), on.number(1.0)
    s = on(Op.DIV, on(Op.SIN, x[1]), on(Op.COS, x[1]))
    product = on(Op.MUL, t, s)
    below = on(Op.ADD, one, on(Op.MUL, product, product))
    real = on(Op.MUL, t, on(Op.ADD, one, on(Op.MUL, s, s)))
    rest = on(Op.MUL, on(Op.SUB, one, t), on(Op.ADD, one, t))
    return on(Op.DIV, real, below), on(Op.DIV, on(Op.MUL, s, rest), below)


def power(on: Parts, x: Pair, y: Pair) -> Pair:
    """exp(y log x); 0 to any power but 0 is 0."""
    result = exponential(on, multiply(on, y, logarithm(on, x)))
    none = [on(Op.EQ, part, on.zero, dtype=bool_) for part in (*x, *y)]
    empty, flat = on(Op.AND, *none[:2], dtype=bool_), on(Op.AND, *none[2:], dtype=bool_)
    real = on(Op.WHERE, empty, on.zero, result[0])
    imaginary = on(Op.WHERE, empty, on.zero, result[1])
    one = on.number(1.0)
    return on(Op.WHERE, flat, one, real), on(Op.WHERE, flat, on.zero, imaginary)


def reciprocal(on: Parts, x: Pair) -> Pair:
    return divide(on, (on.number(1.0), on.zero), x)


def equal(on: Parts, dtype: DType, x: Pair, y: Pair) -> Value:
    parts = [on(Op.EQ, a, b, dtype=bool_) for a, b in zip(x, y, strict=True)]
    return on(Op.AND, *parts, dtype=dtype)


def unequal(on: Parts, dtype: DType, x: Pair, y: Pair) -> Value:
    parts = [on(Op.NE, a, b, dtype=bool_) for a, b in zip(x, y, strict=True)]
    return on(Op.OR, *parts, dtype=dtype)


def convert(on: Parts, dtype: DType, x: Pair) -> Value:
    """To a real type: the real part; to bool, whether either part is not zero."""
    if dtype.is_bool:
        return unequal(on, dtype, x, (on.zero, on.zero))
    return on(Op.CAST, x[0], dtype=dtype)


ROWS: dict[Op, Callable[..., Pair]] = {
    Op.ADD: add,
    Op.SUB: subtract,
    Op.MUL: multiply,
    Op.DIV: divide,
    Op.NEG: negate,
    Op.RECIPROCAL: reciprocal,
    Op.EXP: exponential,
    Op.EXP2: lambda on, x: exponential(on, scale(on, x, on.number(math.log(2)))),
    Op.LOG: logarithm,
    Op.LOG2: lambda on, x: scale(on, logarithm(on, x), on.number(1 / math.log(2))),
    Op.SQRT: square_root,
    Op.SIN: sine,
    Op.COS: cosine,
    Op.TANH: tangent,
    Op.POW: power,
    Op.CAST: lambda on, x: (on(Op.CAST, x[0]), on(Op.CAST, x[1])),
}
REAL_ROWS: dict[Op, Callable[..., Value]] = {
    Op.REAL: lambda on, dtype, x: x[0],
    Op.IMAG: lambda on, dtype, x: x[1],
    Op.ABS: lambda on, dtype, x: modulus(on, x),
    Op.EQ: equal,
    Op.NE: unequal,
    Op.CAST: convert,
}
