"""What the schedule makes: kernels in index notation, and the program that runs them.

Out of `schedule.plan`; into `codegen.lower`. A kernel is a list of *stages* over one shared outer
domain; each stage is one line of index notation:

    kernel softmax  domain i0:4096
      t0[i0]      = max_{i1:4096} a0[i0*4096 + i1]                  (local)
      t1[i0, i1]  = exp(a0[i0*4096 + i1] - t0[i0])                  (scratch)
      t2[i0]      = sum_{i1:4096} t1[i0*4096 + i1]                  (local)
      a1[i0, i1]  = t1[i0*4096 + i1] / t2[i0]                       (output)

All buffers are flat: an access holds one row-major element position. Kernels are canonical: names
depend on structure alone, so equal kernels of different programs are equal objects and are
compiled once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from picograd.dtypes import DType
from picograd.errors import InternalError
from picograd.graph.index import Index, Var
from picograd.graph.mask import Mask
from picograd.graph.ops import Combiner, Op

EVERYWHERE = Mask()

# --- scalar expressions ---------------------------------------------------------------------
#
# Expressions and stages are never changed once they are made; that they are not `frozen` makes them
# three times as fast to make, and a schedule makes them by the hundred thousand.


@dataclass(slots=True, unsafe_hash=True)
class Literal:
    """A number known when the kernel is compiled. `key` makes -0.0, 0.0 and NaN distinct."""

    value: int | float | bool = field(compare=False)
    dtype: DType
    key: str

    @staticmethod
    def of(value: int | float | bool, dtype: DType) -> Literal:
        key = float(value).hex() if dtype.is_float else str(int(value))
        return Literal(value, dtype, key)


@dataclass(slots=True, unsafe_hash=True)
class Scalar:
    """A number given at run time: the kernel's scalar argument `slot` (8 bytes, typed load)."""

    slot: int
    dtype: DType


@dataclass(slots=True, unsafe_hash=True)
class Access:
    """The element of a buffer at a flat position. It is read only where the mask holds; elsewhere
    the value is unspecified (a `Guard` above replaces it)."""

    buffer: str
    index: Index
    dtype: DType
    mask: Mask = EVERYWHERE


@dataclass(slots=True, unsafe_hash=True)
class FromIndex:
    """An index as a number of an integer dtype (IOTA)."""

    index: Index
    dtype: DType


@dataclass(slots=True, unsafe_hash=True)
class Compute:
    """An elementwise op on expressions. CAST and BITCAST convert to `dtype`."""

    op: Op
    args: tuple[Expr, ...]
    dtype: DType


@dataclass(slots=True, unsafe_hash=True)
class Guard:
    """`value` where the mask holds, else `other` (padding, update)."""

    mask: Mask
    value: Expr
    other: Expr
    dtype: DType


@dataclass(slots=True, unsafe_hash=True)
class Philox:
    """Random word `word` (uint32) of the block with counter `position` (an element's row-major
    position) and the run-time uint64 scalars seed and call (kernel scalar slots)."""

    word: int
    position: Index
    seed: int
    call: int
    dtype: DType  # uint32


Expr = Literal | Scalar | Access | FromIndex | Compute | Guard | Philox


# --- stages and kernels -----------------------------------------------------------------------


class Space(Enum):
    """Where a stage's target lives."""

    ARGUMENT = auto()  # a buffer of the program: input, output or temporary
    LOCAL = auto()  # one number per point of the domain, kept in registers
    SCRATCH = auto()  # one row per point of the domain, kept in cache (never leaves the kernel)


@dataclass(frozen=True, slots=True)
class Memory:
    """A buffer that a kernel names: `size` elements. For SCRATCH, `size` is of one domain point
    and positions are relative to it; for LOCAL, size is 1 and the position is 0."""

    name: str
    dtype: DType
    size: int
    space: Space
    written: bool = False


@dataclass(slots=True, unsafe_hash=True)
class Bind:
    """A data-dependent index: variable `var` takes the (in-range) integer value of `value`."""

    var: Var
    value: Expr


class StageKind(Enum):
    """What a stage does with its value at each point of its loops."""

    MAP = auto()  # target[store] = value
    REDUCE = auto()  # target[store] = combine over `reduce` axes of value
    SCAN = auto()  # target[store] = running combination along the single reduce axis
    SCATTER = auto()  # target[store] = value, or combined with it; loops run in order
    CHECK = auto()  # value is bool: the program fails with IndexError if any is true


@dataclass(slots=True, unsafe_hash=True)
class Stage:
    """One line of index notation.

    The loops are: the kernel's domain, then `inner` axes, then `reduce` axes. For REDUCE, `store`
    may use the domain and inner axes only; for SCAN it uses all. `accumulator` is the dtype in
    which a reduce runs (float32 for float16 and bfloat16); the result is rounded to the target's.
    A SCATTER with a combiner does `target[store] = combine(target[store], value)`.

    A REDUCE whose `reduce` axes include the domain's variables (then all of them) combines over
    the whole domain: its target (an ARGUMENT or a LOCAL) is complete only after the last domain
    point. `once` marks the stages after it that run a single time, when the domain is done: they
    use no domain variable and may read the results of such reductions (a loss divided by the batch
    size). These reductions follow all other stages, and `once` stages come last.
    """

    kind: StageKind
    target: str
    store: Index
    value: Expr
    inner: tuple[Var, ...] = ()
    reduce: tuple[Var, ...] = ()
    combiner: Combiner | None = None
    accumulator: DType | None = None
    mask: Mask = EVERYWHERE  # where the store happens
    binds: tuple[Bind, ...] = ()
    once: bool = False
    coarse: bool = False  # a sum whose factors may be rounded to TensorFloat32
    # What `walk.stage_accesses` found, once somebody asked.
    loads: tuple[Access, ...] | None = field(default=None, init=False, repr=False, compare=False)


class Pattern(Enum):
    """Which loop schedule codegen uses."""

    ROWS = auto()  # elementwise and row reductions
    CONTRACTION = auto()  # stage 0 is a SUM over a product of two factors
    PANELS = auto()  # attention: scores of a block of rows are computed, used and forgotten
    SERIAL = auto()  # scatters: loops in order, unless their iterations never meet


@dataclass(frozen=True, slots=True)
class Kernel:
    """A fused loop nest over a shared domain.

    memories   arguments first (in argument order), then locals and scratch
    scalars    dtypes of the run-time numbers; integer parameters of indices are int64
    parameters the (low, high) bounds of index parameter `Param(slot)`; slot counts into `scalars`
    """

    name: str
    pattern: Pattern
    domain: tuple[Var, ...]
    stages: tuple[Stage, ...]
    memories: tuple[Memory, ...]
    scalars: tuple[DType, ...] = ()

    @property
    def arguments(self) -> tuple[Memory, ...]:
        return tuple(m for m in self.memories if m.space is Space.ARGUMENT)

    @property
    def checks(self) -> bool:
        """Whether it can fail the program."""
        return any(stage.kind is StageKind.CHECK for stage in self.stages)


# --- programs -----------------------------------------------------------------------------------


class SlotKind(Enum):
    """Where a program finds a buffer."""

    INPUT = auto()  # leaf `number` of the canonical graph
    OUTPUT = auto()  # fresh memory for output `number`
    ARENA = auto()  # bytes `offset`... of the program's arena


@dataclass(frozen=True, slots=True)
class Slot:
    """One buffer of a program. An output that is written in place names its input's slot."""

    kind: SlotKind
    number: int
    dtype: DType
    size: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One kernel run. `slots[n]` is the program slot of the kernel's argument n; `scalars[n]` the
    program value (see `Program.values`) of its scalar n."""

    kernel: Kernel
    slots: tuple[int, ...]
    scalars: tuple[int, ...]
    origin: str | None = None  # the user's line, for checks


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a value is stored or a kernel ends: printed by DEBUG=3."""

    subject: str
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class Program:
    """Kernels in order over numbered slots.

    outputs[n] is the slot that holds output n of the graph; donated inputs appear there when an
    output is written in place. `arena` is the number of bytes of temporaries.
    """

    slots: tuple[Slot, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    arena: int
    decisions: tuple[Decision, ...]

    def plan_results(self) -> list[tuple[bool, int]]:
        """Where a run finds each output of the graph: (True, which of the OUTPUT slots) or
        (False, which input)."""
        made = [n for n, slot in enumerate(self.slots) if slot.kind is SlotKind.OUTPUT]
        numbers = {slot: number for number, slot in enumerate(made)}
        results: list[tuple[bool, int]] = []
        for n in self.outputs:
            slot = self.slots[n]
            if slot.kind is SlotKind.ARENA:
                raise InternalError(f"output slot {n} lies in the arena, which dies with the run")
            results.append((True, numbers[n]) if n in numbers else (False, slot.number))
        return results
