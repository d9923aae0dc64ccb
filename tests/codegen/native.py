"""Compile a loop function with LLVM and call it on NumPy arrays: what the codegen tests use."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from picograd.codegen.llvm.render import render_module
from picograd.codegen.loops import Function
from picograd.codegen.target import AVX2, AVX512, Target
from picograd.graph.index import Param, Var
from picograd.runtime.jit import Library, compile_ir

POINTER = ctypes.c_void_p
PROTOTYPE = ctypes.CFUNCTYPE(None, POINTER, POINTER, POINTER, ctypes.c_int64, ctypes.c_int64)


class Native:
    """The phases of one function as machine code."""

    def __init__(self, function: Function, library: Library | None = None) -> None:
        self.function = function
        self.library = library or compile_ir(render_module((function,), AVX512))
        self.phases = [
            PROTOTYPE(self.library.addresses[f"{function.name}_{number}"])
            for number in range(len(function.phases))
        ]

    def run(self, arrays: Sequence[np.ndarray], scalars: Sequence[np.generic | int] = ()) -> int:
        """Run all phases on the argument arrays; returns the status (1: a check failed)."""
        self.prepare(arrays, scalars)
        for number, phase in enumerate(self.function.phases):
            atoms = phase.extent.atoms()
            values: dict[Var | Param, int] = {
                atom: int(scalars[atom.slot]) for atom in atoms if isinstance(atom, Param)
            }
            end = 1 if phase.var is None else phase.extent.evaluate(values)
            self.call(number, 0, end)
        return int(self.status[0])

    def prepare(
        self, arrays: Sequence[np.ndarray], scalars: Sequence[np.generic | int] = ()
    ) -> None:
        """Lay out the three tables that a phase is called with."""
        self.buffers = (POINTER * max(len(arrays), 1))(*(array.ctypes.data for array in arrays))
        self.cells = np.zeros(max(len(scalars), 1), np.int64)
        for slot, (scalar, dtype) in enumerate(zip(scalars, self.function.scalars, strict=True)):
            number = np.asarray(scalar).astype(dtype.numpy)
            cell = self.cells[slot : slot + 1].view(np.uint8)
            cell[: number.nbytes] = np.frombuffer(number.tobytes(), np.uint8)
        self.status = np.zeros(1, np.int32)
        sizes = self.function.workspace, self.function.scratch
        self.homes = [np.zeros(size + 128, np.uint8) for size in sizes]
        starts = [-(-home.ctypes.data // 64) * 64 for home in self.homes]
        self.context = (POINTER * 3)(self.status.ctypes.data, *starts)

    def call(self, number: int, begin: int, end: int) -> None:
        """Run iterations of one phase on what was prepared."""
        buffers, context = ctypes.addressof(self.buffers), ctypes.addressof(self.context)
        self.phases[number](buffers, self.cells.ctypes.data, context, begin, end)


def compile_all(functions: Sequence[Function], target: Target = AVX512) -> dict[str, Native]:
    """Several functions of different names, compiled as one module for the host's CPU, or with
    the fewer instructions of AVX2's."""
    cpu = target.cpu if target is AVX2 else None
    library = compile_ir(render_module(functions, target), cpu, target.features)
    return {function.name: Native(function, library) for function in functions}
