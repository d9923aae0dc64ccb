"""The program executor, as LLVM IR text, and the native module it shares with the thread pool.

In: the machine. Out: one module that `runtime.pool` compiles once per process;
`runtime.executable` calls its entries, with one pointer.

The executor walks a frame (`FRAME_*`): for every step it gathers the pointers and numbers of the
kernel's arguments and calls each phase, alone or through the pool (`runtime.fork_join`), by the
phase's work.

>>> "define i64 @picograd_run(ptr %frame)" in module("x86_64")
True
"""

from __future__ import annotations

from picograd.runtime import fork_join

# Cells of a frame: one run of (some steps of) a program. Those that change with every run are the
# last of the header, next to the slots' addresses, so that one call of `struct` writes them all.
FRAME_BEGIN, FRAME_END, FRAME_STEPS, FRAME_OPERANDS, FRAME_PHASES, FRAME_EXTENTS = 0, 1, 2, 3, 4, 5
FRAME_SLOTS, FRAME_VALUES, FRAME_WORKSPACE, FRAME_SCRATCH, FRAME_SCRATCH_BYTES = 6, 7, 8, 9, 10
FRAME_BUFFERS, FRAME_SCALARS, FRAME_POOL, FRAME_THREADS, FRAME_STATUS = 11, 12, 13, 14, 15
FRAME_CELLS, COMPLETED = 16, 2

# A step: argument count, number count, first operand, phase count, first phase, has a check.
STEP_CELLS = 6
# A phase: function address, nanoseconds of one iteration (float64).
PHASE_CELLS = 2

SERIAL_NANOSECONDS = 15_000  # less work than this runs on the calling thread alone
SHARE_NANOSECONDS = 7_500  # a thread is worth waking for this much
CHUNK_NANOSECONDS = 4_000  # a chunk should not be shorter than this
CHUNKS_PER_THREAD = 8  # so that a slow thread delays the end by an eighth of its share


def module(machine: str) -> str:
    """The IR of the pool and of the executor."""
    constants = {name: str(value) for name, value in globals().items() if isinstance(value, int)}
    return fork_join.part(machine) + fork_join.fill(_RUN, constants)


_RUN = """
declare i64 @llvm.fptosi.sat.i64.f64(double)

; Runs the steps [begin, end) of a frame; returns the step whose check failed, or -1 with status 2.
define i64 @picograd_run(ptr %frame) {
entry:
  %context = alloca [3 x ptr], align 16
  %f.pool = getelementptr i64, ptr %frame, i64 $FRAME_POOL
  %pool = load ptr, ptr %f.pool
  %f.begin = getelementptr i64, ptr %frame, i64 $FRAME_BEGIN
  %begin = load i64, ptr %f.begin
  %f.end = getelementptr i64, ptr %frame, i64 $FRAME_END
  %end = load i64, ptr %f.end
  %f.steps = getelementptr i64, ptr %frame, i64 $FRAME_STEPS
  %steps = load ptr, ptr %f.steps
  %f.operands = getelementptr i64, ptr %frame, i64 $FRAME_OPERANDS
  %operands = load ptr, ptr %f.operands
  %f.phases = getelementptr i64, ptr %frame, i64 $FRAME_PHASES
  %phases = load ptr, ptr %f.phases
  %f.extents = getelementptr i64, ptr %frame, i64 $FRAME_EXTENTS
  %extents = load ptr, ptr %f.extents
  %f.slots = getelementptr i64, ptr %frame, i64 $FRAME_SLOTS
  %slots = load ptr, ptr %f.slots
  %f.values = getelementptr i64, ptr %frame, i64 $FRAME_VALUES
  %values = load ptr, ptr %f.values
  %f.status = getelementptr i64, ptr %frame, i64 $FRAME_STATUS
  %f.workspace = getelementptr i64, ptr %frame, i64 $FRAME_WORKSPACE
  %workspace = load ptr, ptr %f.workspace
  %f.scratch = getelementptr i64, ptr %frame, i64 $FRAME_SCRATCH
  %scratch = load ptr, ptr %f.scratch
  %f.bytes = getelementptr i64, ptr %frame, i64 $FRAME_SCRATCH_BYTES
  %bytes = load i64, ptr %f.bytes
  %f.buffers = getelementptr i64, ptr %frame, i64 $FRAME_BUFFERS
  %buffers = load ptr, ptr %f.buffers
  %f.scalars = getelementptr i64, ptr %frame, i64 $FRAME_SCALARS
  %scalars = load ptr, ptr %f.scalars
  %f.threads = getelementptr i64, ptr %frame, i64 $FRAME_THREADS
  %threads = load i64, ptr %f.threads
  %c1 = getelementptr ptr, ptr %context, i64 1
  %c2 = getelementptr ptr, ptr %context, i64 2
  store ptr %f.status, ptr %context
  store ptr %workspace, ptr %c1
  store ptr %scratch, ptr %c2
  br label %next
next:
  %step = phi i64 [ %begin, %entry ], [ %step.next, %finished ]
  %some = icmp slt i64 %step, %end
  br i1 %some, label %gather, label %success
success:
  store i64 2, ptr %f.status
  ret i64 -1
gather:
  %record = mul i64 %step, $STEP_CELLS
  %s0 = getelementptr i64, ptr %steps, i64 %record
  %buffer.count = load i64, ptr %s0
  %s1 = getelementptr i64, ptr %s0, i64 1
  %scalar.count = load i64, ptr %s1
  %s2 = getelementptr i64, ptr %s0, i64 2
  %operand = load i64, ptr %s2
  %s3 = getelementptr i64, ptr %s0, i64 3
  %phase.count = load i64, ptr %s3
  %s4 = getelementptr i64, ptr %s0, i64 4
  %phase.first = load i64, ptr %s4
  %s5 = getelementptr i64, ptr %s0, i64 5
  %check = load i64, ptr %s5
  %o.buffers = getelementptr i64, ptr %operands, i64 %operand
  %o.scalars = getelementptr i64, ptr %o.buffers, i64 %buffer.count
  br label %buffer
buffer:
  %b = phi i64 [ 0, %gather ], [ %b.next, %buffer.copy ]
  %b.some = icmp slt i64 %b, %buffer.count
  br i1 %b.some, label %buffer.copy, label %scalar
buffer.copy:
  %b.from = getelementptr i64, ptr %o.buffers, i64 %b
  %b.slot = load i64, ptr %b.from
  %b.source = getelementptr i64, ptr %slots, i64 %b.slot
  %b.address = load i64, ptr %b.source
  %b.to = getelementptr i64, ptr %buffers, i64 %b
  store i64 %b.address, ptr %b.to
  %b.next = add i64 %b, 1
  br label %buffer
scalar:
  %n = phi i64 [ 0, %buffer ], [ %n.next, %scalar.copy ]
  %n.some = icmp slt i64 %n, %scalar.count
  br i1 %n.some, label %scalar.copy, label %phase
scalar.copy:
  %n.from = getelementptr i64, ptr %o.scalars, i64 %n
  %n.slot = load i64, ptr %n.from
  %n.source = getelementptr i64, ptr %values, i64 %n.slot
  %n.value = load i64, ptr %n.source
  %n.to = getelementptr i64, ptr %scalars, i64 %n
  store i64 %n.value, ptr %n.to
  %n.next = add i64 %n, 1
  br label %scalar

phase:
  %p = phi i64 [ 0, %scalar ], [ %p.next, %phase.end ]
  %p.some = icmp slt i64 %p, %phase.count
  br i1 %p.some, label %plan, label %checked
plan:
  %number = add i64 %phase.first, %p
  %p.record = mul i64 %number, $PHASE_CELLS
  %p0 = getelementptr i64, ptr %phases, i64 %p.record
  %function = load ptr, ptr %p0
  %p1 = getelementptr i64, ptr %p0, i64 1
  %work = load double, ptr %p1
  %e0 = getelementptr i64, ptr %extents, i64 %number
  %extent = load i64, ptr %e0
  %nonempty = icmp sgt i64 %extent, 0
  br i1 %nonempty, label %weigh, label %phase.end
weigh:
  %extent.f = sitofp i64 %extent to double
  %total = fmul double %extent.f, %work
  %light = fcmp ult double %total, $SERIAL_NANOSECONDS.0
  %narrow = icmp slt i64 %threads, 2
  %serial = or i1 %light, %narrow
  br i1 %serial, label %alone, label %share
share:
  %worth = fdiv double %total, $SHARE_NANOSECONDS.0
  %threads.f = sitofp i64 %threads to double
  %cap = fcmp olt double %threads.f, %worth
  %wanted.f = select i1 %cap, double %threads.f, double %worth
  %wanted = fptosi double %wanted.f to i64
  %few = icmp slt i64 %extent, %wanted
  %participants = select i1 %few, i64 %extent, i64 %wanted
  %several = icmp sgt i64 %participants, 1
  br i1 %several, label %cut, label %alone
cut:
  %pieces = mul i64 %participants, $CHUNKS_PER_THREAD
  %even.up = add i64 %extent, %pieces
  %even.up1 = sub i64 %even.up, 1
  %even = sdiv i64 %even.up1, %pieces
  %least.f = fdiv double $CHUNK_NANOSECONDS.0, %work
  %least.long = fcmp ogt double %least.f, %extent.f
  %least.cut = select i1 %least.long, double %extent.f, double %least.f
  %least = fptosi double %least.cut to i64
  %small = icmp slt i64 %even, %least
  %chunk = select i1 %small, i64 %least, i64 %even
  %nanoseconds = call i64 @llvm.fptosi.sat.i64.f64(double %total)
  %shared = call i1 @parallel(ptr %pool, ptr %function, ptr %buffers, ptr %scalars, ptr %context,
      i64 %extent, i64 %chunk, i64 %participants, i64 %bytes, i64 %nanoseconds)
  br i1 %shared, label %phase.end, label %alone
alone:
  call void %function(ptr %buffers, ptr %scalars, ptr %context, i64 0, i64 %extent)
  br label %phase.end
phase.end:
  %p.next = add i64 %p, 1
  br label %phase

checked:
  %must = icmp ne i64 %check, 0
  br i1 %must, label %test, label %finished
test:
  %status = load i32, ptr %f.status
  %failed = icmp ne i32 %status, 0
  br i1 %failed, label %failure, label %finished
failure:
  ret i64 %step
finished:
  %step.next = add i64 %step, 1
  br label %next
}
"""
