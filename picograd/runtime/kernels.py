"""Kernels to machine code, each once a process.

In: the kernels of a program. Out: a `CompiledKernel` for each: addresses of its phases and what
they need to run. Kernels are canonical, so programs that share a computation share its code. Of
the new ones of a program some at a time are one module, which is cheaper than one module each, and
LLVM compiles it while the loops of the next are made.

>>> from picograd.codegen.target import SCALAR
>>> compile_kernels([], SCALAR)
{}
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from picograd.codegen.loops import Function
from picograd.codegen.target import Target
from picograd.graph.index import Index
from picograd.runtime.fork import renew_in_child
from picograd.runtime.jit import (
    Library,
    assembly,
    compile_module,
    compile_modules,
    load_images,
    register_report,
)
from picograd.runtime.observe import Language, Observer
from picograd.schedule.kernel import Kernel, Pattern

MODULE = 4  # kernels that are compiled together


@dataclass(frozen=True, slots=True)
class Outline:
    """What running a kernel takes to know: its symbol, the extent and the work of each phase (see
    `codegen.loops.Phase`), the bytes of its private memories."""

    name: str
    phases: tuple[tuple[Index, float], ...]
    workspace: int
    scratch: int

    @staticmethod
    def of(function: Function) -> Outline:
        phases = tuple((phase.extent, phase.work) for phase in function.phases)
        return Outline(function.name, phases, function.workspace, function.scratch)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The name of each phase's code."""
        return tuple(f"{self.name}_{number}" for number in range(len(self.phases)))


@dataclass(frozen=True, slots=True)
class CompiledKernel:
    """A kernel's machine code: `addresses[n]` is phase n; `library` holds it."""

    outline: Outline
    addresses: tuple[int, ...]
    library: Library

    @staticmethod
    def of(outline: Outline, library: Library) -> CompiledKernel:
        addresses = tuple(library.addresses[symbol] for symbol in outline.symbols)
        return CompiledKernel(outline, addresses, library)


class KernelCache:
    """Compiled kernels by (kernel, target)."""

    def __init__(self) -> None:
        self._known: dict[tuple[Kernel, Target], CompiledKernel] = {}
        self.lock = threading.RLock()

    def compile(
        self, kernels: Iterable[Kernel], target: Target, observer: Observer | None = None
    ) -> dict[Kernel, CompiledKernel]:
        """Machine code for every kernel; only those never seen before are compiled."""
        wanted = list(dict.fromkeys(kernels))
        with self.lock:
            missing = [kernel for kernel in wanted if (kernel, target) not in self._known]
            if missing:
                self._compile(missing, target, observer)
            return {kernel: self._known[kernel, target] for kernel in wanted}

    def clear(self) -> None:
        """Forget everything; code that an executable still uses stays loaded."""
        with self.lock:
            self._known.clear()

    def __len__(self) -> int:
        return len(self._known)

    def kernels(self) -> list[Kernel]:
        """Every kernel compiled so far, for whatever target."""
        with self.lock:
            return list(dict.fromkeys(kernel for kernel, _ in self._known))

    def _compile(self, kernels: list[Kernel], target: Target, observer: Observer | None) -> None:
        outlines: list[Outline] = []
        texts = _modules(kernels, target, observer, outlines)
        if len(kernels) <= MODULE:
            images = [compile_module(text, target.cpu, target.features) for text in texts]
        else:
            images = compile_modules(texts, target.cpu, target.features)
        symbols = dict.fromkeys(name for outline in outlines for name in outline.symbols)
        library = load_images(images, list(symbols))
        for kernel, outline in zip(kernels, outlines, strict=True):
            self._known[kernel, target] = CompiledKernel.of(outline, library)


def _modules(
    kernels: list[Kernel], target: Target, observer: Observer | None, outlines: list[Outline]
) -> Iterator[str]:
    """The text of kernels, some to a module; appends the outline of each."""
    from picograd.codegen.llvm.render import render_module

    known: set[str] = set()
    waiting: list[Function] = []
    for kernel in kernels:
        function = _function(kernel, target, observer)
        outlines.append(Outline.of(function))
        if observer is not None:
            _show(kernel, function, target, observer)
        if function.name not in known:
            known.add(function.name)
            waiting.append(function)
        if len(waiting) == MODULE:
            yield render_module(waiting, target)
            waiting = []
    if waiting:
        yield render_module(waiting, target)


def _function(kernel: Kernel, target: Target, observer: Observer | None) -> Function:
    from picograd.codegen.pipeline import compile_function
    from picograd.runtime import tune

    tiles = tune.tiles_for(kernel, target) if kernel.pattern is Pattern.CONTRACTION else None
    if observer is None:
        return compile_function(kernel, target, tiles=tiles)
    return compile_function(
        kernel,
        target,
        lambda stage, function: observer.saw_loops(kernel, stage, function),
        tiles,
    )


def _show(kernel: Kernel, function: Function, target: Target, observer: Observer) -> None:
    """Tell the observer of the source and, if it asks, the assembly of one kernel."""
    from picograd.codegen.llvm.render import render_module

    text = render_module((function,), target)
    observer.saw_source(kernel, Language.LLVM_IR, text)
    if observer.wants_assembly(kernel):
        listing = assembly(text, target.cpu, target.features)
        observer.saw_assembly(kernel, Language.ASSEMBLY, register_report(listing), listing)


CACHE = KernelCache()


def _renew_lock() -> None:
    CACHE.lock = threading.RLock()


renew_in_child(_renew_lock)


def compile_kernels(
    kernels: Sequence[Kernel], target: Target, observer: Observer | None = None
) -> dict[Kernel, CompiledKernel]:
    """Machine code for the kernels, from the process's cache where it is known."""
    return CACHE.compile(kernels, target, observer)
