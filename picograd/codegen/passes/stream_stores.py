"""Vector stores to results larger than the caches go past them.

In: a function whose loops are final. Out: the same with `Store.streaming` set where it pays. Called
by `codegen.pipeline` after all other passes.

An ordinary store first reads the line that it writes: a third of what an elementwise kernel moves.
A store past the caches does not, but whoever reads the line next waits for memory. So it is for
arguments that no phase reads and that are too large to be found in the last cache afterwards.

>>> from picograd.codegen.loops import Load
>>> from picograd.dtypes import float32
>>> from picograd.graph.index import Var, of
>>> lane = of(Var("lane", 0, 15, 16))
>>> x, y = (Memory(name, float32, 1 << 24, Home.ARGUMENT) for name in "xy")
>>> _streamed((Store(y, lane, Load(x, lane, 16)),), {y})[0].streaming
True
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.dependence import Body, memories_read, statements
from picograd.codegen.loops import For, Function, Home, If, Memory, Statement, Store
from picograd.codegen.target import Target


def stream_stores(function: Function, target: Target) -> Function:
    """The function with its large results streamed."""
    bodies = [phase.body for phase in function.phases]
    read = frozenset().union(*map(memories_read, bodies))
    large = {
        statement.memory
        for body in bodies
        for statement in statements(body)
        if isinstance(statement, Store)
        and statement.memory.home is Home.ARGUMENT
        and statement.memory not in read
        and statement.memory.size * statement.memory.dtype.itemsize > target.l3
    }
    if not large:
        return function
    phases = tuple(replace(phase, body=_streamed(phase.body, large)) for phase in function.phases)
    return replace(function, phases=phases)


def _streamed(body: Body, large: set[Memory]) -> Body:
    made: list[Statement] = []
    for statement in body:
        match statement:
            case For() | If():
                made.append(replace(statement, body=_streamed(statement.body, large)))
            case Store() if statement.value.lanes > 1 and statement.memory in large:
                made.append(replace(statement, streaming=True))
            case _:
                made.append(statement)
    return tuple(made)
