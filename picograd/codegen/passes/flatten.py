"""Write out the steps of short loops: a window's few elements need none.

In: loops after `passes.unroll`. Out: the same, but reductions (and independent loops) of a few
steps with short bodies are one step after another, in which positions are constants: addresses and
masks fold, and accumulators stay in registers. Called by `codegen.pipeline`. The order of the steps
stays as it was.

>>> from picograd.codegen import show
>>> from picograd.codegen.expressions import combine, identity
>>> from picograd.codegen.loops import Carried, For, Home, Load, Memory, Ref
>>> from picograd.dtypes import float32
>>> from picograd.graph.index import Var, constant, of
>>> from picograd.graph.ops import Combiner
>>> i, x = Var("i", 0, 1), Memory("x", float32, 2, Home.ARGUMENT)
>>> following = combine(Combiner.SUM, Ref("sum", float32), Load(x, of(i)))
>>> sums = Carried("sum", float32, identity(Combiner.SUM, float32), following)
>>> loop = For(i, constant(0), constant(2), (), carried=(sums,), reduces=Combiner.SUM)
>>> for line in show.lines(_body((loop,)), 0):
...     print(line)
sum_f0 = 0.0
sum_f1 = add(sum_f0, x[0])
sum_f2 = add(sum_f1, x[1])
sum = sum_f2
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.dependence import Body, operations, trip
from picograd.codegen.loops import (
    For,
    Function,
    If,
    Kind,
    Let,
    Ref,
    Statement,
    statements,
)
from picograd.codegen.replicate import Copy, Replicate
from picograd.codegen.target import Target
from picograd.graph.index import constant

STEPS = 8  # of one reduction
FEW = 4  # of one loop whose steps have nothing in common
WEIGHT = 64  # of all steps: operations, in multiples of an addition


def flatten(function: Function, target: Target) -> Function:
    """All short loops within others written out: the outermost are cut into parallel pieces yet."""
    phases = tuple(replace(phase, body=_within(phase.body)) for phase in function.phases)
    return replace(function, phases=phases)


def _within(body: Body) -> Body:
    return tuple(replace(s, body=_body(s.body)) if isinstance(s, For | If) else s for s in body)


def _body(body: Body) -> Body:
    made: list[Statement] = []
    for statement in body:
        match statement:
            case For():
                inner = replace(statement, body=_body(statement.body))
                made.extend(_steps(inner) if _is_short(inner) else (inner,))
            case If():
                made.append(replace(statement, body=_body(statement.body)))
            case _:
                made.append(statement)
    return tuple(made)


def _is_short(loop: For) -> bool:
    count = trip(loop)
    if count is None or loop.kind is not Kind.SERIAL or not loop.begin.is_constant:
        return False
    few = FEW if loop.reduces is None else STEPS
    if not (loop.independent or loop.reduces) or not 0 < count <= few:
        return False
    plain = not any(isinstance(statement, For | If) for statement in statements(loop.body))
    indexed = any(isinstance(s, Let) and s.var is not None for s in loop.body)
    weight = operations((loop,)) if loop.carried else operations(loop.body)
    return plain and not indexed and count * max(weight, 1) <= WEIGHT


def _steps(loop: For) -> Body:
    """The steps of a loop, each with names of its own."""
    count = trip(loop)
    assert count is not None
    own = {statement.name for statement in loop.body if isinstance(statement, Let)}
    names = own | {carried.name for carried in loop.carried}
    made: list[Statement] = [Let(f"{c.name}_f0", c.init) for c in loop.carried]
    for number in range(count):
        place = loop.begin + constant(number * loop.step)
        step = Replicate(loop.var, names, (Copy(place, f"_f{number}"),))
        made.extend(step.body(loop.body))
        made.extend(
            Let(f"{carried.name}_f{number + 1}", step.carry(carried)[0].next)
            for carried in loop.carried
        )
    made.extend(Let(c.name, Ref(f"{c.name}_f{count}", c.dtype, c.lanes)) for c in loop.carried)
    return tuple(made)
