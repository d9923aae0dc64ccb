"""Index tensors whose elements are known: a GATHER by positions is a movement like any other.

In: the integer node by which a GATHER reads, and the indices of one of its elements. Out: that
element as an `Index`, where it is a sum of positions and numbers (the windows of a convolution, a
diagonal, a reversed range) and can't leave the axis; None where it depends on data. The schedule
composes such gathers into its accesses, so that windows cost no memory.

>>> from picograd.dtypes import int64
>>> from picograd.graph.index import variable
>>> from picograd.graph.node import make
>>> from picograd.graph.ops import IotaAttr
>>> i = variable("i", 4)
>>> positions = make(Op.IOTA, (), IotaAttr(4, int64), "cpu")
>>> table_index(make(Op.ADD, (positions, positions)), (i,), 7)
i*2
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.graph.index import Index, Var, constant, of
from picograd.graph.movement import source_index
from picograd.graph.node import Node
from picograd.graph.ops import ConstAttr, GatherAttr, Op

STATIC_MOVES = frozenset({Op.RESHAPE, Op.PERMUTE, Op.EXPAND, Op.SLICE, Op.FLIP})
DEPTH = 24  # operations between a table and its positions


def table_index(table: Node, indices: Sequence[Index], extent: int) -> Index | None:
    """Element `indices` of a table as an index below `extent`, or None."""
    found = _index(table, tuple(indices), DEPTH)
    if found is None:
        return None
    low, high = found.bounds()
    return found if low >= 0 and high < extent else None


def table_bounds(table: Node) -> tuple[int, int] | None:
    """The least and the greatest element of a table, or None where it depends on data."""
    where = [of(Var(f"t{n}", 0, extent - 1)) for n, extent in enumerate(table.shape)]
    found = _index(table, tuple(where), DEPTH) if table.size else None
    return None if found is None else found.bounds()


def is_static(gather: Node) -> bool:
    """True for a GATHER that reads at positions that do not depend on data."""
    attr = gather.attr
    if gather.op is not Op.GATHER or not isinstance(attr, GatherAttr):
        return False
    source, tables = gather.srcs[0], gather.srcs[1:]
    for axis, table in zip(attr.axes, tables, strict=True):
        low, high = table_bounds(table) or (-1, 0)
        if low < 0 or high >= source.shape[axis]:
            return False
    return gather.size > 0


def gathered(gather: Node, indices: Sequence[Index]) -> tuple[Index, ...]:
    """Which element of its source a static GATHER (see `is_static`) reads."""
    attr = gather.attr
    assert isinstance(attr, GatherAttr)
    source, tables = gather.srcs[0], gather.srcs[1:]
    rank = len(tables[0].shape)
    chosen, rest = dict(zip(attr.axes, tables, strict=True)), iter(indices[rank:])
    found: list[Index] = []
    for axis, extent in enumerate(source.shape):
        table = chosen.get(axis)
        index = next(rest) if table is None else table_index(table, indices[:rank], extent)
        if index is None:
            raise ValueError("the gather depends on data")
        found.append(index)
    return tuple(found)


def _index(node: Node, indices: tuple[Index, ...], depth: int) -> Index | None:
    """An integer node's element; every step stays inside its dtype, so nothing wraps around."""
    if depth == 0 or not node.dtype.is_integer:
        return None
    found = _step(node, indices, depth - 1)
    if found is None:
        return None
    low, high = found.bounds()
    return found if low >= node.dtype.lowest and high <= node.dtype.highest else None


def _step(node: Node, indices: tuple[Index, ...], depth: int) -> Index | None:
    op, attr = node.op, node.attr
    if op is Op.IOTA:
        return indices[0]
    if op is Op.CONST:
        assert isinstance(attr, ConstAttr)
        return constant(int(attr.value.real))
    if op in STATIC_MOVES:
        return _index(node.srcs[0], source_index(node, indices)[0], depth)
    if op is Op.CAST:
        return _index(node.srcs[0], indices, depth)
    if op not in (Op.ADD, Op.SUB, Op.MUL, Op.NEG):
        return None
    parts = [_index(src, indices, depth) for src in node.srcs]
    if any(part is None for part in parts):
        return None
    first, *rest = (part for part in parts if part is not None)
    if op is Op.NEG:
        return -first
    (second,) = rest
    if op is Op.ADD:
        return first + second
    if op is Op.SUB:
        return first - second
    if not first.is_constant:
        first, second = second, first
    return second * first.constant if first.is_constant else None
