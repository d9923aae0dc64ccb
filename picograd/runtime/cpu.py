"""The CPU device: a canonical graph becomes a program, its kernels machine code.

In: the outputs of a canonical graph, from the engine. Out: a `CpuExecutable`. Schedule, codegen
and LLVM meet here; every step of the way can be watched through an `Observer`.

>>> device().name
'cpu'
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd import env
from picograd.graph.node import Node
from picograd.runtime import disk
from picograd.runtime.executable import CpuExecutable
from picograd.runtime.host import target
from picograd.runtime.kernels import compile_kernels
from picograd.runtime.observe import Observer
from picograd.schedule.kernel import Program


class CpuDevice:
    """See `runtime.device.Device`."""

    name = "cpu"

    def build(
        self,
        outputs: Sequence[Node],
        donated: frozenset[int] = frozenset(),
        observer: Observer | None = None,
    ) -> CpuExecutable:
        """Plan and compile a canonical graph, or load what an earlier process made of it."""
        kept = observer is None and not env.TUNE.get() and disk.enabled()
        name = disk.key(outputs, donated, target()) if kept else ""
        known = disk.fetch(name) if kept else None
        if known is not None:
            return CpuExecutable(*known, self.name, loaded=True)
        from picograd.schedule.plan import plan  # only now: it takes a while to import

        program = plan(outputs, donated)
        if not kept:
            return self.compile(program, observer)
        kernels = compile_kernels([step.kernel for step in program.steps], target())
        disk.keep(name, program, kernels)
        return CpuExecutable(program, kernels, self.name)

    def compile(self, program: Program, observer: Observer | None = None) -> CpuExecutable:
        """Compile a program; kernels that any earlier program had are not compiled again."""
        if observer is not None:
            observer.saw_program(program)
        kernels = compile_kernels([step.kernel for step in program.steps], target(), observer)
        return CpuExecutable(program, kernels, self.name)


def device() -> CpuDevice:
    """The device, for `runtime.device`."""
    return CpuDevice()
