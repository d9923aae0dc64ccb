"""LLVM IR text to addresses of machine code, and what LLVM knows of the host.

In: IR text in its final form (no optimisation passes run here: the renderer wrote what it meant),
of one module or of several. Out: a `Library`, which keeps the code loaded, with the address of
every function it defines. Used by `runtime.pool` for the executor and by `runtime.kernels` for
kernels.

>>> library = compile_ir("define i64 @answer() {\\n  ret i64 42\\n}")
>>> import ctypes
>>> ctypes.CFUNCTYPE(ctypes.c_int64)(library.addresses["answer"])()
42
"""

from __future__ import annotations

import itertools
import re
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from queue import SimpleQueue
from typing import TYPE_CHECKING

from picograd.errors import InternalError
from picograd.runtime.fork import renew_in_child

if TYPE_CHECKING:
    from llvmlite.binding.module import ModuleRef
    from llvmlite.binding.orcjit import LLJIT, ResourceTracker
    from llvmlite.binding.targets import TargetMachine


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Library:
    """Loaded machine code: `addresses[symbol]` is valid while the library is alive. `images` are
    the object files that it was loaded from."""

    addresses: dict[str, int]
    tracker: ResourceTracker
    images: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Host:
    """LLVM set up for this machine: made once a process, and never disposed of, because threads
    may run its code until the process is gone."""

    jit: LLJIT
    cpu: str
    features: str
    triple: str


class _Locks:
    def __init__(self) -> None:
        self.compile = threading.Lock()


_locks = _Locks()
renew_in_child(_locks.__init__)
_numbers = itertools.count()


@lru_cache(maxsize=1)
def host() -> Host:
    """LLVM, ready to compile. Imports llvmlite: about 40 ms the first time."""
    import ctypes

    from llvmlite import binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    triple = llvm.get_process_triple()
    # JITLink puts all sections of an object file into one block. The older linker asks for memory
    # section by section: between large tensors code ends up further from its constants than it
    # can reach, and LLVM kills the process.
    jit = llvm.create_lljit_compiler(
        _new_machine(triple, cpu, features), use_jit_link=True, suppress_errors=True
    )
    made = Host(jit, cpu, features, triple)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))
    return made


def _new_machine(triple: str, cpu: str, features: str) -> TargetMachine:
    from llvmlite import binding as llvm

    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=2, reloc="pic", codemodel="small"
    )


@lru_cache(maxsize=8)
def _machine(cpu: str, features: str) -> TargetMachine:
    return _new_machine(host().triple, cpu, features)


def compile_ir(text: str, cpu: str | None = None, features: str = "") -> Library:
    """Verify and compile one module and load it. Symbols of the process (libm, libc) resolve.

    `cpu` and `features` are LLVM's names, the host's when no CPU is given. Raises InternalError
    with LLVM's message, and the line it speaks of, when the text is not valid.
    """
    machine = _choose(cpu, features)
    with _locks.compile:
        module = _parse(text, machine)
        exports: list[str] = []
        imports: list[str] = []
        for function in module.functions:
            if not function.is_declaration and function.linkage.name == "external":
                exports.append(function.name)
            elif function.is_declaration and not function.name.startswith("llvm."):
                imports.append(function.name)
        return _load([_emit(module, machine)], exports, imports)


def compile_modules(texts: Iterable[str], cpu: str, features: str) -> list[bytes]:
    """Object files of modules whose texts may be written while this runs: LLVM, which needs no
    Python lock, works on one while the caller's iterator makes the next."""
    worker = _Worker(_machine(cpu, features))
    interval = sys.getswitchinterval()
    # LLVM is called a dozen times a module, and each time the lock has to be had back.
    sys.setswitchinterval(min(interval, 2e-4))
    try:
        for text in texts:
            worker.waiting.put(text)
    except BaseException as error:
        worker.failure = error
    try:
        return worker.finish()
    finally:
        sys.setswitchinterval(interval)


def compile_module(text: str, cpu: str, features: str) -> bytes:
    """The object file of one module, made here and now: a thread would take longer to start."""
    machine = _machine(cpu, features)
    with _locks.compile:
        return _emit(_parse(text, machine), machine)


class _Worker:
    """A thread that compiles the texts of a queue, up to a None."""

    def __init__(self, machine: TargetMachine) -> None:
        self.waiting: SimpleQueue[str | None] = SimpleQueue()
        self.failure: BaseException | None = None
        self._machine = machine
        self._made: list[bytes] = []
        self._thread: threading.Thread | None = threading.Thread(target=self._run, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no threads any more: the interpreter is about to end
            self._thread = None

    def _run(self) -> None:
        while (text := self.waiting.get()) is not None:
            if self.failure is not None:
                continue
            try:
                with _locks.compile:
                    self._made.append(_emit(_parse(text, self._machine), self._machine))
            except BaseException as error:
                self.failure = error

    def finish(self) -> list[bytes]:
        """What was made of all texts; raises what went wrong."""
        self.waiting.put(None)
        if self._thread is not None:
            self._thread.join()
        else:
            self._run()
        if self.failure is not None:
            raise self.failure
        return self._made


def _emit(module: ModuleRef, machine: TargetMachine) -> bytes:
    """The object file of a module. The compile lock is held.

    The renderer has written addresses as it wants them: LLVM's own search for better induction
    variables takes a third of the time and gains nothing. Other users of LLVM in this process
    have it back afterwards.
    """
    from llvmlite import binding as llvm

    if not module.triple.startswith("x86_64"):
        return machine.emit_object(module)
    llvm.set_option("picograd", "-disable-lsr=true")
    try:
        return machine.emit_object(module)
    finally:
        llvm.set_option("picograd", "-disable-lsr=false")


def load_images(images: Sequence[bytes], exports: Sequence[str]) -> Library:
    """Load object files that were made in this process or another."""
    host()
    with _locks.compile:
        return _load(images, exports, ())


def assembly(text: str, cpu: str | None = None, features: str = "") -> str:
    """The machine code of a module, as assembly text."""
    machine = _choose(cpu, features)
    with _locks.compile:
        return machine.emit_assembly(_parse(text, machine))


def _choose(cpu: str | None, features: str) -> TargetMachine:
    return _machine(host().cpu, host().features) if cpu is None else _machine(cpu, features)


def _parse(text: str, machine: TargetMachine) -> ModuleRef:
    from llvmlite import binding as llvm

    try:
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise InternalError(f"generated LLVM IR is not valid: {error}") from error
    module.triple = host().triple
    module.data_layout = str(machine.target_data)
    return module


def _load(images: Sequence[bytes], exports: Sequence[str], imports: Sequence[str]) -> Library:
    """Link object files to one library."""
    from llvmlite import binding as llvm

    builder = llvm.JITLibraryBuilder()
    for image in images:
        builder.add_object_img(image)
    builder.add_current_process()
    for name in exports:
        builder.export_symbol(name)
    try:
        tracker = builder.link(host().jit, f"picograd.{next(_numbers)}")
    except RuntimeError as error:
        raise InternalError(
            f"generated code does not link ({error}); it imports {', '.join(imports) or 'nothing'}"
        ) from error
    return Library({name: tracker[name] for name in exports}, tracker, tuple(images))


def host_cpu() -> tuple[str, str]:
    """LLVM's name of the host CPU and its feature string."""
    return host().cpu, host().features


def register_report(assembly: str) -> str:
    """How many vector registers an x86 or aarch64 listing uses, and how many values it spills.

    >>> register_report("vaddps %zmm1, %zmm2, %zmm3\\nvmovaps %ymm9, 32(%rsp) # 32-byte Spill")
    '4 vector registers, 1 spills, 0 reloads'
    """
    names = set(re.findall(r"\b[xyz]mm(\d+)\b|\bv(\d+)\.(?:\d+)?[bhsd]", assembly))
    spills = len(re.findall(r"Spill\b", assembly))
    reloads = len(re.findall(r"Reload\b", assembly))
    return f"{len(names)} vector registers, {spills} spills, {reloads} reloads"
