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
from picograd.codegen.cuda.render import grid_function, grid_of, render_cuda
from picograd.codegen.loops import Function
from picograd.dtypes import DType
from picograd.runtime.cuda import driver
from picograd.runtime.cuda.compiler import compile_source
from picograd.runtime.observe import Observer
from picograd.schedule.kernel import Kernel


@dataclass(frozen=True, slots=True)
class LaunchablePhase:
    """A function of a module, and the blocks and threads that it is launched with."""

    function: Any  # pycuda.driver.Function, which keeps its module loaded
    blocks: int
    threads: int


@dataclass(frozen=True, slots=True)
class LaunchableKernel:
    """A kernel's phases, the types of its run-time numbers, the bytes of its private memories:
    `workspace` of a launch, `scratch` of each thread."""

    phases: tuple[LaunchablePhase, ...]
    scalars: tuple[DType, ...]
    workspace: int
    scratch: int


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


def _compile(kernels: list[Kernel], observer: Observer | None) -> None:
    opened = driver.get()
    functions = [grid_function(kernel, opened.capability) for kernel in kernels]
    distinct = {function.name: render_cuda(function) for function in functions}
    if observer is not None:
        for kernel, function in zip(kernels, functions, strict=True):
            observer.saw_source(kernel, distinct[function.name])
    compiled = compile_source("\n".join([PRELUDE, *distinct.values()]), opened.architecture)
    with opened:
        module = opened.cuda.module_from_buffer(compiled.cubin)
        for kernel, function in zip(kernels, functions, strict=True):
            _known[kernel] = _launchable(module, function)
    if _known.clear not in opened.at_end:
        opened.at_end.append(_known.clear)


def _launchable(module: Any, function: Function) -> LaunchableKernel:
    phases = tuple(
        LaunchablePhase(module.get_function(f"{function.name}_{number}"), *grid_of(phase))
        for number, phase in enumerate(function.phases)
    )
    return LaunchableKernel(phases, function.scalars, function.workspace, function.scratch)
