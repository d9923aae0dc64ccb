"""What a kernel must do at least: arithmetic operations, and bytes to and from memory.

In: a `Kernel`. Out: `Cost`, which DEBUG=2 divides by the measured time to say how near a kernel
came to the machine's roofline. Every element of an argument counts once, whatever the caches do,
and only as many as the loops can reach (a gather reads few rows of a table); masks and address
arithmetic count nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from picograd.graph.index import Var
from picograd.graph.ops import Op
from picograd.schedule.kernel import Compute, Expr, Guard, Kernel, Philox, Space
from picograd.schedule.walk import stage_accesses

# Operations that only move or reinterpret bits.
_FREE = frozenset({Op.CAST, Op.BITCAST, Op.WHERE})
_PHILOX_OPERATIONS = 60


@dataclass(frozen=True, slots=True)
class Cost:
    """Arithmetic operations (a multiply-add counts two) and bytes of distinct arguments."""

    operations: int
    bytes: int


def kernel_cost(kernel: Kernel) -> Cost:
    """The cost of one run of a kernel."""
    operations = 0
    for stage in kernel.stages:
        # A reduce over the domain itself names the domain's own variables: count them once.
        loops = {*kernel.domain, *stage.inner, *stage.reduce}
        per_point = _operations(stage.value) + (1 if stage.combiner is not None else 0)
        operations += per_point * prod(_extent(var) for var in loops)
    touched = _touched(kernel)
    traffic = sum(
        min(memory.size, touched.get(memory.name, 0)) * memory.dtype.itemsize
        for memory in kernel.memories
        if memory.space is Space.ARGUMENT
    )
    return Cost(operations, traffic)


def _touched(kernel: Kernel) -> dict[str, int]:
    """At most how many elements of each memory the loops reach."""
    total: dict[str, int] = {}
    for stage in kernel.stages:
        loops = {*kernel.domain, *stage.inner, *stage.reduce}
        accesses = [(a.buffer, a.index) for a in stage_accesses(stage)]
        for name, index in {*accesses, (stage.target, stage.store)}:
            used = index.variables()
            # A bound variable follows data: it may differ at every point of the loops.
            reached = loops if used - loops else used & loops
            total[name] = total.get(name, 0) + prod(_extent(var) for var in reached)
    return total


def _extent(var: Var) -> int:
    return var.high - var.low + 1


def _operations(expr: Expr) -> int:
    """Operations of an expression; shared parts (equal subexpressions) count once."""
    seen: set[Expr] = set()
    stack: list[Expr] = [expr]
    total = 0
    while stack:
        current = stack.pop()
        if current in seen:
            continue
        seen.add(current)
        if isinstance(current, Compute):
            total += current.op not in _FREE
            stack.extend(current.args)
        elif isinstance(current, Guard):
            stack.extend((current.value, current.other))
        elif isinstance(current, Philox):
            total += _PHILOX_OPERATIONS
    return total
