"""How many kernels well-known pieces of networks take, and that they compute the right thing."""

from __future__ import annotations

import numpy as np
import pytest

from picograd.dtypes import float16, float32, int64
from picograd.graph.node import make
from picograd.graph.ops import AxesAttr, Combiner, LeafAttr, Op, ScanAttr
from picograd.schedule.kernel import Pattern, Program, SlotKind, Space, StageKind
from picograd.schedule.plan import plan
from picograd.schedule.show import show_program
from tests.schedule.graphs import check
from tests.schedule.nets import (
    adam,
    apply,
    cross_entropy,
    gelu,
    layernorm,
    leaf,
    log_softmax,
    matmul,
    mean,
    number,
    one_hot,
    reduce,
    reshape,
    softmax,
    spread,
    transpose,
)


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def kernels(program: Program) -> int:
    assert program.steps
    return len(program.steps)


def spaces(program: Program) -> list[Space]:
    return [m.space for step in program.steps for m in step.kernel.memories]


def test_elementwise_chain_is_one_kernel_over_one_axis() -> None:
    x = leaf(0, 4, 6)
    program = check([apply(Op.TANH, apply(Op.ADD, apply(Op.MUL, x, 2.0), x))], {0: floats(4, 6)})
    (step,) = program.steps
    assert [var.high for var in step.kernel.domain] == [23]
    assert step.kernel.name == "map_mul_add_tanh_24"


def test_softmax_is_one_kernel() -> None:
    program = check([softmax(leaf(0, 17, 5))], {0: floats(17, 5)})
    assert kernels(program) == 1
    assert program.arena == 0
    assert spaces(program).count(Space.SCRATCH) == 1


def test_softmax_of_a_big_matrix_is_one_kernel() -> None:
    assert kernels(plan([softmax(leaf(0, 4096, 4096))])) == 1


def test_layernorm_is_one_kernel() -> None:
    x, scale, shift = leaf(0, 18, 6), leaf(1, 6), leaf(2, 6)
    buffers = {0: floats(18, 6), 1: floats(6), 2: floats(6)}
    assert kernels(check([layernorm(x, scale, shift)], buffers)) == 1


@pytest.mark.parametrize("shape", [(3, 12, 20), (4, 320, 4096)])
def test_norm_of_channels_in_groups_is_one_kernel(shape: tuple[int, int, int]) -> None:
    batch, channels, size = shape
    x, scale = leaf(0, batch, channels, size), leaf(1, channels)
    groups = reshape(x, batch, 4, channels // 4 * size)
    centered = apply(Op.SUB, groups, mean(groups, -1, keep=True))
    variance = mean(apply(Op.MUL, centered, centered), -1, keep=True)
    normal = reshape(apply(Op.DIV, centered, apply(Op.SQRT, variance)), *shape)
    result = apply(Op.MUL, normal, reshape(scale, 1, channels, 1))
    if size > 20:
        program = plan([result])
    else:
        program = check([result], {0: floats(*shape), 1: floats(channels)})
    assert kernels(program) == 1
    assert program.steps[0].kernel.domain[-1].high == 3  # a group at a time, not a sample


def test_cross_entropy_is_one_kernel_and_a_check() -> None:
    buffers = {0: floats(20, 5), 1: np.arange(20) % 5}
    labels = leaf(1, 20, dtype=int64)
    program = check([cross_entropy(leaf(0, 20, 5), labels)], buffers)
    assert kernels(program) == 1
    stages = program.steps[0].kernel.stages
    assert [stage.once for stage in stages] == [False] * (len(stages) - 1) + [True]
    program = check([cross_entropy(leaf(0, 20, 5), labels, checked=False)], buffers)
    assert [step.kernel.stages[0].kind is StageKind.CHECK for step in program.steps] == [
        True,
        False,
    ]


def test_cross_entropy_with_its_gradient_is_one_kernel() -> None:
    x, labels = leaf(0, 20, 5), leaf(1, 20, dtype=int64)
    gradient = apply(Op.SUB, softmax(x), one_hot(labels, 5))
    outputs = [cross_entropy(x, labels), gradient]
    program = check(outputs, {0: floats(20, 5), 1: np.arange(20) % 5})
    assert kernels(program) == 1


def test_log_softmax_over_a_middle_axis_of_a_reshape() -> None:
    x = reshape(leaf(0, 20, 6), 20, 2, 3)
    assert kernels(check([log_softmax(x)], {0: floats(20, 6)})) == 1


@pytest.mark.parametrize("transposed", [False, True])
def test_linear_gelu_is_one_contraction(transposed: bool) -> None:
    weight = transpose(leaf(1, 3, 5)) if transposed else leaf(1, 5, 3)
    result = gelu(apply(Op.ADD, matmul(leaf(0, 4, 5), weight), leaf(2, 3)))
    shape = (3, 5) if transposed else (5, 3)
    program = check([result], {0: floats(4, 5), 1: floats(*shape), 2: floats(3)})
    (step,) = program.steps
    assert step.kernel.pattern is Pattern.CONTRACTION
    assert step.kernel.name == "matmul_4x3x5_mul_erf_add"
    assert program.arena == 0


def test_linear_of_a_batch_of_sequences_is_one_contraction() -> None:
    x = reshape(leaf(0, 2, 4, 5), 8, 5)
    result = gelu(apply(Op.ADD, reshape(matmul(x, leaf(1, 5, 3)), 2, 4, 3), leaf(2, 3)))
    program = check([result], {0: floats(2, 4, 5), 1: floats(5, 3), 2: floats(3)})
    assert [step.kernel.pattern for step in program.steps] == [Pattern.CONTRACTION]


def test_matvec_and_dot_are_rows() -> None:
    vector = matmul(leaf(0, 6, 5), leaf(1, 5, 1))
    dot = reduce(apply(Op.MUL, leaf(0, 6, 5), leaf(2, 6, 5)))
    buffers = {0: floats(6, 5), 1: floats(5, 1), 2: floats(6, 5)}
    for result in (vector, dot):
        program = check([result], buffers)
        assert [step.kernel.pattern for step in program.steps] == [Pattern.ROWS]


def test_cheap_prologue_is_inline_and_an_expensive_one_is_stored() -> None:
    buffers = {0: floats(8, 8), 1: floats(8, 8)}
    cheap = matmul(apply(Op.MAXIMUM, leaf(0, 8, 8), 0.0), leaf(1, 8, 8))
    assert kernels(check([cheap], buffers)) == 1
    dear = matmul(gelu(leaf(0, 8, 8)), leaf(1, 8, 8))
    assert kernels(check([dear], buffers)) == 2


def test_two_sums_share_an_expensive_value() -> None:
    power = apply(Op.EXP, leaf(0, 8, 6))
    sums = [reduce(apply(Op.ADD, power, 1.0)), reduce(apply(Op.MUL, power, 2.0))]
    program = check(sums, {0: floats(8, 6)})
    (step,) = program.steps
    names = step.kernel.name
    assert names.count("exp") == 1 and Space.SCRATCH not in spaces(program)


def test_mean_has_its_division_in_the_same_kernel() -> None:
    assert kernels(check([mean(leaf(0, 7, 6))], {0: floats(7, 6)})) == 1
    assert kernels(check([mean(leaf(0, 7, 6), 0)], {0: floats(7, 6)})) == 1


def test_column_softmax_is_right_though_not_one_kernel() -> None:
    x = transpose(leaf(0, 5, 17))
    check([transpose(softmax(x))], {0: floats(5, 17)})


def test_adam_is_one_kernel_in_place() -> None:
    leaves = [leaf(slot, 6, 4) for slot in range(4)]
    buffers = {slot: np.abs(floats(6, 4)) + slot for slot in range(4)}
    outputs = adam(leaves[0], leaves[1], leaves[2], leaves[3])
    program = check(outputs, buffers, donated=frozenset({0, 2, 3}))
    assert kernels(program) == 1
    kinds = [program.slots[slot].kind for slot in program.outputs]
    assert kinds == [SlotKind.INPUT] * 3
    assert len(program.steps[0].slots) == 4  # one argument for each memory


@pytest.mark.parametrize(("shape", "expected"), [((40, 40), 1), ((120, 100), 3)])
def test_large_maps_that_share_a_scalar_stay_apart(shape: tuple[int, int], expected: int) -> None:
    rate = leaf(3, 1, 1)
    outputs = [apply(Op.MUL, leaf(slot, *shape), spread(rate, shape)) for slot in range(3)]
    buffers = {slot: floats(*shape) for slot in range(3)}
    assert kernels(check(outputs, buffers | {3: floats(1, 1)})) == expected


@pytest.mark.parametrize("shape", [(40, 40), (120, 100)])
def test_large_maps_of_the_same_input_are_one_kernel(shape: tuple[int, int]) -> None:
    x = leaf(0, *shape)
    assert kernels(check([apply(Op.SQRT, x), apply(Op.NEG, x)], {0: np.abs(floats(*shape))})) == 1


@pytest.mark.parametrize(("turned", "arena"), [(False, 0), (True, 1)])
def test_an_output_takes_the_place_of_a_value_that_is_dead(turned: bool, arena: int) -> None:
    gradient = matmul(leaf(0, 40, 12), leaf(1, 12, 40))
    size = apply(Op.SQRT, reduce(apply(Op.MUL, gradient, gradient), 0, 1, keep=True))
    seen = transpose(gradient) if turned else gradient
    output = apply(Op.DIV, seen, spread(size, (40, 40)))
    program = check([output], {0: floats(40, 12), 1: floats(12, 40)})
    large = [slot for slot in program.slots if slot.kind is SlotKind.ARENA and slot.size == 1600]
    assert len(large) == arena


def test_result_of_a_domain_reduction_may_be_stored_twice() -> None:
    """Its copy runs once, after the last domain point; it was made at each point before."""
    value = apply(Op.EXP, leaf(0, 6, 4))
    largest = reduce(value, combiner=Combiner.MAX)
    outputs = [value, largest, reshape(largest, 1), apply(Op.ADD, largest, 1.0)]
    program = check(outputs, {0: floats(6, 4)})
    assert kernels(program) == 1


def mlp_step(rows: int, columns: int, hidden: int, classes: int):
    """Forward, backward and Adam of a two-layer network: outputs, donated slots, shapes."""
    x, y = leaf(0, rows, columns), leaf(1, rows, dtype=int64)
    w1, b1 = leaf(2, columns, hidden), leaf(3, hidden)
    w2, b2 = leaf(4, hidden, classes), leaf(5, classes)
    before = apply(Op.ADD, matmul(x, w1), b1)
    h = apply(Op.MAXIMUM, before, 0.0)
    logits = apply(Op.ADD, matmul(h, w2), b2)
    loss = cross_entropy(logits, y, checked=False)
    d_logits = apply(Op.DIV, apply(Op.SUB, softmax(logits), one_hot(y, classes)), float(rows))
    positive = make(Op.LT, (number(0.0, before.shape), before))
    zero = number(0.0, before.shape)
    d_before = make(Op.WHERE, (positive, matmul(d_logits, transpose(w2)), zero))
    gradients = [
        matmul(transpose(x), d_before),
        reduce(d_before, 0),
        matmul(transpose(h), d_logits),
        reduce(d_logits, 0),
    ]
    outputs, slot, donated = [loss], 6, {2, 3, 4, 5}
    for parameter, gradient in zip((w1, b1, w2, b2), gradients, strict=True):
        m, v = leaf(slot, *parameter.shape), leaf(slot + 1, *parameter.shape)
        outputs += adam(parameter, gradient, m, v)
        donated |= {slot, slot + 1}
        slot += 2
    return outputs, frozenset(donated)


def test_whole_training_step_of_an_mlp() -> None:
    outputs, donated = mlp_step(16, 6, 5, 4)
    buffers: dict[int, np.ndarray] = {}
    for node in outputs:
        for found in _leaves(node):
            shape, attr = found.shape, found.attr
            assert isinstance(attr, LeafAttr)
            labels = found.dtype is int64
            buffers[attr.slot] = np.arange(16) % 4 if labels else np.abs(floats(*shape))
    program = check(outputs, buffers, donated=donated)
    # a check, two layers, loss with its gradient, one backward matmul, and one kernel for the
    # gradient of each parameter, which ends in its Adam update in place
    assert kernels(program) == 9, show_program(program)
    kinds = {program.slots[slot].kind for slot in program.outputs[1:]}
    assert kinds == {SlotKind.INPUT}


def _leaves(node):
    from picograd.graph.node import topological

    return [found for found in topological([node]) if found.op is Op.BUFFER]


def test_half_sums_accumulate_in_float32() -> None:
    x = leaf(0, 4, 6, dtype=float16)
    program = plan([reduce(x, 1)])
    assert program.steps[0].kernel.stages[0].accumulator is float32
    largest = plan([reduce(x, 1, combiner=Combiner.MAX)])
    assert largest.steps[0].kernel.stages[0].accumulator is float16


def test_equal_structures_are_equal_kernels() -> None:
    programs = [
        plan([softmax(apply(Op.MUL, leaf(slot, 64, 32), leaf(9 - slot, 64, 32)))])
        for slot in (0, 3)
    ]
    first, second = (program.steps[0].kernel for program in programs)
    assert first == second and hash(first) == hash(second)


def test_names_are_plain() -> None:
    outputs, donated = mlp_step(16, 6, 5, 4)
    for step in plan(outputs, donated).steps:
        assert step.kernel.name.replace("_", "").isalnum() and step.kernel.name.islower()


def test_decisions_give_reasons() -> None:
    program = plan([softmax(leaf(0, 64, 64))])
    assert any(d.verdict == "stored" and "recomputing" in d.reason for d in program.decisions)


def test_a_reduction_over_the_domain_in_another_order_keeps_its_other_axes() -> None:
    """The scan's axes (3, 16) merge; the sum runs through them as (16, 5, 3)."""
    scan = make(Op.SCAN, (leaf(0, 5, 3, 16),), ScanAttr(Combiner.MAX, 0))
    turned = make(Op.PERMUTE, (scan,), AxesAttr((2, 1, 0)))
    program = check([reduce(turned)], {0: floats(5, 3, 16)})
    assert kernels(program) == 1


@pytest.mark.parametrize("turned", [False, True])
def test_products_are_summed_up_as_they_come(turned: bool) -> None:
    """A weight's gradient over many time steps: one term in memory at a time, not all."""
    terms = [matmul(leaf(2 * n, 48, 32), leaf(2 * n + 1, 32, 40)) for n in range(6)]
    total = transpose(terms[0]) if turned else terms[0]
    for term in terms[1:]:
        total = apply(Op.ADD, total, transpose(term) if turned else term)
    arrays = {n: floats(48, 32) if n % 2 == 0 else floats(32, 40) for n in range(12)}
    program = check([total], arrays)
    assert kernels(program) == 6
    assert program.arena <= 2 * 48 * 40 * 4


@pytest.mark.parametrize(("axis", "expected"), [(0, 2), (1, 1)])
def test_sums_of_columns_end_their_kernel(axis: int, expected: int) -> None:
    """A column's sum is one of a vector of sums; the sum of their squares would break that up."""
    sums = reduce(leaf(0, 40, 24), axis)
    squares = reduce(apply(Op.MUL, sums, sums))
    assert kernels(check([sums, squares], {0: floats(40, 24)})) == expected
