"""NVIDIA's compiler for tests: sizes and logs, also of sources that it refuses. Needs no GPU."""

from __future__ import annotations

import re
from typing import NamedTuple

from picograd.errors import InternalError
from picograd.runtime.cuda import compiler

library = compiler.find_nvrtc  # None where it is not installed

_TAKEN = re.compile(
    r"Compiling entry function '(\w+)'(?:.*\n)+?"
    r".*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n"
    r".*Used (\d+) registers"
)


class Resources(NamedTuple):
    """What a function takes of each thread: registers, and of memory the bytes of its stack and
    those that registers are spilled to."""

    registers: int
    stack: int
    spilled: int


def compile_source(source: str, architecture: str, *more: str) -> tuple[int, str]:
    """The size of the cubin (0 when compilation failed) and the compiler's log, which with
    "--ptxas-options=-v" has the resources of each kernel."""
    try:
        compiled = compiler.compile_source(source, architecture, *more)
    except InternalError as error:
        return 0, str(error)
    return len(compiled.cubin), compiled.log


def refusal(source: str, architecture: str) -> str:
    """What the compiler's front end has against a source; nothing else of it runs."""
    try:
        compiler.compile_source(source, architecture, "-dlto")
    except InternalError as error:
        return str(error)
    return ""


def resources(log: str) -> dict[str, Resources]:
    """What each function of a log takes."""
    return {
        name: Resources(int(registers), int(stack), max(int(stores), int(loads)))
        for name, stack, stores, loads, registers in _TAKEN.findall(log)
    }
