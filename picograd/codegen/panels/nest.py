"""What the pieces of a PANELS kernel's loops share: memories, names, and the current place.

In: a kernel and its `Steps`. Out: a `Nest`, made by `lower` and used by `product` and `sweep`.

Tables are M x N in the notation; here they are *panels*, which hold a block of rows. Every
expression reads a table at its own element and a value of rows at its own row, so a load needs only
the current place: row `line` of the block, and `column` or `axis`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from picograd.codegen import loops
from picograd.codegen.contraction.expressions import rewrite
from picograd.codegen.contraction.frame import lane_variable
from picograd.codegen.contraction.lanes import widen
from picograd.codegen.contraction.tiles import round_up
from picograd.codegen.expressions import Body, Names, cast
from picograd.codegen.homes import argument_memories
from picograd.codegen.loops import Home, Statement, Value
from picograd.codegen.panels.analyse import Steps
from picograd.dtypes import DType, int64
from picograd.graph.index import ZERO, Index, Param, Var, constant, of
from picograd.graph.mask import EVERYWHERE, Mask
from picograd.graph.ops import Op
from picograd.schedule.kernel import Access, Expr, Kernel


@dataclass(frozen=True, slots=True)
class Grid:
    """A memory of lines: element (line, place) is at `base + line * pitch + place`."""

    memory: loops.Memory
    pitch: int
    base: Index = ZERO

    def at(self, line: Index, place: Index) -> Index:
        return self.base + line * self.pitch + place


@dataclass(slots=True)
class Nest:
    """The loops under construction. `batch` are the domain's variables, `first` the block's first
    row; `grids` the panels and sums, `lines` the values of rows that live in scratch, `locals` what
    is in registers."""

    kernel: Kernel
    steps: Steps
    lanes: int
    batch: dict[Var | Param, Index] = field(default_factory=dict)
    first: Index = ZERO
    line: Index = ZERO
    place: Index = ZERO
    names: Names = field(default_factory=Names)
    memories: dict[str, loops.Memory] = field(default_factory=dict)
    grids: dict[str, Grid] = field(default_factory=dict)
    lines: dict[str, loops.Memory] = field(default_factory=dict)
    locals: dict[str, Value] = field(default_factory=dict)
    scratch: int = 0
    workspace: int = 0

    def __post_init__(self) -> None:
        self.memories |= argument_memories(self.kernel)

    def allocate(self, name: str, dtype: DType, size: int) -> loops.Memory:
        """Cache-line-aligned memory in the thread's scratch."""
        memory = loops.Memory(name, dtype, size, Home.SCRATCH, 0, self.scratch, True)
        self.scratch += round_up(size * dtype.itemsize, 64)
        self.memories[name] = memory
        return memory

    def share(self, name: str, dtype: DType, size: int) -> loops.Memory:
        """Memory for all tasks of a run."""
        memory = loops.Memory(name, dtype, size, Home.WORKSPACE, 0, self.workspace, True)
        self.workspace += round_up(size * dtype.itemsize, 64)
        self.memories[name] = memory
        return memory

    def evaluate(
        self, expr: Expr, values: Mapping[Var, Index], edge: Mask = EVERYWHERE, lanes: int = 0
    ) -> tuple[tuple[Statement, ...], Value]:
        """An expression in all lanes at a point; nothing is read outside `edge`."""
        at: dict[Var | Param, Index] = {**self.batch, **values}
        body = Body(self._load, self.names)
        value = body.value(rewrite(expr, lambda index: index.substitute(at), edge))
        lanes = lanes or self.lanes
        return widen(body.statements, value, lane_variable(lanes))

    def _load(self, access: Access) -> Value:
        name = access.buffer
        if name in self.locals:
            return self.locals[name]
        if name in self.grids:
            grid = self.grids[name]
            load = loops.Load(grid.memory, grid.at(self.line, self.place))
            return cast(load, access.dtype)
        if name in self.lines:
            return loops.Load(self.lines[name], self.line)
        return loops.Load(self.memories[name], access.index, 1, access.mask)

    def index(self, index: Index) -> Index:
        """An index at the current batch element."""
        return index.substitute(self.batch)

    def limited(
        self, stem: str, index: Index, low: int, high: int
    ) -> tuple[tuple[Statement, ...], Index]:
        """An index no lower than `low` and no higher than `high`, under a name."""
        found = index.bounds()
        if found[0] >= low and found[1] <= high:
            return (), index
        if index.is_constant:
            return (), constant(min(max(index.constant, low), high))
        value: Value = loops.IndexValue(index, int64)
        if found[0] < low:
            value = loops.Alu(Op.MAXIMUM, (value, loops.Literal.of(low, int64)), int64)
        if found[1] > high:
            value = loops.Alu(Op.MINIMUM, (value, loops.Literal.of(high, int64)), int64)
        name = self.names.fresh(stem)
        var = Var(name, low, high)
        return (loops.Let(name, value, var),), of(var)

    def row(self, line: Index) -> tuple[tuple[Statement, ...], Index]:
        """The row that is line `line` of the block, one that exists."""
        return self.limited("row", self.first + line, 0, self.steps.row.high)

    def variable(self, stem: str, count: int) -> Var:
        """A loop variable over `range(count)` of its own name."""
        return Var(self.names.fresh(stem), 0, max(count, 1) - 1)


def each(
    var: Var, begin: Index, end: Index, body: tuple[Statement, ...], independent: bool = True
) -> loops.For:
    """A loop over an index range."""
    return loops.For(var, begin, end, body, independent=independent)
