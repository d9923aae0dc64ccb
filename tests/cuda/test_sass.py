"""What the schedules promise is in the machine code: wide copies, tensor cores, no spills."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from picograd import dtypes
from picograd.codegen.cuda.ops import PRELUDE
from picograd.graph.node import Node, make
from picograd.graph.ops import Op
from picograd.runtime.cuda import disassembly, roofline
from picograd.runtime.cuda.compiler import compile_source
from picograd.runtime.observe import Language
from tests.cuda import sass
from tests.cuda.sass import Code
from tests.cuda.test_compile import kernels_of, product
from tests.graph.builders import expand, leaf

pytestmark = sass.needs_disassembler

SPILLS = ("LDL", "STL")
HALVES = [dtypes.float16, dtypes.bfloat16]
LAYOUTS = [(False, False), (False, True), (True, False), (True, True)]


def codes_of(nodes: Iterable[Node], capability: int = 80) -> tuple[Code, ...]:
    texts = tuple("\n".join(kernels_of([node], capability)) for node in nodes)
    return sass.codes(texts, "sm_90a" if capability == 90 else f"sm_{capability}")


@pytest.mark.parametrize("capability", [80, 90])
def test_the_tile_of_float32(capability: int) -> None:
    """64 results a thread for each of 16 k, in registers; two blocks on a multiprocessor. Shared
    memory is read 16 bytes wide, and written by asynchronous copies only."""
    nodes = [product(dtypes.float32, turned=turned) for turned in LAYOUTS]
    for turned, code in zip(LAYOUTS, codes_of(nodes, capability), strict=True):
        assert code.count("FFMA") == 64 * 16, turned
        out = code.count("STG.E.128")  # results, which come by shared memory
        assert code.count("LDS.128") - out == 4 * 16, turned
        assert code.count(*SPILLS, "LDG.") == 0, turned
        assert code.registers <= 128, turned
        lines = int(turned[0]) + int(not turned[1])  # factors that are contiguous along lines
        assert code.count("LDGSTS.E.BYPASS.128") == lines * 2 * 2, turned
        assert code.count("LDGSTS") == lines * 2 * 2 + (2 - lines) * 2 * 8, turned


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_the_tile_of_16_bit_floats(dtype: dtypes.DType) -> None:
    """Products go to tensor cores, and nowhere else. All copies are 16 bytes wide; fragments come
    by matrices, turned where the factor is contiguous along lines."""
    kind = ".BF16" if dtype is dtypes.bfloat16 else ""
    nodes = [product(dtype, turned=turned) for turned in LAYOUTS]
    for turned, code in zip(LAYOUTS, codes_of(nodes), strict=True):
        assert code.count(f"HMMA.16816.F32{kind}") == 2 * 4 * 8, turned
        assert code.count("FFMA", *SPILLS) == 0, turned
        assert code.registers <= 255, turned
        assert code.count("LDGSTS.E.BYPASS.128") == code.count("LDGSTS") == 3 * 8, turned
        lines = int(turned[0]) + int(not turned[1])
        assert code.count("LDSM.16.MT88.4") == lines * 8, turned
        assert code.count("LDSM.16.M88.4") == (2 - lines) * 8, turned
        assert code.count("STS.64") == code.count("STS") == 2 * 4 * 8, turned  # pairs of sums


def test_the_tile_of_tensorfloat32() -> None:
    """Only where the graph allows it."""
    nodes = [product(dtypes.float32, turned=turned, coarse=True) for turned in LAYOUTS]
    for turned, code in zip(LAYOUTS, codes_of(nodes), strict=True):
        assert code.count("HMMA.1688.F32.TF32") == 2 * 4 * 8, turned
        assert code.count("FFMA", *SPILLS, "LDG.") == 0, turned
        assert code.count("LDGSTS.E.BYPASS.128") == code.count("LDGSTS") == 3 * 8, turned


def test_warp_groups_of_large_products() -> None:
    """For compute capability 9.0: wgmma on what TMA brought; the 128 sums of a thread stay in
    registers, of which those who multiply take more."""
    kinds = [dtypes.float16, *[dtypes.bfloat16] * 3]
    cases = list(zip(kinds, LAYOUTS, strict=True))
    nodes = [product(dtype, turned=turned) for dtype, turned in cases]
    for case, code in zip(cases, codes_of(nodes, 90), strict=True):
        assert code.count("HGMMA.64x256x16.F32") >= 4 and code.count("HMMA", *SPILLS) == 0, case
        assert code.count("UTMALDG.3D") >= 2 and code.count("USETMAXREG") == 2, case
        assert code.registers == 168, case


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


@pytest.mark.parametrize("capability", [75, 80, 90])
def test_results_leave_side_by_side(capability: int) -> None:
    """A thread finishes as many neighbouring columns as 16 bytes of sums are."""
    cases = {name: case for name, case in WAYS_OUT.items() if case[1] == capability}
    suffix = {32: "", 64: ".64", 128: ".128"}
    codes = codes_of([node for node, *_ in cases.values()], capability)
    for (name, (_, _, loads, stores)), code in zip(cases.items(), codes, strict=True):
        assert code.count("STG.E" + suffix[stores]) == code.count("STG") > 0, name
        if loads is not None:  # those of float16 in float32 are of factors, too
            factors = code.count("LDG.E.U16")
            assert code.count("LDG.E" + suffix[loads]) == code.count("LDG.") - factors > 0, name
        assert code.count(*SPILLS) == 0, name


def test_few_lines() -> None:
    """The large factor is read 16 bytes at a time; threads of a warp add up without memory."""
    cases = [
        (dtype, turned, few)
        for dtype in (dtypes.float32, dtypes.bfloat16)
        for turned in (False, True)
        for few in (1, 4)
    ]
    nodes = [product(dtype, few, 4096, 4096, (False, turned)) for dtype, turned, few in cases]
    for case, code in zip(cases, codes_of(nodes), strict=True):
        _, turned, few = case
        assert code.count("LDG.E.128") >= 1 and code.count(*SPILLS) == 0, case
        if turned:
            assert code.count("LDG.E") == code.count("LDG.E.128"), case
            assert code.count("SHFL.BFLY") >= 5 * few, case


def test_older_gpus_multiply_16_bit_floats_in_float32() -> None:
    (code,) = codes_of([product(dtypes.float16)], 75)
    assert code.count("HMMA", *SPILLS) == 0 and code.count("FFMA") == 64 * 16


@pytest.mark.parametrize("capability", [75, 80, 90])
def test_what_the_roofs_are_measured_with(capability: int) -> None:
    """Nothing but multiply-adds, products and 16-byte accesses in the loops, all in registers."""
    text = roofline.source(capability).removeprefix(PRELUDE)
    (code,) = sass.codes((text,), f"sm_{capability}")
    assert code.count("LDG.E.128") == code.count("STG.E.128") == 1
    assert code.count("FFMA") >= 32
    assert code.count("HMMA.16816.F32.BF16") == (20 if capability >= 80 else 0)
    assert code.count(*SPILLS) == 0 and code.registers <= 32


def test_without_the_disassembler_it_is_ptx(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = compile_source('extern "C" __global__ void idle() {}', "sm_90")
    language, text = disassembly.disassemble(compiled)
    assert language is Language.SASS and "EXIT" in text and "/* 0x" not in text
    monkeypatch.setattr(disassembly, "disassembler", lambda: None)
    language, text = disassembly.disassemble(compiled)
    assert language is Language.PTX and ".visible .entry idle" in text
