"""The thread pool and the executor, on kernels written by hand."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from picograd.dtypes import int64
from picograd.graph.index import Param, of
from picograd.runtime import fork_join, pool
from picograd.runtime.allocator import memory_allocated
from picograd.runtime.buffer import empty, from_array
from picograd.runtime.observe import Timing
from picograd.schedule.kernel import SlotKind
from tests.runtime.helpers import ADD_SCALAR, CHECK, COUNT, SCRATCH, Work, build, slot

HEAVY = 100.0  # nanoseconds: enough for thousands of iterations to be shared out
threaded = pytest.mark.skipif(not pool.supported(), reason="the pool needs a futex")


@pytest.fixture(autouse=True)
def _threads():
    before = pool.get_num_threads()
    yield
    pool.set_num_threads(before)


def counter(size, nanoseconds=HEAVY, phases=1):
    work = Work("count", [(*COUNT, size, nanoseconds)] * phases, (0,))
    return build([work], [slot(SlotKind.INPUT, 0, size)], (0,))


def zeros(size):
    return from_array(np.zeros(size, np.int64))


@pytest.mark.parametrize("threads", range(1, 9))
def test_every_iteration_runs_once(threads):
    pool.set_num_threads(threads)
    assert pool.current().workers == (threads - 1 if pool.supported() else 0)
    for size in (0, 1, 2, 7, 1000, 12_345):
        buffer = zeros(size)
        executable = counter(size, phases=3)
        for _ in range(30):
            assert executable.run([buffer])[0] is buffer
        assert (buffer.array == 90).all()


def test_many_small_phases_in_a_row(seed):
    """Generations follow each other faster than workers wake up and go to sleep."""
    pool.set_num_threads(4)
    buffer, size = zeros(300), 300
    executable = counter(size, phases=50)
    generator = random.Random(seed)
    for _ in range(400):
        executable.run([buffer])
        if generator.random() < 0.05:
            time.sleep(generator.random() * 3e-4)
    assert (buffer.array == 20_000).all()


@threaded
def test_workers_take_part():
    """With two threads, iterations that each take long run on both."""
    pool.set_num_threads(2)
    number = {"x86_64": 186}.get(os.uname().machine, 178)
    prologue, _ = COUNT
    body = f"""%py = getelementptr i64, ptr %y, i64 %i
  %slept = call i32 @usleep(i32 2000)
  %me = call i64 (i64, ...) @syscall(i64 {number})
  store i64 %me, ptr %py"""
    declarations = "declare i64 @syscall(i64, ...)\ndeclare i32 @usleep(i32)\n"
    work = Work("who", [(prologue, body, 8, 1e6)], (0,), declarations=declarations)
    executable = build([work], [slot(SlotKind.INPUT, 0, 8)], (0,))
    buffer = zeros(8)
    executable.run([buffer])
    assert len(set(buffer.array.tolist())) == 2


def test_numbers_outputs_and_temporaries():
    """out = (x + a) + b through a temporary; the values arrive as cells."""
    first = Work("first", [(*ADD_SCALAR, 1000, HEAVY)], (0, 2), (1,))
    second = Work("second", [(*ADD_SCALAR, 1000, HEAVY)], (2, 1), (0,))
    slots = [
        slot(SlotKind.INPUT, 0, 1000),
        slot(SlotKind.OUTPUT, 0, 1000),
        slot(SlotKind.ARENA, 0, 1000, offset=64),
    ]
    executable = build([first, second], slots, (1,), arena=64 + 8000)
    x = from_array(np.arange(1000))
    (out,) = executable.run([x], [-5, 7])
    assert (out.array == np.arange(1000) + 2).all()
    (other,) = executable.run([x], [(1 << 64) - 5, 8])
    assert (other.array == np.arange(1000) + 3).all()
    assert (out.array == np.arange(1000) + 2).all()
    assert out.address % 64 == 0 and out.device == "cpu" and out.dtype is int64


def test_an_input_that_is_not_used_has_no_slot_but_a_number():
    work = Work("second_input", [(*COUNT, 10, 0.0)], (0,))
    executable = build([work], [slot(SlotKind.INPUT, 1, 10)], (0,))
    unused, used = zeros(3), zeros(10)
    assert executable.run([unused, used])[0] is used
    assert (used.array == 1).all() and (unused.array == 0).all()


def test_an_extent_may_depend_on_a_value():
    extent = of(Param(0, 0, 1000)) * 2 + 1
    work = Work("ranged", [(*COUNT, extent, HEAVY)], (0,), (1,))
    executable = build([work], [slot(SlotKind.INPUT, 0, 1000)], (0,))
    buffer = zeros(1000)
    executable.run([buffer], [99, 100])
    executable.run([buffer], [99, 0])
    assert buffer.array.tolist() == [2] + [1] * 200 + [0] * 799


def test_scratch_belongs_to_one_thread():
    pool.set_num_threads(4)
    for size in (64, 4096):  # grows on the second program
        work = Work(f"scratch{size}", [(*SCRATCH, 3000, HEAVY)], (0,), scratch=max(size, 4000))
        executable = build([work], [slot(SlotKind.OUTPUT, 0, 3000)], (0,))
        for _ in range(50):
            assert (executable.run([])[0].array == np.arange(3000)).all()


def test_a_check_that_holds_runs_on_when_steps_are_timed():
    slots = [slot(SlotKind.INPUT, 0, 1000), slot(SlotKind.INPUT, 1, 1000)]
    before = Work("before", [(*COUNT, 1000, HEAVY)], (1,))
    check = Work("check", [(*CHECK, 1000, HEAVY)], (0,), check=True, origin="model.py:12")
    executable = build([before, check], slots, (1,))
    x, y = zeros(1000), zeros(1000)
    timings: list[Timing] = []
    executable.run([x, y], timings=timings)
    assert [timing.kernel.name for timing in timings] == ["before", "check"]
    assert (y.array == 1).all()


def test_a_failed_check_stops_the_program():
    slots = [slot(SlotKind.INPUT, 0, 1000), slot(SlotKind.INPUT, 1, 1000)]
    check = Work("check", [(*CHECK, 1000, HEAVY)], (0,), check=True, origin="model.py:12")
    after = Work("after", [(*COUNT, 1000, HEAVY)], (1,))
    executable = build([check, after], slots, (1,))
    x, y = zeros(1000), zeros(1000)
    executable.run([x, y])
    x.array[999] = -1
    with pytest.raises(IndexError, match=r"index out of range.*model\.py:12"):
        executable.run([x, y])
    assert (y.array == 1).all()
    timings: list[Timing] = []
    with pytest.raises(IndexError):
        executable.run([x, y], timings=timings)
    assert [timing.kernel.name for timing in timings] == ["check"]
    x.array[999] = 0
    executable.run([x, y])
    assert (y.array == 2).all()


def test_timings_name_every_kernel():
    first = Work("one", [(*COUNT, 10, 0.0)], (0,))
    second = Work("two", [(*COUNT, 100_000, HEAVY)], (0,))
    executable = build([first, second], [slot(SlotKind.INPUT, 0, 100_000)], (0,))
    timings: list[Timing] = []
    buffer = zeros(100_000)
    executable.run([buffer], timings=timings)
    assert [timing.kernel.name for timing in timings] == ["one", "two"]
    assert 0 < timings[0].seconds < timings[1].seconds
    executable.run([buffer])
    assert buffer.array[0] == 4 and buffer.array[-1] == 2


def test_a_program_without_kernels_returns_its_inputs():
    executable = build([], [slot(SlotKind.INPUT, 0, 5)], (0, 0))
    buffer = zeros(5)
    assert executable.run([buffer]) == [buffer, buffer]


def test_threads_may_run_one_executable_at_once():
    pool.set_num_threads(3)
    work = Work("shared", [(*ADD_SCALAR, 2000, HEAVY)] * 3, (0, 1), (0,))
    slots = [slot(SlotKind.INPUT, 0, 2000), slot(SlotKind.OUTPUT, 0, 2000)]
    executable = build([work], slots, (1,))
    x = from_array(np.arange(2000))
    wrong: list[int] = []

    def caller(number):
        for step in range(300):
            (out,) = executable.run([x], [number * 1000 + step])
            if not (out.array == x.array + number * 1000 + step).all():
                wrong.append(number)

    threads = [threading.Thread(target=caller, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_pool_may_be_replaced_while_it_works():
    buffer = zeros(5000)
    executable = counter(5000)
    done = threading.Event()

    def resize():
        threads = 1
        while not done.is_set():
            pool.set_num_threads(threads := threads % 5 + 1)

    thread = threading.Thread(target=resize)
    thread.start()
    try:
        for _ in range(300):
            executable.run([buffer])
    finally:
        done.set()
        thread.join()
    assert (buffer.array == 300).all()


def test_set_num_threads_checks_its_argument():
    with pytest.raises(RuntimeError, match="positive integer, but got 0"):
        pool.set_num_threads(0)
    with pytest.raises(TypeError, match="expects an int, but got float"):
        pool.set_num_threads(2.0)  # pyright: ignore[reportArgumentType]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_its_own_threads():
    pool.set_num_threads(2)
    executable = counter(5000)
    executable.run([zeros(5000)])
    for _ in range(5):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                buffer = zeros(5000)
                for _ in range(20):
                    executable.run([buffer])
                workers = 1 if pool.supported() else 0
                right = (buffer.array == 20).all() and pool.current().workers == workers
                code = 0 if right else 2
            finally:
                os._exit(code)
        buffer = zeros(5000)
        executable.run([buffer])
        assert (buffer.array == 1).all()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            finished, status = os.waitpid(child, os.WNOHANG)
            if finished:
                break
            time.sleep(0.01)
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        assert os.waitstatus_to_exitcode(status) == 0


def test_runs_leak_no_memory():
    work = Work("leak", [(*ADD_SCALAR, 10_000, HEAVY)], (0, 1), (0,), scratch=640, workspace=64)
    slots = [slot(SlotKind.INPUT, 0, 10_000), slot(SlotKind.OUTPUT, 0, 10_000)]
    executable = build([work], slots, (1,), arena=5000)
    x = empty(int64, 10_000)
    executable.run([x], [1])
    before = memory_allocated()
    for _ in range(200):
        executable.run([x], [1])
    assert memory_allocated() == before


SCRIPT = """
import sys, threading, time
sys.path.insert(0, {root!r})
import numpy as np
from picograd.runtime import fork_join, pool
from picograd.runtime.buffer import from_array
from picograd.schedule.kernel import SlotKind
from tests.runtime.helpers import COUNT, Work, build, slot
pool.set_num_threads(3)
work = Work("count", [(*COUNT, 100_000, 100.0)], (0,))
executable = build([work], [slot(SlotKind.INPUT, 0, 100_000)], (0,))
buffer = from_array(np.zeros(100_000, np.int64))
executable.run([buffer])
{ending}
"""


def script(ending):
    text = SCRIPT.format(root=str(Path(__file__).parents[2]), ending=textwrap.dedent(ending))
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    return subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )


@threaded
@pytest.mark.skipif(pool.usable_cpus() < 2, reason="needs two CPUs")
def test_sleeping_workers_wake_up_away_from_the_caller():
    """Where the caller may run, but not where it runs; on its CPU when it has no other."""
    process = script("""
        import os
        from picograd.runtime.fork_join import POOL_KNOWN, POOL_THREADS
        allowed = sorted(os.sched_getaffinity(0))
        cells = pool.current().cells
        deadline = time.monotonic() + 30
        while cells[POOL_KNOWN] < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        workers = cells[POOL_THREADS:][:2].tolist()
        for caller in (allowed[1:2], allowed[:2], allowed[:1]):
            os.sched_setaffinity(0, caller)
            right = False
            while not right and time.monotonic() < deadline:
                time.sleep(0.01)  # until they sleep: who is awake is left where it is
                executable.run([buffer])
                one, two = (os.sched_getaffinity(worker) for worker in workers)
                right = one == two and len(one) == 1 and one <= set(caller)
            print(right)
    """)
    output, errors = process.communicate(timeout=60)
    assert output == "True\n" * 3, errors


@threaded
def test_sleepers_are_not_woken_for_a_short_task_alone():
    """But for several of them, and for a long one."""
    pool.set_num_threads(2)
    cells, buffer = pool.current().cells, zeros(3000)
    cells[fork_join.POOL_ALONE] = 0  # of what ran before
    for nanoseconds, waits in ((6.0, [18_000, 36_000, 54_000, 0, 18_000]), (100.0, [0, 0])):
        executable = counter(3000, nanoseconds)
        for waited in waits:
            deadline = time.monotonic() + 30
            while not cells[fork_join.POOL_SLEEPERS] and time.monotonic() < deadline:
                time.sleep(0.001)
            executable.run([buffer])
            assert cells[fork_join.POOL_ALONE] == waited
    assert (buffer.array == 7).all()


def test_the_process_exits_while_workers_spin():
    for ending in ("executable.run([buffer])", "time.sleep(0.01)", "sys.exit(0)"):
        process = script(ending)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors


def test_the_process_exits_while_a_daemon_thread_computes():
    process = script("""
        def forever():
            while True:
                executable.run([buffer])
        threading.Thread(target=forever, daemon=True).start()
        time.sleep(0.05)
    """)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


def test_ctrl_c_interrupts_a_loop_of_programs():
    process = script("""
        import signal  # a parent in the background may have it ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("ready", flush=True)
        try:
            while True:
                executable.run([buffer])
        except KeyboardInterrupt:
            executable.run([buffer])
            print("stopped", flush=True)
    """)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert output == "stopped\n" and process.returncode == 0, errors
