"""Read across memory in square blocks that are transposed in registers.

In: loops over vectors. Out: where a loop moves along memory and the lanes of what it reads move
across it, as many iterations as there are lanes are done together. Called by `codegen.pipeline`
between `vectorise` and `unroll`.

`passes.tile` left a transposition as

    for j (vectors): for i in a tile: y[i*M + j*16 + lane] = x[(j*16 + lane)*N + i]

where every vector of x gathers one element from each of 16 cache lines. The 16 vectors of 16
neighbouring i need the same lines: they are 16 vectors along memory, turned by 64 shuffles. Each
line is touched once, so that it does not matter whether all of them fall into the same few sets of
the cache, as they do where N is a power of two (2048 x 2048 float32: 6.6 ms with gathers, 1.6
with blocks).

>>> from picograd.codegen import show
>>> from picograd.codegen.loops import Home, Memory
>>> from picograd.dtypes import float32
>>> x, y = (Memory(name, float32, 4, Home.ARGUMENT) for name in "xy")
>>> i, lane = Var("i", 0, 1), of(Var("lane", 0, 1, 2))
>>> body = (Store(y, of(i) * 2 + lane, Load(x, lane * 2 + of(i), 2)),)
>>> loop = For(i, constant(0), constant(2), body, independent=True)
>>> print("\\n".join(show.lines(_loop(loop), 0)))
i.0.row0 = x[lane]<2>
i.0.row1 = x[lane + 2]<2>
i.0.mix0_0 = shuffle(i.0.row0, i.0.row1, 0 2)
i.0.mix0_1 = shuffle(i.0.row0, i.0.row1, 1 3)
y[lane] = i.0.mix0_0
y[lane + 2] = i.0.mix0_1
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.contraction.transpose import transpose
from picograd.codegen.dependence import (
    Body,
    all_values,
    dependent_names,
    memories_written,
    operations,
    stride,
)
from picograd.codegen.loops import (
    For,
    Function,
    If,
    Let,
    Load,
    Ref,
    Statement,
    Store,
    Value,
)
from picograd.codegen.replicate import Copy, Replicate
from picograd.codegen.target import Target
from picograd.graph.index import Index, Mask, Var, constant, of

MOST_LANES = 16  # blocks of 32 or 64 lanes of small integers would be hundreds of shuffles
MOST_WEIGHT = 12.0  # operations of a body, of which a block holds one copy for each lane


def transpose_reads(function: Function, target: Target) -> Function:
    """All loops along memory around reads across it, in blocks."""
    phases = tuple(replace(phase, body=_body(phase.body)) for phase in function.phases)
    return replace(function, phases=phases)


def _body(body: Body) -> Body:
    made: list[Statement] = []
    for statement in body:
        match statement:
            case For():
                made.extend(_loop(statement))
            case If():
                made.append(replace(statement, body=_body(statement.body)))
            case _:
                made.append(statement)
    return tuple(made)


def _loop(loop: For) -> Body:
    reads = _reads(loop)
    if not reads:
        return (replace(loop, body=_body(loop.body)),)
    lanes = reads[0].lanes
    span = loop.end - loop.begin
    blocks = span.bounds()[1] // lanes
    if not blocks:
        return (loop,)
    number = Var(f"{loop.var.name}block", 0, blocks - 1)
    block = of(number) if blocks > 1 else constant(0)
    made = _block(loop, reads, loop.begin + block * lanes)
    if not span.is_constant:  # the last tile may be shorter
        made = (If(Mask().require(span - (block + 1) * lanes), made),)
    if blocks > 1:
        made = (For(number, constant(0), constant(blocks), made, independent=True),)
    if all(part % lanes == 0 for part in (span.constant, *(f for _, f in span.terms))):
        return made
    return (*made, replace(loop, begin=loop.begin + span // lanes * lanes))


def _reads(loop: For) -> list[Load]:
    """The reads of a loop that may be transposed: all of one number of lanes, or none."""
    simple = all(isinstance(s, Store) or (isinstance(s, Let) and s.var is None) for s in loop.body)
    if not simple or not loop.independent or loop.carried or loop.step != 1:
        return []
    written = memories_written(loop.body)
    values = list(all_values(loop.body))
    if operations(loop.body) > MOST_WEIGHT:
        return []
    reads = [
        value
        for value in values
        if isinstance(value, Load) and value.memory not in written and _is_across(value, loop.var)
    ]
    return reads if len({read.lanes for read in reads}) == 1 else []


def _is_across(load: Load, var: Var) -> bool:
    """Whether a read's lanes are far from one another, and the variable's steps are not."""
    if not 1 < load.lanes <= MOST_LANES or not load.mask.always or stride(load.index, var) != 1:
        return False
    return stride(load.index, _lane(load)) not in (None, -1, 0, 1)


def _lane(load: Load) -> Var:
    return next(a for a in load.index.atoms() if isinstance(a, Var) and a.lanes == load.lanes)


def _block(loop: For, reads: list[Load], begin: Index) -> Body:
    """As many iterations as lanes, from `begin`: rows, shuffles, and a copy of the body for each
    column."""
    made: list[Statement] = []
    columns: dict[Load, list[Ref]] = {}
    for read in reads:
        if read in columns:
            continue
        stem, lane = f"{loop.var.name}.{len(columns)}", _lane(read)
        rows: list[Ref] = []
        for number in range(read.lanes):
            along = read.index.substitute({lane: constant(number)})
            along = along.substitute({loop.var: begin + of(lane)})
            rows.append(Ref(f"{stem}.row{number}", read.dtype, read.lanes))
            made.append(Let(rows[-1].name, Load(read.memory, along, read.lanes)))
        mixed, columns[read] = transpose(rows, f"{stem}.mix")
        made.extend(mixed)
    names = dependent_names(loop.body, loop.var)
    copies = tuple(Copy(begin + n, f".{n}") for n in range(reads[0].lanes))
    return (*made, *_Columns(loop.var, names, copies, columns).body(loop.body))


class _Columns(Replicate):
    """Copies whose reads across memory are columns of the block."""

    def __init__(
        self,
        var: Var,
        names: set[str],
        copies: tuple[Copy, ...],
        columns: dict[Load, list[Ref]],
    ) -> None:
        super().__init__(var, names, copies)
        self.columns = columns

    def load(self, load: Load, copy: Copy) -> Value:
        if load in self.columns:
            return self.columns[load][self.copies.index(copy)]
        return super().load(load, copy)
