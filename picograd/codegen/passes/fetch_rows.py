"""While a row is worked on, the next one is fetched.

In: a function whose loops are final. Out: the same with `Prefetch` statements where a row is read
several times. Called by `codegen.pipeline` after `parallelise`.

A kernel over rows waits for memory while it reads a row first, and does not use it while it goes
over the row again, in the cache. So the loop of those that follow which computes most asks for the
same place of the next row. Only a row that is read along memory is worth it, and only one that
leaves room for its neighbour in the second cache.

>>> fetch_rows.__name__
'fetch_rows'
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.dependence import Body, all_values, memories_written, operations, trips
from picograd.codegen.loops import (
    For,
    Function,
    Home,
    If,
    Let,
    Load,
    Memory,
    Prefetch,
    Statement,
    Store,
    statements,
)
from picograd.codegen.target import Target
from picograd.graph.index import Index, Var, constant, of

LINE = 64  # bytes
LEAST = 2048  # bytes of a row: shorter ones are fetched by the machine itself


def fetch_rows(function: Function, target: Target) -> Function:
    """The function with its next rows asked for."""
    written = set().union(*(memories_written(phase.body) for phase in function.phases))
    pass_ = _Rows(target, written)
    return replace(
        function,
        phases=tuple(
            replace(phase, body=pass_.body(phase.body, (phase.var,) if phase.var else ()))
            for phase in function.phases
        ),
    )


class _Rows:
    """The pass over one function; `outer` are the variables around a body, innermost last."""

    def __init__(self, target: Target, written: set[Memory]) -> None:
        self.target, self.written = target, written

    def body(self, body: Body, outer: tuple[Var, ...]) -> Body:
        loops = [statement for statement in body if isinstance(statement, For)]
        lets = [s for s in body if isinstance(s, Let) and s.value.lanes == 1]
        outer += tuple(let.var for let in lets if let.var is not None)
        asked: dict[int, tuple[Prefetch, ...]] = {}
        if len(loops) > 1 and not any(_nested(loop) for loop in loops):
            asked = self._asked(loops, outer)
        made: list[Statement] = []
        for statement in body:
            match statement:
                case For() if id(statement) in asked:
                    made.append(replace(statement, body=asked[id(statement)] + statement.body))
                case For():
                    inner = self.body(statement.body, (*outer, statement.var))
                    made.append(replace(statement, body=inner))
                case If():
                    made.append(replace(statement, body=self.body(statement.body, outer)))
                case _:
                    made.append(statement)
        return tuple(made)

    def _asked(self, loops: list[For], outer: tuple[Var, ...]) -> dict[int, tuple[Prefetch, ...]]:
        """What to ask for, by the identity of the loop that asks."""
        first, *others = loops
        rows = self._rows(first, outer)
        if not rows:
            return {}
        extent = _width(first) * trips(first)
        hosts = [loop for loop in others if _width(loop) * trips(loop) == extent]
        if not hosts:
            return {}
        host = max(hosts, key=lambda loop: operations((loop,)) / _width(loop))
        width, asks = _width(host), []
        for memory, start in rows.items():
            step = LINE // memory.dtype.itemsize
            for offset in range(0, width, step):
                asks.append(Prefetch(memory, start + of(host.var) * width + offset))
        return {id(host): tuple(asks)}

    def _rows(self, loop: For, outer: tuple[Var, ...]) -> dict[Memory, Index]:
        """Where the next rows start of the memories that a loop reads."""
        found: dict[Memory, Index] = {}
        for load in all_values((loop,)):
            if not isinstance(load, Load) or load.memory in self.written:
                continue
            around = next((var for var in reversed(outer) if var in load.index.atoms()), None)
            elements = load.index.coefficient(loop.var) * trips(loop)
            if (
                load.memory.home is Home.ARGUMENT
                and not load.memory.dtype.is_complex
                and load.memory.size * load.memory.dtype.itemsize > self.target.l2
                and around is not None
                and LEAST <= elements * load.memory.dtype.itemsize <= self.target.l2 // 4
                and load.index.coefficient(around) == elements == _width(loop) * trips(loop)
                and _contiguous(load.index)
            ):
                lanes = {a: constant(0) for a in load.index.atoms() if _is_lane(a)}
                place = load.index.substitute({loop.var: constant(0), **lanes})
                place = place.substitute({around: of(around) + 1})
                if load.memory not in found or place.constant < found[load.memory].constant:
                    found[load.memory] = place
        return found


def _is_lane(atom: object) -> bool:
    return isinstance(atom, Var) and atom.lanes > 1


def _contiguous(index: Index) -> bool:
    return any(_is_lane(atom) and factor == 1 for atom, factor in index.terms)


def _nested(loop: For) -> bool:
    return any(isinstance(statement, For | If) for statement in statements(loop.body))


def _width(loop: For) -> int:
    """The elements of a row that a round of a loop goes over, 0 if it does not."""
    accesses = [value for value in all_values((loop,)) if isinstance(value, Load)]
    accesses += [s for s in statements(loop.body) if isinstance(s, Store)]
    return max((access.index.coefficient(loop.var) for access in accesses), default=0)
