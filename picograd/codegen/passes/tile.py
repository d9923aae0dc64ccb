"""Tile loops around strided reads, so that cache lines are used up before they leave the cache.

In: a nest with a loop marked VECTOR. Out: the loop around it cut into tiles that run inside.
Called by `codegen.pipeline` between `choose_axes` and `vectorise`.

A transposition writes along `j` and reads along `i`: every vector of `j` touches a line for each
lane, and the neighbours in `i` lie in the same lines. So the loops

    for i: for j (vector): y[i*M + j] = x[j*N + i]

become `for tile of i: for j (vector): for i in the tile`.
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.dependence import Body, all_values, stride, trip
from picograd.codegen.loops import For, Function, If, Kind, Load, Statement, statements
from picograd.codegen.target import Target
from picograd.graph.index import Var, constant, of

LINE = 64  # bytes


def tile(function: Function, target: Target) -> Function:
    """Every loop around strided vector reads, in tiles."""
    phases = tuple(replace(phase, body=_body(phase.body)) for phase in function.phases)
    return replace(function, phases=phases)


def _body(body: Body) -> Body:
    return tuple(_statement(statement) for statement in body)


def _statement(statement: Statement) -> Statement:
    match statement:
        case For():
            size = _tile_size(statement)
            if size is not None:
                return _tiled(statement, size)
            return replace(statement, body=_body(statement.body))
        case If():
            return replace(statement, body=_body(statement.body))
        case _:
            return statement


def _tile_size(outer: For) -> int | None:
    """How many iterations share the cache lines of a strided read; None when tiling is no use."""
    count = trip(outer)
    if not outer.independent or len(outer.body) != 1 or not count or outer.carried:
        return None
    inner = outer.body[0]
    if not isinstance(inner, For) or inner.kind is not Kind.VECTOR or not inner.independent:
        return None
    if any(isinstance(statement, For) for statement in statements(inner.body)):
        return None
    for load in all_values(inner.body):
        if not isinstance(load, Load):
            continue
        along = abs(stride(load.index, inner.var) or 0) * load.dtype.itemsize
        across = abs(stride(load.index, outer.var) or 0) * load.dtype.itemsize
        if along >= LINE and 0 < across < LINE // 2 and count >= 2 * (LINE // across):
            return LINE // across
    return None


def _tiled(outer: For, size: int) -> For:
    """The outer loop in tiles, inside the vector loop; the last tile may be shorter."""
    (inner,) = outer.body
    assert isinstance(inner, For)
    count = trip(outer) or 1
    tiles = -(-count // size)
    short = tiles * size - count
    tile_var = Var(f"{outer.var.name}tile", 0, tiles - 1)
    begin = of(tile_var) * size + outer.begin
    end = begin + size
    if short:
        end = end - (of(tile_var) // (tiles - 1)) * short
    points = replace(outer, begin=begin, end=end, body=inner.body)
    return replace(
        outer,
        var=tile_var,
        begin=constant(0),
        end=constant(tiles),
        body=(replace(inner, body=(points,)),),
    )
