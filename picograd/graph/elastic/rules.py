"""What becomes of each op over capacities: one small rule per op.

In: the walk's state, the user's node, its sources in their layouts, the result's extents, the
extents in its attribute, its first cell. Out: the result in its layout. Elements beyond a size are
garbage after an elementwise op; whoever combines elements of an axis puts something harmless
there first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from picograd.graph.canonical import unbounded
from picograd.graph.elastic.agree import align, bring
from picograd.graph.elastic.build import State
from picograd.graph.elastic.layout import (
    Dim,
    Dims,
    Elastic,
    Spread,
    Unsupported,
    expand,
    filled,
    physical,
    select,
    settle,
    single,
    size,
    varies,
)
from picograd.graph.elastic.movement import concat, flip, pad, slice_, update
from picograd.graph.elastic.reshape import regroup
from picograd.graph.elastic.sizes import Extent, Symbol
from picograd.graph.meaning_structure import identity
from picograd.graph.node import Node, convert, make
from picograd.graph.ops import (
    ELEMENTWISE,
    AxesAttr,
    CastAttr,
    Combiner,
    ConstAttr,
    GatherAttr,
    IotaAttr,
    Op,
    PadAttr,
    RandomAttr,
    ReduceAttr,
    ScanAttr,
    ScatterReduceAttr,
)
from picograd.graph.tables import is_static, table_bounds

Extents = tuple[Extent, ...]
Rule = Callable[[State, Node, list[Elastic], Extents, Extents, int], Elastic]


def _elementwise(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    aligned = align(state, srcs)
    fresh = make(node.op, tuple(src.node for src in aligned), node.attr)
    return Elastic(fresh, aligned[0].dims)


# --- leaves ---------------------------------------------------------------------------------------


def _iota(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    dims: Dims = ((shape[0],),)
    fresh = make(Op.IOTA, (), IotaAttr(physical(dims)[0], node.dtype), node.device)
    return Elastic(fresh, dims)


def _random(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    # An element's number is its row-major position: that stays only if the first axis varies.
    wide = [extent for extent in shape if extent != 1]
    if any(isinstance(extent, Symbol) for extent in wide[1:]):
        raise Unsupported("random numbers along a varying inner axis")
    dims: Dims = tuple((extent,) for extent in shape)
    assert isinstance(node.attr, RandomAttr)
    attr = RandomAttr(physical(dims), node.attr.word, unbounded(cell), unbounded(cell + 1))
    return Elastic(make(Op.RANDOM, (), attr, node.device), dims)


# --- reduce ---------------------------------------------------------------------------------------


def _reduce(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    attr = node.attr
    assert isinstance(attr, ReduceAttr)
    x = settle(srcs[0], attr.axes)
    held = state.held(x.dims, attr.axes)
    source = x.node
    if held is not None:
        source = _neutral(source, held, attr.combiner, x, attr.axes)
    axes = tuple(axis for dim in attr.axes for axis in x.axes(dim))
    dims = tuple(dim for number, dim in enumerate(x.dims) if number not in attr.axes)
    return Elastic(make(Op.REDUCE, (source,), replace(attr, axes=axes)), dims)


def _neutral(
    source: Node, held: Node, combiner: Combiner, x: Elastic, dims: tuple[int, ...]
) -> Node:
    """The source with the combiner's identity where nothing is held.

    A product whose factors both vary along the axes is a contraction: there each factor is masked,
    so that the sum keeps its form (both, because garbage may be infinite or NaN).
    """
    fill = identity(combiner, source.dtype)
    axes = [
        axis
        for dim in dims
        for axis, factor in zip(x.axes(dim), x.dims[dim], strict=True)  # pyright: ignore
        if isinstance(factor, Symbol)
    ]
    if combiner is Combiner.SUM and source.op is Op.MUL and source.dtype.is_float:
        left, right = source.srcs
        if all(_depends(factor, axis) for factor in (left, right) for axis in axes):
            return make(Op.MUL, (select(held, left, fill), select(held, right, fill)))
    return select(held, source, fill)


def _depends(node: Node, axis: int) -> bool:
    """False if the node surely repeats along an axis."""
    while True:
        if node.op is Op.EXPAND:
            if node.srcs[0].shape[axis] != node.shape[axis]:
                return False
        elif node.op is Op.PERMUTE:
            assert isinstance(node.attr, AxesAttr)
            axis = node.attr.axes[axis]
        elif node.op not in (Op.CAST, Op.NEG):
            return True
        node = node.srcs[0]


def _scan(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    assert isinstance(node.attr, ScanAttr)
    x = settle(srcs[0], (node.attr.axis,))
    single(x.dims, node.attr.axis)
    (axis,) = x.axes(node.attr.axis)
    return Elastic(make(Op.SCAN, (x.node,), ScanAttr(node.attr.combiner, axis)), x.dims)


# --- movement -------------------------------------------------------------------------------------


def _reshape(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    return regroup(state, srcs[0], shape)


def _permute(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    assert isinstance(node.attr, AxesAttr)
    (x,) = srcs
    axes = tuple(axis for dim in node.attr.axes for axis in x.axes(dim))
    dims = tuple(x.dims[dim] for dim in node.attr.axes)
    return Elastic(make(Op.PERMUTE, (x.node,), AxesAttr(axes)), dims)


def _expand(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    (x,) = srcs
    dims: list[Dim] = []
    for have, own, extent in zip(x.dims, state.extents[id(node.srcs[0])], shape, strict=True):
        if own == extent:
            dims.append(have)
        elif own == 1:
            dims.append(Spread(extent) if isinstance(extent, Symbol) else (extent,))
        else:  # 1 in this graph, but not in every one of its kind
            raise Unsupported("an axis that is repeated at some sizes only")
    return Elastic(expand(x.node, physical(dims)), tuple(dims))


# --- movement by index ----------------------------------------------------------------------------


def _indices(
    state: State, base: Elastic, indices: list[Elastic], axes: tuple[int, ...], checked: bool
) -> tuple[tuple[int, ...], list[Node], Dims]:
    """The axes of the base's node that are indexed, the index of each, and their layout.

    Every index is a true position, or garbage. One that lies beyond a varying size becomes one
    beyond its capacity, which is the error it should be.
    """
    aligned = [settle(value) for value in align(state, indices)]
    dims = aligned[0].dims
    nodes: list[Node] = []
    for value, dim in zip(aligned, axes, strict=True):
        factors = base.dims[dim]
        assert isinstance(factors, tuple)
        node = value.node
        if any(isinstance(factor, Symbol) for factor in factors) and not checked:
            node = _refuse(state, node, factors)
        nodes.extend(_per_axis(state, node, factors))
    return tuple(axis for dim in axes for axis in base.axes(dim)), nodes, dims


def _with_room(base: Node, axes: tuple[int, ...], indices: list[Node]) -> Node | None:
    """The base of a gather at known positions (windows), long enough for the positions of garbage
    too: then nothing must be selected, and the gather stays a movement. None for other gathers."""
    room = [0] * len(base.shape)
    for axis, index in zip(axes, indices, strict=True):
        low, high = table_bounds(index) or (-1, 0)
        room[axis] = max(0, high + 1 - base.shape[axis])
        if low < 0 or room[axis] > base.shape[axis]:
            return None
    if not any(room):
        return base
    filler = ConstAttr(convert(0, base.dtype), base.dtype)
    return make(Op.PAD, (base,), PadAttr((0,) * len(room), tuple(room), filler))


def _number_like(state: State, extent: Extent, node: Node) -> Node:
    number = filled(state.number(extent), node.shape)
    if node.dtype is number.dtype:
        return number
    return make(Op.CAST, (number,), CastAttr(node.dtype))


def _refuse(state: State, index: Node, factors: tuple[Extent, ...]) -> Node:
    """The index, or one that is surely outside where it is not less than the size."""
    limit = _number_like(state, factors[0], index)
    for factor in factors[1:]:
        limit = make(Op.MUL, (limit, _number_like(state, factor, index)))
    room = min(size(factors), int(index.dtype.highest))
    return select(make(Op.LT, (index, limit)), index, room)


def _per_axis(state: State, index: Node, factors: tuple[Extent, ...]) -> list[Node]:
    """An index into merged axes as one index for each of them."""
    parts: list[Node] = []
    for factor in reversed(factors[1:]):
        extent = _number_like(state, factor, index)
        parts.append(make(Op.MOD, (index, extent)))
        index = make(Op.FLOORDIV, (index, extent))
    return [index, *reversed(parts)]


def _gather(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    attr = node.attr
    assert isinstance(attr, GatherAttr)
    x = settle(srcs[0], attr.axes)
    axes, indices, dims = _indices(state, x, srcs[1:], attr.axes, attr.checked)
    rest = tuple(dim for number, dim in enumerate(x.dims) if number not in attr.axes)
    source = _with_room(x.node, axes, indices) if attr.checked else None
    if source is None:
        if node.size > node.srcs[0].size and is_static(node):
            raise Unsupported("windows at positions that are data")
        held = state.held(dims)
        source, indices = x.node, [select(held, index, 0) for index in indices]
    fresh = make(Op.GATHER, (source, *indices), GatherAttr(axes, attr.checked))
    return Elastic(fresh, dims + rest)


def _scatter(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    attr = node.attr
    assert isinstance(attr, GatherAttr | ScatterReduceAttr)
    base = settle(srcs[0])
    axes, indices, dims = _indices(state, base, srcs[2:], attr.axes, attr.checked)
    inside = state.held(dims)
    indices = [select(inside, index, 0) for index in indices]
    rest = tuple(dim for number, dim in enumerate(base.dims) if number not in attr.axes)
    value = bring(state, srcs[1], dims + rest)
    written = value.node
    if isinstance(attr, GatherAttr):
        if varies(dims):
            raise Unsupported("a scatter of varying length")
        fresh = GatherAttr(axes, attr.checked)
    else:
        held = state.held(value.dims, range(len(dims)))
        written = select(held, written, identity(attr.combiner, written.dtype))
        fresh = ScatterReduceAttr(axes, attr.checked, attr.combiner)
    return Elastic(make(node.op, (base.node, written, *indices), fresh), base.dims)


RULES: dict[Op, Rule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    Op.IOTA: _iota,
    Op.RANDOM: _random,
    Op.REDUCE: _reduce,
    Op.SCAN: _scan,
    Op.RESHAPE: _reshape,
    Op.PERMUTE: _permute,
    Op.EXPAND: _expand,
    Op.PAD: pad,
    Op.SLICE: slice_,
    Op.FLIP: flip,
    Op.UPDATE: update,
    Op.CONCAT: concat,
    Op.GATHER: _gather,
    Op.SCATTER: _scatter,
    Op.SCATTER_REDUCE: _scatter,
}
