"""One-hot sums become gathers, and their look-alikes do not."""

from __future__ import annotations

import numpy as np
import pytest

from picograd import dtypes as dt
from picograd.graph.node import Node, make, topological
from picograd.graph.ops import Combiner, Op
from picograd.graph.rules import simplify
from tests.graph.builders import cast, expand, full, iota, leaf, reduce, reshape
from tests.graph.simplified import arrays_of, check


def one_hot(index: Node, extent: int) -> Node:
    """index[...] -> bool[..., extent]"""
    shape = (*index.shape, extent)
    positions = expand(
        reshape(iota(extent, index.dtype), (1,) * len(index.shape) + (extent,)), shape
    )
    return make(Op.EQ, (expand(reshape(index, (*index.shape, 1)), shape), positions))


INDEX = leaf(1, (2, 3), dt.int64)
TABLE = leaf(0, (5, 4))


def embedding(index: Node, table: Node) -> Node:
    hot = cast(cast(one_hot(index, 5), dt.int64), dt.float32)
    hot = expand(reshape(reshape(hot, (6, 5)), (6, 5, 1)), (6, 5, 4))
    return reduce(make(Op.MUL, (hot, expand(reshape(table, (1, 5, 4)), (6, 5, 4)))), 1)


@pytest.mark.parametrize("low", [0, -2])
def test_one_hot_products_become_gathers(low: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(5, 4)).astype(np.float32)
    index = rng.integers(low, 5 - low, (2, 3))
    simple = check("one-hot sum", embedding(INDEX, TABLE), [table, index])
    assert any(node.op is Op.GATHER for node in topological([simple]))
    assert not any(node.op is Op.REDUCE for node in topological([simple]))


def test_one_hot_choice_of_each_row(seed: int) -> None:
    """The loss of a lecture: sum over classes of where(class == target, score, 0)."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(2, 3, 5)).astype(np.float32)
    scores[0, 0, :] = np.inf
    index = rng.integers(-1, 6, (2, 3))
    x = leaf(0, (2, 3, 5))
    chosen = make(Op.WHERE, (one_hot(INDEX, 5), x, full(0.0, x)))
    simple = check("one-hot choice", reduce(chosen, 2), [scores, index])
    gather = next(node for node in topological([simple]) if node.op is Op.GATHER)
    assert len(gather.srcs) == 4  # both batch axes are looked up together with the class


def test_one_hot_in_front(seed: int) -> None:
    """A lecture's embedding by hand: (weights * one_hot).sum(0), the class axis first."""
    rng = np.random.default_rng(seed)
    index = leaf(1, (), dt.int32)
    hot = make(Op.EQ, (iota(5, dt.int32), expand(reshape(index, (1,)), (5,))))
    hot = expand(reshape(cast(hot, dt.float32), (5, 1)), (5, 4))
    table = rng.normal(size=(5, 4)).astype(np.float32)
    for value in (-1, 0, 3, 4, 5):
        node = reduce(make(Op.MUL, (hot, TABLE)), 0)
        check("one-hot sum", node, [table, np.array(value, np.int32)])


def test_look_alikes_of_one_hot_stay_sums() -> None:
    hot = cast(one_hot(INDEX, 5), dt.float32)
    position = reduce(
        make(Op.MUL, (hot, expand(reshape(leaf(0, (2, 3)), (2, 3, 1)), (2, 3, 5)))), 2
    )
    other_axis = reduce(make(Op.MUL, (hot, leaf(0, (2, 3, 5)))), 1)
    row = expand(reshape(iota(3, dt.int64), (1, 3, 1)), (2, 3, 5))
    skewed = make(Op.EQ, (expand(reshape(iota(5, dt.int64), (1, 1, 5)), (2, 3, 5)), row))
    maximum = reduce(make(Op.MUL, (hot, leaf(0, (2, 3, 5)))), 2, combiner=Combiner.MAX)
    data = leaf(1, (2, 3, 5), dt.int64)  # the index depends on the class itself
    moving = make(Op.EQ, (data, expand(reshape(iota(5, dt.int64), (1, 1, 5)), (2, 3, 5))))
    moving = reduce(make(Op.MUL, (cast(moving, dt.float32), leaf(0, (2, 3, 5)))), 2)
    for node in (position, other_axis, maximum, moving):
        assert not any(n.op is Op.GATHER for n in topological(simplify([node])))
    chosen = reduce(make(Op.MUL, (cast(skewed, dt.float32), leaf(0, (2, 3, 5)))), 2)
    check("one-hot sum", chosen, arrays_of(chosen))  # an iota is an index too: a diagonal
