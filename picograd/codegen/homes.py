"""The homes of a function's memories: the arguments of a kernel, and moves to other homes.

In: a kernel. Out: its arguments as memories of the loop IR, for those who build loops themselves.
In: statements, and which memory takes which one's place. Out: the statements with their loads and
stores changed, for passes that let other threads see what was private. A memory that holds
several copies of what it replaces comes with the index at which the copy in question begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from picograd.codegen.dependence import Body
from picograd.codegen.loops import (
    Alu,
    Broadcast,
    Fail,
    Fold,
    For,
    Home,
    If,
    Let,
    Load,
    Memory,
    MulAdd,
    Random,
    Statement,
    Store,
    Value,
)
from picograd.graph.index import ZERO, Index
from picograd.schedule.kernel import Kernel, Space

Places = Mapping[Memory, tuple[Memory, Index]]


def argument_memories(kernel: Kernel) -> dict[str, Memory]:
    """The buffers that a kernel is called with, by name."""
    stored = {stage.target for stage in kernel.stages}
    return {
        memory.name: Memory(
            memory.name,
            memory.dtype,
            memory.size,
            Home.ARGUMENT,
            slot,
            0,
            memory.written or memory.name in stored,
        )
        for slot, memory in enumerate(kernel.memories)
        if memory.space is Space.ARGUMENT
    }


def replace_memories(
    body: Body, mapping: Mapping[Memory, Memory], starts: Mapping[Memory, Index] | None = None
) -> Body:
    """The body with other memories in its loads and stores; `starts`: where their parts begin."""
    placed = {old: (new, (starts or {}).get(old, ZERO)) for old, new in mapping.items()}
    return _body(body, placed)


def _body(body: Body, mapping: Places) -> Body:
    return tuple(_statement(statement, mapping) for statement in body)


def _statement(statement: Statement, mapping: Places) -> Statement:
    match statement:
        case For():
            carried = tuple(
                replace(c, init=_value(c.init, mapping), next=_value(c.next, mapping))
                for c in statement.carried
            )
            return replace(statement, body=_body(statement.body, mapping), carried=carried)
        case If():
            return replace(statement, body=_body(statement.body, mapping))
        case Let():
            return replace(statement, value=_value(statement.value, mapping))
        case Store():
            memory, start = mapping.get(statement.memory, (statement.memory, ZERO))
            value = _value(statement.value, mapping)
            return replace(statement, memory=memory, index=statement.index + start, value=value)
        case Fail():
            return Fail(_value(statement.condition, mapping))
        case _:
            return statement


def _value(value: Value, mapping: Places) -> Value:
    match value:
        case Load():
            memory, start = mapping.get(value.memory, (value.memory, ZERO))
            return replace(value, memory=memory, index=value.index + start)
        case Alu():
            return replace(value, args=tuple(_value(arg, mapping) for arg in value.args))
        case MulAdd():
            a, b, c = (_value(part, mapping) for part in (value.a, value.b, value.c))
            return replace(value, a=a, b=b, c=c)
        case Random():
            low, high = _value(value.low, mapping), _value(value.high, mapping)
            return replace(value, low=low, high=high)
        case Broadcast() | Fold():
            return replace(value, value=_value(value.value, mapping))
        case _:
            return value
