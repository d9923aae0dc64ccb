"""Rules of bits, comparisons, selections and conversions. All are exact to the bit.

In: nothing. Out: `RULES`, which `rules.py` joins with the other tables.

>>> from picograd.dtypes import float32, int16
>>> holds_all(float32, int16), holds_all(int16, float32)
(True, False)
"""

from __future__ import annotations

from picograd.dtypes import DType, real_of
from picograd.graph.build import cast, uniform_constant
from picograd.graph.node import make
from picograd.graph.ops import CastAttr, Op
from picograd.graph.rewrite import Match, Pattern, Rule
from picograd.graph.rules_elementwise import give, give_constant, give_unary, is_constant, is_exact

X, Y, C = Pattern(name="x"), Pattern(name="y"), Pattern(name="c")


def _all_bits(match: Match) -> bool:
    attr = uniform_constant(match["c"])
    if attr is None:
        return False
    ones = (1 << attr.dtype.bits) - 1
    return attr.value is True if attr.dtype.is_bool else (int(attr.value.real) & ones) == ones


_BOOLEAN = (
    Rule(
        "and all ones",
        Pattern(Op.AND, (X, C)),
        give("x"),
        condition=_all_bits,
        why="x & ~0 is x",
    ),
    Rule(
        "and zero",
        Pattern(Op.AND, (X, C)),
        give("c"),
        condition=is_constant(0, floats=False),
        why="x & 0 is 0",
    ),
    Rule(
        "or all ones",
        Pattern(Op.OR, (X, C)),
        give("c"),
        condition=_all_bits,
        why="x | ~0 is ~0",
    ),
    Rule(
        "no bits",
        Pattern(frozenset({Op.OR, Op.XOR}), (X, C)),
        give("x"),
        condition=is_constant(0, floats=False),
        why="x | 0 and x ^ 0 are x",
    ),
    Rule(
        "shift by nothing",
        Pattern(frozenset({Op.SHL, Op.SHR}), (X, C)),
        give("x"),
        condition=is_constant(0, floats=False),
        why="x << 0 is x",
    ),
    Rule(
        "same twice",
        Pattern(frozenset({Op.AND, Op.OR, Op.MAXIMUM, Op.MINIMUM}), (X, X)),
        give("x"),
        why="these are idempotent, for NaN too",
    ),
    Rule(
        "less than itself",
        Pattern(Op.LT, (X, X)),
        give_constant(False),
        why="never, for NaN neither",
    ),
    Rule(
        "equal to itself",
        Pattern(frozenset({Op.EQ, Op.LE}), (X, X)),
        give_constant(True),
        condition=lambda m: is_exact(m["x"]),
        why="always where there is no NaN",
    ),
    Rule(
        "differs from itself",
        Pattern(Op.NE, (X, X)),
        give_constant(False),
        condition=lambda m: is_exact(m["x"]),
        why="never where there is no NaN",
    ),
    Rule(
        "bool is not false",
        Pattern(Op.NE, (X, C)),
        give("x"),
        condition=lambda m: m["x"].dtype.is_bool and is_constant(False, floats=False)(m),
        why="b != false is b",
    ),
    Rule(
        "bool is true",
        Pattern(Op.EQ, (X, C)),
        give("x"),
        condition=lambda m: m["x"].dtype.is_bool and is_constant(True, floats=False)(m),
        why="b == true is b",
    ),
    Rule(
        "bool is false",
        Pattern(Op.EQ, (X, C)),
        give_unary(Op.NOT),
        condition=lambda m: m["x"].dtype.is_bool and is_constant(False, floats=False)(m),
        why="b == false is ~b",
    ),
)

_SELECTION = (
    Rule(
        "where true",
        Pattern(Op.WHERE, (C, X, Y)),
        give("x"),
        condition=is_constant(True, floats=False),
        why="the condition always holds",
    ),
    Rule(
        "where false",
        Pattern(Op.WHERE, (C, X, Y)),
        give("y"),
        condition=is_constant(False, floats=False),
        why="the condition never holds",
    ),
    Rule(
        "where of one value",
        Pattern(Op.WHERE, (C, X, X)),
        give("x"),
        why="both choices are the same",
    ),
    Rule(
        "where not",
        Pattern(Op.WHERE, (Pattern(Op.NOT, (C,)), X, Y)),
        lambda m: make(Op.WHERE, (m["c"], m["y"], m["x"])),
        why="choosing by ~c is choosing the other way round by c",
    ),
    Rule(
        "where true else false",
        Pattern(Op.WHERE, (Pattern(name="b"), X, C)),
        give("b"),
        condition=lambda m: (
            m["x"].dtype.is_bool
            and is_constant(False, floats=False)(m)
            and is_constant(True, floats=False)({"c": m["x"]})
        ),
        why="the choice is the condition itself",
    ),
)


# --- conversions ----------------------------------------------------------------------------------


def holds_all(wide: DType, narrow: DType) -> bool:
    """True when every number of `narrow` is a number of `wide`."""
    if wide is narrow or narrow.is_bool:
        return True
    return _holds_real(real_of(wide), narrow)


_DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
_FLOATS_WITHIN = {
    "float16": {"float16"},
    "bfloat16": {"bfloat16"},
    "float32": {"float16", "bfloat16", "float32"},
    "float64": {"float16", "bfloat16", "float32", "float64"},
}


def _holds_real(wide: DType, narrow: DType) -> bool:
    if narrow.is_float:
        return wide.is_float and narrow.name in _FLOATS_WITHIN[wide.name]
    if not narrow.is_integer:
        return False
    magnitude = narrow.bits - (narrow.kind == "int")
    if wide.is_float:
        return magnitude <= _DIGITS[wide.name]
    if wide.kind == "uint":
        return narrow.kind == "uint" and magnitude <= wide.bits
    return wide.kind == "int" and magnitude <= wide.bits - 1


def _cast_twice_is_once(match: Match) -> bool:
    source, middle, target = (match[name].dtype for name in ("x", "middle", "node"))
    if not holds_all(middle, source) or source.is_complex:
        return False
    if source.is_integer and middle.is_inexact and target.is_integer:
        return source.bits <= 16 or source.name == "int32"  # float -> int goes through int32
    return True


_CONVERSIONS = (
    Rule(
        "cast to the same type",
        Pattern(frozenset({Op.CAST, Op.BITCAST}), (X,)),
        give("x"),
        condition=lambda m: m["x"].dtype is m["node"].dtype,
        why="nothing changes",
    ),
    Rule(
        "cast of a cast",
        Pattern(Op.CAST, (Pattern(Op.CAST, (X,), name="middle"),)),
        lambda m: cast(m["x"], m["node"].dtype),
        condition=_cast_twice_is_once,
        why="the type between holds every number of the source, and narrowing sees the number only",
    ),
    Rule(
        "bits of bits",
        Pattern(Op.BITCAST, (Pattern(Op.BITCAST, (X,)),)),
        lambda m: make(Op.BITCAST, (m["x"],), CastAttr(m["node"].dtype)),
        why="the bits never change",
    ),
    Rule(
        "real part of a pair",
        Pattern(Op.REAL, (Pattern(Op.COMPLEX, (X, Y)),)),
        give("x"),
        why="that is what the pair was made of",
    ),
    Rule(
        "imaginary part of a pair",
        Pattern(Op.IMAG, (Pattern(Op.COMPLEX, (X, Y)),)),
        give("y"),
        why="that is what the pair was made of",
    ),
)

RULES = (*_BOOLEAN, *_SELECTION, *_CONVERSIONS)
