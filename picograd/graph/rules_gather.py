"""A sum over a one-hot product is a gather.

In: `sum over v of (v == index) * table` in any arrangement of the axes, as SUM(MUL(CAST(EQ), W)) or
SUM(WHERE(EQ, W, 0)). Out: the same values read from the table, 0 where the index is outside.

This is the one rule that is not exact for special values: the product form multiplies the rows that
are not chosen by 0, so an infinity or NaN in *another* row would give NaN; here it does not.

>>> RULES[0].name
'one-hot sum'
"""

from __future__ import annotations

from dataclasses import dataclass

from picograd.dtypes import int64
from picograd.graph.build import (
    cast,
    expand,
    full_like,
    permute,
    reshape,
    select,
    uniform_constant,
)
from picograd.graph.index import Index, Var, of
from picograd.graph.movement import source_index
from picograd.graph.node import Node, make
from picograd.graph.ops import Combiner, GatherAttr, IotaAttr, Op, ReduceAttr
from picograd.graph.rewrite import Match, Pattern, Rule

_STATIC = frozenset({Op.RESHAPE, Op.PERMUTE, Op.EXPAND, Op.SLICE, Op.FLIP})


@dataclass(frozen=True, slots=True)
class Trace:
    """A node reached through movement and casts: the path to it, and the indices there."""

    node: Node
    path: tuple[Node, ...]
    indices: tuple[Index, ...]


def _follow(node: Node, indices: tuple[Index, ...]) -> Trace:
    """Go down through static movement and integer casts."""
    path: list[Node] = []
    while node.buffer is None and (node.op in _STATIC or _is_plain_cast(node)):
        path.append(node)
        if node.op is not Op.CAST:
            indices, _ = source_index(node, indices)
        node = node.srcs[0]
    return Trace(node, tuple(path), indices)


def _is_plain_cast(node: Node) -> bool:
    """A cast of a bool to a number, or one that keeps every integer."""
    if node.op is not Op.CAST:
        return False
    source = node.srcs[0].dtype
    if source.is_bool:
        return not node.dtype.is_bool
    return source.is_integer and node.dtype.is_integer and node.dtype.itemsize >= source.itemsize


def _replay(trace: Trace, node: Node) -> Node:
    """The movement of a path applied to another node of the same shape."""
    for step in reversed(trace.path):
        if step.op is not Op.CAST:
            node = make(step.op, (node,), step.attr)
    return node


def _stripped(node: Node) -> Node:
    """The source of an EXPAND: extents are 1 where nothing changes."""
    return node.srcs[0] if node.op is Op.EXPAND and node.buffer is None else node


def _one_hot_index(selector: Node, axis: int) -> Node | None:
    """The index node (extent 1 on `axis`) if the selector is `position on axis == index`."""
    variables = [Var(f"i{n}", 0, extent - 1) for n, extent in enumerate(selector.shape)]
    trace = _follow(selector, tuple(of(variable) for variable in variables))
    if trace.node.op is not Op.EQ or trace.node.buffer is not None:
        return None
    for here, there in (trace.node.srcs, trace.node.srcs[::-1]):
        position, index = _follow(here, trace.indices), _follow(there, trace.indices)
        if (
            position.node.buffer is None
            and isinstance(position.node.attr, IotaAttr)
            and position.indices == (of(variables[axis]),)
            and there.dtype.is_integer
            and not any(variables[axis] in i.atoms() for i in index.indices)
        ):
            return select(_replay(trace, there), axis, 0)
    return None


def _gathered(selector: Node, table: Node, axis: int) -> Node | None:
    """`sum over axis of selector * table`, of one shape, as a gather; None if it is none."""
    shape = table.shape
    selector, table = _stripped(selector), _stripped(table)
    extent = shape[axis]
    if 0 in shape or selector.shape[axis] != extent or table.shape[axis] != extent:
        return None
    index = _one_hot_index(selector, axis)
    if index is None:
        return None
    index = cast(index, int64)
    others = [n for n in range(len(shape)) if n != axis]
    looked_up = [n for n in others if index.shape[n] != 1]
    varying = [n for n in others if table.shape[n] != 1]
    paired = [n for n in varying if n in looked_up]
    free = [n for n in varying if n not in looked_up]

    zero, last = full_like(0, index), full_like(extent - 1, index)
    inside = make(Op.AND, (make(Op.LE, (zero, index)), make(Op.LE, (index, last))))
    index = make(Op.WHERE, (inside, index, zero))
    lookup_shape = tuple(shape[n] for n in looked_up)
    indices = [reshape(index, lookup_shape)]
    for n in paired:  # both vary along this axis: read its own position
        iota = make(Op.IOTA, (), IotaAttr(shape[n], int64), table.device)
        ones = tuple(shape[m] if m == n else 1 for m in looked_up)
        indices.append(expand(reshape(iota, ones), lookup_shape))
    kept = sorted([axis, *varying])
    source = reshape(table, tuple(shape[n] for n in kept))
    axes = tuple(kept.index(n) for n in (axis, *paired))
    found = make(Op.GATHER, (source, *indices), GatherAttr(axes, True))

    order = [*looked_up, *free]
    found = permute(found, tuple(order.index(n) for n in sorted(order)))
    found = reshape(found, tuple(shape[n] if n in order else 1 for n in others))
    result_shape = tuple(shape[n] for n in others)
    found = expand(found, result_shape)
    inside = expand(reshape(inside, tuple(index.shape[n] for n in others)), result_shape)
    return make(Op.WHERE, (inside, found, full_like(0, found)))


def _reduced_axis(node: Node) -> int | None:
    attr = node.attr
    assert isinstance(attr, ReduceAttr)
    return attr.axes[0] if attr.combiner is Combiner.SUM and len(attr.axes) == 1 else None


def _one_hot_product(match: Match) -> Node | None:
    axis = _reduced_axis(match["node"])
    if axis is None or match["node"].dtype.is_bool:
        return None
    first, second = match["product"].srcs
    return _gathered(first, second, axis) or _gathered(second, first, axis)


def _one_hot_choice(match: Match) -> Node | None:
    axis = _reduced_axis(match["node"])
    attr = uniform_constant(match["zero"])
    if axis is None or attr is None or attr.value != 0:
        return None
    return _gathered(match["condition"], match["table"], axis)


RULES = (
    Rule(
        "one-hot sum",
        Pattern(Op.REDUCE, (Pattern(Op.MUL, name="product"),)),
        _one_hot_product,
        why="of the summands only that with v == index is not 0 (for finite tables)",
    ),
    Rule(
        "one-hot choice",
        Pattern(
            Op.REDUCE,
            (
                Pattern(
                    Op.WHERE,
                    (Pattern(name="condition"), Pattern(name="table"), Pattern(name="zero")),
                ),
            ),
        ),
        _one_hot_choice,
        why="of the summands only that with v == index is not 0",
    ),
)
