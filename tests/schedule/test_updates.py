"""Updates in place, checks of indices, scatters, and long graphs."""

from __future__ import annotations

import time

import numpy as np
import pytest

from picograd.dtypes import float32, int64
from picograd.graph.index import ZERO, Param, of
from picograd.graph.node import Node, make
from picograd.graph.ops import (
    AxesAttr,
    Combiner,
    ConstAttr,
    GatherAttr,
    Op,
    PadAttr,
    ScatterReduceAttr,
    SliceAttr,
)
from picograd.schedule.kernel import Pattern, SlotKind, StageKind
from picograd.schedule.memory import ALIGNMENT, place
from picograd.schedule.plan import plan
from picograd.schedule.simulate import simulate
from tests.schedule.graphs import check
from tests.schedule.nets import apply, leaf, number, reduce, reshape, softmax, spread


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


class Values:
    """Run-time starts."""

    def __init__(self) -> None:
        self.given: dict[int, int] = {}

    def start(self, value: int, last: int):
        self.given[len(self.given)] = value
        return of(Param(len(self.given) - 1, 0, last))


def element(values: Values, x: Node, *position: int) -> Node:
    starts = tuple(values.start(p, e - 1) for p, e in zip(position, x.shape, strict=True))
    ones = (1,) * len(position)
    return reshape(make(Op.SLICE, (x,), SliceAttr(starts, ones, ones)))


def set_element(values: Values, x: Node, value: Node, *position: int) -> Node:
    starts = tuple(values.start(p, e - 1) for p, e in zip(position, x.shape, strict=True))
    ones = (1,) * len(position)
    return make(Op.UPDATE, (x, reshape(value, *ones)), SliceAttr(starts, ones, ones))


def triple_loop(steps: int) -> tuple[Node, Values, dict[int, np.ndarray]]:
    values, buffers = Values(), {0: floats(5, 6), 1: floats(5, 8), 2: floats(8, 6)}
    result, a, b = leaf(0, 5, 6), leaf(1, 5, 8), leaf(2, 8, 6)
    for n in range(steps):
        i, j, k = n % 5, n % 6, n % 8
        product = apply(Op.MUL, element(values, a, i, k), element(values, b, k, j))
        total = apply(Op.ADD, element(values, result, i, j), product)
        result = set_element(values, result, total, i, j)
    return result, values, buffers


def test_elementwise_loop_is_one_kernel_run_many_times() -> None:
    result, values, buffers = triple_loop(200)
    begin = time.perf_counter()
    program = check([result], buffers, values.given, donated=frozenset({0}))
    assert time.perf_counter() - begin < 10
    assert len(program.steps) == 200
    assert len({step.kernel for step in program.steps}) == 1
    assert program.slots[program.outputs[0]].kind is SlotKind.INPUT
    assert program.arena == 0


def test_elementwise_loop_on_memory_that_must_stay() -> None:
    result, values, buffers = triple_loop(12)
    program = check([result], buffers, values.given)
    assert program.slots[program.outputs[0]].kind is SlotKind.OUTPUT
    assert len({step.kernel for step in program.steps}) <= 2


def window(starts: tuple[int, ...], sizes: tuple[int, ...]) -> SliceAttr:
    from picograd.graph.index import constant

    return SliceAttr(tuple(constant(s) for s in starts), sizes, (1,) * len(sizes))


def test_old_contents_that_are_read_later_are_kept() -> None:
    x = leaf(0, 4, 3)
    changed = make(Op.UPDATE, (x, number(9.0, (1, 3))), window((1, 0), (1, 3)))
    both = apply(Op.ADD, changed, x)
    check([changed, both], {0: floats(4, 3)}, donated=frozenset({0}))


def test_rows_swap() -> None:
    x = leaf(0, 4, 3)
    first = make(Op.SLICE, (x,), window((0, 0), (1, 3)))
    second = make(Op.SLICE, (x,), window((1, 0), (1, 3)))
    x1 = make(Op.UPDATE, (x, second), window((0, 0), (1, 3)))
    x2 = make(Op.UPDATE, (x1, first), window((1, 0), (1, 3)))
    for donated in (frozenset(), frozenset({0})):
        check([x2], {0: floats(4, 3)}, donated=donated)


def test_shifted_update_reads_before_it_writes() -> None:
    x = leaf(0, 40)
    for source, target in ((0, 1), (1, 0)):
        moved = make(Op.SLICE, (x,), window((source,), (39,)))
        shifted = make(Op.UPDATE, (x, moved), window((target,), (39,)))
        check([shifted], {0: floats(40)}, donated=frozenset({0}))


def test_update_at_the_element_it_reads_is_one_kernel() -> None:
    x = leaf(0, 40)
    part = make(Op.SLICE, (x,), window((3,), (9,)))
    changed = make(Op.UPDATE, (x, apply(Op.MUL, part, 2.0)), window((3,), (9,)))
    program = check([changed], {0: floats(40)}, donated=frozenset({0}))
    assert len(program.steps) == 1 and program.arena == 0


def test_cache_row_is_written_and_all_of_it_read() -> None:
    cache, values = leaf(0, 16, 4), Values()
    start = (values.start(5, 15), ZERO)
    changed = make(Op.UPDATE, (cache, leaf(1, 1, 4)), SliceAttr(start, (1, 4), (1, 1)))
    outputs = [changed, reduce(changed, 1)]
    buffers = {0: floats(16, 4), 1: floats(1, 4)}
    program = check(outputs, buffers, values.given, donated=frozenset({0}))
    assert len(program.steps) == 2
    assert program.slots[program.outputs[0]].kind is SlotKind.INPUT


# --- indices ----------------------------------------------------------------------------------


def test_bad_index_fails_before_anything_is_overwritten() -> None:
    table = leaf(1, 3, dtype=int64)
    picked = make(Op.GATHER, (leaf(0, 6), table), GatherAttr((0,), False))
    changed = make(Op.UPDATE, (leaf(2, 6), picked), window((2,), (3,)))
    program = plan([changed], frozenset({2}))
    for bad in (-1, 6):
        inputs = {0: floats(6), 1: np.array([0, bad, 2]), 2: np.zeros(6, np.float32)}
        with pytest.raises(IndexError):
            simulate(program, inputs)
        assert not inputs[2].any()


def test_checks_know_their_line() -> None:
    node = make(Op.GATHER, (leaf(0, 6), leaf(1, 3, dtype=int64)), GatherAttr((0,), False))
    node.origin = "user.py:7"
    (first, _) = plan([node]).steps
    assert first.origin == "user.py:7" and first.kernel.stages[0].kind is StageKind.CHECK


def test_index_is_clamped_where_a_check_is_not_needed() -> None:
    node = make(Op.GATHER, (leaf(0, 6), leaf(1, 3, dtype=int64)), GatherAttr((0,), True))
    inputs = {0: floats(6), 1: np.array([-5, 2, 99])}
    (found,) = simulate(plan([node]), inputs)
    assert np.array_equal(found, inputs[0][[0, 2, 5]])


@pytest.mark.parametrize("combiner", [None, Combiner.SUM, Combiner.MAX])
def test_scatter_is_serial(combiner: Combiner | None) -> None:
    base, value, table = number(0.0, (5, 3)), leaf(0, 8, 3), leaf(1, 8, dtype=int64)
    if combiner is None:
        node = make(Op.SCATTER, (base, value, table), GatherAttr((0,), True))
    else:
        attr = ScatterReduceAttr((0,), True, combiner)
        node = make(Op.SCATTER_REDUCE, (base, value, table), attr)
    program = check([node], {0: floats(8, 3), 1: np.array([4, 4, 0, 1, 4, 0, 2, 2])})
    assert [s.kernel.pattern for s in program.steps] == [Pattern.ROWS, Pattern.SERIAL]
    assert program.steps[1].kernel.stages[0].inner  # columns do not depend on each other


def test_gather_by_iota_needs_no_table() -> None:
    from tests.schedule.nets import iota

    node = make(Op.GATHER, (leaf(0, 5, 5), iota(5), iota(5)), GatherAttr((0, 1), False))
    program = check([node], {0: floats(5, 5)})
    assert len(program.steps) == 1 and not program.steps[0].kernel.stages[0].binds


# --- shapes and sizes ---------------------------------------------------------------------------


def test_empty_tensors_run_nothing_or_fill() -> None:
    empty = leaf(0, 0, 3)
    buffers = {0: np.zeros((0, 3), np.float32)}
    assert not check([apply(Op.EXP, empty)], buffers).steps
    assert len(check([reduce(empty, 0)], buffers).steps) == 1
    check([reduce(empty, 0, combiner=Combiner.MAX)], buffers)
    check([make(Op.PAD, (empty,), PadAttr((1, 0), (1, 0), ConstAttr(2.0, float32)))], buffers)
    same = make(Op.UPDATE, (leaf(1, 4, 3), empty), window((0, 0), (0, 3)))
    check([same], {**buffers, 1: floats(4, 3)})


def test_outputs_that_are_inputs_are_copied() -> None:
    x = leaf(0, 4, 3)
    program = check([x, reshape(x, 12)], {0: floats(4, 3)})
    assert len(set(program.outputs)) == 2
    kinds = {program.slots[slot].kind for slot in program.outputs}
    assert kinds == {SlotKind.OUTPUT}


def test_reshape_of_an_output_is_no_kernel() -> None:
    value = apply(Op.EXP, leaf(0, 4, 3))
    assert len(plan([reshape(value, 12)]).steps) == 1


def test_deep_graphs() -> None:
    x = leaf(0, 8)
    for n in range(10_000):
        x = apply(Op.MAXIMUM, x, leaf(1, 8)) if n % 3 else apply(Op.NEG, x)
    program = plan([x])
    assert len(program.steps) < 200
    y = leaf(0, 4, 8)
    for _ in range(5_000):
        y = make(Op.PERMUTE, (y,), AxesAttr((1, 0)))
    assert len(plan([y]).steps) == 1
    z = leaf(0, 8)
    for _ in range(300):  # an expression of 2**300 nodes, were it a tree
        z = apply(Op.MUL, z, z)
    assert len(plan([z]).steps) < 100


def test_large_rows_are_not_kept_in_scratch() -> None:
    program = plan([softmax(leaf(0, 32, 1 << 16))])
    rows = [m.size for s in program.steps for m in s.kernel.memories if m.name.startswith("r")]
    assert not rows and program.arena >= 1 << 16


def test_scalar_of_a_large_sum_does_not_serialise_what_follows() -> None:
    x = leaf(0, 1 << 20)
    program = plan([apply(Op.DIV, x, spread(reshape(reduce(x), 1), x.shape))])
    assert len(program.steps) == 2


# --- memory -----------------------------------------------------------------------------------


def test_arena_reuses_what_is_dead() -> None:
    import random

    generator = random.Random(5)
    lifetimes = []
    for _ in range(200):
        first = generator.randrange(50)
        lifetimes.append((first, first + generator.randrange(6), generator.randrange(1, 5000)))
    offsets, total = place(lifetimes)
    spans = list(zip(lifetimes, offsets, strict=True))
    for n, ((first, last, size), offset) in enumerate(spans):
        assert offset % ALIGNMENT == 0 and offset + size <= total
        for (other_first, other_last, other_size), other in spans[:n]:
            if first <= other_last and other_first <= last:
                assert offset + size <= other or other + other_size <= offset
    assert total < sum(size for _, _, size in lifetimes) / 3


def test_complex_outputs_have_complex_memory() -> None:
    from picograd.dtypes import complex64

    x = leaf(0, 3, dtype=complex64)
    program = plan([apply(Op.MUL, x, x)])
    data = np.array([1 + 2j, 3 - 1j, 2j], np.complex64)
    (found,) = simulate(program, {0: data})
    assert program.slots[program.outputs[0]].dtype is complex64
    assert np.allclose(found, data * data)


def test_row_is_added_to_at_a_run_time_position() -> None:
    x, values = leaf(0, 5, 4), Values()
    part = SliceAttr((values.start(2, 4), ZERO), (1, 4), (1, 1))
    there = SliceAttr((values.start(2, 4), ZERO), (1, 4), (1, 1))  # equal only at run time
    total = apply(Op.ADD, make(Op.SLICE, (x,), part), leaf(1, 1, 4))
    changed = make(Op.UPDATE, (x, total), there)
    buffers = {0: floats(5, 4), 1: floats(1, 4)}
    program = check([changed], buffers, values.given, donated=frozenset({0}))
    assert program.slots[program.outputs[0]].kind is SlotKind.INPUT
