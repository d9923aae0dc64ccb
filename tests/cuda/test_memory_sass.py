"""Kernels that wait for memory: what a thread moves at once, by the machine code."""

from __future__ import annotations

import pytest

from picograd import dtypes
from picograd.graph.node import Node, make
from picograd.graph.ops import (
    AxesAttr,
    CastAttr,
    Combiner,
    ConstAttr,
    GatherAttr,
    Op,
    PadAttr,
    ReduceAttr,
)
from tests.cuda import sass
from tests.cuda.sass import Code
from tests.cuda.test_compile import kernels_of, reduced
from tests.graph.builders import expand, leaf

pytestmark = sass.needs_disassembler


def codes_of(*outputs: Node, architecture: int = 90) -> tuple[Code, ...]:
    texts = tuple("\n".join(kernels_of([output], architecture)) for output in outputs)
    return sass.codes(texts, f"sm_{architecture}")


def sums(dtype: dtypes.DType, shape: tuple[int, ...] = (1 << 20,)) -> Node:
    return make(Op.ADD, (leaf(0, shape, dtype), leaf(1, shape, dtype)))


def spread(shape: tuple[int, ...], dtype: dtypes.DType = dtypes.float32) -> Node:
    """A matrix and what is the same for all of its rows, or columns."""
    matrix, other = leaf(0, (512, 768), dtype), leaf(1, shape, dtype)
    return make(Op.ADD, (matrix, expand(other, (512, 768))))


def cast(source: dtypes.DType, target: dtypes.DType) -> Node:
    return make(Op.CAST, (leaf(0, (1 << 20,), source),), CastAttr(target))


def copy(dtype: dtypes.DType) -> Node:
    """Some rows, moved."""
    return make(
        Op.PAD, (leaf(0, (512, 768), dtype),), PadAttr((512, 0), (0, 0), ConstAttr(0.0, dtype))
    )


def rows_of_a_table(dtype: dtypes.DType) -> Node:
    """An embedding."""
    places = leaf(0, (1024,), dtypes.int64)
    return make(Op.GATHER, (leaf(1, (50257, 768), dtype), places), GatherAttr((0,), True))


# What is computed; the bits of each of its loads, and of its stores, the widest first.
ACCESSES = {
    "float32": (sums(dtypes.float32), [128, 128], [128]),
    "float16": (sums(dtypes.float16), [128, 128], [128]),
    "bfloat16": (sums(dtypes.bfloat16), [128, 128], [128]),
    "float64": (sums(dtypes.float64), [128, 128], [128]),
    "int64": (sums(dtypes.int64), [128, 128], [128]),
    "uint8": (sums(dtypes.uint8), [64, 64], [64]),
    "a row for all": (spread((1, 768)), [128, 128], [128]),
    "a row of float16": (spread((1, 768), dtypes.float16), [128, 128], [128]),
    "a column for all": (spread((512, 1)), [128, 32], [128]),
    "a number for all": (spread((1, 1), dtypes.bfloat16), [128, 16], [128]),
    "a copy": (copy(dtypes.float32), [128], [128]),
    "a copy of bfloat16": (copy(dtypes.bfloat16), [128], [128]),
    "float32 to bfloat16": (cast(dtypes.float32, dtypes.bfloat16), [128], [64]),
    "bfloat16 to float32": (cast(dtypes.bfloat16, dtypes.float32), [64], [128]),
    "uint8 to float32": (cast(dtypes.uint8, dtypes.float32), [32], [128]),
    "rows of a table": (rows_of_a_table(dtypes.float32), [128, 64], [128]),
    "rows of bfloat16": (rows_of_a_table(dtypes.bfloat16), [128, 64], [128]),
    "a tail": (sums(dtypes.float32, ((1 << 20) + 1,)), [128, 128, 32, 32], [128, 32]),
    "rows that begin anywhere": (
        make(Op.ADD, (leaf(0, (512, 771)), expand(leaf(1, (1, 771)), (512, 771)))), [32, 32], [32]
    ),
    "columns to rows": (
        make(Op.PERMUTE, (leaf(0, (512, 512)),), AxesAttr((1, 0))), [32], [32]
    ),
}  # fmt: skip


@pytest.mark.parametrize("architecture", [80, 90])
def test_threads_move_16_bytes(architecture: int) -> None:
    codes = codes_of(*[output for output, *_ in ACCESSES.values()], architecture=architecture)
    found = {
        name: [code.widths("LDG"), code.widths("STG")]
        for name, code in zip(ACCESSES, codes, strict=True)
    }
    assert found == {name: expected for name, (_, *expected) in ACCESSES.items()}
    assert sum(code.count("LDL", "STL") for code in codes) == 0


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


def test_a_softmax_reads_its_row_once() -> None:
    """The row stays in registers; warps combine theirs by exchanges."""
    codes = codes_of(*[softmax(1 << 16, size) for size in ROWS])
    for (size, expected), code in zip(ROWS.items(), codes, strict=True):
        found = [code.count(start) for start in ("LDG.E.128", "STG.E.128", "SHFL", "BAR")]
        assert found == list(expected), size
        assert code.count("LDG") == found[0] and code.count("LDL", "STL") == 0, size


def test_sums_of_rows_are_read_by_16_bytes() -> None:
    """Five exchanges a warp; a row of its own for each block, and one that all blocks share."""
    cases = [
        (dtype, shape, stages)
        for dtype in (dtypes.float32, dtypes.bfloat16)
        for shape, stages in (((4096, 4096), 1), ((1, 1 << 24), 2))
    ]
    sums_of = ReduceAttr(Combiner.SUM, (1,))
    nodes = [make(Op.REDUCE, (leaf(0, shape, dtype),), sums_of) for dtype, shape, _ in cases]
    for case, code in zip(cases, codes_of(*nodes), strict=True):
        stages = case[-1]
        assert set(code.widths("LDG")) - {32} == {128}, case
        assert code.count("SHFL.BFLY") == 5 * stages, case
        assert code.count("BAR") == stages and code.count("LDL", "STL") == 0, case


def test_columns_are_read_by_16_bytes() -> None:
    """Few columns are summed in two stages, each of which writes its sums."""
    cases = (((512, 4096), 2), ((256, 16384), 1))
    sums_of = ReduceAttr(Combiner.SUM, (0,))
    nodes = [make(Op.REDUCE, (leaf(0, shape),), sums_of) for shape, _ in cases]
    for (_, stages), code in zip(cases, codes_of(*nodes), strict=True):
        assert code.count("LDG") == code.count("LDG.E.128") >= stages
        assert code.count("STG") == code.count("STG.E.128") == stages
