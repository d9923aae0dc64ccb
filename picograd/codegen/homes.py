"""Move memories of a function to other homes.

In: statements, and which memory takes which one's place. Out: the statements with their loads and
stores changed. Called by passes that let other threads see what was private.
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
    If,
    Let,
    Load,
    Memory,
    MulAdd,
    Statement,
    Store,
    Value,
    Wide,
)


def replace_memories(body: Body, mapping: Mapping[Memory, Memory]) -> Body:
    """The body with other memories in its loads and stores."""
    return tuple(_statement(statement, mapping) for statement in body)


def _statement(statement: Statement, mapping: Mapping[Memory, Memory]) -> Statement:
    match statement:
        case For():
            carried = tuple(
                replace(c, init=_value(c.init, mapping), next=_value(c.next, mapping))
                for c in statement.carried
            )
            return replace(
                statement, body=replace_memories(statement.body, mapping), carried=carried
            )
        case If():
            return replace(statement, body=replace_memories(statement.body, mapping))
        case Let():
            return replace(statement, value=_value(statement.value, mapping))
        case Store():
            memory = mapping.get(statement.memory, statement.memory)
            return replace(statement, memory=memory, value=_value(statement.value, mapping))
        case Fail():
            return Fail(_value(statement.condition, mapping))
        case _:
            return statement


def _value(value: Value, mapping: Mapping[Memory, Memory]) -> Value:
    match value:
        case Load():
            return replace(value, memory=mapping.get(value.memory, value.memory))
        case Alu():
            return replace(value, args=tuple(_value(arg, mapping) for arg in value.args))
        case MulAdd():
            a, b, c = (_value(part, mapping) for part in (value.a, value.b, value.c))
            return replace(value, a=a, b=b, c=c)
        case Wide():
            return replace(value, a=_value(value.a, mapping), b=_value(value.b, mapping))
        case Broadcast() | Fold():
            return replace(value, value=_value(value.value, mapping))
        case _:
            return value
