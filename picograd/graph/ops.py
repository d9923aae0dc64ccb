"""The closed set of operations: three families, leaves, and what each member carries.

In: nothing but element types. Out: `Op`, `Family`, `FAMILY` and one attribute dataclass per op
that needs one. Everything a tensor program does becomes nodes of these ops:

* elementwise  `y[i] = f(a[i], b[i], ...)`
* reduce       `y[i] = (+)_r x[i, r]`, its prefix form and its by-index form
* movement     `y[i] = x[g(i)]` where a mask holds, and the same map in the writing direction

An op is a row across tables: its NumPy meaning is in `graph/interpret.py`, its shape and dtype
rule in `graph/infer.py`, its derivative in `frontend/derivatives*.py`, its LLVM and CUDA forms in
`codegen/llvm/ops.py` and `codegen/cuda/ops.py`. A test fails when a row has an empty column.

SEMANTICS (what every backend must compute; the interpreter is the executable form)

* Integers wrap around (two's complement). Bool arithmetic: ADD is or, MUL is and, SUB is xor.
* Floats follow IEEE 754 with round-to-nearest-even; each node rounds to its dtype, even when it
  is fused, except inside the accumulator of a reduce: that of a SUM may take the products of a
  MUL unrounded. float16 and bfloat16 compute in float32 and round once per node. No fast-math:
  NaN, infinities and -0 are kept (a SUM of zeros may have either sign).
* DIV is true division of floats. FLOORDIV and MOD round towards minus infinity (torch's
  `floor_divide` and `remainder`; Python's `//` and `%`); for integers a zero divisor gives 0, and
  INT_MIN // -1 wraps to INT_MIN. Float MOD is `r = fmod(a, b)`, then `r + b` where r is not 0 and
  has the other sign than b. Float FLOORDIV is `q = (a - fmod(a, b)) / b`, less 1 where MOD added
  b, rounded to the nearest integer (a zero gets the sign of a/b); a zero divisor gives `a / b`.
* POW of integers: a negative exponent gives 1 for base 1, +-1 for base -1, else 0. POW of floats is
  C's `pow` (`pow(x, 0) = pow(1, y) = 1` even for NaN).
* MAXIMUM, MINIMUM and the MAX/MIN reductions propagate NaN; of 0 and -0 they may give either.
  Comparisons with NaN are false, NE is true.
* SHL/SHR by a count outside [0, bits) give 0 (SHR of a negative number: -1); SHR is arithmetic
  for signed types.
* ROUND is half-to-even. FLOOR, CEIL, TRUNC and ROUND leave integers alone.
* CAST float->int truncates; out of range or NaN gives the least value of int32/int64 and, for
  8 and 16 bits, the low bits of that int32 (what x86 gives); uint32 takes the low bits of the
  int64, uint64 all of them. CAST to bool is `x != 0`; complex -> real drops the imaginary part; to
  float16 and bfloat16 every number goes through float32.
* A reduce over an empty axis gives its identity: 0 for SUM, 1 for PROD, the dtype's lowest/highest
  for MAX/MIN. SUM and PROD of float16/bfloat16 accumulate in float32. The order of a float
  reduction is unspecified but depends on shapes alone.
* GATHER indices outside [0, size) are an IndexError unless the attribute says `checked`. A node
  that no output depends on after simplification (`gather % 1`) may go, and its check with it.
* UPDATE and SCATTER: the last write in row-major order of the value wins.
* RANDOM is Philox4x32-10 with key = seed (low, high) and counter = (i low, i high, call low,
  call high) for the row-major position i; it returns the 32-bit word that the attribute names.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from picograd.dtypes import DType
from picograd.graph.index import Index

if TYPE_CHECKING:
    from collections.abc import Hashable

Shape = tuple[int, ...]


class Family(Enum):
    """The families of the op table."""

    LEAF = auto()
    ELEMENTWISE = auto()
    REDUCE = auto()
    MOVEMENT = auto()


class Op(Enum):
    """Every operation of the graph."""

    __hash__ = object.__hash__  # members are single objects; Enum would hash their names in Python

    # --- leaves -----------------------------------------------------------------------------
    BUFFER = auto()  # realised memory; the graph sees it as an opaque value
    CONST = auto()  # a 0-d number baked into the kernel
    PARAMETER = auto()  # a 0-d number given at run time (only in canonical graphs)
    IOTA = auto()  # y[i] = i, shape (n,)
    RANDOM = auto()  # counter-based random uint32
    # --- elementwise: unary -----------------------------------------------------------------
    NEG = auto()
    ABS = auto()
    NOT = auto()  # bitwise; logical for bool
    SQRT = auto()
    RECIPROCAL = auto()
    EXP = auto()
    EXP2 = auto()
    EXPM1 = auto()
    LOG = auto()
    LOG2 = auto()
    LOG1P = auto()
    SIN = auto()
    COS = auto()
    TANH = auto()
    ATAN = auto()
    ERF = auto()
    FLOOR = auto()
    CEIL = auto()
    TRUNC = auto()
    ROUND = auto()
    CAST = auto()
    BITCAST = auto()  # same itemsize only
    # --- elementwise: binary (both sources have the node's shape and one dtype) -----------------
    ADD = auto()
    SUB = auto()
    MUL = auto()
    DIV = auto()
    FLOORDIV = auto()
    MOD = auto()
    POW = auto()
    MAXIMUM = auto()
    MINIMUM = auto()
    EQ = auto()  # comparisons give bool
    NE = auto()
    LT = auto()
    LE = auto()
    AND = auto()
    OR = auto()
    XOR = auto()
    SHL = auto()
    SHR = auto()
    # --- elementwise: ternary -----------------------------------------------------------------
    WHERE = auto()  # (bool condition, a, b)
    # --- elementwise: complex numbers ------------------------------------------------------------
    COMPLEX = auto()  # (real, imaginary) -> complex
    REAL = auto()
    IMAG = auto()
    # --- reduce -------------------------------------------------------------------------------
    REDUCE = auto()  # y[i] = (+)_r x[i, r]; the reduced axes are removed from the shape
    SCAN = auto()  # y[i] = (+)_{r <= i} x[r] along one axis (prefix)
    SCATTER_REDUCE = auto()  # (base, value, index...): y = base; y[index[j]] (+)= value[j]
    # --- movement -----------------------------------------------------------------------------
    RESHAPE = auto()
    PERMUTE = auto()
    EXPAND = auto()  # axes of extent 1 repeat; the rank stays
    PAD = auto()
    SLICE = auto()  # start, size and positive step per axis
    FLIP = auto()
    GATHER = auto()  # (x, index...): table g
    UPDATE = auto()  # (base, value): base with a SLICE of it replaced
    CONCAT = auto()  # (part...): one after the other along an axis
    SCATTER = auto()  # (base, value, index...): base with base[index] = value, last write wins


class Combiner(Enum):
    """The associative operation of a reduce."""

    __hash__ = object.__hash__

    SUM = auto()
    PROD = auto()
    MAX = auto()
    MIN = auto()


LEAVES = frozenset({Op.BUFFER, Op.CONST, Op.PARAMETER, Op.IOTA, Op.RANDOM})
REDUCES = frozenset({Op.REDUCE, Op.SCAN, Op.SCATTER_REDUCE})
MOVEMENTS = frozenset(
    {
        Op.RESHAPE,
        Op.PERMUTE,
        Op.EXPAND,
        Op.PAD,
        Op.SLICE,
        Op.FLIP,
        Op.GATHER,
        Op.UPDATE,
        Op.CONCAT,
        Op.SCATTER,
    }
)
ELEMENTWISE = frozenset(Op) - LEAVES - REDUCES - MOVEMENTS
COMPARISONS = frozenset({Op.EQ, Op.NE, Op.LT, Op.LE})

FAMILY: dict[Op, Family] = {
    **dict.fromkeys(LEAVES, Family.LEAF),
    **dict.fromkeys(ELEMENTWISE, Family.ELEMENTWISE),
    **dict.fromkeys(REDUCES, Family.REDUCE),
    **dict.fromkeys(MOVEMENTS, Family.MOVEMENT),
}


# Attributes: one frozen dataclass per kind of payload. `structure()` is what the structural key of
# a program sees: the values that are given at run time (a slice's starts, a constant's number,
# a random counter) are left out of it and listed by `values()` instead, in a fixed order.


@dataclass(frozen=True, slots=True)
class NoAttr:
    """For the ops that carry nothing."""

    def structure(self) -> Hashable:
        return None

    def values(self) -> tuple[int | float | complex | bool, ...]:
        return ()


NO_ATTR = NoAttr()


@dataclass(frozen=True, slots=True, eq=False)
class ConstAttr:
    """A number of a given dtype. Equality is of dtype and bits: -0.0 is not 0.0, NaN is NaN."""

    value: int | float | complex | bool
    dtype: DType

    @property
    def identity(self) -> Hashable:
        """What equality compares: floats by their bits."""
        value = self.value
        if isinstance(value, float):
            return (struct.pack("<d", value) if not math.isnan(value) else "nan", self.dtype)
        if isinstance(value, complex):
            return (struct.pack("<dd", value.real, value.imag), self.dtype)
        return (int(value), self.dtype)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConstAttr) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def structure(self) -> Hashable:
        return self.dtype

    def values(self) -> tuple[int | float | complex | bool, ...]:
        return (self.value,)


@dataclass(frozen=True, slots=True)
class LeafAttr(NoAttr):
    """A numbered leaf of a canonical graph: buffer `slot` or run-time number `slot`."""

    slot: int
    shape: Shape
    dtype: DType

    def structure(self) -> Hashable:
        return self


@dataclass(frozen=True, slots=True)
class IotaAttr(NoAttr):
    """`y[i] = i` for `i < extent`."""

    extent: int
    dtype: DType

    def structure(self) -> Hashable:
        return self


@dataclass(frozen=True, slots=True)
class RandomAttr:
    """Word `word` (0..3) of the Philox block of each element. Seed and call are unsigned 64-bit."""

    shape: Shape
    word: int
    seed: int | Index
    call: int | Index

    def structure(self) -> Hashable:
        return (self.shape, self.word)

    def values(self) -> tuple[int, ...]:
        assert isinstance(self.seed, int) and isinstance(self.call, int)
        return (self.seed, self.call)


@dataclass(frozen=True, slots=True)
class CastAttr(NoAttr):
    """The target of CAST and BITCAST."""

    dtype: DType

    def structure(self) -> Hashable:
        return self


@dataclass(frozen=True, slots=True)
class ReduceAttr(NoAttr):
    """Which axes a REDUCE removes (sorted, not negative), and how it combines. `coarse`: where
    it sums products of float32, a GPU may round the factors to TensorFloat32."""

    combiner: Combiner
    axes: tuple[int, ...]
    coarse: bool = False

    def structure(self) -> Hashable:
        return self


@dataclass(frozen=True, slots=True)
class ScanAttr(NoAttr):
    """Prefix combination along one axis."""

    combiner: Combiner
    axis: int

    def structure(self) -> Hashable:
        return self


@dataclass(frozen=True, slots=True)
class ShapeAttr(NoAttr):
    """The target shape of RESHAPE and EXPAND."""

    shape: Shape

    def structure(self) -> Hashable:
        return self


@dataclass(frozen=True, slots=True)
class AxesAttr(NoAttr):
    """PERMUTE: the source axis of each result axis. FLIP: the axes that turn round (sorted)."""

    axes: tuple[int, ...]

    def structure(self) -> Hashable:
        return self


@dataclass(frozen=True, slots=True)
class PadAttr(NoAttr):
    """How many elements of `value` stand before and after each axis (none negative)."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    value: ConstAttr

    def structure(self) -> Hashable:
        return self


@dataclass(frozen=True, slots=True)
class SliceAttr:
    """SLICE and UPDATE: element `start + k*step` for `k < size`, per axis; steps are positive.

    The starts are run-time values: in a frontend graph integers, in a canonical graph an `Index`
    (a constant or a parameter with bounds).
    """

    starts: tuple[int | Index, ...]
    sizes: tuple[int, ...]
    steps: tuple[int, ...]

    def structure(self) -> Hashable:
        return (self.sizes, self.steps)

    def values(self) -> tuple[int, ...]:
        assert all(isinstance(start, int) for start in self.starts)
        return tuple(start for start in self.starts if isinstance(start, int))


@dataclass(frozen=True, slots=True)
class ConcatAttr:
    """CONCAT: the axis, and where along it each part starts. In a canonical graph the starts of
    many parts are parameters, so that equal parts are copied by one and the same kernel."""

    axis: int
    starts: tuple[int | Index, ...]

    def structure(self) -> Hashable:
        return self.axis

    def values(self) -> tuple[int, ...]:
        return tuple([start for start in self.starts if isinstance(start, int)])


@dataclass(frozen=True, slots=True)
class GatherAttr(NoAttr):
    """GATHER and SCATTER: source axis `axes[n]` is indexed by index source n (all of one shape I).

    GATHER(x, i0, i1, ...): the result's shape is I + the axes of x that are not indexed, in order.
    SCATTER(base, value, i0, ...): value has that shape. `checked` says that somebody has proved
    the indices to lie inside.
    """

    axes: tuple[int, ...]
    checked: bool

    def structure(self) -> Hashable:
        return self


@dataclass(frozen=True, slots=True)
class ScatterReduceAttr(NoAttr):
    """SCATTER_REDUCE(base, value, i0, ...): as SCATTER, combining with what is there."""

    axes: tuple[int, ...]
    checked: bool
    combiner: Combiner

    def structure(self) -> Hashable:
        return self


Attr = (
    NoAttr
    | ConstAttr
    | LeafAttr
    | IotaAttr
    | RandomAttr
    | CastAttr
    | ReduceAttr
    | ScanAttr
    | ShapeAttr
    | AxesAttr
    | PadAttr
    | SliceAttr
    | ConcatAttr
    | GatherAttr
    | ScatterReduceAttr
)
