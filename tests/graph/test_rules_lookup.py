"""Products of looked-up rows: done once for each row of the table, and the same numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from picograd import dtypes as dt
from picograd.graph.build import expand, permute, reshape
from picograd.graph.interpret import interpret
from picograd.graph.node import Node, make, topological
from picograd.graph.ops import Combiner, GatherAttr, Op, ScatterReduceAttr
from picograd.graph.rules import simplify
from tests.graph.builders import full, leaf, reduce
from tests.graph.simplified import applied

STEPS, BATCH, INNER, OUTER, NAMES = 30, 4, 40, 33, 5
ALL = (STEPS, BATCH, OUTER, INNER)
TABLE, INDEX = leaf(0, (NAMES, INNER)), leaf(1, (BATCH, STEPS), dt.int64)
WEIGHT, GRADIENT = leaf(2, (OUTER, INNER)), leaf(3, (STEPS, BATCH, OUTER))
ROWS = make(Op.GATHER, (TABLE, INDEX), GatherAttr((0,), False))


def times(one: Node, other: Node) -> Node:
    return make(Op.MUL, (one, other))


def looked_up() -> Node:
    return expand(reshape(permute(ROWS, (1, 0, 2)), (STEPS, BATCH, 1, INNER)), ALL)


def weight() -> Node:
    return expand(reshape(WEIGHT, (1, 1, OUTER, INNER)), ALL)


def gradient() -> Node:
    return expand(reshape(GRADIENT, (STEPS, BATCH, OUTER, 1)), ALL)


def forward() -> Node:
    return reduce(times(looked_up(), weight()), 3)


def flat() -> Node:
    count = STEPS * BATCH
    left = expand(reshape(ROWS, (count, 1, INNER)), (count, OUTER, INNER))
    right = expand(reshape(WEIGHT, (1, OUTER, INNER)), (count, OUTER, INNER))
    return reduce(times(right, left), 2)


def of_weight() -> Node:
    return reduce(times(gradient(), looked_up()), 0, 1)


def of_table() -> Node:
    value = permute(reduce(times(gradient(), weight()), 2), (1, 0, 2))
    attr = ScatterReduceAttr((0,), False, Combiner.SUM)
    return make(Op.SCATTER_REDUCE, (full(0.0, TABLE), value, INDEX), attr)


def arrays(names: int = NAMES) -> dict[int, np.ndarray]:
    """The last row of the table is named by nobody, and is no number."""
    rng = np.random.default_rng(0)
    found: dict[int, np.ndarray] = {
        node.attr.slot: rng.standard_normal(node.shape).astype(np.float32)  # type: ignore[union-attr]
        for node in (TABLE, WEIGHT, GRADIENT)
    }
    found[1] = rng.integers(0, names - 1, (BATCH, STEPS))
    found[0][-1] = np.nan
    return found


CASES = [
    ("product of looked-up rows", forward, 0.0),
    ("product of looked-up rows", flat, 0.0),
    ("product with looked-up rows", of_weight, 1e-5),
    ("sums by index of a product", of_table, 2e-5),
]


@pytest.mark.parametrize(("rule", "graph", "tolerance"), CASES)
def test_one_row_for_each_row_of_the_table(
    rule: str, graph: Callable[[], Node], tolerance: float
) -> None:
    node = graph()
    (simple,), names = applied([node])
    assert rule in names
    products = [n for n in topological([simple]) if n.op is Op.MUL]
    assert [n.size for n in products] == [NAMES * INNER * OUTER]
    (want,), (got,) = (interpret([n], arrays()) for n in (node, simple))
    assert np.abs(want - got).max() <= tolerance


def test_gradients_share_the_sums_by_index() -> None:
    nodes = topological(simplify([of_weight(), of_table()]))
    assert len([node for node in nodes if node.op is Op.SCATTER_REDUCE]) == 1


def test_what_does_not_pay_or_is_something_else_stays() -> None:
    attr = GatherAttr((0,), False)
    many = make(Op.GATHER, (leaf(0, (100, INNER)), INDEX), attr)
    large = expand(reshape(many, (BATCH, STEPS, 1, INNER)), (BATCH, STEPS, OUTER, INNER))
    narrow = expand(reshape(WEIGHT, (1, 1, OUTER, INNER)), (BATCH, STEPS, OUTER, INNER))
    large_table = reduce(times(large, narrow), 3)
    of_rows = reduce(times(looked_up(), weight()), 2)  # the row's elements are kept, nothing else
    own = expand(reshape(leaf(4, (STEPS, 1, OUTER, INNER)), (STEPS, 1, OUTER, INNER)), ALL)
    other_weights = reduce(times(looked_up(), own), 3)  # a weight for each step
    for node in (large_table, of_rows, other_weights):
        assert simplify([node])[0].op is Op.REDUCE
