"""What the fuzzer found, each as the smallest graph that showed it."""

from __future__ import annotations

import numpy as np
import pytest

from picograd import dtypes
from picograd.dtypes import DType
from picograd.graph.node import Node, make
from picograd.graph.ops import Combiner, ConstAttr, GatherAttr, Op, PadAttr, ScanAttr
from tests.fuzz.compare import compare
from tests.fuzz.machines import MACHINES
from tests.fuzz.parts import Case
from tests.graph.builders import expand, leaf, reduce, reshape


def check(outputs: list[Node], *arrays: np.ndarray, donated: tuple[int, ...] = ()) -> None:
    """On every machine."""
    for machine in range(len(MACHINES)):
        case = Case(outputs, list(arrays), [], frozenset(donated), machine)
        found = compare(case)
        assert found is None, f"{MACHINES[machine].name}: {found}"


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("dtype", [dtypes.bfloat16, dtypes.uint8, dtypes.float16, dtypes.float32])
@pytest.mark.parametrize("extent", [17, 33, 65])
def test_the_last_lane_of_a_row_leaves_the_next_row_alone(dtype: DType, extent: int) -> None:
    """LLVM stored four bytes for the only lane of a vector that it had truncated."""
    x, y = leaf(0, (9, extent), dtype), leaf(1, (9, 1), dtype)
    changed = make(Op.SUB, (make(Op.MUL, (x, x)), expand(y, x.shape)))
    arrays = [(numbers(*node.shape) * 5 + 8).astype(dtype.numpy) for node in (x, y)]
    check([changed], *arrays, donated=(0,))


def test_nothing_scattered_is_the_base_itself() -> None:
    """Readers of the result did not wait for the copy of the base."""
    base, table = leaf(0, (5,), dtypes.complex64), leaf(2, (0,), dtypes.int64)
    value = leaf(1, (0,), dtypes.complex64)
    scattered = make(Op.SCATTER, (base, value, table), GatherAttr((0,), True))
    arrays = [np.arange(5) * (1 + 2j), np.zeros(0), np.zeros(0)]
    types = [np.complex64, np.complex64, np.int64]
    inputs = [a.astype(t) for a, t in zip(arrays, types, strict=True)]
    check([reshape(base, (5, 1)), scattered, make(Op.MUL, (scattered, scattered))], *inputs)


def test_an_output_that_is_an_input_of_another_shape_is_not_overwritten() -> None:
    column, row = leaf(0, (3, 1), dtypes.int32), leaf(0, (3,), dtypes.int32)
    value, table = leaf(1, (4,), dtypes.int32), leaf(2, (4,), dtypes.int64)
    scattered = make(Op.SCATTER, (row, value, table), GatherAttr((0,), True))
    arrays = [np.arange(n) - 1 for n in (3, 4)]
    inputs = [a.astype(np.int32) for a in arrays]
    check([column, scattered], *inputs, np.array([2, 1, 1, 0]), donated=(0,))


def test_a_sum_of_axes_around_another_on_short_vectors() -> None:
    check([reduce(leaf(0, (4, 7, 3, 4)), 0, 1, 3)], numbers(4, 7, 3, 4))


def test_rows_of_running_sums_are_not_shared() -> None:
    """Threads kept the running sums of different rows in one place."""
    x = leaf(0, (300, 250))
    running = make(Op.SCAN, (x,), ScanAttr(Combiner.SUM, 1))
    wide = expand(reshape(running, (300, 250, 1)), (300, 250, 2))
    check([make(Op.MUL, (wide, leaf(1, (300, 250, 2))))], numbers(300, 250), numbers(300, 250, 2))


def test_blocks_within_blocks_have_variables_of_their_own() -> None:
    """Both loops of a twice split maximum were called `block`."""
    x = leaf(0, (1025, 1))
    shifted = make(Op.ADD, (make(Op.EXP, (x,)), expand(reshape(leaf(1, ()), (1, 1)), x.shape)))
    running = make(Op.SCAN, (shifted,), ScanAttr(Combiner.SUM, 0))
    best = reduce(shifted, 0, combiner=Combiner.MAX)
    check(
        [make(Op.SUB, (running, expand(reshape(best, (1, 1)), x.shape)))],
        numbers(1025, 1),
        numbers(),
    )


def test_padding_of_a_repeated_element_is_seen_in_every_lane() -> None:
    """One element in all lanes is loaded without its mask: what is padded must be chosen."""
    spread = reshape(expand(leaf(0, (1, 1)), (3, 1)), (1, 3, 1))
    zero = ConstAttr(0.0, dtypes.float32)
    check([make(Op.PAD, (spread,), PadAttr((0, 0, 0), (3, 3, 0), zero))], numbers(1, 1))
