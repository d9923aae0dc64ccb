"""The ladder: every workload of the benchmarks, family by family."""

from __future__ import annotations

from workloads import (
    attention,
    contraction,
    convolution,
    elementwise,
    movement,
    overhead,
    reduction,
    rows,
    training,
)
from workloads.base import Workload

_FAMILIES = (
    *(contraction, convolution, rows, attention, reduction),
    *(movement, elementwise, training, overhead),
)


def ladder(tiny: bool = False) -> list[Workload]:
    """All workloads at their full sizes, or small ones of the same kinds for the tests."""
    return [workload for family in _FAMILIES for workload in family.ladder(tiny)]
