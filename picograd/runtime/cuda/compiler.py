"""CUDA C to machine code for this GPU, by NVRTC or, where that is missing, nvcc.

In: a source, from `modules`. Out: `Compiled`: a cubin, PTX, the compiler's log. NVRTC is called
through ctypes: it is a library of the CUDA toolkit and of NVIDIA's wheel nvidia-cuda-nvrtc, and
compiles a kernel in a tenth of nvcc's time.

>>> OPTIONS
('--fmad=false', '--std=c++17')
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from picograd.errors import InternalError
from picograd.runtime import disk

# Nodes round one by one, as on the CPU; where a multiplication and an addition are to be one
# operation, the source says so.
OPTIONS = ("--fmad=false", "--std=c++17")
_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")


class Compiled(NamedTuple):
    """What the compiler made of a source. `log` has its warnings, and with the option
    "--ptxas-options=-v" the registers and memories of every kernel."""

    cubin: bytes
    ptx: str
    log: str


def compile_source(source: str, architecture: str, *options: str) -> Compiled:
    """Compile for "sm_90" or its like. Raises RuntimeError where there is no compiler, and
    InternalError, with the compiler's words, where it refuses the source."""
    nvrtc = find_nvrtc()
    if nvrtc is not None:
        return _with_nvrtc(nvrtc, source, architecture, options)
    nvcc = shutil.which("nvcc")
    if nvcc is not None:
        return _with_nvcc(nvcc, source, architecture, options)
    raise RuntimeError(
        "no CUDA compiler: neither libnvrtc nor nvcc was found. "
        "pip install nvidia-cuda-nvrtc, or install the CUDA toolkit."
    )


def cubin_of(source: str, architecture: str) -> bytes:
    """The cubin of a source, of an earlier process if the disk has it."""
    if not disk.enabled():
        return compile_source(source, architecture).cubin
    text = "\n".join([compiler(), architecture, *OPTIONS, source])
    name = hashlib.sha256(text.encode()).hexdigest()[:40] + ".cubin"
    cubin = disk.read(name)
    if cubin is None:
        cubin = compile_source(source, architecture).cubin
        disk.write(name, cubin)
    return cubin


@lru_cache(maxsize=1)
def compiler() -> str:
    """The compiler that is found, and its version."""
    nvrtc = find_nvrtc()
    if nvrtc is None:
        nvcc = shutil.which("nvcc")
        state = os.stat(nvcc) if nvcc else None
        return f"nvcc {nvcc} {state and (state.st_size, state.st_mtime_ns)}"
    major, minor = ctypes.c_int(), ctypes.c_int()
    nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"nvrtc {major.value}.{minor.value}"


@lru_cache(maxsize=1)
def find_nvrtc() -> ctypes.CDLL | None:
    """NVRTC's library, from the system's paths or from NVIDIA's wheel; None where there is none."""
    for name in _NAMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(root).glob("*/lib/libnvrtc.so.*")):
            for builtins in sorted(path.parent.glob("libnvrtc-builtins.so*")):
                ctypes.CDLL(str(builtins))  # NVRTC looks for it by name
            return ctypes.CDLL(str(path))
    return None


def _with_nvrtc(
    nvrtc: ctypes.CDLL, source: str, architecture: str, more: Sequence[str]
) -> Compiled:
    program = ctypes.c_void_p()
    created = nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None
    )
    if created:
        raise InternalError(f"nvrtcCreateProgram failed with code {created}")
    try:
        texts = (f"--gpu-architecture={architecture}", *OPTIONS, *more)
        options = (ctypes.c_char_p * len(texts))(*(text.encode() for text in texts))
        failed = nvrtc.nvrtcCompileProgram(program, len(texts), options)
        log = _fetch(nvrtc, "ProgramLog", program).rstrip(b"\0").decode()
        if failed:
            raise _refused(log, source)
        ptx = _fetch(nvrtc, "PTX", program).rstrip(b"\0").decode()
        return Compiled(_fetch(nvrtc, "CUBIN", program), ptx, log)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _fetch(nvrtc: ctypes.CDLL, what: str, program: ctypes.c_void_p) -> bytes:
    """A result of a compilation, by NVRTC's name of it."""
    size = ctypes.c_size_t()
    nvrtc[f"nvrtcGet{what}Size"](program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    nvrtc[f"nvrtcGet{what}"](program, buffer)
    return buffer.raw


def _with_nvcc(nvcc: str, source: str, architecture: str, more: Sequence[str]) -> Compiled:
    with tempfile.TemporaryDirectory() as folder:
        text, cubin = Path(folder, "kernels.cu"), Path(folder, "kernels.cubin")
        text.write_text(source)
        command = [nvcc, "-cubin", f"-arch={architecture}", *OPTIONS, *more]
        command += ["--keep", f"--keep-dir={folder}", "-o", str(cubin), str(text)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise _refused(done.stderr, source)
        return Compiled(cubin.read_bytes(), cubin.with_suffix(".ptx").read_text(), done.stderr)


def _refused(log: str, source: str) -> Exception:
    if "gpu-architecture" in log or "gpu-code" in log:
        return RuntimeError(
            f"{compiler()} does not compile for this GPU ({log.strip()}). Install another one: "
            "a newer nvidia-cuda-nvrtc for a new GPU, nvidia-cuda-nvrtc-cu12 for one older than "
            "compute capability 7.5."
        )
    return InternalError(f"generated CUDA C does not compile:\n{log}\n{source}")
