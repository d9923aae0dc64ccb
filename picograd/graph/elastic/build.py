"""The walk over a graph that gives its program for many sizes.

In: a graph, its structure, the symbols of its kind, the constants to bake in. Out: `Built`, the
canonical graph over capacities, and the `Recipe`: which inputs to lay out how, which cells to add
to the program's values, how to cut the outputs, and when the program may be used at all. Raises
`Unsupported` for graphs that have none. Called by `picograd.programs`.

The program's values are the cells of the graph as it stands (`Structure.cells`), then each
symbol's size, then the derived cells: `constant - cell`, where a shift needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from picograd.dtypes import int32
from picograd.graph import index
from picograd.graph.canonical import Structure, value_slots
from picograd.graph.elastic.cost import Cost
from picograd.graph.elastic.layout import (
    Dims,
    Elastic,
    along,
    conjunction,
    filled,
    physical,
    positions,
    settle,
    varies,
)
from picograd.graph.elastic.sizes import Extent, Sizes, Symbol, Symbols, portions
from picograd.graph.index import Index, Param
from picograd.graph.node import Node, const, make
from picograd.graph.ops import ConstAttr, LeafAttr, Op, Shape


@dataclass(frozen=True, slots=True)
class Product:
    """A condition of a recipe: the size of `symbol` is `constant` times those of `factors`."""

    symbol: int
    constant: int
    factors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a program over capacities serves a graph.

    inputs     for each input the leaf that it comes from, and its layout
    outputs    the layout of each output
    conditions what must hold between the sizes
    derived    (constant, cell): values to add
    cells      how many cells the graph itself has
    cost       of the graph at any sizes
    """

    symbols: Symbols
    inputs: tuple[tuple[int, Dims], ...]
    outputs: tuple[Dims, ...]
    conditions: tuple[Product, ...]
    derived: tuple[tuple[int, int], ...]
    cells: int
    capacities: Sizes
    cost: Cost

    def fit(self, sizes: Sizes) -> Sizes | None:
        """Each symbol's size in a graph, or None when the program does not serve it."""
        values = self.symbols.values(sizes)
        if values is None or not all(
            1 <= value <= limit for value, limit in zip(values, self.capacities, strict=True)
        ):
            return None
        for rule in self.conditions:
            if values[rule.symbol] != rule.constant * prod(values[n] for n in rule.factors):
                return None
        return values if self.cost.is_thrifty(self.capacities, values) else None

    def values(self, cells: Sequence[int], sizes: Sizes) -> list[int]:
        """The program's values for a graph's cells and its symbols' sizes."""
        known = [*cells, *sizes]
        return known + [constant - known[cell] for constant, cell in self.derived]


@dataclass(frozen=True, slots=True)
class Built:
    """The result of `build`."""

    outputs: list[Node]
    donated: frozenset[int]
    recipe: Recipe


@dataclass(slots=True)
class State:
    """What the rules add to while the walk goes on."""

    symbols: Symbols
    cells: int
    device: str
    extents: dict[int, tuple[Extent, ...]] = field(default_factory=dict)  # of the user's nodes
    conditions: list[Product] = field(default_factory=list)
    derived: list[tuple[int, int]] = field(default_factory=list)

    def number(self, extent: Extent) -> Node:
        """An extent as a 0-d int32."""
        if isinstance(extent, int):
            return const(extent, int32, self.device)
        return self.cell(self.cells + extent.number)

    def cell(self, cell: int) -> Node:
        """A value of the program as a 0-d int32 (starts and sizes are far from its limits)."""
        return make(Op.PARAMETER, (), LeafAttr(cell, (), int32), self.device)

    def start(self, cell: int, high: int) -> Index:
        """A value of the program, from 0 to `high`, as the start of a slice."""
        return index.of(Param(cell, 0, high)) if high > 0 else index.ZERO

    def complement(self, constant: int, source: Extent | int, is_cell: bool = False) -> Index:
        """`constant - source` as the start of a slice; the source is at most the constant."""
        if isinstance(source, Symbol):
            cell = self.cells + source.number
        else:
            assert is_cell
            cell = source
        pair = (constant, cell)
        if pair not in self.derived:
            self.derived.append(pair)
        slot = self.cells + len(self.symbols.first) + self.derived.index(pair)
        return index.of(Param(slot, 0, constant))

    def held(self, dims: Dims, chosen: Sequence[int] | None = None) -> Node | None:
        """Where an element is none of the garbage beyond a size (along the chosen dims)."""
        shape = physical(dims)
        masks: list[Node] = []
        axis = 0
        for number, dim in enumerate(dims):
            for factor in dim if isinstance(dim, tuple) else (1,):
                if isinstance(factor, Symbol) and (chosen is None or number in chosen):
                    masks.append(self.below(shape, axis, factor))
                axis += 1
        return conjunction(masks)

    def below(self, shape: Shape, axis: int, extent: Extent) -> Node:
        """Where the position along an axis is less than an extent."""
        line = positions((shape[axis],), 0, self.device)
        limit = filled(self.number(extent), line.shape)
        return along(make(Op.LT, (line, limit)), axis, shape)

    def within(self, shape: Shape, axis: int, start: Node | None, extent: Extent) -> Node:
        """Where the position along an axis lies in `[start, start + extent)`."""
        if start is None:
            return self.below(shape, axis, extent)
        line = positions((shape[axis],), 0, self.device)
        low = filled(start, line.shape)
        high = filled(make(Op.ADD, (start, self.number(extent))), line.shape)
        inside = make(Op.AND, (make(Op.LE, (low, line)), make(Op.LT, (line, high))))
        return along(inside, axis, shape)


def build(
    order: Sequence[Node],
    outputs: Sequence[Node],
    donated: Sequence[int],
    structure: Structure,
    symbols: Symbols,
    baked: frozenset[int],
) -> Built:
    """The graph's program for many sizes. Raises Unsupported if it has none."""
    from picograd.graph.elastic.rules import RULES

    state = State(symbols, len(structure.cells), order[0].device)
    slots = {id(buffer): slot for slot, buffer in enumerate(structure.leaves)}
    inputs: dict[tuple[int, Dims], int] = {}
    known: dict[int, Elastic] = {}
    for (node, cell), extents in zip(
        value_slots(order), portions(structure, symbols.at), strict=True
    ):
        rank = len(node.shape)
        state.extents[id(node)] = extents[:rank]
        if node.buffer is not None:
            dims: Dims = tuple((extent,) for extent in extents)
            place = (slots[id(node.buffer)], dims)
            slot = inputs.setdefault(place, len(inputs))
            leaf = LeafAttr(slot, physical(dims), node.dtype)
            known[id(node)] = Elastic(make(Op.BUFFER, (), leaf, node.device), dims)
        elif isinstance(node.attr, ConstAttr):
            attr, op = node.attr, Op.CONST
            if cell not in baked and not attr.dtype.is_complex:
                attr, op = LeafAttr(cell, (), node.dtype), Op.PARAMETER
            known[id(node)] = Elastic(make(op, (), attr, node.device), ())
        else:
            srcs = [known[id(src)] for src in node.srcs]
            result = RULES[node.op](state, node, srcs, extents[:rank], extents[rank:], cell)
            if node.origin is not None and result.node.origin is None:
                result.node.origin = node.origin
            known[id(node)] = result
    results = [settle(known[id(node)]) for node in outputs]
    recipe = Recipe(
        symbols,
        tuple(inputs),
        tuple(result.dims for result in results),
        tuple(dict.fromkeys(state.conditions)),
        tuple(state.derived),
        state.cells,
        symbols.capacities,
        Cost.of(order, structure, symbols),
    )
    given = {slots[id(order[position].buffer)] for position in donated}
    return Built([result.node for result in results], _donated(inputs, given), recipe)


def _donated(inputs: dict[tuple[int, Dims], int], given: set[int]) -> frozenset[int]:
    """Inputs that may be overwritten: of given leaves, and copies made for the program."""
    uses: dict[int, int] = {}
    for leaf, _ in inputs:
        uses[leaf] = uses.get(leaf, 0) + 1
    return frozenset(
        slot
        for (leaf, dims), slot in inputs.items()
        if (leaf in given and uses[leaf] == 1) or varies(dims)
    )
