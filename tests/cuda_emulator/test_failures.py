"""What is missing or fails on a GPU: one error that says what to do. And what the disk keeps.

Each case is a process of its own, since a failed kernel ends all use of CUDA in its process. Runs
under `python -m tests.cuda_emulator`, which provokes the failures.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    "EMULATOR_CACHE" not in os.environ, reason="runs under python -m tests.cuda_emulator"
)

ON_CPU = "import picograd as torch\nassert torch.ones(3, device='cpu').sum().item() == 3\n"
ASKING = "print(torch.cuda.is_available(), torch.cuda.device_count())\n"
ADDING = "x = torch.arange(8., device='cuda')\n(x.exp() + 1).tolist()\n"
TWO_PRODUCTS = """
x = torch.eye(4, device="cuda")
for _ in range(5):
    ((x @ x).softmax(0) @ x).tolist()
"""


def ended(program: str, **settings: str) -> tuple[int, str, str]:
    """A process that runs a program, with variables of the environment set otherwise."""
    environment = {**os.environ, "DEVICE": "cpu", **settings}
    done = subprocess.run(
        [sys.executable, "-c", ON_CPU + program],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    return done.returncode, done.stdout, done.stderr


MISSING = {
    "no driver": ({"LD_LIBRARY_PATH": ""}, "no CUDA driver is installed"),
    "no device": ({"EMULATOR_FAIL": "cuInit=100"}, "no CUDA-capable device is detected"),
    "another driver": ({"EMULATOR_FAIL": "cuInit=803"}, "new enough (nvidia-smi says)"),
}


@pytest.mark.parametrize("name", MISSING)
def test_without_a_gpu_the_cpu_computes(name) -> None:
    settings, words = MISSING[name]
    assert ended(ASKING, **settings)[:2] == (0, "False 0\n")
    code, _, said = ended(ADDING, **settings)
    assert code == 1 and words in said.splitlines()[-1], said


FAILING = {
    "too many resources": (
        ADDING,
        {"EMULATOR_FAIL": "cuLaunchKernel=701"},
        ["too many resources requested for launch", "(in kernel map_"],
    ),
    "a fault": (
        TWO_PRODUCTS,
        {"EMULATOR_FAULT": "matmul"},
        ["illegal memory access", "One of these kernels failed: matmul_", "BLOCKING=1"],
    ),
    "a fault, waited for": (
        TWO_PRODUCTS,
        {"EMULATOR_FAULT": "matmul", "CUDA_LAUNCH_BLOCKING": "1"},
        ["illegal memory access", "(in kernel matmul_4x4x4"],
    ),
}


@pytest.mark.parametrize("name", FAILING)
def test_failures_name_the_kernel(name) -> None:
    program, settings, words = FAILING[name]
    code, _, said = ended(program, **settings)
    (error,) = [line for line in said.splitlines() if line.startswith("RuntimeError")]
    assert code == 1 and all(word in error for word in ["CUDA error", *words]), said


def test_a_fault_shows_its_source() -> None:
    settings = {"EMULATOR_FAULT": "matmul", "CUDA_LAUNCH_BLOCKING": "1", "DEBUG": "2"}
    code, _, said = ended(TWO_PRODUCTS, **settings)
    assert code == 1 and 'extern "C" __global__ void' in said.split("(in kernel matmul_4x4x4")[1]


def test_blocking_launches_compute_the_same() -> None:
    assert ended(TWO_PRODUCTS, CUDA_LAUNCH_BLOCKING="1")[0] == 0


def test_without_a_compiler(monkeypatch) -> None:
    from picograd.runtime.cuda import compiler

    monkeypatch.setattr(compiler, "find_nvrtc", lambda: None)
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match=r"no CUDA compiler.*pip install nvidia-cuda-nvrtc"):
        compiler.cubin_of("", "sm_90")


NO_COMPILER = """
from picograd.runtime.cuda import compiler
def refuse(*arguments):
    raise AssertionError("compiled")
compiler.compile_source = refuse
"""


def test_a_second_process_compiles_nothing(tmp_path) -> None:
    cache = str(tmp_path / "cache")
    assert "compiled" in ended(NO_COMPILER + TWO_PRODUCTS, PICOGRAD_CACHE=cache)[2]
    assert ended(TWO_PRODUCTS, PICOGRAD_CACHE=cache)[0] == 0
    assert list((tmp_path / "cache").glob("*.cubin"))
    assert ended(NO_COMPILER + TWO_PRODUCTS, PICOGRAD_CACHE=cache)[0] == 0
    for path in (tmp_path / "cache").glob("*.cubin"):
        path.write_bytes(path.read_bytes()[:-9])
    assert "compiled" in ended(NO_COMPILER + TWO_PRODUCTS, PICOGRAD_CACHE=cache)[2]
    assert ended(TWO_PRODUCTS, PICOGRAD_CACHE=cache)[0] == 0
