"""NVIDIA's compiler for tests: sizes and logs, also of sources that it refuses. Needs no GPU."""

from __future__ import annotations

from picograd.errors import InternalError
from picograd.runtime.cuda import compiler

library = compiler.find_nvrtc  # None where it is not installed


def compile_source(source: str, architecture: str, *more: str) -> tuple[int, str]:
    """The size of the cubin (0 when compilation failed) and the compiler's log, which with
    "--ptxas-options=-v" has the resources of each kernel."""
    try:
        compiled = compiler.compile_source(source, architecture, *more)
    except InternalError as error:
        return 0, str(error)
    return len(compiled.cubin), compiled.log
