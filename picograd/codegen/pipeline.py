"""From a kernel to renderable loops: lowering, then every pass in order, checked in between.

In: a `Kernel` and a `Target`. Out: a `loops.Function` that the renderers take. `runtime.kernels`
calls `compile_function`; `DEBUG=5` watches it through `observer`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from picograd.codegen.loops import Function
from picograd.codegen.lower import lower
from picograd.codegen.passes.choose_axes import choose_axes
from picograd.codegen.passes.fetch_rows import fetch_rows
from picograd.codegen.passes.flatten import flatten
from picograd.codegen.passes.interleave import interleave
from picograd.codegen.passes.join_axes import join_axes
from picograd.codegen.passes.parallelise import parallelise
from picograd.codegen.passes.split_reduction import split_reduction
from picograd.codegen.passes.stream_stores import stream_stores
from picograd.codegen.passes.sweep_columns import sweep_columns
from picograd.codegen.passes.tile import tile
from picograd.codegen.passes.transpose_blocks import transpose_blocks
from picograd.codegen.passes.unroll import unroll
from picograd.codegen.passes.vectorise import vectorise
from picograd.codegen.scatter_rows import row_by_row
from picograd.codegen.show import show
from picograd.codegen.target import Target
from picograd.codegen.verify import verify
from picograd.graph.ops import Combiner
from picograd.schedule.kernel import Kernel, Pattern

if TYPE_CHECKING:
    from picograd.codegen.contraction.tiles import Tiles

Observer = Callable[[str, Function], None]
Pass = Callable[[Function, Target], Function]

PASSES: tuple[tuple[str, Pass], ...] = (
    ("split_reduction", split_reduction),
    ("join_axes", join_axes),
    ("choose_axes", choose_axes),
    ("tile", tile),
    ("sweep_columns", sweep_columns),
    ("vectorise", vectorise),
    ("transpose_blocks", transpose_blocks),
    ("unroll", unroll),
    ("flatten", flatten),
    ("interleave", interleave),
    ("parallelise", parallelise),
    ("stream_stores", stream_stores),
    ("fetch_rows", fetch_rows),
)


def compile_function(
    kernel: Kernel,
    target: Target,
    observer: Observer | None = None,
    tiles: Tiles | None = None,
) -> Function:
    """The kernel as fast loops for the target; its name ends in a hash of its text.

    The loops are verified as lowering and as the last pass leave them. Who observes the passes
    has them verified after each, so that a faulty one is found where it stands. `tiles` are for
    a contraction, in place of the model's.
    """
    function, passes = plain(kernel, target, tiles)
    _check("lower", function, observer)
    for name, transform in passes:
        function = transform(function, target)
        if observer is not None:
            _check(name, function, observer)
    if passes and observer is None:
        verify(function)
    digest = hashlib.sha256(show(function).encode()).hexdigest()
    return replace(function, name=f"{kernel.name}_{digest[:12]}")


def plain(
    kernel: Kernel, target: Target, tiles: Tiles | None = None
) -> tuple[Function, tuple[tuple[str, Pass], ...]]:
    """The first form of a kernel, and the passes that it goes through: a contraction that is
    worth its own schedule comes with its loops made; everything else is a plain nest, and loads
    none of the modules that make those."""
    if kernel.pattern is Pattern.PANELS and target.vector_bytes >= 8:
        from picograd.codegen.panels.lower import lower_panels

        function = lower_panels(kernel, target)
        if function is not None:
            return function, ()
    sums = kernel.pattern is Pattern.CONTRACTION or kernel.stages[0].combiner is Combiner.SUM
    if sums and target.vector_bytes >= 8:
        from picograd.codegen.contraction.lower import lower_contraction

        function = lower_contraction(kernel, target, tiles)
        if function is not None:
            return function, ()
    return lower(row_by_row(kernel)), PASSES


def _check(name: str, function: Function, observer: Observer | None) -> None:
    if observer is not None:
        observer(name, function)
    verify(function)
