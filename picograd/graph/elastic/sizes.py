"""What differs between graphs of one kind: their sizes, and the symbols that stand for them.

In: structures (`graph.canonical.analyse`). Out: `split`, a key that graphs share when they differ
only in extents, and the extents; `Symbols`, made from several observations: which extents were
always the same number, and which vary, and together.

>>> symbols = Symbols.of([(3, 8, 3, 4), (5, 8, 5, 6)])
>>> symbols.at
(Symbol(number=0, capacity=16), 8, Symbol(number=0, capacity=16), Symbol(number=1, capacity=16))
>>> symbols.values((7, 8, 7, 8)), symbols.values((7, 8, 9, 8)), symbols.values((7, 9, 7, 8))
((7, 8), None, None)
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from picograd.graph.canonical import Structure
from picograd.graph.node import signature
from picograd.graph.ops import IotaAttr, Op, PadAttr, ShapeAttr

Sizes = tuple[int, ...]


def split(structure: Structure) -> tuple[Hashable, Sizes]:
    """The key without its extents, and the extents: node by node, the shape first."""
    key = list(structure.key)
    sizes: list[int] = []
    for position in structure.entries:
        key[position], own = _split_entry(key[position])
        sizes.extend(own)
    return tuple(key), tuple(sizes)


def _split_entry(entry: Hashable) -> tuple[Hashable, Sizes]:
    """A node's entry in the key, with its extents apart."""
    if isinstance(entry, int):
        return _split_signature(entry)
    assert isinstance(entry, tuple)
    slot, shape, dtype, device = entry  # a leaf buffer
    return (slot, len(shape), dtype, device), shape


_skeletons: dict[Hashable, int] = {}


@lru_cache(maxsize=65536)
def _split_signature(structure: int) -> tuple[int, Sizes]:
    op, attr, dtype, shape, device = signature(structure)
    sizes = shape
    if isinstance(attr, PadAttr):
        sizes += attr.before + attr.after
        attr = attr.value
    elif isinstance(attr, IotaAttr | ShapeAttr):  # the extent is the node's shape
        attr = None
    elif op in (Op.SLICE, Op.UPDATE):
        assert isinstance(attr, tuple)
        windows, steps = attr
        sizes += windows
        attr = steps
    elif op is Op.RANDOM:
        assert isinstance(attr, tuple)
        attr = attr[1]
    skeleton = (op, attr, dtype, len(shape), device)
    return _skeletons.setdefault(skeleton, len(_skeletons)), sizes


def portions(structure: Structure, at: Sequence[Extent]) -> Iterator[tuple[Extent, ...]]:
    """The part of `at` that is each node's own."""
    start = 0
    for position in structure.entries:
        _, own = _split_entry(structure.key[position])
        yield tuple(at[start : start + len(own)])
        start += len(own)


@dataclass(frozen=True, slots=True)
class Symbol:
    """An extent that is known at run time: at least 1, at most `capacity`."""

    number: int
    capacity: int


Extent = int | Symbol


def capacity(size: int, growth: float) -> int:
    """How far a program made at `size` reaches. By factors, a size that grows from 1 to n meets
    O(log n) programs."""
    return max(16, ceil(growth * size / 16) * 16)


def room(extent: Extent) -> int:
    """The extent that memory and loops have."""
    return extent if isinstance(extent, int) else extent.capacity


@dataclass(frozen=True, slots=True)
class Symbols:
    """The extents of all graphs of a kind: `at[n]` is what stands for size n.

    first      for each symbol a position where it stands
    observed   for each symbol its size in every observation
    """

    at: tuple[Extent, ...]
    first: tuple[int, ...]
    observed: tuple[Sizes, ...]

    @staticmethod
    def of(observations: Sequence[Sizes], growth: float = 1) -> Symbols:
        """From observations, the last of which sets the capacities."""
        symbols: dict[Sizes, Symbol] = {}
        first: list[int] = []
        at: list[Extent] = []
        for position, seen in enumerate(zip(*observations, strict=True)):
            if len(set(seen)) == 1:
                at.append(seen[0])
                continue
            if seen not in symbols:
                symbols[seen] = Symbol(len(symbols), capacity(seen[-1], growth))
                first.append(position)
            at.append(symbols[seen])
        return Symbols(tuple(at), tuple(first), tuple(symbols))

    @property
    def capacities(self) -> Sizes:
        """Each symbol's."""
        return tuple(room(self.at[position]) for position in self.first)

    def values(self, sizes: Sizes) -> Sizes | None:
        """Each symbol's size in a graph, or None if the graph is not of this kind."""
        values = tuple(sizes[position] for position in self.first)
        for size, extent in zip(sizes, self.at, strict=True):
            if size != (extent if isinstance(extent, int) else values[extent.number]):
                return None
        return values

    def seen(self, extent: Extent) -> Sizes:
        """An extent in every observation."""
        if isinstance(extent, int):
            return (extent,) * (len(self.observed[0]) if self.observed else 1)
        return self.observed[extent.number]
