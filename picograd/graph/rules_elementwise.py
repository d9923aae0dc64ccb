"""Rules of elementwise ops. Float rules are exact to the bit (any NaN is any NaN).

In: nothing. Out: `RULES`, which `rules.py` joins with the other tables.

>>> [rule.name for rule in RULES][:2]
['fold constants', 'constant second']
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from picograd.dtypes import DType
from picograd.graph.build import full, full_like, uniform_constant
from picograd.graph.interpret import evaluate_node
from picograd.graph.node import Node, const, make
from picograd.graph.ops import ELEMENTWISE, ConstAttr, Op
from picograd.graph.rewrite import COMMUTATIVE, Match, Pattern, Rule

X, Y, C = Pattern(name="x"), Pattern(name="y"), Pattern(name="c")
ROUNDINGS = frozenset({Op.FLOOR, Op.CEIL, Op.TRUNC, Op.ROUND})


def is_exact(node: Node) -> bool:
    """True for the types whose arithmetic is exact (modulo 2**bits)."""
    return node.dtype.is_integer or node.dtype.is_bool


def is_constant(value: int | float, *, floats: bool) -> Callable[[Match], bool]:
    """True where `c` is the real constant `value`; for -0.0 and 0.0 the sign counts."""

    def holds(match: Match) -> bool:
        attr = uniform_constant(match["c"])
        if attr is None or attr.dtype.is_complex or (attr.dtype.is_float and not floats):
            return False
        number = attr.value
        assert not isinstance(number, complex)
        if not attr.dtype.is_float:
            return number == value
        return number == value and math.copysign(1, number) == math.copysign(1, value)

    return holds


def _fold(match: Match) -> Node | None:
    node = match["node"]
    sources: list[np.ndarray] = []
    scalars: list[Node] = []
    for src in node.srcs:
        attr = uniform_constant(src)
        if attr is None:
            return None
        scalars.append(const(attr.value, attr.dtype, node.device))
        sources.append(np.asarray(attr.value).astype(attr.dtype.numpy))
    scalar = make(node.op, tuple(scalars), node.attr)
    value = evaluate_node(scalar, sources)
    number = value.astype(_python_type(node.dtype)).item()
    if node.op is Op.BITCAST and number != number:
        return None  # these bits say more than that it is NaN
    attr = ConstAttr(number, node.dtype)
    return full(make(Op.CONST, (), attr, node.device), node.shape)


def _python_type(dtype: DType) -> np.dtype:
    """The NumPy type whose `item()` is a Python number of the dtype's kind."""
    return np.dtype(np.float64) if dtype.is_float else dtype.numpy


def give(name: str) -> Callable[[Match], Node]:
    """A result: the node of that name."""
    return lambda match: match[name]


def give_constant(value: int | bool) -> Callable[[Match], Node]:
    """A result: that number everywhere."""
    return lambda match: full_like(value, match["node"])


def give_unary(op: Op) -> Callable[[Match], Node]:
    """A result: op(x)."""
    return lambda match: make(op, (match["x"],))


def give_binary(op: Op) -> Callable[[Match], Node]:
    """A result: op(x, y)."""
    return lambda match: make(op, (match["x"], match["y"]))


_ARITHMETIC = (
    Rule(
        "fold constants",
        Pattern(ELEMENTWISE),
        _fold,
        why="the interpreter's meaning of the op, applied to the numbers",
    ),
    Rule(
        "constant second",
        Pattern(COMMUTATIVE, (C, X)),
        lambda m: make(m["node"].op, m["node"].srcs[::-1]),
        condition=lambda m: (
            uniform_constant(m["node"].srcs[0]) is not None
            and uniform_constant(m["node"].srcs[1]) is None
        ),
        why="these ops are commutative; one order is enough for the rules below",
    ),
    Rule(
        "times one",
        Pattern(Op.MUL, (X, C)),
        give("x"),
        condition=is_constant(1, floats=True),
        why="x * 1 is exact in every real type (complex inf * 1 is not)",
    ),
    Rule(
        "times zero",
        Pattern(Op.MUL, (X, C)),
        give_constant(0),
        condition=is_constant(0, floats=False),
        why="integers and bools have no NaN, infinity or -0",
    ),
    Rule(
        "times minus one",
        Pattern(Op.MUL, (X, C)),
        give_unary(Op.NEG),
        condition=is_constant(-1, floats=True),
        why="x * -1 only changes the sign",
    ),
    Rule(
        "plus zero",
        Pattern(Op.ADD, (X, C)),
        give("x"),
        condition=is_constant(0, floats=False),
        why="exact for integers and bools; for floats -0 + 0 is 0",
    ),
    Rule(
        "plus minus zero",
        Pattern(Op.ADD, (X, C)),
        give("x"),
        condition=is_constant(-0.0, floats=True),
        why="x + -0.0 is x, for x = 0 and x = -0 too",
    ),
    Rule(
        "minus zero",
        Pattern(Op.SUB, (X, C)),
        give("x"),
        condition=is_constant(0, floats=True),
        why="x - 0.0 is x, for x = -0 too",
    ),
    Rule(
        "zero minus",
        Pattern(Op.SUB, (C, X)),
        give_unary(Op.NEG),
        condition=lambda m: m["x"].dtype.is_integer and is_constant(0, floats=False)(m),
        why="0 - x is -x modulo 2**bits; for floats 0 - 0 is 0 but -(0) is -0",
    ),
    Rule(
        "minus itself",
        Pattern(Op.SUB, (X, X)),
        give_constant(0),
        condition=lambda m: is_exact(m["x"]),
        why="x - x is 0 where there is no NaN or infinity",
    ),
    Rule(
        "plus negative",
        Pattern(Op.ADD, (X, Pattern(Op.NEG, (Y,)))),
        give_binary(Op.SUB),
        why="IEEE defines x - y as x + (-y)",
        condition=lambda m: not m["x"].dtype.is_complex,
    ),
    Rule(
        "minus negative",
        Pattern(Op.SUB, (X, Pattern(Op.NEG, (Y,)))),
        give_binary(Op.ADD),
        why="IEEE defines x - y as x + (-y), and -(-y) is y",
        condition=lambda m: not m["x"].dtype.is_complex,
    ),
    Rule(
        "divided by one",
        Pattern(Op.DIV, (X, C)),
        give("x"),
        condition=is_constant(1, floats=True),
        why="x / 1 is exact",
    ),
    Rule(
        "integer divided by one",
        Pattern(Op.FLOORDIV, (X, C)),
        give("x"),
        condition=is_constant(1, floats=False),
        why="x // 1 is x",
    ),
    Rule(
        "integer modulo one",
        Pattern(Op.MOD, (X, C)),
        give_constant(0),
        condition=is_constant(1, floats=False),
        why="x % 1 is 0",
    ),
    Rule(
        "divided by a power of two",
        Pattern(Op.DIV, (X, C)),
        lambda m: make(Op.MUL, (m["x"], full_like(1 / _number(m["c"]), m["c"]))),
        condition=lambda m: _has_exact_reciprocal(m["c"]),
        why="1/c is exact, so x / c and x * (1/c) round the same real number",
    ),
    Rule(
        "negate twice",
        Pattern(Op.NEG, (Pattern(Op.NEG, (X,)),)),
        give("x"),
        why="-(-x) is x, modulo 2**bits too",
    ),
    Rule(
        "not twice",
        Pattern(Op.NOT, (Pattern(Op.NOT, (X,)),)),
        give("x"),
        why="~~x is x",
    ),
    Rule(
        "absolute of negative",
        Pattern(Op.ABS, (Pattern(Op.NEG, (X,)),)),
        give_unary(Op.ABS),
        why="|-x| is |x|; for the least integer both wrap to itself",
        condition=lambda m: m["x"].dtype.is_signed,
    ),
    Rule(
        "absolute twice",
        Pattern(Op.ABS, (Pattern(Op.ABS, (X,), name="y"),)),
        give("y"),
        why="|x| is its own absolute value (the least integer stays itself)",
    ),
    Rule(
        "round an integer",
        Pattern(ROUNDINGS, (X,)),
        give("x"),
        condition=lambda m: m["x"].dtype.is_integer,
        why="integers are their own floor, ceiling and rounding",
    ),
    Rule(
        "round twice",
        Pattern(ROUNDINGS, (Pattern(ROUNDINGS, name="x"),)),
        give("x"),
        why="the inner result is integral (or NaN, infinite) already",
    ),
)


def _number(node: Node) -> float:
    attr = uniform_constant(node)
    assert attr is not None and not isinstance(attr.value, complex)
    return float(attr.value)


def _has_exact_reciprocal(node: Node) -> bool:
    attr = uniform_constant(node)
    if attr is None or not attr.dtype.is_float or isinstance(attr.value, complex):
        return False
    mantissa, exponent = math.frexp(attr.value)
    least = {"float16": 13, "bfloat16": 125, "float32": 125, "float64": 1021}[attr.dtype.name]
    return abs(mantissa) == 0.5 and abs(exponent) <= least  # c and 1/c are normal numbers


# --- powers ---------------------------------------------------------------------------------------


def _square_root(match: Match) -> Node:
    """pow(x, 0.5): sqrt, but +0 for -0 and infinity for -infinity."""
    x = match["x"]
    root = make(Op.ADD, (make(Op.SQRT, (x,)), full_like(0.0, x)))
    infinite = make(Op.EQ, (x, full_like(-math.inf, x)))
    return make(Op.WHERE, (infinite, full_like(math.inf, x), root))


def _integer_power(match: Match) -> Node:
    x = match["x"]
    square = make(Op.MUL, (x, x))
    return make(Op.MUL, (square, x if _number(match["c"]) == 3 else square))


_POWERS = (
    Rule(
        "power zero",
        Pattern(Op.POW, (X, C)),
        give_constant(1),
        condition=lambda m: is_constant(0, floats=True)(m) or is_constant(-0.0, floats=True)(m),
        why="pow(x, 0) is 1 for every x, NaN too",
    ),
    Rule(
        "power one",
        Pattern(Op.POW, (X, C)),
        give("x"),
        condition=is_constant(1, floats=True),
        why="pow(x, 1) is x",
    ),
    Rule(
        "square",
        Pattern(Op.POW, (X, C)),
        lambda m: make(Op.MUL, (m["x"], m["x"])),
        condition=is_constant(2, floats=True),
        why="both are the square rounded once",
    ),
    Rule(
        "small integer power",
        Pattern(Op.POW, (X, C)),
        _integer_power,
        condition=lambda m: is_constant(3, floats=False)(m) or is_constant(4, floats=False)(m),
        why="integer products are exact modulo 2**bits in any order",
    ),
    Rule(
        "power minus one",
        Pattern(Op.POW, (X, C)),
        give_unary(Op.RECIPROCAL),
        condition=lambda m: m["x"].dtype.is_float and is_constant(-1, floats=True)(m),
        why="both are 1/x rounded once; pow(-0, -1) is -infinity too",
    ),
    Rule(
        "square root",
        Pattern(Op.POW, (X, C)),
        _square_root,
        condition=lambda m: m["x"].dtype.is_float and is_constant(0.5, floats=True)(m),
        why="sqrt is the rounded root; adding 0 makes -0 to 0, WHERE gives pow(-inf, 0.5) = inf",
    ),
)

RULES = (*_ARITHMETIC, *_POWERS)
