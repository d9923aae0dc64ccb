"""The ladder of a GPU: workloads of the other families, at sizes that fill one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from workloads import (
    attention,
    contraction,
    convolution,
    elementwise,
    language,
    overhead,
    reduction,
    rows,
    training,
)
from workloads.base import Workload, sizes
from workloads.learning import workload

# Rows of the CPU's ladder that are large enough.
CHOSEN = (
    *("add 1", "gelu", "gelu, backward", "chain of 8", "float32 -> bfloat16"),
    *("sum of all", "sum of rows", "sum of columns", "argmax of rows", "cumsum of rows"),
    *("softmax", "softmax, backward", "layer norm", "layer norm, backward"),
    *("layer norm, rows of 768", "cross-entropy, backward"),
    *("linear+bias+gelu", "linear+bias+gelu, backward"),
    *("conv 3x3, 64, 56x56", "conv 3x3, 64, 56x56, backward", "conv 3x3, 256, 14x14"),
    *("conv 1x1, 64 -> 256, 56x56", "conv depthwise 3x3, 128, 56x56"),
)
TOKENS, HEADS = 8192, 8  # of each attention, in all its sequences
LAUNCHES = 400


def copy(size: int) -> Workload:
    """What memory gives: as many bytes read as written. (A plain copy would be no work.)"""

    def negated(module: Any, x: Any) -> Any:
        return -x

    return elementwise.elementwise("copy, negated", size, negated, negated, numpy=lambda x: -x)


def products(n: Callable[[int], int]) -> list[Workload]:
    made = []
    for size in (1024, 2048, 4096, 8192):
        square = (n(size), n(size))
        name = f"matmul {size}"
        made.append(contraction.product(f"{name} float32", square, square))
        made.append(contraction.product(f"{name} tf32", square, square, tf32=True))
        made.append(contraction.product(f"{name} bfloat16", square, square, "bfloat16"))
    return made


def attentions(n: Callable[[int], int]) -> list[Workload]:
    made = []
    for width in (64, 128):
        for length in (1024, 2048, 4096, 8192):
            for causal in (False, True):
                for backward in (False, True):
                    name = f"attention T{length} D{width}{' causal' if causal else ''}"
                    shape = (TOKENS // length, n(HEADS), n(length), max(n(width), 16))
                    parts = (name + (", backward" if backward else ""), *shape, causal, backward)
                    made.append(attention.attention(*parts, dtype="bfloat16"))
    return made


def learners(tiny: bool) -> list[Workload]:
    if tiny:
        text = language.Shape(11, 8, 2, 2, 8, 2, 4)
        return [workload(training.mlp(4, 12, 8, 3)), workload(language.learner("GPT", text))]
    text = language.Shape(50257, 1024, 12, 12, 768, 4, 1024)
    model = workload(language.learner("GPT-2 small", text, checked=2))
    return [
        workload(training.mlp(128, 784, 512, 10)),
        workload(training.mlp(8192, 784, 4096, 10)),
        model,
        replace(model, name=f"{model.name}, tf32", tf32=True, tolerance=2e-3),
    ]


def ladder(tiny: bool = False) -> list[Workload]:
    n = sizes(tiny)
    families = (elementwise, reduction, rows, contraction, convolution)
    known = {one.name: one for family in families for one in family.ladder(tiny)}
    return [
        copy(n(4096)),
        *(known[name] for name in CHOSEN),
        *products(n),
        *attentions(n),
        *learners(tiny),
        overhead.products(LAUNCHES),
    ]
