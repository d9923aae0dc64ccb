"""Rows added by index: part by part, row by row, in the order of the rows."""

from __future__ import annotations

import numpy as np
import pytest

import picograd as torch
from picograd.codegen.pipeline import compile_function
from picograd.codegen.scatter_rows import row_by_row
from picograd.codegen.target import AVX512
from picograd.graph.node import make
from picograd.graph.ops import Combiner, LeafAttr, Op, ScatterReduceAttr
from picograd.schedule.kernel import Kernel, Pattern
from picograd.schedule.plan import plan


def scatter(columns: int) -> Kernel:
    shapes = [(5, columns), (90, columns), (90,)]
    dtypes = [torch.float32, torch.float32, torch.int64]
    base, value, index = (
        make(Op.BUFFER, (), LeafAttr(slot, shape, dtype), "cpu")
        for slot, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=True))
    )
    attr = ScatterReduceAttr((0,), True, Combiner.SUM)
    program = plan([make(Op.SCATTER_REDUCE, (base, value, index), attr)])
    return next(s.kernel for s in program.steps if s.kernel.pattern is Pattern.SERIAL)


def test_a_part_of_the_columns_is_the_innermost_loop() -> None:
    (stage,) = row_by_row(scatter(192)).stages
    assert [var.name for var in stage.inner] == ["part"] and stage.reduce[-1].name == "along"
    assert (stage.inner[-1].high, stage.reduce[-1].high) == (1, 95)
    compile_function(scatter(192), AVX512)


@pytest.mark.parametrize("columns", [1, 100, 131])
def test_short_and_odd_rows_stay(columns: int) -> None:
    kernel = scatter(columns)
    assert row_by_row(kernel) is kernel


@pytest.mark.host("a GPU adds many rows of one place in chunks")
@pytest.mark.parametrize("columns", [100, 128, 192, 1000])
def test_sums_have_the_bits_of_one_row_after_the_other(columns: int) -> None:
    rng = np.random.default_rng(0)
    index, value = rng.integers(0, 5, 90), rng.standard_normal((90, columns)).astype(np.float32)
    want = np.zeros((5, columns), np.float32)
    np.add.at(want, index, value)
    got = torch.zeros(5, columns).index_add(0, torch.tensor(index), torch.tensor(value))
    np.testing.assert_array_equal(got.numpy(), want)
