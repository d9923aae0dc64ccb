"""`x ** y` of float32 vectors in LLVM text.

In: `Lanes` and registers. Out: the register of the result. Called by `llvm.math`. It runs in
float64, `2 ** (y * log2 |x|)`, because the product multiplies the logarithm's relative error by up
to 150: the result is then the rounded one but for a few ties.
"""

from __future__ import annotations

import math

from picograd.codegen.llvm.builder import Lanes
from picograd.codegen.llvm.types import double_text, splat
from picograd.dtypes import float32, float64, int32, int64

ROUNDER = 1.5 * 2.0**52
ROUNDER_BITS = 0x4338000000000000

# log2((1+s)/(1-s)) = 2/ln2 * (s + s**3/3 + s**5/5 + ...), |s| <= 1/5: s**19 is below 2**-44
ATANH = tuple(2 / math.log(2) / (2 * k + 1) for k in range(9, -1, -1))
# 2**r for |r| <= 1/2: the Taylor series, whose first term left out is below 2**-42
EXP2 = tuple(math.log(2) ** k / math.factorial(k) for k in range(11, -1, -1))


def power(lanes: Lanes, x: str, y: str) -> str:
    """POW of float32, with C's special cases."""
    wide, single = lanes.to(float64), lanes.to(float32)
    base = single.convert("fpext", single.abs(x), wide)
    exponent = single.convert("fpext", y, wide)
    product = wide.mul(exponent, _log2(wide, base))
    zero, one = single.number(0.0), single.number(1.0)
    logic = single.logic()
    size = wide.convert("fptrunc", _exp2(wide, product), single)
    # 1**y, (-1)**(+-inf) and x**0 are 1 even where the product is NaN
    is_one = single.compare("fcmp oeq", x, one)
    minus_one = single.compare("fcmp oeq", x, single.number(-1.0))
    infinite = single.compare("fcmp oeq", single.abs(y), single.number(math.inf))
    unit = logic.two("or", is_one, logic.two("and", minus_one, infinite))
    unit = logic.two("or", unit, single.compare("fcmp oeq", y, zero))
    size = single.select(unit, one, size)
    return _with_sign(single, x, y, size)


def _with_sign(single: Lanes, x: str, y: str, size: str) -> str:
    """Odd powers keep the sign of x; a negative number has no fractional powers."""
    whole, logic = single.to(int32), single.logic()
    floor = single.intrinsic("floor", y)
    integral = single.compare("fcmp oeq", floor, y)
    half = single.mul(y, single.number(0.5))
    odd = single.compare("fcmp une", single.intrinsic("floor", half), half)
    odd = logic.two("and", odd, integral)
    bits = single.convert("bitcast", x, whole)
    sign = whole.two("and", bits, whole.bits(-(1 << 31)))
    flipped = whole.two("xor", single.convert("bitcast", size, whole), sign)
    signed = single.select(odd, whole.convert("bitcast", flipped, single), size)
    negative = single.compare("fcmp olt", x, single.number(0.0))
    finite = single.compare("fcmp one", single.abs(x), single.number(math.inf))
    fractional = logic.two("xor", integral, logic.number(True))
    undefined = logic.two("and", logic.two("and", negative, finite), fractional)
    return single.select(undefined, single.number(math.nan), signed)


def _log2(wide: Lanes, x: str) -> str:
    """log2 of a non-negative float64 that was a float32 (so never subnormal)."""
    whole = wide.to(int64)
    bits = wide.convert("bitcast", x, whole)
    above = whole.two("sub", bits, whole.bits(0x3FE5555555555555))
    exponent = whole.two("and", above, whole.bits(-(1 << 52)))
    mantissa = whole.convert("bitcast", whole.two("sub", bits, exponent), wide)
    one = wide.number(1.0)
    count = whole.convert("sitofp", whole.two("ashr", exponent, whole.bits(52)), wide)
    s = wide.div(wide.sub(mantissa, one), wide.add(mantissa, one))
    result = wide.fma(s, _horner(wide, wide.mul(s, s), ATANH), count)
    infinite = wide.compare("fcmp oeq", x, wide.number(math.inf))
    result = wide.select(infinite, x, result)
    zero = wide.compare("fcmp oeq", x, wide.number(0.0))
    result = wide.select(zero, wide.number(-math.inf), result)
    return wide.select(wide.is_nan(x), x, result)


def _exp2(wide: Lanes, x: str) -> str:
    """2**x, over- and underflowing far outside of float32's range."""
    whole = wide.to(int64)
    low, high = wide.number(-200.0), wide.number(200.0)
    x = wide.select(wide.compare("fcmp ogt", x, high), high, x)
    x = wide.select(wide.compare("fcmp olt", x, low), low, x)
    scaled = wide.add(x, wide.number(ROUNDER))
    r = wide.sub(x, wide.sub(scaled, wide.number(ROUNDER)))
    count = whole.two("sub", wide.convert("bitcast", scaled, whole), whole.bits(ROUNDER_BITS))
    bits = wide.convert("bitcast", _horner(wide, r, EXP2), whole)
    moved = whole.two("add", bits, whole.two("shl", count, whole.bits(52)))
    # a NaN's bits plus an exponent need not be NaN
    return wide.select(wide.is_nan(x), x, whole.convert("bitcast", moved, wide))


def _horner(wide: Lanes, x: str, coefficients: tuple[float, ...]) -> str:
    total = splat("double", double_text(coefficients[0]), wide.lanes)
    for coefficient in coefficients[1:]:
        total = wide.fma(total, x, splat("double", double_text(coefficient), wide.lanes))
    return total
