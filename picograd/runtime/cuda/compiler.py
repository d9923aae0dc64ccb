"""CUDA C to machine code for this GPU, by NVRTC or, where that is missing, nvcc.

In: a source, from `modules`. Out: a cubin. NVRTC is called through ctypes: it is a library of the
CUDA toolkit and of NVIDIA's wheel nvidia-cuda-nvrtc, and compiles a kernel in a tenth of nvcc's
time.

>>> OPTIONS
('--fmad=false', '--std=c++17')
"""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from picograd.errors import InternalError

# Nodes round one by one, as on the CPU; where a multiplication and an addition are to be one
# operation, the source says so.
OPTIONS = ("--fmad=false", "--std=c++17")
_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")


def compile_source(source: str, architecture: str) -> bytes:
    """The cubin of a source. Raises RuntimeError where there is no compiler."""
    nvrtc = _nvrtc()
    if nvrtc is not None:
        return _with_nvrtc(nvrtc, source, architecture)
    nvcc = shutil.which("nvcc")
    if nvcc is not None:
        return _with_nvcc(nvcc, source, architecture)
    raise RuntimeError(
        "no CUDA compiler: neither libnvrtc nor nvcc was found. "
        "pip install nvidia-cuda-nvrtc, or install the CUDA toolkit."
    )


@lru_cache(maxsize=1)
def _nvrtc() -> ctypes.CDLL | None:
    """The library, from the system's paths or from NVIDIA's wheel."""
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


def _with_nvrtc(nvrtc: ctypes.CDLL, source: str, architecture: str) -> bytes:
    program = ctypes.c_void_p()
    options = [text.encode() for text in (f"--gpu-architecture={architecture}", *OPTIONS)]
    created = nvrtc.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None
    )
    if created:
        raise InternalError(f"nvrtcCreateProgram failed with code {created}")
    try:
        failed = nvrtc.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*options)
        )
        if failed:
            log = _text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
            raise InternalError(f"generated CUDA C does not compile:\n{log.decode()}\n{source}")
        return _text(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _text(measure, fetch, program: ctypes.c_void_p) -> bytes:  # type: ignore[no-untyped-def]
    size = ctypes.c_size_t()
    measure(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    fetch(program, buffer)
    return buffer.raw


def _with_nvcc(nvcc: str, source: str, architecture: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        text, cubin = Path(folder, "kernels.cu"), Path(folder, "kernels.cubin")
        text.write_text(source)
        command = [nvcc, "-cubin", f"-arch={architecture}", *OPTIONS, "-o", str(cubin), str(text)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InternalError(f"generated CUDA C does not compile:\n{done.stderr}\n{source}")
        return cubin.read_bytes()
