"""Random contractions: batches, layouts, factors computed on the way, and epilogues.

In: the pool of `Parts`. Out: one node a call, used by `tests.fuzz.graphs`. A contraction is
written as `graph.ops` knows it: both factors spread over one space of axes, multiplied, summed.
"""

from __future__ import annotations

import math

from picograd import dtypes
from picograd.dtypes import DType
from picograd.graph import build
from picograd.graph.node import Node, const, make
from picograd.graph.ops import AxesAttr, ConstAttr, GatherAttr, IotaAttr, Op, PadAttr
from picograd.graph.ops import Combiner as C
from tests.fuzz.movement import Movement

EDGES = (1, 2, 3, 5, 7, 8, 12, 15, 16, 17, 24, 31, 33, 47, 48, 49, 64, 65, 97, 130, 200)
MOST_PRODUCTS = 250_000
Axes = dict[str, int]


class Contractions(Movement):
    """Sums of products."""

    def contraction(self) -> Node:
        extents = self._extents()
        dtype = self._contraction_dtype()
        rows = [a for a in extents if a in "bcmp"]
        columns = [a for a in extents if a in "bcnq"]
        shared = [a for a in extents if a in "kl"]
        space = list(extents)
        if self.chance(0.3):
            self.random.shuffle(space)
        if self.chance(0.15) and rows[0] in "bc":
            rows = rows[1:]  # one factor for the whole batch
        left = self._factor([*rows, *shared], extents, space, dtype)
        right = self._factor([*columns, *shared], extents, space, dtype)
        if self.chance(0.5):
            left, right = right, left
        product = make(Op.MUL, (left, right))
        result = self.fold(C.SUM, product, [space.index(a) for a in shared])
        return self._epilogue(result)

    def _extents(self) -> Axes:
        names = [*self.random.choice(("", "", "", "b", "b", "bc")), *"mnk"]
        if self.chance(0.15):
            names.append(self.random.choice("pql"))
        while True:
            found: Axes = {}
            for name in names:
                found[name] = self.random.choice((1, 2, 3, 4) if name in "bcpql" else EDGES)
            if self.chance(0.02):
                found[self.random.choice(names)] = 0
            if math.prod(found.values()) <= MOST_PRODUCTS:
                return found

    def _contraction_dtype(self) -> DType:
        dtype = self.random.choice(
            (dtypes.float32, dtypes.float32, dtypes.float64, dtypes.int32, *self.dtypes)
        )
        return dtypes.float32 if dtype.is_bool else dtype

    def _factor(self, axes: list[str], extents: Axes, space: list[str], dtype: DType) -> Node:
        """An array of some axes, in any layout, spread over the whole space."""
        stored = list(axes)
        if self.chance(0.5):
            self.random.shuffle(stored)
        shape = tuple(extents[a] for a in stored)
        x = self._stored(shape, dtype)
        if self.chance(0.25):
            x = self._prologue(x)
        order = sorted(range(len(stored)), key=lambda n: space.index(stored[n]))
        x = build.permute(x, tuple(order))
        x = build.reshape(x, tuple(extents[a] if a in axes else 1 for a in space))
        return build.expand(x, tuple(extents[a] for a in space))

    def _stored(self, shape: tuple[int, ...], dtype: DType) -> Node:
        """A leaf of a shape, or a view of one, or converted."""
        kind = self.random.random()
        if kind < 0.55:
            return self.leaf(shape, dtype)
        if kind < 0.65:  # every second element
            wide = self.leaf(tuple(max(2 * extent, 1) for extent in shape), dtype)
            return build.window(wide, (0,) * len(shape), shape, (2,) * len(shape))
        if kind < 0.75:
            wide = self.leaf(tuple(extent + 3 for extent in shape), dtype)
            starts = tuple(self.random.randint(0, 3) for _ in shape)
            return build.window(wide, starts, shape)
        if kind < 0.8:
            flipped = tuple(n for n in range(len(shape)) if self.chance(0.5))
            return make(Op.FLIP, (self.leaf(shape, dtype),), AxesAttr(flipped))
        if kind < 0.88:
            before = tuple(min(self.random.choice((0, 0, 1, 2)), extent) for extent in shape)
            inside = tuple(e - b for e, b in zip(shape, before, strict=True))
            zero = const(0, dtype, "cpu").attr
            assert isinstance(zero, ConstAttr)
            attr = PadAttr(before, (0,) * len(shape), zero)
            return make(Op.PAD, (self.leaf(inside, dtype),), attr)
        if kind < 0.95:
            narrow = self.random.choice((dtypes.int8, dtypes.float16, dtypes.bool_, *self.dtypes))
            return self.as_dtype(self.leaf(shape, narrow), dtype)
        return self.like(self.leaf(shape, dtype))

    def _prologue(self, x: Node) -> Node:
        kind = self.random.random()
        if kind < 0.4:
            return make(Op.ADD, (x, self.like(x)))
        if kind < 0.7 and not x.dtype.is_complex:
            return self.apply(Op.MAXIMUM, x, 0)
        if x.dtype.is_float:
            return make(self.random.choice((Op.TANH, Op.EXP, Op.ABS)), (x,))
        return make(Op.NEG, (x,))

    def _epilogue(self, x: Node) -> Node:
        for _ in range(self.random.choice((0, 0, 1, 2, 3))):
            if self.chance(0.15):
                self.pool.append(x)
            kind = self.random.random()
            if kind < 0.4:
                x = make(self.random.choice((Op.ADD, Op.SUB, Op.MUL)), (x, self.like(x)))
            elif kind < 0.6 and not x.dtype.is_complex:
                x = self.apply(Op.MAXIMUM, x, 0)
            elif kind < 0.7:
                x = self.as_dtype(x, self.random.choice(self.dtypes))
            elif kind < 0.8 and x.dtype.is_float:
                x = make(self.random.choice((Op.TANH, Op.ERF)), (x,))
            elif kind < 0.9:
                x = self.permute(x)
            elif x.shape:
                x = self.fold(C.SUM, x, (self.random.randrange(len(x.shape)),))
        return x

    def chained(self) -> Node:
        """Two products, the second of the first's result: an MLP or attention scores."""
        m, k, h, n = (self.random.choice((3, 5, 16, 17, 33, 48, 65)) for _ in range(4))
        dtype = dtypes.float32 if self.chance(0.7) else dtypes.float64
        hidden = self._matmul(self.leaf((m, k), dtype), self.leaf((k, h), dtype))
        hidden = self.apply(Op.ADD, hidden, self.spread(self.leaf((h,), dtype), (m, h)))
        if self.chance(0.7):
            hidden = self.apply(Op.MAXIMUM, hidden, 0)
            self.pool.append(hidden)
        else:
            shifted = self.apply(Op.SUB, hidden, self.fold(C.MAX, hidden, (1,), True))
            exponents = make(Op.EXP, (shifted,))
            hidden = self.apply(Op.DIV, exponents, self.fold(C.SUM, exponents, (1,), True))
        return self._epilogue(self._matmul(hidden, self.leaf((h, n), dtype)))

    def _matmul(self, a: Node, b: Node) -> Node:
        (m, k), n = a.shape, b.shape[1]
        left = build.expand(build.reshape(a, (m, 1, k)), (m, n, k))
        right = build.expand(build.reshape(build.permute(b, (1, 0)), (1, n, k)), (m, n, k))
        return self.fold(C.SUM, make(Op.MUL, (left, right)), (2,))

    def convolution(self) -> Node:
        """Windows of padded rows, gathered by positions, times weights."""
        rows, length, taps, channels = (
            self.random.choice(c) for c in ((1, 2, 5), (9, 16, 33, 70), (2, 3, 5), (1, 3, 8))
        )
        dtype = dtypes.float32 if self.chance(0.7) else dtypes.float64
        zero = const(0, dtype, "cpu").attr
        assert isinstance(zero, ConstAttr)
        x = make(Op.PAD, (self.leaf((rows, length), dtype),), PadAttr((0, 1), (0, 1), zero))
        count, step = 0, self.random.choice((1, 1, 2))
        count = (length + 2 - taps) // step + 1
        places, offsets = (
            make(Op.IOTA, (), IotaAttr(extent, dtypes.int64), "cpu") for extent in (count, taps)
        )
        start = self.apply(Op.MUL, places, step)
        both = (
            build.expand(build.reshape(start, (count, 1)), (count, taps)),
            build.expand(build.reshape(offsets, (1, taps)), (count, taps)),
        )
        windows = make(
            Op.GATHER, (x, make(Op.ADD, both)), GatherAttr((1,), self.chance(0.5))
        )  # (count, taps, rows)
        full = (rows, count, channels, taps)
        left = build.reshape(build.permute(windows, (2, 0, 1)), (rows, count, 1, taps))
        right = build.reshape(self.leaf((channels, taps), dtype), (1, 1, channels, taps))
        product = make(Op.MUL, (build.expand(left, full), build.expand(right, full)))
        return self._epilogue(self.fold(C.SUM, product, (3,)))
