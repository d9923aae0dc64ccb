"""What NVIDIA's compiler makes of running combinations: no spills, few registers, all GPUs."""

from __future__ import annotations

import re

import pytest

from picograd import dtypes
from picograd.codegen.cuda.ops import PRELUDE
from picograd.graph.node import make
from picograd.graph.ops import Combiner, Op, ScanAttr
from tests.cuda import nvrtc
from tests.cuda.test_compile import kernels_of, needs_nvrtc
from tests.graph.builders import leaf

SCANS = {
    "rows": ((2048, 4096), 1, dtypes.float32),
    "long rows": ((3, 52_001), 1, dtypes.float64),
    "short rows": ((4096, 40), 1, dtypes.int64),
    "columns": ((3000, 96), 0, dtypes.bfloat16),
    "narrow": ((64, 1000), 1, dtypes.int8),
}


@needs_nvrtc
@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
def test_scans(architecture: str) -> None:
    for name, (shape, axis, dtype) in SCANS.items():
        attr = ScanAttr(Combiner.MAX if dtype is dtypes.int8 else Combiner.SUM, axis)
        (text,) = kernels_of([make(Op.SCAN, (leaf(0, shape, dtype),), attr)])
        assert "__syncthreads()" in text or "__shfl_xor_sync(" in text, name
        _, log = nvrtc.compile_source(f"{PRELUDE}\n{text}", architecture, "--ptxas-options=-v")
        assert " 0 bytes spill stores" in log, (name, log)
        assert int(re.findall(r"Used (\d+) registers", log)[0]) <= 64, (name, log)


def test_rows_are_read_by_16_bytes() -> None:
    (text,) = kernels_of([make(Op.SCAN, (leaf(0, (64, 4096)),), ScanAttr(Combiner.SUM, 1))])
    assert "*(const pg_vec<float, 4>*)" in text and "*(pg_vec<float, 4>*)" in text
