"""Every rule: it fires where it should, and its result equals the original to the bit.

`CASES` lists graphs by rule; a test fails when a rule has none. Elementwise cases run on every
dtype that the op takes, over all values of 8-bit types and over edge values of the others (NaN,
infinities, -0, subnormals, least and greatest integers).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from picograd import dtypes as dt
from picograd.dtypes import ALL, DType
from picograd.graph.index import Param, of
from picograd.graph.interpret import interpret
from picograd.graph.node import Node, make, topological
from picograd.graph.ops import CastAttr, Combiner, Op, SliceAttr
from picograd.graph.rules import RULES, simplify
from picograd.graph.rules_selection import holds_all
from tests.graph.builders import (
    cast,
    const,
    expand,
    flip,
    full,
    leaf,
    pad,
    permute,
    reduce,
    reshape,
    same_bits,
    window,
)
from tests.graph.simplified import applied, arrays_of, check, edge_values

FLOATS = [dt.float16, dt.bfloat16, dt.float32, dt.float64]
INTEGERS = [dtype for dtype in ALL if dtype.is_integer]
SIGNED = [dtype for dtype in INTEGERS if dtype.is_signed]
REAL = [*INTEGERS, *FLOATS]
BITS = [dt.bool_, *INTEGERS]


# --- elementwise: (rule, dtypes, graph of one leaf x) ---------------------------------------------


def bi(op: Op, value: float, swapped: bool = False) -> Callable[[Node], Node]:
    def graph(x: Node) -> Node:
        c = full(value, x)
        return make(op, (c, x) if swapped else (x, c))

    return graph


def un(*ops: Op) -> Callable[[Node], Node]:
    def graph(x: Node) -> Node:
        for op in reversed(ops):
            x = make(op, (x,))
        return x

    return graph


def both(op: Op) -> Callable[[Node], Node]:
    return lambda x: make(op, (x, x))


def ones(x: Node) -> int | bool:
    """The number whose bits are all ones."""
    return True if x.dtype.is_bool else (-1 if x.dtype.is_signed else int(x.dtype.highest))


def reciprocal_powers(x: Node) -> Node:
    for value in (2.0, -4.0, 0.25, 4096.0):
        x = make(Op.DIV, (x, full(value, x)))
    return x


def where(condition: bool) -> Callable[[Node], Node]:
    def graph(x: Node) -> Node:
        chosen = expand(reshape(const(condition, dt.bool_), (1,)), x.shape)
        return make(Op.WHERE, (chosen, x, full(1, x)))

    return graph


ELEMENTWISE: list[tuple[str, list[DType], Callable[[Node], Node]]] = [
    ("times one", [*REAL, dt.bool_], bi(Op.MUL, 1)),
    ("times one", REAL, bi(Op.MUL, 1, swapped=True)),
    ("constant second", [*REAL, dt.bool_], bi(Op.ADD, 1, swapped=True)),
    ("times zero", BITS, bi(Op.MUL, 0)),
    ("times minus one", [*SIGNED, *FLOATS], bi(Op.MUL, -1)),
    ("plus zero", BITS, bi(Op.ADD, 0)),
    ("plus minus zero", FLOATS, bi(Op.ADD, -0.0)),
    ("minus zero", [*REAL, dt.bool_], bi(Op.SUB, 0)),
    ("zero minus", INTEGERS, bi(Op.SUB, 0, swapped=True)),
    ("minus itself", BITS, both(Op.SUB)),
    ("plus negative", REAL, lambda x: make(Op.ADD, (full(3, x), un(Op.NEG)(x)))),
    ("plus negative", REAL, lambda x: make(Op.ADD, (un(Op.NEG)(x), full(5, x)))),
    ("minus negative", REAL, lambda x: make(Op.SUB, (full(6, x), un(Op.NEG)(x)))),
    ("divided by one", FLOATS, bi(Op.DIV, 1)),
    ("integer divided by one", INTEGERS, bi(Op.FLOORDIV, 1)),
    ("integer modulo one", INTEGERS, bi(Op.MOD, 1)),
    ("divided by a power of two", FLOATS, reciprocal_powers),
    ("negate twice", REAL, un(Op.NEG, Op.NEG)),
    ("not twice", BITS, un(Op.NOT, Op.NOT)),
    ("absolute of negative", [*SIGNED, *FLOATS, dt.complex64], un(Op.ABS, Op.NEG)),
    ("absolute twice", REAL, un(Op.ABS, Op.ABS)),
    *(("round an integer", INTEGERS, un(op)) for op in (Op.FLOOR, Op.CEIL, Op.TRUNC, Op.ROUND)),
    ("round twice", FLOATS, un(Op.FLOOR, Op.ROUND)),
    ("round twice", FLOATS, un(Op.CEIL, Op.TRUNC)),
    ("power zero", REAL, bi(Op.POW, 0)),
    ("power zero", FLOATS, bi(Op.POW, -0.0)),
    ("power one", REAL, bi(Op.POW, 1)),
    ("square", REAL, bi(Op.POW, 2)),
    ("small integer power", INTEGERS, bi(Op.POW, 3)),
    ("small integer power", INTEGERS, bi(Op.POW, 4)),
    ("power minus one", FLOATS, bi(Op.POW, -1)),
    ("square root", FLOATS, bi(Op.POW, 0.5)),
    ("and all ones", BITS, lambda x: bi(Op.AND, ones(x))(x)),
    ("and zero", BITS, bi(Op.AND, 0)),
    ("or all ones", BITS, lambda x: bi(Op.OR, ones(x))(x)),
    ("no bits", BITS, bi(Op.OR, 0)),
    ("no bits", BITS, bi(Op.XOR, 0)),
    ("shift by nothing", INTEGERS, bi(Op.SHL, 0)),
    ("shift by nothing", INTEGERS, bi(Op.SHR, 0)),
    ("same twice", BITS, both(Op.AND)),
    ("same twice", BITS, both(Op.OR)),
    ("same twice", [*REAL, dt.bool_], both(Op.MAXIMUM)),
    ("same twice", [*REAL, dt.bool_], both(Op.MINIMUM)),
    ("less than itself", [*REAL, dt.bool_], both(Op.LT)),
    ("equal to itself", BITS, both(Op.EQ)),
    ("equal to itself", BITS, both(Op.LE)),
    ("differs from itself", BITS, both(Op.NE)),
    ("bool is not false", [dt.bool_], bi(Op.NE, False)),
    ("bool is true", [dt.bool_], bi(Op.EQ, True)),
    ("bool is false", [dt.bool_], bi(Op.EQ, False)),
    ("where true", ALL, where(True)),
    ("where false", ALL, where(False)),
    ("where of one value", ALL, lambda x: make(Op.WHERE, (cast(x, dt.bool_), x, x))),
    (
        "where not",
        ALL,
        lambda x: make(Op.WHERE, (un(Op.NOT)(cast(x, dt.bool_)), x, full(1, x))),
    ),
    (
        "where true else false",
        [dt.bool_],
        lambda x: make(Op.WHERE, (x, full(True, x), full(False, x))),
    ),
    ("cast to the same type", ALL, lambda x: make(Op.CAST, (x,), CastAttr(x.dtype))),
    ("cast to the same type", ALL, lambda x: make(Op.BITCAST, (x,), CastAttr(x.dtype))),
    ("real part of a pair", [dt.float32], lambda x: un(Op.REAL)(both(Op.COMPLEX)(x))),
    (
        "imaginary part of a pair",
        [dt.float64],
        lambda x: un(Op.IMAG)(make(Op.COMPLEX, (full(1, x), x))),
    ),
]


@pytest.mark.parametrize(
    ("rule", "dtypes", "graph"), ELEMENTWISE, ids=[f"{n}-{c[0]}" for n, c in enumerate(ELEMENTWISE)]
)
def test_elementwise_rule(rule: str, dtypes: list[DType], graph: Callable[[Node], Node]) -> None:
    for dtype in dtypes:
        x = edge_values(dtype)
        node = graph(leaf(0, x.shape, dtype))
        if rule in ("square", "square root") and dtype is dt.float64:
            (simple,), names = applied([node])
            before, after = (interpret([n], {0: x})[0] for n in (node, simple))
            assert rule in names and np.allclose(before, after, rtol=2.3e-16, equal_nan=True)
            assert same_bits(np.signbit(before), np.signbit(after))
        else:
            check(rule, node, [x])


INEXACT = [
    ("x + 0.0", lambda x: make(Op.ADD, (x, full(0.0, x))), dt.float32),
    ("x * 0.0", lambda x: make(Op.MUL, (x, full(0.0, x))), dt.float32),
    ("0.0 - x", lambda x: make(Op.SUB, (full(0.0, x), x)), dt.float32),
    ("x - -0.0", lambda x: make(Op.SUB, (x, full(-0.0, x))), dt.float32),
    ("x - x", both(Op.SUB), dt.float32),
    ("x == x", both(Op.EQ), dt.float32),
    ("x <= x", both(Op.LE), dt.float32),
    ("x / 3", bi(Op.DIV, 3), dt.float32),
    ("x / 2**126", bi(Op.DIV, 2.0**126), dt.float32),
    ("z * 1", bi(Op.MUL, 1), dt.complex64),
    ("x ** 3", bi(Op.POW, 3), dt.float32),
]


@pytest.mark.parametrize(("name", "graph", "dtype"), INEXACT, ids=[case[0] for case in INEXACT])
def test_tempting_rules_that_are_not_exact_do_not_fire(name: str, graph, dtype: DType) -> None:
    node = graph(leaf(0, (3,), dtype))
    assert simplify([node]) == [node]


def test_folding_uses_the_interpreter() -> None:
    shape = (2, 3)
    for op in (Op.ADD, Op.DIV, Op.POW, Op.LT, Op.MAXIMUM, Op.MOD):
        for dtype in FLOATS:
            a, b = (expand(reshape(const(v, dtype), (1, 1)), shape) for v in (1.5, 0.75))
            simple = check("fold constants", make(op, (a, b)), [])
            assert simple.op is Op.EXPAND and len(topological([simple])) == 3
    assert check("fold constants", un(Op.NEG)(const(-128, dt.int8)), []) is const(-128, dt.int8)
    check("fold constants", cast(const(3e9, dt.float64), dt.int8), [])
    check("fold constants", make(Op.SQRT, (const(-1.0),)), [])
    check("fold constants", make(Op.MUL, (const(1 + 2j, dt.complex64),) * 2), [])


def test_casts_of_casts() -> None:
    fired = 0
    for source in ALL:
        x = edge_values(source)
        for middle in ALL:
            for target in ALL:
                node = cast(cast(leaf(0, x.shape, source), middle), target)
                (simple,), names = applied([node])
                fired += "cast of a cast" in names
                before, after = (interpret([n], {0: x})[0] for n in (node, simple))
                assert same_bits(before, after), (source, middle, target)
    assert fired > 300


def test_holds_all_is_true_of_every_number() -> None:
    for narrow in ALL:
        x = edge_values(narrow)
        for wide in ALL:
            if holds_all(wide, narrow) and not narrow.is_complex:
                node = cast(cast(leaf(0, x.shape, narrow), wide), narrow)
                assert same_bits(interpret([node], {0: x})[0], x), (narrow, wide)
    assert not holds_all(dt.float32, dt.int32) and not holds_all(dt.float16, dt.bfloat16)
    assert not holds_all(dt.uint8, dt.int8) and holds_all(dt.int16, dt.uint8)


def test_bits_of_bits() -> None:
    x = edge_values(dt.float32)
    middle = make(Op.BITCAST, (leaf(0, x.shape),), CastAttr(dt.int32))
    check("bits of bits", make(Op.BITCAST, (middle,), CastAttr(dt.uint32)), [x])


# --- movement -------------------------------------------------------------------------------------

A = leaf(0, (4, 6))
START, OTHER = of(Param(0, 0, 2)), of(Param(1, 0, 1))


def update(base: Node, value: Node, starts: tuple, steps: tuple[int, ...] = (1, 1)) -> Node:
    return make(Op.UPDATE, (base, value), SliceAttr(starts, value.shape, steps))


V = leaf(1, (2, 3))

MOVEMENT: list[tuple[str, Node, int]] = [
    ("move a repeated number", permute(expand(reshape(const(2.0), (1, 1)), (3, 4)), 1, 0), 3),
    ("move a repeated number", reshape(expand(reshape(const(2.0), (1,)), (12,)), (3, 4)), 3),
    ("move a repeated number", window(full(2.0, A), (1, START), (2, 2)), 3),
    ("move a repeated number", flip(full(2.0, A), 0), 3),
    ("move a repeated number", pad(full(0.0, A), (1, 0), (0, 2)), 3),
    ("reshape to the same shape", reshape(A, (4, 6)), 1),
    ("reshape to the same shape", expand(A, (4, 6)), 1),
    ("reshape of a reshape", reshape(reshape(A, (24,)), (2, 12)), 2),
    ("reshape of a reshape", reshape(reshape(A, (24,)), (4, 6)), 1),
    (
        "expand of an expand",
        expand(expand(reshape(A, (4, 1, 6, 1)), (4, 1, 6, 2)), (4, 3, 6, 2)),
        3,
    ),
    ("permute of a permute", permute(permute(reshape(A, (2, 2, 6)), 1, 2, 0), 1, 0, 2), 3),
    ("permute of a permute", permute(permute(A, 1, 0), 1, 0), 1),
    ("permute of axes of one element", permute(reshape(A, (4, 1, 6)), 1, 0, 2), 2),
    ("flip of a flip", flip(flip(A, 0, 1), 1), 2),
    ("flip of a flip", flip(flip(A, 0), 0), 1),
    ("flip of axes of one element", flip(reshape(A, (1, 24)), 0, 1), 3),
    ("pad by nothing", pad(A, (0, 0), (0, 0)), 1),
    ("pad of a pad", pad(pad(A, (1, 0), (0, 2), 3), (0, 1), (1, 1), 3), 2),
    ("slice of everything", window(A, (0, 0), (4, 6)), 1),
    ("slice of a slice", window(window(A, (1, START), (3, 2), (1, 2)), (1, 0), (2, 1)), 2),
    ("slice of a slice", window(window(A, (START, 0), (2, 6)), (OTHER, 1), (1, 2), (1, 3)), 2),
    ("slice inside a pad", window(pad(A, (1, 2), (3, 1)), (1, 2), (4, 6)), 1),
    ("slice inside a pad", window(pad(A, (1, 2), (3, 1)), (1 + START, 3), (2, 2), (1, 2)), 2),
    ("update of everything", update(A, reshape(leaf(1, (24,)), (4, 6)), (0, 0)), 2),
    ("update with nothing", update(A, leaf(1, (0, 6)), (0, 0)), 1),
    ("read what was written", window(update(A, V, (START, 1)), (START, 1), (2, 3)), 1),
    ("read beside what was written", window(update(A, V, (0, START)), (2, OTHER), (2, 3)), 2),
    ("read beside what was written", window(update(A, V, (2, START)), (0, START), (2, 3)), 2),
    ("write what was read", update(A, window(A, (START, OTHER), (2, 3)), (START, OTHER)), 1),
    ("write twice", update(update(A, V, (START, 0)), leaf(2, (2, 3)), (START, 0)), 3),
]


@pytest.mark.parametrize(
    ("rule", "node", "nodes"), MOVEMENT, ids=[f"{n}-{c[0]}" for n, c in enumerate(MOVEMENT)]
)
def test_movement_rule(rule: str, node: Node, nodes: int) -> None:
    for first in range(3):
        for second in range(2):
            values = {0: first, 1: second}
            simple = check(rule, node, arrays_of(node), values)
            assert len(topological([simple])) == nodes, simple


def test_windows_that_may_overlap_are_left_alone() -> None:
    for node in (
        window(update(A, V, (START, 0)), (OTHER, 0), (2, 3)),
        update(A, window(A, (START, 0), (2, 3)), (OTHER, 0)),
        window(pad(A, (1, 0), (1, 0)), (START, 0), (2, 6)),
        pad(pad(A, (1, 0), (0, 0), 1), (1, 0), (0, 0), 2),
    ):
        assert simplify([node]) == [node]


# --- reductions -----------------------------------------------------------------------------------


def test_a_product_of_matrices_stays_one_under_a_sum_of_its_rows() -> None:
    a = expand(reshape(leaf(0, (5, 6, 1, 7)), (5, 6, 1, 7)), (5, 6, 8, 7))
    b = expand(reshape(leaf(1, (5, 1, 8, 7)), (5, 1, 8, 7)), (5, 6, 8, 7))
    product = reduce(make(Op.MUL, (a, b)), 3)
    (rows, batch) = simplify([reduce(product, 1), reduce(product, 0)])
    assert rows.srcs[0].op is Op.REDUCE, "every product would be made for this sum alone"
    assert batch.srcs[0].op is Op.MUL, "a sum over the batch only makes the products longer"


WIDE = expand(reshape(leaf(0, (4,), dt.int8), (4, 1, 1)), (4, 50, 3))


@pytest.mark.parametrize("combiner", list(Combiner))
def test_reduction_rules(combiner: Combiner) -> None:
    for dtype in (dt.int8, dt.float32, dt.float64, dt.bool_):
        x = leaf(0, (3, 1, 4, 2), dtype)
        twice = reduce(reduce(x, 1, 3, combiner=combiner), 0, combiner=combiner)
        simple = check("reduce of a reduce", twice, arrays_of(twice))
        assert simple.op is Op.REDUCE and len(topological([simple])) <= 3
        check("reduce axes of one element", twice, arrays_of(twice))
        check("reduce axes of one element", reduce(x, 1, combiner=combiner), arrays_of(x))
        check("reduce no axes", reduce(x, combiner=combiner), arrays_of(x))
    half = leaf(0, (3, 4), dt.float16)
    twice = reduce(reduce(half, 0, combiner=combiner), 0, combiner=combiner)
    assert (simplify([twice]) == [twice]) == (combiner in (Combiner.SUM, Combiner.PROD))


@pytest.mark.parametrize("combiner", list(Combiner))
def test_repeated_products_are_reduced_once(combiner: Combiner) -> None:
    """A state of zeros times a weight, for every sequence of a batch."""
    weight = expand(reshape(leaf(0, (5, 4)), (1, 5, 4)), (3, 5, 4))
    state = full(0.0, leaf(1, (3, 5, 4)))
    node = reduce(make(Op.MUL, (weight, state)), 2, combiner=combiner)
    values = edge_values(dt.float32).astype(np.float32)
    simple = check("reduce of repeated products", node, [np.resize(values, (5, 4))])
    assert simple.op is Op.EXPAND and simple.srcs[0].shape == (1, 5)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_the_sum_of_a_matrix_product_is_no_part_of_it(axes: tuple[int, ...]) -> None:
    left = expand(reshape(leaf(0, (4, 5)), (4, 5, 1)), (4, 5, 6))
    right = expand(reshape(leaf(1, (5, 6)), (1, 5, 6)), (4, 5, 6))
    total = reduce(reduce(make(Op.MUL, (left, right)), 1), *axes)
    assert simplify([total]) == [total]


@pytest.mark.parametrize("combiner", [Combiner.SUM, Combiner.MAX, Combiner.MIN])
def test_reduce_of_an_expand(combiner: Combiner) -> None:
    values = [edge_values(dt.int8)[n : n + 4] for n in range(0, 256, 4)]
    for x in values:
        check("reduce of an expand", reduce(WIDE, 1, combiner=combiner), [x])
        check("reduce of an expand", reduce(WIDE, 0, 2, combiner=combiner), [x])
    single = expand(reshape(leaf(0, (4,)), (4, 1)), (4, 7))
    nan = np.array([np.nan, -0.0, np.inf, 1], np.float32)
    if combiner is Combiner.SUM:
        assert simplify([reduce(single, 1)]) == [reduce(single, 1)]
    else:
        check("reduce of an expand", reduce(single, 1, combiner=combiner), [nan])


# --- the tables -----------------------------------------------------------------------------------


def test_every_rule_has_a_case_and_a_reason() -> None:
    tested = {case[0] for case in ELEMENTWISE} | {case[0] for case in MOVEMENT}
    tested |= {"fold constants", "cast of a cast", "bits of bits", "one-hot sum", "one-hot choice"}
    tested |= {"reduce no axes", "reduce axes of one element", "reduce of a reduce"}
    tested |= {"reduce of an expand", "scan in blocks", "product of looked-up rows"}
    tested |= {"reduce of repeated products"}
    tested |= {"product with looked-up rows", "sums by index of a product"}
    assert {rule.name for rule in RULES.rules} == tested
    assert all(rule.why for rule in RULES.rules)
