"""Tile loops around strided reads, so that cache lines are used up before they leave the cache.

In: a nest with a loop marked VECTOR. Out: the loop around it cut into tiles that run inside.
Called by `codegen.pipeline` between `choose_axes` and `vectorise`.

A transposition writes along `j` and reads along `i`: every vector of `j` touches a line for each
lane, and the neighbours in `i` lie in the same lines. So the loop over `i` goes, tile by tile,
inside the loop over `j`, where `passes.transpose_blocks` can turn its reads in registers:

>>> from picograd.codegen import show
>>> from picograd.codegen.loops import Home, Memory, Store
>>> from picograd.dtypes import float64
>>> x, y = (Memory(name, float64, 512, Home.ARGUMENT) for name in "xy")
>>> i, j = Var("i", 0, 15), Var("j", 0, 31)
>>> move = Store(y, of(i) * 32 + of(j), Load(x, of(j) * 16 + of(i)))
>>> inner = For(j, constant(0), constant(32), (move,), kind=Kind.VECTOR, independent=True)
>>> outer = For(i, constant(0), constant(16), (inner,), independent=True)
>>> print("\\n".join(show.lines((_statement(outer),), 0)))
for itile in 0 .. 2 independent
  for j in 0 .. 32 vector independent
    for i in itile*8 .. itile*8 + 8 independent
      y[i*32 + j] = x[i + j*16]
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.dependence import Body, all_values, stride, trip
from picograd.codegen.loops import For, Function, If, Kind, Load, Statement, statements
from picograd.codegen.target import Target
from picograd.graph.index import Var, constant, of

LINE = 64  # bytes
# Neighbouring lines of a tile: the hardware fetches them ahead, and a page is looked up once for
# all of them (4096 x 1024 float32: 2.8 ms with one line, 1.7 with four).
LINES = 4


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
        size = LINE // max(across, 1)
        if along >= LINE and 0 < across < LINE // 2 and count >= 2 * size:
            return size * min(LINES, count // (2 * size))
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
