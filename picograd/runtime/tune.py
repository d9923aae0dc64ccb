"""Tiles found by trying: `TUNE=1` searches, a readable file remembers, later runs read it.

In: a contraction kernel and the target, from `runtime.kernels`. Out: the best known `Tiles`, or
None for those of the model (`codegen.contraction.tiles`). With `TUNE=1`, kernels that the file does
not know are searched: every candidate must first give the bits of the untuned kernel, then it is
timed on all threads. The file is `tune.jsonl` in the cache folder, a line of JSON for each kernel
and machine:

    {"kernel": "matmul_512x512x512 1f0c...", "machine": "znver4 64 bytes x 32, ...",
     "tiles": {"vectors": 4, ...}, "microseconds": 1210.5, "untuned": 1302.0, "tried": 22}

Without a cache folder the results last as long as the process.

>>> machine(Target("cpu", "znver4", "", 64, 32, 32 << 10, 1 << 20, 32 << 20, 2))
'znver4, 64-byte vectors x 32, caches 32K 1024K 32768K, 2 threads'
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from picograd import env
from picograd.codegen.target import Target
from picograd.dtypes import DType
from picograd.runtime.buffer import Buffer, empty
from picograd.schedule.kernel import Kernel, Program, Slot, SlotKind, Step

if TYPE_CHECKING:
    from picograd.codegen.contraction.tiles import Tiles
    from picograd.runtime.executable import CpuExecutable

FILE = "tune.jsonl"
# A candidate is run until it has had this much time, and at least so often.
SECONDS, RUNS = 0.03, 3
# One that is so much slower than the best in its first run is not run again.
HOPELESS = 1.5
# So many of the fastest are compared with the model's choice once more, so often.
FINALISTS, ROUNDS = 3, 3
# A candidate replaces the model's choice if it is faster by this factor: noise does not pay.
GAIN = 1.02


class _Known:
    """What the file says, read once a process, and what was found since."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.tiles: dict[tuple[str, str], Tiles] = {}
        self.stamp = ""


_known = _Known()


def stamp() -> str:
    """What compiled programs depend on: a digest of the results that they were made with."""
    return _load().stamp


def tiles_for(kernel: Kernel, target: Target) -> Tiles | None:
    """The best known tiles of a kernel; with TUNE=1 they are searched for."""
    known = _load()
    if not known.tiles and not env.TUNE.get():
        return None
    name = describe(kernel), machine(target)
    if name not in known.tiles and env.TUNE.get():
        found = _search(kernel, target)
        if found is not None:
            known.tiles[name] = found["tiles"]
            _write(known, {"kernel": name[0], "machine": name[1], **found})
    return known.tiles.get(name)


def describe(kernel: Kernel) -> str:
    """A kernel's name, and a hash of all that it computes."""
    return f"{kernel.name} {hashlib.sha256(repr(kernel).encode()).hexdigest()[:16]}"


def machine(target: Target) -> str:
    """What a result depends on besides the kernel."""
    caches = " ".join(f"{size >> 10}K" for size in (target.l1, target.l2, target.l3))
    unit = f"{target.vector_bytes}-byte vectors x {target.registers}"
    return f"{target.cpu}, {unit}, caches {caches}, {target.threads} threads"


# --- the file -------------------------------------------------------------------------------------


def _load() -> _Known:
    """The results in the cache folder that is set now."""
    from picograd.runtime import disk

    folder = disk.folder()
    path = folder / FILE if folder is not None else None
    if path == _known.path:
        return _known
    _known.path, _known.tiles, _known.stamp = path, {}, ""
    try:
        content = path.read_bytes() if path is not None else b""
    except OSError:
        return _known
    _known.stamp = hashlib.sha256(content).hexdigest() if content else ""
    for line in content.decode(errors="replace").splitlines():
        entry = _parse(line)
        if entry is not None:
            _known.tiles[entry[0], entry[1]] = entry[2]
    return _known


def _parse(line: str) -> tuple[str, str, Tiles] | None:
    """One line of the file; None where somebody has spoilt it."""
    from picograd.codegen.contraction.tiles import Tiles

    try:
        entry = json.loads(line)
        kinds = {field.name: type(field.default) for field in dataclasses.fields(Tiles)}
        values = entry["tiles"]
        if set(values) != set(kinds) or not all(isinstance(v, int) for v in values.values()):
            return None
        return str(entry["kernel"]), str(entry["machine"]), Tiles(**values)
    except (ValueError, KeyError, TypeError):
        return None


def _write(known: _Known, entry: dict) -> None:
    """Add a line; a reader never sees half of it."""
    entry["tiles"] = dataclasses.asdict(entry["tiles"])
    if known.path is None:
        return
    try:
        handle = os.open(known.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, (json.dumps(entry) + "\n").encode())
        finally:
            os.close(handle)
    except OSError:  # a full disk: the results last as long as the process
        return


# --- the search -----------------------------------------------------------------------------------


def _search(kernel: Kernel, target: Target) -> dict | None:
    """The fastest candidate and how it was found; None where there is nothing to choose."""
    from picograd.codegen.contraction.candidates import candidates

    if kernel.scalars or any(stage.binds for stage in kernel.stages):
        return None  # numbers and indices of the run: they can't be made up
    tried = candidates(kernel, target)
    if len(tried) < 2:
        return None
    buffers = [empty(memory.dtype, memory.size) for memory in kernel.arguments]
    start = [_values(memory.dtype, memory.size, n) for n, memory in enumerate(kernel.arguments)]
    model = _executable(kernel, target, tried[0])
    want = _result(model, buffers, start)
    untuned = _seconds(model, buffers, float("inf"))
    right: list[tuple[float, Tiles, CpuExecutable]] = []
    for tiles in tried[1:]:
        executable = _executable(kernel, target, tiles)
        if _result(executable, buffers, start) == want:
            right.append((_seconds(executable, buffers, untuned), tiles, executable))
    best, fastest = untuned, tried[0]
    for _, tiles, executable in sorted(right, key=lambda item: item[0])[:FINALISTS]:
        # Side by side with the model's choice: neighbours on the machine come and go.
        pairs = [[_seconds(e, buffers, 1.0) for e in (model, executable)] for _ in range(ROUNDS)]
        untuned = min(untuned, *(pair[0] for pair in pairs))
        seconds = min(pair[1] for pair in pairs)
        if seconds * GAIN < min(best, untuned):
            best, fastest = seconds, tiles
    best = min(best, untuned) if fastest is tried[0] else best
    if env.debug_level() >= 1:
        times = f"{untuned * 1e6:.0f} us, now {best * 1e6:.0f} us"
        print(f"tune {kernel.name}: {len(tried)} candidates, was {times}", file=sys.stderr)
    micro = {"microseconds": round(best * 1e6, 1), "untuned": round(untuned * 1e6, 1)}
    return {"tiles": fastest, **micro, "tried": len(tried)}


def _executable(kernel: Kernel, target: Target, tiles: Tiles) -> CpuExecutable:
    """A program of this kernel alone, whose arguments are all given."""
    from picograd.codegen.llvm.render import render
    from picograd.codegen.pipeline import compile_function
    from picograd.runtime.executable import CpuExecutable
    from picograd.runtime.jit import compile_ir
    from picograd.runtime.kernels import CompiledKernel, Outline

    function = compile_function(kernel, target, tiles=tiles)
    library = compile_ir(render(function, target), target.cpu, target.features)
    compiled = CompiledKernel.of(Outline.of(function), library)
    slots = tuple(
        Slot(SlotKind.INPUT, number, memory.dtype, memory.size)
        for number, memory in enumerate(kernel.arguments)
    )
    program = Program(slots, (Step(kernel, tuple(range(len(slots))), ()),), (), 0, ())
    return CpuExecutable.of(program, {kernel: compiled})


def _values(dtype: DType, size: int, seed: int) -> np.ndarray:
    """Numbers for an argument."""
    rng = np.random.default_rng(seed)
    if dtype.is_float:
        return rng.standard_normal(size).astype(dtype.numpy)
    return rng.integers(0, 2, size).astype(dtype.numpy)


def _result(
    executable: CpuExecutable, buffers: Sequence[Buffer], start: Sequence[np.ndarray]
) -> list[bytes]:
    """The bytes of all arguments after one run on the same numbers."""
    for buffer, values in zip(buffers, start, strict=True):
        buffer.array[...] = values
    executable.run(buffers)
    return [hashlib.sha256(buffer.array.tobytes()).digest() for buffer in buffers]


def _seconds(executable: CpuExecutable, buffers: Sequence[Buffer], best: float) -> float:
    """The shortest of several runs."""
    least, total, runs = float("inf"), 0.0, 0
    while runs < RUNS or total < SECONDS:
        begin = time.perf_counter()
        executable.run(buffers)
        seconds = time.perf_counter() - begin
        least, total, runs = min(least, seconds), total + seconds, runs + 1
        if seconds > HOPELESS * best:
            break
    return least
