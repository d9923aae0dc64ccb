"""Readable names of kernels: what a kernel does and over which extents.

In: a kernel's pattern, domain and stages. Out: a name of [a-z0-9_]. Called by
`schedule.assemble`. Names are not unique; codegen adds a hash of the contents where it must.
"""

from __future__ import annotations

from picograd.graph.index import Var
from picograd.graph.ops import Combiner, Op
from picograd.schedule.axes import extent
from picograd.schedule.kernel import Access, Compute, Expr, Pattern, Philox, Stage, StageKind
from picograd.schedule.walk import stage_accesses, subexpressions

MAX_WORDS = 6
SILENT = frozenset({Op.CAST, Op.BITCAST})


def kernel_name(pattern: Pattern, domain: tuple[Var, ...], stages: tuple[Stage, ...]) -> str:
    """For example `rows_max_sub_exp_sum_div_4096x4096` or `matmul_64x128x32_add`."""
    if pattern is Pattern.CONTRACTION:
        sizes = [extent(var) for var in (*domain, *stages[0].reduce)]
        return "_".join(["matmul", _shape(sizes), *_words(stages[1:])])
    if pattern is Pattern.PANELS:
        return _panels_name(domain, stages)
    widest = max(stages, key=lambda stage: _count((*stage.inner, *stage.reduce)))
    axes = dict.fromkeys((*domain, *widest.inner, *widest.reduce))
    sizes = [extent(var) for var in axes]
    first = "map"
    if any(stage.kind is StageKind.SCATTER for stage in stages):
        first = "scatter"
    elif any(stage.kind is StageKind.CHECK for stage in stages):
        return f"check_{_shape(sizes)}"
    elif any(stage.kind is StageKind.SCAN for stage in stages):
        first = "scan"
    elif any(stage.combiner is not None for stage in stages):
        first = "rows"
    words = _words(stages)
    if not words and first == "map":
        loads = any(isinstance(part, Access) for part in subexpressions(stages[0].value))
        first = "copy" if loads else "fill"
    return "_".join([first, *words, _shape(sizes)])


def _panels_name(domain: tuple[Var, ...], stages: tuple[Stage, ...]) -> str:
    """`attention`, or `attention_back` when results for the columns are summed up as well."""
    scores = next(stage for stage in stages if stage.combiner is Combiner.SUM)
    sizes = [extent(var) for var in (*domain, *scores.inner, *scores.reduce)]
    softmax = any(stage.combiner is Combiner.MAX for stage in stages)
    columns = extent(scores.inner[1])
    back = any(
        access.buffer.startswith("r") and access.index.coefficient(stage.reduce[0]) == columns
        for stage in stages
        if stage.reduce
        for access in stage_accesses(stage)
    )
    first = "attention_back" if back else "attention" if softmax else "panels"
    return f"{first}_{_shape(sizes)}"


def _words(stages: tuple[Stage, ...]) -> list[str]:
    words: list[str] = []
    for stage in stages:
        for word in _operations(stage.value):
            if word not in words:
                words.append(word)
        if stage.combiner is not None:
            words.append(stage.combiner.name.lower())
    if len(words) > MAX_WORDS:
        words = [*words[: MAX_WORDS - 1], f"{len(words) - MAX_WORDS + 1}more"]
    return words


def _operations(expr: Expr) -> list[str]:
    """The ops of an expression, innermost first."""
    found = []
    for part in subexpressions(expr):
        if isinstance(part, Compute) and part.op not in SILENT:
            found.append(part.op.name.lower())
        elif isinstance(part, Philox):
            found.append("random")
    return found[::-1]


def _count(axes: tuple[Var, ...]) -> int:
    size = 1
    for axis in axes:
        size *= extent(axis)
    return size


def _shape(sizes: list[int]) -> str:
    return "x".join(map(str, sizes)) or "1"
