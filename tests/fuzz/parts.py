"""The parts that random graphs are made of: shapes, arrays, leaves, numbers, and sources that fit.

In: a seed. Out: `Parts`, on which `tests.fuzz.graphs` grows a graph.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from picograd import dtypes
from picograd.dtypes import DType
from picograd.graph.node import Node, const, make
from picograd.graph.ops import CastAttr, LeafAttr, Op, ShapeAttr

REAL = tuple(d for d in dtypes.ALL if not d.is_complex)
COMPLEX = (dtypes.complex64, dtypes.complex128)
EXTENTS = (0, 1, 1, 2, 3, 4, 5, 7, 8, 16, 17, 33, 64, 130)
MOST_ELEMENTS = 6000


@dataclass
class Case:
    """A graph with everything that it needs to run."""

    outputs: list[Node]
    arrays: list[np.ndarray]
    values: list[int]
    donated: frozenset[int] = frozenset()


class Parts:
    """What a random graph is made of."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numpy = np.random.default_rng(seed)
        self.arrays: list[np.ndarray] = []
        self.values: list[int] = []
        self.pool: list[Node] = []
        self.small_extents = self.random.random() < 0.5
        self.dtypes = [*self.random.choices(REAL, k=3), dtypes.float32]

    # --- parts -----------------------------------------------------------------------------

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
        if dtype.is_integer:
            small = self.numpy.integers(0 if dtype.kind == "uint" else -9, 10, shape)
            extremes = self.numpy.choice(
                np.array([dtype.lowest, dtype.highest, 0, 1], object), shape
            )
            return np.where(self.numpy.random(shape) < 0.05, extremes, small).astype(dtype.numpy)
        normal = self.numpy.standard_normal(shape) * self.random.choice((0.5, 2.0, 30.0))
        if self.random.random() < 0.3:
            special = self.numpy.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0], shape)
            normal = np.where(self.numpy.random(shape) < 0.1, special, normal)
        return normal.astype(dtype.numpy)

    def leaf(self, shape: tuple[int, ...], dtype: DType) -> Node:
        self.arrays.append(self.array(shape, dtype))
        return make(Op.BUFFER, (), LeafAttr(len(self.arrays) - 1, shape, dtype), "cpu")

    def value(self, number: int) -> int:
        self.values.append(number)
        return len(self.values) - 1

    def pick(self, accept: Callable[[Node], bool] = lambda node: True) -> Node:
        """A node of the pool, recent ones rather; a new leaf when none will do."""
        found = [node for node in self.pool if accept(node)]
        if not found or self.random.random() < 0.1:
            for _ in range(50):
                node = self.leaf(self.shape(), self.random.choice(self.dtypes))
                if accept(node):
                    self.pool.append(node)
                    return node
        if not found:
            node = self.leaf((3,), dtypes.float32)
            return node
        recent = found[-3:]
        return self.random.choice(recent if self.random.random() < 0.6 else found)

    def as_dtype(self, node: Node, dtype: DType) -> Node:
        return node if node.dtype is dtype else make(Op.CAST, (node,), CastAttr(dtype))

    def broadcast_to(self, node: Node, shape: tuple[int, ...]) -> Node | None:
        if len(node.shape) > len(shape):
            return None
        padded = (1,) * (len(shape) - len(node.shape)) + node.shape
        if any(a not in (1, b) for a, b in zip(padded, shape, strict=True)):
            return None
        if padded != node.shape:
            node = make(Op.RESHAPE, (node,), ShapeAttr(padded))
        return node if padded == shape else make(Op.EXPAND, (node,), ShapeAttr(shape))

    def like(self, node: Node, dtype: DType | None = None) -> Node:
        """Some other node, converted and broadcast to a node's shape and dtype."""
        dtype = dtype or node.dtype
        candidates = [self.broadcast_to(other, node.shape) for other in self.pool]
        usable = [c for c in candidates if c is not None]
        if usable and self.random.random() < 0.7:
            return self.as_dtype(self.random.choice(usable), dtype)
        if self.random.random() < 0.3:
            number = const(self.random.choice((0, 1, 2, 3, -1, 0.5)), dtype, "cpu")
            result = self.broadcast_to(number, node.shape)
            assert result is not None
            return result
        shape = tuple(1 if self.random.random() < 0.3 else extent for extent in node.shape)
        result = self.broadcast_to(self.leaf(shape, dtype), node.shape)
        assert result is not None
        return result
