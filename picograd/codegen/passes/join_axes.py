"""Join a short inner loop with the loop around it, so that its elements fill whole vectors.

In: a plain nest. Out: the same nest, where what is written lies side by side across both loops,
with one loop in place of two. Called by `codegen.pipeline` before `choose_axes`.

The gradient of a 2 x 2 pooling writes two elements for each that it reads: no loop of two fills a
vector, and neighbours of the loop around are two apart. Joined, a vector of 16 takes 8 elements,
each for two of its lanes: one load and one shuffle. Extents that divide a vector only: then the
quotient and the remainder of a lane do not depend on the vector's number.

>>> from picograd.codegen import show
>>> from picograd.codegen.loops import Home, Memory
>>> from picograd.codegen.target import AVX2
>>> from picograd.dtypes import float32
>>> x, y = (Memory(name, float32, 64, Home.ARGUMENT) for name in "xy")
>>> i, j = Var("i", 0, 31), Var("j", 0, 1)
>>> inner = For(j, constant(0), constant(2), (Store(y, of(i) * 2 + of(j), Load(x, of(i))),))
>>> inner = replace(inner, independent=True)
>>> outer = For(i, constant(0), constant(32), (inner,), independent=True)
>>> print("\\n".join(show.lines((_statement(outer, AVX2),), 0)))
for i.j in 0 .. 64 independent
  y[i.j] = x[(i.j // 2)]
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.dependence import PATTERN, Body, all_values, dependent_names, trip, window
from picograd.codegen.loops import For, Function, If, Let, Load, Random, Statement, Store
from picograd.codegen.passes.vectorise import lanes_of
from picograd.codegen.replicate import Copy, Replicate
from picograd.codegen.target import Target
from picograd.graph.index import Index, Var, constant, of


def join_axes(function: Function, target: Target) -> Function:
    """The function with its short inner loops joined."""
    if target.vector_bytes < 8:
        return function
    phases = tuple(replace(phase, body=_body(phase.body, target)) for phase in function.phases)
    return replace(function, phases=phases)


def _body(body: Body, target: Target) -> Body:
    return tuple(_statement(statement, target) for statement in body)


def _statement(statement: Statement, target: Target) -> Statement:
    match statement:
        case For():
            joined = _joined(statement, target)
            return joined or replace(statement, body=_body(statement.body, target))
        case If():
            return replace(statement, body=_body(statement.body, target))
        case _:
            return statement


def _joined(outer: For, target: Target) -> For | None:
    """Two loops as one, where that makes vectors; else None."""
    if len(outer.body) != 1 or not isinstance(inner := outer.body[0], For):
        return None
    if not (_is_plain(outer) and _is_plain(inner)):
        return None
    count, around = trip(inner) or 1, trip(outer) or 1
    if count < 2 or not all(_is_simple(statement, inner, outer) for statement in inner.body):
        return None
    high = count * around - 1
    var = Var(f"{outer.var.name}.{inner.var.name}", 0, high)
    body = inner.body
    for old, index in ((inner.var, of(var) % count), (outer.var, of(var) // count)):
        body = _substituted(body, old, index)
    made = replace(outer, var=var, end=constant(high + 1), body=body)
    lanes = lanes_of(made, target, high + 1)
    if lanes % count or lanes == count or around * count < 2 * lanes:
        return None
    return made if _fits(made, lanes) else None


def _is_plain(loop: For) -> bool:
    begins = loop.begin.is_constant and loop.begin.constant == 0
    return begins and loop.independent and not loop.carried and loop.step == 1


def _is_simple(statement: Statement, inner: For, outer: For) -> bool:
    """Whether a statement can be in lanes, and writes side by side across both loops."""
    if isinstance(statement, Let):
        return statement.var is None
    if not isinstance(statement, Store) or statement.memory.dtype.is_complex:
        return False
    index = statement.index
    affine = index.is_affine_in(inner.var) and index.is_affine_in(outer.var)
    steps = index.coefficient(inner.var), index.coefficient(outer.var)
    return affine and steps == (1, trip(inner))


def _substituted(body: Body, var: Var, index: Index) -> Body:
    return Replicate(var, dependent_names(body, var), (Copy(index, ""),)).body(body)


def _fits(loop: For, lanes: int) -> bool:
    """Whether a vector's elements come from few neighbouring ones of each memory."""
    for value in all_values(loop.body):
        if isinstance(value, Random) or value.dtype.is_complex:
            return False
        if isinstance(value, Load) and loop.var in value.mask.atoms():
            return False
        if isinstance(value, Load) and loop.var in value.index.atoms():
            span = window(value.index, loop.var, lanes)
            if span is None or span > PATTERN * lanes:
                return False
    return True
