"""From a kernel to renderable loops: lowering, then every pass in order, checked in between.

In: a `Kernel` and a `Target`. Out: a `loops.Function` that the renderers take. The engine calls
`compile_function`; `DEBUG=5` watches it through `observer`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from picograd.codegen import lower
from picograd.codegen.loops import Function
from picograd.codegen.passes.choose_axes import choose_axes
from picograd.codegen.passes.vectorise import vectorise
from picograd.codegen.show import show
from picograd.codegen.target import Target
from picograd.codegen.verify import verify
from picograd.schedule.kernel import Kernel

Observer = Callable[[str, Function], None]
Pass = Callable[[Function, Target], Function]

PASSES: tuple[tuple[str, Pass], ...] = (
    ("choose_axes", choose_axes),
    ("vectorise", vectorise),
)


def compile_function(kernel: Kernel, target: Target, observer: Observer | None = None) -> Function:
    """The kernel as fast loops for the target; its name ends in a hash of its text."""
    function, passes = plain(kernel, target)
    _check("lower", function, observer)
    for name, transform in passes:
        function = transform(function, target)
        _check(name, function, observer)
    digest = hashlib.sha256(show(function).encode()).hexdigest()
    return replace(function, name=f"{kernel.name}_{digest[:12]}")


def plain(kernel: Kernel, target: Target) -> tuple[Function, tuple[tuple[str, Pass], ...]]:
    """The nest before the passes, and the passes that it goes through."""
    return lower.lower(kernel), PASSES


def _check(name: str, function: Function, observer: Observer | None) -> None:
    if observer is not None:
        observer(name, function)
    verify(function)
