"""`CudaDevice`: plans and compiles canonical graphs for the GPU.

In: the outputs of a canonical graph, from the engine. Out: a `CudaExecutable`.

>>> CudaDevice.name
'cuda'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from picograd.graph.node import Node
from picograd.runtime.cuda.executable import CudaExecutable
from picograd.runtime.cuda.modules import compile_kernels
from picograd.runtime.device import Canonical
from picograd.runtime.observe import Observer
from picograd.schedule.kernel import Program


class CudaDevice:
    """See `runtime.device.Device`."""

    name = "cuda"

    def build(
        self,
        outputs: Sequence[Node],
        donated: frozenset[int] = frozenset(),
        observer: Observer | None = None,
    ) -> CudaExecutable:
        """Plan and compile a canonical graph."""
        from picograd.schedule.panels.limits import TILES
        from picograd.schedule.plan import plan

        return self.compile(plan(outputs, donated, TILES), observer)

    def obtain(self, make: Callable[[], Canonical], identify: Callable[[], str]) -> CudaExecutable:
        """Nothing is kept for other processes but machine code."""
        return self.build(*make())

    def compile(self, program: Program, observer: Observer | None = None) -> CudaExecutable:
        """Compile a program; kernels that any earlier program had are not compiled again."""
        if observer is not None:
            observer.saw_program(program)
        kernels = compile_kernels([step.kernel for step in program.steps], observer)
        return CudaExecutable(program, kernels)
