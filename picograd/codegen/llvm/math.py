"""Transcendental functions in LLVM text: vectors of any number of lanes, within 2 ULP in float32.

In: `Lanes` and registers. Out: the register of the result. Called by `llvm.ops`. float32 uses
the polynomials below, float64 those of `llvm.double`; float16 and bfloat16 arrive
as float32. The error of each function, over millions of points, is asserted by
`tests/codegen/test_math.py`.

Every polynomial is the minimax one for relative error of the result, fitted by iteratively
reweighted least squares (Lawson) on 4000 Chebyshev nodes, its coefficients rounded to float32 from
the lowest up, the others fitted again after each.

>>> from picograd.codegen.llvm.builder import Builder
>>> from picograd.dtypes import float64
>>> builder = Builder()
>>> function(Op.POW, builder.lanes(float64, 1), "%x", "%y")
'%v0'
>>> builder.scopes[0].lines
['  %v0 = call double @pow(double %x, double %y)']
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from picograd.codegen.llvm import double, power, trigonometry
from picograd.codegen.llvm.builder import Lanes
from picograd.codegen.llvm.edges import at_least, at_most, outside_of_logarithm
from picograd.codegen.llvm.types import vector
from picograd.dtypes import float64, int32
from picograd.graph.ops import Op

LOG2_E = 1 / math.log(2)
# ln 2 and log2 e in two float32 parts; the first of ln 2 has few bits: times an exponent is exact.
LN2_HIGH = 0.693359375
LN2_LOW = math.log(2) - LN2_HIGH
LOG2_E_HIGH = float(np.float32(LOG2_E))
LOG2_E_LOW = LOG2_E - LOG2_E_HIGH
PI_2_HIGH = float(np.float32(math.pi / 2))
PI_2_LOW = math.pi / 2 - PI_2_HIGH

# Adding 1.5 * 2**23 rounds a small float32 to an integer, which is then in the low bits.
ROUNDER = 12582912.0
ROUNDER_BITS = 0x4B400000

# (exp(r) - 1 - r) / r**2 for |r| <= 0.35: 2**-28.2 of exp
EXP = (0.00138204684, 0.00836925022, 0.0416682847, 0.166665167, 0.49999994)
# the same to 2**-31 of exp(r) - 1
EXPM1 = (0.000197677509, 0.00139332283, 0.00833354052, 0.0416664854, 0.166666657, 0.5)
# (2**r - 1) / r for |r| <= 0.505: 2**-32.5
EXP2 = (
    1.44514779e-05,
    0.000154532565,
    0.00133375078,
    0.00961808488,
    0.0555040538,
    0.240226507,
    0.693147182,
)
# (log(1+f) - f + f**2/2) / f**3 for |f| <= 1/3: 2**-27.6
LOG = (
    -0.129078567,
    0.140070423,
    -0.12181063,
    0.140015751,
    -0.166806787,
    0.200106487,
    -0.249997944,
    0.333332121,
)
# (tanh(x) - x) / x**3 in x**2 for |x| <= 0.625: 2**-27.7
TANH = (-0.00569581287, 0.0206308253, -0.0537371412, 0.133314103, -0.333332807)
# (atan(x) - x) / x**3 in x**2 for |x| <= 1: 2**-28.5
ATAN = (
    -0.00179040583,
    0.0108996965,
    -0.0311489366,
    0.0579272285,
    -0.0840158165,
    0.109515063,
    -0.142641023,
    0.19998534,
    -0.333332986,
)
# erf(x) / x - 1 in x**2 for |x| <= 0.9277: 2**-30
ERF_SMALL = (
    7.99529371e-05,
    -0.000804954558,
    0.00519239344,
    -0.0268557295,
    0.112836257,
    -0.376126289,
    0.128379166,
)
# (log(1 - erf(t)) + t) / t for 0.9277 <= t <= 4: 2**-30 of erf
ERF_LARGE = (
    -1.15241019e-05,
    0.00032574308,
    -0.00365444389,
    0.0237874798,
    -0.106266461,
    -0.635133386,
    -0.128652915,
)
ERF_SPLIT = 0.927734375


def _round(lanes: Lanes, scaled: str) -> tuple[str, str]:
    """(n as float, n as int32) of a number to which ROUNDER was added."""
    whole = lanes.to(int32)
    bits = lanes.convert("bitcast", scaled, whole)
    return lanes.sub(scaled, lanes.number(ROUNDER)), whole.two(
        "sub", bits, whole.bits(ROUNDER_BITS)
    )


def _reduce(lanes: Lanes, x: str) -> tuple[str, str, str]:
    """`x = n*ln2 + r` with |r| <= ln2/2: (r, n as float, n as int32)."""
    n, count = _round(lanes, lanes.fma(x, lanes.number(LOG2_E), lanes.number(ROUNDER)))
    r = lanes.fma(n, lanes.number(-LN2_HIGH), x)
    return lanes.fma(n, lanes.number(-LN2_LOW), r), n, count


def exp(lanes: Lanes, x: str) -> str:
    """2**n * exp(r), rounded once by the scaling (results may be subnormal)."""
    return _exp_bounded(lanes, at_least(lanes, at_most(lanes, x, 89.0), -104.0))


def _exp_bounded(lanes: Lanes, x: str) -> str:
    r, _, count = _reduce(lanes, x)
    square = lanes.mul(r, r)
    one_more = lanes.add(lanes.fma(square, lanes.horner(r, EXP), r), lanes.number(1.0))
    return lanes.ldexp(one_more, count)


def exp2(lanes: Lanes, x: str) -> str:
    bounded = at_least(lanes, at_most(lanes, x, 129.0), -151.0)
    n, count = _round(lanes, lanes.add(bounded, lanes.number(ROUNDER)))
    r = lanes.sub(bounded, n)
    return lanes.ldexp(lanes.fma(r, lanes.horner(r, EXP2), lanes.number(1.0)), count)


def expm1(lanes: Lanes, x: str) -> str:
    """`2**n * (exp(r) - 1) + (2**n - 1)`, the parts of which are added smallest last. 2**n is made
    from half of it, so that n = 128 does not overflow; -0 and subnormals are their own results."""
    bounded = at_least(lanes, at_most(lanes, x, 89.0), -18.0)
    r, _, count = _reduce(lanes, bounded)
    whole = lanes.to(int32)
    half = whole.two("shl", whole.two("add", count, whole.bits(126)), whole.bits(23))
    scale = whole.convert("bitcast", half, lanes)
    rest = lanes.mul(lanes.mul(r, r), lanes.horner(r, EXPM1))
    sum_ = lanes.fma(scale, r, lanes.sub(scale, lanes.number(0.5)))
    sum_ = lanes.fma(scale, rest, sum_)
    result = lanes.add(sum_, sum_)
    tiny = lanes.compare("fcmp olt", lanes.abs(x), lanes.number(2.0**-25))
    return lanes.select(tiny, x, result)


def _split_exponent(lanes: Lanes, x: str) -> tuple[str, str]:
    """`x = 2**k * (1 + f)` with 1+f in [2/3, 4/3): (f, k as float) for positive finite x."""
    whole = lanes.to(int32)
    small = lanes.compare("fcmp olt", x, lanes.number(2.0**-126))
    scaled = lanes.select(small, lanes.mul(x, lanes.number(2.0**23)), x)
    bits = lanes.convert("bitcast", scaled, whole)
    above = whole.two("sub", bits, whole.bits(0x3F2AAAAB))
    exponent = whole.two("and", above, whole.bits(-(1 << 23)))
    mantissa = whole.convert("bitcast", whole.two("sub", bits, exponent), lanes)
    count = whole.convert("sitofp", whole.two("ashr", exponent, whole.bits(23)), lanes)
    count = lanes.select(small, lanes.sub(count, lanes.number(23.0)), count)
    return lanes.sub(mantissa, lanes.number(1.0)), count


def _log_rest(lanes: Lanes, f: str) -> str:
    """log(1 + f) - f"""
    square = lanes.mul(f, f)
    tail = lanes.mul(square, lanes.mul(f, lanes.horner(f, LOG)))
    return lanes.fma(square, lanes.number(-0.5), tail)


def log(lanes: Lanes, x: str) -> str:
    f, count = _split_exponent(lanes, x)
    low = lanes.fma(count, lanes.number(LN2_LOW), _log_rest(lanes, f))
    result = lanes.fma(count, lanes.number(LN2_HIGH), lanes.add(low, f))
    return outside_of_logarithm(lanes, x, result, 0.0)


def log2(lanes: Lanes, x: str) -> str:
    f, count = _split_exponent(lanes, x)
    rest = lanes.mul(_log_rest(lanes, f), lanes.number(LOG2_E))
    rest = lanes.fma(f, lanes.number(LOG2_E_LOW), rest)
    result = lanes.add(lanes.fma(f, lanes.number(LOG2_E_HIGH), rest), count)
    return outside_of_logarithm(lanes, x, result, 0.0)


def log1p(lanes: Lanes, x: str) -> str:
    """With `2**k` the scale of 1+x, `f = (1+x) / 2**k - 1` is computed from x itself: x / 2**k by
    its exponent, plus `2**-k - 1`."""
    whole = lanes.to(int32)
    bits = lanes.convert("bitcast", lanes.add(x, lanes.number(1.0)), whole)
    above = whole.two("sub", bits, whole.bits(0x3F2AAAAB))
    exponent = whole.two("and", above, whole.bits(-(1 << 23)))
    reduced = whole.two("sub", lanes.convert("bitcast", x, whole), exponent)
    quarter = whole.two("sub", whole.bits(0x40800000), exponent)  # 4 / 2**k stays normal
    scale = whole.convert("bitcast", quarter, lanes)
    shift = lanes.fma(scale, lanes.number(0.25), lanes.number(-1.0))
    f = lanes.add(whole.convert("bitcast", reduced, lanes), shift)
    count = whole.convert("sitofp", whole.two("ashr", exponent, whole.bits(23)), lanes)
    low = lanes.fma(count, lanes.number(LN2_LOW), _log_rest(lanes, f))
    result = lanes.fma(count, lanes.number(LN2_HIGH), lanes.add(low, f))
    tiny = lanes.compare("fcmp olt", lanes.abs(x), lanes.number(2.0**-25))
    return lanes.select(tiny, x, outside_of_logarithm(lanes, x, result, -1.0))


def tanh(lanes: Lanes, x: str) -> str:
    """An odd polynomial near 0, else `1 - 2 / (exp(2|x|) + 1)`."""
    size = lanes.abs(x)
    square = lanes.mul(x, x)
    near = lanes.fma(lanes.mul(square, x), lanes.horner(square, TANH), x)
    bounded = at_most(lanes, size, 10.0)
    grown = _exp_bounded(lanes, lanes.add(bounded, bounded))
    part = lanes.div(lanes.number(2.0), lanes.add(grown, lanes.number(1.0)))
    far = lanes.sub(lanes.number(1.0), part)
    small = lanes.compare("fcmp olt", size, lanes.number(0.625))
    return lanes.copysign(lanes.select(small, near, far), x)  # -0 is its own result


def atan(lanes: Lanes, x: str) -> str:
    """The polynomial of |x|, or of -1/|x| moved by pi/2."""
    size = lanes.abs(x)
    large = lanes.compare("fcmp ogt", size, lanes.number(1.0))
    a = lanes.select(large, lanes.div(lanes.number(-1.0), size), size)
    square = lanes.mul(a, a)
    tail = lanes.mul(lanes.mul(square, a), lanes.horner(square, ATAN))
    moved = lanes.add(
        lanes.number(PI_2_HIGH), lanes.add(a, lanes.add(tail, lanes.number(PI_2_LOW)))
    )
    return lanes.copysign(lanes.select(large, moved, lanes.add(a, tail)), x)


def erf(lanes: Lanes, x: str) -> str:
    """`x + x*E(x**2)` below 0.9277, else `1 - exp(-t + t*L(t))` of t = |x| (1 from 4 on)."""
    square = lanes.mul(x, x)
    near = lanes.fma(x, lanes.horner(square, ERF_SMALL), x)
    size = at_most(lanes, lanes.abs(x), 4.0)
    power = lanes.fma(size, lanes.horner(size, ERF_LARGE), lanes.neg(size))
    far = lanes.sub(lanes.number(1.0), _exp_bounded(lanes, power))
    small = lanes.compare("fcmp olt", size, lanes.number(ERF_SPLIT))
    return lanes.select(small, near, lanes.copysign(far, x))


# --- the table ------------------------------------------------------------------------------------

FLOAT32: dict[Op, Callable[..., str]] = {
    Op.EXP: exp,
    Op.EXP2: exp2,
    Op.EXPM1: expm1,
    Op.LOG: log,
    Op.LOG2: log2,
    Op.LOG1P: log1p,
    Op.SIN: trigonometry.sin,
    Op.COS: trigonometry.cos,
    Op.TANH: tanh,
    Op.ATAN: atan,
    Op.ERF: erf,
    Op.POW: power.power,
}
UNARY = frozenset(FLOAT32) - {Op.POW}


def function(op: Op, lanes: Lanes, *operands: str) -> str:
    """One transcendental function of float32 or float64 operands."""
    if lanes.dtype is not float64:
        return FLOAT32[op](lanes, *operands)
    if op in double.FLOAT64:
        return double.FLOAT64[op](lanes, *operands)
    name = op.name.lower()
    lanes.builder.declare(name, "double", ", ".join(["double"] * len(operands)))
    return by_lane(lanes, name, *operands)


def by_lane(lanes: Lanes, name: str, *operands: str) -> str:
    """A function of single elements, called for each lane."""
    builder, element = lanes.builder, lanes.element
    result = "poison"
    for lane in range(lanes.lanes):
        single = operands
        if lanes.lanes > 1:
            single = tuple(builder.shuffle(element, lanes.lanes, x, [lane]) for x in operands)
        arguments = ", ".join(f"{element} {x}" for x in single)
        value = builder.emit(f"call {element} @{name}({arguments})", *single)
        if lanes.lanes == 1:
            return value
        text = (
            f"insertelement {vector(element, lanes.lanes)} {result}, {element} {value}, i64 {lane}"
        )
        result = builder.emit(text, result, value)
    return result
