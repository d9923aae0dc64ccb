"""A storage: the memory that the views of one tensor share, as a graph node that changes.

In: nodes of whole contents. Out: `Storage`, whose `node` is the contents of this moment. Tensors
read it through their views and replace it when they write. Nodes never change, so whoever read the
storage earlier keeps what it read.

Memory that the outside can see (`numpy()`, `from_numpy`) pins its storage: writes to it land in
that memory before they return, and results computed from it are computed before they return
(`settle`), so that nobody can observe laziness.

>>> from picograd.dtypes import float32
>>> from picograd.graph.node import const
>>> Storage(const(2.0, float32, "cpu")).version
0
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np

from picograd import engine
from picograd.dtypes import BY_NAME, from_numpy
from picograd.frontend import known
from picograd.graph.build import uniform_constant
from picograd.graph.node import Node, leaf
from picograd.graph.ops import Op, Shape
from picograd.runtime import buffer as buffers
from picograd.runtime.buffer import Buffer

_SETTLED = 1 << 24  # larger constants stay symbolic: perhaps nobody needs their memory


class Storage:
    """The contents that the views of one tensor share.

    node      the contents of this moment; its shape is that of the tensor the storage began with
    version   how many writes there were
    writes    writes that wait to be computed (the engine's counter)
    """

    __slots__ = ("__weakref__", "_address", "_exports", "_past", "node", "version", "writes")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.version = 0
        self.writes = 0
        # Contents from before the pending writes, the last computed ones first. The graph that
        # waits keeps alive what it still needs; nothing else should.
        self._past: list[weakref.ref[Node]] | None = None
        # None: private. A weak reference: pinned while that export lives. True: pinned for good.
        self._exports: weakref.ref[Export] | bool | None = None
        if node.buffer is None:
            engine.watch(self)

    @property
    def buffer(self) -> Buffer:
        """The memory of the contents, computed if they were not."""
        if self.node.buffer is None:
            engine.realize([self.node])
        return cast("Buffer", self.node.buffer)

    def write(self, node: Node) -> None:
        """Replace the whole contents."""
        engine.check_write(self)
        if self.node.buffer is not None or self._past is None:
            self._past = []
        self._past.append(weakref.ref(self.node))
        self.version += 1
        if id(self) in _pinned and self.is_pinned():
            engine.realize([node])
            memory = cast("Buffer", self.node.buffer)
            memory.copy_from(cast("Buffer", node.buffer))
            self.node = leaf(memory, self.node.shape)
            return
        self.node = node
        if node.buffer is None:
            engine.after_write(self)

    def settle(self, limit: int = _SETTLED) -> None:
        """Give contents of up to so many elements that are one number everywhere memory of their
        own.

        Tensors that live through a loop begin so (parameters, statistics, an optimiser's state).
        Simplified for that number, the first step would be another program than all later ones.
        """
        node = self.node
        number = uniform_constant(node) if node.buffer is None else None
        if number is None or node.size > limit:
            return
        if node.device == "cpu":
            self.node = leaf(buffers.filled(node.dtype, node.size, number.value), node.shape)
            return
        memory = np.full(node.shape, number.value, dtype=node.dtype.numpy)
        settled = leaf(buffers.from_array(memory, node.device), node.shape)
        self.node = known.remember(settled, memory)

    def roll_back(self, spoilt: Callable[[Node], bool]) -> None:
        """Undo the pending writes from the first that is spoilt on."""
        while self._past:
            node = self._past.pop()()
            if node is not None and not spoilt(node):
                self.version += 1
                self.node = node
                return

    def rewritten(self) -> None:
        """Tell that the pinned memory itself was written."""
        self.version += 1
        self.node = leaf(cast("Buffer", self.node.buffer), self.node.shape)

    def __reduce__(self) -> tuple[object, ...]:
        """For pickle: the contents, as bytes."""
        node, raw = self.node, self.buffer.array.view(np.uint8)
        return (_unpickled, (raw.tobytes(), node.dtype.name, node.shape, node.device))

    # --- memory shared with the outside -----------------------------------------------------------

    def is_pinned(self) -> bool:
        """True while something outside of picograd can see the memory."""
        exports = self._exports
        if exports is None or exports is True:
            return exports is True
        if cast("weakref.ref[Export]", exports)() is not None:
            return True
        self._exports = None
        _pinned.pop(id(self), None)
        return False

    def pin(self) -> None:
        """Declare the memory visible to the outside for as long as the storage lives."""
        self._exports = True
        _remember(self)

    def is_alone(self) -> bool:
        """Whether nobody else has the node of the computed contents, or their memory."""
        alone = _references(self) <= _ALONE and _buffer_references(self) <= _BUFFER_ALONE
        return alone and cast("Buffer", self.node.buffer).exclusive()

    def own_memory(self) -> Buffer:
        """The memory of the contents, which from now on no other storage or node has."""
        memory = self.buffer
        if not self.is_pinned():
            # Somebody who read the old contents must not see what the outside writes.
            # Two nodes can have one buffer: what a program computes may be what it was given.
            shared = _buffer_references(self) > _BUFFER_ALONE + 1  # `memory` is one more
            if shared or _references(self) > _ALONE or not memory.exclusive():
                memory = buffers.empty(memory.dtype, memory.size, memory.device)
                memory.copy_from(cast("Buffer", self.node.buffer))
            if memory is not self.node.buffer or self.node.op is not Op.BUFFER:
                # How the contents came about tells nothing once the outside writes them.
                self.node = leaf(memory, self.node.shape)
            self._exports = None
        known.forget(self.node)
        return memory

    def address(self) -> int:
        """Where the contents are; no other storage has that address, and it stays until a write."""
        before = getattr(self, "_address", None)
        if before is None or self.buffer.address != before:
            self._address = self.own_memory().address
        return self._address

    def export(self, shape: Shape, strides: tuple[int, ...] | None, offset: int) -> np.ndarray:
        """A NumPy array over the memory, row-major without `strides`; the storage is pinned while
        the array lives."""
        exported = self.exported()
        dtype = exported.buffer.dtype
        item = dtype.itemsize
        if 0 in shape:
            offset, strides = 0, None
        if strides is not None:
            strides = tuple([item * stride for stride in strides])
        return np.ndarray(shape, dtype.numpy, cast("Any", exported), item * offset, strides)

    def exported(self) -> Export:
        """What holds on to the memory; the storage is pinned while it lives."""
        self.own_memory()
        return self.held()

    def held(self) -> Export:
        """What pins the storage, and keeps it in the memory that it has, while it lives."""
        export = self._exports() if isinstance(self._exports, weakref.ref) else None
        if export is None:
            memory = self.buffer
            # Of a GPU's memory there is no array; what holds on to it is an empty one.
            seen = np.empty(0, np.uint8) if memory.device == "cuda" else memory.bytes()
            export = seen.view(_Opaque).view(Export)
            export.buffer = memory
            if self._exports is None:
                self._exports = weakref.ref(export)
                _remember(self)
        return export


class _Opaque(np.ndarray):
    """Memory that an export is over: an array over the export would else hold on to this alone,
    because NumPy leaves out what stands between two arrays of the same type."""


class Export(np.ndarray):
    """What everybody who sees a storage's memory holds on to; as long as it lives, so do we."""

    buffer: Buffer


def strided(flat: np.ndarray, shape: Shape, strides: tuple[int, ...], offset: int) -> np.ndarray:
    """A view of flat memory by shape, strides and offset in elements."""
    if 0 in shape:
        return flat[:0].reshape(shape)
    item = flat.dtype.itemsize
    return np.lib.stride_tricks.as_strided(
        flat[offset:], shape, tuple([item * stride for stride in strides])
    )


def _references(storage: Storage) -> int:
    return sys.getrefcount(storage.node)


def _alone() -> int:
    """What `_references` gives for a node that only its storage holds, on this interpreter."""
    probe = Storage.__new__(Storage)
    probe.node = Node()
    return _references(probe)


_ALONE = _alone()


def _buffer_references(storage: Storage) -> int:
    return sys.getrefcount(storage.node.buffer)


def _buffer_alone() -> int:
    """What `_buffer_references` gives for a buffer that only one node holds."""
    probe = Storage.__new__(Storage)
    probe.node = Node()
    probe.node.buffer = object()  # pyright: ignore[reportAttributeAccessIssue]
    return _buffer_references(probe)


_BUFFER_ALONE = _buffer_alone()

_pinned: dict[int, weakref.ref[Storage]] = {}


def _remember(storage: Storage) -> None:
    key = id(storage)
    _pinned[key] = weakref.ref(storage, lambda _: _pinned.pop(key, None))


@contextmanager
def unpinned() -> Iterator[None]:
    """Within it, nothing counts as visible to the outside: graphs are built to be read."""
    before = dict(_pinned)
    _pinned.clear()
    try:
        yield
    finally:
        _pinned.update({key: one for key, one in before.items() if one() is not None})


def any_pinned(storages: Iterable[Storage]) -> bool:
    """Whether the outside can see the memory of one of them."""
    return any(id(storage) in _pinned and storage.is_pinned() for storage in storages)


def copied(array: np.ndarray, device: str) -> Node:
    """The node of new memory that holds a copy of an array."""
    memory = buffers.empty(from_numpy(array.dtype), array.size, device)
    memory.write(array)
    return known.remember(leaf(memory, array.shape), array)


def _unpickled(payload: bytes, dtype: str, shape: Shape, device: str) -> Storage:
    """Undo `Storage.__reduce__`."""
    array = np.frombuffer(payload, BY_NAME[dtype].numpy).reshape(shape)
    return Storage(copied(array, device))


def apart(node: Node, storage: Storage) -> Node:
    """What a node of a pinned storage's contents holds now, in memory of its own."""
    engine.realize([node])
    memory = cast("Buffer", node.buffer)
    if memory is not storage.node.buffer:
        return node
    own = buffers.empty(memory.dtype, memory.size, memory.device)
    own.copy_from(memory)
    return leaf(own, node.shape)


def settle(node: Node, storages: Sequence[Storage]) -> None:
    """Compute a result now if something it was read from could be changed from outside."""
    if not any_pinned(storages):
        return
    engine.realize([node])
    memory = cast("Buffer", node.buffer)
    if any(storage.node.buffer is memory for storage in storages):
        own = buffers.empty(memory.dtype, memory.size, memory.device)
        own.copy_from(memory)
        node.buffer = own
