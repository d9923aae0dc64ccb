"""Contractions as machine code on the host's own vectors, at sizes that fill its tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from picograd.codegen.contraction.lower import lower_contraction
from picograd.codegen.target import AVX2, AVX512, Target
from picograd.codegen.verify import verify
from picograd.dtypes import DType, bfloat16, float16, float32, float64, int32, int64
from picograd.runtime.jit import host_cpu
from tests.codegen import contractions
from tests.codegen.contractions import Case

# Wider vectors than the host's are split by LLVM: both run anywhere.
TARGETS = {"avx512": AVX512, "avx2": AVX2}
# Half vectors are as fast there, and used where they fit better.
TWO_TURNS = replace(AVX512, cpu="znver4")


def check(case: Case, target: Target, parts: int = 1) -> None:
    function = lower_contraction(case.kernel, target)
    assert function is not None
    verify(function)
    arrays = [array.copy() for array in case.arrays]
    contractions.run(function, target, arrays, parts)
    for number, (got, want) in enumerate(zip(arrays, case.expected, strict=True)):
        wrong = np.flatnonzero(got.astype(np.float64) != want.astype(np.float64))
        assert not len(wrong), (number, wrong[:9], got[wrong[:9]], want[wrong[:9]])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("equation", ["mk,kn->mn", "km,nk->mn"])
def test_several_depth_blocks_and_tasks(target: str, equation: str) -> None:
    case = contractions.product(equation, {"m": 131, "n": 200, "k": 1601})
    check(case, TARGETS[target], 3)


@pytest.mark.parametrize("equation", ["mk,kn->mn", "km,nk->mn"])
def test_bits_do_not_depend_on_threads(equation: str) -> None:
    case = contractions.product(equation, {"m": 97, "n": 210, "k": 900})
    rng = np.random.default_rng(5)
    start = [rng.standard_normal(array.size).astype(np.float32) for array in case.arrays]
    results = []
    for threads in (1, 2, 16):
        function = lower_contraction(case.kernel, replace(AVX512, threads=threads))
        assert function is not None
        arrays = [array.copy() for array in start]
        contractions.run(function, AVX512, arrays, threads)
        results.append((function.phases[0].extent, arrays[2]))
    assert len({str(extent) for extent, _ in results}) > 1
    for _, result in results:
        np.testing.assert_array_equal(result, results[0][1])


def test_a_right_factor_beyond_the_cache_is_packed() -> None:
    check(contractions.product("mk,kn->mn", {"m": 20, "n": 1040, "k": 300}), AVX512, 2)


@pytest.mark.parametrize(
    "dtype", [float64, float16, bfloat16, int32, int64], ids=lambda dtype: dtype.name
)
def test_dtypes(dtype: DType) -> None:
    check(contractions.product("mk,nk->mn", {"m": 33, "n": 67, "k": 31}, dtype), AVX512)


@pytest.mark.skipif("+avx512bf16" not in host_cpu()[1].split(","), reason="no such instruction")
@pytest.mark.parametrize("equation", ["mk,kn->mn", "km,nk->mn", "mk,nk->nm", "bmk,bkn->bmn"])
def test_bfloat16_by_pairs(equation: str) -> None:
    target = replace(AVX512, features="+avx512bf16")
    for depth in (300, 1601):
        extents = {"b": 2, "m": 131, "n": 200, "k": depth}
        check(contractions.product(equation, extents, bfloat16), target, 3)


def test_epilogues() -> None:
    check(contractions.linear({"m": 65, "n": 130, "k": 1000}), AVX512)
    check(contractions.several({"m": 65, "n": 131, "k": 50}), AVX512)
    check(contractions.several({"m": 65, "n": 131, "k": 1000}), AVX512)


def test_attention_shapes() -> None:
    extents = {"b": 2, "h": 3, "m": 20, "n": 24, "k": 16}
    check(contractions.product("bmhk,bnhk->bhmn", extents), AVX512, 2)
    check(contractions.product("bhmk,bkhn->bmhn", extents), AVX512, 2)


def test_convolution() -> None:
    check(contractions.convolution(2, 3, 17, 12, 3), AVX512)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("equation", "sizes"),
    [
        ("ocij->bohw", {"h": 11, "o": 70, "c": 5}),
        ("ocij->bohw", {"b": 2, "o": 40, "c": 500}),  # several depth blocks
        ("bohw->ocij", {"h": 11, "o": 70, "c": 5}),
        ("ocij->bohw", {"b": 1, "h": 40, "w": 41, "o": 16}),
        ("ocij->bohw", {"b": 1, "h": 1, "w": 13, "o": 16, "c": 1500}),  # blocks of one tile
    ],
)
def test_windows(target: str, equation: str, sizes: dict[str, int]) -> None:
    extents = {"b": 7, "c": 3, "h": 9, "w": 13, "o": 33, "i": 3, "j": 3} | sizes
    case = contractions.windows(equation, extents, stride=2, bias=equation.startswith("o"))
    check(case, TARGETS[target], 3)


@pytest.mark.parametrize("seed", range(8))
def test_random_shapes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    extents = {axis: int(rng.integers(2, 131)) for axis in "mnk"} | {"b": int(rng.integers(1, 4))}
    left, right = rng.choice(["bmk", "bkm", "mk"]), rng.choice(["bkn", "bnk"])
    output = "bmn" if rng.integers(2) else "mbn"
    print(f"seed {seed}: {left},{right}->{output} {extents}")
    case = contractions.product(f"{left},{right}->{output}", extents, float32)
    if contractions.size(case) < 5000:
        extents["k"] += 5000
        case = contractions.product(f"{left},{right}->{output}", extents, float32)
    parts = int(rng.integers(1, 3))
    check(case, AVX512, parts)
    check(case, TWO_TURNS, parts)
