"""What the pieces of a PANELS kernel share on a GPU: memories, names, the block and its threads.

In: a kernel and its `Steps`. Out: a `Scene`, made by `grid` and used by `threads` and `warps`, and
a `Side` for each axis of the tables. A block of threads has some *lines* of the tables and goes
over their *places* by tiles: rows and columns where results are for the rows, columns and rows
where they are for the columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from picograd.codegen.contraction.expressions import rewrite
from picograd.codegen.contraction.frame import inside
from picograd.codegen.contraction.staging import BYTES
from picograd.codegen.contraction.tiles import round_up
from picograd.codegen.expressions import Body, Names, cast
from picograd.codegen.homes import argument_memories
from picograd.codegen.loops import (
    Alu,
    Home,
    IndexValue,
    Let,
    Literal,
    Load,
    Memory,
    Ref,
    Statement,
    Value,
)
from picograd.codegen.panels.analyse import Steps
from picograd.dtypes import DType, int64
from picograd.graph.index import ZERO, Index, Param, Var, constant, of
from picograd.graph.mask import EVERYWHERE, Mask
from picograd.graph.ops import Op
from picograd.schedule.kernel import Access, Expr, Kernel

ALIGNMENT = 256
Statements = tuple[Statement, ...]
Place = tuple[int, int]  # of a thread's element: its lines and places are numbered
Elements = dict[Place, Value]


@dataclass(frozen=True, slots=True)
class Side:
    """An axis of the tables: the positions from `start` that a block or a tile has."""

    var: Var
    start: Index

    @property
    def extent(self) -> int:
        return self.var.high + 1

    def edge(self, position: Index) -> Mask:
        """Where a position exists."""
        return inside(position, self.extent)


@dataclass(slots=True)
class Scene:
    """The function under construction. `lines` are the values of rows that lie in the workspace."""

    kernel: Kernel
    steps: Steps
    threads: int
    names: Names = field(default_factory=Names)
    memories: dict[str, Memory] = field(default_factory=dict)
    lines: dict[str, Memory] = field(default_factory=dict)
    batch: dict[Var | Param, Index] = field(default_factory=dict)
    batch_number: Index = ZERO
    workspace: int = 0
    phase: int = 0
    used: int = 0  # bytes of shared memory, in this phase
    most_used: int = 0

    def __post_init__(self) -> None:
        self.memories |= argument_memories(self.kernel)

    @property
    def thread(self) -> Index:
        return of(self.thread_variable)

    @property
    def thread_variable(self) -> Var:
        return Var("thread_number", 0, self.threads - 1)

    @property
    def batches(self) -> int:
        return prod(var.high + 1 for var in self.kernel.domain)

    def shared(self, name: str, dtype: DType, size: int) -> Memory:
        """Memory of a block of the current phase."""
        name = f"{name}{self.phase}".replace(".", "_")
        memory = Memory(name, dtype, size, Home.SHARED, offset=self.used, written=True)
        self.used += round_up(size * dtype.itemsize, BYTES)
        self.most_used = max(self.most_used, self.used)
        self.memories[name] = memory
        return memory

    def registers(self, name: str, dtype: DType, size: int) -> Memory:
        """An array of a thread, all indices of which are constants."""
        name = f"{name}{self.phase}".replace(".", "_")
        memory = Memory(name, dtype, size, Home.REGISTER, written=True)
        self.memories[name] = memory
        return memory

    def begin_phase(self, number: int) -> None:
        """Its blocks have all of the shared memory again."""
        self.phase, self.used = number, 0

    def keep(self, name: str, dtype: DType) -> Memory:
        """Memory for a value of each row, for a later phase."""
        size = self.batches * (self.steps.row.high + 1)
        memory = Memory(f"{name}_rows", dtype, size, Home.WORKSPACE, 0, self.workspace, True)
        self.workspace += round_up(size * dtype.itemsize, ALIGNMENT)
        self.memories[memory.name] = self.lines[name] = memory
        return memory

    # --- indices ------------------------------------------------------------------------------

    def name(self, stem: str, index: Index, high: int | None = None) -> tuple[Let, Index]:
        """An index under a name of its own."""
        most = index.bounds()[1] if high is None else high
        var = Var(self.names.fresh(stem), 0, max(most, 0))
        return Let(var.name, IndexValue(index, int64), var), of(var)

    def limited(self, stem: str, index: Index, high: int) -> tuple[Statements, Index]:
        """An index not below zero and not above `high`, under a name."""
        low, most = index.bounds()
        if low >= 0 and most <= high:
            return (), index
        if index.is_constant:
            return (), constant(min(max(index.constant, 0), high))
        value: Value = IndexValue(index, int64)
        if low < 0:
            value = Alu(Op.MAXIMUM, (value, Literal.of(0, int64)), int64)
        if most > high:
            value = Alu(Op.MINIMUM, (value, Literal.of(high, int64)), int64)
        var = Var(self.names.fresh(stem), 0, high)
        return (Let(var.name, value, var),), of(var)

    def index(self, index: Index) -> Index:
        """An index at the current batch element."""
        return index.substitute(self.batch)

    # --- values -------------------------------------------------------------------------------

    def evaluate(
        self,
        expr: Expr,
        values: Mapping[Var, Index],
        edge: Mask = EVERYWHERE,
        known: Mapping[str, Value] | None = None,
    ) -> tuple[Statements, Value]:
        """An expression at a point; nothing is read outside `edge`. `known`: what is computed."""
        at: dict[Var | Param, Index] = {**self.batch, **values}

        def load(access: Access) -> Value:
            found = (known or {}).get(access.buffer)
            if found is not None:
                return cast(found, access.dtype)
            memory, index = self.memories.get(access.buffer), access.index
            if memory is None:
                memory = self.lines[access.buffer]
                index = self.batch_number * (self.steps.row.high + 1) + index
            return cast(Load(memory, index, 1, access.mask), access.dtype)

        body = Body(load, self.names)
        value = body.value(rewrite(expr, lambda index: index.substitute(at), edge))
        return tuple(body.statements), value

    def let(self, stem: str, value: Value) -> tuple[Let, Value]:
        """A value under a name of its own."""
        name = self.names.fresh(stem)
        return Let(name, value), Ref(name, value.dtype)


def zero(dtype: DType) -> Literal:
    """Nothing, for sums of a type."""
    return Literal.of(0.0 if dtype.is_float else 0, dtype)
