"""The machine's roofs, measured: multiply-adds per second and bytes per second.

In: nothing. Out: a `Roofline`, against which DEBUG=2 and the benchmarks hold kernels. Measured with
code of the same kind that picograd generates, on all threads: independent chains of vector
multiply-adds that stay in registers, and a copy of more memory than the caches hold: with stores
that go around the caches, and with ordinary ones (which read what they overwrite).

Clocks and neighbours change from second to second, so a benchmark calls `measure_roofline` in every
round; DEBUG=2 measures once (`roofline`).
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from picograd.runtime import host, jit
from picograd.runtime.observe import Roofline
from picograd.runtime.pool import get_num_threads

# Enough chains to hide the latency of a multiply-add (4 cycles, 2 a cycle), few enough for the
# registers of every target.
_CHAINS = 12
_FMA_ROUNDS = 1_000_000
_COPY_BYTES = 1 << 26


def _fma_source(lanes: int) -> str:
    vector = f"<{lanes} x float>"
    lines = [
        f"declare {vector} @llvm.fma.v{lanes}f32({vector}, {vector}, {vector})",
        f"declare float @llvm.vector.reduce.fadd.v{lanes}f32(float, {vector})",
        f"define float @roofline_fma(i64 %rounds, {vector} %factor) {{",
        "entry:",
        "  br label %loop",
        "loop:",
        "  %i = phi i64 [0, %entry], [%next, %loop]",
    ]
    for n in range(_CHAINS):
        lines.append(f"  %x{n} = phi {vector} [%factor, %entry], [%y{n}, %loop]")
    for n in range(_CHAINS):
        lines.append(
            f"  %y{n} = call {vector} @llvm.fma.v{lanes}f32"
            f"({vector} %x{n}, {vector} %factor, {vector} %factor)"
        )
    lines += [
        "  %next = add i64 %i, 1",
        "  %more = icmp slt i64 %next, %rounds",
        "  br i1 %more, label %loop, label %done",
        "done:",
    ]
    total = "%y0"
    for n in range(1, _CHAINS):
        lines.append(f"  %t{n} = fadd {vector} {total}, %y{n}")
        total = f"%t{n}"
    lines += [
        f"  %sum = call float @llvm.vector.reduce.fadd.v{lanes}f32(float 0.0, {vector} {total})",
        "  ret float %sum",
        "}",
    ]
    wrapper = [
        "define float @roofline_fma_scalar(i64 %rounds) {",
        f"  %a = insertelement {vector} poison, float 0x3FE0000000000000, i32 0",
        f"  %b = shufflevector {vector} %a, {vector} poison, <{lanes} x i32> zeroinitializer",
        f"  %r = call float @roofline_fma(i64 %rounds, {vector} %b)",
        "  ret float %r",
        "}",
    ]
    return "\n".join(lines + wrapper)


def _copy_source(lanes: int, name: str, hint: str) -> str:
    vector = f"<{lanes} x float>"
    return f"""
define void @{name}(ptr noalias %to, ptr noalias %from, i64 %count) {{
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %source = getelementptr inbounds float, ptr %from, i64 %i
  %target = getelementptr inbounds float, ptr %to, i64 %i
  %value = load {vector}, ptr %source, align {4 * lanes}
  store {vector} %value, ptr %target, align {4 * lanes}{hint}
  %next = add i64 %i, {lanes}
  %more = icmp slt i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  fence seq_cst
  ret void
}}
"""


@cache
def _library() -> jit.Library:
    lanes = host.target().vector_bytes // 4
    streaming = _copy_source(lanes, "roofline_copy", ", !nontemporal !0") + "!0 = !{i32 1}\n"
    return jit.compile_ir(
        _fma_source(lanes) + streaming + _copy_source(lanes, "roofline_plain_copy", "")
    )


_Copy = Callable[[int, int, int], None]


@cache
def _routines() -> tuple[Callable[[int], float], _Copy, _Copy]:
    symbols = _library().addresses
    fma = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64)(symbols["roofline_fma_scalar"])
    copy = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    return fma, copy(symbols["roofline_copy"]), copy(symbols["roofline_plain_copy"])


@cache
def _arrays() -> tuple[np.ndarray, np.ndarray]:
    count = _COPY_BYTES // 4
    aligned = []
    for value in (0.0, 1.0):
        raw = np.full(count + 16, value, np.float32)
        skip = -raw.ctypes.data % 64 // 4
        aligned.append(raw[skip : skip + count])
    return aligned[0], aligned[1]


def _seconds(jobs: list[Callable[[], object]]) -> float:
    """The wall time of jobs that run at once, one thread each; the better of two tries."""
    best = float("inf")
    with ThreadPoolExecutor(len(jobs)) as pool:
        for _ in range(2):
            start = time.perf_counter()
            for future in [pool.submit(job) for job in jobs]:
                future.result()
            best = min(best, time.perf_counter() - start)
    return best


def _copy_rate(copy: _Copy, threads: int, lanes: int) -> float:
    """GB/s of a copy whose parts are the threads'."""
    target, source = _arrays()
    share = target.size // threads // lanes * lanes

    def part(number: int) -> Callable[[], object]:
        start = number * share * 4
        return lambda: copy(target.ctypes.data + start, source.ctypes.data + start, share)

    return 2.0 * share * threads * 4 / _seconds([part(n) for n in range(threads)]) / 1e9


def measure_roofline() -> Roofline:
    """Measure the roofs now, on the threads that programs use (some 30 ms)."""
    fma, copy, plain_copy = _routines()
    threads = get_num_threads()
    lanes = host.target().vector_bytes // 4
    seconds = _seconds([lambda: fma(_FMA_ROUNDS)] * threads)
    gflops = 2.0 * lanes * _CHAINS * _FMA_ROUNDS * threads / seconds / 1e9
    rates = [_copy_rate(routine, threads, lanes) for routine in (copy, plain_copy)]
    return Roofline(gflops, *rates)


@cache
def roofline() -> Roofline:
    """The roofs, measured once per process."""
    return measure_roofline()
