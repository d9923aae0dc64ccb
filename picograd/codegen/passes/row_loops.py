"""Loops over a row whose points threads may take in any order.

In: the statements of a row. Out: whether its threads can share them, the nest that a loop is, and
how what it carries is combined. Called by `passes.cooperate` and `passes.keep_rows`.

>>> from picograd.dtypes import float32
>>> from picograd.codegen.expressions import combine
>>> following = combine(Combiner.SUM, Ref("acc", float32), Ref("x", float32))
>>> combiner(Carried("acc", float32, identity(Combiner.SUM, float32), following)).name
'SUM'
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.expressions import COMBINE, identity
from picograd.codegen.loops import (
    Alu,
    Carried,
    Fail,
    For,
    Let,
    MulAdd,
    Ref,
    Statement,
    Store,
)
from picograd.graph.ops import Combiner

_COMBINERS = {op: combiner for combiner, op in COMBINE.items()}


def can_share(statement: Statement) -> bool:
    """Whether several threads can do a statement of a row together, or each for itself."""
    match statement:
        case For(carried=()):
            return statement.independent and flat(statement) is not None
        case For():
            return flat(statement) is not None and all(
                combiner(carried) is not None for carried in flat_carried(statement)
            )
        case Let() | Store() | Fail():
            return True
        case _:
            return False


def flat(loop: For) -> list[For] | None:
    """The loops of a nest whose points may be taken in any order, outermost first."""
    found = [loop]
    while True:
        inner = found[-1]
        if not (inner.begin.is_constant and inner.end.is_constant) or inner.step != 1:
            return None
        body = inner.body
        if len(body) != 1 or not isinstance(body[0], For):
            return found
        if not _continues(inner, body[0]):
            return found
        found.append(body[0])


def _continues(outer: For, inner: For) -> bool:
    """Whether an inner loop goes on with what the outer one carries, or both carry nothing."""
    if not outer.carried:
        return not inner.carried and inner.independent
    return len(outer.carried) == len(inner.carried) and all(
        isinstance(below.init, Ref)
        and below.init.name == above.name
        and isinstance(above.next, Ref)
        and above.next.name == below.name
        for above, below in zip(outer.carried, inner.carried, strict=True)
    )


def flat_carried(loop: For) -> tuple[Carried, ...]:
    """What the innermost loop of the nest carries, from what the nest starts with."""
    nest = flat(loop)
    assert nest is not None
    return tuple(
        replace(inner, init=outer.init)
        for outer, inner in zip(loop.carried, nest[-1].carried, strict=True)
    )


def combiner(carried: Carried) -> Combiner | None:
    """How a carried value grows, if it starts with nothing and combines with one value a point."""
    value, own = carried.next, Ref(carried.name, carried.dtype, carried.lanes)
    how = None
    if isinstance(value, Alu) and value.op in _COMBINERS and value.args[0] == own:
        how = _COMBINERS[value.op]
    elif isinstance(value, MulAdd) and value.c == own:
        how = Combiner.SUM
    if how is None:
        return None
    start = replace(identity(how, carried.dtype), lanes=carried.lanes)
    if carried.init != start:
        return None
    return how


def extents(loops: list[For]) -> list[int]:
    return [loop.end.constant - loop.begin.constant for loop in loops]
