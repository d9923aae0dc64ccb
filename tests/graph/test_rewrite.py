"""The rewriting engine: patterns, order, circles, deep graphs, random graphs."""

from __future__ import annotations

import random

import numpy as np
import pytest

from picograd import dtypes as dt
from picograd.errors import InternalError
from picograd.graph.interpret import interpret
from picograd.graph.node import Node, make, topological
from picograd.graph.ops import Combiner, Op, SliceAttr
from picograd.graph.rewrite import Pattern, Rule, RuleSet, rewrite
from picograd.graph.rules import simplify
from tests.graph.builders import (
    const,
    expand,
    flip,
    full,
    leaf,
    parameter,
    permute,
    reduce,
    reshape,
    same_bits,
    window,
)

X = leaf(0, (4, 6))


def update(base: Node, value: Node, starts: tuple, steps: tuple[int, ...] = (1, 1)) -> Node:
    return make(Op.UPDATE, (base, value), SliceAttr(starts, value.shape, steps))


def test_rewriting_deep_and_shared_graphs() -> None:
    x = leaf(0, ())
    for _ in range(3000):
        x = make(Op.ADD, (make(Op.MUL, (x, const(1.0))), x))
    (simple,) = simplify([x])
    assert len(topological([simple])) == 3001


def test_rules_that_go_round_in_a_circle_are_an_internal_error() -> None:
    x, y = Pattern(name="x"), Pattern(name="y")
    rules = RuleSet(
        [
            Rule("there", Pattern(Op.LT, (x, y)), lambda m: make(Op.LE, (m["x"], m["y"])), why="-"),
            Rule("back", Pattern(Op.LE, (x, y)), lambda m: make(Op.LT, (m["x"], m["y"])), why="-"),
        ]
    )
    with pytest.raises(InternalError, match="circle"):
        rewrite([make(Op.LT, (X, X))], rules)


def test_a_rule_that_changes_the_type_is_an_internal_error() -> None:
    wrong = Rule(
        "wrong", Pattern(Op.NEG, (Pattern(name="x"),)), lambda m: reduce(m["x"], 0), why="-"
    )
    with pytest.raises(InternalError, match="'wrong' turned"):
        rewrite([make(Op.NEG, (X,))], RuleSet([wrong]))


def test_patterns() -> None:
    x, y = leaf(0, (2,)), leaf(1, (2,))
    pattern = Pattern(Op.ADD, (Pattern(Op.NEG, (Pattern(name="a"),)), Pattern(name="b")))
    negative = make(Op.NEG, (y,))
    assert pattern.match(make(Op.ADD, (x, negative))) == {"a": y, "b": x}
    assert pattern.match(make(Op.SUB, (negative, x))) is None
    twice = Pattern(Op.SUB, (Pattern(name="a"), Pattern(name="a")))
    assert twice.match(make(Op.SUB, (x, y))) is None
    assert twice.match(make(Op.SUB, (x, x))) == {"a": x}


def test_random_graphs_keep_their_values(seed: int) -> None:
    """Simplification of random integer graphs never changes a bit."""
    for round_ in range(60):
        rng = random.Random(seed + round_)
        nodes = [leaf(0, (2, 3), dt.int8), leaf(1, (2, 3), dt.int8), parameter(5, dt.int8)]
        nodes[2] = expand(reshape(nodes[2], (1, 1)), (2, 3))
        nodes += [full(value, nodes[0]) for value in (0, 1, -1, 2)]
        for _ in range(25):
            a, b = rng.choice(nodes), rng.choice(nodes)
            op = rng.choice(
                [
                    Op.ADD,
                    Op.SUB,
                    Op.MUL,
                    Op.FLOORDIV,
                    Op.MOD,
                    Op.POW,
                    Op.AND,
                    Op.OR,
                    Op.XOR,
                    Op.SHL,
                    Op.SHR,
                    Op.MAXIMUM,
                    Op.NEG,
                    Op.ABS,
                    Op.NOT,
                    Op.WHERE,
                    Op.FLIP,
                    Op.UPDATE,
                    Op.REDUCE,
                    Op.RESHAPE,
                ]
            )
            nodes.append(_random_node(op, a, b, rng))
        values = np.random.default_rng(round_).integers(-128, 128, (2, 2, 3)).astype(np.int8)
        arrays = {0: values[0], 1: values[1]}
        simple = simplify(nodes[-5:])
        before = interpret(nodes[-5:], arrays, {5: 3})
        after = interpret(simple, arrays, {5: 3})
        for a, b in zip(before, after, strict=True):
            assert same_bits(a, b), seed + round_


def _random_node(op: Op, a: Node, b: Node, rng: random.Random) -> Node:
    if op in (Op.NEG, Op.ABS, Op.NOT):
        return make(op, (a,))
    if op is Op.WHERE:
        return make(op, (make(rng.choice([Op.LT, Op.EQ, Op.LE]), (a, b)), a, b))
    if op is Op.FLIP:
        return flip(a, rng.randint(0, 1))
    if op is Op.UPDATE:
        column = rng.randint(0, 2)
        return update(a, window(b, (0, rng.randint(0, 2)), (2, 1)), (0, column))
    if op is Op.REDUCE:
        summed = reduce(a, 1, combiner=rng.choice(list(Combiner)))
        return expand(reshape(summed, (2, 1)), (2, 3))
    if op is Op.RESHAPE:
        return reshape(permute(reshape(a, (3, 2)), 1, 0), (2, 3))
    return make(op, (a, b))
