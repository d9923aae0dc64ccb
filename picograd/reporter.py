"""Shows what happens: prints for `DEBUG`, files for `DUMP`.

In: the forms of a program as the stages make them (`runtime.observe.Observer`), and the timings of
a run. Out: text on stderr, and one folder a kernel under `DUMP`. The engine makes one `Reporter`
for each program that it compiles; the levels are explained in `picograd.env`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from picograd import env
from picograd.graph.node import Node

if TYPE_CHECKING:
    from picograd.codegen.loops import Function
    from picograd.runtime.observe import Language, Roofline, Timing
    from picograd.schedule.cost import Cost
    from picograd.schedule.kernel import Kernel, Program


def wanted() -> bool:
    """True when anything beyond DEBUG=1 is to be shown or dumped."""
    return env.debug_level() >= 2 or bool(env.DUMP.get())


class Reporter:
    """The observer of one program."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._passes: dict[str, int] = {}

    # --- what the stages tell ------------------------------------------------------------------

    def saw_graph(self, outputs: Sequence[Node]) -> None:
        """The graph as written, the rules that simplify it, and what they make of it."""
        if env.debug_level() < 5 and not env.DUMP.get():
            return
        from picograd.graph.rules import simplify
        from picograd.graph.show import show

        steps: list[str] = []
        simplified = simplify(
            outputs, lambda rule, before, after: steps.append(f"{rule}: {before} -> {after}")
        )
        forms = {
            "graph as written": show(outputs),
            "rules applied": "\n".join(steps) or "none",
            "graph simplified": show(simplified),
        }
        for title, text in forms.items():
            self._print(5, None, f"program {self.number}: {title}", text)
            self._write(f"program_{self.number:04}", f"{title.replace(' ', '_')}.txt", text)

    def saw_program(self, program: Program) -> None:
        if env.debug_level() < 3 and not env.DUMP.get():
            return
        from picograd.schedule.show import show_kernel, show_program

        for kernel in dict.fromkeys(step.kernel for step in program.steps):
            text = show_kernel(kernel)
            self._print(3, kernel.name, None, text)
            self._write(kernel.name, "kernel.txt", text)
        text = show_program(program)
        self._print(3, None, f"program {self.number}: order, memory and reasons", text)
        self._write(f"program_{self.number:04}", "schedule.txt", text)

    def saw_loops(self, kernel: Kernel, stage: str, function: Function) -> None:
        if env.debug_level(kernel.name) < 5 and not env.DUMP.get():
            return
        from picograd.codegen.show import show

        text = show(function)
        number = self._passes[kernel.name] = self._passes.get(kernel.name, -1) + 1
        self._print(5, kernel.name, f"{kernel.name}: loop IR after {stage}", text)
        self._write(kernel.name, f"loops_{number:02}_{stage}.txt", text)

    def saw_source(self, kernel: Kernel, language: Language, text: str) -> None:
        self._print(4, kernel.name, f"{kernel.name}: {language.title}", text)
        self._write(kernel.name, language.file, text)

    def wants_assembly(self, kernel: Kernel) -> bool:
        return env.debug_level(kernel.name) >= 6 or bool(env.DUMP.get())

    def saw_assembly(self, kernel: Kernel, language: Language, resources: str, text: str) -> None:
        self._print(6, kernel.name, f"{kernel.name}: {language.title} ({resources})", text)
        self._write(kernel.name, language.file, f"{language.comment} {resources}\n{text}")

    # --- where it goes -------------------------------------------------------------------------

    def _print(self, level: int, kernel: str | None, title: str | None, text: str) -> None:
        if kernel is None and env.DEBUG.get().pattern != "*":
            return  # one kernel was asked for, not whole programs
        if env.debug_level(kernel) >= level:
            heading = f"--- {title}\n" if title else ""
            print(f"{heading}{text.rstrip()}\n", file=sys.stderr)

    def _write(self, folder: str, name: str, text: str) -> None:
        root = env.DUMP.get()
        if root:
            path = Path(root) / folder
            path.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text if text.endswith("\n") else text + "\n")


def report_timings(timings: Sequence[Timing], device: str) -> None:
    """DEBUG=2: one line a kernel, held against the measured roofline of what it ran on."""
    for kernel, time, unit in timings:
        if time == 0 or env.debug_level(kernel.name) < 2:  # the null device runs nothing
            continue
        cost = _cost(kernel)
        seconds = max(time, 1e-9)
        share = 100 * _roofline(device).attainable(cost.operations, cost.bytes, unit) / seconds
        print(
            f"kernel {kernel.name:48} {seconds * 1e6:10.1f} us "
            f"{cost.operations / seconds / 1e9:8.1f} GFLOP/s "
            f"{cost.bytes / seconds / 1e9:7.1f} GB/s {share:5.1f}% of the roofline",
            file=sys.stderr,
        )


def _roofline(device: str) -> Roofline:
    if device == "cuda":
        from picograd.runtime.cuda.roofline import roofline
    else:
        from picograd.runtime.roofline import roofline
    return roofline()


@lru_cache(maxsize=1024)
def _cost(kernel: Kernel) -> Cost:
    from picograd.schedule.cost import kernel_cost

    return kernel_cost(kernel)
