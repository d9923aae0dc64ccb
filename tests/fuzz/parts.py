"""The parts that random graphs are made of: shapes, arrays, leaves, numbers, and sources that fit.

In: a seed. Out: `Parts`, on which the other modules here grow a graph (`tests.fuzz.graphs`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from picograd import dtypes
from picograd.dtypes import DType
from picograd.graph import build
from picograd.graph.canonical import cell_of
from picograd.graph.node import Node, const, make, topological
from picograd.graph.ops import AxesAttr, ConstAttr, LeafAttr, Op, ReduceAttr
from picograd.graph.ops import Combiner as C
from picograd.runtime.numpy import decode

REAL = tuple(d for d in dtypes.ALL if not d.is_complex)
COMPLEX = (dtypes.complex64, dtypes.complex128)
EXTENTS = (0, 1, 1, 2, 3, 4, 5, 7, 8, 16, 17, 33, 64, 130)
MOST_ELEMENTS = 6000

Number = int | float | bool


@dataclass
class Case:
    """A graph with everything that it needs to run. `values` are the cells of the run-time numbers
    (see `graph.canonical`), `donated` the inputs that the program may overwrite, `machine` the
    number of the one that it is compiled for (`tests.fuzz.machines`)."""

    outputs: list[Node]
    arrays: list[np.ndarray]
    values: list[int]
    donated: frozenset[int] = frozenset()
    machine: int = 0

    @property
    def numbers(self) -> dict[int, Number]:
        """The run-time numbers as the interpreter takes them."""
        kinds = {
            node.attr.slot: node.dtype
            for node in topological(self.outputs)
            if node.op is Op.PARAMETER and isinstance(node.attr, LeafAttr)
        }
        found = enumerate(self.values)
        return {slot: decode(cell, kinds.get(slot, dtypes.int64)) for slot, cell in found}


class Parts:
    """What a random graph is made of."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numpy = np.random.default_rng(seed)
        self.arrays: list[np.ndarray] = []
        self.values: list[int] = []
        self.pool: list[Node] = []
        self.small_extents = self.chance(0.5)
        self.plain = self.chance(0.5)  # no infinities and NaN: they hide other mistakes
        self.dtypes = [*self.random.choices(REAL, k=3), dtypes.float32]
        if self.chance(0.2):
            self.dtypes += [self.random.choice(COMPLEX)] * 2

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # --- shapes and numbers --------------------------------------------------------------------

    def extent(self) -> int:
        choices = EXTENTS[1:8] if self.small_extents else EXTENTS
        return self.random.choice(choices)

    def shape(self) -> tuple[int, ...]:
        while True:
            shape = tuple(
                self.extent() for _ in range(self.random.choice((0, 1, 1, 2, 2, 2, 3, 4)))
            )
            if int(np.prod(shape)) <= MOST_ELEMENTS:
                return shape

    def array(self, shape: tuple[int, ...], dtype: DType) -> np.ndarray:
        if dtype.is_bool:
            return self.numpy.random(shape) < 0.5
        if dtype.is_complex:
            parts = [self.array(shape, dtypes.float64) for _ in range(2)]
            result = np.empty(shape, dtype.numpy)
            result.real, result.imag = parts
            return result
        if dtype.is_integer:
            small = self.numpy.integers(0 if dtype.kind == "uint" else -9, 10, shape)
            extremes = self.numpy.choice(
                np.array([dtype.lowest, dtype.highest, 0, 1], object), shape
            )
            return np.where(self.numpy.random(shape) < 0.05, extremes, small).astype(dtype.numpy)
        normal = self.numpy.standard_normal(shape) * self.random.choice((0.5, 2.0, 30.0))
        if not self.plain and self.chance(0.3):
            special = self.numpy.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0], shape)
            normal = np.where(self.numpy.random(shape) < 0.1, special, normal)
        with np.errstate(over="ignore"):
            return normal.astype(dtype.numpy)

    def value(self, cell: int) -> int:
        """The slot of a new run-time number."""
        self.values.append(cell)
        return len(self.values) - 1

    # --- nodes ---------------------------------------------------------------------------------

    def input(self, array: np.ndarray, dtype: DType) -> Node:
        self.arrays.append(array)
        return make(Op.BUFFER, (), LeafAttr(len(self.arrays) - 1, array.shape, dtype), "cpu")

    def leaf(self, shape: tuple[int, ...], dtype: DType) -> Node:
        return self.input(self.array(shape, dtype), dtype)

    def number(self, dtype: DType) -> Node:
        """A 0-d number: baked in, or given at run time."""
        node = const(self.random.choice((0, 1, 2, 3, -1, 0.5, 1.7)), dtype, "cpu")
        assert isinstance(node.attr, ConstAttr)
        if dtype.is_complex or self.chance(0.6):
            return node
        slot = self.value(cell_of(node.attr))
        return make(Op.PARAMETER, (), LeafAttr(slot, (), dtype), "cpu")

    def pick(self, accept: Callable[[Node], bool] = lambda node: True) -> Node:
        """A node of the pool that will do, recent ones rather; a new leaf when there is none."""
        found = [node for node in self.pool if accept(node)]
        if not found or self.chance(0.1):
            kinds = [*self.dtypes, dtypes.int32, dtypes.bool_, dtypes.complex64]
            for attempt in range(200):
                kind = self.random.choice(self.dtypes if attempt < 50 else kinds)
                node = self.leaf(self.shape(), kind)
                if accept(node):
                    self.pool.append(node)
                    return node
                self.arrays.pop()
        recent = found[-3:]
        return self.random.choice(recent if self.chance(0.6) else found)

    def as_dtype(self, node: Node, dtype: DType) -> Node:
        return build.cast(node, dtype)

    def broadcast_to(self, node: Node, shape: tuple[int, ...]) -> Node | None:
        if len(node.shape) > len(shape):
            return None
        padded = (1,) * (len(shape) - len(node.shape)) + node.shape
        if any(a not in (1, b) for a, b in zip(padded, shape, strict=True)):
            return None
        return build.expand(build.reshape(node, padded), shape)

    def spread(self, node: Node, shape: tuple[int, ...]) -> Node:
        result = self.broadcast_to(node, shape)
        assert result is not None
        return result

    def like(self, node: Node, dtype: DType | None = None) -> Node:
        """Some other node, converted and broadcast to a node's shape and dtype."""
        dtype = dtype or node.dtype
        candidates = [self.broadcast_to(other, node.shape) for other in self.pool]
        usable = [c for c in candidates if c is not None]
        if usable and self.chance(0.7):
            return self.as_dtype(self.random.choice(usable), dtype)
        if self.chance(0.3):
            return self.spread(self.number(dtype), node.shape)
        shape = tuple(1 if self.chance(0.3) else extent for extent in node.shape)
        return self.spread(self.leaf(shape, dtype), node.shape)

    def fold(self, combiner: C, x: Node, axes: Sequence[int], keep: bool = False) -> Node:
        """A reduction; with `keep` it is spread over the shape that it came from."""
        axes = tuple(sorted(axes))
        result = make(Op.REDUCE, (x,), ReduceAttr(combiner, axes))
        if not keep:
            return result
        kept = tuple(1 if n in axes else extent for n, extent in enumerate(x.shape))
        return build.expand(build.reshape(result, kept), x.shape)

    def permuted(self, x: Node, order: Sequence[int]) -> Node:
        return make(Op.PERMUTE, (x,), AxesAttr(tuple(order)))

    def apply(self, op: Op, *sources: Node | float) -> Node:
        """An op on nodes and numbers; numbers get the shape and dtype of the first node."""
        first = next(source for source in sources if isinstance(source, Node))
        nodes = [s if isinstance(s, Node) else build.full_like(s, first) for s in sources]
        return make(op, tuple(nodes))
