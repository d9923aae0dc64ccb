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
    "no devices": ({"EMULATOR_DEVICES": "0"}, "sees no GPU (is CUDA_VISIBLE_DEVICES empty?)"),
    "a device in use": ({"EMULATOR_FAIL": "cuDevicePrimaryCtxRetain=46"}, "present and free"),
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
    "out of memory": (
        "x = torch.ones(9 << 20, device='cuda')\n(x * 2).tolist()\n",
        {"EMULATOR_MEMORY": str(64 << 20)},
        ["out of memory. Tried to allocate 37748736 bytes", "67108864", "Use smaller tensors"],
    ),
    "an old driver": (
        ADDING,
        {"EMULATOR_FAIL": "cuModuleLoadDataEx=222"},
        ["does not take what nvrtc", "upgrade NVIDIA's driver"],
    ),
    "a fault before a copy": (
        "torch.tensor([1.0, 2.0], device='cuda')\n",
        {"EMULATOR_FAIL": "cuMemcpyHtoDAsync_v2=700"},
        ["illegal memory access"],
    ),
    "a second GPU": ("torch.nn.Linear(2, 2).cuda(1)\n", {"EMULATOR_DEVICES": "2"}, ["one GPU"]),
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
    (error,) = [line for line in said.splitlines() if "Error: CUDA " in line]
    assert code == 1 and all(word in error for word in words), said


# How a process may end or go on: its program, and what it prints.
ENDING = {
    "a thread that computes": (
        """
import threading, time
def work():
    while True:
        (torch.ones(4, device="cuda") + 1).tolist()
threading.Thread(target=work, daemon=True).start()
time.sleep(0.5)
""",
        "",
    ),
    "a function that was registered before": (
        """
import atexit
def late():
    try:
        (x + 1).tolist()
    except RuntimeError as error:
        print(error)
atexit.register(late)
x = torch.ones(2, device="cuda")
x.tolist()
""",
        "CUDA error: driver shutting down. The process is ending; functions that atexit calls may "
        "use the GPU if they were registered behind its first use.",
    ),
    "work that nobody waited for": (
        "x = torch.ones(2, device='cuda')\nkept = (x * 2).cpu().pin_memory().cuda() + 1\n",
        "",
    ),
    "a forked child": (
        """
import os, sys
x = torch.ones(2, device="cuda")
x.tolist()
if os.fork() == 0:
    try:
        (x + 1).tolist()
    except RuntimeError as error:
        print(error, (torch.ones(2) + 1).tolist())
    sys.exit()
os.wait()
""",
        "Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you "
        "must use the 'spawn' start method. [2.0, 2.0]",
    ),
}


@pytest.mark.parametrize("name", ENDING)
def test_the_end_of_a_process(name) -> None:
    program, prints = ENDING[name]
    assert ended(program) == (0, prints + "\n" if prints else "", "")


# With memory for one more tensor: what waits beside a request does not stand in its way.
TIGHT = """
x = torch.ones(5 << 20, device="cuda")
try:
    kept = [x + n for n in range(9)]
    kept[0][0].item(), kept[1].sum().item()
    print("computed")
    sum(one.max() for one in kept).item()
    torch.stack(kept).tolist()
except torch.cuda.OutOfMemoryError:
    del kept
    print((x * 2).exp().max().item() > 7)
"""


def test_out_of_memory_and_on() -> None:
    assert ended(TIGHT, EMULATOR_MEMORY=str(64 << 20)) == (0, "computed\nTrue\n", "")


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
