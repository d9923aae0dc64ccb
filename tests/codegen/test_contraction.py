"""Tiled contractions compute what their kernels say, for every target, shape and epilogue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from picograd.codegen import loops
from picograd.codegen.contraction import axes, tiles
from picograd.codegen.contraction.lower import lower_contraction
from picograd.codegen.dependence import roots, walk
from picograd.codegen.evaluate import evaluate
from picograd.codegen.target import AVX2, AVX512, NEON, SCALAR, Target
from picograd.codegen.verify import verify
from picograd.dtypes import DType, bfloat16, float16, float32, float64, int32, int64, uint8
from tests.codegen import contractions
from tests.codegen.contractions import Case
from tests.codegen.reference import reference

TARGETS = {"avx512": AVX512, "avx2": AVX2, "neon": NEON, "scalar": SCALAR}


def check(case: Case, target: Target) -> None:
    """The tiled loops are well-formed and exact."""
    function = lower_contraction(case.kernel, target)
    assert function is not None
    verify(function)
    arrays = [array.copy() for array in case.arrays]
    evaluate(function, arrays)
    compare(case, arrays)


def compare(case: Case, arrays: list[np.ndarray]) -> None:
    for number, (got, want) in enumerate(zip(arrays, case.expected, strict=True)):
        np.testing.assert_array_equal(
            got.astype(np.float64), want.astype(np.float64), err_msg=f"argument {number}"
        )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("equation", ["mk,kn->mn", "km,kn->mn", "mk,nk->mn", "km,nk->nm"])
def test_layouts(target: str, equation: str) -> None:
    check(contractions.product(equation, {"m": 13, "n": 37, "k": 11}), TARGETS[target])


@pytest.mark.parametrize("dtype", [float64, int32, int64, uint8], ids=lambda dtype: dtype.name)
def test_dtypes(dtype: DType) -> None:
    check(contractions.product("mk,kn->mn", {"m": 14, "n": 19, "k": 12}, dtype), AVX512)


@pytest.mark.parametrize("dtype", [float16, bfloat16], ids=lambda dtype: dtype.name)
def test_half_precision_is_summed_in_float32(dtype: DType) -> None:
    check(contractions.product("mk,nk->mn", {"m": 9, "n": 33, "k": 24}, dtype), AVX512)


PAIRS = replace(AVX512, features="+avx512bf16")


@pytest.mark.parametrize("depth", [24, 35])
@pytest.mark.parametrize("equation", ["mk,kn->mn", "km,nk->mn", "mk,nk->nm", "km,kn->mn"])
def test_bfloat16_by_pairs(equation: str, depth: int) -> None:
    extents = {"m": 9, "n": 35, "k": depth}
    for target in (PAIRS, replace(PAIRS, l1=800, l2=9000)):
        case = contractions.product(equation, extents, bfloat16)
        function = lower_contraction(case.kernel, target)
        assert function is not None
        values = (v for s in loops_of(function) for v in walk(roots(s)))
        assert any(isinstance(value, loops.MulAddPairs) for value in values)
        check(case, target)
    check(contractions.linear(extents, equation.replace("nm", "mn"), bfloat16), PAIRS)


@pytest.mark.parametrize(
    "equation",
    ["bmk,bkn->bmn", "bmk,bnk->bmn", "bhmk,bhkn->bmhn", "bmhk,bnhk->bhmn", "mij,ijn->mn"],
)
def test_several_axes(equation: str) -> None:
    extents = {"b": 2, "h": 3, "m": 14, "n": 13, "k": 10, "i": 3, "j": 4}
    check(contractions.product(equation, extents), AVX2)


@pytest.mark.parametrize("target", ["avx512", "scalar"])
def test_epilogues(target: str) -> None:
    check(contractions.linear({"m": 8, "n": 35, "k": 9}), TARGETS[target])
    check(contractions.several({"m": 8, "n": 35, "k": 9}), TARGETS[target])
    check(contractions.copied({"m": 8, "n": 35, "k": 9}), TARGETS[target])
    check(contractions.rounded({"m": 8, "n": 35, "k": 9}), TARGETS[target])


@pytest.mark.parametrize("dtype", [float16, uint8, int64], ids=lambda dtype: dtype.name)
def test_factors_are_computed_while_packing(dtype: DType) -> None:
    check(contractions.converted({"m": 8, "n": 35, "k": 9}, dtype), AVX512)
    check(contractions.converted({"m": 8, "n": 35, "k": 9}, dtype, "km,nk->mn"), AVX512)


def test_convolution_reads_windows_through_a_mask() -> None:
    check(contractions.convolution(2, 3, 5, 6, 3), AVX2)


WINDOWS = [
    ("ocij->bohw", {}),
    ("ocij->bohw", {"stride": 2, "bias": True}),
    ("ocij->bohw", {"dilation": 2}),
    ("bohw->ocij", {}),
    ("bohw->ocij", {"stride": 2}),
]


@pytest.mark.parametrize(("equation", "options"), WINDOWS)
def test_windows_are_read_in_place(equation: str, options) -> None:
    extents = {"b": 2, "c": 3, "h": 5, "w": 7, "o": 10, "i": 2, "j": 3}
    for target in (AVX512, AVX2):
        case = contractions.windows(equation, extents, **options)
        check(case, target)
        found = axes.analyse(case.kernel, target)
        assert found is not None and found.across and found.rows.axes[-1].name in "jw"


@pytest.mark.parametrize("target", ["avx512", "scalar"])
def test_every_kind_of_expression(target: str) -> None:
    kernel = contractions.everything({"m": 9, "n": 21, "k": 13})
    function = lower_contraction(kernel, TARGETS[target])
    assert function is not None
    verify(function)
    rng = np.random.default_rng(3)
    start = [rng.integers(-4, 5, m.size).astype(m.dtype.numpy) for m in kernel.arguments]
    scalars = [17, 123, 5, 2.0]
    got, want = ([array.copy() for array in start] for _ in range(2))
    evaluate(function, got, scalars)
    reference(kernel, want, scalars)
    for mine, right in zip(got, want, strict=True):
        np.testing.assert_array_equal(mine, right)
    assert 0 < np.count_nonzero(got[2]) < got[2].size and np.any(got[3] != start[3])


@pytest.mark.parametrize("rows, columns", [(1, 64), (64, 1)])
def test_products_with_a_vector_are_left_to_rows(rows: int, columns: int) -> None:
    case = contractions.product("mk,kn->mn", {"m": rows, "n": columns, "k": 64})
    assert lower_contraction(case.kernel, AVX512) is None


def test_few_dot_products_are_left_to_rows() -> None:
    extents = {"m": 40, "n": 3, "k": 80}
    assert lower_contraction(contractions.product("mk,nk->mn", extents).kernel, AVX512) is None
    assert lower_contraction(contractions.product("mk,kn->mn", extents).kernel, AVX512)


@pytest.mark.parametrize("threads", [1, 2, 8, 64])
@pytest.mark.parametrize(
    "shape", [(64, 64, 20000), (1024, 1024, 1024), (4096, 64, 512), (7, 70, 7)]
)
def test_threads_find_work(threads: int, shape: tuple[int, int, int]) -> None:
    """Large products have a task for every thread while there are tiles; small ones have one."""
    rows, columns, depth = shape
    for packs in (True, False):
        target = replace(AVX512, threads=threads)
        found = tiles.choose(1, rows, columns, depth, float32, target, packs)
        tasks = found.row_parts * found.column_parts
        assert found.row_parts <= found.row_blocks and found.column_parts <= found.column_tiles
        if rows * columns * depth < 10**4:
            assert tasks == 1
        else:
            assert tasks >= min(threads, found.column_tiles * max(1, found.row_tiles // 3))


def test_a_factor_that_the_kernel_overwrites_is_left_to_rows() -> None:
    make = contractions.Maker("mk,kn->mn", {"m": 16, "n": 16, "k": 16})
    left, _ = make.input("mk")
    right, _ = make.input("kn")
    make.sum(left, right, left.buffer, make.at("mn"))
    assert lower_contraction(make.case({}).kernel, AVX512) is None


def test_other_stages_are_left_to_rows() -> None:
    case = contractions.linear({"m": 16, "n": 16, "k": 16})
    make = contractions.Maker("mk,kn->mn", {"m": 16, "n": 16, "k": 16})
    left, _ = make.input("mk")
    right, _ = make.input("kn")
    target = make.result("mn", float32)
    make.sum(left, right, target, make.at("mn"))
    make.sum(left, right, target, make.at("mn"))
    assert lower_contraction(case.kernel, AVX512) is not None
    assert lower_contraction(make.case({}).kernel, AVX512) is None
    *first, last = case.kernel.stages
    once = replace(case.kernel, stages=(*first, replace(last, once=True)))
    assert lower_contraction(once, AVX512) is None
    total = replace(case.kernel.stages[0], reduce=(*case.kernel.domain, *first[0].reduce))
    assert lower_contraction(replace(case.kernel, stages=(total,)), AVX512) is None


# --- blocks ---------------------------------------------------------------------------------------

# Caches so small that a few dozen rows need several blocks in every direction.
TINY = Target("cpu", "", "", 16, 16, 400, 1500, 6000, 3)


@pytest.mark.parametrize("equation", ["mk,kn->mn", "km,nk->mn", "bmk,bnk->bmn"])
def test_blocks_and_parts(equation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("picograd.codegen.contraction.tiles.TASK_NANOSECONDS", 100)
    extents = {"b": 2, "m": 31, "n": 27, "k": 35}
    case = contractions.product(equation, extents)
    function = lower_contraction(case.kernel, TINY)
    assert function is not None and function.phases[0].extent.evaluate({}) > 2
    assert any(s.var.name == "block" for s in loops_of(function))
    assert any(s.var.name == "rows" for s in loops_of(function))
    check(case, TINY)


@pytest.mark.parametrize("rows, threads", [(1, 1), (1, 3), (2, 2), (7, 2), (16, 1)])
def test_few_rows_stream_a_large_factor(rows: int, threads: int) -> None:
    target = replace(AVX512, l2=4096, threads=threads)
    extents = {"m": rows, "n": 1030, "k": 61}
    for case in (
        contractions.product("mk,kn->mn", extents),
        contractions.linear(extents, "mk,kn->mn"),
    ):
        function = lower_contraction(case.kernel, target)
        assert function is not None
        found = list(loops.statements(function.phases[0].body))
        assert any(isinstance(s, loops.For) and s.var.name == "block" for s in found)
        assert any(isinstance(s, loops.Prefetch) for s in found) == (rows > 1)
        assert not any(memory.name == "right" for memory in function.memories)
        check(case, target)


@pytest.mark.parametrize("target", ["avx512", "avx2", "neon"])
@pytest.mark.parametrize("equation", ["mk,nk->mn", "km,nk->mn", "nk,mk->mn", "bmk,bkn->bmn"])
@pytest.mark.parametrize("few, depth", [(2, 261), (3, 256), (6, 257)])
def test_few_lines_are_dot_products(equation: str, target: str, few: int, depth: int) -> None:
    few = min(few, 3) if target == "neon" else few
    rows, columns = (few, 21) if "nk" in equation else (21, few)
    extents = {"b": 2, "m": rows, "n": columns, "k": depth}
    case = contractions.product(equation, extents)
    function = lower_contraction(case.kernel, TARGETS[target])
    assert function is not None
    values = (v for s in loops.statements(function.phases[0].body) for v in roots(s))
    assert any(isinstance(value, loops.Fold) for value in values)
    check(case, TARGETS[target])


@pytest.mark.parametrize("equation", ["mk,nk->mn", "mk,kn->mn", "nk,mk->nm"])
def test_a_vector_times_a_converted_matrix(equation: str) -> None:
    for target in (replace(AVX512, l2=9000), replace(PAIRS, l2=9000)):
        case = contractions.product(equation, {"m": 1, "n": 270, "k": 259}, bfloat16)
        check(case, target)
    plain = contractions.product("mk,nk->mn", {"m": 1, "n": 270, "k": 259})
    assert lower_contraction(plain.kernel, target) is None
    products = contractions.product("nk,nk->n", {"n": 270, "k": 259}, bfloat16)
    assert lower_contraction(products.kernel, target) is None  # each is rounded before the sum


def test_dot_products_of_other_types_and_their_epilogues() -> None:
    extents = {"m": 3, "n": 18, "k": 515}
    for dtype in (float64, int32, float16, bfloat16):
        check(contractions.product("mk,nk->mn", extents, dtype), AVX512)
    check(contractions.linear(extents), AVX512)
    check(contractions.linear(extents, "mk,nk->mn", float16), AVX512)


def test_matrices_of_a_batch_are_asked_for_ahead() -> None:
    case = contractions.product("bmk,bkn->bmn", {"b": 3, "m": 40, "n": 100, "k": 36})
    function = lower_contraction(case.kernel, AVX512)
    assert function is not None
    found = list(loops.statements(function.phases[0].body))
    asked = {s.memory.name for s in found if isinstance(s, loops.Prefetch)}
    assert asked == {"a0", "a1"}
    check(case, AVX512)


@pytest.mark.parametrize("equation", ["mk,kn->mn", "mk,nk->mn"])
def test_the_next_depth_block_is_asked_for(equation: str) -> None:
    case = contractions.product(equation, {"m": 17, "n": 100, "k": 300})
    function = lower_contraction(case.kernel, TINY)
    assert function is not None
    found = list(loops.statements(function.phases[0].body))
    assert any(isinstance(s, loops.Prefetch) and s.memory.name == "a1" for s in found)
    check(case, TINY)


def test_what_is_written_back_to_is_asked_for() -> None:
    case = contractions.several({"m": 20, "n": 100, "k": 12})
    for l2, expected in ((16 << 10, {"a2", "a3", "a4"}), (1 << 20, set())):
        target = replace(AVX512, l2=l2)
        function = lower_contraction(case.kernel, target)
        assert function is not None
        found = list(loops.statements(function.phases[0].body))
        asked = {s.memory.name for s in found if isinstance(s, loops.Prefetch)}
        assert asked == expected
        check(case, target)


def loops_of(function: loops.Function) -> list[loops.For]:
    found = loops.statements(function.phases[0].body)
    return [statement for statement in found if isinstance(statement, loops.For)]


def test_partial_sums_are_kept_in_an_output_or_in_the_workspace() -> None:
    extents = {"m": 17, "n": 14, "k": 60}
    for case, workspace in [
        (contractions.linear(extents), False),
        (contractions.several(extents), False),
        (contractions.copied(extents), False),
        (contractions.rounded(extents), False),
        (contractions.linear(extents, dtype=float16), True),
        (contractions.product("mk,kn->nm", extents, float16), True),
    ]:
        function = lower_contraction(case.kernel, TINY)
        assert function is not None and (function.workspace > 0) == workspace
        assert any(s.var.name == "block" for s in loops_of(function))
        check(case, TINY)


@pytest.mark.parametrize("seed", range(6))
def test_random_shapes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("picograd.codegen.contraction.tiles.TASK_NANOSECONDS", 100)
    monkeypatch.setattr("picograd.codegen.contraction.lower.SMALL", 1)
    rng = np.random.default_rng(seed)
    extents = {axis: int(rng.integers(2, 40)) for axis in "mnk"} | {"b": int(rng.integers(1, 3))}
    left, right = rng.choice(["bmk", "bkm", "mk"]), rng.choice(["bkn", "bnk", "kn"])
    output = "bmn" if rng.integers(2) else "mbn"
    if "b" not in left + right:
        output = "mn"
    target = list(TARGETS.values())[seed % 3] if rng.integers(2) else TINY
    print(f"seed {seed}: {left},{right}->{output} {extents} {target}")
    check(contractions.product(f"{left},{right}->{output}", extents), target)
