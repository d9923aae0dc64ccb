"""Random elementwise nodes of every dtype.

In: the pool of `Parts`. Out: one node a call, used by `tests.fuzz.graphs`.
"""

from __future__ import annotations

from picograd import dtypes
from picograd.graph import index
from picograd.graph.index import Param
from picograd.graph.node import Node, make
from picograd.graph.ops import CastAttr, IotaAttr, Op, RandomAttr
from tests.fuzz.parts import REAL, Parts

INEXACT_UNARY = (
    Op.SQRT, Op.RECIPROCAL, Op.EXP, Op.EXP2, Op.EXPM1, Op.LOG, Op.LOG2, Op.LOG1P, Op.SIN, Op.COS,
    Op.TANH, Op.ATAN,
)  # fmt: skip
FLOAT_UNARY = (*INEXACT_UNARY, Op.ERF)
ROUNDING = (Op.FLOOR, Op.CEIL, Op.TRUNC, Op.ROUND)
RING = (Op.ADD, Op.SUB, Op.MUL)
ARITHMETIC = (*RING, Op.MAXIMUM, Op.MINIMUM)
DIVISION = (Op.FLOORDIV, Op.MOD)
BITS = (Op.AND, Op.OR, Op.XOR)
EQUALITIES = (Op.EQ, Op.NE)
COMPARISONS = (*EQUALITIES, Op.LT, Op.LE)


class Pointwise(Parts):
    """Elementwise nodes."""

    def unary(self) -> Node:
        kind = self.random.random()
        if kind < 0.5:
            x = self.pick(lambda n: n.dtype.is_float or n.dtype.is_complex)
            names = INEXACT_UNARY if x.dtype.is_complex else FLOAT_UNARY
            return make(self.random.choice(names), (x,))
        if kind < 0.62:
            x = self.pick(lambda n: n.dtype.is_float or n.dtype.is_integer)
            return make(self.random.choice(ROUNDING), (x,))
        if kind < 0.75:
            x = self.pick(lambda n: not n.dtype.is_bool)
            return make(self.random.choice((Op.NEG, Op.ABS)), (x,))
        if kind < 0.83:
            return make(Op.NOT, (self.pick(lambda n: n.dtype.is_integer or n.dtype.is_bool),))
        if kind < 0.88:
            x = self.pick(lambda n: not n.dtype.is_bool and not n.dtype.is_complex)
            same = [d for d in REAL if d.itemsize == x.dtype.itemsize and not d.is_bool]
            return make(Op.BITCAST, (x,), CastAttr(self.random.choice(same)))
        return self.as_dtype(self.pick(), self.random.choice(self.dtypes))

    def binary(self) -> Node:
        a = self.pick()
        b = self.like(a)
        if self.chance(0.5):
            a, b = b, a
        return make(self._binary_op(a), (a, b))

    def _binary_op(self, a: Node) -> Op:
        choose = self.random.choice
        if self.chance(0.2):
            return choose(EQUALITIES if a.dtype.is_complex else COMPARISONS)
        if a.dtype.is_bool:
            return choose((*BITS, *ARITHMETIC))
        if a.dtype.is_complex:
            return choose((*RING, *RING, Op.DIV, Op.POW))
        if a.dtype.is_float and self.chance(0.2):
            return choose((Op.DIV, Op.POW))
        if self.chance(0.15):
            return choose(DIVISION)
        if a.dtype.is_integer and self.chance(0.35):
            return choose((*BITS, Op.SHL, Op.SHR, Op.POW))
        return choose(ARITHMETIC)

    def where(self) -> Node:
        a = self.pick()
        return make(Op.WHERE, (self.like(a, dtypes.bool_), a, self.like(a)))

    def complex_numbers(self) -> Node:
        """Into the complex numbers, or out of them."""
        if self.chance(0.4):
            x = self.pick(lambda n: n.dtype in (dtypes.float32, dtypes.float64))
            y = self.like(x)
            return make(Op.COMPLEX, (x, y) if self.chance(0.5) else (y, x))
        x = self.pick(lambda n: n.dtype.is_complex)
        return make(self.random.choice((Op.REAL, Op.IMAG, Op.ABS)), (x,))

    def iota(self) -> Node:
        dtype = self.random.choice((dtypes.int64, dtypes.int32, dtypes.uint8, dtypes.int16))
        return make(Op.IOTA, (), IotaAttr(self.random.choice((1, 3, 17, 64, 130)), dtype), "cpu")

    def random_bits(self, shape: tuple[int, ...]) -> Node:
        low, high = -(1 << 63), (1 << 63) - 1
        seed = index.of(Param(self.value(self.random.randrange(1 << 40)), low, high))
        call = index.of(Param(self.value(self.random.randrange(1 << 40)), low, high))
        attr = RandomAttr(shape, self.random.randrange(4), seed, call)
        return make(Op.RANDOM, (), attr, "cpu")

    def randomness(self) -> Node:
        """Random words, or a dropout of some node."""
        if self.chance(0.4):
            return self.random_bits(self.shape())
        x = self.pick(lambda n: n.dtype.is_float)
        bits = self.random_bits(x.shape)
        kept = self.apply(Op.LT, bits, 1 << 31)
        return make(Op.WHERE, (kept, self.apply(Op.MUL, x, 2.0), self.apply(Op.SUB, x, x)))
