"""The CPU device: a canonical graph becomes a program, its kernels machine code.

In: the outputs of a canonical graph, from the engine. Out: a `CpuExecutable`. Schedule, codegen
and LLVM meet here; every step of the way can be watched through an `Observer`.

>>> device().name
'cpu'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from picograd import env
from picograd.graph.node import Node
from picograd.runtime import disk
from picograd.runtime.device import Canonical
from picograd.runtime.executable import CpuExecutable, layout_of
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
        """Plan and compile a canonical graph."""
        from picograd.schedule.plan import plan  # only now: it takes a while to import

        return self.compile(plan(outputs, donated), observer)

    def obtain(self, make: Callable[[], Canonical], identify: Callable[[], str]) -> CpuExecutable:
        """Load what an earlier process made of a graph, else build and keep it."""
        if env.TUNE.get() or not disk.enabled():
            return self.build(*make())
        name = disk.key(identify(), target())
        known = disk.fetch(name)
        if known is not None:
            executable = CpuExecutable(*known, self.name)
            executable.loaded = True
            return executable
        from picograd.schedule.plan import plan

        program = plan(*make())
        kernels = compile_kernels([step.kernel for step in program.steps], target())
        layout = layout_of(program, kernels)
        disk.keep(name, program, layout, list(kernels.values()))
        return CpuExecutable.of(program, kernels, self.name, layout)

    def compile(self, program: Program, observer: Observer | None = None) -> CpuExecutable:
        """Compile a program; kernels that any earlier program had are not compiled again."""
        if observer is not None:
            observer.saw_program(program)
        kernels = compile_kernels([step.kernel for step in program.steps], target(), observer)
        return CpuExecutable.of(program, kernels, self.name)


def device() -> CpuDevice:
    """The device, for `runtime.device`."""
    return CpuDevice()
