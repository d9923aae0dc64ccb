"""The emulated GPU finds what it is there to find: missing barriers, bad launches, bad accesses.

Runs under `python -m tests.cuda_emulator`; elsewhere there is no emulator to test.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(
    "EMULATOR_CACHE" not in os.environ, reason="runs under python -m tests.cuda_emulator"
)

REVERSE = """
extern "C" __global__ void reverse(const float* x, float* y) {{
    __shared__ float row[64];
    row[threadIdx.x] = x[threadIdx.x];
    {barrier}
    y[threadIdx.x] = row[63 - threadIdx.x];
}}
"""
WARP_SUM = """
extern "C" __global__ void total(const float* x, float* y) {
    float sum = x[threadIdx.x];
    for (int step = 16; step; step >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (threadIdx.x == 0) y[blockIdx.x] = sum;
}
"""
DIVERGENT = """
extern "C" __global__ void split(const float* x, float* y) {
    if (threadIdx.x < 8) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    y[threadIdx.x] = x[threadIdx.x];
}
"""
LEAVING = """
extern "C" __global__ void leave(const float* x, float* y) {
    if (threadIdx.x < 8) return;
    __syncthreads();
    y[threadIdx.x] = x[threadIdx.x];
}
"""
BEYOND = """
extern "C" __global__ void beyond(const float* x, float* y) {
    y[threadIdx.x + 4096] = x[threadIdx.x];
}
"""


@pytest.fixture
def gpu():
    from picograd.runtime.cuda import driver

    with driver.get() as opened:
        yield opened


def run(gpu, source, name, x, count, threads, extra=b"") -> np.ndarray:
    from picograd.runtime.cuda.compiler import compile_source

    module = gpu.cuda.module_from_buffer(compile_source(source, gpu.architecture).cubin)
    function = module.get_function(name)
    given, made = gpu.cuda.mem_alloc(x.nbytes), gpu.cuda.mem_alloc(4 * count)
    gpu.cuda.memcpy_htod(given, x)
    parameters = struct.pack("QQ", int(given), int(made)) + extra
    function._launch_kernel((1, 1, 1), (threads, 1, 1), parameters, 0, gpu.stream)
    gpu.stream.synchronize()
    result = np.empty(count, np.float32)
    gpu.cuda.memcpy_dtoh(result, made)
    return result


def test_threads_meet_at_a_barrier(gpu) -> None:
    x = np.arange(64, dtype=np.float32)
    source = REVERSE.format(barrier="__syncthreads();")
    assert (run(gpu, source, "reverse", x, 64, 64) == x[::-1]).all()


def test_a_missing_barrier_shows_in_every_order(gpu) -> None:
    x = np.arange(64, dtype=np.float32)
    found = run(gpu, REVERSE.format(barrier=""), "reverse", x, 64, 64)
    assert not (found == x[::-1]).all()


def test_lanes_exchange_values(gpu) -> None:
    x = np.arange(32, dtype=np.float32)
    assert run(gpu, WARP_SUM, "total", x, 1, 32)[0] == x.sum()


# After a failed kernel every call of a process fails, as on a GPU: each has one of its own.
FAILURES = {
    "different lines": (DIVERGENT, "split", "barriers of different lines"),
    "a thread that left": (LEAVING, "leave", "left before a barrier"),
    "outside of memory": (BEYOND, "beyond", "access outside of memory in beyond"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_cuda_leaves_undefined_fails(name) -> None:
    source, kernel, words = FAILURES[name]
    program = f"""
import numpy as np
from picograd.runtime.cuda import driver
from tests.cuda_emulator.test_emulator import run
with driver.get() as gpu:
    run(gpu, {source!r}, {kernel!r}, np.ones(64, np.float32), 64, 64)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode and words in done.stderr, done.stderr


def test_parameters_of_another_size_fail() -> None:
    program = """
import numpy as np
from picograd.runtime.cuda import driver
from tests.cuda_emulator.test_emulator import WARP_SUM, run
with driver.get() as gpu:
    run(gpu, WARP_SUM, "total", np.ones(32, np.float32), 1, 32, extra=b"12345678")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode and "another size" in done.stderr, done.stderr


def test_launches_within_the_limits(gpu) -> None:
    x = np.ones(32, np.float32)
    with pytest.raises(gpu.cuda.LogicError, match="invalid argument"):
        run(gpu, WARP_SUM, "total", x, 1, 2048)


def test_fresh_memory_is_poison(gpu) -> None:
    found = np.empty(4, np.float32)
    gpu.cuda.memcpy_dtoh(found, gpu.cuda.mem_alloc(16))
    assert np.isnan(found).all()


def test_copies_stay_within_an_allocation(gpu) -> None:
    memory = gpu.cuda.mem_alloc(16)
    with pytest.raises(gpu.cuda.LogicError, match="invalid argument"):
        gpu.cuda.memcpy_htod(memory, np.ones(5, np.float32))


def test_work_waits_in_its_stream(gpu) -> None:
    """Nothing has happened before somebody waits: what does not wait reads poison."""
    x = gpu.cuda.pagelocked_empty(4, np.float32)
    memory = gpu.cuda.mem_alloc(16)
    gpu.cuda.memcpy_htod_async(memory, np.arange(4, dtype=np.float32), gpu.stream)
    gpu.cuda.memcpy_dtoh_async(x, memory, gpu.stream)
    assert np.isnan(x).all()
    gpu.stream.synchronize()
    assert x.tolist() == [0, 1, 2, 3]
