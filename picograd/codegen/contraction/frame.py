"""What the pieces of a contraction's loop nest share: memories, names, current position.

In: a kernel, its `Contraction` and `Tiles`. Out: a `Frame`, made by `lower` and used
by `packing`, `microkernel` and `epilogue`.

>>> inside(of(Var("n", 0, 20)), 16)
Mask(constraints=(n*-1 + 15,))
"""

from __future__ import annotations

from dataclasses import dataclass, field

from picograd.codegen import loops
from picograd.codegen.contraction.axes import Contraction
from picograd.codegen.contraction.expressions import rewrite
from picograd.codegen.contraction.groups import Values
from picograd.codegen.contraction.lanes import widen
from picograd.codegen.contraction.tiles import Tiles, round_up
from picograd.codegen.expressions import Body, Names
from picograd.codegen.homes import argument_memories
from picograd.codegen.loops import Home, Statement, Value
from picograd.codegen.target import Target
from picograd.dtypes import DType, int64
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.graph.mask import Mask
from picograd.schedule.kernel import Access, Expr, Kernel


def lane_variable(lanes: int) -> Var:
    return Var(f"l{lanes}", 0, lanes - 1, lanes)


def lane_index(lanes: int) -> Index:
    """The lane's number: zero where there is only one lane."""
    return of(lane_variable(lanes)) if lanes > 1 else ZERO


@dataclass(slots=True)
class Frame:
    """The loop nest under construction.

    `batch` is the current batch element; `block` the depth block's number, `turn` its place along
    the outer axes of the depth, `begin` and `length` its first k and its extent; `locals` the
    values of earlier stages at the current point.
    """

    kernel: Kernel
    contraction: Contraction
    tiles: Tiles
    target: Target
    batch: Index = ZERO
    block: Index = ZERO
    turn: Index = ZERO
    begin: Index = ZERO
    length: Index = ZERO
    names: Names = field(default_factory=Names)
    memories: dict[str, loops.Memory] = field(default_factory=dict)
    locals: dict[str, Value] = field(default_factory=dict)
    scratch: int = 0
    workspace: int = 0

    def __post_init__(self) -> None:
        self.memories |= argument_memories(self.kernel)

    def allocate(self, name: str, dtype: DType, size: int, home: Home) -> loops.Memory:
        """Cache-line-aligned memory in the thread's scratch or the run's workspace."""
        offset = self.scratch if home is Home.SCRATCH else self.workspace
        memory = loops.Memory(name, dtype, size, home, 0, offset, True)
        end = offset + round_up(size * dtype.itemsize, 64)
        if home is Home.SCRATCH:
            self.scratch = end
        else:
            self.workspace = end
        self.memories[name] = memory
        return memory

    def at(
        self, row: Index | None = None, column: Index | None = None, depth: Index | None = None
    ) -> Values:
        """Values of the groups' variables at a point of the current batch element."""
        found = self.contraction
        values: Values = found.batch.at(self.batch) | found.turns.at(self.turn)
        if row is not None:
            values |= found.rows.at(row)
        if column is not None:
            values |= found.columns.at(column)
        if depth is not None:
            values |= found.depth.at(depth)
        return values

    def depth_at(self, local: Index) -> tuple[tuple[Statement, ...], Index]:
        """The k of position `local` of the current depth block."""
        return self.name_index("k", self.begin + local, 0, self.contraction.depth.extent - 1)

    def evaluate(
        self, expr: Expr, values: Values, edge: Mask, lanes: int
    ) -> tuple[tuple[Statement, ...], Value]:
        """An expression in all lanes at a point; nothing is read outside `edge`."""
        body = Body(self._load, self.names)
        value = body.value(rewrite(expr, lambda index: index.substitute(values), edge))
        return widen(body.statements, value, lane_variable(lanes))

    def _load(self, access: Access) -> Value:
        found = self.locals.get(access.buffer)
        if found is not None:
            return found
        return loops.Load(self.memories[access.buffer], access.index, 1, access.mask)

    def name_index(
        self, stem: str, index: Index, low: int, high: int
    ) -> tuple[tuple[Statement, ...], Index]:
        """An index whose bounds are known to be closer than its form proves, under a name."""
        if index.bounds()[0] >= low and index.bounds()[1] <= high:
            return (), index
        return self.name_value(stem, loops.IndexValue(index, int64), low, high)

    def name_value(
        self, stem: str, value: Value, low: int, high: int
    ) -> tuple[tuple[Statement, ...], Index]:
        """An integer value as an index variable with these bounds."""
        name = self.names.fresh(stem)
        var = Var(name, low, high)
        return (loops.Let(name, value, var),), of(var)


def inside(index: Index, extent: int) -> Mask:
    """`index < extent`."""
    return Mask().require(constant(extent - 1) - index)


def guarded(edge: Mask, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Statements where a mask holds."""
    return body if edge.always else (loops.If(edge, body),)
