"""What a graph costs at given sizes, and how far ahead a program for many sizes reaches.

In: a graph, its structure, what its kind's sizes were. Out: `Cost`, a polynomial in the sizes, in
units of one multiplication and addition of a contraction (some 20 ps on two cores); `reach`, the
symbols with their capacities. Called by `picograd.programs` and `build`.

A program computes for its capacities, whatever the sizes are. So it reaches as far as that costs
little: far for a handful of numbers, where the calls cost more; far along an axis that is only
sliced; a few times the size where most of the work is along it.

>>> cost = Cost(((8000, ()), (100, (0,))))
>>> cost.at((2,)), cost.at((64,)), cost.is_thrifty((64,), (2,))
(8200, 14400, True)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from picograd.graph.canonical import Structure
from picograd.graph.elastic.sizes import Sizes, Symbol, Symbols, portions
from picograd.graph.node import Node
from picograd.graph.ops import FAMILY, Combiner, Family, Op, ReduceAttr

# A constant and the symbols whose sizes it is multiplied by.
Term = tuple[int, tuple[int, ...]]

# One element computed, or read from memory, takes the time of this many products of a contraction.
ELEMENT = 8
# A program may cost this many times what one for the very sizes would, and this much more, which
# is some 50 us, and a third of what it takes to record a node for each of the graph's.
FACTOR, SLACK, RECORDING = 4, 1 << 21, 1 << 16
# Growths that are tried where they are cheap, and those of which the first is taken elsewhere that
# costs at most `AHEAD` times as much: where several axes grow, they share it. Two sizes may be all
# there are (the last batch of an epoch is a smaller one), so the first program reaches ahead only
# where that is for nothing.
CHEAP, USUAL, AHEAD = (64, 32, 16, 8, 4), (2, 1.5, 1.25), 2.5


@dataclass(frozen=True, slots=True)
class Cost:
    """A sum of products of sizes, and how much more than that does not matter."""

    terms: tuple[Term, ...]
    slack: int = SLACK

    @staticmethod
    def of(order: Sequence[Node], structure: Structure, symbols: Symbols) -> Cost:
        """The cost of a graph whose extents are `symbols.at`."""
        products = _summed_products(order)
        total: dict[tuple[int, ...], int] = {}
        for node, extents in zip(order, portions(structure, symbols.at), strict=True):
            weight = 1 if id(node) in products else _weight(node)
            own = extents[: len(node.shape)]
            numbers = tuple(sorted(extent.number for extent in own if isinstance(extent, Symbol)))
            constant = weight * prod(extent for extent in own if isinstance(extent, int))
            total[numbers] = total.get(numbers, 0) + constant
        terms = tuple((constant, numbers) for numbers, constant in total.items() if constant)
        return Cost(terms, SLACK + RECORDING * len(order))

    def at(self, sizes: Sizes) -> int:
        """The cost at given sizes of the symbols."""
        return sum(constant * prod(sizes[n] for n in numbers) for constant, numbers in self.terms)

    def is_thrifty(self, capacities: Sizes, sizes: Sizes) -> bool:
        """True unless most of what a program computes would be thrown away."""
        return self.at(capacities) <= FACTOR * self.at(sizes) + self.slack


def reach(order: Sequence[Node], structure: Structure, observations: Sequence[Sizes]) -> Symbols:
    """The symbols of a kind after these observations, with capacities from the last."""
    grows = len(observations) > 2
    symbols = Symbols.of(observations)
    cost = Cost.of(order, structure, symbols)
    sizes = tuple(seen[-1] for seen in symbols.observed)
    for growth in (*CHEAP, *(USUAL if grows else ())):
        further = Symbols.of(observations, growth)
        if growth in USUAL:
            good = cost.at(further.capacities) <= AHEAD * cost.at(sizes) + cost.slack
        else:
            good = cost.at(further.capacities) <= (2 if grows else 1) * cost.at(sizes) + cost.slack
        if good:
            return further
    return symbols


def _weight(node: Node) -> int:
    """The cost of an element of a node: movement is a matter of indices, constants are in the
    code."""
    if node.buffer is not None or node.op is Op.RANDOM:
        return ELEMENT
    free = FAMILY[node.op] in (Family.MOVEMENT, Family.LEAF)
    return 0 if free and node.op not in _COPIES else ELEMENT


_COPIES = (Op.GATHER, Op.UPDATE, Op.CONCAT, Op.SCATTER)


def _summed_products(order: Sequence[Node]) -> set[int]:
    """Ids of the products that are only summed: they are never stored."""
    found, others = set[int](), set[int]()
    for node in order:
        attr = node.attr
        summed = isinstance(attr, ReduceAttr) and attr.combiner is Combiner.SUM
        for source in node.srcs:
            if summed and source.op is Op.MUL:
                found.add(id(source))
            else:
                others.add(id(source))
    return found - others
