"""Long scans are done in blocks, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from picograd import dtypes as dt
from picograd.graph.interpret import interpret
from picograd.graph.node import Node, make, topological
from picograd.graph.ops import Combiner, Op, ScanAttr
from picograd.graph.rules import simplify
from tests.graph.builders import leaf
from tests.graph.simplified import applied, check

LONG = 1 << 16


def scan(combiner: Combiner, x: Node, axis: int) -> Node:
    return make(Op.SCAN, (x,), ScanAttr(combiner, axis))


@pytest.mark.parametrize("combiner", list(Combiner))
@pytest.mark.parametrize(("shape", "axis"), [((LONG,), 0), ((3, 100_000), 1), ((70_000, 2), 0)])
def test_blocks_give_the_same(
    combiner: Combiner, shape: tuple[int, ...], axis: int, seed: int
) -> None:
    """Integers exactly: sums and products wrap around alike."""
    x = np.random.default_rng(seed).integers(-9, 10, shape)
    simple = check("scan in blocks", scan(combiner, leaf(0, shape, dt.int64), axis), [x])
    scans = [node for node in topological([simple]) if node.op is Op.SCAN]
    assert [node.attr.axis for node in scans] == [axis, axis + 1]  # pyright: ignore


def test_floats_are_the_same_up_to_rounding(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=LONG).astype(np.float32)
    x[LONG // 2], x[-9] = np.inf, np.nan
    node = scan(Combiner.SUM, leaf(0, (LONG,)), 0)
    (simple,), names = applied([node])
    assert names == {"scan in blocks"}
    (got,) = interpret([simple], {0: x})
    np.testing.assert_allclose(got, np.cumsum(x.astype(np.float64)), 1e-3, 1e-3)


@pytest.mark.parametrize(
    ("shape", "axis", "dtype"),
    [
        ((LONG - 1,), 0, dt.float32),  # short
        ((16, LONG), 1, dt.float32),  # as many rows as a vector has lanes
        ((65_537,), 0, dt.float32),  # a prime
        ((LONG,), 0, dt.complex64),
    ],
    ids=["short", "many", "prime", "complex"],
)
def test_other_scans_stay(shape: tuple[int, ...], axis: int, dtype: dt.DType) -> None:
    node = scan(Combiner.SUM, leaf(0, shape, dtype), axis)
    assert simplify([node]) == [node]
