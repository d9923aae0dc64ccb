"""The graph's node: immutable, hash-consed, and aware of shape, dtype and device.

In: an op, sources and an attribute. Out: `Node`. The frontend builds nodes through `make`, the
engine walks them, the schedule cuts them. Equal expressions are one object, so common
subexpressions cost nothing and `is` compares graphs.

A node's *value* never changes. What changes is where it can be found: once the engine has
computed a node it calls `node.realize(buffer)`, which stores the buffer and drops the sources, so
that graphs cannot grow without end.

>>> from picograd.dtypes import float32
>>> two = const(2.0, float32, "cpu")
>>> make(Op.ADD, (two, two)) is make(Op.ADD, (two, two))
True
"""

from __future__ import annotations

import itertools
import struct
import weakref
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Protocol

from picograd.dtypes import DType
from picograd.graph.infer import infer
from picograd.graph.ops import NO_ATTR, Attr, ConstAttr, NoAttr, Op, Shape, SliceAttr

if TYPE_CHECKING:
    import numpy as np


class BufferLike(Protocol):
    """What a realised node holds: row-major memory of `size` elements of `dtype` on `device`."""

    dtype: DType
    size: int
    device: str
    address: int

    @property
    def array(self) -> np.ndarray:
        """The elements as a 1-D array, where the host can read them."""
        ...


class Node:
    """One value of the graph. Build nodes with `make`; never assign to one.

    op, srcs, attr     what computes it, from which nodes, with which payload
    dtype, shape, device
    structure          a small integer that equal (op, structural attr, dtype, shape, device) share
    number             nodes that were made later have a greater one
    buffer             the memory that holds the value once it is realised, else None
    origin             "file:line" of the user's call for ops that can fail at run time, else None
    mark, place        the last walk that came here, and the place in its order (`picograd.portion`)
    """

    __slots__ = (
        "__weakref__",
        "attr",
        "buffer",
        "device",
        "dtype",
        "mark",
        "number",
        "op",
        "origin",
        "place",
        "shape",
        "srcs",
        "structure",
    )

    op: Op
    srcs: tuple[Node, ...]
    attr: Attr
    dtype: DType
    shape: Shape
    device: str
    structure: int
    number: int
    buffer: BufferLike | None
    origin: str | None
    mark: int
    place: int

    @property
    def size(self) -> int:
        """The number of elements."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size

    def realize(self, buffer: BufferLike) -> None:
        """Record where the value now lives and let go of what it was computed from."""
        self.buffer = buffer
        self.srcs = ()

    def __repr__(self) -> str:
        state = " realised" if self.buffer is not None else ""
        return f"<{self.op.name} {self.dtype.name}{list(self.shape)} on {self.device}{state}>"


# What a node is apart from its sources and its run-time values:
# (op, structural part of the attribute, dtype, shape, device).
Signature = tuple[Op, Hashable, DType, Shape, str]
Form = tuple[DType, Shape, str, int]


# The nodes that were made, by what they are. Spelled out because `WeakValueDictionary` costs
# several microseconds. Entries of nodes that died stay until `_sweep`: as long as a node waits to
# be computed its sources live, so the ids in its key are theirs; other entries are not believed.
_nodes: dict[tuple[object, ...], weakref.ref[Node]] = {}
_room = 1 << 12  # entries before the next sweep
_numbers = itertools.count()
_structures: dict[Signature, int] = {}
_signatures: list[Signature] = []
# (op, attribute, structures of the sources) -> dtype, shape, device, structure.
_forms: dict[tuple[object, ...], Form] = {}
_FORMS_KEPT = 1 << 16


def make(op: Op, srcs: tuple[Node, ...], attr: Attr = NO_ATTR, device: str | None = None) -> Node:
    """The node of an expression: a known one if there is, else a new one.

    Shape and dtype are inferred; `infer` raises torch's exception types for user errors.
    `device` is needed for leaves only. A SLICE of memory is always new: where its window comes
    from data (`rows[i]` for a random i), equal ones would make the graph of a loop's body another
    one each time.
    """
    if device is None and isinstance(attr, NoAttr):  # no values: the structure says all
        if attr is NO_ATTR and len(srcs) in (1, 2):
            place = (op, srcs[0].structure, srcs[-1].structure, len(srcs))
        else:
            place = (op, attr, *[src.structure for src in srcs])
        form = _forms.get(place) or _form(place, op, srcs, attr)
        return known(form, srcs, op, attr)
    key = (op, attr, device, *map(id, srcs))
    if op is not Op.SLICE or srcs[0].buffer is None:
        entry = _nodes.get(key)
        if entry is not None:
            found = entry()
            if found is not None and found.buffer is None:
                return found
    if isinstance(attr, SliceAttr):  # whose starts are checked
        place = (op, attr, *[src.structure for src in srcs])
        form = _forms.get(place) or _form(place, op, srcs, attr)
    else:
        form = _inferred(op, srcs, attr, device)
    return _new(form, srcs, op, attr, key)


def known(form: Form, srcs: tuple[Node, ...], op: Op, attr: Attr) -> Node:
    """`make` for an op without values whose form is known."""
    key = (form[3], *map(id, srcs))
    entry = _nodes.get(key)
    if entry is not None:
        found = entry()
        if found is not None and found.buffer is None:
            return found
    return _new(form, srcs, op, attr, key)


def _new(form: Form, srcs: tuple[Node, ...], op: Op, attr: Attr, key: tuple[object, ...]) -> Node:
    """A node that is not in the table yet."""
    node = Node()
    node.number, node.mark = next(_numbers), 0
    node.op, node.srcs, node.attr, node.buffer, node.origin = op, srcs, attr, None, None
    node.dtype, node.shape, node.device, node.structure = form
    _nodes[key] = weakref.ref(node)
    if len(_nodes) > _room:
        _sweep()
    return node


def _sweep() -> None:
    """Forget the dead, and wait until there may be as many again."""
    global _room
    for key, entry in list(_nodes.items()):
        if entry() is None and _nodes.get(key) is entry:
            del _nodes[key]
    _room = 2 * len(_nodes) + (1 << 12)


def _form(place: tuple[object, ...], op: Op, srcs: tuple[Node, ...], attr: Attr) -> Form:
    """Infer a form, and remember it."""
    form = _inferred(op, srcs, attr, None)
    if len(_forms) >= _FORMS_KEPT:
        _forms.clear()
    _forms[place] = form
    return form


def _inferred(op: Op, srcs: tuple[Node, ...], attr: Attr, device: str | None) -> Form:
    dtype, shape, device = infer(op, srcs, attr, device)
    return dtype, shape, device, number((op, attr.structure(), dtype, shape, device))


def leaf(buffer: BufferLike, shape: Shape) -> Node:
    """The node of realised memory. Each call makes a new node: a buffer's contents may change."""
    node = Node()
    node.number, node.mark = next(_numbers), 0
    node.op, node.srcs, node.attr, node.origin = Op.BUFFER, (), NO_ATTR, None
    node.dtype, node.shape, node.device, node.buffer = buffer.dtype, shape, buffer.device, buffer
    node.structure = number((Op.BUFFER, None, node.dtype, shape, node.device))
    return node


def number(signature: Signature) -> int:
    """The `structure` of all nodes with this signature."""
    structure = _structures.get(signature)
    if structure is None:
        structure = _structures[signature] = len(_signatures)
        _signatures.append(signature)
    return structure


def signature(structure: int) -> Signature:
    """What all nodes with this `structure` share."""
    return _signatures[structure]


def const(value: int | float | complex | bool, dtype: DType, device: str) -> Node:
    """The 0-d constant of a dtype, which holds `value` converted to it."""
    return make(Op.CONST, (), ConstAttr(convert(value, dtype), dtype), device)


def convert(value: int | float | complex | bool, dtype: DType) -> int | float | complex | bool:
    """A Python number as `dtype` holds it: integers wrap, floats round (as CAST does)."""
    if dtype.is_bool:
        return bool(value)
    if dtype.is_complex:
        return complex(dtype.numpy.type(value))
    if isinstance(value, complex):
        value = value.real
    if dtype.is_integer:
        wrapped = int(value) & ((1 << dtype.bits) - 1)
        return wrapped - (1 << dtype.bits) if wrapped > int(dtype.highest) else wrapped
    if dtype.name == "float64":
        return float(value)
    if dtype.name == "float32" and -_SINGLE_LIMIT < value < _SINGLE_LIMIT:
        return _SINGLE.unpack(_SINGLE.pack(value))[0]
    import numpy as np

    with np.errstate(all="ignore"):
        single = np.asarray(value, np.float64).astype(np.float32)
        return float(single.astype(dtype.numpy))


_SINGLE = struct.Struct("f")
_SINGLE_LIMIT = 2.0**127  # numbers below don't overflow


def topological(roots: Iterable[Node]) -> list[Node]:
    """All nodes below the roots, sources first, each once. Realised nodes count as leaves."""
    order: list[Node] = []
    seen: set[int] = set()
    stack: list[Node | None] = [*roots]
    stack.reverse()
    while stack:
        node = stack.pop()
        if node is None:  # the sources of the node below the mark are done
            node = stack.pop()
            assert node is not None
            order.append(node)
            continue
        if id(node) in seen:
            continue
        seen.add(id(node))
        if not node.srcs:
            order.append(node)
            continue
        stack.append(node)
        stack.append(None)
        for src in reversed(node.srcs):
            if id(src) not in seen:
                stack.append(src)
    return order
