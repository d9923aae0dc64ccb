"""The elementwise ops in LLVM text: one row per `Op`, and how a reduction combines.

In: registers and their dtypes. Out: the register of the result. Called by `llvm.render` for every
`Alu`, `MulAdd` and `Fold`. A row `f(lanes, *operands)` sees operands of one dtype (that of
`lanes`); float16 and bfloat16 arrive as float32 and are rounded afterwards, by `compute`.

>>> from picograd.codegen.llvm.builder import Builder
>>> from picograd.dtypes import float32
>>> builder = Builder()
>>> compute(builder, Op.ADD, float32, 1, ("%x", "%y"), (float32, float32))
'%v0'
"""

from __future__ import annotations

from collections.abc import Callable

from picograd.codegen.llvm import math as llvm_math
from picograd.codegen.llvm.builder import Builder, Lanes
from picograd.codegen.llvm.cast import NARROW, bitcast, cast, narrow, widen
from picograd.codegen.llvm.types import vector
from picograd.dtypes import DType, float32, float64, uint64
from picograd.graph.ops import ELEMENTWISE, Combiner, Op

Row = Callable[..., str]


def _choose(floating: str, integer: str, logical: str) -> Row:
    """A row of two operands that is one instruction for each kind of type."""

    def row(lanes: Lanes, x: str, y: str) -> str:
        if lanes.dtype.is_float:
            return lanes.two(floating, x, y)
        return lanes.two(logical if lanes.dtype.is_bool else integer, x, y)

    return row


def _comparison(floating: str, signed: str, unsigned: str) -> Row:
    def row(lanes: Lanes, x: str, y: str) -> str:
        if lanes.dtype.is_float:
            return lanes.compare("fcmp " + floating, x, y)
        return lanes.compare("icmp " + (signed if lanes.dtype.kind == "int" else unsigned), x, y)

    return row


def _rounding(name: str) -> Row:
    def row(lanes: Lanes, x: str) -> str:
        return lanes.intrinsic(name, x) if lanes.dtype.is_float else x

    return row


def _bitwise(opcode: str) -> Row:
    return lambda lanes, x, y: lanes.two(opcode, x, y)


def negate(lanes: Lanes, x: str) -> str:
    if lanes.dtype.is_float:
        return lanes.neg(x)
    return x if lanes.dtype.is_bool else lanes.two("sub", lanes.bits(0), x)


def absolute(lanes: Lanes, x: str) -> str:
    if lanes.dtype.is_float:
        return lanes.abs(x)
    if lanes.dtype.kind != "int":
        return x
    negative = lanes.compare("icmp slt", x, lanes.bits(0))
    return lanes.select(negative, lanes.two("sub", lanes.bits(0), x), x)


def invert(lanes: Lanes, x: str) -> str:
    return lanes.two("xor", x, lanes.number(True) if lanes.dtype.is_bool else lanes.bits(-1))


def reciprocal(lanes: Lanes, x: str) -> str:
    return lanes.div(lanes.number(1.0), x)


def _extreme(floating: str, signed: str, unsigned: str, logical: str) -> Row:
    """MAXIMUM and MINIMUM. A compare and a select are one `vmaxps`, which gives its second operand
    when either is NaN; the second select brings back a NaN in the first."""

    def row(lanes: Lanes, x: str, y: str) -> str:
        if lanes.dtype.is_float:
            chosen = lanes.select(lanes.compare("fcmp " + floating, x, y), x, y)
            return lanes.select(lanes.is_nan(x), x, chosen)
        if lanes.dtype.is_bool:
            return lanes.two(logical, x, y)
        return lanes.intrinsic(signed if lanes.dtype.kind == "int" else unsigned, x, y)

    return row


# --- integer division, guarded: no operand may trap -----------------------------------------------


def _safe_divisor(lanes: Lanes, y: str) -> tuple[str, str, str]:
    """(divisor that is neither 0 nor -1, `y == 0`, `y == -1`)."""
    zero = lanes.compare("icmp eq", y, lanes.bits(0))
    one = lanes.bits(1)
    if lanes.dtype.kind != "int":
        return lanes.select(zero, one, y), zero, "false"
    minus = lanes.compare("icmp eq", y, lanes.bits(-1))
    return lanes.select(minus, one, lanes.select(zero, one, y)), zero, minus


def _quotient(lanes: Lanes, x: str, y: str) -> str:
    """The truncated quotient. No machine divides vectors of integers; in floats that hold every
    dividend exactly a quotient never rounds up to the next integer, since `1/y` is more than its
    last place: truncating it is exact."""
    bits, signed = lanes.dtype.bits, lanes.dtype.kind == "int"
    if lanes.lanes == 1 or bits > 32 or not y.startswith("%"):
        return lanes.two("sdiv" if signed else "udiv", x, y)
    into, back = ("sitofp", "fptosi") if signed else ("uitofp", "fptoui")
    wide = lanes.to(float64 if bits == 32 else float32)
    ratio = wide.div(lanes.convert(into, x, wide), lanes.convert(into, y, wide))
    return wide.convert(back, ratio, lanes)


def _floor_parts(lanes: Lanes, x: str, y: str) -> tuple[str, str, str]:
    """(truncated quotient, remainder, whether rounding down needs a correction) for signed."""
    quotient = _quotient(lanes, x, y)
    remainder = lanes.two("sub", x, lanes.two("mul", quotient, y))
    inexact = lanes.compare("icmp ne", remainder, lanes.bits(0))
    opposite = lanes.compare("icmp slt", lanes.two("xor", remainder, y), lanes.bits(0))
    return quotient, remainder, lanes.logic().two("and", inexact, opposite)


def floor_divide(lanes: Lanes, x: str, y: str) -> str:
    if lanes.dtype.is_float:
        return _float_floor_divide(lanes, x, y)
    if lanes.dtype.is_bool:
        return lanes.two("and", x, y)
    divisor, zero, minus = _safe_divisor(lanes, y)
    if lanes.dtype.kind != "int":
        return lanes.select(zero, lanes.bits(0), _quotient(lanes, x, divisor))
    quotient, _, correct = _floor_parts(lanes, x, divisor)
    floored = lanes.select(correct, lanes.two("sub", quotient, lanes.bits(1)), quotient)
    floored = lanes.select(minus, lanes.two("sub", lanes.bits(0), x), floored)
    return lanes.select(zero, lanes.bits(0), floored)


def modulo(lanes: Lanes, x: str, y: str) -> str:
    if lanes.dtype.is_float:
        return _float_modulo(lanes, x, y)
    if lanes.dtype.is_bool:
        return lanes.number(False)
    divisor, zero, minus = _safe_divisor(lanes, y)
    if lanes.dtype.kind != "int":
        whole = lanes.two("mul", _quotient(lanes, x, divisor), divisor)
        return lanes.select(zero, lanes.bits(0), lanes.two("sub", x, whole))
    _, remainder, correct = _floor_parts(lanes, x, divisor)
    floored = lanes.select(correct, lanes.two("add", remainder, divisor), remainder)
    none = lanes.logic().two("or", zero, minus)
    return lanes.select(none, lanes.bits(0), floored)


def _remainder(lanes: Lanes, x: str, y: str) -> str:
    """fmod, exactly. A quotient that the mantissa holds is, cut off, the right one or one more, and
    what either leaves is a number of the dtype. Only larger quotients (and none, of 0, infinity or
    NaN) go to the C library, lane by lane."""
    limit = {32: 2.0**23, 64: 2.0**52}.get(lanes.dtype.bits)
    if limit is None:
        return lanes.two("frem", x, y)
    builder, size, divisor = lanes.builder, lanes.abs(x), lanes.abs(y)
    quotient = lanes.div(size, divisor)
    left = lanes.fma(lanes.neg(lanes.intrinsic("trunc", quotient)), divisor, size)
    none = lanes.compare("fcmp olt", quotient, lanes.number(1.0))  # of an infinite divisor, too
    left = lanes.select(none, size, left)
    below = lanes.compare("fcmp olt", left, lanes.number(0.0))
    usual = lanes.copysign(lanes.select(below, lanes.add(left, divisor), left), x)
    some = lanes.compare("fcmp uge", quotient, lanes.number(limit))
    if lanes.lanes > 1:
        word = builder.emit(f"bitcast {lanes.mask} {some} to i{lanes.lanes}", some)
        some = builder.emit(f"icmp ne i{lanes.lanes} {word}, 0", word)
    return builder.emit_rare(some, lanes.type, usual, f"frem {lanes.type} {x}, {y}", x, y)


def _float_modulo(lanes: Lanes, x: str, y: str) -> str:
    """fmod, moved by the divisor where the signs differ."""
    remainder = _remainder(lanes, x, y)
    zero = lanes.number(0.0)
    logic = lanes.logic()
    differ = logic.two(
        "xor", lanes.compare("fcmp olt", remainder, zero), lanes.compare("fcmp olt", y, zero)
    )
    differ = logic.two("and", differ, lanes.compare("fcmp une", remainder, zero))
    return lanes.select(differ, lanes.add(remainder, y), remainder)


def _float_floor_divide(lanes: Lanes, x: str, y: str) -> str:
    """`(x - mod) / y`, which is whole up to rounding, made whole."""
    remainder = _remainder(lanes, x, y)
    zero, one = lanes.number(0.0), lanes.number(1.0)
    logic = lanes.logic()
    quotient = lanes.div(lanes.sub(x, remainder), y)
    differ = logic.two(
        "xor", lanes.compare("fcmp olt", remainder, zero), lanes.compare("fcmp olt", y, zero)
    )
    inexact = lanes.compare("fcmp une", remainder, zero)
    lower = lanes.select(logic.two("and", differ, inexact), lanes.sub(quotient, one), quotient)
    whole = lanes.intrinsic("floor", lower)
    far = lanes.compare("fcmp ogt", lanes.sub(lower, whole), lanes.number(0.5))
    whole = lanes.select(far, lanes.add(whole, one), whole)
    plain = lanes.div(x, y)
    whole = lanes.select(lanes.compare("fcmp une", lower, zero), whole, lanes.copysign(zero, plain))
    return lanes.select(lanes.compare("fcmp oeq", y, zero), plain, whole)


# --- shifts ---------------------------------------------------------------------------------------


def _shift_count(lanes: Lanes, y: str, otherwise: int) -> tuple[str, str]:
    """(whether the count is inside [0, bits), a count that is)."""
    inside = lanes.compare("icmp ult", y, lanes.bits(lanes.dtype.bits))
    return inside, lanes.select(inside, y, lanes.bits(otherwise))


def shift_left(lanes: Lanes, x: str, y: str) -> str:
    inside, count = _shift_count(lanes, y, 0)
    return lanes.select(inside, lanes.two("shl", x, count), lanes.bits(0))


def shift_right(lanes: Lanes, x: str, y: str) -> str:
    if lanes.dtype.kind == "int":  # the last count leaves the sign in every bit
        return lanes.two("ashr", x, _shift_count(lanes, y, lanes.dtype.bits - 1)[1])
    inside, count = _shift_count(lanes, y, 0)
    return lanes.select(inside, lanes.two("lshr", x, count), lanes.bits(0))


# --- integer powers: a private function with a loop, called lane by lane --------------------------

_POWER = """define private i64 @picograd_power(i64 %base, i64 %exponent) nounwind {
entry:
  br label %loop
loop:
  %result = phi i64 [ 1, %entry ], [ %chosen, %next ]
  %square = phi i64 [ %base, %entry ], [ %squared, %next ]
  %left = phi i64 [ %exponent, %entry ], [ %half, %next ]
  %more = icmp ne i64 %left, 0
  br i1 %more, label %next, label %exit
next:
  %low = and i64 %left, 1
  %odd = icmp ne i64 %low, 0
  %product = mul i64 %result, %square
  %chosen = select i1 %odd, i64 %product, i64 %result
  %squared = mul i64 %square, %square
  %half = lshr i64 %left, 1
  br label %loop
exit:
  ret i64 %result
}"""


def power(lanes: Lanes, x: str, y: str) -> str:
    """POW. Of integers: wrapping; to a negative power only 1 and -1 have whole results, others
    give 0."""
    dtype = lanes.dtype
    if dtype.is_float:
        return llvm_math.function(Op.POW, lanes, x, y)
    if dtype.is_bool:
        return lanes.two("or", x, invert(lanes, y))
    builder = lanes.builder
    builder.helpers["picograd_power"] = _POWER
    wide = builder.lanes(uint64, lanes.lanes)
    base = cast(builder, x, dtype, uint64, lanes.lanes)
    exponent = cast(builder, y, dtype, uint64, lanes.lanes)
    total = llvm_math.by_lane(wide, "picograd_power", base, exponent)
    result = cast(builder, total, uint64, dtype, lanes.lanes)
    if dtype.kind != "int":
        return result
    odd = lanes.compare("icmp ne", lanes.two("and", y, lanes.bits(1)), lanes.bits(0))
    sign = lanes.select(odd, lanes.bits(-1), lanes.bits(1))
    inverse = lanes.select(lanes.compare("icmp eq", x, lanes.bits(-1)), sign, lanes.bits(0))
    inverse = lanes.select(lanes.compare("icmp eq", x, lanes.bits(1)), lanes.bits(1), inverse)
    negative = lanes.compare("icmp slt", y, lanes.bits(0))
    return lanes.select(negative, inverse, result)


# --- the table ------------------------------------------------------------------------------------


def _transcendental(op: Op) -> Row:
    return lambda lanes, x: llvm_math.function(op, lanes, x)


ROWS: dict[Op, Row] = {
    Op.NEG: negate,
    Op.ABS: absolute,
    Op.NOT: invert,
    Op.SQRT: lambda lanes, x: lanes.intrinsic("sqrt", x),
    Op.RECIPROCAL: reciprocal,
    **{op: _transcendental(op) for op in llvm_math.UNARY},
    Op.FLOOR: _rounding("floor"),
    Op.CEIL: _rounding("ceil"),
    Op.TRUNC: _rounding("trunc"),
    Op.ROUND: _rounding("roundeven"),
    Op.ADD: _choose("fadd", "add", "or"),
    Op.SUB: _choose("fsub", "sub", "xor"),
    Op.MUL: _choose("fmul", "mul", "and"),
    Op.DIV: lambda lanes, x, y: lanes.div(x, y),
    Op.FLOORDIV: floor_divide,
    Op.MOD: modulo,
    Op.POW: power,
    Op.MAXIMUM: _extreme("ogt", "smax", "umax", "or"),
    Op.MINIMUM: _extreme("olt", "smin", "umin", "and"),
    Op.EQ: _comparison("oeq", "eq", "eq"),
    Op.NE: _comparison("une", "ne", "ne"),
    Op.LT: _comparison("olt", "slt", "ult"),
    Op.LE: _comparison("ole", "sle", "ule"),
    Op.AND: _bitwise("and"),
    Op.OR: _bitwise("or"),
    Op.XOR: _bitwise("xor"),
    Op.SHL: shift_left,
    Op.SHR: shift_right,
}
# These three see operands of several dtypes and are written out in `compute`.
SPECIAL = frozenset({Op.CAST, Op.BITCAST, Op.WHERE})
COMPLEX = frozenset({Op.COMPLEX, Op.REAL, Op.IMAG})
RENDERED = frozenset(ROWS) | SPECIAL
MISSING = ELEMENTWISE - RENDERED - COMPLEX

COMBINE = {
    Combiner.SUM: Op.ADD,
    Combiner.PROD: Op.MUL,
    Combiner.MAX: Op.MAXIMUM,
    Combiner.MIN: Op.MINIMUM,
}


def compute(
    builder: Builder,
    op: Op,
    dtype: DType,
    lanes: int,
    operands: tuple[str, ...],
    sources: tuple[DType, ...],
) -> str:
    """One elementwise op, rounded to `dtype`."""
    if op is Op.CAST:
        return cast(builder, operands[0], sources[0], dtype, lanes)
    if op is Op.BITCAST:
        return bitcast(builder, operands[0], sources[0], dtype, lanes)
    if op is Op.WHERE:
        return builder.lanes(dtype, lanes).select(*operands)
    source = sources[0]
    if source not in NARROW:
        return ROWS[op](builder.lanes(source, lanes), *operands)
    wide = [widen(builder, operand, source, lanes) for operand in operands]
    result = ROWS[op](builder.lanes(float32, lanes), *wide)
    return narrow(builder, result, dtype, lanes)


def multiply_add(lanes: Lanes, x: str, y: str, z: str) -> str:
    """`x*y + z`: fused for floats where the machine can (float16 and bfloat16 within float32)."""
    builder, dtype = lanes.builder, lanes.dtype
    if not dtype.is_float:
        add, multiply = ("or", "and") if dtype.is_bool else ("add", "mul")
        return lanes.two(add, lanes.two(multiply, x, y), z)
    if dtype not in NARROW:
        return lanes.intrinsic("fmuladd", x, y, z)
    wide = [widen(builder, operand, dtype, lanes.lanes) for operand in (x, y, z)]
    return narrow(builder, lanes.to(float32).intrinsic("fmuladd", *wide), dtype, lanes.lanes)


def multiply_add_pairs(builder: Builder, lanes: int, c: str, a: str, b: str) -> str:
    """`c` plus the products of pairs of bfloat16, by x86's instruction."""
    name, kind = "llvm.x86.avx512bf16.dpbf16ps.512", f"<{lanes} x float>"
    pairs = f"<{2 * lanes} x bfloat>"
    builder.declare(name, kind, f"{kind}, {pairs}, {pairs}")
    a, b = (builder.emit(f"bitcast <{2 * lanes} x i16> {x} to {pairs}", x) for x in (a, b))
    return builder.emit(f"call {kind} @{name}({kind} {c}, {pairs} {a}, {pairs} {b})", c, a, b)


def fold(builder: Builder, combiner: Combiner, dtype: DType, value: str, lanes: int) -> str:
    """All lanes combined: the upper half into the lower one, again and again."""
    op = COMBINE[combiner]
    element = builder.lanes(dtype, 1).element
    while lanes > 1:
        half = lanes // 2
        low = builder.shuffle(element, lanes, value, list(range(half)))
        high = builder.shuffle(element, lanes, value, list(range(half, 2 * half)))
        rest = None
        if lanes % 2:
            rest = builder.emit(
                f"extractelement {vector(element, lanes)} {value}, i64 {lanes - 1}", value
            )
        value = compute(builder, op, dtype, half, (low, high), (dtype, dtype))
        lanes = half
        if rest is not None:
            whole = fold(builder, combiner, dtype, value, lanes)
            return compute(builder, op, dtype, 1, (whole, rest), (dtype, dtype))
    return value
