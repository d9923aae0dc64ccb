"""Programs over hand-written kernels: the runtime alone, without schedule and codegen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from picograd.codegen import loops
from picograd.dtypes import DType, bool_, int64
from picograd.graph.index import Index, Var, constant
from picograd.runtime.executable import CpuExecutable
from picograd.runtime.jit import compile_ir
from picograd.runtime.kernels import CompiledKernel, Outline
from picograd.schedule.kernel import (
    Kernel,
    Literal,
    Pattern,
    Program,
    Slot,
    SlotKind,
    Stage,
    StageKind,
    Step,
)

SIGNATURE = (
    "(ptr noalias %buffers, ptr noalias %scalars, ptr noalias %context, i64 %begin, i64 %end)"
)


def loop(name: str, prologue: str, body: str) -> str:
    """IR of one phase: `body` runs for %i in [%begin, %end)."""
    return f"""
define void @{name}{SIGNATURE} {{
entry:
  {prologue}
  br label %head
head:
  %i = phi i64 [ %begin, %entry ], [ %i.next, %tail ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %body, label %done
body:
  {body}
  br label %tail
tail:
  %i.next = add i64 %i, 1
  br label %head
done:
  ret void
}}
"""


def pointer(name: str, slot: int) -> str:
    """IR that loads argument `slot` as %name."""
    return f"""%{name}.at = getelementptr ptr, ptr %buffers, i64 {slot}
  %{name} = load ptr, ptr %{name}.at"""


ADD_SCALAR = (
    pointer("x", 0) + "\n  " + pointer("y", 1) + "\n  %s = load i64, ptr %scalars",
    """%px = getelementptr i64, ptr %x, i64 %i
  %py = getelementptr i64, ptr %y, i64 %i
  %v = load i64, ptr %px
  %w = add i64 %v, %s
  store i64 %w, ptr %py""",
)

# y[i] += 1: an iteration that runs twice or never shows.
COUNT = (
    pointer("y", 0),
    """%py = getelementptr i64, ptr %y, i64 %i
  %v = load i64, ptr %py
  %w = add i64 %v, 1
  store i64 %w, ptr %py""",
)

# Writes i to this thread's scratch and reads it back from there (through volatile accesses).
SCRATCH = (
    pointer("y", 0)
    + """
  %scratch.at = getelementptr ptr, ptr %context, i64 2
  %scratch = load ptr, ptr %scratch.at""",
    """%slot = urem i64 %i, 500
  %ps = getelementptr i64, ptr %scratch, i64 %slot
  store volatile i64 %i, ptr %ps
  %v = load volatile i64, ptr %ps
  %py = getelementptr i64, ptr %y, i64 %i
  store i64 %v, ptr %py""",
)

# Fails when x[i] is negative.
CHECK = (
    pointer("x", 0) + "\n  %status = load ptr, ptr %context",
    """%px = getelementptr i64, ptr %x, i64 %i
  %v = load i64, ptr %px
  %bad = icmp slt i64 %v, 0
  br i1 %bad, label %fail, label %fine
fail:
  store i32 1, ptr %status
  br label %fine
fine:""",
)


@dataclass(slots=True)
class Work:
    """One kernel of a test program: phases as (prologue, body, extent, nanoseconds)."""

    name: str
    phases: Sequence[tuple[str, str, Index | int, float]]
    slots: tuple[int, ...]
    scalars: tuple[int, ...] = ()
    check: bool = False
    scratch: int = 0
    workspace: int = 0
    origin: str | None = None
    declarations: str = ""
    kernel: Kernel = field(init=False)

    def __post_init__(self) -> None:
        kind = StageKind.CHECK if self.check else StageKind.MAP
        stage = Stage(kind, "a0", constant(0), Literal.of(False, bool_))
        self.kernel = Kernel(self.name, Pattern.ROWS, (), (stage,), ())


def build(
    works: Sequence[Work], slots: Sequence[Slot], outputs: tuple[int, ...], arena: int = 0
) -> CpuExecutable:
    """The executable of a program of hand-written kernels."""
    compiled: dict[Kernel, CompiledKernel] = {}
    steps = []
    for work in works:
        texts, phases = [], []
        for number, (prologue, body, extent, nanoseconds) in enumerate(work.phases):
            texts.append(loop(f"{work.name}_{number}", prologue, body))
            index = extent if isinstance(extent, Index) else constant(extent)
            phases.append(loops.Phase(Var("i", 0, 1 << 40), index, (), nanoseconds))
        library = compile_ir(work.declarations + "".join(texts))
        addresses = tuple(library.addresses[f"{work.name}_{n}"] for n in range(len(texts)))
        function = loops.Function(
            work.name, (), (), tuple(phases), workspace=work.workspace, scratch=work.scratch
        )
        compiled[work.kernel] = CompiledKernel(Outline.of(function), addresses, library)
        steps.append(Step(work.kernel, work.slots, work.scalars, work.origin))
    return CpuExecutable.of(Program(tuple(slots), tuple(steps), outputs, arena, ()), compiled)


def slot(kind: SlotKind, number: int, size: int, dtype: DType = int64, offset: int = 0) -> Slot:
    return Slot(kind, number, dtype, size, offset)
