"""Contractions for other machines than the host: older x86 (run with its instructions only), and
aarch64 (looked at as assembly)."""

from __future__ import annotations

import platform
import re
from dataclasses import replace

import numpy as np
import pytest
from llvmlite import binding as llvm

from picograd.codegen.contraction import tiles
from picograd.codegen.contraction.lower import lower_contraction
from picograd.codegen.llvm.render import render
from picograd.codegen.target import AVX2, AVX512, NEON, SSE2, Target
from picograd.codegen.verify import verify
from picograd.dtypes import DType, bfloat16, float16, float32, float64, int32, int64
from tests.codegen import contractions
from tests.codegen.contractions import Case

OLDER = {"avx2": AVX2, "sse2": SSE2}
on_x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86 code")


def check(case: Case, target: Target) -> None:
    """The result of code that has the target's instructions and no others."""
    function = lower_contraction(case.kernel, target)
    assert function is not None
    verify(function)
    arrays = [array.copy() for array in case.arrays]
    contractions.run(function, target, arrays, 2, target.cpu)
    for got, want in zip(arrays, case.expected, strict=True):
        np.testing.assert_array_equal(got.astype(np.float64), want.astype(np.float64))


def test_half_vectors_where_they_fit_better_and_cost_nothing() -> None:
    machine = replace(AVX512, cpu="znver4")
    for columns, lanes in {8: 8, 10: 16, 17: 8, 65: 8, 100: 8, 300: 16, 512: 16}.items():
        for target, wanted in ((machine, lanes), (AVX512, 8 if columns == 8 else 16), (AVX2, 8)):
            found = tiles.choose(1, 300, columns, 300, float32, target, False)
            assert found.lanes == wanted, (columns, target)
    assert tiles.choose(1, 300, 100, 300, float32, machine, True, whole=True).lanes == 16


@on_x86
@pytest.mark.parametrize("target", OLDER)
@pytest.mark.parametrize("equation", ["mk,kn->mn", "km,nk->mn", "bmk,bnk->bmn", "mk,kn->nm"])
def test_older_machines(target: str, equation: str) -> None:
    check(contractions.product(equation, {"b": 2, "m": 31, "n": 45, "k": 130}), OLDER[target])
    check(contractions.product(equation, {"b": 2, "m": 3, "n": 70, "k": 301}), OLDER[target])


@on_x86
@pytest.mark.parametrize("target", OLDER)
@pytest.mark.parametrize(
    "dtype", [float64, float16, bfloat16, int32, int64], ids=lambda dtype: dtype.name
)
def test_types_on_older_machines(target: str, dtype: DType) -> None:
    if target == "sse2" and dtype is float16:
        pytest.skip("converting float16 takes a function of the C compiler's on such a machine")
    extents = {"m": 13, "n": 37, "k": 61}
    check(contractions.product("mk,kn->mn", extents, dtype), OLDER[target])
    check(contractions.product("mk,nk->mn", extents | {"k": 200}, dtype), OLDER[target])


@on_x86
@pytest.mark.parametrize("target", OLDER)
def test_blocks_epilogues_and_windows_on_older_machines(target: str) -> None:
    machine = OLDER[target]
    check(contractions.product("mk,kn->mn", {"m": 90, "n": 150, "k": 1700}), machine)
    check(contractions.product("mk,kn->mn", {"m": 14, "n": 150, "k": 1700}), replace(machine, l2=0))
    check(contractions.linear({"m": 33, "n": 41, "k": 90}), machine)
    check(contractions.convolution(2, 3, 9, 8, 3), machine)


# --- assembly -------------------------------------------------------------------------------------

LINUX = "unknown-linux-gnu"
MACHINES = {
    "avx512": (AVX512, f"x86_64-{LINUX}", r"vfmadd\w+\s.*%zmm", r"%[xyz]mm\d+, -?\d*\(%rsp"),
    "avx2": (AVX2, f"x86_64-{LINUX}", r"vfmadd\w+\s.*%ymm", r"%[xyz]mm\d+, -?\d*\(%rsp"),
    "neon": (NEON, f"aarch64-{LINUX}", r"fmla\s+v\d+\.4s", r"st[rp]\s+q\d+.*\[sp"),
}


def assembly(case: Case, target: Target, triple: str) -> str:
    """A contraction as another machine's assembly."""
    function = lower_contraction(case.kernel, target)
    assert function is not None
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=target.cpu, opt=2, reloc="pic", codemodel="small"
    )
    module = llvm.parse_assembly(f'target triple = "{triple}"\n{render(function, target)}')
    module.verify()
    return machine.emit_assembly(module)


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("equation", ["mk,kn->mn", "km,nk->mn"])
def test_the_register_tile_stays_in_registers(name: str, equation: str) -> None:
    target, triple, multiply_add, spill = MACHINES[name]
    accumulators, _ = tiles.REGISTER_TILES[target.registers >= 32]
    text = assembly(contractions.product(equation, {"m": 96, "n": 128, "k": 300}), target, triple)
    assert len(re.findall(multiply_add, text)) == accumulators
    assert not re.findall(spill, text)


@pytest.mark.parametrize(
    "target", [AVX512, AVX2, SSE2, NEON], ids=["avx512", "avx2", "sse2", "neon"]
)
@pytest.mark.parametrize("rows", [1, 2, 5, 6, 12, 16, 17, 100])
def test_tiles_follow_from_the_machine(target: Target, rows: int) -> None:
    """Accumulators, a row of the right factor and a broadcast element fit the registers; the
    panel of the left factor fits the first cache, that of the right one the second."""
    for l1, l2 in [(32 << 10, 256 << 10), (48 << 10, 2 << 20), (128 << 10, 16 << 20)]:
        machine = replace(target, l1=l1, l2=l2)
        lanes = machine.lanes(float32)
        for streams in (False, True):
            if streams and rows > 16:
                continue
            found = tiles.choose(
                1, rows, 4096, 4096, float32, machine, not streams, streams=streams
            )
            assert found.height * found.vectors + found.vectors + 1 <= machine.registers
            assert found.lanes == lanes
            assert found.height * found.depth * 4 <= l1
            assert found.width * found.depth * 4 <= l2
