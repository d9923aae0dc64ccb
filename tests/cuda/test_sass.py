"""What the schedules promise is in the machine code: wide copies, tensor cores, no spills."""

from __future__ import annotations

import pytest

from picograd import dtypes
from picograd.graph.node import Node, make
from picograd.graph.ops import Op
from picograd.runtime.cuda import disassembly, roofline
from picograd.runtime.cuda.compiler import compile_source
from picograd.runtime.observe import Language
from tests.cuda import sass
from tests.cuda.test_compile import kernels_of, product
from tests.graph.builders import expand, leaf

pytestmark = sass.needs_disassembler

SPILLS = ("LDL", "STL")
HALVES = [dtypes.float16, dtypes.bfloat16]
LAYOUTS = [(False, False), (False, True), (True, False), (True, True)]


def code_of(dtype: dtypes.DType, turned: tuple[bool, bool], architecture: int = 80) -> bytes:
    (text,) = kernels_of([product(dtype, turned=turned)], architecture)
    return sass.cubin(text, f"sm_{architecture}")


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("turned", LAYOUTS)
def test_the_tile_of_float32(turned: tuple[bool, bool], architecture: int) -> None:
    """64 results a thread for each of 16 k, in registers; two blocks on a multiprocessor. Shared
    memory is read 16 bytes wide, and written by asynchronous copies only."""
    code = code_of(dtypes.float32, turned, architecture)
    assert sass.count(code, "FFMA") == 64 * 16
    out = sass.count(code, "STG.E.128")  # results, which come by shared memory
    assert sass.count(code, "LDS.128") - out == 4 * 16
    assert sass.count(code, *SPILLS, "LDG.") == 0
    assert sass.registers(code) <= 128
    lines = int(turned[0]) + int(not turned[1])  # factors that are contiguous along lines
    assert sass.count(code, "LDGSTS.E.BYPASS.128") == lines * 2 * 2
    assert sass.count(code, "LDGSTS") == lines * 2 * 2 + (2 - lines) * 2 * 8


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("turned", LAYOUTS)
def test_the_tile_of_16_bit_floats(dtype: dtypes.DType, turned: tuple[bool, bool]) -> None:
    """Products go to tensor cores, and nowhere else. All copies are 16 bytes wide; fragments come
    by matrices, turned where the factor is contiguous along lines."""
    code = code_of(dtype, turned)
    kind = ".BF16" if dtype is dtypes.bfloat16 else ""
    assert sass.count(code, f"HMMA.16816.F32{kind}") == 2 * 4 * 8
    assert sass.count(code, "FFMA", *SPILLS) == 0
    assert sass.registers(code) <= 255
    assert sass.count(code, "LDGSTS.E.BYPASS.128") == sass.count(code, "LDGSTS") == 3 * 8
    lines = int(turned[0]) + int(not turned[1])
    assert sass.count(code, "LDSM.16.MT88.4") == lines * 8
    assert sass.count(code, "LDSM.16.M88.4") == (2 - lines) * 8
    assert sass.count(code, "STS.64") == sass.count(code, "STS") == 2 * 4 * 8  # pairs of sums


@pytest.mark.parametrize("turned", LAYOUTS)
def test_the_tile_of_tensorfloat32(turned: tuple[bool, bool]) -> None:
    """Only where the graph allows it."""
    (text,) = kernels_of([product(dtypes.float32, turned=turned, coarse=True)])
    code = sass.cubin(text, "sm_80")
    assert sass.count(code, "HMMA.1688.F32.TF32") == 2 * 4 * 8
    assert sass.count(code, "FFMA", *SPILLS, "LDG.") == 0
    assert sass.count(code, "LDGSTS.E.BYPASS.128") == sass.count(code, "LDGSTS") == 3 * 8


@pytest.mark.parametrize(
    "dtype, turned",
    [(dtypes.float16, (False, False)), *[(dtypes.bfloat16, turned) for turned in LAYOUTS[1:]]],
)
def test_warp_groups_of_large_products(dtype: dtypes.DType, turned: tuple[bool, bool]) -> None:
    """For compute capability 9.0: wgmma on what TMA brought; the 128 sums of a thread stay in
    registers, of which those who multiply take more."""
    (text,) = kernels_of([product(dtype, turned=turned)], 90)
    code = sass.cubin(text, "sm_90a")
    assert sass.count(code, "HGMMA.64x256x16.F32") >= 4 and sass.count(code, "HMMA", *SPILLS) == 0
    assert sass.count(code, "UTMALDG.3D") >= 2 and sass.count(code, "USETMAXREG") == 2
    assert sass.registers(code) == 168


def test_who_cannot_go_to_warp_groups() -> None:
    """Few tiles, and lines that are not whole 16 bytes."""
    for node in (
        product(dtypes.bfloat16, 512, 512, 512),
        product(dtypes.bfloat16, 4096, 4096, 4100),
        product(dtypes.float32, coarse=True),
    ):
        (text,) = kernels_of([node], 90)
        assert "pg_multiply_" in text and "pg_multiply_group" not in text


def biased(dtype: dtypes.DType, size: int = 4096, coarse: bool = False) -> Node:
    """left @ right + bias + residual"""
    product_of = product(dtype, size, size, 4096, coarse=coarse)
    bias = expand(leaf(2, (1, size), dtype), (size, size))
    return make(Op.ADD, (make(Op.ADD, (product_of, bias)), leaf(3, (size, size), dtype)))


# What is computed, for which compute capability; the bits of a load of the bias and the residual,
# and of a store, by a thread.
WAYS_OUT = {
    "float32": (biased(dtypes.float32), 80, 128, 128),
    "float64": (biased(dtypes.float64), 80, 128, 128),
    "bfloat16": (biased(dtypes.bfloat16), 80, 64, 64),
    "float16 in float32": (biased(dtypes.float16), 75, 64, 64),
    "tensorfloat32": (biased(dtypes.float32, coarse=True), 80, 128, 128),
    "warp groups": (biased(dtypes.bfloat16), 90, 64, 64),
    "parts": (product(dtypes.float32, 512, 512), 80, None, 128),
    "pairs": (product(dtypes.float32, 514, 514), 80, None, 64),
    "odd": (product(dtypes.float32, 513, 515), 80, None, 32),
}


@pytest.mark.parametrize("name", WAYS_OUT)
def test_results_leave_side_by_side(name: str) -> None:
    """A thread finishes as many neighbouring columns as 16 bytes of sums are."""
    node, capability, loads, stores = WAYS_OUT[name]
    (text,) = kernels_of([node], capability)
    code = sass.cubin(text, "sm_90a" if capability == 90 else f"sm_{capability}")
    suffix = {32: "", 64: ".64", 128: ".128"}
    assert sass.count(code, "STG.E" + suffix[stores]) == sass.count(code, "STG") > 0
    if loads is not None:  # those of float16 in float32 are of factors, too
        factors = sass.count(code, "LDG.E.U16")
        assert sass.count(code, "LDG.E" + suffix[loads]) == sass.count(code, "LDG.") - factors > 0
    assert sass.count(code, *SPILLS) == 0


@pytest.mark.parametrize("few", [1, 4])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.bfloat16], ids=str)
def test_few_lines(dtype: dtypes.DType, turned: bool, few: int) -> None:
    """The large factor is read 16 bytes at a time; threads of a warp add up without memory."""
    (text,) = kernels_of([product(dtype, few, 4096, 4096, (False, turned))])
    code = sass.cubin(text, "sm_80")
    assert sass.count(code, "LDG.E.128") >= 1 and sass.count(code, *SPILLS) == 0
    if turned:
        assert sass.count(code, "LDG.E") == sass.count(code, "LDG.E.128")
        assert sass.count(code, "SHFL.BFLY") >= 5 * few


def test_older_gpus_multiply_16_bit_floats_in_float32() -> None:
    code = code_of(dtypes.float16, (False, True), 75)
    assert sass.count(code, "HMMA") == 0 and sass.count(code, "FFMA") == 64 * 16
    assert sass.count(code, *SPILLS) == 0


@pytest.mark.parametrize("architecture", [75, 80, 90])
def test_what_the_roofs_are_measured_with(architecture: int) -> None:
    """Nothing but multiply-adds, products and 16-byte accesses in the loops, all in registers."""
    code = compile_source(roofline.source(architecture), f"sm_{architecture}").cubin
    assert sass.count(code, "LDG.E.128") == sass.count(code, "STG.E.128") == 1
    assert sass.count(code, "FFMA") >= 32
    assert sass.count(code, "HMMA.16816.F32.BF16") == (20 if architecture >= 80 else 0)
    assert sass.count(code, *SPILLS) == 0 and sass.registers(code) <= 32


def test_without_the_disassembler_it_is_ptx(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = compile_source('extern "C" __global__ void idle() {}', "sm_90")
    language, text = disassembly.disassemble(compiled)
    assert language is Language.SASS and "EXIT" in text and "/* 0x" not in text
    monkeypatch.setattr(disassembly, "disassembler", lambda: None)
    language, text = disassembly.disassemble(compiled)
    assert language is Language.PTX and ".visible .entry idle" in text
