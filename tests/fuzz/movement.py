"""Random movement nodes: views, views of views, gathers, scatters, and updates.

In: the pool of `Parts`. Out: one node a call, used by `tests.fuzz.graphs`.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from picograd import dtypes
from picograd.dtypes import DType
from picograd.graph import build, index
from picograd.graph.index import Index, Param
from picograd.graph.node import Node, const, make
from picograd.graph.ops import (
    AxesAttr,
    Combiner,
    ConcatAttr,
    ConstAttr,
    GatherAttr,
    IotaAttr,
    LeafAttr,
    Op,
    PadAttr,
    ScatterReduceAttr,
    ShapeAttr,
    SliceAttr,
)
from tests.fuzz.parts import MOST_ELEMENTS, Parts

INDEX_TYPES = (dtypes.int64, dtypes.int64, dtypes.int32, dtypes.uint8)


class Movement(Parts):
    """Movement nodes."""

    # --- views ---------------------------------------------------------------------------------

    def reshape(self, x: Node | None = None) -> Node:
        x = x or self.pick(lambda n: n.size > 0)
        if not x.size:
            return x
        size, shape = x.size, []
        while size > 1 and self.chance(0.8):
            divisors = [d for d in range(1, size + 1) if size % d == 0]
            shape.append(self.random.choice(divisors))
            size //= shape[-1]
        return make(Op.RESHAPE, (x,), ShapeAttr((*shape, size) if size > 1 else tuple(shape)))

    def permute(self, x: Node | None = None) -> Node:
        x = x or self.pick()
        order = list(range(len(x.shape)))
        self.random.shuffle(order)
        return self.permuted(x, order)

    def expand(self, x: Node | None = None) -> Node:
        x = x or self.pick()
        shape = (self.random.choice((1, 2, 3)), *x.shape)
        return x if int(np.prod(shape)) > MOST_ELEMENTS else self.spread(x, shape)

    def pad(self, x: Node | None = None) -> Node:
        x = x or self.pick()
        if x.size > MOST_ELEMENTS // 4:
            return x
        before = tuple(self.random.choice((0, 0, 1, 2)) for _ in x.shape)
        after = tuple(self.random.choice((0, 0, 1, 3)) for _ in x.shape)
        fill = const(self.random.choice((0, 0, 1, -2)), x.dtype, "cpu").attr
        assert isinstance(fill, ConstAttr)
        return make(Op.PAD, (x,), PadAttr(before, after, fill))

    def window(self, shape: tuple[int, ...], part: bool = False) -> SliceAttr:
        """A slice of a shape; a `part` leaves most of some axis out."""
        starts: list[Index] = []
        sizes, steps = [], []
        for extent in shape:
            step = self.random.choice((1, 1, 1, 2, 3))
            most = (extent + step - 1) // step
            most = max(1, most // 9) if part and most else most
            size = self.random.randint(0 if extent == 0 else 1, max(1, most))
            size = min(size, most)
            if self.chance(0.03):
                size = 0
            last = extent - (size - 1) * step - 1 if size else 0
            start = self.random.randint(0, max(last, 0))
            if self.chance(0.5) and last > 0:
                starts.append(index.of(Param(self.value(start), 0, last)))
            else:
                starts.append(index.constant(start))
            sizes.append(size)
            steps.append(step)
        return SliceAttr(tuple(starts), tuple(sizes), tuple(steps))

    def slice(self, x: Node | None = None) -> Node:
        x = x or self.pick()
        return make(Op.SLICE, (x,), self.window(x.shape))

    def flip(self, x: Node | None = None) -> Node:
        x = x or self.pick()
        axes = tuple(axis for axis in range(len(x.shape)) if self.chance(0.5))
        return make(Op.FLIP, (x,), AxesAttr(axes))

    def views(self) -> Node:
        """A view of a view of a view."""
        x = self.pick()
        steps = (self.slice, self.flip, self.pad, self.permute, self.reshape, self.expand)
        for _ in range(self.random.randint(2, 6)):
            x = self.random.choice(steps)(x)
        return x

    def same_memory(self) -> Node:
        """An input once more, in another shape."""
        x = self.pick(lambda n: n.op is Op.BUFFER)
        shape = self.reshape(x).shape
        assert isinstance(x.attr, LeafAttr)
        return make(Op.BUFFER, (), LeafAttr(x.attr.slot, shape, x.dtype), "cpu")

    # --- indexed -------------------------------------------------------------------------------

    def indices(self, extent: int, shape: tuple[int, ...], checked: bool) -> Node:
        """Integers inside an axis, with duplicates: an input, or computed from some node. Those
        that nobody has checked lie outside now and then."""
        kinds = [d for d in INDEX_TYPES if extent <= int(d.highest)]
        dtype: DType = self.random.choice(kinds)
        if self.chance(0.3):
            found = [
                spread
                for node in self.pool
                if node.dtype.is_integer and (spread := self.broadcast_to(node, shape)) is not None
            ]
            if found:
                # A modulus by a positive number is inside.
                wide = self.as_dtype(self.random.choice(found), dtypes.int64)
                return self.as_dtype(self.apply(Op.MOD, wide, extent), dtype)
        array = np.array(self.numpy.integers(0, extent, shape))
        if not checked and array.size and self.chance(0.02) and dtype.is_signed:
            array.flat[self.random.randrange(array.size)] = self.random.choice((-1, extent))
        return self.input(array.astype(dtype.numpy), dtype)

    def _tables(self, x: Node, checked: bool) -> tuple[tuple[int, ...], list[Node]] | None:
        """One or two indexed axes of a node and their indices."""
        count = 2 if len(x.shape) > 1 and self.chance(0.35) else 1
        axes = tuple(sorted(self.random.sample(range(len(x.shape)), count)))
        shape = self.random.choice(((), (0,), (1,), (4,), (3, 2), (9,), (40,), (5, 13)))
        picked = int(np.prod([x.shape[axis] for axis in axes]))
        if int(np.prod(shape)) * x.size > MOST_ELEMENTS * picked:
            return None
        if count == 2 and len(shape) == 1 and shape == (x.shape[axes[0]],) and self.chance(0.7):
            rows = build.cast(self._positions(shape[0]), dtypes.int64)
            return axes, [
                rows,
                self.as_dtype(self.indices(x.shape[axes[1]], shape, checked), rows.dtype),
            ]
        return axes, [self.indices(x.shape[axis], shape, checked) for axis in axes]

    def _positions(self, extent: int) -> Node:
        return make(Op.IOTA, (), IotaAttr(extent, dtypes.int64), "cpu")

    def _indexable(self) -> Node:
        return self.pick(lambda n: len(n.shape) > 0 and n.size > 0)

    def gather(self) -> Node:
        x = self._indexable()
        checked = self.chance(0.5)
        found = self._tables(x, checked)
        if found is None:
            return x
        axes, tables = found
        return make(Op.GATHER, (x, *tables), GatherAttr(axes, checked))

    def scatter(self) -> Node:
        x = self._indexable()
        checked = self.chance(0.5)
        found = self._tables(x, checked)
        if found is None:
            return x
        axes, tables = found
        rest = tuple(extent for n, extent in enumerate(x.shape) if n not in axes)
        shape = (*tables[0].shape, *rest)
        value = self.like(build.full_like(0, x)) if shape == x.shape else self.leaf(shape, x.dtype)
        if self.chance(0.5):
            return make(Op.SCATTER, (x, value, *tables), GatherAttr(axes, checked))
        combiner = Combiner.SUM if x.dtype.is_complex else self.random.choice(tuple(Combiner))
        attr = ScatterReduceAttr(axes, checked, combiner)
        return make(Op.SCATTER_REDUCE, (x, value, *tables), attr)

    # --- updates -------------------------------------------------------------------------------

    def update(self, x: Node | None = None) -> Node:
        x = x or self.pick()
        window = self.window(x.shape, part=self.chance(0.5))
        part = make(Op.SLICE, (x,), window)
        value = self.like(part) if self.chance(0.5) else self._own_part(x, part)
        return make(Op.UPDATE, (x, value), window)

    def _own_part(self, x: Node, part: Node) -> Node:
        """A value that reads the base it is written to: at the same place, or elsewhere."""
        if self.chance(0.3):
            other = self.window(x.shape)
            if other.sizes == part.shape:
                part = make(Op.SLICE, (x,), other)
            elif self.chance(0.5):
                part = make(Op.FLIP, (part,), AxesAttr(tuple(range(len(part.shape)))))
        if x.dtype.is_bool:
            return make(Op.NOT, (part,))
        return make(Op.ADD, (part, self.like(part)))

    def concat(self) -> Node:
        """Few parts or many, some of them empty, some of them parts of another."""
        x = self.pick(lambda n: bool(n.shape) and n.size <= MOST_ELEMENTS // 8)
        axis, parts = self.random.randrange(len(x.shape)), [x]
        for _ in range(self.random.choice((1, 1, 2, 5, 20))):
            part = self.like(x) if self.chance(0.5) else x
            if self.chance(0.5):
                size = self.random.randint(0, x.shape[axis])
                sizes = (*x.shape[:axis], size, *x.shape[axis + 1 :])
                attr = SliceAttr((index.ZERO,) * len(sizes), sizes, (1,) * len(sizes))
                part = make(Op.SLICE, (part,), attr)
            parts.append(part)
            if sum(part.size for part in parts) > MOST_ELEMENTS:
                break
        ends = accumulate(part.shape[axis] for part in parts)
        return make(Op.CONCAT, tuple(parts), ConcatAttr(axis, (0, *ends)[: len(parts)]))

    def update_chain(self) -> Node:
        """Several writes to one memory, with readers of the versions in between."""
        x = self.pick(lambda n: n.size > 0)
        if self.chance(0.6):
            x = self.leaf(self.shape(), self.random.choice(self.dtypes))
            self.pool.append(x)
        for _ in range(self.random.randint(2, 8)):
            x = self.update(x)
            if self.chance(0.4):
                self.pool.append(x)
            if self.chance(0.3):
                self.pool.append(self.slice(x))
            if self.chance(0.1):
                x = self.reshape(x)
        return x
