"""The thread pool and the program executor, as LLVM IR text.

In: the machine (for the futex's system call number and the spin hint). Out: one module that
`runtime.pool` compiles once per process; `runtime.executable` calls its entries, with one pointer.

*The pool* is a block of 64-bit cells (`POOL_*`). Its word `state` is

    generation (32 bits) | free seats (16 bits) | active workers (16 bits)

A caller writes the task, then publishes `generation + 1` with as many seats as it wants helpers.
A worker that sees a free seat of a generation it has not served takes it (compare-and-swap), runs
chunks, and leaves. When the caller finds no work left it closes the seats and waits for the active
workers only: one that overslept finds no seat, and nobody waits for it. Every participant owns a
region of the iterations, cut into chunks; one that is done takes chunks from its neighbours.
Workers spin for about 50 us after their last task and then sleep on the generation (futex).

*The executor* walks a frame (`FRAME_*`): for every step it gathers the pointers and numbers of the
kernel's arguments and calls each phase, alone or through the pool, by the phase's work.

>>> "define i64 @picograd_run(ptr %frame)" in module("x86_64")
True
"""

from __future__ import annotations

# Cells of a pool (8 bytes each). Words that several threads write have a cache line of their own.
POOL_STATE, POOL_SLEEPERS, POOL_BUSY, POOL_STOP = 0, 8, 16, 24
POOL_FUNCTION, POOL_BUFFERS, POOL_SCALARS, POOL_STATUS, POOL_WORKSPACE = 32, 33, 34, 35, 36
POOL_CHUNK, POOL_PARTICIPANTS, POOL_SCRATCH_BYTES, POOL_SPINS = 37, 38, 39, 40
POOL_REGIONS, REGION_CELLS = 48, 8
MAX_THREADS = 256
POOL_CELLS = POOL_REGIONS + REGION_CELLS * MAX_THREADS

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

FUTEX_NUMBERS = {"x86_64": 202, "amd64": 202, "aarch64": 98, "arm64": 98}
_PAUSE = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}


def module(machine: str) -> str:
    """The IR of both parts. Without a futex for `machine` the pool's wait and wake are left out:
    then it must have no workers."""
    futex = FUTEX_NUMBERS.get(machine.lower())
    family = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.lower(), machine.lower())
    declare, pause = _PAUSE.get(family, ("", ""))
    text = "\n".join((_DECLARATIONS, _PARTICIPATE, _WORKER, _PARALLEL, _STOP, _RUN))
    constants = {name: str(value) for name, value in globals().items() if isinstance(value, int)}
    constants["PAUSE_DECLARATION"], constants["PAUSE"] = declare, pause
    constants["FUTEX"] = str(futex if futex is not None else 0)
    constants["WAIT"] = _WAIT if futex is not None else ""
    constants["WAKE_ALL"] = _WAKE.replace("$COUNT", "2147483647") if futex is not None else ""
    constants["WAKE"] = _WAKE.replace("$COUNT", "%helpers32") if futex is not None else ""
    return _fill(_fill(text, constants), constants)


def _fill(text: str, constants: dict[str, str]) -> str:
    for name in sorted(constants, key=len, reverse=True):
        text = text.replace(f"${name}", constants[name])
    return text


# The generation is the upper half of the (little-endian) state word. 128 | 0 waits, 128 | 1 wakes.
_WAIT = """  %word.wait = getelementptr i8, ptr %pool, i64 4
  %generation32 = trunc i64 %generation to i32
  %ignored.wait = call i64 (i64, ...) @syscall(i64 $FUTEX, ptr %word.wait, i32 128,
      i32 %generation32, ptr null, ptr null, i32 0)"""
_WAKE = """  %word.wake = getelementptr i8, ptr %pool, i64 4
  %ignored.wake = call i64 (i64, ...) @syscall(i64 $FUTEX, ptr %word.wake, i32 129, i32 $COUNT,
      ptr null, ptr null, i32 0)"""

_DECLARATIONS = """declare i64 @syscall(i64, ...)
declare i32 @sched_yield()
declare ptr @aligned_alloc(i64, i64)
declare void @free(ptr)
$PAUSE_DECLARATION

define void @picograd_spin(i64 %count) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]
  $PAUSE
  %i.next = add i64 %i, 1
  %again = icmp ult i64 %i.next, %count
  br i1 %again, label %loop, label %done
done:
  ret void
}
"""

_PARTICIPATE = """
define internal void @participate(ptr %pool, i64 %index, ptr %scratch) {
entry:
  %context = alloca [3 x ptr], align 16
  %p.function = getelementptr i64, ptr %pool, i64 $POOL_FUNCTION
  %function = load ptr, ptr %p.function
  %p.buffers = getelementptr i64, ptr %pool, i64 $POOL_BUFFERS
  %buffers = load ptr, ptr %p.buffers
  %p.scalars = getelementptr i64, ptr %pool, i64 $POOL_SCALARS
  %scalars = load ptr, ptr %p.scalars
  %p.status = getelementptr i64, ptr %pool, i64 $POOL_STATUS
  %status = load ptr, ptr %p.status
  %p.workspace = getelementptr i64, ptr %pool, i64 $POOL_WORKSPACE
  %workspace = load ptr, ptr %p.workspace
  %p.chunk = getelementptr i64, ptr %pool, i64 $POOL_CHUNK
  %chunk = load i64, ptr %p.chunk
  %p.participants = getelementptr i64, ptr %pool, i64 $POOL_PARTICIPANTS
  %participants = load i64, ptr %p.participants
  %c1 = getelementptr ptr, ptr %context, i64 1
  %c2 = getelementptr ptr, ptr %context, i64 2
  store ptr %status, ptr %context
  store ptr %workspace, ptr %c1
  store ptr %scratch, ptr %c2
  br label %region
region:
  %turn = phi i64 [ 0, %entry ], [ %turn.next, %exhausted ]
  %sum = add i64 %index, %turn
  %owner = urem i64 %sum, %participants
  %offset = mul i64 %owner, $REGION_CELLS
  %cell = add i64 %offset, $POOL_REGIONS
  %p.next = getelementptr i64, ptr %pool, i64 %cell
  %p.end = getelementptr i64, ptr %p.next, i64 1
  %end = load i64, ptr %p.end
  br label %take
take:
  %begin = atomicrmw add ptr %p.next, i64 %chunk monotonic
  %some = icmp slt i64 %begin, %end
  br i1 %some, label %work, label %exhausted
work:
  %full = add i64 %begin, %chunk
  %over = icmp sgt i64 %full, %end
  %stop = select i1 %over, i64 %end, i64 %full
  call void %function(ptr %buffers, ptr %scalars, ptr %context, i64 %begin, i64 %stop)
  br label %take
exhausted:
  %turn.next = add i64 %turn, 1
  %more = icmp ult i64 %turn.next, %participants
  br i1 %more, label %region, label %done
done:
  ret void
}
"""

# The stop flag is read after the state: who sees the generation that `picograd_stop` made sees the
# flag too, and who does not will find that the futex word has changed.
_WORKER = """
define ptr @picograd_worker(ptr %pool) {
entry:
  %p.stop = getelementptr i64, ptr %pool, i64 $POOL_STOP
  %p.sleepers = getelementptr i64, ptr %pool, i64 $POOL_SLEEPERS
  %p.spins = getelementptr i64, ptr %pool, i64 $POOL_SPINS
  %p.bytes = getelementptr i64, ptr %pool, i64 $POOL_SCRATCH_BYTES
  %limit = load i64, ptr %p.spins
  br label %poll
poll:
  %served = phi i64 [ 0, %entry ], [ %served, %pause ], [ %served, %park ], [ %served, %join ],
                    [ %generation, %leave ]
  %spins = phi i64 [ 0, %entry ], [ %spins.next, %pause ], [ 0, %park ], [ 0, %join ], [ 0, %leave ]
  %scratch = phi ptr [ null, %entry ], [ %scratch, %pause ], [ %scratch, %park ],
                     [ %scratch, %join ], [ %scratch.new, %leave ]
  %capacity = phi i64 [ 0, %entry ], [ %capacity, %pause ], [ %capacity, %park ],
                      [ %capacity, %join ], [ %capacity.new, %leave ]
  %state = load atomic i64, ptr %pool seq_cst, align 8
  %stopped = load atomic i64, ptr %p.stop seq_cst, align 8
  %stop = icmp ne i64 %stopped, 0
  br i1 %stop, label %exit, label %look
look:
  %generation = lshr i64 %state, 32
  %seats.all = lshr i64 %state, 16
  %seats = and i64 %seats.all, 65535
  %full = icmp eq i64 %seats, 0
  %old = icmp eq i64 %generation, %served
  %nothing = or i1 %full, %old
  br i1 %nothing, label %idle, label %join
idle:
  %spins.next = add i64 %spins, 1
  %tired = icmp uge i64 %spins, %limit
  br i1 %tired, label %park, label %pause
pause:
  $PAUSE
  br label %poll
park:
  %before = atomicrmw add ptr %p.sleepers, i64 1 seq_cst
$WAIT
  %after = atomicrmw sub ptr %p.sleepers, i64 1 seq_cst
  br label %poll
join:
  %claimed = sub i64 %state, 65535
  %pair = cmpxchg ptr %pool, i64 %state, i64 %claimed seq_cst seq_cst
  %joined = extractvalue { i64, i1 } %pair, 1
  br i1 %joined, label %prepare, label %poll
prepare:
  %needed = load i64, ptr %p.bytes
  %small = icmp ugt i64 %needed, %capacity
  br i1 %small, label %grow, label %ready
grow:
  call void @free(ptr %scratch)
  %fresh = call ptr @aligned_alloc(i64 64, i64 %needed)
  %failed = icmp eq ptr %fresh, null
  %fresh.capacity = select i1 %failed, i64 0, i64 %needed
  br i1 %failed, label %leave, label %ready
ready:
  %scratch.ready = phi ptr [ %scratch, %prepare ], [ %fresh, %grow ]
  %capacity.ready = phi i64 [ %capacity, %prepare ], [ %fresh.capacity, %grow ]
  call void @participate(ptr %pool, i64 %seats, ptr %scratch.ready)
  br label %leave
leave:
  %scratch.new = phi ptr [ null, %grow ], [ %scratch.ready, %ready ]
  %capacity.new = phi i64 [ 0, %grow ], [ %capacity.ready, %ready ]
  %was = atomicrmw sub ptr %pool, i64 1 seq_cst
  br label %poll
exit:
  call void @free(ptr %scratch)
  ret ptr null
}
"""

_PARALLEL = """
; Runs one phase on up to `participants` threads; false when another caller has the pool.
define internal i1 @parallel(ptr %pool, ptr %function, ptr %buffers, ptr %scalars, ptr %context,
    i64 %extent, i64 %chunk, i64 %participants, i64 %scratch.bytes) {
entry:
  %p.busy = getelementptr i64, ptr %pool, i64 $POOL_BUSY
  %pair = cmpxchg ptr %p.busy, i64 0, i64 1 seq_cst seq_cst
  %mine = extractvalue { i64, i1 } %pair, 1
  br i1 %mine, label %fill, label %refuse
refuse:
  ret i1 false
fill:
  %p.function = getelementptr i64, ptr %pool, i64 $POOL_FUNCTION
  store ptr %function, ptr %p.function
  %p.buffers = getelementptr i64, ptr %pool, i64 $POOL_BUFFERS
  store ptr %buffers, ptr %p.buffers
  %p.scalars = getelementptr i64, ptr %pool, i64 $POOL_SCALARS
  store ptr %scalars, ptr %p.scalars
  %status = load ptr, ptr %context
  %c1 = getelementptr ptr, ptr %context, i64 1
  %workspace = load ptr, ptr %c1
  %c2 = getelementptr ptr, ptr %context, i64 2
  %scratch = load ptr, ptr %c2
  %p.status = getelementptr i64, ptr %pool, i64 $POOL_STATUS
  store ptr %status, ptr %p.status
  %p.workspace = getelementptr i64, ptr %pool, i64 $POOL_WORKSPACE
  store ptr %workspace, ptr %p.workspace
  %p.chunk = getelementptr i64, ptr %pool, i64 $POOL_CHUNK
  store i64 %chunk, ptr %p.chunk
  %p.participants = getelementptr i64, ptr %pool, i64 $POOL_PARTICIPANTS
  store i64 %participants, ptr %p.participants
  %p.bytes = getelementptr i64, ptr %pool, i64 $POOL_SCRATCH_BYTES
  store i64 %scratch.bytes, ptr %p.bytes
  %share = udiv i64 %extent, %participants
  %rest = urem i64 %extent, %participants
  br label %region
region:
  %k = phi i64 [ 0, %fill ], [ %k.next, %region ]
  %begin = phi i64 [ 0, %fill ], [ %end, %region ]
  %longer = icmp ult i64 %k, %rest
  %one = zext i1 %longer to i64
  %size = add i64 %share, %one
  %end = add i64 %begin, %size
  %offset = mul i64 %k, $REGION_CELLS
  %cell = add i64 %offset, $POOL_REGIONS
  %p.next = getelementptr i64, ptr %pool, i64 %cell
  store i64 %begin, ptr %p.next
  %p.end = getelementptr i64, ptr %p.next, i64 1
  store i64 %end, ptr %p.end
  %k.next = add i64 %k, 1
  %more = icmp ult i64 %k.next, %participants
  br i1 %more, label %region, label %publish
publish:
  %helpers = sub i64 %participants, 1
  %seats = shl i64 %helpers, 16
  %idle = load atomic i64, ptr %pool seq_cst, align 8
  %generation = lshr i64 %idle, 32
  %generation.next = add i64 %generation, 1
  %high = shl i64 %generation.next, 32
  %open = or i64 %high, %seats
  store atomic i64 %open, ptr %pool seq_cst, align 8
  %p.sleepers = getelementptr i64, ptr %pool, i64 $POOL_SLEEPERS
  %sleepers = load atomic i64, ptr %p.sleepers seq_cst, align 8
  %asleep = icmp ne i64 %sleepers, 0
  br i1 %asleep, label %wake, label %work
wake:
  %helpers32 = trunc i64 %helpers to i32
$WAKE
  br label %work
work:
  call void @participate(ptr %pool, i64 0, ptr %scratch)
  %before = atomicrmw and ptr %pool, i64 -4294901761 seq_cst
  br label %wait
wait:
  %spins = phi i64 [ 0, %work ], [ %spins.next, %pause ], [ %spins.next, %yield ]
  %state = load atomic i64, ptr %pool seq_cst, align 8
  %active = and i64 %state, 65535
  %alone = icmp eq i64 %active, 0
  br i1 %alone, label %done, label %patience
patience:
  %spins.next = add i64 %spins, 1
  %long = icmp ugt i64 %spins, 2000
  br i1 %long, label %yield, label %pause
pause:
  $PAUSE
  br label %wait
yield:
  %ignored = call i32 @sched_yield()
  br label %wait
done:
  store atomic i64 0, ptr %p.busy seq_cst, align 8
  ret i1 true
}
"""

_STOP = """
define void @picograd_stop(ptr %pool) {
  %p.stop = getelementptr i64, ptr %pool, i64 $POOL_STOP
  store atomic i64 1, ptr %p.stop seq_cst, align 8
  %before = atomicrmw add ptr %pool, i64 4294967296 seq_cst
$WAKE_ALL
  ret void
}
"""

_RUN = """
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
  %shared = call i1 @parallel(ptr %pool, ptr %function, ptr %buffers, ptr %scalars, ptr %context,
      i64 %extent, i64 %chunk, i64 %participants, i64 %bytes)
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
