"""Movement ops as index maps: `y[i] = x[g(i)]` where a mask holds.

In: a movement node and the indices of one of its elements. Out: the indices of the source element
that it equals, and the `Mask` under which it does (padding, the window of an update). The schedule
composes these maps, so a chain of views costs no memory; codegen sees only their simplified form.

GATHER and SCATTER depend on data: their maps stand in the schedule.

>>> from picograd.dtypes import float32
>>> from picograd.graph.index import variable
>>> from picograd.graph.node import make
>>> from picograd.graph.ops import LeafAttr, Op, ShapeAttr
>>> x = make(Op.BUFFER, (), LeafAttr(0, (4, 6), float32), "cpu")
>>> i, j, k = variable("i", 4), variable("j", 2), variable("k", 3)
>>> source_index(make(Op.RESHAPE, (x,), ShapeAttr((4, 2, 3))), (i, j, k))
((i, j*3 + k), Mask(constraints=()))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from picograd.graph.index import ZERO, Index, constant, delinearize, linearize
from picograd.graph.mask import Mask
from picograd.graph.node import Node
from picograd.graph.ops import AxesAttr, Op, PadAttr, Shape, SliceAttr

Indices = tuple[Index, ...]


def source_index(node: Node, indices: Sequence[Index]) -> tuple[Indices, Mask]:
    """Where element `indices` of a static movement op comes from (not GATHER, UPDATE, SCATTER)."""
    rule = _MAPS.get(node.op)
    if rule is None:
        raise TypeError(f"{node.op.name.lower()} is no static map from its result to one source")
    return rule(node, tuple(indices))


def update_index(node: Node, indices: Sequence[Index]) -> tuple[Indices, Mask]:
    """Which element of an UPDATE's value is element `indices` of its result.

    Where the mask fails, the element is the base's.
    """
    attr = node.attr
    assert isinstance(attr, SliceAttr)
    mask, position = Mask(), []
    windows = zip(indices, attr.starts, attr.sizes, attr.steps, strict=True)
    for axis, (index, start, size, step) in enumerate(windows):
        if size == node.shape[axis] and step == 1:  # the whole axis: the start can only be 0
            position.append(index)
            continue
        offset = index - start
        mask = mask.require(offset).require((size - 1) * step - offset)
        if step > 1:
            mask = mask.require(-(offset % step))
        position.append(ZERO if size == 1 else offset // step)
    return tuple(position), mask


def window_index(node: Node, indices: Sequence[Index]) -> Indices:
    """Where element `indices` of an UPDATE's value (of a SLICE's result) stands in the base."""
    attr = node.attr
    assert isinstance(attr, SliceAttr)
    windows = zip(indices, attr.starts, attr.steps, strict=True)
    return tuple(index * step + start for index, start, step in windows)


def reshape_index(indices: Sequence[Index], shape: Shape, source: Shape) -> Indices:
    """The indices into `source` of an element of a tensor reshaped to `shape`.

    Axes are matched in the smallest groups of equal size, so that an axis which a reshape leaves
    alone keeps its index whatever the other indices are.
    """
    if 0 in shape:
        return (ZERO,) * len(source)
    result: list[Index] = []
    here = there = 0  # axes before these are done
    while there < len(source) or here < len(shape):
        group, source_group = here, there
        size = source_size = 1
        while True:  # at least one axis of each side, until the products agree
            if size <= source_size and group < len(shape):
                size, group = size * shape[group], group + 1
            elif source_group < len(source):
                source_size, source_group = source_size * source[source_group], source_group + 1
            elif group < len(shape):
                size, group = size * shape[group], group + 1
            if size == source_size:
                break
        position = linearize(indices[here:group], shape[here:group])
        result.extend(delinearize(position, source[there:source_group]))
        here, there = group, source_group
    return tuple(result)


# --- one map per op -------------------------------------------------------------------------------


def _reshape(node: Node, indices: Indices) -> tuple[Indices, Mask]:
    return reshape_index(indices, node.shape, node.srcs[0].shape), Mask()


def _permute(node: Node, indices: Indices) -> tuple[Indices, Mask]:
    attr = node.attr
    assert isinstance(attr, AxesAttr)
    source = [ZERO] * len(indices)
    for index, axis in zip(indices, attr.axes, strict=True):
        source[axis] = index
    return tuple(source), Mask()


def _expand(node: Node, indices: Indices) -> tuple[Indices, Mask]:
    extents = zip(indices, node.srcs[0].shape, strict=True)
    return tuple(ZERO if extent == 1 else index for index, extent in extents), Mask()


def _pad(node: Node, indices: Indices) -> tuple[Indices, Mask]:
    attr = node.attr
    assert isinstance(attr, PadAttr)
    mask, source = Mask(), []
    for axis, index in enumerate(indices):
        before, after = attr.before[axis], attr.after[axis]
        if before or after:
            index = index - before
            mask &= Mask.inside(index, 0, node.srcs[0].shape[axis])
        source.append(index)
    return tuple(source), mask


def _slice(node: Node, indices: Indices) -> tuple[Indices, Mask]:
    return window_index(node, indices), Mask()


def _flip(node: Node, indices: Indices) -> tuple[Indices, Mask]:
    attr = node.attr
    assert isinstance(attr, AxesAttr)
    source = list(indices)
    for axis in attr.axes:
        source[axis] = constant(node.shape[axis] - 1) - source[axis]
    return tuple(source), Mask()


_MAPS: dict[Op, Callable[[Node, Indices], tuple[Indices, Mask]]] = {
    Op.RESHAPE: _reshape,
    Op.PERMUTE: _permute,
    Op.EXPAND: _expand,
    Op.PAD: _pad,
    Op.SLICE: _slice,
    Op.FLIP: _flip,
}
