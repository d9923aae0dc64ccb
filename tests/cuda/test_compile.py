"""Generated CUDA C compiles: of chosen and random graphs. NVRTC needs no GPU.

`test_corpus.py` compiles every kernel that the suite met.
"""

from __future__ import annotations

import re

import pytest

from picograd import dtypes
from picograd.codegen.cuda.ops import FORMS, PRELUDE
from picograd.codegen.cuda.render import cuda_kernel, cuda_source
from picograd.graph.node import Node, make
from picograd.graph.ops import ELEMENTWISE, AxesAttr, GatherAttr, Op, ReduceAttr, ShapeAttr
from picograd.graph.ops import Combiner as C
from picograd.schedule.plan import plan
from tests.cuda import nvrtc
from tests.fuzz.graphs import Generator
from tests.graph.builders import expand, leaf, reshape

needs_nvrtc = pytest.mark.skipif(
    nvrtc.library() is None, reason="NVRTC is not installed (pip install nvidia-cuda-nvrtc)"
)


def compile_all(kernels: list[str], architecture: str = "sm_80") -> None:
    source = "\n".join([PRELUDE, *dict.fromkeys(kernels)])
    size, log = nvrtc.compile_source(source, architecture)
    assert size, f"{log}\n{source}"


def kernels_of(outputs: list[Node], architecture: int = 80) -> list[str]:
    """The CUDA C of a graph's kernels; names are made distinct, since they share a file."""
    kernels = dict.fromkeys(step.kernel for step in plan(outputs).steps)
    return [cuda_kernel(kernel, architecture) for kernel in kernels]


def reduced(x: Node, combiner: C) -> Node:
    total = make(Op.REDUCE, (x,), ReduceAttr(combiner, (1,)))
    return expand(reshape(total, (x.shape[0], 1)), x.shape)


def softmax() -> Node:
    x = leaf(0, (64, 100))
    e = make(Op.EXP, (make(Op.SUB, (x, reduced(x, C.MAX))),))
    return make(Op.DIV, (e, reduced(e, C.SUM)))


def matmul(dtype: dtypes.DType) -> Node:
    a = make(Op.RESHAPE, (leaf(0, (30, 20), dtype),), ShapeAttr((30, 1, 20)))
    b = make(Op.RESHAPE, (leaf(1, (40, 20), dtype),), ShapeAttr((1, 40, 20)))
    product = make(Op.MUL, (expand(a, (30, 40, 20)), expand(b, (30, 40, 20))))
    return make(Op.REDUCE, (product,), ReduceAttr(C.SUM, (2,)))


def two_gathers() -> list[Node]:
    """Elements of two tables at computed places: one kernel that binds two indices."""

    def rows(slot: int) -> Node:
        places = make(Op.ADD, (leaf(slot, (8,), dtypes.int64), leaf(slot, (8,), dtypes.int64)))
        return make(Op.GATHER, (leaf(slot + 1, (5,)), places), GatherAttr((0,), True))

    return [rows(0), rows(2)]


def test_two_bound_indices_have_two_names() -> None:
    (text,) = kernels_of(two_gathers())
    names = re.findall(r"const (?:int|long long) (g\d+) =", text)
    assert len(names) == len(set(names)) == 2, text


def test_every_elementwise_op_has_a_form() -> None:
    apart = {Op.CAST, Op.BITCAST, Op.COMPLEX, Op.REAL, Op.IMAG}
    assert set(FORMS) == ELEMENTWISE - apart


def test_source_is_readable() -> None:
    (step,) = plan([make(Op.EXP, (leaf(0, (1000,)),))]).steps
    text = cuda_source(step.kernel)
    assert 'extern "C" __global__ void' in text
    assert "expf(" in text and "blockIdx.x" in text and "threadIdx.x" in text


@needs_nvrtc
@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90"])
def test_softmax_and_matmul(architecture: str) -> None:
    texts = kernels_of([softmax()])
    for dtype in (dtypes.float32, dtypes.float16, dtypes.bfloat16, dtypes.int32):
        texts += kernels_of([matmul(dtype)], int(architecture.removeprefix("sm_")))
    texts += kernels_of(two_gathers())
    compile_all(texts, architecture)


@needs_nvrtc
def test_random_graphs(seed: int) -> None:
    graphs = [Generator(seed + number).case().outputs for number in range(20)]
    compile_all([text for outputs in graphs for text in kernels_of(outputs)])


def test_rows_are_shared_by_threads() -> None:
    """A row of a softmax goes to a block; columns go to a block side by side."""
    (text,) = kernels_of([softmax()])
    assert "__launch_bounds__(128)" in text and "__shfl_xor_sync(" in text
    columns = make(Op.REDUCE, (leaf(0, (512, 4096)),), ReduceAttr(C.SUM, (0,)))
    (text,) = kernels_of([columns])
    assert "% 8u" in text and "__syncthreads()" in text


def test_short_rows_have_a_thread_each() -> None:
    total = make(Op.REDUCE, (leaf(0, (4096, 8)),), ReduceAttr(C.SUM, (1,)))
    (text,) = kernels_of([total])
    assert "__syncthreads()" not in text


def product(
    dtype: dtypes.DType,
    rows: int = 4096,
    columns: int = 4096,
    depth: int = 4096,
    turned: tuple[bool, bool] = (False, True),
    coarse: bool = False,
) -> Node:
    """left @ right; a factor that is turned lies in memory as its transpose."""

    def factor(slot: int, lines: int, along_depth: bool) -> Node:
        if along_depth:
            return leaf(slot, (lines, depth), dtype)
        return make(Op.PERMUTE, (leaf(slot, (depth, lines), dtype),), AxesAttr((1, 0)))

    a = make(Op.RESHAPE, (factor(0, rows, not turned[0]),), ShapeAttr((rows, 1, depth)))
    b = make(Op.RESHAPE, (factor(1, columns, turned[1]),), ShapeAttr((1, columns, depth)))
    shape = (rows, columns, depth)
    terms = make(Op.MUL, (expand(a, shape), expand(b, shape)))
    return make(Op.REDUCE, (terms,), ReduceAttr(C.SUM, (2,), coarse))
