"""The GPU's roofs, measured: multiply-adds per second, on tensor cores too, and bytes per second.

In: nothing. Out: a `Roofline`, against which DEBUG=2 and the benchmarks hold kernels. Measured with
CUDA C of the kind that picograd generates, timed by events: independent chains of multiply-adds in
registers, chains of tensor core products (mma.sync on bfloat16), and a copy, 16 bytes a thread at a
time, of more memory than the caches hold.

>>> launches_for(0.5e-3), launches_for(1.0)
(16, 0)
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Any

from picograd.codegen.cuda.ops import PRELUDE
from picograd.codegen.cuda.render import TENSOR_CORES
from picograd.runtime.cuda import driver
from picograd.runtime.cuda.compiler import compile_source
from picograd.runtime.observe import Roofline

LAUNCH = 10e-6
_SECONDS = 2e-3  # a measurement takes about as long: events count half microseconds
_THREADS = 256
_BLOCKS = 8  # a multiprocessor: as many threads as one can hold
_CHAINS = 8  # enough to hide the latency of a multiply-add, in each thread
_TILES = 4  # the same of a warp's products
_OPERATIONS = 2 * 16 * 8 * 16  # of a warp's product
_PAIR = 0x3C013C01  # two bfloat16 factors

_SOURCE = """
extern "C" __global__ void roofline_fma(float* out, float factor, int rounds) {
    float x[8];
#pragma unroll
    for (int n = 0; n < 8; n++) x[n] = (float)(threadIdx.x + n);
#pragma unroll 4
    for (int round = 0; round < rounds; round++) {
#pragma unroll
        for (int n = 0; n < 8; n++) x[n] = fmaf(x[n], factor, factor);
    }
    float sum = 0.0f;
#pragma unroll
    for (int n = 0; n < 8; n++) sum += x[n];
    if (sum == 1.5f) out[0] = sum;
}
struct __align__(16) RooflineFour { float x, y, z, w; };
extern "C" __global__ void roofline_copy(
    RooflineFour* __restrict__ to, const RooflineFour* __restrict__ from, long long count) {
    const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at < count) to[at] = from[at];
}
"""
_TENSOR_SOURCE = """
extern "C" __global__ void roofline_tensor(float* out, unsigned int bits, int rounds) {
    float x[4][4];
    const unsigned words[4] = {bits, bits, bits, bits};
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
        for (int m = 0; m < 4; m++) x[n][m] = 0.0f;
#pragma unroll 4
    for (int round = 0; round < rounds; round++) {
#pragma unroll
        for (int n = 0; n < 4; n++)
            pg_multiply_bfloat(x[n], words, words);
    }
    float sum = 0.0f;
#pragma unroll
    for (int n = 0; n < 4; n++) sum += x[n][0] + x[n][1] + x[n][2] + x[n][3];
    if (sum == 1.5f) out[0] = sum;
}
"""


def source(capability: int) -> str:
    """The kernels that a GPU of this compute capability (80: 8.0) is measured with."""
    return PRELUDE + _SOURCE + (_TENSOR_SOURCE if capability >= TENSOR_CORES else "")


class Kernels:
    """The loaded kernels, and how they are launched and timed."""

    def __init__(self) -> None:
        opened = self.opened = driver.get()
        compiled = compile_source(source(opened.capability), opened.architecture)
        self._module = opened.cuda.module_from_buffer(compiled.cubin)
        self.count = opened.device.get_attribute(opened.cuda.device_attribute.MULTIPROCESSOR_COUNT)
        self.cache_bytes = opened.device.get_attribute(opened.cuda.device_attribute.L2_CACHE_SIZE)
        opened.at_end.append(kernels.cache_clear)

    def launch(self, name: str, blocks: int, parameters: bytes, threads: int = _THREADS) -> None:
        function: Any = self._module.get_function(name)
        shape = (blocks, 1, 1), (threads, 1, 1)
        function._launch_kernel(*shape, parameters, 0, self.opened.stream)

    def seconds(self, work: Callable[[], None]) -> float:
        """How long one of many launches takes; the best of three tries. What takes long is
        launched twice."""
        cuda, stream = self.opened.cuda, self.opened.stream
        start, end = cuda.Event(), cuda.Event()

        def timed(count: int) -> float:
            start.record(stream)
            for _ in range(count):
                work()
            end.record(stream)
            end.synchronize()
            return end.time_since(start) * 1e-3 / count

        work()
        one = timed(1)
        count = launches_for(one)
        return min(timed(count) for _ in range(3)) if count else one


def launches_for(seconds: float) -> int:
    """How many launches of so many seconds fill a measurement; 0 where one is more than enough."""
    return min(1000, int(4 * _SECONDS / max(seconds, 1e-7)))


@cache
def kernels() -> Kernels:
    """The kernels, loaded once per process."""
    return Kernels()


def hold(launches: int) -> None:
    """Keep the stream busy for as long as it takes to enqueue so many launches (`LAUNCH` seconds
    each), so that none of them waits for the host."""
    parameters = struct.pack("Qfi", 0, 0.5, 2000 * min(launches, 1000))
    kernels().launch("roofline_fma", 1, parameters, threads=1)


def _bandwidth(loaded: Kernels) -> float:
    """GB/s of a copy, read plus written."""
    cuda = loaded.opened.cuda
    free, _ = cuda.mem_get_info()
    count = min(4 * loaded.cache_bytes, free // 4) // 16
    memories = [cuda.mem_alloc(16 * count) for _ in range(2)]
    for memory in memories:
        cuda.memset_d32_async(int(memory), 0, 4 * count, loaded.opened.stream)
    parameters = struct.pack("2Qq", *(int(memory) for memory in memories), count)
    blocks = -(-count // _THREADS)
    seconds = loaded.seconds(lambda: loaded.launch("roofline_copy", blocks, parameters))
    return 2 * 16 * count / seconds / 1e9


def _rate(loaded: Kernels, name: str, number: bytes, operations: int) -> float:
    """GFLOP/s of a kernel that does so many operations in a round of a thread."""
    rounds = 1
    blocks = _BLOCKS * loaded.count
    while True:
        parameters = struct.pack("Q4si", 0, number, rounds)
        seconds = loaded.seconds(lambda p=parameters: loaded.launch(name, blocks, p))
        if seconds > _SECONDS / 4:
            return operations * rounds * blocks * _THREADS / seconds / 1e9
        rounds *= 8


def measure_roofline() -> Roofline:
    """Measure the roofs now (some 50 ms)."""
    with driver.get():
        loaded = kernels()
        fma = _rate(loaded, "roofline_fma", struct.pack("f", 0.5), 2 * _CHAINS)
        tensor = 0.0
        if loaded.opened.capability >= TENSOR_CORES:
            each = _TILES * _OPERATIONS // 32
            tensor = _rate(loaded, "roofline_tensor", struct.pack("I", _PAIR), each)
        copied = _bandwidth(loaded)
        return Roofline(fma, copied, copied, tensor)


@cache
def roofline() -> Roofline:
    """The roofs, measured once per process."""
    return measure_roofline()
