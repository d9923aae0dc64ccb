"""NVIDIA's compiler takes the kernels of sorting for all types: no spills, small arrays."""

from __future__ import annotations

import re

import pytest

from picograd import dtypes
from picograd.codegen.cuda import ordering, selecting
from picograd.codegen.cuda.ops import PRELUDE
from picograd.graph.node import make
from picograd.graph.ops import Combiner, Op, ScatterReduceAttr
from tests.cuda import nvrtc
from tests.cuda.test_compile import kernels_of, needs_nvrtc
from tests.graph.builders import leaf

SHARED = 48 << 10


def check(source: str, architecture: str) -> None:
    size, log = nvrtc.compile_source(source, architecture, "--ptxas-options=-v")
    assert size, log
    assert not re.search(r"[1-9]\d* bytes spill", log), log
    assert all(int(found) <= SHARED for found in re.findall(r"(\d+) bytes smem", log)), log
    # a thousand threads of a block have 64 each
    assert all(int(found) <= 128 for found in re.findall(r"Used (\d+) registers", log)), log


SORTED = {
    "sm_75": (dtypes.float32, dtypes.int64),
    "sm_90": (dtypes.float32, dtypes.float64, dtypes.bfloat16, dtypes.int64, dtypes.bool_),
}


@needs_nvrtc
@pytest.mark.parametrize("architecture", SORTED)
def test_sorting(architecture: str) -> None:
    for dtype in SORTED[architecture]:
        check(ordering.source(dtype), architecture)


@needs_nvrtc
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
def test_scatters(architecture: str) -> None:
    """Of an embedding's gradients, whose rows are read by 16 bytes; and of single numbers."""
    for wide, dtype in ((64, dtypes.float32), (1, dtypes.int64)):
        table, index = leaf(0, (5000, wide), dtype), leaf(1, (9000,), dtypes.int64)
        attr = ScatterReduceAttr((0,), True, Combiner.SUM)
        text = kernels_of(
            [make(Op.SCATTER_REDUCE, (table, leaf(2, (9000, wide), dtype), index), attr)]
        )[-1]  # the one before copies the table
        assert "pg_block_move_keys(" in text and "pg_run_end(" in text
        assert wide == 1 or "*(const pg_vec<float, 4>*)(a" in text
        check(f"{PRELUDE}\n{text}", architecture)


@needs_nvrtc
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
def test_selection_and_search(architecture: str) -> None:
    check(selecting.SELECTION, architecture)
    for dtype in (dtypes.float16, dtypes.int64):
        check(selecting.search(dtype), architecture)


def test_a_tile_fits_into_shared_memory() -> None:
    for dtype in dtypes.ALL:
        if not dtype.is_complex:
            assert ordering.LONGEST * (ordering.key_bytes(dtype) + 4) <= SHARED
