"""Buffers and the allocator below them."""

from __future__ import annotations

import gc
import itertools
import os
import random
import threading

import numpy as np
import pytest

from picograd.dtypes import ALL, float32, int64
from picograd.runtime import allocator as memory
from picograd.runtime.allocator import ALIGNMENT, HUGE_PAGE, LARGE, Allocator, size_class
from picograd.runtime.buffer import empty, from_array


@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
def test_a_buffer_holds_elements_of_every_dtype(dtype):
    buffer = empty(dtype, 37)
    assert buffer.address % ALIGNMENT == 0
    assert buffer.array.shape == (37,) and buffer.array.dtype == dtype.numpy
    assert buffer.array.__array_interface__["data"][0] == buffer.address
    buffer.array[:] = np.arange(37) % 2
    assert (buffer.array == (np.arange(37) % 2).astype(dtype.numpy)).all()


def test_an_empty_buffer_has_an_address():
    buffer = empty(float32, 0)
    assert buffer.address % ALIGNMENT == 0 and buffer.address
    assert buffer.array.shape == (0,)


def test_from_array_shares_memory():
    array = np.arange(6.0).reshape(2, 3)
    buffer = from_array(array)
    buffer.array[4] = 40
    assert array[1, 1] == 40 and buffer.size == 6 and buffer.address == array.ctypes.data


def test_from_array_keeps_the_array_alive():
    buffer = from_array(np.full(100_000, 7, np.int64))
    gc.collect()
    assert int(buffer.array.sum()) == 700_000


def test_from_array_takes_a_0d_and_an_empty_array():
    assert from_array(np.array(3.0)).array.tolist() == [3.0]
    assert from_array(np.empty((0, 4))).size == 0


def test_from_array_refuses_what_it_cannot_share():
    with pytest.raises(ValueError, match=r"shape \(3, 2\).*copy it first"):
        from_array(np.zeros((2, 3)).T)
    read_only = np.zeros(3)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        from_array(read_only)
    with pytest.raises(TypeError, match="can't convert"):
        from_array(np.array(["a"]))


def test_the_array_outlives_the_buffer():
    array = empty(int64, 1000).array
    array[:] = 5
    others = [empty(int64, 1000) for _ in range(20)]
    for other in others:
        other.array[:] = 6
    assert (array == 5).all()


def test_exclusive_memory_is_seen_by_nobody_else():
    buffer = empty(float32, 10)
    assert buffer.exclusive()
    buffer.array[:] = 3
    assert buffer.exclusive()
    view = buffer.array.reshape(2, 5)[1]
    assert not buffer.exclusive()
    assert (buffer.array == 3).all()
    del view
    assert buffer.exclusive()
    whole = buffer.array
    assert not buffer.exclusive()
    del whole
    assert buffer.exclusive()
    assert not from_array(np.zeros(3)).exclusive()


def test_size_classes_waste_little_and_are_fixed_points(seed):
    generator = random.Random(seed)
    for size in [*range(4000), *(generator.randrange(1 << 40) for _ in range(2000))]:
        capacity = size_class(size)
        assert capacity >= size and capacity % ALIGNMENT == 0
        assert capacity <= max(size + ALIGNMENT, size * 9 // 8 + ALIGNMENT)
        assert size_class(capacity) == capacity


def test_memory_is_reused_while_warm():
    pool = Allocator(limit=64 << 20)
    first = pool.allocate(3 << 20)
    address = first.address
    assert address % HUGE_PAGE == 0
    del first
    assert pool.allocate(3 << 20).address == address


def test_live_blocks_never_overlap(seed):
    generator = random.Random(seed)
    pool = Allocator(limit=1 << 20)
    live = []
    for step in range(3000):
        if live and generator.random() < 0.5:
            live.pop(generator.randrange(len(live)))
        else:
            block = pool.allocate(generator.choice([1, 64, 500, 5000, 70_000]))
            assert block.address % ALIGNMENT == 0
            live.append(block)
            block = None  # or it would live on here after it is taken off the list
        if step % 300 == 0:
            spans = sorted((block.address, block.address + block.size) for block in live)
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    assert pool.allocated == sum(size_class(block.size) for block in live)
    live.clear()
    assert pool.allocated == 0


def test_the_cache_is_bounded_and_drops_the_least_recently_used_class():
    pool = Allocator(limit=4 * LARGE)
    old = [pool.allocate(LARGE) for _ in range(3)]
    old.clear()
    new = [pool.allocate(2 * LARGE) for _ in range(2)]
    new.clear()
    assert pool.reserved <= 4 * LARGE
    assert list(pool._free) == [2 * LARGE]


def test_empty_cache_returns_memory_to_the_system():
    pool = Allocator(limit=64 << 20)
    block = pool.allocate(8 << 20)
    del block
    assert pool.reserved == 8 << 20
    pool.empty_cache()
    assert pool.reserved == 0


def test_impossible_sizes_raise_runtime_error_and_count_nothing():
    pool = Allocator(limit=1 << 20)
    with pytest.raises(RuntimeError, match="you tried to allocate 4611686018427387904 bytes"):
        pool.allocate(1 << 62)
    assert pool.allocated == 0


def test_a_block_may_die_while_the_lock_is_held():
    pool = Allocator(limit=64 << 20)
    block = pool.allocate(2 << 20)
    with pool._lock:
        del block
    assert pool.allocated == 0


def test_threads_allocate_and_free_at_once():
    pool = Allocator(limit=1 << 20)
    failures = []

    def work(mark):
        for step in range(1500):
            block = pool.allocate(64 + step % 700)
            array = np.asarray(block)
            array[:] = mark
            if not (array == mark).all():
                failures.append(mark)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and pool.allocated == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_allocate_while_the_parent_held_the_lock():
    with memory.HOST._lock:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if empty(float32, 10).array.size == 10 else 1
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_public_counters_follow_buffers():
    before = memory.memory_allocated()
    buffer = empty(float32, 1 << 20)
    assert memory.memory_allocated() - before == 4 << 20
    assert memory.memory_reserved() >= memory.memory_allocated()
    del buffer
    assert memory.memory_allocated() == before
    memory.empty_cache()
    assert memory.memory_reserved() == memory.memory_allocated()


def test_asking_for_exclusive_memory_keeps_somebody_elses_array() -> None:
    """The array of borrowed memory is the only way to it; own memory can make its array again."""
    borrowed = from_array(np.arange(3.0))
    assert not borrowed.exclusive()
    assert borrowed.array.tolist() == [0.0, 1.0, 2.0]
    own = empty(float32, 3)
    own.array[:] = 1.0
    assert own.exclusive()
    held = own.array
    assert not own.exclusive() and held.tolist() == [1.0, 1.0, 1.0]


CORNERS = [((4, 6), (3, 4)), ((5,), (2,)), ((3, 4, 5), (3, 2, 5)), ((2, 3), (0, 3)), ((), ())]


@pytest.mark.parametrize(("shape", "corner"), CORNERS, ids=str)
def test_what_lies_beyond_a_corner_is_cleared(shape, corner):
    """Integers that lay there before, read as floats, would be numbers that take long to add."""
    buffer = empty(float32, int(np.prod(shape)))
    buffer.array[:] = 7
    buffer.clear_beyond(shape, corner)
    want = np.zeros(shape, np.float32)
    want[tuple(slice(size) for size in corner)] = 7
    assert (buffer.array.reshape(shape) == want).all()
