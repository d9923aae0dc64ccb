"""What the schedules promise is in the machine code: wide loads, tensor cores, no spills."""

from __future__ import annotations

import pytest

from picograd import dtypes
from picograd.runtime.cuda import disassembly, roofline
from picograd.runtime.cuda.compiler import compile_source
from picograd.runtime.observe import Language
from tests.cuda import sass
from tests.cuda.test_compile import kernels_of, square

pytestmark = sass.needs_disassembler

SPILLS = ("LDL", "STL")


def product(dtype: dtypes.DType, architecture: int = 90, size: int = 4096) -> bytes:
    (text,) = kernels_of([square(size, dtype)], architecture)
    return sass.cubin(text, f"sm_{architecture}")


@pytest.mark.parametrize("architecture", [80, 90])
def test_the_tile_of_float32(architecture: int) -> None:
    """64 results a thread for each of 16 k, in registers; shared memory is read 16 bytes wide."""
    code = product(dtypes.float32, architecture)
    assert sass.count(code, "FFMA") == 64 * 16
    assert sass.count(code, "LDS.128") == 4 * 16
    assert sass.count(code, *SPILLS) == 0
    assert sass.registers(code) <= 168


@pytest.mark.parametrize("dtype", [dtypes.float16, dtypes.bfloat16], ids=str)
@pytest.mark.parametrize("architecture", [80, 90])
def test_the_tile_of_16_bit_floats(dtype: dtypes.DType, architecture: int) -> None:
    """Products go to tensor cores, and nowhere else."""
    code = product(dtype, architecture)
    kind = "BF16" if dtype is dtypes.bfloat16 else ""
    assert sass.count(code, f"HMMA.16816.F32{kind and '.'}{kind}") == 32
    assert sass.count(code, "FFMA", *SPILLS) == 0
    assert sass.registers(code) <= 168


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
