"""Scores of attention in a graph: products that are much larger than their factors.

In: the nodes of a graph. Out: those products whose rows are normalised and then multiplied again.
`picograd.portion` leaves them out of what it stores for a backward pass in a later program: that
computes them again, as it does in the same program (`picograd.schedule.panels`).

>>> from picograd.dtypes import float32
>>> from picograd.graph.build import expand
>>> from picograd.graph.node import make
>>> from picograd.graph.ops import LeafAttr
>>> q = make(Op.BUFFER, (), LeafAttr(0, (512, 1, 4), float32), "cpu")
>>> k = make(Op.BUFFER, (), LeafAttr(1, (1, 512, 4), float32), "cpu")
>>> wide = (512, 512, 4)
>>> product = make(Op.MUL, (expand(q, wide), expand(k, wide)))
>>> is_large_product(make(Op.REDUCE, (product,), ReduceAttr(Combiner.SUM, (2,))))
True
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.graph.node import Node
from picograd.graph.ops import ELEMENTWISE, Combiner, Op, ReduceAttr

MAPS = frozenset({Op.RESHAPE, Op.PERMUTE, Op.EXPAND, Op.SLICE, Op.FLIP})
TIMES = 4  # larger than its factors: more than the hidden layer of a perceptron is
LEAST = 1 << 14  # elements
DEEPEST = 32  # nodes between two products


def is_large_product(node: Node) -> bool:
    """Whether a node is a sum of products, and many times as large as its factors."""
    if node.size < LEAST or not _is_sum_of_products(node):
        return False
    return TIMES * sum(_below(factor).size for factor in node.srcs[0].srcs) <= node.size


def scores_of(order: Sequence[Node]) -> set[int]:
    """Ids of the large products from which normalised rows are made, for another product."""
    found: set[int] = set()
    for node in order:
        if _is_sum_of_products(node):
            for factor in node.srcs[0].srcs:
                found |= _normalised(_below(factor))
    return found


def _normalised(weights: Node) -> set[int]:
    """The large products in the formula of weights of the same size, if rows are reduced there."""
    products: set[int] = set()
    reduced = False
    seen: set[int] = set()
    stack = [weights]
    while stack and len(seen) < DEEPEST:
        node = stack.pop()
        if id(node) in seen or node.buffer is not None:
            continue
        seen.add(id(node))
        if node.op in ELEMENTWISE or node.op in MAPS:
            stack.extend(node.srcs)
        elif is_large_product(node):
            products.add(id(node))
        elif node.op is Op.REDUCE and node.srcs[0].size == weights.size:
            reduced = True
            stack.append(node.srcs[0])
    return products if reduced else set()


def _is_sum_of_products(node: Node) -> bool:
    attr = node.attr
    if node.buffer is not None or not isinstance(attr, ReduceAttr):
        return False
    return attr.combiner is Combiner.SUM and node.srcs[0].op is Op.MUL


def _below(node: Node) -> Node:
    """What an index map shows."""
    while node.op in MAPS and node.buffer is None:
        node = node.srcs[0]
    return node
