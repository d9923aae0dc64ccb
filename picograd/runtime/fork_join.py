"""The thread pool, as LLVM IR text.

In: the machine (for its system call numbers and its spin hint). Out: the pool's part of the module
that `runtime.native` puts together.

The pool is a block of 64-bit cells (`POOL_*`). Its word `state` is

    generation (32 bits) | free seats (16 bits) | active workers (16 bits)

A caller writes the task, then publishes `generation + 1` with as many seats as it wants helpers.
A worker that sees a free seat of a generation it has not served takes it (compare-and-swap), runs
chunks, and leaves. When the caller finds no work left it closes the seats and waits for the active
workers only: one that overslept finds no seat, and nobody waits for it. Every participant owns a
region of the iterations, cut into chunks; one that is done takes chunks from its neighbours.
Workers spin for about 50 us after their last task and then sleep on the generation (futex). A task
so short that waking them costs more than their help finds those that spin; when several have
passed, sleepers are woken all the same, for there may be more to come. Before a caller wakes some
it sees to it that they don't wake up where it runs itself (`placement`).

>>> "define ptr @picograd_worker(ptr %pool)" in part("x86_64")
True
"""

from __future__ import annotations

from picograd.runtime.placement import MASK_CELLS, PLACE

# Cells of a pool (8 bytes each). Words that several threads write have a cache line of their own.
POOL_STATE, POOL_SLEEPERS, POOL_BUSY, POOL_STOP = 0, 8, 16, 24
POOL_FUNCTION, POOL_BUFFERS, POOL_SCALARS, POOL_STATUS, POOL_WORKSPACE = 32, 33, 34, 35, 36
POOL_CHUNK, POOL_PARTICIPANTS, POOL_SCRATCH_BYTES, POOL_SPINS = 37, 38, 39, 40
# Who the workers are: places given out, places filled; and for whom they were placed last.
POOL_STARTED, POOL_KNOWN, POOL_PLACED, POOL_AVOIDED, POOL_ALONE = 48, 49, 50, 51, 52
POOL_MASK = 56
POOL_REGIONS, REGION_CELLS = POOL_MASK + MASK_CELLS, 8
MAX_THREADS = 256
# Waking a thread takes the caller some 10 us, which a short task alone does not make up for. So
# sleepers are woken by a long one, or once short ones have come to so much since.
PATIENCE_NANOSECONDS = 60_000
POOL_THREADS = POOL_REGIONS + REGION_CELLS * MAX_THREADS
POOL_CELLS = POOL_THREADS + MAX_THREADS

_X86 = {"FUTEX": 202, "GETTID": 186, "GETCPU": 309, "SETAFFINITY": 203, "GETAFFINITY": 204}
_ARM = {"FUTEX": 98, "GETTID": 178, "GETCPU": 168, "SETAFFINITY": 122, "GETAFFINITY": 123}
SYSTEM_CALLS = {"x86_64": _X86, "amd64": _X86, "aarch64": _ARM, "arm64": _ARM}
_PAUSE = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}


def part(machine: str) -> str:
    """The IR of the pool. Without known system calls for `machine` its wait and wake are left out:
    then it must have no workers."""
    calls = SYSTEM_CALLS.get(machine.lower())
    family = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.lower(), machine.lower())
    declare, pause = _PAUSE.get(family, ("", ""))
    parts = (_DECLARATIONS, PLACE if calls else "", _PARTICIPATE, _WORKER, _PARALLEL, _STOP)
    constants = {name: str(value) for name, value in globals().items() if isinstance(value, int)}
    constants["PAUSE_DECLARATION"], constants["PAUSE"] = declare, pause
    for name, text in _BLOCKING.items():
        constants[name] = text if calls else ""
    for name, number in (calls or {}).items():
        constants[name] = str(number)
    return fill(fill("\n".join(parts), constants), constants)


def fill(text: str, constants: dict[str, str]) -> str:
    """The text with every `$NAME` replaced."""
    for name in sorted(constants, key=len, reverse=True):
        text = text.replace(f"${name}", constants[name])
    return text


# The generation is the upper half of the (little-endian) state word. 128 | 0 waits, 128 | 1 wakes.
_BLOCKING = {
    "WAIT": """  %word.wait = getelementptr i8, ptr %pool, i64 4
  %generation32 = trunc i64 %generation to i32
  %ignored.wait = call i64 (i64, ...) @syscall(i64 $FUTEX, ptr %word.wait, i32 128,
      i32 %generation32, ptr null, ptr null, i32 0)""",
    "WAKE": """  call void @place(ptr %pool)
  %word.wake = getelementptr i8, ptr %pool, i64 4
  %ignored.wake = call i64 (i64, ...) @syscall(i64 $FUTEX, ptr %word.wake, i32 129, i32 %helpers32,
      ptr null, ptr null, i32 0)""",
    "WAKE_ALL": """  %word.wake = getelementptr i8, ptr %pool, i64 4
  %ignored.wake = call i64 (i64, ...) @syscall(i64 $FUTEX, ptr %word.wake, i32 129, i32 2147483647,
      ptr null, ptr null, i32 0)""",
    "REGISTER": """  %thread = call i64 (i64, ...) @syscall(i64 $GETTID)
  %number = atomicrmw add ptr %p.started, i64 1 seq_cst
  %place = add i64 %number, $POOL_THREADS
  %p.thread = getelementptr i64, ptr %pool, i64 %place
  store atomic i64 %thread, ptr %p.thread seq_cst, align 8
  %known = atomicrmw add ptr %p.known, i64 1 seq_cst""",
    "LEAVE": "  store atomic i64 0, ptr %p.thread seq_cst, align 8",
}

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
  %p.started = getelementptr i64, ptr %pool, i64 $POOL_STARTED
  %p.known = getelementptr i64, ptr %pool, i64 $POOL_KNOWN
  %limit = load i64, ptr %p.spins
$REGISTER
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
$LEAVE
  call void @free(ptr %scratch)
  ret ptr null
}
"""

_PARALLEL = """
; Runs one phase on up to `participants` threads; false when another caller has the pool.
define internal i1 @parallel(ptr %pool, ptr %function, ptr %buffers, ptr %scalars, ptr %context,
    i64 %extent, i64 %chunk, i64 %participants, i64 %scratch.bytes, i64 %nanoseconds) {
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
  br i1 %asleep, label %weigh, label %work
weigh:
  %p.alone = getelementptr i64, ptr %pool, i64 $POOL_ALONE
  %alone.before = load i64, ptr %p.alone
  %alone.now = add i64 %alone.before, %nanoseconds
  %patient = icmp ult i64 %alone.now, $PATIENCE_NANOSECONDS
  %alone.after = select i1 %patient, i64 %alone.now, i64 0
  store i64 %alone.after, ptr %p.alone
  br i1 %patient, label %work, label %wake
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
