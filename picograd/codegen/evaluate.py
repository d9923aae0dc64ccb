"""Run loop IR in Python, one statement at a time, with NumPy arrays as vectors.

In: a `loops.Function`, one flat array per argument, and the scalar arguments. Out: the arrays are
written in place. Tests use it to compare every pass with the plain nest, without a compiler; the
elementwise meanings are the graph interpreter's. It checks every access it makes.

>>> import numpy as np
>>> from picograd.codegen.loops import Literal, Memory
>>> from picograd.dtypes import float32
>>> from picograd.graph.index import constant
>>> y = Memory("y", float32, 2, Home.ARGUMENT, written=True)
>>> body = (Store(y, constant(1), Literal.of(3.0, float32)),)
>>> array = np.zeros(2, np.float32)
>>> evaluate(Function("f", (y,), (), (Phase(None, constant(1), body),)), [array])
False
>>> array
array([0., 3.], dtype=float32)
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np

from picograd.codegen.expressions import COMBINE
from picograd.codegen.loops import (
    Address,
    Alu,
    Argument,
    Broadcast,
    Exchange,
    Fail,
    Fold,
    For,
    Function,
    Home,
    If,
    IndexValue,
    Let,
    Literal,
    Load,
    Memory,
    MulAdd,
    MulAddPairs,
    Phase,
    Predicate,
    Prefetch,
    Random,
    Ref,
    Shuffle,
    Statement,
    Store,
    Value,
    children,
)
from picograd.dtypes import DType
from picograd.errors import InternalError
from picograd.graph.index import FloorDiv, Index, Mod, Param, Var
from picograd.graph.interpret import MEANING
from picograd.graph.mask import Mask
from picograd.graph.meaning_structure import Bindings, philox
from picograd.graph.node import Node
from picograd.graph.ops import NO_ATTR, CastAttr, Op

Lanes = int | np.ndarray


def evaluate(
    function: Function,
    arrays: Sequence[np.ndarray],
    scalars: Sequence[int | float | bool] = (),
) -> bool:
    """Run all phases; True when a check failed."""
    state = _State(function, arrays, scalars)
    with np.errstate(all="ignore"):
        for phase in function.phases:
            state.phase(phase)
    return state.failed


def compute(op: Op, dtype: DType, args: Sequence[np.ndarray], types: Sequence[DType]) -> np.ndarray:
    """One elementwise op on arrays, by the graph's meaning."""
    attr = CastAttr(dtype) if op in (Op.CAST, Op.BITCAST) else NO_ATTR
    shape = np.broadcast_shapes(*(arg.shape for arg in args))
    srcs = tuple(SimpleNamespace(dtype=kind, shape=shape) for kind in types)
    node = SimpleNamespace(op=op, dtype=dtype, srcs=srcs, attr=attr, shape=shape)
    return np.asarray(MEANING[op](cast(Node, node), args, Bindings({}, {})), dtype.numpy)


class _State:
    def __init__(
        self,
        function: Function,
        arrays: Sequence[np.ndarray],
        scalars: Sequence[int | float | bool],
    ) -> None:
        self.function, self.scalars, self.failed = function, scalars, False
        self.arrays: dict[Memory, np.ndarray] = {}
        workspace = np.zeros(function.workspace, np.uint8)
        scratch = np.zeros(function.scratch, np.uint8)
        for memory in function.memories:
            if memory.home is Home.ARGUMENT:
                array = arrays[memory.slot]
                assert array.dtype == memory.dtype.numpy and array.size == memory.size, memory
            else:
                home = workspace if memory.home is Home.WORKSPACE else scratch
                end = memory.offset + memory.size * memory.dtype.itemsize
                array = home[memory.offset : end].view(memory.dtype.numpy)
            self.arrays[memory] = array
        self.variables: dict[Var, Lanes] = {}
        self.names: dict[str, np.ndarray] = {}

    def phase(self, phase: Phase) -> None:
        count = 1 if phase.var is None else self.scalar(phase.extent)
        for number in reversed(range(count)):  # any order must do
            if phase.var is not None:
                self.variables[phase.var] = number
            self.body(phase.body)

    def body(self, body: tuple[Statement, ...]) -> None:
        for statement in body:
            match statement:
                case For():
                    self.loop(statement)
                case If():
                    if bool(np.all(self.mask(statement.mask, 1))):
                        self.body(statement.body)
                case Let():
                    value = self.value(statement.value)
                    self.names[statement.name] = value
                    if statement.var is not None:
                        assert np.all(value >= statement.var.low), statement
                        assert np.all(value <= statement.var.high), statement
                        wide = statement.value.lanes > 1
                        self.variables[statement.var] = value.astype(int) if wide else int(value)
                case Store():
                    self.store(statement)
                case Fail():
                    self.failed |= bool(np.any(self.value(statement.condition)))
                case Prefetch():
                    pass
                case _:
                    raise NotImplementedError(type(statement).__name__)

    def loop(self, loop: For) -> None:
        for carried in loop.carried:
            self.names[carried.name] = self.value(carried.init)
        for number in range(self.scalar(loop.begin), self.scalar(loop.end), loop.step):
            assert loop.var.low <= number <= loop.var.high, (loop.var, number)
            self.variables[loop.var] = number
            self.body(loop.body)
            new = [self.value(carried.next) for carried in loop.carried]
            for carried, value in zip(loop.carried, new, strict=True):
                self.names[carried.name] = value

    def store(self, store: Store) -> None:
        value = self.value(store.value)
        lanes = store.value.lanes
        places = np.broadcast_to(self.index(store.index), (lanes,))
        mask = self.mask(store.mask, lanes)
        value = np.broadcast_to(value, (lanes,))
        for place in places[mask]:
            assert 0 <= place < store.memory.size, store
        assert len(set(places[mask].tolist())) == int(mask.sum()), store
        self.arrays[store.memory][places[mask]] = value[mask]

    def value(self, value: Value) -> np.ndarray:
        match value:
            case Literal():
                return np.full(_shape(value.lanes), value.value, value.dtype.numpy)
            case Argument():
                number = np.asarray(self.scalars[value.slot]).astype(value.dtype.numpy)
                return np.broadcast_to(number, _shape(value.lanes))
            case Ref():
                return self.names[value.name]
            case Load():
                return self.load(value)
            case IndexValue():
                number = np.asarray(self.index(value.index)).astype(value.dtype.numpy)
                return np.broadcast_to(number, _shape(value.lanes))
            case Predicate():
                mask = self.mask(value.mask, value.lanes)
                return mask if value.lanes > 1 else mask[0]
            case Alu():
                args = [self.value(arg) for arg in value.args]
                return compute(value.op, value.dtype, args, [arg.dtype for arg in value.args])
            case MulAdd():
                a, b, c = (self.value(part).astype(np.float64) for part in _three(value))
                return (a * b + c).astype(value.dtype.numpy)
            case MulAddPairs():
                a, b, c = (self.value(part).astype(np.float64) for part in children(value))
                return ((a * b).reshape(-1, 2).sum(1) + c).astype(np.float32)
            case Random():
                low, high, seed, call = (self.value(part) for part in children(value))
                position = low.astype(np.uint64) | high.astype(np.uint64) << np.uint64(32)
                words = philox(np.atleast_1d(position), int(seed), int(call))[value.word]
                return words.reshape(_shape(value.lanes))
            case Broadcast():
                return np.broadcast_to(self.value(value.value), (value.lanes,))
            case Shuffle():
                both = np.concatenate([self.value(value.first), self.value(value.second)])
                return both[list(value.order)]
            case Fold():
                return self.fold(value)
            case Address() | Exchange():
                raise InternalError(f"only threads of a GPU do this: {value}")

    def fold(self, fold: Fold) -> np.ndarray:
        value, op = self.value(fold.value), COMBINE[fold.combiner]
        while value.size > 1:
            half = value.size // 2
            value = compute(op, fold.dtype, [value[:half], value[half:]], [fold.dtype] * 2)
        return value[0]

    def load(self, load: Load) -> np.ndarray:
        places = np.broadcast_to(self.index(load.index), (load.lanes,))
        mask = self.mask(load.mask, load.lanes)
        array = self.arrays[load.memory]
        result = np.zeros(load.lanes, array.dtype)
        for place in places[mask]:
            assert 0 <= place < load.memory.size, load
        result[mask] = array[places[mask]]
        return result if load.lanes > 1 else result[0]

    def mask(self, mask: Mask, lanes: int) -> np.ndarray:
        result = np.ones(lanes, np.bool_)
        for constraint in mask.constraints:
            result &= np.asarray(self.index(constraint)) >= 0
        return result

    def scalar(self, index: Index) -> int:
        value = self.index(index)
        assert isinstance(value, int)
        return value

    def index(self, index: Index) -> Lanes:
        total: Lanes = index.constant
        for atom, factor in index.terms:
            match atom:
                case FloorDiv():
                    part = self.index(atom.numerator) // atom.divisor
                case Mod():
                    part = self.index(atom.numerator) % atom.divisor
                case Param():
                    part = int(self.scalars[atom.slot])
                    assert atom.low <= part <= atom.high, atom
                case Var():
                    if atom.lanes > 1:
                        part = np.arange(atom.lanes)
                    else:
                        part = self.variables[atom]
            total = total + part * factor
        return total


def _shape(lanes: int) -> tuple[int, ...]:
    return (lanes,) if lanes > 1 else ()


def _three(value: MulAdd) -> tuple[Value, Value, Value]:
    return value.a, value.b, value.c
