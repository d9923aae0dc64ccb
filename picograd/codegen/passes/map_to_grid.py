"""Map independent loops to the blocks and threads of a GPU.

In: a plain nest. Out: the same phases; where a phase is one nest of independent loops, these are a
BLOCK loop around a THREAD loop. Where an iteration of the joined loops is long, several threads
share it (`passes/cooperate.py`); else each has one thread, or a few that are neighbours in memory
have one together, which moves them by 16 bytes. The last block's threads are guarded where it is
not full. Big reductions of few results are cut into blocks before, whose partial results a second
phase combines in order. A phase of several parts, which may depend on each other, stays serial: one
thread runs it. Used by the CUDA backend in place of the CPU's passes.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from picograd.codegen.dependence import dependent_names, memories_read, memories_written
from picograd.codegen.loops import (
    For,
    Function,
    Home,
    If,
    IndexValue,
    Kind,
    Let,
    Memory,
    Phase,
    Statement,
)
from picograd.codegen.passes.cooperate import cooperate
from picograd.codegen.passes.share_scatters import share_scatter
from picograd.codegen.passes.split_reduction import GRID, split_few
from picograd.codegen.replicate import Copy, Replicate
from picograd.codegen.wide import best_width, widened
from picograd.dtypes import int64
from picograd.graph.index import ZERO, Index, Var, constant, delinearize, of
from picograd.graph.mask import Mask

THREADS = 128


def map_to_grid(function: Function) -> Function:
    """Every phase over blocks of threads, where its loops are independent."""
    function = split_few(function, GRID)
    phases: list[Phase] = []
    for phase in (part for whole in function.phases for part in _parts(whole)):
        scattered = share_scatter(function, phase)
        if scattered is not None:
            function, made = scattered
            phases += [one if _is_mapped(one) else _map_phase(one) for one in made]
            continue
        shared = cooperate(function, phase, _independent(phase.body))
        if shared is not None:
            function, phase = shared
        else:
            phase = _map_phase(phase)
        phases.append(phase)
    return _without_idle_memories(replace(function, phases=tuple(phases)))


def _is_mapped(phase: Phase) -> bool:
    (loop,) = phase.body
    return isinstance(loop, For) and loop.kind is Kind.BLOCK


def _parts(phase: Phase) -> list[Phase]:
    """A phase as several: independent loops that it begins with leave nothing but memory."""
    parts: list[Phase] = []
    body = tuple(_from_zero(statement) for statement in phase.body)
    while len(body) > 1 and isinstance(body[0], For) and body[0].independent:
        rows = memories_written(body[:1]) & memories_read(body[1:])
        if body[0].carried or any(memory.home is Home.SCRATCH for memory in rows):
            break
        parts.append(replace(phase, body=body[:1]))
        body = body[1:]
    return [*parts, replace(phase, body=body)]


def _from_zero(statement: Statement) -> Statement:
    """A loop and those within it with constant bounds, where only the beginning varies: a block's
    share of a reduction."""
    if not isinstance(statement, For):
        return statement
    loop = replace(statement, body=tuple(_from_zero(inner) for inner in statement.body))
    span = loop.end - loop.begin
    if loop.begin.is_constant or not span.is_constant or loop.step != 1:
        return loop
    var = Var(f"{loop.var.name}from", 0, span.constant - 1)
    names = dependent_names(loop.body, loop.var, (carried.name for carried in loop.carried))
    names |= {carried.name for carried in loop.carried}
    moved = Replicate(loop.var, names, (Copy(loop.begin + of(var), ""),))
    carried = tuple(one for each in loop.carried for one in moved.carry(each))
    body = moved.body(loop.body)
    return replace(loop, var=var, begin=ZERO, end=span, body=body, carried=carried)


def _without_idle_memories(function: Function) -> Function:
    """The function without the threads' scratch that nobody uses any more."""
    used: set[Memory] = set()
    for phase in function.phases:
        used |= memories_read(phase.body) | memories_written(phase.body)
    kept = tuple(m for m in function.memories if m.home is not Home.SCRATCH or m in used)
    scratch = function.scratch if any(m.home is Home.SCRATCH for m in kept) else 0
    return replace(function, memories=kept, scratch=scratch)


def _independent(body: tuple[Statement, ...]) -> list[For]:
    """The loops of a perfect nest of independent loops, outermost first."""
    loops: list[For] = []
    while len(body) == 1 and isinstance(body[0], For):
        loop = body[0]
        whole = loop.begin.is_constant and loop.end.is_constant and loop.step == 1
        if not (loop.independent and whole) or loop.carried:
            break
        loops.append(loop)
        body = loop.body
    return loops


def _map_phase(phase: Phase) -> Phase:
    loops = _independent(phase.body)
    if not loops:
        return phase
    extents = [loop.end.constant - loop.begin.constant for loop in loops]
    last = loops[-1]
    width = best_width(last.body, last.var)
    if extents[-1] % width and prod(extents[:-1]) > 1:
        width = 1  # rows begin anywhere
    extents[-1] = -(-extents[-1] // width)
    size = prod(extents)
    threads = min(THREADS, max(size, 1))
    blocks = -(-size // threads)
    block = Var("block_number", 0, max(blocks - 1, 0))
    thread = Var("thread_number", 0, threads - 1)
    position = of(block) * threads + of(thread)
    flat = Var("position", 0, max(size - 1, 0))
    inside: list[Statement] = [Let(flat.name, IndexValue(position, int64), flat)]
    places = delinearize(of(flat), extents)
    for loop, place in zip(loops[:-1], places, strict=False):
        value = IndexValue(place + loop.begin, int64)
        inside.append(Let(loop.var.name, value, loop.var))
    body: tuple[Statement, ...] = (*inside, *_last(last, places[-1], width))
    mask = Mask().require(constant(size - 1) - position)
    if not mask.always:
        body = (If(mask, body),)
    inner = For(thread, constant(0), constant(threads), body, kind=Kind.THREAD)
    outer = For(block, constant(0), constant(blocks), (inner,), kind=Kind.BLOCK)
    return replace(phase, body=(outer,))


def _last(loop: For, place: Index, width: int) -> tuple[Statement, ...]:
    """A thread's share of the innermost loop: one iteration, or several neighbours; those that do
    not fill a group are done one by one."""
    if width == 1:
        value = IndexValue(place + loop.begin, int64)
        return (Let(loop.var.name, value, loop.var), *loop.body)
    start = place * width
    wide = widened(loop.body, loop.var, start + loop.begin, width)
    size = loop.end.constant - loop.begin.constant
    if size % width == 0:
        return wide
    whole = size // width * width
    rest = replace(loop, begin=loop.begin + whole)
    return (
        If(Mask().require(constant(size - width) - start), wide),
        If(Mask().require(start - whole), (rest,)),
    )
