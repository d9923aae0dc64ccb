"""PAD, SLICE, FLIP, UPDATE and CONCAT over capacities: shifts by amounts known at run time.

In and out: as in `rules`. A shift is a slice, whose start may be a run-time value, of a source
that is padded far enough for every start; what it uncovers is masked.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from picograd.graph import index
from picograd.graph.elastic.build import State
from picograd.graph.elastic.layout import (
    Dim,
    Elastic,
    Unsupported,
    adopt,
    conjunction,
    filled,
    physical,
    settle,
    single,
)
from picograd.graph.elastic.sizes import Extent, Symbol, room
from picograd.graph.index import Index
from picograd.graph.node import Node, convert, make
from picograd.graph.ops import AxesAttr, ConcatAttr, ConstAttr, Op, PadAttr, Shape, SliceAttr

Extents = tuple[Extent, ...]


@dataclass(slots=True)
class Window:
    """A padded source and a slice of it, axis by axis; everything is left alone at first."""

    shape: Shape
    before: list[int] = field(init=False)
    after: list[int] = field(init=False)
    starts: list[Index] = field(init=False)
    sizes: list[int] = field(init=False)
    steps: list[int] = field(init=False)

    def __post_init__(self) -> None:
        rank = len(self.shape)
        self.before, self.after = [0] * rank, [0] * rank
        self.starts, self.sizes, self.steps = [index.ZERO] * rank, list(self.shape), [1] * rank

    def move(self, axis: int, start: Index, size: int, step: int = 1, before: int = 0) -> None:
        """Take `size` elements from `start` on, of an axis with `before` more in front."""
        extent = self.shape[axis] + before
        last = start.bounds()[1] + (max(size, 1) - 1) * step + 1
        self.before[axis], self.after[axis] = before, max(0, last - extent)
        self.starts[axis], self.sizes[axis], self.steps[axis] = start, size, step

    def of(self, node: Node) -> Node:
        if any(self.before) or any(self.after):
            zero = ConstAttr(convert(0, node.dtype), node.dtype)
            node = make(Op.PAD, (node,), PadAttr(tuple(self.before), tuple(self.after), zero))
        moved = any(start != index.ZERO for start in self.starts)
        if moved or tuple(self.sizes) != node.shape or any(step != 1 for step in self.steps):
            attr = SliceAttr(tuple(self.starts), tuple(self.sizes), tuple(self.steps))
            node = make(Op.SLICE, (node,), attr)
        return node


def slice_(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    attr, (x,) = node.attr, srcs
    assert isinstance(attr, SliceAttr)
    whole = _whole(state.extents[id(node.srcs[0])], shape, attr.steps)
    x = settle(x, [dim for dim, same in enumerate(whole) if not same])
    window = Window(x.node.shape)
    dims: list[Dim] = []
    for dim, size in enumerate(shape):
        if whole[dim]:
            dims.append(x.dims[dim])
            continue
        extent, step = single(x.dims, dim), attr.steps[dim]
        (axis,) = x.axes(dim)
        least = size if isinstance(size, int) else 1
        high = room(extent) - (max(least, 1) - 1) * step - 1
        window.move(axis, state.start(cell + dim, high), room(size), step)
        dims.append((size,))
    return Elastic(window.of(x.node), tuple(dims))


def _whole(have: Extents, sizes: Extents, steps: tuple[int, ...]) -> list[bool]:
    """Which dims of a varying extent are taken as they are (the start can only be 0)."""
    return [
        isinstance(size, Symbol) and extent == size and step == 1
        for extent, size, step in zip(have, sizes, steps, strict=True)
    ]


def flip(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    attr = node.attr
    assert isinstance(attr, AxesAttr)
    x = settle(srcs[0], attr.axes)
    axes = tuple(sorted(x.axes(dim)[0] for dim in attr.axes))
    window = Window(x.node.shape)
    for dim in attr.axes:
        extent = single(x.dims, dim)
        if isinstance(extent, Symbol):  # what is held now stands at the end
            start = state.complement(extent.capacity, extent)
            window.move(x.axes(dim)[0], start, extent.capacity)
    return Elastic(window.of(make(Op.FLIP, (x.node,), AxesAttr(axes))), x.dims)


def pad(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    attr = node.attr
    assert isinstance(attr, PadAttr)
    rank = len(shape)
    before, after = extra[:rank], extra[rank:]
    moved = [dim for dim in range(rank) if (before[dim], after[dim]) != (0, 0)]
    x = settle(srcs[0], moved)
    window = Window(x.node.shape)
    dims = list(x.dims)
    for dim in moved:
        single(x.dims, dim)
        (axis,), size, front = x.axes(dim), room(shape[dim]), before[dim]
        dims[dim] = (shape[dim],)
        if isinstance(front, int):
            window.move(axis, index.ZERO, size, before=front)
        else:
            start = state.complement(front.capacity, front)
            window.move(axis, start, size, before=front.capacity)
    layout = tuple(dims)
    target = physical(layout)
    inside = conjunction(
        [
            state.within(
                target,
                x.axes(dim)[0],
                None if before[dim] == 0 else state.number(before[dim]),
                single(x.dims, dim),
            )
            for dim in moved
        ]
    )
    value = window.of(x.node)
    if inside is not None:
        fill = make(Op.CONST, (), attr.value, state.device)
        value = make(Op.WHERE, (inside, value, filled(fill, target)))
    return Elastic(value, layout)


def update(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    assert isinstance(node.attr, SliceAttr)
    return _written(state, settle(srcs[0]), srcs[1], node.attr.steps, (shape, extra), cell)


def concat(
    state: State, node: Node, srcs: list[Elastic], shape: Extents, extra: Extents, cell: int
) -> Elastic:
    """Updates of zeros, each part's start in a cell."""
    attr = node.attr
    assert isinstance(attr, ConcatAttr)
    dims = tuple((extent,) for extent in shape)
    zero = ConstAttr(convert(0, node.dtype), node.dtype)
    nothing = make(Op.CONST, (), zero, state.device)
    result, steps = Elastic(filled(nothing, physical(dims)), dims), (1,) * len(shape)
    for number, (part, source) in enumerate(zip(srcs, node.srcs, strict=True)):
        extents = shape, state.extents[id(source)]
        result = _written(state, result, part, steps, extents, cell + number - attr.axis)
    return result


def _written(
    state: State,
    base: Elastic,
    value: Elastic,
    steps: tuple[int, ...],
    extents: tuple[Extents, Extents],
    cell: int,
) -> Elastic:
    """The value in a window of the base; `extents` are the user's, of both. The window's start
    along axis n is in cell n from `cell` on."""
    shape, extra = extents
    whole = _whole(shape, extra, steps)
    kinds = [
        "whole" if whole[dim] else _kind(base.dims[dim], size, steps[dim])
        for dim, size in enumerate(extra)
    ]
    wanted: list[Dim] = [
        base.dims[dim] if kinds[dim] == "whole" else (extra[dim],) for dim in range(len(extra))
    ]
    value = adopt(value, tuple(wanted))
    window = Window(base.node.shape)
    for dim, kind in enumerate(kinds):
        if kind == "fixed":
            extent, size, step = single(base.dims, dim), extra[dim], steps[dim]
            assert isinstance(extent, int) and isinstance(size, int)
            high = extent - (max(size, 1) - 1) * step - 1
            window.move(base.axes(dim)[0], state.start(cell + dim, high), size, step)
    blended = [dim for dim, kind in enumerate(kinds) if kind == "blended"]
    written = value.node
    if blended:
        written = _blend(state, base, value, blended, window.of(base.node), cell)
    starts = SliceAttr(tuple(window.starts), tuple(window.sizes), tuple(window.steps))
    return Elastic(make(Op.UPDATE, (base.node, written), starts), base.dims)


def _kind(dim: Dim, size: Extent, step: int) -> str:
    """How an UPDATE writes into part of an axis: a `fixed` window, or one to be `blended` in."""
    if isinstance(size, int) and isinstance(dim, tuple) and isinstance(dim[0], int):
        return "fixed"
    if step != 1:
        raise Unsupported("a strided write of varying size")
    return "blended"


def _blend(
    state: State, base: Elastic, value: Elastic, dims: list[int], old: Node, cell: int
) -> Node:
    """The old elements along whole axes, with the value in its window of them."""
    window = Window(value.node.shape)
    for dim in dims:
        reach = room(single(base.dims, dim))
        start = state.complement(reach, cell + dim, is_cell=True)
        window.move(value.axes(dim)[0], start, reach, before=reach)
    moved = window.of(value.node)
    inside = conjunction(
        [
            state.within(
                moved.shape, base.axes(dim)[0], state.cell(cell + dim), single(value.dims, dim)
            )
            for dim in dims
        ]
    )
    assert inside is not None
    return make(Op.WHERE, (inside, moved, old))
