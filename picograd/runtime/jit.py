"""LLVM IR text to addresses of machine code, and what LLVM knows of the host.

In: IR text in its final form (no optimisation passes run here: the renderer wrote what it meant).
Out: a `Library`, which keeps the code loaded, with the address of every function it defines. Used
by `runtime.pool` for the executor and by `runtime.cpu` for kernels.

>>> library = compile_ir("define i64 @answer() {\\n  ret i64 42\\n}")
>>> import ctypes
>>> ctypes.CFUNCTYPE(ctypes.c_int64)(library.addresses["answer"])()
42
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from picograd.errors import InternalError

if TYPE_CHECKING:
    from llvmlite.binding.orcjit import LLJIT, ResourceTracker
    from llvmlite.binding.targets import TargetMachine


@dataclass(frozen=True, slots=True)
class Library:
    """Loaded machine code: `addresses[symbol]` is valid while the library is alive."""

    addresses: dict[str, int]
    tracker: ResourceTracker


@dataclass(frozen=True, slots=True)
class Compiler:
    """LLVM set up for the host: made once a process, and never disposed of, because threads may
    run its code until the process is gone."""

    machine: TargetMachine
    jit: LLJIT
    cpu: str
    features: str
    triple: str


_lock = threading.Lock()
_numbers = itertools.count()


@lru_cache(maxsize=1)
def compiler() -> Compiler:
    """The host's compiler. Imports llvmlite: about 40 ms the first time."""
    import ctypes

    from llvmlite import binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu = llvm.get_host_cpu_name()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple()

    def machine() -> TargetMachine:
        return target.create_target_machine(
            cpu=cpu, features=features, opt=2, reloc="pic", codemodel="small"
        )

    jit = llvm.create_lljit_compiler(machine())
    made = Compiler(machine(), jit, cpu, features, target.triple)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))
    return made


def compile_ir(text: str) -> Library:
    """Verify and compile one module and load it. Symbols of the process (libm, libc) resolve.

    Raises InternalError, with LLVM's message and the line it speaks of, when the text is not valid.
    """
    from llvmlite import binding as llvm

    host = compiler()
    with _lock:
        try:
            module = llvm.parse_assembly(text)
            module.verify()
        except RuntimeError as error:
            raise InternalError(f"generated LLVM IR is not valid: {error}") from error
        module.triple = host.triple
        module.data_layout = str(host.machine.target_data)
        names = [
            function.name
            for function in module.functions
            if not function.is_declaration and function.linkage != llvm.Linkage.internal
        ]
        image = host.machine.emit_object(module)
        return _load(image, names)


def _load(image: bytes, names: list[str]) -> Library:
    from llvmlite import binding as llvm

    builder = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
    for name in names:
        builder.export_symbol(name)
    tracker = builder.link(compiler().jit, f"picograd.{next(_numbers)}")
    return Library({name: tracker[name] for name in names}, tracker)


def host_cpu() -> tuple[str, str]:
    """LLVM's name of the host CPU and its feature string."""
    host = compiler()
    return host.cpu, host.features
