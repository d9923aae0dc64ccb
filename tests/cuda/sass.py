"""What NVIDIA's compiler made of CUDA C: a cubin's instructions and registers, no GPU needed.

In: a cubin, from `picograd.runtime.cuda.compiler`. Out: `instructions`, the opcodes in order,
disassembled by nvdisasm (PyPI: nvidia-cuda-nvdisasm), and `registers`, which stand in the cubin
itself. Tests that ask for instructions carry the mark `needs_disassembler`.

>>> opcodes("        /*0010*/              @!P0 LDG.E.128 R4, desc[UR4][R2.64] ;")
['LDG.E.128']
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from functools import cache

import pytest

from picograd.codegen.cuda.ops import PRELUDE
from picograd.runtime.cuda.compiler import compile_source
from picograd.runtime.cuda.disassembly import disassembler
from tests.cuda import nvrtc

_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.x]*)", re.M)


needs_disassembler = pytest.mark.skipif(
    nvrtc.library() is None or disassembler() is None,
    reason="needs NVRTC and nvdisasm (pip install nvidia-cuda-nvrtc nvidia-cuda-nvdisasm)",
)


@cache
def cubin(kernels: str, architecture: str) -> bytes:
    """The machine code of kernels in CUDA C (the text that follows the prelude)."""
    return compile_source(f"{PRELUDE}\n{kernels}", architecture).cubin


@cache
def instructions(image: bytes) -> tuple[str, ...]:
    """The opcodes of a cubin with all their suffixes: "LDG.E.128", "HMMA.16816.F32.BF16"."""
    program = disassembler()
    assert program is not None
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(image)
        file.flush()
        command = [program, "-c", "-novliw", "-ndf", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(opcodes(text))


def opcodes(text: str) -> list[str]:
    """The opcodes in nvdisasm's text."""
    return _INSTRUCTION.findall(text)


def count(image: bytes, *starts: str) -> int:
    """How many instructions begin with one of these texts."""
    return sum(opcode.startswith(starts) for opcode in instructions(image))


def widths(image: bytes, start: str) -> list[int]:
    """The bits that each of some instructions (all LDG, say) moves, the widest first."""
    sizes = {"128": 128, "64": 64, "U16": 16, "S16": 16, "U8": 8, "S8": 8}
    found = [opcode.split(".") for opcode in instructions(image) if opcode.startswith(start)]
    return sorted(next((sizes[p] for p in parts if p in sizes), 32) for parts in found)[::-1]


def registers(image: bytes) -> int:
    """The registers of a thread, the most that any kernel of the cubin takes: attribute 0x2f of the
    section .nv.info, whose values are (symbol, registers)."""
    found = [
        struct.unpack_from("<I", image, match.start() + 8)[0]
        for match in re.finditer(rb"\x04\x2f\x08\x00.{8}", image, re.S)
    ]
    return max(found)
