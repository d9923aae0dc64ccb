"""Replace complex numbers by their real and imaginary parts.

In: a function whose values and memories may be complex. Out: the same function over floats; a
complex memory becomes one of floats of twice the size, in which the parts alternate. The renderers
run it first, so they never meet a complex number.

>>> from picograd.codegen.loops import Home
>>> from picograd.dtypes import complex64
>>> from picograd.graph.index import constant
>>> x = Memory("x", complex64, 4, Home.ARGUMENT)
>>> parts = Split().parts(Load(x, constant(3)))
>>> [str(part.index) for part in parts if isinstance(part, Load)]
['6', '7']
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen import complex_rows
from picograd.codegen.complex_rows import Pair, Parts
from picograd.codegen.loops import (
    Alu,
    Argument,
    Broadcast,
    Carried,
    Fail,
    Fold,
    For,
    Function,
    If,
    IndexValue,
    Let,
    Literal,
    Load,
    Memory,
    MulAdd,
    Ref,
    Statement,
    Store,
    Value,
    children,
    statements,
)
from picograd.dtypes import real_of
from picograd.graph.ops import Combiner, Op


def split_complex(function: Function) -> Function:
    """The function without complex numbers; itself when it has none."""
    if not any(memory.dtype.is_complex for memory in function.memories) and not any(
        _mentions(statement) for phase in function.phases for statement in statements(phase.body)
    ):
        return function
    split = Split()
    return replace(
        function,
        memories=tuple(split.memory(memory) for memory in function.memories),
        phases=tuple(replace(phase, body=split.body(phase.body)) for phase in function.phases),
    )


def _mentions(statement: Statement) -> bool:
    """Does a statement compute with complex numbers (without a complex memory)?"""
    stack: list[Value] = []
    match statement:
        case Store() | Let():
            stack.append(statement.value)
        case For():
            for carried in statement.carried:
                stack += (carried.init, carried.next)
        case Fail():
            stack.append(statement.condition)
        case _:
            return False
    seen: set[int] = set()
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if value.dtype.is_complex:
            return True
        stack.extend(children(value))
    return False


class Split:
    """The parts of the values of one function; equal values stay shared."""

    def __init__(self) -> None:
        self._parts: dict[int, Pair] = {}
        self._reals: dict[int, Value] = {}
        self._alive: list[Value] = []  # keeps the ids of values valid

    def memory(self, memory: Memory) -> Memory:
        if not memory.dtype.is_complex:
            return memory
        return replace(memory, dtype=real_of(memory.dtype), size=2 * memory.size)

    # --- statements ---------------------------------------------------------------------------

    def body(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        return tuple(part for statement in body for part in self.statement(statement))

    def statement(self, statement: Statement) -> tuple[Statement, ...]:
        match statement:
            case Store(memory, index, value) if memory.dtype.is_complex:
                real, imaginary = self.parts(value)
                flat = self.memory(memory)
                # Both parts are computed before either is stored: the value may read this place.
                names = [f"store.{id(statement)}.{part}" for part in ("re", "im")]
                lets = tuple(
                    Let(name, part) for name, part in zip(names, (real, imaginary), strict=True)
                )
                stores = tuple(
                    replace(
                        statement,
                        memory=flat,
                        index=index * 2 + offset,
                        value=Ref(name, flat.dtype, value.lanes),
                        streaming=False,
                    )
                    for offset, name in enumerate(names)
                )
                return lets + stores
            case Store() | Let() if not statement.value.dtype.is_complex:
                return (replace(statement, value=self.real(statement.value)),)
            case Let(name, value):
                real, imaginary = self.parts(value)
                return Let(f"{name}.re", real), Let(f"{name}.im", imaginary)
            case For():
                carried = tuple(part for one in statement.carried for part in self.carried(one))
                return (replace(statement, body=self.body(statement.body), carried=carried),)
            case If():
                return (replace(statement, body=self.body(statement.body)),)
            case Fail(condition):
                return (Fail(self.real(condition)),)
            case _:
                return (statement,)

    def carried(self, carried: Carried) -> tuple[Carried, ...]:
        if not carried.dtype.is_complex:
            init, following = self.real(carried.init), self.real(carried.next)
            return (replace(carried, init=init, next=following),)
        inits, nexts = self.parts(carried.init), self.parts(carried.next)
        dtype, name, lanes = real_of(carried.dtype), carried.name, carried.lanes
        return (
            Carried(f"{name}.re", dtype, inits[0], nexts[0], lanes),
            Carried(f"{name}.im", dtype, inits[1], nexts[1], lanes),
        )

    # --- values -------------------------------------------------------------------------------

    def _walk(self, value: Value) -> None:
        """Split a value and everything below it, without recursion."""
        stack = [value]
        while stack:
            current = stack[-1]
            done = self._parts if current.dtype.is_complex else self._reals
            if id(current) in done:
                stack.pop()
                continue
            waiting = [
                child
                for child in children(current)
                if id(child) not in (self._parts if child.dtype.is_complex else self._reals)
            ]
            if waiting:
                stack.extend(waiting)
                continue
            self._alive.append(current)
            if current.dtype.is_complex:
                self._parts[id(current)] = self._complex(current)
            else:
                self._reals[id(current)] = self._real(current)
            stack.pop()

    def parts(self, value: Value) -> Pair:
        """The two parts of a complex value."""
        self._walk(value)
        return self._parts[id(value)]

    def real(self, value: Value) -> Value:
        """A real value, which may be computed from complex ones."""
        self._walk(value)
        return self._reals[id(value)]

    def _real(self, value: Value) -> Value:
        """A real value whose operands are split."""
        match value:
            case Alu(op, args, dtype, lanes) if args[0].dtype.is_complex:
                pairs = [self._parts[id(argument)] for argument in args]
                row, on = complex_rows.REAL_ROWS[op], Parts(real_of(args[0].dtype), lanes)
                return row(on, dtype, *pairs)
            case Alu(args=args):
                return replace(value, args=tuple(self._reals[id(argument)] for argument in args))
            case MulAdd(a, b, c):
                parts = [self._reals[id(part)] for part in (a, b, c)]
                return replace(value, a=parts[0], b=parts[1], c=parts[2])
            case Broadcast(inner) | Fold(value=inner):
                return replace(value, value=self._reals[id(inner)])
            case _:
                return value

    def _complex(self, value: Value) -> Pair:
        """A complex value whose operands are split."""
        part = real_of(value.dtype)
        on = Parts(part, value.lanes)
        match value:
            case Load(memory, index):
                flat = self.memory(memory)
                first = replace(value, memory=flat, index=index * 2)
                return first, replace(value, memory=flat, index=index * 2 + 1)
            case Ref(name, _, lanes):
                return Ref(f"{name}.re", part, lanes), Ref(f"{name}.im", part, lanes)
            case Literal(number):
                whole = complex(number)
                return Literal.of(whole.real, part), Literal.of(whole.imag, part)
            case IndexValue():
                return replace(value, dtype=part), on.zero
            case Broadcast(inner, lanes):
                real, imaginary = self._parts[id(inner)]
                return Broadcast(real, lanes), Broadcast(imaginary, lanes)
            case MulAdd(a, b, c):
                x, y, z = (self._parts[id(part)] for part in (a, b, c))
                return complex_rows.add(on, complex_rows.multiply(on, x, y), z)
            case Fold(combiner, inner) if combiner is Combiner.SUM:
                real, imaginary = self._parts[id(inner)]
                return Fold(combiner, real), Fold(combiner, imaginary)
            case Alu(Op.COMPLEX, (real, imaginary)):
                return self._reals[id(real)], self._reals[id(imaginary)]
            case Alu(Op.WHERE, (condition, x, y)):
                chosen = self._reals[id(condition)]
                (a, b), (c, d) = self._parts[id(x)], self._parts[id(y)]
                return on(Op.WHERE, chosen, a, c), on(Op.WHERE, chosen, b, d)
            case Alu(Op.CAST, (x,)) if not x.dtype.is_complex:
                return on(Op.CAST, self._reals[id(x)]), on.zero
            case Alu(op, args):
                if op not in complex_rows.ROWS:
                    raise NotImplementedError(f"{op.name} of complex numbers is not supported")
                return complex_rows.ROWS[op](on, *(self._parts[id(argument)] for argument in args))
            case _:
                kind = "number argument" if isinstance(value, Argument) else type(value).__name__
                raise NotImplementedError(f"a complex {kind} is not supported on this device")
