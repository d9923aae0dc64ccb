"""A graph without identities: the structural key of a program, and the graph it is compiled from.

In: the nodes of one program in topological order. Out: `Structure` (a hashable key, the leaf
buffers and the run-time values, made by one linear walk) and, when nothing compiled is known for
the key, `canonicalise`: the same graph over numbered leaves; `identity` names it for other
processes. Called by the engine and `picograd.programs`.

Two graphs with equal keys differ at most in *which* buffers they read and in the *numbers* listed
as values: slice starts, random counters and constants. Starts and counters are always given at
run time. A constant is baked in when it looks structural (`is_simple`) and is a run-time number
otherwise; which ones are baked is a choice of the program (`baked`), not part of the key.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from picograd.dtypes import float32
from picograd.graph import index
from picograd.graph.index import Index, Param
from picograd.graph.node import BufferLike, Node, make, signature
from picograd.graph.ops import NO_ATTR, ConcatAttr, ConstAttr, LeafAttr, Op, RandomAttr, SliceAttr

Number = int | float | complex | bool

MANY = 16  # parts of a CONCAT, of which it pays to compile one kernel for all of one size


@dataclass(slots=True, eq=False)
class Structure:
    """One walk's result.

    key        equal for graphs that can run the same program
    leaves     the buffer of each leaf slot
    constants  (value slot, the constant's attribute) for every CONST node
    cells      the run-time values as 8-byte integers, in slot order
    entries    where in the key each node's own entry stands, in the order of the nodes
    """

    key: tuple[Hashable, ...]
    leaves: list[BufferLike]
    constants: list[tuple[int, ConstAttr]]
    cells: list[int]
    entries: list[int]


def analyse(order: Sequence[Node], outputs: Sequence[Node], donated: Sequence[int]) -> Structure:
    """The key, leaves and values of a graph; `donated` are places of leaves to be overwritten.

    It leaves each node its place in the order, so it is for one thread at a time (the engine's).
    """
    slots: dict[int, int] = {}
    leaves: list[BufferLike] = []
    constants: list[tuple[int, ConstAttr]] = []
    cells: list[int] = []
    key: list[Hashable] = []
    entries: list[int] = []
    streams: dict[tuple[int, ...], int] = {}
    windows: dict[tuple[int, SliceAttr], int] = {}
    for place, node in enumerate(order):
        node.place = place
        entries.append(len(key))
        buffer = node.buffer
        if buffer is not None:
            slot = slots.get(id(buffer))
            if slot is None:
                slot = slots[id(buffer)] = len(leaves)
                leaves.append(buffer)
            key.append((slot, node.shape, node.dtype, node.device))
            continue
        key.append(node.structure)
        for src in node.srcs:
            key.append(src.place)
        attr = node.attr
        if attr is NO_ATTR:
            continue
        if isinstance(attr, ConstAttr):
            if attr.dtype.is_complex:  # too wide for a cell: always baked, so part of the key
                key.append(attr)
            constants.append((len(cells), attr))
            cells.append(cell_of(attr))
        elif isinstance(attr, SliceAttr):
            # `x[i] += v` reads and writes one window: it has one set of cells.
            known = _window(windows, node, len(cells))
            key.append(known)
            if known == len(cells):
                cells.extend(attr.values())
        elif isinstance(attr, ConcatAttr):
            cells.extend(attr.values())
        elif isinstance(attr, RandomAttr):
            # Words of one block share their cells, so that a kernel computes the block once.
            known = streams.setdefault(attr.values(), len(cells))
            key.append(known)
            if known == len(cells):
                cells.extend(signed(value) for value in attr.values())
    key.append(tuple([node.place for node in outputs]))
    key.append(tuple(donated))
    return Structure(tuple(key), leaves, constants, cells, entries)


def _window(windows: dict[tuple[int, SliceAttr], int], node: Node, cells: int) -> int:
    """The first cell of a SLICE's or an UPDATE's starts; `cells` are taken so far.

    An UPDATE has those of the SLICE of its base in the same window. Two slices never share: their
    windows may be equal by chance, and the key should not depend on that.
    """
    assert isinstance(node.attr, SliceAttr)
    place = (id(node.srcs[0]), node.attr)
    if node.op is Op.SLICE:
        windows[place] = cells
        return cells
    return windows.setdefault(place, cells)


def cell_of(attr: ConstAttr) -> int:
    """A constant as the 8 bytes of a program value: its own bits at the low end."""
    if attr.dtype.is_complex:
        return 0  # never a run-time value
    if attr.dtype.is_integer or attr.dtype.is_bool:
        return signed(int(attr.value))  # pyright: ignore[reportArgumentType]
    if attr.dtype is float32:
        raw = _SINGLE.pack(attr.value)
    else:
        raw = attr.dtype.numpy.type(attr.value).tobytes().ljust(8, b"\0")
    return _CELL.unpack(raw)[0]


_CELL, _SINGLE = struct.Struct("<q"), struct.Struct("<f4x")


def signed(value: int) -> int:
    """An unsigned 64-bit number as the signed one with the same bits."""
    return value if value < 1 << 63 else value - (1 << 64)


def is_simple(attr: ConstAttr) -> bool:
    """True for constants that are likely part of the program's text rather than of its data.

    Integers, bools, complex numbers, infinities, NaN and small multiples of one half: rules can
    simplify with them. Learning rates and bias corrections are none of these.
    """
    if not attr.dtype.is_float:
        return True
    value = attr.value
    assert isinstance(value, float | int)
    if value != value or value in (float("inf"), float("-inf")):
        return True
    return abs(value) <= 8 and value * 2 == int(value * 2)


def identity(structure: Structure, baked: Mapping[int, int]) -> str:
    """What the canonical graph of a structure depends on, in words that mean the same in every
    process. `baked` are the constants that stay constants, by their value slots."""
    key = list(structure.key)
    for position in structure.entries:
        entry = key[position]
        if isinstance(entry, int):
            key[position] = _in_words(entry)
    return f"{key} {sorted(baked.items())}"


@lru_cache(maxsize=65536)
def _in_words(structure: int) -> str:
    return repr(signature(structure))


def canonicalise(
    order: Sequence[Node], outputs: Sequence[Node], structure: Structure, baked: frozenset[int]
) -> list[Node]:
    """The outputs over numbered leaves; constants in the value slots `baked` stay constants."""
    slots = {id(buffer): slot for slot, buffer in enumerate(structure.leaves)}
    replaced: dict[int, Node] = {}
    for node, cell in value_slots(order):
        attr = node.attr
        if node.buffer is not None:
            leaf = LeafAttr(slots[id(node.buffer)], node.shape, node.dtype)
            replaced[id(node)] = make(Op.BUFFER, (), leaf, node.device)
            continue
        if isinstance(attr, ConstAttr):
            if cell not in baked and not attr.dtype.is_complex:
                attr = LeafAttr(cell, (), node.dtype)
                replaced[id(node)] = make(Op.PARAMETER, (), attr, node.device)
                continue
        elif isinstance(attr, SliceAttr):
            attr = _with_parameters(attr, node.srcs[0].shape, cell)
        elif isinstance(attr, ConcatAttr):
            attr = _with_places(attr, node.srcs, cell)
        elif isinstance(attr, RandomAttr):
            attr = RandomAttr(attr.shape, attr.word, unbounded(cell), unbounded(cell + 1))
        srcs = tuple(replaced[id(src)] for src in node.srcs)
        fresh = make(node.op, srcs, attr, node.device if not srcs else None)
        if node.origin is not None and fresh.origin is None:
            fresh.origin = node.origin
        replaced[id(node)] = fresh
    return [replaced[id(node)] for node in outputs]


def value_slots(order: Sequence[Node]) -> Iterator[tuple[Node, int]]:
    """Each node with the first of its cells in `Structure.cells` (of no meaning if it has none)."""
    streams: dict[tuple[int, ...], int] = {}
    windows: dict[tuple[int, SliceAttr], int] = {}
    cells = 0
    for node in order:
        attr, first = node.attr, cells
        if node.buffer is None:
            if isinstance(attr, ConstAttr):
                cells += 1
            elif isinstance(attr, SliceAttr):
                first = _window(windows, node, cells)
                cells += len(attr.starts) if first == cells else 0
            elif isinstance(attr, ConcatAttr):
                cells += len(attr.starts)
            elif isinstance(attr, RandomAttr):
                first = streams.setdefault(attr.values(), cells)
                cells += 2 if first == cells else 0
        yield node, first


def _with_parameters(attr: SliceAttr, shape: tuple[int, ...], slot: int) -> SliceAttr:
    """Starts as run-time parameters, with the bounds that the shapes imply."""
    starts: list[Index] = []
    for axis, (size, step) in enumerate(zip(attr.sizes, attr.steps, strict=True)):
        last = shape[axis] - (max(size, 1) - 1) * step - 1
        # The only possible start, or none at all, needs no parameter.
        fixed = last <= 0 or size == 0
        starts.append(index.ZERO if fixed else index.of(Param(slot + axis, 0, last)))
    return SliceAttr(tuple(starts), attr.sizes, attr.steps)


def _with_places(attr: ConcatAttr, parts: tuple[Node, ...], slot: int) -> ConcatAttr:
    """Where parts start, as constants, or of many parts as parameters."""
    if len(parts) <= MANY:
        return attr
    extents = [part.shape[attr.axis] for part in parts]
    total = sum(extents)
    starts = [index.of(Param(slot + n, 0, total - extent)) for n, extent in enumerate(extents)]
    return ConcatAttr(attr.axis, tuple(starts))


def unbounded(slot: int) -> Index:
    """An unbounded run-time integer (all 64 bits: a seed or a counter)."""
    return index.of(Param(slot, -(1 << 63), (1 << 63) - 1))
