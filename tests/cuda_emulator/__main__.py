"""Run the tests, or any command, on an emulated GPU.

    python -m tests.cuda_emulator                       a representative part of the suite
    python -m tests.cuda_emulator --quick               a smaller one
    python -m tests.cuda_emulator --all                 the whole suite
    python -m tests.cuda_emulator --sanitize            the same part under ASan and UBSan
    python -m tests.cuda_emulator -- python train.py    a program, with DEVICE=cuda

The first use builds the stand-ins and pycuda (a minute or two); all goes to `.cuda_emulator/`
(another folder: `--folder`). The threads of a block run in the order that EMULATOR_ORDER names;
without it the part runs forward, then backward.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.cuda_emulator.build import build

ROOT = Path(__file__).parent.parent.parent
# Whole suites would take an hour: each new kernel costs a run of g++.
PART = [
    "tests/cuda_emulator",
    "tests/fuzz/test_graphs.py",
    "tests/frontend/test_elementwise.py",
    "tests/frontend/test_reductions.py",
    "tests/frontend/test_movement.py",
    "tests/frontend/test_indexing.py",
    "tests/frontend/test_random.py",
    "tests/nn/test_attention.py",
    "tests/optim/test_optimizers.py",
    "tests/test_compile.py",
    "tests/test_elastic.py",
    "tests/test_training_steps.py",
]
QUICK = PART[:2]
SANITIZERS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -g"


def environment(folder: Path, sanitize: bool) -> dict[str, str]:
    """What a process needs to meet the stand-ins instead of NVIDIA's libraries."""
    found = dict(os.environ)
    cache = folder / ("sanitized" if sanitize else "kernels")
    cache.mkdir(parents=True, exist_ok=True)
    found["EMULATOR_CACHE"] = str(cache)
    found["DEVICE"] = "cuda"
    found["LD_LIBRARY_PATH"] = _joined(folder, found.get("LD_LIBRARY_PATH"))
    found["PYTHONPATH"] = _joined(ROOT, str(folder / "python"), found.get("PYTHONPATH"))
    if sanitize:
        found["EMULATOR_FLAGS"] = SANITIZERS
        # ASan looks for C++'s way to throw when it starts, when Python has loaded no C++ yet.
        found["LD_PRELOAD"] = _joined(*map(_library, ("libasan.so", "libstdc++.so")))
        # Python does not free everything, and fibers switch stacks.
        found["ASAN_OPTIONS"] = "detect_leaks=0:detect_stack_use_after_return=0"
    return found


def _library(name: str) -> str:
    """The path of a library of g++'s own."""
    command = ["g++", f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _joined(*parts: str | Path | None) -> str:
    return os.pathsep.join(str(part) for part in parts if part)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cuda_emulator", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cuda_emulator")
    parser.add_argument("--all", action="store_true", help="the whole suite")
    parser.add_argument("--quick", action="store_true", help="a smaller part")
    parser.add_argument("--sanitize", action="store_true", help="with ASan and UBSan in kernels")
    parser.add_argument("command", nargs="*", help="what to run instead of tests")
    options = parser.parse_args()
    folder = options.folder.absolute()
    build(folder)
    found = environment(folder, options.sanitize)
    if options.command:
        return subprocess.run(options.command, env=found, check=False).returncode
    tests = ["tests"] if options.all else QUICK if options.quick else PART
    command = [sys.executable, "-m", "pytest", "-n", "2"]
    command += ["--ignore", "tests/cuda"]  # loads NVIDIA's compiler, where the emulator's should be
    command += ["--fuzz", "40" if options.quick else "100", *tests]
    orders = [os.environ["EMULATOR_ORDER"]] if "EMULATOR_ORDER" in os.environ else ["0", "1"]
    for order in orders:
        code = subprocess.run(
            command, env={**found, "EMULATOR_ORDER": order}, cwd=ROOT, check=False
        ).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
