"""Random canonical graphs with the arrays and numbers that they need to run."""

from __future__ import annotations

import numpy as np

from picograd import dtypes
from picograd.graph import index
from picograd.graph.index import Index, Param
from picograd.graph.node import Node, const, make
from picograd.graph.ops import (
    COMPARISONS,
    AxesAttr,
    Combiner,
    ConstAttr,
    GatherAttr,
    IotaAttr,
    LeafAttr,
    Op,
    PadAttr,
    RandomAttr,
    ReduceAttr,
    ScanAttr,
    ScatterReduceAttr,
    ShapeAttr,
    SliceAttr,
)
from tests.fuzz.parts import MOST_ELEMENTS, Case, Parts

FLOAT_UNARY = (
    Op.SQRT, Op.RECIPROCAL, Op.EXP, Op.EXP2, Op.EXPM1, Op.LOG, Op.LOG2, Op.LOG1P, Op.SIN, Op.COS,
    Op.TANH, Op.ATAN, Op.ERF,
)  # fmt: skip
ROUNDING = (Op.FLOOR, Op.CEIL, Op.TRUNC, Op.ROUND)
ARITHMETIC = (Op.ADD, Op.SUB, Op.MUL, Op.MAXIMUM, Op.MINIMUM)
DIVISION = (Op.FLOORDIV, Op.MOD)
BITS = (Op.AND, Op.OR, Op.XOR)


class Generator(Parts):
    """Grows one graph, node by node."""

    # --- one node of each kind -----------------------------------------------------------------

    def unary(self) -> Node:
        kind = self.random.random()
        if kind < 0.45:
            x = self.pick(lambda n: n.dtype.is_float)
            return make(self.random.choice(FLOAT_UNARY), (x,)) if x.dtype.is_float else x
        if kind < 0.6:
            x = self.pick(lambda n: n.dtype.is_float)
            return make(self.random.choice(ROUNDING), (x,)) if x.dtype.is_float else x
        if kind < 0.8:
            x = self.pick(lambda n: not n.dtype.is_bool)
            return x if x.dtype.is_bool else make(self.random.choice((Op.NEG, Op.ABS)), (x,))
        if kind < 0.9:
            x = self.pick(lambda n: not n.dtype.is_float)
            return x if x.dtype.is_float else make(Op.NOT, (x,))
        return self.as_dtype(self.pick(), self.random.choice(self.dtypes))

    def binary(self) -> Node:
        a = self.pick()
        b = self.like(a)
        if self.random.random() < 0.5:
            a, b = b, a
        if self.random.random() < 0.25:
            return make(self.random.choice(sorted(COMPARISONS, key=lambda op: op.name)), (a, b))
        if a.dtype.is_bool:
            return make(self.random.choice(BITS), (a, b))
        if a.dtype.is_float and self.random.random() < 0.2:
            return make(self.random.choice((Op.DIV, Op.POW)), (a, b))
        if self.random.random() < 0.15:
            return make(self.random.choice(DIVISION), (a, b))
        if a.dtype.is_integer and self.random.random() < 0.3:
            return make(self.random.choice((*BITS, Op.SHL, Op.SHR)), (a, b))
        return make(self.random.choice(ARITHMETIC), (a, b))

    def where(self) -> Node:
        a = self.pick()
        return make(Op.WHERE, (self.like(a, dtypes.bool_), a, self.like(a)))

    def contraction(self) -> Node:
        dtype = self.random.choice((dtypes.float32, dtypes.float64, dtypes.int32, *self.dtypes))
        if dtype.is_bool:
            dtype = dtypes.float32
        batch = self.random.choice(((), (), (2,), (3,)))
        m, n, k = (self.random.choice((1, 2, 5, 16, 17, 40)) for _ in range(3))
        a, b = self.leaf((*batch, m, k), dtype), self.leaf((*batch, k, n), dtype)
        full = (*batch, m, n, k)
        rank = len(batch)
        left = make(Op.RESHAPE, (a,), ShapeAttr((*batch, m, 1, k)))
        if self.random.random() < 0.5:
            order = (*range(rank), rank + 1, rank)
            b = make(Op.PERMUTE, (b,), AxesAttr(order))
        else:
            b = self.leaf((*batch, n, k), dtype)
        right = make(Op.RESHAPE, (b,), ShapeAttr((*batch, 1, n, k)))
        product = make(
            Op.MUL,
            (make(Op.EXPAND, (left,), ShapeAttr(full)), make(Op.EXPAND, (right,), ShapeAttr(full))),
        )
        return make(Op.REDUCE, (product,), ReduceAttr(Combiner.SUM, (rank + 2,)))

    def reduce(self) -> Node:
        x = self.pick(lambda n: len(n.shape) > 0)
        if not x.shape:
            return x
        axes = sorted(self.random.sample(range(len(x.shape)), self.random.randint(1, len(x.shape))))
        combiner = self.random.choice(
            (Combiner.SUM, Combiner.SUM, Combiner.MAX, Combiner.MIN, Combiner.PROD)
        )
        if x.dtype.is_bool:
            combiner = self.random.choice((Combiner.MAX, Combiner.MIN))
        return make(Op.REDUCE, (x,), ReduceAttr(combiner, tuple(axes)))

    def centred(self) -> Node:
        """x minus (or over) its own reduction: the pattern of row fusion."""
        x = self.pick(lambda n: len(n.shape) > 0 and n.dtype.is_float)
        if not x.shape or not x.dtype.is_float:
            return x
        axis = self.random.randrange(len(x.shape))
        combiner = self.random.choice((Combiner.MAX, Combiner.SUM))
        total = make(Op.REDUCE, (x,), ReduceAttr(combiner, (axis,)))
        kept = tuple(1 if n == axis else e for n, e in enumerate(x.shape))
        spread = make(Op.RESHAPE, (total,), ShapeAttr(kept))
        spread = make(Op.EXPAND, (spread,), ShapeAttr(x.shape))
        return make(Op.SUB, (x, spread))

    def scan(self) -> Node:
        x = self.pick(lambda n: len(n.shape) > 0 and not n.dtype.is_bool)
        if not x.shape or x.dtype.is_bool:
            return x
        combiner = self.random.choice((Combiner.SUM, Combiner.MAX, Combiner.MIN))
        return make(Op.SCAN, (x,), ScanAttr(combiner, self.random.randrange(len(x.shape))))

    def reshape(self) -> Node:
        x = self.pick(lambda n: n.size > 0)
        size, shape = x.size, []
        while size > 1 and self.random.random() < 0.8:
            divisors = [d for d in range(1, size + 1) if size % d == 0]
            shape.append(self.random.choice(divisors))
            size //= shape[-1]
        return make(Op.RESHAPE, (x,), ShapeAttr((*shape, size) if size > 1 else tuple(shape)))

    def permute(self) -> Node:
        x = self.pick()
        order = list(range(len(x.shape)))
        self.random.shuffle(order)
        return make(Op.PERMUTE, (x,), AxesAttr(tuple(order)))

    def expand(self) -> Node:
        x = self.pick()
        shape = (self.random.choice((1, 2, 3)), *x.shape)
        if int(np.prod(shape)) > MOST_ELEMENTS:
            return x
        result = self.broadcast_to(x, shape)
        assert result is not None
        return result

    def pad(self) -> Node:
        x = self.pick()
        before = tuple(self.random.choice((0, 0, 1, 2)) for _ in x.shape)
        after = tuple(self.random.choice((0, 0, 1, 3)) for _ in x.shape)
        if x.size > MOST_ELEMENTS // 4:
            return x
        fill = const(self.random.choice((0, 0, 1, -2)), x.dtype, "cpu").attr
        assert isinstance(fill, ConstAttr)
        return make(Op.PAD, (x,), PadAttr(before, after, fill))

    def window(self, shape: tuple[int, ...]) -> SliceAttr:
        starts: list[Index] = []
        sizes, steps = [], []
        for extent in shape:
            step = self.random.choice((1, 1, 1, 2, 3))
            size = self.random.randint(0 if extent == 0 else 1, max(1, (extent + step - 1) // step))
            size = min(size, (extent + step - 1) // step)
            last = extent - (size - 1) * step - 1 if size else 0
            start = self.random.randint(0, max(last, 0))
            if self.random.random() < 0.5 and last > 0:
                starts.append(index.of(Param(self.value(start), 0, last)))
            else:
                starts.append(index.constant(start))
            sizes.append(size)
            steps.append(step)
        return SliceAttr(tuple(starts), tuple(sizes), tuple(steps))

    def slice(self) -> Node:
        x = self.pick()
        return make(Op.SLICE, (x,), self.window(x.shape))

    def flip(self) -> Node:
        x = self.pick()
        axes = tuple(axis for axis in range(len(x.shape)) if self.random.random() < 0.5)
        return make(Op.FLIP, (x,), AxesAttr(axes))

    def update(self) -> Node:
        x = self.pick()
        window = self.window(x.shape)
        part = make(Op.SLICE, (x,), window)
        value = self.like(part) if self.random.random() < 0.5 else self._own_part(x, part)
        return make(Op.UPDATE, (x, value), window)

    def _own_part(self, x: Node, part: Node) -> Node:
        """A value that reads the base it is written to."""
        if x.dtype.is_bool:
            return make(Op.NOT, (part,))
        return make(Op.ADD, (part, self.like(part)))

    def indices(self, extent: int) -> Node:
        shape = self.random.choice(((), (4,), (3, 2), (9,)))
        array = self.numpy.integers(0, extent, shape).astype(np.int64)
        self.arrays.append(array)
        attr = LeafAttr(len(self.arrays) - 1, shape, dtypes.int64)
        return make(Op.BUFFER, (), attr, "cpu")

    def gather(self) -> Node:
        x = self.pick(lambda n: len(n.shape) > 0 and n.size > 0)
        if not x.shape or not x.size:
            return x
        axis = self.random.randrange(len(x.shape))
        chosen = self.indices(x.shape[axis])
        if chosen.size * x.size > MOST_ELEMENTS * x.shape[axis]:
            return x
        return make(Op.GATHER, (x, chosen), GatherAttr((axis,), self.random.random() < 0.5))

    def scatter(self) -> Node:
        x = self.pick(lambda n: len(n.shape) > 0 and n.size > 0)
        if not x.shape or not x.size:
            return x
        axis = self.random.randrange(len(x.shape))
        chosen = self.indices(x.shape[axis])
        if chosen.size * x.size > MOST_ELEMENTS * x.shape[axis]:
            return x
        rest = tuple(e for n, e in enumerate(x.shape) if n != axis)
        value = self.leaf((*chosen.shape, *rest), x.dtype)
        checked = self.random.random() < 0.5
        if self.random.random() < 0.5:
            return make(Op.SCATTER, (x, value, chosen), GatherAttr((axis,), checked))
        combiner = Combiner.MAX if x.dtype.is_bool else self.random.choice(tuple(Combiner))
        attr = ScatterReduceAttr((axis,), checked, combiner)
        return make(Op.SCATTER_REDUCE, (x, value, chosen), attr)

    def iota(self) -> Node:
        dtype = self.random.choice((dtypes.int64, dtypes.int32))
        return make(Op.IOTA, (), IotaAttr(self.random.choice((1, 3, 17, 64)), dtype), "cpu")

    def randomness(self) -> Node:
        seed = index.of(
            Param(self.value(self.random.randrange(1 << 40)), -(1 << 63), (1 << 63) - 1)
        )
        call = index.of(
            Param(self.value(self.random.randrange(1 << 40)), -(1 << 63), (1 << 63) - 1)
        )
        attr = RandomAttr(self.shape(), self.random.randrange(4), seed, call)
        return make(Op.RANDOM, (), attr, "cpu")

    def case(self) -> Case:
        """A graph of 3 to 30 ops with one to three outputs."""
        kinds = {
            self.unary: 5, self.binary: 7, self.where: 1, self.reduce: 3, self.centred: 2,
            self.scan: 1, self.reshape: 2, self.permute: 2, self.expand: 1, self.pad: 1,
            self.slice: 2, self.flip: 1, self.update: 1, self.gather: 1, self.scatter: 0.5,
            self.contraction: 1, self.iota: 0.3, self.randomness: 0.2,
        }  # fmt: skip
        self.pool.append(self.leaf(self.shape(), self.random.choice(self.dtypes)))
        for _ in range(self.random.randint(3, 30)):
            made = self.random.choices(list(kinds), list(kinds.values()))[0]()
            self.pool.append(made)
        used = {id(src) for node in self.pool for src in node.srcs}
        ends = [n for n in self.pool if id(n) not in used and n.op is not Op.BUFFER]
        ends = ends or [n for n in self.pool if n.op is not Op.BUFFER] or self.pool
        outputs = self.random.sample(ends, min(len(ends), self.random.randint(1, 3)))
        return Case(list(dict.fromkeys(outputs)), self.arrays, self.values)
