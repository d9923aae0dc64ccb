"""What can be seen of compiling and running.

In: an `Observer` that the engine hands to `Device.build`. Out: calls to it at every stage; a run
that was given a `timings` list appends one `Timing` per kernel to it, which is held against a
device's `Roofline`. Printing and dumping belong to whoever implements the observer.

>>> from picograd.schedule.kernel import Kernel, Pattern
>>> timing = Timing(Kernel("softmax", Pattern.ROWS, (), (), ()), 2.5e-3)
>>> timing.kernel.name, timing.milliseconds
('softmax', 2.5)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from picograd.codegen.loops import Function
    from picograd.schedule.kernel import Kernel, Program


class Language(Enum):
    """What a text is written in: how it is called, and the file that holds it."""

    LLVM_IR = "LLVM IR", "kernel.ll"
    CUDA_C = "CUDA C", "kernel.cu"
    ASSEMBLY = "assembly", "kernel.s"
    PTX = "PTX", "kernel.ptx"
    SASS = "SASS", "kernel.sass"

    @property
    def title(self) -> str:
        return self.value[0]

    @property
    def file(self) -> str:
        return self.value[1]

    @property
    def comment(self) -> str:
        """What a comment begins with."""
        return {Language.LLVM_IR: ";", Language.ASSEMBLY: "#"}.get(self, "//")


class Unit(Enum):
    """What does the arithmetic of a kernel."""

    FMA = "fused multiply-adds"
    TENSOR = "tensor cores"


class Timing(NamedTuple):
    """One kernel run of a program, how long it took, and what computed."""

    kernel: Kernel
    seconds: float
    unit: Unit = Unit.FMA

    @property
    def milliseconds(self) -> float:
        return 1e3 * self.seconds


@dataclass(frozen=True, slots=True)
class Roofline:
    """Peak float32 GFLOP/s (a multiply-add counts two) and copy GB/s (read plus written).

    `plain_gigabytes_per_second` is the copy's with ordinary stores. `tensor_gflops` is the peak of
    a GPU's tensor cores with 16-bit factors; 0: there are none.
    """

    gflops: float
    gigabytes_per_second: float
    plain_gigabytes_per_second: float
    tensor_gflops: float = 0.0

    def attainable(self, operations: float, bytes_moved: float, unit: Unit = Unit.FMA) -> float:
        """The least seconds that work of this size takes on this machine."""
        peak = self.tensor_gflops if unit is Unit.TENSOR else self.gflops
        return max(operations / peak, bytes_moved / self.gigabytes_per_second) * 1e-9


class Observer(Protocol):
    """Receives every form that a program takes on its way to machine code."""

    def saw_program(self, program: Program) -> None:
        """The schedule: kernels in index notation and the decisions behind them."""
        ...

    def saw_loops(self, kernel: Kernel, stage: str, function: Function) -> None:
        """The loop IR of a kernel after the pass `stage` ("lower" is the first)."""
        ...

    def saw_source(self, kernel: Kernel, language: Language, text: str) -> None:
        """The LLVM IR or CUDA C of a kernel."""
        ...

    def wants_assembly(self, kernel: Kernel) -> bool:
        """Whether to disassemble a kernel, which costs a second compilation."""
        ...

    def saw_assembly(self, kernel: Kernel, language: Language, resources: str, text: str) -> None:
        """The machine code of a kernel in a readable form, and in a line what it occupies:
        registers, and what does not fit into them."""
        ...
