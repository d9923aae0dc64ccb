"""The CUDA device: a canonical graph becomes a program of kernels in CUDA C, run through pycuda.

In: the outputs of a canonical graph, from the engine. Out: a `CudaExecutable`. Nothing of CUDA is
imported before the device is first used; `why_not` says why it can't be.

    driver       pycuda's context, the stream, errors, the end of the process
    compiler     CUDA C to machine code, by NVRTC or nvcc
    memory       device memory that is kept for reuse, and buffers in it
    modules      kernels to launchable functions, each once a process
    executable   a program's launches

>>> from picograd.runtime import device
>>> "cuda" in device.names()
True
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.graph.node import Node
from picograd.runtime.cuda import driver
from picograd.runtime.cuda.executable import CudaExecutable
from picograd.runtime.cuda.modules import compile_kernels
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
        from picograd.schedule.plan import plan

        return self.compile(plan(outputs, donated), observer)

    def compile(self, program: Program, observer: Observer | None = None) -> CudaExecutable:
        """Compile a program; kernels that any earlier program had are not compiled again."""
        if observer is not None:
            observer.saw_program(program)
        kernels = compile_kernels([step.kernel for step in program.steps], observer)
        return CudaExecutable(program, kernels)


def why_not() -> str | None:
    """Why there is no CUDA device here, or None where there is one."""
    return driver.why_not()


def device() -> CudaDevice:
    """The device, for `runtime.device`. Raises RuntimeError, saying why, where there is none."""
    driver.get()
    return CudaDevice()
