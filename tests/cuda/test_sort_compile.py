"""NVIDIA's compiler takes the kernels of sorting for all types: no spills, small arrays."""

from __future__ import annotations

import re

import pytest

from picograd import dtypes
from picograd.codegen.cuda import ordering
from tests.cuda import nvrtc
from tests.cuda.test_compile import needs_nvrtc

SHARED = 48 << 10


def check(source: str, architecture: str) -> None:
    size, log = nvrtc.compile_source(source, architecture, "--ptxas-options=-v")
    assert size, log
    assert not re.search(r"[1-9]\d* bytes spill", log), log
    assert all(int(found) <= SHARED for found in re.findall(r"(\d+) bytes smem", log)), log
    # a thousand threads of a block have 64 each
    assert all(int(found) <= 128 for found in re.findall(r"Used (\d+) registers", log)), log


@needs_nvrtc
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
def test_sorting(architecture: str) -> None:
    for dtype in (dtypes.float32, dtypes.float64, dtypes.bfloat16, dtypes.int64, dtypes.bool_):
        check(ordering.source(dtype), architecture)


def test_a_tile_fits_into_shared_memory() -> None:
    for dtype in dtypes.ALL:
        if not dtype.is_complex:
            assert ordering.LONGEST * (ordering.key_bytes(dtype) + 4) <= SHARED
