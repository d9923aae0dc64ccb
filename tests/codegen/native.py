"""Compile a loop function with LLVM and call it on NumPy arrays: what the codegen tests use."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from picograd.codegen.llvm import render_module
from picograd.codegen.loops import Function
from picograd.codegen.target import AVX512, Target
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
        buffers = (POINTER * max(len(arrays), 1))(*(array.ctypes.data for array in arrays))
        cells = np.zeros(max(len(scalars), 1), np.int64)
        for slot, scalar in enumerate(scalars):
            number = np.asarray(scalar)
            cells[slot : slot + 1].view(np.uint8)[: number.nbytes] = np.frombuffer(
                number.tobytes(), np.uint8
            )
        status = np.zeros(1, np.int32)
        homes = [
            np.zeros(size // 64 + 2, [("line", "V64")])
            for size in (self.function.workspace, self.function.scratch)
        ]
        starts = [-(-home.ctypes.data // 64) * 64 for home in homes]
        context = (POINTER * 3)(status.ctypes.data, *starts)
        for phase, call in zip(self.function.phases, self.phases, strict=True):
            values = {atom: int(scalars[atom.slot]) for atom in phase.extent.atoms()}
            end = 1 if phase.var is None else phase.extent.evaluate(values)
            call(ctypes.addressof(buffers), cells.ctypes.data, ctypes.addressof(context), 0, end)
        return int(status[0])


def compile_all(functions: Sequence[Function], target: Target = AVX512) -> dict[str, Native]:
    """Several functions of different names, compiled as one module."""
    library = compile_ir(render_module(functions, target))
    return {function.name: Native(function, library) for function in functions}
