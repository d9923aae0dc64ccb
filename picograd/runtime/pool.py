"""The threads that run kernels: how many, when they start, and when they stop.

In: `set_num_threads` from the user; programs from `runtime.executable`. Out: a `Pool`, whose
address goes into a run's frame; the work itself is shared out in native code (`runtime.native`).

The workers start with the first program that wants them. They block all signals, so Ctrl-C reaches
the main thread, and are joined when the process exits. A fork's child has none of them and starts
its own when it needs some. Where there is no futex (systems other than Linux), everything runs on
the calling thread.

>>> set_num_threads(1)
>>> get_num_threads()
1
>>> current().workers
0
"""

from __future__ import annotations

import atexit
import ctypes
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from picograd import env
from picograd.runtime import fork_join, native
from picograd.runtime.fork import renew_in_child
from picograd.runtime.jit import Library

SPIN_SECONDS = 50e-6

_Entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_Spin = ctypes.CFUNCTYPE(None, ctypes.c_int64)
_Run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)


@lru_cache(maxsize=1)
def executor() -> Library:
    """The native module, compiled when first needed, or by an earlier process."""
    from picograd.runtime import disk
    from picograd.runtime.host import target

    return disk.compiled(native.module(platform.machine()), target())


@lru_cache(maxsize=1)
def entry() -> Callable[[int], int]:
    """`picograd_run(frame)`: releases the GIL, returns the failed step or -1."""
    return _Run(executor().addresses["picograd_run"])


def supported() -> bool:
    """True where the pool can have workers: Linux on a known machine."""
    return sys.platform == "linux" and platform.machine().lower() in fork_join.SYSTEM_CALLS


@lru_cache(maxsize=1)
def _spins() -> int:
    """How many pauses take about 50 microseconds here (the best of three measurements)."""
    spin = _Spin(executor().addresses["picograd_spin"])
    count, best = 1000, float("inf")
    for _ in range(3):
        start = time.perf_counter()
        spin(count)
        best = min(best, time.perf_counter() - start)
    return max(100, min(1_000_000, int(count * SPIN_SECONDS / max(best, 1e-9))))


class Pool:
    """`workers` threads that help whoever runs a frame with this pool's address."""

    def __init__(self, workers: int) -> None:
        memory = np.zeros(fork_join.POOL_CELLS + 8, np.int64)
        skip = -memory.ctypes.data % 64 // 8
        self.cells = memory[skip : skip + fork_join.POOL_CELLS]
        self.address: int = self.cells.ctypes.data
        self._threads: list[ctypes.c_ulong] = []
        if workers > 0 and supported():
            self.cells[fork_join.POOL_SPINS] = _spins()
            self._start(workers)
        self.workers = len(self._threads)

    def _start(self, workers: int) -> None:
        """Create the threads; fewer if the system refuses."""
        create = ctypes.CDLL(None).pthread_create
        create.argtypes = [ctypes.c_void_p] * 4
        main = executor().addresses["picograd_worker"]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            for _ in range(workers):
                thread = ctypes.c_ulong()
                if create(ctypes.addressof(thread), None, main, self.address):
                    break
                self._threads.append(thread)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def stop(self) -> None:
        """End the threads. A run in progress on another thread finishes, without help."""
        if self._threads:
            _Entry(executor().addresses["picograd_stop"])(self.address)
            join = ctypes.CDLL(None).pthread_join
            join.argtypes = [ctypes.c_ulong, ctypes.c_void_p]
            for thread in self._threads:
                join(thread, None)
            self._threads.clear()


class _State:
    """The process's pool and the wanted number of threads (None: one per usable CPU)."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wanted: int | None = None
        self.pool: Pool | None = None
        self.closed = False  # the process is exiting: no new threads


_state = _State()


def usable_cpus() -> int:
    """The CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def get_num_threads() -> int:
    """The number of threads that kernels may use, the calling one included."""
    if _state.wanted is None:
        wanted = env.NUM_THREADS.get()
        _state.wanted = min(wanted if wanted > 0 else usable_cpus(), fork_join.MAX_THREADS)
    return _state.wanted


def set_num_threads(count: int) -> None:
    """Use up to `count` threads for kernels from now on.

    Raises RuntimeError when `count` is not positive and TypeError when it is not an integer.
    """
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"set_num_threads expects an int, but got {type(count).__name__}")
    if count <= 0:
        raise RuntimeError(f"set_num_threads expects a positive integer, but got {count}")
    with _state.lock:
        old, _state.pool = _state.pool, None
        _state.wanted = min(count, fork_join.MAX_THREADS)
    if old is not None:
        old.stop()


def current() -> Pool:
    """The process's pool, started if there is none. Hold on to it during a run."""
    pool = _state.pool
    if pool is not None:
        return pool
    with _state.lock:
        if _state.pool is None:
            _state.pool = Pool(0 if _state.closed else get_num_threads() - 1)
        return _state.pool


def _forget() -> None:
    """In the child of a fork: the parent's threads do not exist here, and a lock may be held."""
    _state.lock = threading.Lock()
    if _state.pool is not None:
        _state.pool._threads.clear()
        _state.pool = None


def _finish() -> None:
    _state.closed = True
    pool, _state.pool = _state.pool, None
    if pool is not None:
        pool.stop()


atexit.register(_finish)
renew_in_child(_forget)
