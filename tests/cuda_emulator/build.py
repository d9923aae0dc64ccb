"""Build the stand-ins for the CUDA driver and its compiler, and pycuda against them.

In: a folder. Out: in it, `libcuda.so.1` and `libnvrtc.so.13` (put the folder first on
LD_LIBRARY_PATH), and `python/` with pycuda, which is the unmodified release from PyPI. Needs g++
and the CUDA headers: of a toolkit (CUDA_ROOT), or of the wheels nvidia-cuda-runtime,
nvidia-cuda-profiler-api and nvidia-cuda-crt. Called by `python -m tests.cuda_emulator`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PYCUDA = "pycuda==2026.1"
COMPILER = "g++ -std=c++20 -O1 -fPIC -shared -w -ffp-contract=off -fno-strict-aliasing -x c++"
NOT_SUPPORTED = 801
NO_BUILD = """CUDA_ROOT = {root!r}
CUDA_INC_DIR = [{include!r}]
CUDADRV_LIB_DIR = [{library!r}]
CUDA_ENABLE_CURAND = False
CUDA_ENABLE_GL = False
CXXFLAGS = ["-g0", "-O1"]
LDFLAGS = ["-s"]
"""


def include_folder() -> Path:
    """Where cuda.h and cudaProfiler.h are. Raises SystemExit where they are not."""
    candidates = [Path(os.environ.get("CUDA_ROOT", "/usr/local/cuda")) / "include"]
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        candidates += sorted(Path(root).glob("*/include"))
    for folder in candidates:
        if (folder / "cuda.h").exists() and (folder / "cudaProfiler.h").exists():
            return folder
    raise SystemExit(
        "No cuda.h and cudaProfiler.h: set CUDA_ROOT to a CUDA toolkit, or "
        "pip install nvidia-cuda-runtime nvidia-cuda-profiler-api"
    )


def entry_points(include: Path) -> set[str]:
    """The names of the driver API, as the header has them."""
    text = subprocess.run(
        ["g++", "-E", "-x", "c++", "-I", str(include), "-"],
        input="#include <cuda.h>\n#include <cudaProfiler.h>\n",
        text=True,
        capture_output=True,
        check=True,
    ).stdout
    return set(re.findall(r"\bCUresult\s+(cu[A-Z]\w*)\s*\(", text))


def build_libraries(folder: Path) -> None:
    """`libcuda.so.1` and `libnvrtc.so.13`. Entry points that the emulator lacks say so."""
    written = set(re.findall(r"^EXPORT Result (cu\w+)\(", (HERE / "driver.cpp").read_text(), re.M))
    lacking = sorted(entry_points(include_folder()) - written)
    stubs = folder / "stubs.cpp"
    stubs.write_text(
        "".join(
            f'extern "C" __attribute__((visibility("default"))) int {name}() '
            f"{{ return {NOT_SUPPORTED}; }}\n"
            for name in lacking
        )
    )
    common = ["g++", "-std=c++20", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall"]
    driver = [*common, "-Wl,-soname,libcuda.so.1", "-o", str(folder / "libcuda.so.1")]
    subprocess.run([*driver, str(HERE / "driver.cpp"), str(stubs), "-ldl"], check=True)
    link = folder / "libcuda.so"
    link.unlink(missing_ok=True)
    link.symlink_to("libcuda.so.1")
    # The header lies beside its precompiled form, which g++ then takes.
    shutil.copy(HERE / "emulator.h", folder / "emulator.h")
    header = folder / "emulator.h"
    subprocess.run([*COMPILER.replace("-x c++", "-x c++-header").split(), str(header)], check=True)
    nvrtc = [*common, f'-DEMULATOR_HOME="{folder}"', f'-DEMULATOR_COMPILER="{COMPILER}"']
    nvrtc += ["-Wl,-soname,libnvrtc.so.13", "-o", str(folder / "libnvrtc.so.13")]
    subprocess.run([*nvrtc, str(HERE / "nvrtc.cpp")], check=True)


def install_pycuda(folder: Path) -> None:
    """The release from PyPI, built with the CUDA headers and linked to the stand-in."""
    include = include_folder()
    home = folder / "home"
    home.mkdir(exist_ok=True)
    settings = NO_BUILD.format(root=str(include.parent), include=str(include), library=str(folder))
    (home / ".aksetup-defaults.py").write_text(settings)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-binary", "pycuda"]
    target = ["--target", str(folder / "python"), PYCUDA, "--no-deps"]
    pure = ["pytools", "siphash24", "platformdirs", "mako", "markupsafe", "typing_extensions"]
    subprocess.run([*pip, *target, *pure], check=True, env={**os.environ, "HOME": str(home)})


def build(folder: Path) -> None:
    """Everything that is not there yet, or older than its sources."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [path.read_bytes() for path in (HERE / "driver.cpp", HERE / "nvrtc.cpp")]
    texts += [(HERE / "emulator.h").read_bytes(), Path(__file__).read_bytes()]
    digest = hashlib.sha256(b"".join(texts)).hexdigest()
    stamp = folder / "stamp"
    if not stamp.exists() or stamp.read_text() != digest:
        build_libraries(folder)
        stamp.write_text(digest)
    if not (folder / "python" / "pycuda").exists():
        install_pycuda(folder)
