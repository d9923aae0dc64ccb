"""Choose which loops become vectors.

In: a plain nest. Out: the same nest with one loop on each path marked VECTOR. Called by
`codegen.pipeline`; `passes.vectorise` carries the marks out.

Along a good axis most accesses have stride 1: the inner axis of a row reduction, the kept axis of a
column reduction. The choice compares estimated cycles of every possibility on each path.
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.cycles import cycles, round_cycles, statement_cycles
from picograd.codegen.dependence import (
    Body,
    all_values,
    dependent_names,
    touches,
    trip,
    walk,
)
from picograd.codegen.loops import (
    For,
    Function,
    If,
    Kind,
    Let,
    Ref,
    Statement,
    Store,
    statements,
)
from picograd.codegen.passes.vectorise import lanes_of
from picograd.codegen.target import Target

FOLD = 20.0  # cycles to combine the lanes of a vector
LOOP = 6.0  # cycles to begin and end a loop


def choose_axes(function: Function, target: Target) -> Function:
    """Mark loops as VECTOR where vectors save time."""
    if target.vector_bytes < 8:
        return function
    phases = tuple(replace(phase, body=_body(phase.body, target)[1]) for phase in function.phases)
    return replace(function, phases=phases)


def _body(body: Body, target: Target, names: frozenset[str] = frozenset()) -> tuple[float, Body]:
    """The cheapest choice for each statement: its cycles, and the statement. `names` are the
    accumulators of the loop around."""
    total, made = 0.0, []
    for statement in body:
        cost, chosen = _statement(statement, target, names)
        total += cost
        made.append(chosen)
    return total, tuple(made)


def _statement(
    statement: Statement, target: Target, names: frozenset[str]
) -> tuple[float, Statement]:
    match statement:
        case For():
            return _loop(statement, target, names)
        case If():
            cost, body = _body(statement.body, target)
            return cost, replace(statement, body=body)
        case _:
            return statement_cycles(statement), statement


def _loop(loop: For, target: Target, names: frozenset[str]) -> tuple[float, Statement]:
    count = trip(loop)
    within = frozenset(carried.name for carried in loop.carried)
    cost, body = _body(loop.body, target, within if loop.reduces else frozenset())
    many = (loop.var.high - loop.var.low + 1) if count is None else count
    inner = LOOP + many * (cost + round_cycles(loop, None, 1))
    if count is None or count < 2 or not can_vectorise(loop):
        return inner, replace(loop, body=body)
    lanes = lanes_of(loop, target, count)
    if lanes < 2:
        return inner, replace(loop, body=body)
    runs = -(-count // lanes)
    each = cycles(loop.body, loop.var, lanes) + round_cycles(loop, loop.var, lanes)
    outer = LOOP + runs * each
    continued = any(isinstance(c.init, Ref) and c.init.name in names for c in loop.carried)
    if loop.reduces is not None and not continued:
        outer += FOLD
    if outer < inner:
        return outer, replace(loop, kind=Kind.VECTOR)
    return inner, replace(loop, body=body)


def can_vectorise(loop: For) -> bool:
    """Whether the loop's iterations may be lanes: each stores to its own place, which no data tell,
    and inner bounds don't depend on it."""
    if loop.step != 1 or not (loop.independent or loop.reduces is not None):
        return False
    var = loop.var
    names = dependent_names(loop.body, var, (c.name for c in loop.carried))
    for statement in statements(loop.body):
        match statement:
            case Store() if var not in statement.index.atoms():
                return False
            case Store() if any(a.name in names for a in statement.index.variables()):
                return False
            case For() if any(touches(x, var, names) for x in (statement.begin, statement.end)):
                return False
            case If() if touches(statement.mask, var, names):
                return False
            case Store() if statement.memory.dtype.is_complex:
                return False
            case _:
                pass
    return not any(value.dtype.is_complex for value in all_values(loop.body)) and (
        _accumulates_only(loop)
    )


def _accumulates_only(loop: For) -> bool:
    """The accumulators of a reduction are used for nothing but their next values."""
    if loop.reduces is None:
        return True
    names = {carried.name for carried in loop.carried}
    for statement in statements(loop.body):
        if isinstance(statement, Let | Store) and any(
            isinstance(v, Ref) and v.name in names for v in walk((statement.value,))
        ):
            return False
    return True
