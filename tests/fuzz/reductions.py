"""Random reductions: plain ones, scans, rows as in softmax, and contractions.

In: the pool of `Parts`. Out: one node a call, used by `tests.fuzz.graphs`.
"""

from __future__ import annotations

from picograd import dtypes
from picograd.dtypes import DType
from picograd.graph import build
from picograd.graph.node import Node, make
from picograd.graph.ops import Combiner as C
from picograd.graph.ops import GatherAttr, IotaAttr, Op, ScanAttr
from tests.fuzz.parts import Parts

ROW_LENGTHS = (1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 128, 129, 250, 511, 1000)
LONG_ROWS = (1023, 1025, 2000, 3001, 4096, 4097, 5000)
MOST_ROW_ELEMENTS = 12_000


class Reductions(Parts):
    """Reductions, scans and rows."""

    def combiner(self, dtype: DType) -> C:
        if dtype.is_complex:
            return self.random.choice((C.SUM, C.SUM, C.PROD))
        return self.random.choice((C.SUM, C.SUM, C.MAX, C.MIN, C.PROD))

    def reduce(self) -> Node:
        x = self.pick(lambda n: len(n.shape) > 0)
        axes = self.random.sample(range(len(x.shape)), self.random.randint(1, len(x.shape)))
        return self.fold(self.combiner(x.dtype), x, axes)

    def centred(self) -> Node:
        """x minus its own reduction: the pattern of row fusion."""
        x = self.pick(lambda n: len(n.shape) > 0 and n.dtype.is_float)
        axis = self.random.randrange(len(x.shape))
        return self.apply(
            Op.SUB, x, self.fold(self.random.choice((C.MAX, C.SUM)), x, (axis,), True)
        )

    def scan(self) -> Node:
        x = self.pick(lambda n: len(n.shape) > 0)
        attr = ScanAttr(self.combiner(x.dtype), self.random.randrange(len(x.shape)))
        return make(Op.SCAN, (x,), attr)

    def scan_and_reduce(self) -> Node:
        """A running sum next to the whole sum of the same row."""
        x = self.pick(lambda n: len(n.shape) > 0 and n.dtype.is_float)
        axis = self.random.randrange(len(x.shape))
        running = make(Op.SCAN, (x,), ScanAttr(self.random.choice((C.SUM, C.MAX)), axis))
        total = self.fold(self.random.choice((C.SUM, C.MAX)), x, (axis,), True)
        return make(self.random.choice((Op.SUB, Op.DIV, Op.MAXIMUM)), (running, total))

    # --- rows ----------------------------------------------------------------------------------

    def rows(self) -> Node:
        """A pattern of row fusion on a new matrix or a picked node."""
        x = self._row_source()
        axis = len(x.shape) - 1 if self.chance(0.75) else self.random.randrange(len(x.shape))
        if self.chance(0.3):
            x = self.apply(Op.MUL, x, self.spread(self.number(x.dtype), x.shape))
        kinds = (
            self._softmax, self._log_softmax, self._layernorm, self._cross_entropy, self._extreme,
            self._softmax_gradient, self._norm, self._standardised,
        )  # fmt: skip
        return self.random.choice(kinds)(x, axis)

    def _row_source(self) -> Node:
        if self.chance(0.3):
            return self.pick(lambda n: len(n.shape) > 0 and n.size > 0 and n.dtype.is_float)
        length = self.random.choice(ROW_LENGTHS if self.chance(0.7) else LONG_ROWS)
        most = max(1, MOST_ROW_ELEMENTS // length)
        count = self.random.choice([n for n in (1, 2, 3, 7, 16, 33, 70) if n <= most])
        shape = (count, length) if self.chance(0.7) else (length, count)
        if self.chance(0.2) and count % 2 == 0:
            shape = (2, shape[0] // 2, shape[1]) if shape[0] % 2 == 0 else shape
        kind = dtypes.float32 if self.chance(0.6) else self.random.choice(self.dtypes)
        x = self.leaf(shape, kind if kind.is_float else dtypes.float32)
        self.pool.append(x)
        return x

    def _softmax(self, x: Node, axis: int) -> Node:
        shifted = self.apply(Op.SUB, x, self.fold(C.MAX, x, (axis,), True))
        exponents = make(Op.EXP, (shifted,))
        return self.apply(Op.DIV, exponents, self.fold(C.SUM, exponents, (axis,), True))

    def _log_softmax(self, x: Node, axis: int) -> Node:
        shifted = self.apply(Op.SUB, x, self.fold(C.MAX, x, (axis,), True))
        total = self.fold(C.SUM, make(Op.EXP, (shifted,)), (axis,), True)
        return self.apply(Op.SUB, shifted, make(Op.LOG, (total,)))

    def _softmax_gradient(self, x: Node, axis: int) -> Node:
        y = self._softmax(x, axis)
        gradient = self.like(x)
        product = self.apply(Op.MUL, y, gradient)
        if self.chance(0.5):
            self.pool.append(y)
        inner = self.apply(Op.SUB, gradient, self.fold(C.SUM, product, (axis,), True))
        return self.apply(Op.MUL, y, inner)

    def _standardised(self, x: Node, axis: int) -> Node:
        """Mean and variance in one go, as from sums of x and of its square."""
        scale = 1.0 / x.shape[axis]
        mean = self.apply(Op.MUL, self.fold(C.SUM, x, (axis,)), scale)
        square = self.apply(Op.MUL, self.fold(C.SUM, self.apply(Op.MUL, x, x), (axis,)), scale)
        self.pool.append(mean)
        return self.apply(Op.SUB, square, self.apply(Op.MUL, mean, mean))

    def _layernorm(self, x: Node, axis: int) -> Node:
        scale = 1.0 / x.shape[axis]
        mean = self.apply(Op.MUL, self.fold(C.SUM, x, (axis,), True), scale)
        centred = self.apply(Op.SUB, x, mean)
        squares = self.apply(Op.MUL, centred, centred)
        variance = self.apply(Op.MUL, self.fold(C.SUM, squares, (axis,), True), scale)
        deviation = make(Op.SQRT, (self.apply(Op.ADD, variance, 1e-2),))
        normal = self.apply(Op.DIV, centred, deviation)
        weighted = self.apply(Op.MUL, normal, self.like(normal))
        return self.apply(Op.ADD, weighted, self.like(weighted))

    def _norm(self, x: Node, axis: int) -> Node:
        squares = self.fold(C.SUM, self.apply(Op.MUL, x, x), (axis,), True)
        return self.apply(Op.DIV, x, make(Op.SQRT, (self.apply(Op.ADD, squares, 1.0),)))

    def _cross_entropy(self, x: Node, axis: int) -> Node:
        """The mean of the log-softmax at one place of each row."""
        if len(x.shape) != 2:
            return self._log_softmax(x, axis)
        logits = self._log_softmax(x, 1)
        count, classes = x.shape
        target = self.input(self.numpy.integers(0, classes, count), dtypes.int64)
        rows = make(Op.IOTA, (), IotaAttr(count, dtypes.int64), "cpu")
        chosen = make(Op.GATHER, (logits, rows, target), GatherAttr((0, 1), self.chance(0.5)))
        if self.chance(0.5):
            self.pool.append(chosen)
        return self.apply(Op.MUL, self.fold(C.SUM, chosen, (0,)), -1.0 / count)

    def _extreme(self, x: Node, axis: int) -> Node:
        """Where the largest or smallest value stands first."""
        best = self.fold(self.random.choice((C.MAX, C.MIN)), x, (axis,), True)
        length = x.shape[axis]
        places = make(Op.IOTA, (), IotaAttr(length, dtypes.int64), "cpu")
        column = tuple(length if n == axis else 1 for n in range(len(x.shape)))
        places = build.expand(build.reshape(places, column), x.shape)
        found = make(Op.EQ, (x, best))
        return self.fold(
            C.MIN, make(Op.WHERE, (found, places, build.full_like(length, places))), (axis,)
        )
