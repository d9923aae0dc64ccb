"""The loop IR: the one language between schedules and the two renderers.

In: `codegen.lower` builds a plain nest from a `Kernel`; passes rewrite it (tile, vectorise, unroll,
split a reduction, parallelise, map to a GPU's grid). `llvm.render` and `cuda.render` print it.
The grammar, on one screen:

    function  = memories, scalars, phase*                  phases run one after another (a barrier)
    phase     = parallel variable (or none), body          iterations are independent
    statement = For | Let | Store | If | Fail | Prefetch | Barrier | Call
    value     = Literal | Argument | Ref | Load | IndexValue | Predicate | Alu | MulAdd
              | MulAddPairs | Random | Broadcast | Shuffle | Fold | Exchange
              | Address

A value has a dtype and a number of lanes. Lanes come from *lane variables*: `Var(..., lanes=W)`
stands for 0..W-1 in the W lanes of a vector, so `Load(x, i*16 + l)` with a lane variable `l` of 16
is one contiguous vector load, and coefficient 0 or 4 of `l` a broadcast or a strided gather.
Accumulators are loop-carried values (`Carried`), so that renderers emit phis and never memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from picograd.dtypes import DType, bool_, float32
from picograd.graph.index import Index, Var
from picograd.graph.mask import EVERYWHERE, Mask
from picograd.graph.ops import Combiner, Op


class Home(Enum):
    """Where a memory lives."""

    ARGUMENT = auto()  # a pointer given by the caller
    WORKSPACE = auto()  # shared by all phases and threads of one run (partial sums)
    SCRATCH = auto()  # per thread, cache-sized (rows, packed panels); `offset` bytes into it
    SHARED = auto()  # a GPU block's shared memory (`offset`: see `Function.shared`)
    REGISTER = auto()  # a GPU thread's registers: indices are constants where loops are unrolled


@dataclass(frozen=True, slots=True)
class Memory:
    """Flat memory of `size` elements. `offset`: bytes from the start of its home (not ARGUMENT);
    `slot`: the argument's number (ARGUMENT only). `written` tells whether any phase stores to it:
    loads of other memories may be moved and shared freely."""

    name: str
    dtype: DType
    size: int
    home: Home
    slot: int = 0
    offset: int = 0
    written: bool = False


# --- values -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; `key` tells -0.0 from 0.0 and makes NaN equal to itself."""

    value: int | float | bool = field(compare=False)
    dtype: DType
    key: str
    lanes: int = 1

    @staticmethod
    def of(value: int | float | bool, dtype: DType) -> Literal:
        key = float(value).hex() if dtype.is_float else str(int(value))
        return Literal(value, dtype, key)


@dataclass(frozen=True, slots=True)
class Argument:
    """A run-time number: scalar argument `slot`, loaded as `dtype` from its 8-byte cell."""

    slot: int
    dtype: DType
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Ref:
    """The value bound to a name by a `Let` or a `Carried` (inside the loop: of this iteration;
    after it: the final one). An integer Ref can also be an index variable: see `Let.var`."""

    name: str
    dtype: DType
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Load:
    """`memory[index]`. With lanes > 1 the index contains a lane variable. Where the mask fails
    the memory is not touched and the value is 0."""

    memory: Memory
    index: Index
    lanes: int = 1
    mask: Mask = EVERYWHERE

    @property
    def dtype(self) -> DType:
        return self.memory.dtype


@dataclass(frozen=True, slots=True)
class IndexValue:
    """An index as a number."""

    index: Index
    dtype: DType
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Predicate:
    """A mask as a bool value."""

    mask: Mask
    lanes: int = 1

    @property
    def dtype(self) -> DType:
        return bool_


@dataclass(frozen=True, slots=True)
class Alu:
    """An elementwise op of the graph on values of equal lanes (WHERE, CAST and BITCAST too).

    Renderers give float16/bfloat16 arithmetic in float32, rounded to `dtype` after every Alu.
    """

    op: Op
    args: tuple[Value, ...]
    dtype: DType
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class MulAdd:
    """`a * b + c`, rounded once for floats where the machine has such an instruction: contraction
    accumulators only."""

    a: Value
    b: Value
    c: Value
    dtype: DType
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class MulAddPairs:
    """`a[2*l] * b[2*l] + a[2*l + 1] * b[2*l + 1] + c[l]` in every lane l: `a` and `b` are bfloat16
    in twice the lanes, `c` and the result float32. It rounds as the machine does."""

    a: Value
    b: Value
    c: Value
    lanes: int

    @property
    def dtype(self) -> DType:
        return float32


@dataclass(frozen=True, slots=True)
class Random:
    """Word `word` of a block of Philox4x32-10, a uint32. The block's counter is the position of an
    element (`low` and `high` half, uint32) and `call`, its key `seed` (uint64 of one lane). `count`
    of its words, 1, 2 or 4, are wanted of the same block."""

    word: int
    low: Value
    high: Value
    seed: Value
    call: Value
    count: int
    dtype: DType
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A one-lane value in every lane."""

    value: Value
    lanes: int

    @property
    def dtype(self) -> DType:
        return self.value.dtype


@dataclass(frozen=True, slots=True)
class Shuffle:
    """Chosen lanes of two vectors: `order` counts through the first and then the second."""

    first: Value
    second: Value
    order: tuple[int, ...]

    @property
    def dtype(self) -> DType:
        return self.first.dtype

    @property
    def lanes(self) -> int:
        return len(self.order)


@dataclass(frozen=True, slots=True)
class Fold:
    """All lanes of a vector combined into one, as a fixed tree: halves first."""

    combiner: Combiner
    value: Value
    lanes: int = 1

    @property
    def dtype(self) -> DType:
        return self.value.dtype


@dataclass(frozen=True, slots=True)
class Exchange:
    """The value of the lane of the warp whose number differs from the own in the bit `distance`.
    All threads of the warp take part."""

    value: Value
    distance: int
    lanes: int = 1

    @property
    def dtype(self) -> DType:
        return self.value.dtype


@dataclass(frozen=True, slots=True)
class Address:
    """Where `memory[index]` is: an argument of a `Call`."""

    memory: Memory
    index: Index
    lanes: int = 1

    @property
    def dtype(self) -> DType:
        return self.memory.dtype


Value = (
    Literal
    | Argument
    | Ref
    | Load
    | IndexValue
    | Predicate
    | Alu
    | MulAdd
    | MulAddPairs
    | Random
    | Broadcast
    | Shuffle
    | Fold
    | Exchange
    | Address
)


# --- statements -----------------------------------------------------------------------------------


class Kind(Enum):
    """How a loop runs. VECTOR and UNROLL are requests that passes carry out; renderers see only
    SERIAL loops (and, on a GPU, BLOCK, THREAD and UNROLL, which its compiler carries out)."""

    SERIAL = auto()
    VECTOR = auto()
    UNROLL = auto()
    BLOCK = auto()
    THREAD = auto()


@dataclass(frozen=True, slots=True)
class Carried:
    """A value that a loop carries: `init` before it, `next` computed at the end of the body."""

    name: str
    dtype: DType
    init: Value
    next: Value
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class For:
    """`for var in range(begin, end, step): body`. Bounds may use outer variables and parameters.

    `independent`: the iterations may run in any order or at once (no value goes from one to
    another), so passes may vectorise, tile and parallelise the loop. A loop that carries the
    accumulator of a reduction is not independent, but `reduces`: its order may be changed.
    """

    var: Var
    begin: Index
    end: Index
    body: tuple[Statement, ...]
    step: int = 1
    kind: Kind = Kind.SERIAL
    carried: tuple[Carried, ...] = ()
    independent: bool = False
    reduces: Combiner | None = None


@dataclass(frozen=True, slots=True)
class Let:
    """Name a value, evaluated here. With `var`, the (integer) value may also be used in indices as
    that variable, whose bounds it respects: a value of several lanes as another index in each."""

    name: str
    value: Value
    var: Var | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """`memory[index] = value` where the mask holds. `streaming`: the line will not be read soon."""

    memory: Memory
    index: Index
    value: Value
    mask: Mask = EVERYWHERE
    streaming: bool = False


@dataclass(frozen=True, slots=True)
class If:
    """The body runs where the (one-lane) mask holds."""

    mask: Mask
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Fail:
    """The program fails (an index is out of range) when any lane of the condition is true."""

    condition: Value


@dataclass(frozen=True, slots=True)
class Prefetch:
    """The cache line of `memory[index]` will be used soon: a hint that does nothing where the
    index lies outside the memory. `write`: it will be stored to."""

    memory: Memory
    index: Index
    write: bool = False


@dataclass(frozen=True, slots=True)
class Barrier:
    """All threads of a GPU block meet here."""


@dataclass(frozen=True, slots=True)
class Call:
    """A helper of a GPU's prelude (`cuda.tiles`) does what no other statement says: it copies
    without waiting, or multiplies on tensor cores. What it reads and writes are its addresses."""

    helper: str
    arguments: tuple[Value, ...] = ()


Statement = For | Let | Store | If | Fail | Prefetch | Barrier | Call


@dataclass(frozen=True, slots=True)
class TileMap:
    """A descriptor that the launcher of a GPU's function makes of argument `argument`: boxes of a
    memory of `sizes` (contiguous direction first), that begins at element `offset`; `strides` of
    the other directions. A box in shared memory has lines of 128 bytes, swizzled. `turned`: the
    contiguous direction is not the depth."""

    argument: int
    offset: int
    dtype: DType
    sizes: tuple[int, int, int]
    strides: tuple[int, int]
    box: tuple[int, ...]
    turned: bool


@dataclass(frozen=True, slots=True)
class Phase:
    """Independent iterations of `var` in range(extent), or one run when var is None.

    `work` estimates the nanoseconds of one iteration on one core, from which the runtime chooses
    how many threads a phase is worth.
    """

    var: Var | None
    extent: Index
    body: tuple[Statement, ...]
    work: float = 0.0


@dataclass(frozen=True, slots=True)
class Function:
    """A kernel as loops. `workspace` and `scratch` are bytes of the two private homes, `shared` of
    a block's shared memory where its parts have offsets; `resident` blocks are to fit on a GPU's
    multiprocessor at a time (0: whatever the compiler finds). `maps` are its last parameters."""

    name: str
    memories: tuple[Memory, ...]
    scalars: tuple[DType, ...]
    phases: tuple[Phase, ...]
    workspace: int = 0
    scratch: int = 0
    shared: int = 0
    resident: int = 0
    maps: tuple[TileMap, ...] = ()


def children(value: Value) -> tuple[Value, ...]:
    """The values that a value is computed from."""
    match value:
        case Alu():
            return value.args
        case MulAdd() | MulAddPairs():
            return (value.a, value.b, value.c)
        case Random():
            return (value.low, value.high, value.seed, value.call)
        case Broadcast() | Fold() | Exchange():
            return (value.value,)
        case Shuffle():
            return (value.first, value.second)
        case _:
            return ()


def statements(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """All statements of a body, depth first, outer ones before inner ones."""
    stack = list(reversed(body))
    while stack:
        statement = stack.pop()
        yield statement
        if isinstance(statement, For | If):
            stack.extend(reversed(statement.body))
