"""What can be seen of compiling and running.

In: an `Observer` that the engine hands to `Device.build`. Out: calls to it at every stage; a run
that was given a `timings` list appends one `Timing` per kernel to it. Printing and dumping belong
to whoever implements the observer.

>>> from picograd.schedule.kernel import Kernel, Pattern
>>> timing = Timing(Kernel("softmax", Pattern.ROWS, (), (), ()), 2.5e-3)
>>> timing.kernel.name, timing.milliseconds
('softmax', 2.5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from picograd.codegen.loops import Function
    from picograd.schedule.kernel import Kernel, Program


class Timing(NamedTuple):
    """One kernel run of a program, and how long it took."""

    kernel: Kernel
    seconds: float

    @property
    def milliseconds(self) -> float:
        return 1e3 * self.seconds


class Observer(Protocol):
    """Receives every form that a program takes on its way to machine code."""

    def saw_program(self, program: Program) -> None:
        """The schedule: kernels in index notation and the decisions behind them."""
        ...

    def saw_loops(self, kernel: Kernel, stage: str, function: Function) -> None:
        """The loop IR of a kernel after the pass `stage` ("lower" is the first)."""
        ...

    def saw_source(self, kernel: Kernel, text: str) -> None:
        """The LLVM IR or CUDA C of a kernel."""
        ...

    def wants_assembly(self, kernel: Kernel) -> bool:
        """Whether to disassemble a kernel, which costs a second compilation."""
        ...

    def saw_assembly(self, kernel: Kernel, text: str) -> None:
        """The machine code of a kernel, as assembly."""
        ...
