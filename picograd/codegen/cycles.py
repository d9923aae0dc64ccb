"""What a loop body costs: estimated cycles of one core.

In: loop IR statements, and perhaps a variable that is to be in the lanes of vectors. Out: cycles.
`passes.choose_axes` compares possibilities by them, `passes.parallelise` finds how many threads
some work is worth.

>>> from picograd.codegen.loops import Home, Let
>>> from picograd.dtypes import float32
>>> from picograd.graph.index import of
>>> i, x = Var("i", 0, 63), Memory("x", float32, 4096, Home.ARGUMENT)
>>> [cycles((Let("y", Load(x, of(i) * step)),), i, 16) for step in (1, 64)]
[1.0, 19.2]
"""

from __future__ import annotations

from collections.abc import Iterable

from picograd.codegen.dependence import (
    HEAVY,
    PATTERN,
    RANDOM,
    Body,
    dependent_names,
    index_lets,
    roots,
    stride,
    trips,
    walk,
    window,
)
from picograd.codegen.loops import (
    Alu,
    For,
    Home,
    If,
    IndexValue,
    Load,
    Memory,
    Predicate,
    Random,
    Shuffle,
    Statement,
    Store,
    Value,
)
from picograd.graph.index import FloorDiv, Index, Mod, Var

NEAR, FAR = 24 << 10, 768 << 10  # bytes of a memory that is in the first, the second cache
PAGES = 256 << 10  # bytes between two lanes from which on each is another page's, and another set's
GATHER = 1.2  # cycles of a lane that has its own address
NOWHERE: frozenset[str] = frozenset()


def cycles(body: Body, var: Var | None = None, lanes: int = 1) -> float:
    """Estimated cycles of one execution of a body, with `var` in vector lanes if given."""
    data = NOWHERE
    if var is not None and (lets := index_lets(body)):
        names = dependent_names(body, var)
        data = frozenset(let.var.name for let in lets if let.var and let.name in names)
    return _Cycles(var, lanes, data).body(body)


def statement_cycles(statement: Statement) -> float:
    """Estimated cycles of one statement."""
    return _Cycles(None, 1, NOWHERE).statement(statement)


def round_cycles(loop: For, var: Var | None, lanes: int) -> float:
    """Estimated cycles that an iteration of a loop needs besides its body."""
    return _Cycles(var, lanes, NOWHERE).round(loop)


class _Cycles:
    """The sum over statements and values, with `var` in lanes, and so the index variables that
    `data` names."""

    def __init__(self, var: Var | None, lanes: int, data: frozenset[str]) -> None:
        self.var, self.lanes, self.data = var, lanes, data

    def body(self, body: Body) -> float:
        return sum(self.statement(statement) for statement in body)

    def round(self, loop: For) -> float:
        return 1 + self.values(carried.next for carried in loop.carried)

    def statement(self, statement: Statement) -> float:
        match statement:
            case For():
                start = self.values(carried.init for carried in statement.carried)
                each = self.body(statement.body) + self.round(statement)
                return start + trips(statement) * each
            case If():
                return self.body(statement.body)
            case Store():
                wide = max(self.lanes, statement.value.lanes)
                masked = not statement.mask.always
                cost = 2 * self.access(statement.memory, statement.index, wide, masked)
                return cost + self.values((statement.value,))
            case _:
                return self.values(roots(statement))

    def values(self, values: Iterable[Value]) -> float:
        return sum(self.value(value) for value in walk(values))

    def value(self, value: Value) -> float:
        match value:
            case Load():
                masked = not value.mask.always
                return self.access(value.memory, value.index, max(self.lanes, value.lanes), masked)
            case Alu():
                size = value.lanes * value.dtype.itemsize
                return HEAVY.get(value.op, 1.0) * max(1, size // 64)
            case IndexValue() | Predicate() | Shuffle():
                return 1.0
            case Random():
                return RANDOM * max(1, value.lanes * value.dtype.itemsize // 64)
            case _:
                return 0.0

    def access(self, memory: Memory, index: Index, lanes: int, masked: bool) -> float:
        """Cycles of a load. In a body that is vector code already, the lane variable is found."""
        var = self.var
        if any(atom.name in self.data for atom in index.variables()):
            return GATHER * lanes
        if var is None and lanes > 1:
            var = next((a for a in index.variables() if a.lanes > 1), None)
            if var is None:  # indices that are data, or one element for all lanes
                return 0.5 if masked else GATHER * lanes
        if var is None or lanes == 1:
            return 1.0 + sum(4.0 for atom, _ in index.terms if isinstance(atom, FloorDiv | Mod))
        if var not in index.atoms():
            return 0.5
        step = stride(index, var)
        size = memory.size * memory.dtype.itemsize
        far = 1.0 if memory.home is not Home.ARGUMENT or size < NEAR else 2.0 if size < FAR else 6.0
        if step is None:
            span = window(index, var, lanes)
            if span is None or span > PATTERN * lanes:
                return 4.0 * lanes
            return (far * span * memory.dtype.itemsize) // 64 + 2.0 * -(-span // lanes)
        lines = max(1, min(lanes, lanes * memory.dtype.itemsize * abs(step) // 64))
        if step == 2:  # two vectors and a shuffle
            return far * lines + 1.0 + 2.0 * masked
        if step != 1:
            apart = abs(step) * memory.dtype.itemsize >= PAGES
            return max(GATHER * lanes, far * lines) if apart else GATHER * lanes
        return far * lines + 0.5 * masked
