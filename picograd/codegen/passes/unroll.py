"""Carry out UNROLL loops: several copies of a body side by side, and a loop over what is left.

In: a function in which `passes.vectorise` marked the loops over full vectors. Out: serial loops;
every marked one runs as many copies at a time as pay. Called by `codegen.pipeline` between
`vectorise` and `parallelise`.

* The copies of an independent loop share the loops inside it (unroll and jam): the sums of columns
  read several vectors of a row while the row is near.
* The copies of a reduction have an accumulator each, so that one addition need not wait for the
  last. They meet in a fixed tree behind the loop; what is left goes on with the result. The order
  of additions depends on extents alone.

>>> from picograd.codegen import show
>>> from picograd.codegen.loops import Home, Load, Memory
>>> from picograd.dtypes import float32
>>> i, lane = Var("iv", 0, 8), of(Var("lane", 0, 15, 16))
>>> x = Load(Memory("x", float32, 144, Home.ARGUMENT), of(i) * 16 + lane, 16)
>>> following = combine(Combiner.SUM, Ref("sum", float32, 16), x)
>>> zero = replace(identity(Combiner.SUM, float32), lanes=16)
>>> sums = Carried("sum", float32, zero, following, 16)
>>> loop = For(i, constant(0), constant(9), (), 1, Kind.UNROLL, (sums,), False, Combiner.SUM)
>>> for line in show.lines(unrolled(loop, 2), 0):
...     print(line)
for iu in 0 .. 4 reduces sum carry sum_0: float32<16> = 0.0<16> carry sum_1: float32<16> = 0.0<16>
  sum_0 <- add(sum_0, x[iu*32 + lane]<16>)
  sum_1 <- add(sum_1, x[iu*32 + lane + 16]<16>)
for iv in 8 .. 9 reduces sum carry sum: float32<16> = add(sum_0, sum_1)
  sum <- add(sum, x[iv*16 + lane]<16>)
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.dependence import Body, dependent_names, operations, trips
from picograd.codegen.expressions import combine, identity
from picograd.codegen.loops import (
    Carried,
    For,
    Function,
    If,
    Kind,
    Let,
    Ref,
    Statement,
    Value,
    statements,
)
from picograd.codegen.passes.vectorise import FULL, combiner_of
from picograd.codegen.replicate import Copy, Replicate
from picograd.codegen.target import Target
from picograd.graph.index import Var, constant, of
from picograd.graph.ops import Combiner

COPIES = "u"  # ends the names of the variables of unrolled loops

# How many copies of a body of at most that weight: operations, in multiples of an addition.
# A reduction waits for its accumulator: 4 copies hide the 4 cycles of an addition at a vector a
# cycle, which is more than memory delivers.
REDUCTION = ((60.0, 4), (float("inf"), 2))
# Columns: each copy keeps an accumulator in a register through the inner loop, and more copies
# read longer runs of each row.
COLUMNS = ((3.0, 8), (12.0, 4), (30.0, 2))
# Nothing waits in an independent loop; two copies share its counter. Longer bodies only cost
# compile time.
INDEPENDENT = ((12.0, 2),)


def unroll(function: Function, target: Target) -> Function:
    """All UNROLL loops as serial loops over copies."""
    phases = tuple(replace(phase, body=_body(phase.body)) for phase in function.phases)
    return replace(function, phases=phases)


def copies_of(loop: For) -> int:
    """Copies side by side: enough to hide latency, few where the body is long, none where the
    loop would run but once."""
    weight = operations(loop.body)
    inner = [statement for statement in statements(loop.body) if isinstance(statement, For)]
    if any(statement.carried for statement in inner):
        table = COLUMNS
    elif loop.reduces is not None:
        table = REDUCTION
    else:
        table = () if inner else INDEPENDENT
    most = next((copies for limit, copies in table if weight <= limit), 1)
    while most > trips(loop):
        most //= 2
    return most


def _body(body: Body) -> Body:
    made: list[Statement] = []
    for statement in body:
        match statement:
            case For(kind=Kind.UNROLL):
                made.extend(unrolled(statement, copies_of(statement)))
            case For() | If():
                made.append(replace(statement, body=_body(statement.body)))
            case _:
                made.append(statement)
    return tuple(made)


def unrolled(loop: For, count: int) -> Body:
    """The loop over groups of that many copies, then the loop over what is left."""
    if count == 1:
        return (replace(loop, kind=Kind.SERIAL),)
    groups, rest = divmod(trips(loop), count)
    var = Var(loop.var.name.removesuffix(FULL) + COPIES, 0, groups - 1)
    copies = tuple(Copy(loop.begin + of(var) * count + n, f"_{n}") for n in range(count))
    names = dependent_names(loop.body, loop.var, (c.name for c in loop.carried))
    made = Replicate(loop.var, names, copies)
    combiners = [combiner_of(carried, loop) for carried in loop.carried]
    starts = [_starts(c, how, made) for c, how in zip(loop.carried, combiners, strict=True)]
    main = replace(
        loop,
        var=var,
        begin=constant(0),
        end=constant(groups),
        body=made.body(loop.body),
        kind=Kind.SERIAL,
        carried=tuple(copy for each in starts for copy in each),
    )
    totals = [_total(each, how) for each, how in zip(starts, combiners, strict=True)]
    if not rest:
        lets = (Let(c.name, t) for c, t in zip(loop.carried, totals, strict=True))
        return (main, *lets)
    going = tuple(replace(c, init=t) for c, t in zip(loop.carried, totals, strict=True))
    begin = loop.begin + groups * count
    return (main, replace(loop, begin=begin, kind=Kind.SERIAL, carried=going))


def _starts(carried: Carried, combiner: Combiner, made: Replicate) -> tuple[Carried, ...]:
    """The copies of an accumulator: the first goes on with what there is, the others begin."""
    first, *others = made.carry(carried)
    empty = identity(combiner, carried.dtype)
    first = replace(first, init=carried.init)
    return (first, *(replace(other, init=replace(empty, lanes=other.lanes)) for other in others))


def _total(parts: tuple[Carried, ...], combiner: Combiner) -> Value:
    """The accumulators combined, halves first."""
    values: list[Value] = [Ref(part.name, part.dtype, part.lanes) for part in parts]
    while len(values) > 1:
        half = len(values) // 2
        values = [combine(combiner, values[n], values[n + half]) for n in range(half)]
    return values[0]
