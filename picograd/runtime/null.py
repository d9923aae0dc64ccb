"""The null device: compiles everything as the CPU does and runs nothing.

In: canonical graphs. Out: executables whose outputs are zeros. It measures tracing, scheduling and
compiling alone, and compiles for machines that cannot run the result.

>>> device().name
'null'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from picograd.runtime.buffer import Buffer
from picograd.runtime.cpu import CpuDevice
from picograd.runtime.device import Canonical
from picograd.runtime.executable import CpuExecutable
from picograd.runtime.host import target
from picograd.runtime.kernels import compile_kernels
from picograd.runtime.observe import Observer, Timing
from picograd.schedule.kernel import Program


class NullExecutable(CpuExecutable):
    """A compiled program that is never called."""

    def run(
        self,
        inputs: Sequence[Buffer],
        values: Sequence[int] = (),
        timings: list[Timing] | None = None,
    ) -> list[Buffer]:
        """Zero-filled outputs; outputs written in place are their inputs, untouched."""
        results = self.results(inputs, self.make_outputs())
        for (fresh, _), buffer in zip(self.result_plan, results, strict=True):
            if fresh:
                buffer.array.fill(0)
        if timings is not None:
            timings += [Timing(step.kernel, 0.0) for step in self.program.steps]
        return results


class NullDevice(CpuDevice):
    """See `runtime.device.Device`."""

    name = "null"

    def compile(self, program: Program, observer: Observer | None = None) -> NullExecutable:
        """Compile a program to machine code that will not run."""
        if observer is not None:
            observer.saw_program(program)
        kernels = compile_kernels([step.kernel for step in program.steps], target(), observer)
        return NullExecutable.of(program, kernels, self.name)

    def obtain(self, make: Callable[[], Canonical], identify: Callable[[], str]) -> CpuExecutable:
        """Nothing is kept for other processes."""
        return self.build(*make())


def device() -> NullDevice:
    """The device, for `runtime.device`."""
    return NullDevice()
