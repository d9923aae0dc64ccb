"""The gradient of a weight that is used at every time step: one product, not a sum of many.

In: gradients that are sums of products of the same form, `a.T @ b` for the factors of each step, or
sums of one value, as a bias has them. Out: one sum over all steps, whose factors are those of the
steps stacked. A product over few rows writes and reads the weight's gradient for every step;
stacked, it is written once, and weight and bias share the stack. Called by
`frontend/pieces.py` with what has arrived at one place.

>>> import picograd
>>> a, b = picograd.randn(4, 2, 8), picograd.randn(4, 2, 6)
>>> parts = [x.T @ y for x, y in zip(a.unbind(0), b.unbind(0), strict=True)]
>>> whole = summed_products(parts)
>>> whole is not None and (whole - sum(parts)).abs().max().item() < 1e-5
True
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.build import expand, full, reshape
from picograd.graph.node import Node, const, make
from picograd.graph.ops import AxesAttr, Combiner, Op, ReduceAttr, ShapeAttr, SliceAttr

_MOVES = frozenset({Op.RESHAPE, Op.PERMUTE, Op.EXPAND})
LEAST = 4  # steps that are worth it


def summed_products(gradients: Sequence[Tensor]) -> Tensor | None:
    """The sum of gradients that are products of one form; None if they aren't."""
    if len(gradients) < LEAST or any(x._meta is not None for x in gradients):
        return None
    nodes = [x.node for x in reversed(gradients)]  # the order in which the steps were made
    above: list[Node] = []
    while nodes[0].op in _MOVES and _are_alike(nodes):
        above.append(nodes[0])
        nodes = [node.srcs[0] for node in nodes]
    if nodes[0].op is not Op.REDUCE or not _are_alike(nodes):
        return None
    attr, terms = cast("ReduceAttr", nodes[0].attr), [node.srcs[0] for node in nodes]
    if attr.combiner is not Combiner.SUM:
        return None
    lifted = _lifted_terms(terms, nodes[0].size * (len(nodes) - 1))
    if lifted is None:
        return None
    axes = (0, *[axis + 1 for axis in attr.axes])
    result = make(Op.REDUCE, (lifted,), ReduceAttr(attr.combiner, axes))
    for node in reversed(above):
        result = make(node.op, (result,), node.attr)
    return wrap(result)


def _lifted_terms(terms: Sequence[Node], sums: int) -> Node | None:
    """The terms stacked: products of repeated factors factor by factor, unless that costs more than
    to add up their sums, so many elements."""
    if len({term.shape for term in terms}) > 1:
        return None
    sides: list[list[Node]] = []
    if terms[0].op is Op.MUL and _are_alike(terms):
        sides = [[term.srcs[n] for term in terms] for n in range(2)]
    sizes = [_size(side) for side in sides]
    if max(sizes, default=0) >= sum(term.size for term in terms) or not sides:
        return _lifted(terms)
    if sum(sizes) > 2 * sums:
        return None
    return make(Op.MUL, (_lifted(sides[0]), _lifted(sides[1])))


def _are_alike(nodes: Sequence[Node]) -> bool:
    """Whether nodes to be computed are the same but for their sources."""
    first = nodes[0]
    return all(node.structure == first.structure and node.buffer is None for node in nodes)


def _size(nodes: Sequence[Node]) -> int:
    """How many elements there are to stack."""
    while nodes[0].op in _MOVES and _are_alike(nodes):
        nodes = [node.srcs[0] for node in nodes]
    return 0 if all(node is nodes[0] for node in nodes) else sum(node.size for node in nodes)


def _lifted(nodes: Sequence[Node]) -> Node:
    """Values of one shape as one with a new first axis: stacked below what moves them alike."""
    first, moves = nodes[0], cast("list[Node]", [])
    while first.op in _MOVES and _are_alike(nodes):
        moves.append(first)
        nodes = [node.srcs[0] for node in nodes]
        first = nodes[0]
    count = len(nodes)
    if all(node is first for node in nodes):
        result = expand(reshape(first, (1, *first.shape)), (count, *first.shape))
    else:
        result = full(const(0, first.dtype, first.device), (count, *first.shape))
        sizes, ones = (1, *first.shape), (1,) * (len(first.shape) + 1)
        for place, node in enumerate(nodes):
            part = SliceAttr((place, *[0] * len(first.shape)), sizes, ones)
            result = make(Op.UPDATE, (result, reshape(node, sizes)), part)
    for move in reversed(moves):
        if move.op is Op.PERMUTE:
            axes = cast("AxesAttr", move.attr).axes
            result = make(Op.PERMUTE, (result,), AxesAttr((0, *[axis + 1 for axis in axes])))
        else:
            shape = (count, *cast("ShapeAttr", move.attr).shape)
            result = make(move.op, (result,), ShapeAttr(shape))
    return result
