"""Transcendental functions of float64 vectors in LLVM text, within 2 ULP.

In: `Lanes` of float64 and a register. Out: the register of the result. Called by `llvm.math`, which
calls the C library, once a lane, for what is not in the table (POW). The formulas are those of
float32 with longer polynomials: interpolations at Chebyshev nodes, computed with 60 digits and
rounded. `tests/codegen/test_math_double.py` asserts the errors.

>>> from picograd.codegen.llvm.builder import Builder
>>> from picograd.dtypes import float64
>>> lanes = Builder().lanes(float64, 4)
>>> exp(lanes, "%x").startswith("%v")
True
"""

from __future__ import annotations

import math
from collections.abc import Callable

from picograd.codegen.llvm.builder import Lanes
from picograd.codegen.llvm.edges import at_least, at_most, outside_of_logarithm
from picograd.codegen.llvm.types import vector
from picograd.dtypes import int64
from picograd.graph.ops import Op

LOG2_E = 1 / math.log(2)
LOG2_E_LOW = 2.0355273740931033e-17
# ln 2 in two parts; the first has 32 bits: times an exponent is exact.
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
# pi/2 = P1 + P2 + P3
PI_2_PARTS = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)
# Up to here n*P1 is a multiple of 2**-52, so that the first difference is exact.
LIMIT = 1e5

# Adding 1.5 * 2**52 rounds a small float64 to an integer, which is then in the low bits.
ROUNDER, ROUNDER_BITS = 6755399441055744.0, 0x4338000000000000
BIAS = 1023
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD

# (exp(r) - 1 - r) / r**2 for |r| <= 0.3467: 2**-56 of exp
EXP = (
    2.51004110820149e-08,
    2.7620121717381933e-07,
    2.7557268406190795e-06,
    2.4801521225986432e-05,
    0.00019841269863088255,
    0.0013888888917258759,
    0.008333333333330055,
    0.04166666666662404,
    0.16666666666666669,
    0.5000000000000001,
)
# the same to 2**-59 of exp(r) - 1
EXPM1 = (
    1.6086642574672407e-10,
    2.09181596693241e-09,
    2.505207105477011e-08,
    2.7557263219790347e-07,
    2.755731924725567e-06,
    2.480158733649766e-05,
    0.00019841269841263285,
    0.0013888888888879054,
    0.008333333333333333,
    0.04166666666666668,
    0.16666666666666666,
    0.5,
)
# (2**r - 1) / r for |r| <= 1/2: 2**-56
EXP2 = (
    2.5729344553786755e-11,
    4.455822025014915e-10,
    7.054897292691627e-09,
    1.0178057064573359e-07,
    1.3215486808727859e-06,
    1.5252733841601815e-05,
    0.00015403530393370715,
    0.0013333558146406436,
    0.00961812910762848,
    0.055504108664821625,
    0.24022650695910072,
    0.6931471805599453,
)
# (2 atanh(s) - 2 s) / s**3 in s**2 for |s| <= 0.1716: 2**-56
LOG = (
    0.14616878919029822,
    0.15331686868638428,
    0.1818289017031397,
    0.22222211120449298,
    0.2857142862606338,
    0.3999999999989931,
    0.666666666666667,
)
# (sin(r) - r) / r**3 in r**2 for |r| <= pi/4: 2**-57
SIN = (
    -7.586681777999908e-13,
    1.6058531358729018e-10,
    -2.5052106230805403e-08,
    2.7557319219334436e-06,
    -0.0001984126984126506,
    0.008333333333333331,
    -0.16666666666666666,
)
# (cos(r) - 1 + r**2/2) / r**4 in r**2: 2**-60
COS = (
    -1.1382610070998325e-11,
    2.087614595808494e-09,
    -2.755731727024068e-07,
    2.4801587298762816e-05,
    -0.0013888888888887395,
    0.041666666666666664,
)
# (atan(x) - x) / x**3 in x**2 for |x| <= tan(pi/8): 2**-58
ATAN = (
    0.01628532732275549,
    -0.034570174391823104,
    0.045515781496647055,
    -0.052304509666811966,
    0.05878928549229719,
    -0.06666424846721739,
    0.07692296372859808,
    -0.09090908753425743,
    0.11111111105153937,
    -0.14285714285659812,
    0.19999999999999804,
    -0.3333333333333333,
)
# (tanh(x) - x) / x**3 in x**2 for |x| <= 0.625: 2**-57
TANH = (
    6.485163482793113e-06,
    -3.12011014257974e-05,
    9.257116129556769e-05,
    -0.0002375906496055562,
    0.0005896606577757043,
    -0.0014557754120478055,
    0.0035921217511549622,
    -0.008863235103240878,
    0.021869488519008305,
    -0.05396825396789699,
    0.13333333333333042,
    -0.3333333333333333,
)
# erf(x) / x - 1 in x**2 for |x| <= 1: 2**-56
ERF_SMALL = (
    5.957176147748911e-11,
    -1.1372848856791674e-09,
    1.4659775274047436e-08,
    -1.6350312701054695e-07,
    1.6461000484121368e-06,
    -1.4925595266831182e-05,
    0.0001205533111164271,
    -0.000854832698083379,
    0.0052239776248180145,
    -0.026866170645076792,
    0.11283791670954879,
    -0.3761263890318375,
    0.1283791670955126,
)
# exp(t**2) * erfc(t) in (t - 3) / (t + 3) for 1 <= t <= 6: 2**-57 of erf
ERFC = (
    3.381355142042904e-09,
    1.2755818949624478e-06,
    2.0135111426447427e-06,
    -8.00978093907608e-06,
    -1.2845780030775907e-05,
    6.406279226046039e-05,
    4.525434558991009e-05,
    -0.0005970624964924544,
    0.0007077464666941425,
    0.004269136356961225,
    -0.024392499318915004,
    0.07166583719747308,
    -0.15011593650077898,
    0.24560380171233487,
    -0.3262335600430372,
    0.17900115118138996,
)


def _reduce(lanes: Lanes, x: str) -> tuple[str, str]:
    """`x = n*ln2 + r` with |r| <= ln2/2: (r, n as int64)."""
    n, count = _round(lanes, lanes.fma(x, lanes.number(LOG2_E), lanes.number(ROUNDER)))
    r = lanes.fma(n, lanes.number(-LN2_HIGH), x)
    return lanes.fma(n, lanes.number(-LN2_LOW), r), count


def _round(lanes: Lanes, scaled: str) -> tuple[str, str]:
    """(n as float64, n as int64) of a number to which ROUNDER was added."""
    whole = lanes.to(int64)
    bits = lanes.convert("bitcast", scaled, whole)
    count = whole.two("sub", bits, whole.bits(ROUNDER_BITS))
    return lanes.sub(scaled, lanes.number(ROUNDER)), count


def _power_of_two(lanes: Lanes, count: str, bias: int = BIAS) -> str:
    """2**(n + bias - BIAS) of an int64 n, where that is a normal number."""
    whole = lanes.to(int64)
    shifted = whole.two("shl", whole.two("add", count, whole.bits(bias)), whole.bits(52))
    return whole.convert("bitcast", shifted, lanes)


def _scale(lanes: Lanes, x: str, count: str) -> str:
    """x * 2**n in two steps, of which the first is exact, so that subnormals round once."""
    whole = lanes.to(int64)
    half = whole.two("ashr", count, whole.bits(1))
    rest = whole.two("sub", count, half)
    return lanes.mul(lanes.mul(x, _power_of_two(lanes, half)), _power_of_two(lanes, rest))


def exp(lanes: Lanes, x: str) -> str:
    """2**n * exp(r)."""
    r, count = _reduce(lanes, at_least(lanes, at_most(lanes, x, 710.0), -746.0))
    square = lanes.mul(r, r)
    one_more = lanes.add(lanes.fma(square, lanes.horner(r, EXP), r), lanes.number(1.0))
    return _scale(lanes, one_more, count)


def exp2(lanes: Lanes, x: str) -> str:
    bounded = at_least(lanes, at_most(lanes, x, 1025.0), -1077.0)
    n, count = _round(lanes, lanes.add(bounded, lanes.number(ROUNDER)))
    r = lanes.sub(bounded, n)
    return _scale(lanes, lanes.fma(r, lanes.horner(r, EXP2), lanes.number(1.0)), count)


def expm1(lanes: Lanes, x: str) -> str:
    """`2**n * (exp(r) - 1) + (2**n - 1)`, the parts of which are added smallest last. 2**n is made
    from half of it, so that n = 1024 does not overflow; -0 and subnormals are their own results."""
    r, count = _reduce(lanes, at_least(lanes, at_most(lanes, x, 710.0), -38.0))
    half = _power_of_two(lanes, count, BIAS - 1)
    rest = lanes.mul(lanes.mul(r, r), lanes.horner(r, EXPM1))
    total = lanes.fma(half, r, lanes.sub(half, lanes.number(0.5)))
    total = lanes.fma(half, rest, total)
    tiny = lanes.compare("fcmp olt", lanes.abs(x), lanes.number(2.0**-54))
    return lanes.select(tiny, x, lanes.add(total, total))


def _parts(lanes: Lanes, bits: str) -> tuple[str, str]:
    """(the exponent's bits in place, the exponent k as float64) of `2**k * (1 + f)` with 1+f
    between the roots of 1/2 and 2."""
    whole = lanes.to(int64)
    above = whole.two("sub", bits, whole.bits(SQRT_HALF_BITS))
    exponent = whole.two("and", above, whole.bits(-(1 << 52)))
    # Small integers become float64 in the low bits of 2**52.
    biased = whole.two("add", above, whole.bits(BIAS << 52))
    low = whole.two("lshr", biased, whole.bits(52))
    number = whole.convert("bitcast", whole.two("or", low, whole.bits(0x433 << 52)), lanes)
    return exponent, lanes.sub(number, lanes.number(2.0**52 + BIAS))


def _split_exponent(lanes: Lanes, x: str) -> tuple[str, str]:
    """(f, k as float64) for positive finite x."""
    whole = lanes.to(int64)
    small = lanes.compare("fcmp olt", x, lanes.number(2.0**-1022))
    scaled = lanes.select(small, lanes.mul(x, lanes.number(2.0**54)), x)
    bits = lanes.convert("bitcast", scaled, whole)
    exponent, count = _parts(lanes, bits)
    mantissa = whole.convert("bitcast", whole.two("sub", bits, exponent), lanes)
    count = lanes.select(small, lanes.sub(count, lanes.number(54.0)), count)
    return lanes.sub(mantissa, lanes.number(1.0)), count


def _log_rest(lanes: Lanes, f: str) -> str:
    """log(1 + f) - f, by s = f / (2 + f): `s * (f**2/2 + R(s)) - f**2/2`."""
    s = lanes.div(f, lanes.add(f, lanes.number(2.0)))
    square = lanes.mul(s, s)
    half = lanes.mul(lanes.mul(f, f), lanes.number(0.5))
    series = lanes.fma(square, lanes.horner(square, LOG), half)
    return lanes.sub(lanes.mul(s, series), half)


def _log_of_parts(lanes: Lanes, f: str, count: str) -> str:
    low = lanes.fma(count, lanes.number(LN2_LOW), _log_rest(lanes, f))
    return lanes.fma(count, lanes.number(LN2_HIGH), lanes.add(low, f))


def log(lanes: Lanes, x: str) -> str:
    f, count = _split_exponent(lanes, x)
    return outside_of_logarithm(lanes, x, _log_of_parts(lanes, f, count), 0.0)


def log2(lanes: Lanes, x: str) -> str:
    f, count = _split_exponent(lanes, x)
    rest = lanes.mul(_log_rest(lanes, f), lanes.number(LOG2_E))
    rest = lanes.fma(f, lanes.number(LOG2_E_LOW), rest)
    result = lanes.add(lanes.fma(f, lanes.number(LOG2_E), rest), count)
    return outside_of_logarithm(lanes, x, result, 0.0)


def log1p(lanes: Lanes, x: str) -> str:
    """With `2**k` the scale of 1+x, `f = (1+x) / 2**k - 1` is computed from x itself: x / 2**k by
    its exponent, plus `2**-k - 1`."""
    whole = lanes.to(int64)
    bits = lanes.convert("bitcast", lanes.add(x, lanes.number(1.0)), whole)
    exponent, count = _parts(lanes, bits)
    reduced = whole.two("sub", lanes.convert("bitcast", x, whole), exponent)
    quarter = whole.two("sub", whole.bits(0x401 << 52), exponent)  # 4 / 2**k stays normal
    scale = whole.convert("bitcast", quarter, lanes)
    shift = lanes.fma(scale, lanes.number(0.25), lanes.number(-1.0))
    f = lanes.add(whole.convert("bitcast", reduced, lanes), shift)
    result = outside_of_logarithm(lanes, x, _log_of_parts(lanes, f, count), -1.0)
    tiny = lanes.compare("fcmp olt", lanes.abs(x), lanes.number(2.0**-54))
    return lanes.select(tiny, x, result)


def tanh(lanes: Lanes, x: str) -> str:
    """An odd polynomial near 0, else `1 - 2 / (exp(2|x|) + 1)`."""
    size = lanes.abs(x)
    square = lanes.mul(x, x)
    near = lanes.fma(lanes.mul(square, x), lanes.horner(square, TANH), x)
    bounded = at_most(lanes, size, 22.0)
    grown = exp(lanes, lanes.add(bounded, bounded))
    part = lanes.div(lanes.number(2.0), lanes.add(grown, lanes.number(1.0)))
    far = lanes.sub(lanes.number(1.0), part)
    small = lanes.compare("fcmp olt", size, lanes.number(0.625))
    return lanes.copysign(lanes.select(small, near, far), x)  # -0 is its own result


def atan(lanes: Lanes, x: str) -> str:
    """pi/4 + atan((|x|-1) / (|x|+1)) in the middle, pi/2 + atan(-1/|x|) beyond it."""
    size, one = lanes.abs(x), lanes.number(1.0)
    middle = lanes.compare("fcmp ogt", size, lanes.number(math.tan(math.pi / 8)))
    beyond = lanes.compare("fcmp ogt", size, lanes.number(math.tan(3 * math.pi / 8)))

    def choose(far: str, near: str, usual: str) -> str:
        return lanes.select(beyond, far, lanes.select(middle, near, usual))

    above = choose(lanes.number(-1.0), lanes.sub(size, one), size)
    a = lanes.div(above, choose(size, lanes.add(size, one), one))
    square = lanes.mul(a, a)
    tail = lanes.mul(lanes.mul(square, a), lanes.horner(square, ATAN))
    high, low, _ = PI_2_PARTS
    zero = lanes.number(0.0)
    tail = lanes.add(tail, choose(lanes.number(low), lanes.number(low / 2), zero))
    base = choose(lanes.number(high), lanes.number(high / 2), zero)
    return lanes.copysign(lanes.add(base, lanes.add(a, tail)), x)


def erf(lanes: Lanes, x: str) -> str:
    """`x + x*E(x**2)` below 1, else `1 - exp(-t**2) * C(t)` of t = |x| (1 from 6 on)."""
    square = lanes.mul(x, x)
    near = lanes.fma(x, lanes.horner(square, ERF_SMALL), x)
    size, three = at_most(lanes, lanes.abs(x), 6.0), lanes.number(3.0)
    place = lanes.div(lanes.sub(size, three), lanes.add(size, three))
    falling = exp(lanes, lanes.neg(lanes.mul(size, size)))
    far = lanes.fma(lanes.neg(falling), lanes.horner(place, ERFC), lanes.number(1.0))
    small = lanes.compare("fcmp olt", size, lanes.number(1.0))
    return lanes.select(small, near, lanes.copysign(far, x))


# --- sine and cosine ------------------------------------------------------------------------------


def sin(lanes: Lanes, x: str) -> str:
    zero = lanes.compare("fcmp oeq", x, lanes.number(0.0))
    return lanes.select(zero, x, _quadrant(lanes, x, 0))  # keeps -0


def cos(lanes: Lanes, x: str) -> str:
    return _quadrant(lanes, x, 1)


def _quadrant(lanes: Lanes, x: str, turn: int) -> str:
    """sin(x + turn * pi/2): `x = n * pi/2 + r` by three fused multiply-adds."""
    whole = lanes.to(int64)
    scaled = lanes.fma(x, lanes.number(2 / math.pi), lanes.number(ROUNDER))
    n, count = _round(lanes, scaled)
    r = x
    for part in PI_2_PARTS:
        r = lanes.fma(n, lanes.number(-part), r)
    quarter = whole.two("add", count, whole.bits(turn)) if turn else count
    square = lanes.mul(r, r)
    sine = lanes.fma(lanes.mul(square, r), lanes.horner(square, SIN), r)
    tail = lanes.mul(square, lanes.mul(square, lanes.horner(square, COS)))
    cosine = lanes.add(lanes.fma(square, lanes.number(-0.5), tail), lanes.number(1.0))
    odd = whole.two("and", quarter, whole.bits(1))
    even = whole.compare("icmp eq", odd, whole.bits(0))
    chosen = lanes.convert("bitcast", lanes.select(even, sine, cosine), whole)
    sign = whole.two("shl", whole.two("and", quarter, whole.bits(2)), whole.bits(62))
    usual = whole.convert("bitcast", whole.two("xor", chosen, sign), lanes)
    return _where_large(lanes, x, usual, "cos" if turn else "sin")


def _where_large(lanes: Lanes, x: str, usual: str, name: str) -> str:
    """The C library's function in lanes beyond LIMIT, when there are any."""
    builder = lanes.builder
    large = some = lanes.compare("fcmp ogt", lanes.abs(x), lanes.number(LIMIT))
    called = name
    builder.declare(name, "double", "double")
    if lanes.lanes > 1:
        word = builder.emit(f"bitcast {lanes.mask} {large} to i{lanes.lanes}", large)
        some = builder.emit(f"icmp ne i{lanes.lanes} {word}, 0", word)
        called = f"picograd_{name}_{lanes.lanes}"
        builder.helpers[called] = _by_lane(lanes.lanes, name, called)
    call = f"call {lanes.type} @{called}({lanes.type} {x})"
    slow = builder.emit_rare(some, lanes.type, usual, call, x)
    return lanes.select(large, slow, usual)


def _by_lane(lanes: int, name: str, called: str) -> str:
    """A function of single elements for every lane; out of line, because it hardly ever runs."""
    kind = vector("double", lanes)
    lines = [f"define private {kind} @{called}({kind} %x) nounwind noinline cold {{"]
    result = "poison"
    for lane in range(lanes):
        lines += [
            f"%x{lane} = extractelement {kind} %x, i64 {lane}",
            f"%y{lane} = call double @{name}(double %x{lane})",
            f"%r{lane} = insertelement {kind} {result}, double %y{lane}, i64 {lane}",
        ]
        result = f"%r{lane}"
    return "\n".join([*lines, f"ret {kind} {result}", "}"])


# --- the table ------------------------------------------------------------------------------------

FLOAT64: dict[Op, Callable[[Lanes, str], str]] = {
    Op.EXP: exp,
    Op.EXP2: exp2,
    Op.EXPM1: expm1,
    Op.LOG: log,
    Op.LOG2: log2,
    Op.LOG1P: log1p,
    Op.SIN: sin,
    Op.COS: cos,
    Op.TANH: tanh,
    Op.ATAN: atan,
    Op.ERF: erf,
}
