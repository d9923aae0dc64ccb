"""Write every second element and the others between them as whole vectors.

In: loops whose short inner loops `passes.flatten` wrote out. Out: where stores of one memory fill
the gaps between each other's lanes, stores of neighbours that shuffles put together. Called by
`codegen.pipeline` between `flatten` and `parallelise`.

Pairs of real and imaginary parts, rotated embeddings, the gradient of a pooling: a value for each
of two or three or four neighbours, in as many vectors. Written as they are, each is a scatter.

>>> from picograd.codegen import show
>>> from picograd.codegen.loops import Home, Literal, Memory
>>> from picograd.dtypes import float32
>>> y, lane = Memory("y", float32, 4, Home.ARGUMENT), of(Var("lane", 0, 1, 2))
>>> zero, one = (replace(Literal.of(number, float32), lanes=2) for number in (0.0, 1.0))
>>> body = Store(y, lane * 2, zero), Store(y, lane * 2 + 1, one)
>>> print("\\n".join(show.lines(_Interleave().body(body), 0)))
mix1 = 0.0<2>
mix2 = 1.0<2>
mix3 = shuffle(mix1, mix2, 0 2)
y[lane] = mix3
mix4 = shuffle(mix1, mix2, 1 3)
y[lane + 2] = mix4
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.dependence import Body, all_values, memories_written, stride
from picograd.codegen.loops import (
    For,
    Function,
    If,
    Let,
    Load,
    Ref,
    Shuffle,
    Statement,
    Store,
    Value,
)
from picograd.codegen.target import Target
from picograd.graph.index import Var, of

WIDEST = 4  # vectors put together


def interleave(function: Function, target: Target) -> Function:
    """The function with its interleaved stores put together."""
    made = _Interleave()
    phases = tuple(replace(phase, body=made.body(phase.body)) for phase in function.phases)
    return replace(function, phases=phases)


class _Interleave:
    """The pass over one function; it numbers the names that it makes."""

    def __init__(self) -> None:
        self.count = 0

    def body(self, body: Body) -> Body:
        made: list[Statement] = []
        waiting = {store: group for group in _groups(body) for store in group}
        values: dict[int, Ref] = {}
        for number, statement in enumerate(body):
            if isinstance(statement, For | If):
                made.append(replace(statement, body=self.body(statement.body)))
            elif number not in waiting or not isinstance(statement, Store):
                made.append(statement)
            else:
                values[number] = self.name(statement.value, made)
                group = waiting[number]
                if number == max(group):
                    stores = [member for n in group if isinstance(member := body[n], Store)]
                    self.write(stores, [values[n] for n in group], made)
        return tuple(made)

    def name(self, value: Value, made: list[Statement]) -> Ref:
        self.count += 1
        made.append(Let(f"mix{self.count}", value))
        return Ref(f"mix{self.count}", value.dtype, value.lanes)

    def write(self, stores: list[Store], values: list[Ref], made: list[Statement]) -> None:
        """The stores' elements in their order in memory, vector by vector."""
        several, first = len(stores), stores[0]
        lanes, lane = first.value.lanes, _lane(first)
        assert lane is not None  # `_groups` has seen to it
        base = first.index - of(lane) * (several - 1)
        for number in range(several):
            places = [divmod(number * lanes + n, several) for n in range(lanes)]
            value = values[0]
            for which in range(1, several):
                start = range(lanes) if which > 1 else [place for place, _ in places]
                order = [
                    lanes + place if source == which else start[n]
                    for n, (place, source) in enumerate(places)
                ]
                value = self.name(Shuffle(value, values[which], tuple(order)), made)
            mask = first.mask.substitute({lane: (of(lane) + number * lanes) // several})
            made.append(replace(first, index=base + number * lanes, value=value, mask=mask))


def _lane(store: Store) -> Var | None:
    """The variable of a store's lanes."""
    lanes = store.value.lanes
    return next((a for a in store.index.atoms() if isinstance(a, Var) and a.lanes == lanes), None)


def _groups(body: Body) -> list[tuple[int, ...]]:
    """The numbers of stores that fill each other's gaps, in the order of memory; what stands
    between them neither reads nor writes there."""
    found: list[tuple[int, ...]] = []
    apart: dict[tuple[object, ...], list[tuple[int, int]]] = {}
    for number, statement in enumerate(body):
        if not isinstance(statement, Store) or statement.value.lanes == 1:
            continue
        lane, index = _lane(statement), statement.index
        step = stride(index, lane) if lane is not None else None
        if step is not None and 1 < step <= WIDEST:
            shared = statement.memory, index - index.constant, statement.mask, step
            apart.setdefault(shared, []).append((index.constant, number))
    for (*_, several), places in apart.items():
        assert isinstance(several, int)
        numbers = [number for _, number in sorted(places)]
        while len(numbers) >= several:
            group = tuple(numbers[:several])
            whole = _is_whole(body, group)
            found += [group] * whole
            numbers = numbers[several if whole else 1 :]
    return found


def _is_whole(body: Body, group: tuple[int, ...]) -> bool:
    """Whether stores lie side by side, and nothing between them touches their memory."""
    stores = [member for n in group if isinstance(member := body[n], Store)]
    low, memory = stores[0].index, stores[0].memory
    if any(store.index != low + n for n, store in enumerate(stores)):
        return False
    between = [body[n] for n in range(min(group), max(group) + 1)]
    others = tuple(statement for n, statement in enumerate(between, min(group)) if n not in group)
    reads = {value.memory for value in all_values(tuple(between)) if isinstance(value, Load)}
    return memory not in reads and memory not in memories_written(others)
