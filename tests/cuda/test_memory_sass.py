"""Kernels that wait for memory: what a thread moves at once, by the machine code."""

from __future__ import annotations

import pytest

from picograd import dtypes
from picograd.graph.node import Node, make
from picograd.graph.ops import AxesAttr, Combiner, Op, ReduceAttr
from tests.cuda import sass
from tests.cuda.test_compile import kernels_of, reduced
from tests.graph.builders import expand, leaf

pytestmark = sass.needs_disassembler

LOADS, STORES = ("LDG.E",), ("STG.E",)
WIDE_LOADS, WIDE_STORES = ("LDG.E.128",), ("STG.E.128",)


def code_of(output: Node, architecture: int = 90) -> bytes:
    (text,) = kernels_of([output], architecture)
    return sass.cubin(text, f"sm_{architecture}")


def sums(dtype: dtypes.DType, shape: tuple[int, ...] = (1 << 20,)) -> Node:
    return make(Op.ADD, (leaf(0, shape, dtype), leaf(1, shape, dtype)))


def biased() -> Node:
    return make(Op.ADD, (leaf(0, (512, 768)), expand(leaf(1, (1, 768)), (512, 768))))


# What is computed, its wide loads, all its loads, its wide stores, all its stores.
ACCESSES = {
    "float32": (sums(dtypes.float32), 2, 2, 1, 1),
    "bfloat16": (sums(dtypes.bfloat16), 2, 2, 1, 1),
    "float64": (sums(dtypes.float64), 2, 2, 1, 1),
    "a row for all": (biased(), 2, 2, 1, 1),
    "a tail": (sums(dtypes.float32, ((1 << 20) + 1,)), 2, 4, 1, 2),
    "rows that begin anywhere": (
        make(Op.ADD, (leaf(0, (512, 771)), expand(leaf(1, (1, 771)), (512, 771)))), 0, 2, 0, 1
    ),
    "columns to rows": (make(Op.PERMUTE, (leaf(0, (512, 512)),), AxesAttr((1, 0))), 0, 1, 0, 1),
}  # fmt: skip


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("name", ACCESSES)
def test_threads_move_16_bytes(name: str, architecture: int) -> None:
    output, *counts = ACCESSES[name]
    code = code_of(output, architecture)
    found = [sass.count(code, *starts) for starts in (WIDE_LOADS, LOADS, WIDE_STORES, STORES)]
    assert found == counts


def softmax(rows: int, size: int) -> Node:
    x = leaf(0, (rows, size))
    e = make(Op.EXP, (make(Op.SUB, (x, reduced(x, Combiner.MAX))),))
    return make(Op.DIV, (e, reduced(e, Combiner.SUM)))


# A row's size: the wide loads and stores of a thread, exchanges, barriers. The exponentials of the
# longest are stored on the way, and not read again.
ROWS = {
    64: (1, 1, 8, 0),
    512: (4, 4, 10, 0),
    768: (3, 3, 10, 2),
    4096: (4, 4, 10, 2),
    32768: (8, 16, 10, 2),
}


@pytest.mark.parametrize("size", ROWS)
def test_a_softmax_reads_its_row_once(size: int) -> None:
    """The row stays in registers; warps combine theirs by exchanges."""
    code = code_of(softmax(1 << 16, size))
    found = [sass.count(code, start) for start in ("LDG.E.128", "STG.E.128", "SHFL", "BAR")]
    assert found == list(ROWS[size])
    assert sass.count(code, "LDG") == found[0] and sass.count(code, "LDL", "STL") == 0


def test_columns_are_read_by_16_bytes() -> None:
    """Few columns are summed in two stages, each of which writes its sums."""
    for shape, stages in (((512, 4096), 2), ((256, 16384), 1)):
        columns = make(Op.REDUCE, (leaf(0, shape),), ReduceAttr(Combiner.SUM, (0,)))
        code = code_of(columns)
        assert sass.count(code, "LDG") == sass.count(code, "LDG.E.128") >= stages
        assert sass.count(code, "STG") == sass.count(code, "STG.E.128") == stages
