"""Kernels to functions that can be launched, each once a process.

In: the kernels of a program. Out: a `LaunchableKernel` for each: its phases with their grids. The
new kernels of a program are compiled as one source.

>>> compile_kernels([])
{}
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from picograd.codegen.cuda.ops import PRELUDE
from picograd.codegen.cuda.render import grid_function, grid_of, render_cuda, shared_of
from picograd.codegen.loops import Call, Function, TileMap, statements
from picograd.dtypes import DType
from picograd.runtime.cuda import driver
from picograd.runtime.cuda.compiler import compile_source, compiler, cubin_of
from picograd.runtime.cuda.disassembly import disassemble
from picograd.runtime.cuda.functions import version
from picograd.runtime.cuda.resources import Resources
from picograd.runtime.observe import Language, Observer, Unit
from picograd.schedule.kernel import Kernel

WITHOUT_ASKING = 48 << 10  # bytes of shared memory that every kernel may have


@dataclass(frozen=True, slots=True)
class LaunchablePhase:
    """A function of a module, and the blocks, threads and bytes of shared memory that it is
    launched with."""

    function: Any  # pycuda.driver.Function, which keeps its module loaded
    blocks: int
    threads: int
    shared: int

    def enqueue(self, parameters: Any, stream: Any) -> None:
        """Launch it with the packed parameters, which are read before this returns."""
        grid, block = (self.blocks, 1, 1), (self.threads, 1, 1)
        self.function._launch_kernel(grid, block, parameters, self.shared, stream)


@dataclass(frozen=True, slots=True)
class LaunchableKernel:
    """A kernel's phases, the types of its run-time numbers, the bytes of its private memories:
    `workspace` of a launch, `scratch` of each thread; what does its arithmetic; the
    descriptors that it takes."""

    phases: tuple[LaunchablePhase, ...]
    scalars: tuple[DType, ...]
    workspace: int
    scratch: int
    unit: Unit
    maps: tuple[TileMap, ...]

    @property
    def most_threads(self) -> int:
        """The threads of its largest phase."""
        return max((phase.blocks * phase.threads for phase in self.phases), default=0)


_known: dict[Kernel, LaunchableKernel] = {}
_lock = threading.RLock()


def compile_kernels(
    kernels: Sequence[Kernel], observer: Observer | None = None
) -> dict[Kernel, LaunchableKernel]:
    """Launchable functions for every kernel; only those never seen before are compiled."""
    wanted = list(dict.fromkeys(kernels))
    with _lock:
        missing = [kernel for kernel in wanted if kernel not in _known]
        if missing:
            _compile(missing, observer)
        return {kernel: _known[kernel] for kernel in wanted}


def known_kernels() -> list[Kernel]:
    """Every kernel compiled so far."""
    with _lock:
        return list(_known)


def _compile(kernels: list[Kernel], observer: Observer | None) -> None:
    opened = driver.get()
    functions = [_function(kernel, opened.capability, observer) for kernel in kernels]
    distinct = {function.name: render_cuda(function) for function in functions}
    if observer is not None:
        for kernel, function in zip(kernels, functions, strict=True):
            observer.saw_source(kernel, Language.CUDA_C, distinct[function.name])
    cubin = cubin_of("\n".join([PRELUDE, *distinct.values()]), opened.architecture)
    with opened:
        module = _loaded(opened, cubin)
        for kernel, function in zip(kernels, functions, strict=True):
            _known[kernel] = _launchable(module, function)
            if observer is not None and observer.wants_assembly(kernel):
                _show(observer, opened, kernel, distinct[function.name])
    if _known.clear not in opened.at_end:
        opened.at_end.append(_known.clear)


def _loaded(opened: driver.Driver, cubin: bytes) -> Any:
    try:
        return opened.cuda.module_from_buffer(cubin)
    except opened.cuda.Error as error:
        raise RuntimeError(
            f"CUDA error: {driver.words(error)}. The driver (CUDA {version()}) does not take what "
            f"{compiler()} made for {opened.architecture}: upgrade NVIDIA's driver, or install a "
            "compiler that is not newer than it (pip install nvidia-cuda-nvrtc-cu12)."
        ) from error


def _function(kernel: Kernel, capability: int, observer: Observer | None) -> Function:
    if observer is None:
        return grid_function(kernel, capability)
    return grid_function(
        kernel, capability, lambda stage, function: observer.saw_loops(kernel, stage, function)
    )


def _show(observer: Observer, opened: driver.Driver, kernel: Kernel, text: str) -> None:
    """Tell the observer of the machine code of one kernel, and what its launches occupy."""
    occupied = [Resources.of(opened, phase).text() for phase in _known[kernel].phases]
    if len(occupied) > 1:
        occupied = [f"phase {number}: {line}" for number, line in enumerate(occupied)]
    alone = compile_source(f"{PRELUDE}\n{text}", opened.architecture)
    language, listing = disassemble(alone)
    observer.saw_assembly(kernel, language, "; ".join(occupied), listing)


def _launchable(module: Any, function: Function) -> LaunchableKernel:
    phases = []
    for number, phase in enumerate(function.phases):
        entry = module.get_function(f"{function.name}_{number}")
        shared = shared_of(function, phase)
        if shared > WITHOUT_ASKING:
            attribute = driver.get().cuda.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES
            entry.set_attribute(attribute, shared)
        phases.append(LaunchablePhase(entry, *grid_of(phase), shared))
    on_tensor_cores = any(
        isinstance(statement, Call) and statement.helper.startswith("pg_multiply_")
        for phase in function.phases
        for statement in statements(phase.body)
    )
    unit = Unit.TENSOR if on_tensor_cores else Unit.FMA
    private = function.workspace, function.scratch
    return LaunchableKernel(tuple(phases), function.scalars, *private, unit, function.maps)
