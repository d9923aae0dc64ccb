"""What NVIDIA's compiler made of CUDA C: instructions and registers, no GPU needed.

In: texts of kernels, which are compiled together, since the disassembler (nvdisasm, PyPI:
nvidia-cuda-nvdisasm) takes half a second to start. Out: `Code` of each: its opcodes in order, and
its registers. Tests that ask for it carry the mark `needs_disassembler`.

>>> opcodes("        /*0010*/              @!P0 LDG.E.128 R4, desc[UR4][R2.64] ;")
['LDG.E.128']
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache

import pytest

from picograd.codegen.cuda.ops import PRELUDE
from picograd.runtime.cuda.compiler import compile_source
from picograd.runtime.cuda.disassembly import disassembler
from tests.cuda import nvrtc

_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.x]*)", re.M)
_SECTION = re.compile(r"^//-+ \.text\.(\w+) +-+$", re.M)
_ENTRY = re.compile(r"__global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(")


needs_disassembler = pytest.mark.skipif(
    nvrtc.library() is None or disassembler() is None,
    reason="needs NVRTC and nvdisasm (pip install nvidia-cuda-nvrtc nvidia-cuda-nvdisasm)",
)


@dataclass(frozen=True, slots=True)
class Code:
    """Of all functions of a kernel: the opcodes with their suffixes ("LDG.E.128"), and the
    registers of a thread, the most that any takes."""

    opcodes: tuple[str, ...]
    registers: int

    def count(self, *starts: str) -> int:
        """How many instructions begin with one of these texts."""
        return sum(opcode.startswith(starts) for opcode in self.opcodes)

    def widths(self, start: str) -> list[int]:
        """The bits that each of some instructions (all LDG, say) moves, the widest first."""
        sizes = {"128": 128, "64": 64, "U16": 16, "S16": 16, "U8": 8, "S8": 8}
        found = [opcode.split(".") for opcode in self.opcodes if opcode.startswith(start)]
        return sorted(next((sizes[p] for p in parts if p in sizes), 32) for parts in found)[::-1]


@cache
def codes(kernels: tuple[str, ...], architecture: str) -> tuple[Code, ...]:
    """The machine code of kernels in CUDA C (the texts that follow the prelude)."""
    source = "\n".join([PRELUDE, *dict.fromkeys(kernels)])
    compiled = compile_source(source, architecture, "--ptxas-options=-v")
    taken, found = nvrtc.resources(compiled.log), _functions(compiled.cubin)
    return tuple(
        Code(
            tuple(opcode for name in _ENTRY.findall(text) for opcode in found[name]),
            max(taken[name].registers for name in _ENTRY.findall(text)),
        )
        for text in kernels
    )


def _functions(cubin: bytes) -> dict[str, list[str]]:
    """The opcodes of each function of a cubin."""
    program = disassembler()
    assert program is not None
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [program, "-c", "-novliw", "-ndf", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    _, *parts = _SECTION.split(text)
    return {name: opcodes(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def opcodes(text: str) -> list[str]:
    """The opcodes in nvdisasm's text."""
    return _INSTRUCTION.findall(text)
