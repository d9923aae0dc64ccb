"""Run a program by its index notation, with NumPy and Python loops.

In: a `Program`, the arrays of its inputs, its run-time numbers. Out: the outputs' arrays. It does
what `schedule.kernel` says that stages mean, point by point, so that schedules can be checked
without codegen and compiled kernels against their own notation. For tests and debugging: slow.
Programs overwrite donated inputs, here too.

>>> from picograd.dtypes import float32
>>> from picograd.graph.node import const, make
>>> from picograd.graph.ops import Op
>>> from picograd.schedule.plan import plan
>>> two = const(2.0, float32, "cpu")
>>> simulate(plan([make(Op.MUL, (two, make(Op.EXP2, (two,))))]), {})[0]
array([8.], dtype=float32)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np

from picograd.dtypes import DType
from picograd.graph.index import Index, Param, Var
from picograd.graph.interpret import evaluate_node
from picograd.graph.mask import Mask
from picograd.graph.meaning_structure import philox
from picograd.graph.node import Node
from picograd.graph.ops import NO_ATTR, CastAttr, Combiner, Op
from picograd.schedule.axes import extent
from picograd.schedule.kernel import (
    Access,
    Compute,
    Expr,
    FromIndex,
    Guard,
    Kernel,
    Literal,
    Philox,
    Program,
    Scalar,
    SlotKind,
    Space,
    Stage,
    StageKind,
)

Number = int | float | bool
Values = dict[Var | Param, int]
COMBINE = {
    Combiner.SUM: np.add,
    Combiner.PROD: np.multiply,
    Combiner.MAX: np.maximum,
    Combiner.MIN: np.minimum,
}
POISON = 77  # what a fresh buffer holds: a program may not depend on it


def simulate(
    program: Program,
    inputs: Mapping[int, np.ndarray],
    values: Mapping[int, Number] | None = None,
) -> list[np.ndarray]:
    """The outputs of a program as flat arrays. `values` are the program's run-time numbers."""
    arena = np.full(program.arena, POISON, np.uint8)
    memories: list[np.ndarray] = []
    for slot in program.slots:
        if slot.kind is SlotKind.INPUT:
            memories.append(inputs[slot.number].reshape(-1))
        elif slot.kind is SlotKind.OUTPUT:
            fresh = np.full(slot.size * slot.dtype.itemsize, POISON, np.uint8)
            memories.append(fresh.view(slot.dtype.numpy))
        else:
            end = slot.offset + slot.size * slot.dtype.itemsize
            memories.append(arena[slot.offset : end].view(slot.dtype.numpy))
    for step in program.steps:
        numbers = [(values or {})[slot] for slot in step.scalars]
        run(step.kernel, [memories[slot] for slot in step.slots], numbers)
    return [memories[slot] for slot in program.outputs]


def run(kernel: Kernel, arguments: Sequence[np.ndarray], scalars: Sequence[Number]) -> None:
    """One run of a kernel. Raises IndexError when a CHECK stage fails."""
    with np.errstate(all="ignore"):
        _Run(kernel, arguments, scalars).run()


class _Run:
    def __init__(
        self, kernel: Kernel, arguments: Sequence[np.ndarray], scalars: Sequence[Number]
    ) -> None:
        self.kernel = kernel
        self.scalars = scalars
        self.memory: dict[str, np.ndarray] = {}
        self.finals: dict[int, np.generic] = {}
        for memory, array in zip(kernel.arguments, arguments, strict=True):
            array = array.view(memory.dtype.numpy)  # complex numbers are read as pairs
            assert array.size == memory.size, memory
            self.memory[memory.name] = array

    def run(self) -> None:
        kernel = self.kernel
        before = [stage for stage in kernel.stages if not stage.once]
        crossing = {stage.target for stage in before if self._is_final(stage)}
        for memory in kernel.memories:
            if memory.space is not Space.ARGUMENT and memory.name in crossing:
                self.memory[memory.name] = np.zeros(memory.size, memory.dtype.numpy)
        for point in _points(kernel.domain):
            self._poison(crossing)
            for stage in before:
                self._stage(stage, point)
        for number, stage in enumerate(kernel.stages):
            if self._is_final(stage) and not stage.once:
                target = self.memory[stage.target]
                target[stage.store.evaluate({})] = self.finals[number].astype(target.dtype)
        for stage in kernel.stages:
            if stage.once:
                self._stage(stage, {})

    def _poison(self, crossing: set[str]) -> None:
        """Private memory of a point starts undefined."""
        for memory in self.kernel.memories:
            if memory.space is not Space.ARGUMENT and memory.name not in crossing:
                raw = np.full(memory.size * memory.dtype.itemsize, POISON, np.uint8)
                self.memory[memory.name] = raw.view(memory.dtype.numpy)

    def _is_final(self, stage: Stage) -> bool:
        return any(var in self.kernel.domain for var in stage.reduce)

    def _stage(self, stage: Stage, point: Values) -> None:
        rest = tuple(var for var in stage.reduce if var not in self.kernel.domain)
        for inner in _points(stage.inner):
            total: np.generic | None = None
            for last in _points(rest):
                values = {**point, **inner, **last}
                for bind in stage.binds:
                    index = int(self.value(bind.value, values))
                    assert bind.var.low <= index <= bind.var.high, "a bound index is out of range"
                    values[bind.var] = index
                new = self.value(stage.value, values)
                if stage.kind is StageKind.CHECK:
                    if new:
                        raise IndexError("index out of range")
                    continue
                if stage.kind in (StageKind.REDUCE, StageKind.SCAN):
                    total = self._combine(stage, total, new)
                    if stage.kind is StageKind.REDUCE:
                        continue
                    new = total
                self._store(stage, values, new)
            if stage.kind is StageKind.REDUCE:
                assert total is not None
                if self._is_final(stage):
                    number = self.kernel.stages.index(stage)
                    old = self.finals.get(number)
                    self.finals[number] = self._combine(stage, old, total)
                else:
                    self._store(stage, {**point, **inner}, total)

    def _combine(self, stage: Stage, total: np.generic | None, new: np.generic) -> np.generic:
        assert stage.combiner is not None and stage.accumulator is not None
        new = new.astype(stage.accumulator.numpy)
        if total is None:
            return new
        return COMBINE[stage.combiner](total, new).astype(stage.accumulator.numpy)

    def _store(self, stage: Stage, values: Values, new: np.generic) -> None:
        if not stage.mask.evaluate(self._all(stage.mask.constraints, values)):
            return
        target = self.memory[stage.target]
        position = self.index(stage.store, values)
        assert 0 <= position < target.size, (stage.target, position)
        if stage.kind is StageKind.SCATTER and stage.combiner is not None:
            new = COMBINE[stage.combiner](target[position], new.astype(target.dtype))
        target[position] = new.astype(target.dtype)

    # --- expressions ---------------------------------------------------------------------------

    def index(self, index: Index, values: Values) -> int:
        return index.evaluate(self._all((index,), values))

    def _all(self, found: Sequence[Index], values: Values) -> Values:
        result = dict(values)
        for index in found:
            for atom in index.atoms():
                if isinstance(atom, Param):
                    result[atom] = int(self.scalars[atom.slot])
                    assert atom.low <= result[atom] <= atom.high
        return result

    def holds(self, mask: Mask, values: Values) -> bool:
        return mask.evaluate(self._all(mask.constraints, values))

    def value(self, expr: Expr, values: Values) -> np.generic:
        """An expression at one point."""
        memo: dict[int, np.generic] = {}

        def visit(part: Expr) -> np.generic:
            found = memo.get(id(part))
            if found is None:
                found = memo[id(part)] = self._value(part, values, visit)
            return found

        return visit(expr)

    def _value(self, expr: Expr, values: Values, visit: Callable[[Expr], np.generic]) -> np.generic:
        match expr:
            case Literal():
                return expr.dtype.numpy.type(expr.value)
            case Scalar():
                return expr.dtype.numpy.type(self.scalars[expr.slot])
            case Access():
                array = self.memory[expr.buffer]
                if not self.holds(expr.mask, values):
                    return array.dtype.type(0)
                position = self.index(expr.index, values)
                assert 0 <= position < array.size, (expr.buffer, position)
                return array[position]
            case FromIndex():
                return np.int64(self.index(expr.index, values)).astype(expr.dtype.numpy)
            case Philox():
                position = np.asarray([self.index(expr.position, values)], np.uint64)
                seed, call = int(self.scalars[expr.seed]), int(self.scalars[expr.call])
                return philox(position, seed, call)[expr.word][0]
            case Guard():
                holds = self.holds(expr.mask, values)
                return visit(expr.value) if holds else visit(expr.other)
            case Compute():
                return compute(expr.op, [visit(arg) for arg in expr.args], expr)


def compute(op: Op, args: Sequence[np.generic], expr: Compute) -> np.generic:
    """One elementwise op on numbers, by the interpreter's meaning."""
    sources = tuple(_point_node(Op.BUFFER, arg.dtype) for arg in expr.args)
    attr = CastAttr(expr.dtype) if op in (Op.CAST, Op.BITCAST) else NO_ATTR
    node = _point_node(op, expr.dtype)
    node.srcs, node.attr = sources, attr
    arrays = [np.asarray(arg).reshape(()) for arg in args]
    result = evaluate_node(node, arrays).reshape(1).astype(expr.dtype.numpy)
    return result[0]


def _point_node(op: Op, dtype: DType) -> Node:
    """A 0-d node outside the graph, for the interpreter."""
    node = Node()
    node.op, node.srcs, node.attr, node.dtype, node.shape = op, (), NO_ATTR, dtype, ()
    node.device, node.buffer, node.origin, node.structure = "cpu", None, None, -1
    return node


def _points(axes: Sequence[Var]) -> list[Values]:
    """Every point of some loops, in order."""
    ranges = [range(extent(var)) for var in axes]
    return [dict(zip(axes, point, strict=True)) for point in product(*ranges)]
