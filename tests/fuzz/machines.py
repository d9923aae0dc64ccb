"""Machines on which small graphs meet the code of large ones.

In: a number. Out: a context in which the compiler sees another vector width, tiny caches, and costs
so high that the work of a small graph is cut into blocks, parts and pieces for threads. The fuzzer
compiles every case for one of them.

>>> [machine.name for machine in MACHINES][:2]
['host', 'short vectors']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from types import ModuleType
from unittest import mock

from picograd.codegen import lower
from picograd.codegen.contraction import lower as contraction
from picograd.codegen.contraction import packing, tiles
from picograd.codegen.passes import parallelise, split_reduction, unroll
from picograd.runtime import cpu, host
from picograd.schedule import assemble, decide, fuse

Settings = Mapping[tuple[ModuleType, str], object]
Limits = Mapping[str, int]


def _much_work(height: int, vectors: int, depth: int) -> float:
    return height * vectors * (depth + 8) * 1000.0


# Every loop is worth a thread, every sum worth blocks, and no cache holds a panel.
BUSY: Settings = {
    (parallelise, "GIGAHERTZ"): 3.5e-3,
    (split_reduction, "BIG"): 128,
    (split_reduction, "PART"): 32,
    (split_reduction, "COLUMN_BLOCKS"): 5,
    (lower, "BLOCK"): 16,
    (lower, "BLOCKS"): 7,
    (contraction, "SMALL"): 16,
    (tiles, "tile_work"): _much_work,
    (packing, "FEW_ROWS"): 2,
    (packing, "SHALLOW"): 4,
}
TINY_CACHES: Limits = {"l1": 600, "l2": 2000, "l3": 3000}
# Little is fused, and little is kept between the stages of a kernel.
THRIFTY: Settings = {
    (assemble, "MAX_SCRATCH"): 64,
    (fuse, "MAX_ARGUMENTS"): 4,
    (fuse, "SIDE_BY_SIDE"): 16,
    (fuse, "SMALL_WORK"): 16,
    (decide, "MAX_WEIGHT"): 8,
    (decide, "MAX_ROOTS"): 1,
}
# What can be recomputed is, and everything shares kernels.
GREEDY: Settings = {(decide, "BYTE_COST"): 60, (fuse, "MIN_POINTS"): 1}
MANY_COPIES: Settings = {
    (unroll, "REDUCTION"): ((float("inf"), 8),),
    (unroll, "COLUMNS"): ((float("inf"), 4),),
    (unroll, "INDEPENDENT"): ((float("inf"), 4),),
}


@dataclass(frozen=True)
class Machine:
    """What differs from the host: fields of the `Target`, and constants of modules."""

    name: str
    limits: Limits = field(default_factory=dict)
    settings: Settings = field(default_factory=dict)


MACHINES = (
    Machine("host"),
    Machine("short vectors", {"vector_bytes": 16, "registers": 16}),
    Machine("half vectors, busy", {"vector_bytes": 32, "registers": 16, **TINY_CACHES}, BUSY),
    Machine("no vectors", {"vector_bytes": 1, "registers": 16}),
    Machine("busy", {**TINY_CACHES, "threads": 3}, BUSY),
    Machine("thrifty", {"threads": 5}, {**THRIFTY, **MANY_COPIES}),
    Machine("greedy, busy", {**TINY_CACHES, "threads": 4}, {**BUSY, **GREEDY, **MANY_COPIES}),
)


@contextmanager
def on(machine: Machine) -> Iterator[None]:
    """The compiler as if for a machine. The limits name it: kernels are cached by target."""
    if machine is MACHINES[0]:
        yield
        return
    number = MACHINES.index(machine)
    with ExitStack() as stack:
        target = replace(host.target(), **machine.limits)  # pyright: ignore[reportArgumentType]
        target = replace(target, l3=target.l3 + number)
        stack.enter_context(mock.patch.object(cpu, "target", lambda: target))
        for (module, name), value in machine.settings.items():
            stack.enter_context(mock.patch.object(module, name, value))
        yield
