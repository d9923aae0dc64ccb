"""Sine and cosine of float32 vectors in LLVM text, for all arguments.

In: `Lanes` and a register. Out: the register of the result. Called by `llvm.math`.

`x = n * pi/2 + r`: up to 1e5, by three fused multiply-adds with parts of pi/2 (the first
difference is exact, since n*P1 is a multiple of 2**-23). When a lane is larger, a private function
runs for it (Payne and Hanek): the product of the 24-bit mantissa with the 96 bits of 2/pi that
matter at this exponent, modulo 4 turns of a quarter.

>>> two_over_pi(8)
162
"""

from __future__ import annotations

from functools import cache

from picograd.codegen.llvm.builder import Lanes
from picograd.codegen.llvm.types import vector
from picograd.dtypes import int32

LIMIT = 1e5
TWO_OVER_PI = 0.6366197723675814
# pi/2 = P1 + P2 + P3, each a float32
PI_2_PARTS = (1.57079637050628662109375, -4.37113900018624283e-8, -1.71512451000334e-15)
ROUNDER, ROUNDER_BITS = 12582912.0, 0x4B400000

# (sin(r) - r) / r**3 in r**2 for |r| <= pi/4: 2**-32
SIN = (2.82651376e-06, -0.000198525711, 0.00833337847, -0.166666672)
# (cos(r) - 1 + r**2/2) / r**4 in r**2: 2**-32
COS = (2.44300882e-05, -0.00138872978, 0.0416666456)


def sin(lanes: Lanes, x: str) -> str:
    result = _quadrant(lanes, x, 0)
    zero = lanes.compare("fcmp oeq", x, lanes.number(0.0))
    return lanes.select(zero, x, result)  # keeps -0


def cos(lanes: Lanes, x: str) -> str:
    return _quadrant(lanes, x, 1)


def _quadrant(lanes: Lanes, x: str, turn: int) -> str:
    """sin(x + turn * pi/2)."""
    whole = lanes.to(int32)
    r, count = _reduce(lanes, x)
    quarter = whole.two("add", count, whole.bits(turn)) if turn else count
    square = lanes.mul(r, r)
    sine = lanes.fma(lanes.mul(square, r), lanes.horner(square, SIN), r)
    tail = lanes.mul(square, lanes.mul(square, lanes.horner(square, COS)))
    cosine = lanes.add(lanes.fma(square, lanes.number(-0.5), tail), lanes.number(1.0))
    odd = whole.two("and", quarter, whole.bits(1))
    even = whole.compare("icmp eq", odd, whole.bits(0))
    chosen = lanes.convert("bitcast", lanes.select(even, sine, cosine), whole)
    sign = whole.two("shl", whole.two("and", quarter, whole.bits(2)), whole.bits(30))
    return whole.convert("bitcast", whole.two("xor", chosen, sign), lanes)


def _reduce(lanes: Lanes, x: str) -> tuple[str, str]:
    """(r, n modulo 2**32) with |r| <= pi/4."""
    whole = lanes.to(int32)
    scaled = lanes.fma(x, lanes.number(TWO_OVER_PI), lanes.number(ROUNDER))
    bits = lanes.convert("bitcast", scaled, whole)
    count = whole.two("sub", bits, whole.bits(ROUNDER_BITS))
    n, r = lanes.sub(scaled, lanes.number(ROUNDER)), x
    for part in PI_2_PARTS:
        r = lanes.fma(n, lanes.number(-part), r)
    large = lanes.compare("fcmp ogt", lanes.abs(x), lanes.number(LIMIT))
    return _reduce_large(lanes, x, large, r, count)


def _reduce_large(lanes: Lanes, x: str, large: str, r: str, count: str) -> tuple[str, str]:
    """Replace the parts of the lanes that are large, when there are any."""
    builder, whole = lanes.builder, lanes.to(int32)
    some = large
    if lanes.lanes > 1:
        word = builder.emit(f"bitcast {lanes.mask} {large} to i{lanes.lanes}", large)
        some = builder.emit(f"icmp ne i{lanes.lanes} {word}, 0", word)
    name = f"picograd_reduce_{lanes.lanes}"
    builder.helpers["picograd_reduce"] = _scalar_reduction()
    builder.helpers[name] = _vector_reduction(lanes.lanes, name)
    pair = f"{{ {lanes.type}, {whole.type} }}"
    usual = builder.emit(f"insertvalue {pair} poison, {lanes.type} {r}, 0", r)
    usual = builder.emit(f"insertvalue {pair} {usual}, {whole.type} {count}, 1", usual, count)
    both = builder.emit_rare(some, pair, usual, f"call {pair} @{name}({lanes.type} {x})", x)
    slow_r = builder.emit(f"extractvalue {pair} {both}, 0", both)
    slow_count = builder.emit(f"extractvalue {pair} {both}, 1", both)
    return lanes.select(large, slow_r, r), whole.select(large, slow_count, count)


@cache
def two_over_pi(bits: int) -> int:
    """floor(2/pi * 2**bits), with pi from Machin's formula in integers."""
    unit = 1 << (bits + 64)

    def arctangent_of_inverse(n: int) -> int:
        power = total = unit // n
        k, sign = 3, -1
        while power:
            power //= n * n
            total += sign * (power // k)
            k, sign = k + 2, -sign
        return total

    pi = 4 * (4 * arctangent_of_inverse(5) - arctangent_of_inverse(239))
    return ((2 * unit) << bits) // pi


@cache
def _scalar_reduction() -> str:
    """`{ r, n modulo 4 }` of one float32 of at least 2**-30 (NaN for infinity).

    x = M * 2**s. The window W is the 96 bits of 2/pi that follow bit s-2, so that M*W modulo 2**96
    is x * 2/pi modulo 4 in units of 2**-94. The table starts with 64 zero bits for small s.
    """
    words = 16
    table = two_over_pi(32 * words - 64)
    constants = ", ".join(
        f"i32 {(table >> (32 * (words - 1 - word))) & 0xFFFFFFFF}" for word in range(words)
    )
    lines = [
        f"@picograd_two_over_pi = private constant [{words} x i32] [{constants}], align 64",
        "define private { float, i32 } @picograd_reduce(float %x) nounwind noinline {",
        "%bits = bitcast float %x to i32",
        "%field = lshr i32 %bits, 23",
        "%biased = and i32 %field, 255",
        "%tiny = icmp ult i32 %biased, 97",  # lanes that are not large come here too
        "%exponent = select i1 %tiny, i32 97, i32 %biased",
        "%low = and i32 %bits, 8388607",
        "%mantissa = or i32 %low, 8388608",
        "%wide = zext i32 %mantissa to i128",
        # s = exponent - 150; bit s-1 of 2/pi (1 is the first) stands at s-2+64 in the table
        "%start = sub i32 %exponent, 88",
        "%first = lshr i32 %start, 5",
        "%shift = and i32 %start, 31",
        "%window0 = add i128 0, 0",
    ]
    for word in range(4):
        lines += [
            f"%at{word} = add i32 %first, {word}",
            f"%cell{word} = getelementptr i32, ptr @picograd_two_over_pi, i32 %at{word}",
            f"%word{word} = load i32, ptr %cell{word}, align 4",
            f"%value{word} = zext i32 %word{word} to i128",
            f"%moved{word} = shl i128 %window{word}, 32",
            f"%window{word + 1} = or i128 %moved{word}, %value{word}",
        ]
    lines += [
        "%by = zext i32 %shift to i128",
        "%aligned = shl i128 %window4, %by",
        "%window = lshr i128 %aligned, 32",
        "%product = mul i128 %window, %wide",
        "%turns = shl i128 %product, 32",  # modulo 2**96, quarter turns in the top two bits
        "%half = add i128 %turns, 42535295865117307932921825928971026432",  # 2**125: half a quarter
        "%quarter = lshr i128 %half, 126",
        "%count = trunc i128 %quarter to i32",
        "%whole = shl i128 %quarter, 126",
        "%left = sub i128 %turns, %whole",
        "%top = ashr i128 %left, 64",
        "%fraction = trunc i128 %top to i64",
        "%number = sitofp i64 %fraction to double",
        f"%angle = fmul double %number, {_angle_unit()}",
        "%near = fptrunc double %angle to float",
        "%negative = icmp slt i32 %bits, 0",
        "%minus = fneg float %near",
        "%signed = select i1 %negative, float %minus, float %near",
        "%none = sub i32 0, %count",
        "%turned = select i1 %negative, i32 %none, i32 %count",
        "%nan = fsub float %x, %x",
        "%r = fadd float %signed, %nan",
        "%pair = insertvalue { float, i32 } poison, float %r, 0",
        "%result = insertvalue { float, i32 } %pair, i32 %turned, 1",
        "ret { float, i32 } %result",
        "}",
    ]
    return "\n".join(lines)


def _angle_unit() -> str:
    """pi/2 / 2**62: the angle of one unit of the 64 top bits of a quarter-turn fraction."""
    from picograd.codegen.llvm.types import double_text

    return double_text(1.5707963267948966 / 2**62)


@cache
def _vector_reduction(lanes: int, name: str) -> str:
    """`picograd_reduce` of every lane; out of line, because it hardly ever runs."""
    floats, wholes = vector("float", lanes), vector("i32", lanes)
    pair = f"{{ {floats}, {wholes} }}"
    lines = [f"define private {pair} @{name}({floats} %x) nounwind noinline cold {{"]
    r, count = "poison", "poison"
    for lane in range(lanes):
        element = "%x"
        if lanes > 1:
            lines.append(f"%x{lane} = extractelement {floats} %x, i64 {lane}")
            element = f"%x{lane}"
        lines += [
            f"%p{lane} = call {{ float, i32 }} @picograd_reduce(float {element})",
            f"%r{lane} = extractvalue {{ float, i32 }} %p{lane}, 0",
            f"%n{lane} = extractvalue {{ float, i32 }} %p{lane}, 1",
        ]
        if lanes == 1:
            r, count = "%r0", "%n0"
            continue
        lines += [
            f"%rs{lane} = insertelement {floats} {r}, float %r{lane}, i64 {lane}",
            f"%ns{lane} = insertelement {wholes} {count}, i32 %n{lane}, i64 {lane}",
        ]
        r, count = f"%rs{lane}", f"%ns{lane}"
    lines += [
        f"%first = insertvalue {pair} poison, {floats} {r}, 0",
        f"%both = insertvalue {pair} %first, {wholes} {count}, 1",
        f"ret {pair} %both",
        "}",
    ]
    return "\n".join(lines)
