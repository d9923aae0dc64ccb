"""Graphs of one example, turned into graphs of a batch: what `vmap` is made of.

In: nodes computed from *holes* (`graph/hole.py`), and for each hole the node of the whole batch.
Out: nodes with one more axis in front. The graph has few kinds of nodes, so a rule for each is all
there is: `batched` walks the graph once, whatever the number of examples. Called by
`frontend/vmap.py`.

>>> import picograd
>>> from picograd.frontend.tensor import wrap
>>> x = picograd.tensor([[1.0, 2.0], [3.0, 4.0]])
>>> one = hole((2,), x.dtype, "cpu")
>>> wrap(batched([wrap(one).sum().node], {one: x.node}, 2)[0]).tolist()
[3.0, 7.0]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import cast

from picograd.dtypes import int64
from picograd.graph.build import cast as cast_node
from picograd.graph.build import expand, permute, reshape
from picograd.graph.hole import hole as hole
from picograd.graph.hole import is_hole
from picograd.graph.node import Node, make, topological
from picograd.graph.ops import (
    FAMILY,
    Attr,
    AxesAttr,
    ConcatAttr,
    Family,
    GatherAttr,
    IotaAttr,
    Op,
    PadAttr,
    RandomAttr,
    ReduceAttr,
    ScanAttr,
    ScatterReduceAttr,
    ShapeAttr,
    SliceAttr,
)


@dataclasses.dataclass
class Trace:
    """One run of a function on holes: how it treats random numbers, and those that it drew."""

    randomness: str
    drawn: list[Node] = dataclasses.field(default_factory=list)


TRACES: list[Trace] = []  # the innermost last


class NeedsExamples(Exception):
    """The function can't be computed on a graph: an example's numbers are needed on the host."""


def stands_on_hole(node: Node) -> bool:
    """Whether a node can't be computed: it stands for all the examples of a batch."""
    return bool(TRACES) and any(is_hole(source) for source in topological([node]))


def check_known(node: Node) -> None:
    """Raise NeedsExamples if a node to be computed stands on a hole."""
    if stands_on_hole(node):
        raise NeedsExamples


def note_random(nodes: Sequence[Node]) -> None:
    """Tell the traces of random numbers. Raises RuntimeError where they are not allowed."""
    for trace in reversed(TRACES):
        if trace.randomness == "error":
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use "
                "the 'same' or 'different' randomness flags on vmap or perform the randomness "
                "operation out of vmap"
            )
        if trace.randomness == "different":
            trace.drawn.extend(nodes)
            return


def repeated(node: Node, size: int) -> Node:
    """The same for every example."""
    return expand(reshape(node, (1, *node.shape)), (size, *node.shape))


def batched(nodes: Sequence[Node], batches: dict[Node, Node], size: int) -> list[Node | None]:
    """The nodes for all examples; None for those that are the same for each.

    `batches` has the whole batch of each hole; random nodes that are to differ between examples
    are listed with themselves as their value.
    """
    found: dict[Node, Node] = {}
    for node in topological(nodes):
        if node in batches:
            given = batches[node]
            found[node] = _more_numbers(node, size) if given is node else given
        elif any(src in found for src in node.srcs):
            found[node] = _RULES[_kind(node)](node, found, size)
    return [found.get(node) for node in nodes]


def _more_numbers(node: Node, size: int) -> Node:
    attr = cast("RandomAttr", node.attr)
    attr = dataclasses.replace(attr, shape=(size, *attr.shape))
    made = make(Op.RANDOM, (), attr, node.device)
    note_random([made])
    return made


# --- a rule for each kind of node ----------------------------------------------------------------

_Found = dict[Node, Node]


def _all(node: Node, found: _Found, size: int) -> list[Node]:
    """The sources of a node, each with the axis of the examples."""
    return [found[src] if src in found else repeated(src, size) for src in node.srcs]


def _pointwise(node: Node, found: _Found, size: int) -> Node:
    return make(node.op, tuple(_all(node, found, size)), node.attr)


def _moved(change: Callable[[Attr, int], Attr]) -> Callable[[Node, _Found, int], Node]:
    """The rule of an op whose attribute alone knows about axes."""

    def rule(node: Node, found: _Found, size: int) -> Node:
        return make(node.op, tuple(_all(node, found, size)), change(node.attr, size))

    return rule


def _shifted(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([axis + 1 for axis in axes])


def _reduce(attr: Attr, size: int) -> Attr:
    assert isinstance(attr, ReduceAttr)
    return dataclasses.replace(attr, axes=_shifted(attr.axes))


def _scan(attr: Attr, size: int) -> Attr:
    assert isinstance(attr, ScanAttr)
    return ScanAttr(attr.combiner, attr.axis + 1)


def _shape(attr: Attr, size: int) -> Attr:
    assert isinstance(attr, ShapeAttr)
    return ShapeAttr((size, *attr.shape))


def _permute(attr: Attr, size: int) -> Attr:
    assert isinstance(attr, AxesAttr)
    return AxesAttr((0, *_shifted(attr.axes)))


def _flip(attr: Attr, size: int) -> Attr:
    assert isinstance(attr, AxesAttr)
    return AxesAttr(_shifted(attr.axes))


def _pad(attr: Attr, size: int) -> Attr:
    assert isinstance(attr, PadAttr)
    return PadAttr((0, *attr.before), (0, *attr.after), attr.value)


def _slice(attr: Attr, size: int) -> Attr:
    assert isinstance(attr, SliceAttr)
    return SliceAttr((0, *attr.starts), (size, *attr.sizes), (1, *attr.steps))


def _examples(index: Node, size: int) -> Node:
    """For each index: the number of its example."""
    count = make(Op.IOTA, (), IotaAttr(size, int64), index.device)
    count = cast_node(count, index.dtype)
    return expand(reshape(count, (size, *(1,) * (len(index.shape) - 1))), index.shape)


def _gather(node: Node, found: _Found, size: int) -> Node:
    attr = cast("GatherAttr", node.attr)
    source, *indices = node.srcs
    if source not in found:  # one table for all examples
        wide = [found[i] if i in found else repeated(i, size) for i in indices]
        return make(Op.GATHER, (source, *wide), attr)
    if not any(index in found for index in indices):  # the same places in each example
        axes = _shifted(attr.axes)
        result = make(Op.GATHER, (found[source], *indices), GatherAttr(axes, attr.checked))
        place = len(indices[0].shape)  # of the axis of the examples
        order = [place, *range(place), *range(place + 1, len(result.shape))]
        return permute(result, tuple(order))
    source, *indices = _all(node, found, size)
    where = _examples(indices[0], size)
    axes = (0, *_shifted(attr.axes))
    return make(Op.GATHER, (source, where, *indices), GatherAttr(axes, attr.checked))


def _scatter(node: Node, found: _Found, size: int) -> Node:
    base, value, *indices = _all(node, found, size)
    where = _examples(indices[0], size)
    attr = cast("GatherAttr | ScatterReduceAttr", node.attr)
    attr = dataclasses.replace(attr, axes=(0, *_shifted(attr.axes)))
    return make(node.op, (base, value, where, *indices), attr)


def _concat(attr: Attr, size: int) -> Attr:
    assert isinstance(attr, ConcatAttr)
    return dataclasses.replace(attr, axis=attr.axis + 1)


def _kind(node: Node) -> Op | Family:
    return node.op if node.op in _RULES else FAMILY[node.op]


_RULES: dict[Op | Family, Callable[[Node, _Found, int], Node]] = {
    Family.ELEMENTWISE: _pointwise,
    Op.REDUCE: _moved(_reduce),
    Op.SCAN: _moved(_scan),
    Op.RESHAPE: _moved(_shape),
    Op.EXPAND: _moved(_shape),
    Op.PERMUTE: _moved(_permute),
    Op.FLIP: _moved(_flip),
    Op.PAD: _moved(_pad),
    Op.SLICE: _moved(_slice),
    Op.UPDATE: _moved(_slice),
    Op.CONCAT: _moved(_concat),
    Op.GATHER: _gather,
    Op.SCATTER: _scatter,
    Op.SCATTER_REDUCE: _scatter,
}
