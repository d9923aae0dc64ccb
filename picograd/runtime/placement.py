"""Workers wake up where the caller is not: a part of the pool's IR.

In: nothing. Out: `PLACE`, IR of a function that a caller runs before it wakes sleeping workers.

A scheduler likes to put a thread that wakes up on the CPU of the thread that woke it: in a virtual
machine whose other CPU went to sleep it does so most of the time. Then the two take turns, and
work of a few milliseconds takes twice as long. So the workers may run on every CPU that the caller
may run on, but for the one it is on. The sets are only written when one of the three facts they
come from has changed: that CPU, the caller's own set, or which workers there are. A caller that
has a single CPU shares it.

>>> "define internal void @place(ptr %pool)" in PLACE
True
"""

from __future__ import annotations

MASK_CELLS = 16  # a set of 1024 CPUs: the system's calls fail where there may be more, and we pass

PLACE = """
define internal void @place(ptr %pool) {
entry:
  %cell = alloca i32, align 4
  %mask = alloca [$MASK_CELLS x i64], align 16
  store [$MASK_CELLS x i64] zeroinitializer, ptr %mask
  %bytes = shl i64 $MASK_CELLS, 3
  %got = call i64 (i64, ...) @syscall(i64 $GETAFFINITY, i64 0, i64 %bytes, ptr %mask)
  %readable = icmp sgt i64 %got, 0
  br i1 %readable, label %locate, label %done
locate:
  %failed = call i64 (i64, ...) @syscall(i64 $GETCPU, ptr %cell, ptr null, ptr null)
  %cpu32 = load i32, ptr %cell
  %cpu = zext i32 %cpu32 to i64
  %word = lshr i64 %cpu, 6
  %located = icmp eq i64 %failed, 0
  %small = icmp ult i64 %word, $MASK_CELLS
  %usable = and i1 %located, %small
  br i1 %usable, label %compare, label %done
compare:
  %bit = and i64 %cpu, 63
  %own = shl i64 1, %bit
  %p.avoided = getelementptr i64, ptr %pool, i64 $POOL_AVOIDED
  %avoided = load i64, ptr %p.avoided
  store i64 %cpu, ptr %p.avoided
  %moved = xor i64 %cpu, %avoided
  %p.known = getelementptr i64, ptr %pool, i64 $POOL_KNOWN
  %known = load atomic i64, ptr %p.known seq_cst, align 8
  %p.placed = getelementptr i64, ptr %pool, i64 $POOL_PLACED
  %placed = load i64, ptr %p.placed
  store i64 %known, ptr %p.placed
  %joined = xor i64 %known, %placed
  %news = or i64 %moved, %joined
  br label %cells
cells:
  %k = phi i64 [ 0, %compare ], [ %k.next, %cells ]
  %change = phi i64 [ %news, %compare ], [ %change.next, %cells ]
  %others = phi i64 [ 0, %compare ], [ %others.next, %cells ]
  %p.set = getelementptr i64, ptr %mask, i64 %k
  %set = load i64, ptr %p.set
  %k.last = add i64 %k, $POOL_MASK
  %p.last = getelementptr i64, ptr %pool, i64 %k.last
  %last = load i64, ptr %p.last
  store i64 %set, ptr %p.last
  %differs = xor i64 %set, %last
  %change.next = or i64 %change, %differs
  %here = icmp eq i64 %k, %word
  %removed = select i1 %here, i64 %own, i64 0
  %keep = xor i64 %removed, -1
  %rest = and i64 %set, %keep
  store i64 %rest, ptr %p.set
  %others.next = or i64 %others, %rest
  %k.next = add i64 %k, 1
  %more = icmp ult i64 %k.next, $MASK_CELLS
  br i1 %more, label %cells, label %decide
decide:
  %same = icmp eq i64 %change.next, 0
  br i1 %same, label %done, label %alone
alone:
  %single = icmp eq i64 %others.next, 0
  %p.own = getelementptr i64, ptr %mask, i64 %word
  %kept = load i64, ptr %p.own
  %shared = select i1 %single, i64 %own, i64 0
  %final = or i64 %kept, %shared
  store i64 %final, ptr %p.own
  %p.started = getelementptr i64, ptr %pool, i64 $POOL_STARTED
  %started = load atomic i64, ptr %p.started seq_cst, align 8
  br label %next
next:
  %n = phi i64 [ 0, %alone ], [ %n.next, %worker ], [ %n.next, %set.worker ]
  %some = icmp ult i64 %n, %started
  br i1 %some, label %worker, label %done
worker:
  %n.next = add i64 %n, 1
  %place = add i64 %n, $POOL_THREADS
  %p.thread = getelementptr i64, ptr %pool, i64 %place
  %thread = load atomic i64, ptr %p.thread seq_cst, align 8
  %there = icmp ne i64 %thread, 0
  br i1 %there, label %set.worker, label %next
set.worker:
  %ignored = call i64 (i64, ...) @syscall(i64 $SETAFFINITY, i64 %thread, i64 %bytes, ptr %mask)
  br label %next
done:
  ret void
}
"""
