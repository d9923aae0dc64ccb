"""Which programs compute attention by blocks of rows, and what they store."""

from __future__ import annotations

import pytest

import picograd
from picograd import portion
from picograd.graph.ops import Op
from picograd.nn.functional import scaled_dot_product_attention
from picograd.schedule.kernel import Compute, Space, StageKind
from picograd.schedule.panels.limits import CACHE, TILES
from picograd.schedule.walk import subexpressions
from tests.schedule.attention import (
    SPELLINGS,
    causal,
    inputs,
    panels,
    plain,
    program_of,
    with_gradients,
)

SHAPES = ((2, 2, 64, 8), (2, 2, 72, 8), (2, 2, 72, 8))
TABLE = 2 * 2 * 64 * 72


def largest(program) -> int:
    """The most elements of any memory that a kernel names, but for its own scratch."""
    return max(
        memory.size
        for step in program.steps
        for memory in step.kernel.memories
        if memory.space is Space.ARGUMENT
    )


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_forward_is_one_kernel_without_a_table(spelling: str) -> None:
    leaves = [leaf.detach() for leaf in inputs(*SHAPES)]
    program = program_of([SPELLINGS[spelling](*leaves)])
    assert len(panels(program)) == len(program.steps) == 1
    assert panels(program)[0].name.startswith(("attention_", "panels_"))
    assert largest(program) < TABLE


@pytest.mark.parametrize("spelling", ["plain", "causal", "window", "normalised"])
def test_backward_is_one_more_and_stores_no_table(spelling: str) -> None:
    leaves = inputs(*SHAPES)
    program = program_of(with_gradients(SPELLINGS[spelling](*leaves), leaves))
    assert [kernel.name.split("_4x")[0] for kernel in panels(program)] == [
        "attention" if spelling != "normalised" else "panels",
        "attention_back",
    ]
    assert largest(program) < TABLE


def test_shared_heads_and_permuted_results() -> None:
    q, k, v = inputs((2, 3, 64, 8), (2, 1, 72, 8), (2, 1, 72, 8))
    merged = plain(q, k, v).transpose(1, 2).reshape(2, 64, 24)
    program = program_of([merged.detach()])
    assert [len(step.kernel.domain) for step in program.steps] == [2]
    assert len(panels(program)) == 1


def test_dropout_draws_its_numbers_in_the_kernel() -> None:
    leaves = inputs(*SHAPES)
    function = picograd.nn.functional.scaled_dot_product_attention
    result = function(*leaves, dropout_p=0.5)
    program = program_of(with_gradients(result, leaves))
    assert len(panels(program)) == 2
    assert largest(program) < TABLE


def test_weights_that_are_wanted_are_stored_once() -> None:
    q, k, v = (leaf.detach() for leaf in inputs(*SHAPES))
    weights = (q @ k.transpose(-2, -1)).softmax(-1)
    program = program_of([weights @ v, weights])
    assert not panels(program)


@pytest.mark.parametrize("shape", [(4, 12, 8), (2, 64, 80)])
def test_small_and_deep_products_are_left_alone(shape: tuple[int, ...]) -> None:
    leaves = [leaf.detach() for leaf in inputs(shape, shape, shape)]
    assert not panels(program_of([plain(*leaves)]))


def test_devices_have_limits() -> None:
    """A CPU's cache holds whole rows of scores; a GPU's threads hold whole rows of results."""
    long = [leaf.detach() for leaf in inputs((20, 4), (1 << 15, 4), (1 << 15, 4))]
    assert [len(panels(program_of([plain(*long)], limits))) for limits in (CACHE, TILES)] == [0, 1]
    wide = [leaf.detach() for leaf in inputs((512, 4), (512, 4), (512, 300))]
    assert [len(panels(program_of([plain(*wide)], limits))) for limits in (CACHE, TILES)] == [1, 0]


def test_two_layers_have_two_kernels() -> None:
    q, k, v = (leaf.detach() for leaf in inputs(*SHAPES))
    once = causal(q, k, v)
    program = program_of([causal(once.tanh(), k, v)])
    assert len(panels(program)) == 2


def test_scores_are_not_kept_for_a_backward_pass_in_a_later_program() -> None:
    leaves = inputs((2, 256, 8), (2, 256, 8), (2, 256, 8))
    result = causal(*leaves)
    order = portion.below([result._storage.node])
    stored = portion.outputs(order, [result._storage.node], portion.held(order))
    assert max(node.size for node in stored) == result.numel()
    assert len(stored) == 3, "the result, and two numbers for each row"
    result.square().sum().item()
    program = program_of(list(picograd.autograd.grad(result.square().sum(), leaves)))
    assert len(panels(program)) == 1
    assert largest(program) < 2 * 256 * 256


def test_a_hidden_layer_is_kept() -> None:
    x, up, down = inputs((4096, 16), (16, 64), (64, 16))
    hidden = x @ up
    result = hidden.softmax(-1) @ down
    order = portion.below([result._storage.node])
    stored = portion.outputs(order, [result._storage.node], portion.held(order))
    assert hidden.numel() in {node.size for node in stored}


def test_a_perceptron_is_not_attention() -> None:
    x, up, down = (leaf.detach() for leaf in inputs((256, 16), (16, 64), (64, 16)))
    assert not panels(program_of([picograd.nn.functional.gelu(x @ up) @ down]))


def test_sums_are_divided_instead_of_weights() -> None:
    """Behind a dropout's factors too, and where rows without any column are set to zero."""
    leaves = [leaf.detach() for leaf in inputs(*SHAPES)]
    mask = picograd.ones(64, 72, dtype=picograd.bool)
    mask.tolist()
    for options in ({}, {"dropout_p": 0.5}, {"attn_mask": mask}):
        result = scaled_dot_product_attention(*leaves, **options)
        (kernel,) = panels(program_of([result]))
        *_, product, last = kernel.stages
        assert product.kind is StageKind.REDUCE and last.kind is StageKind.MAP
        divisions = [
            stage.target
            for stage in kernel.stages
            for part in subexpressions(stage.value)
            if isinstance(part, Compute) and part.op is Op.DIV
        ]
        assert divisions == [last.target]


def test_undivided_sums_have_the_range_of_float32() -> None:
    """8192 times 10 is beyond float16; an average of tens is not."""
    q, k = picograd.zeros(1, 16, 4).half(), picograd.zeros(1, 8192, 4).half()
    v = picograd.full((1, 8192, 4), 10.0).half()
    for leaf in (q, k, v):
        leaf.tolist()
    assert scaled_dot_product_attention(q, k, v).max().item() == 10


@pytest.mark.parametrize("layers", [3, 8])
def test_a_sum_that_grows_layer_by_layer_is_stored(layers: int) -> None:
    """Every norm reads what all layers before it have added: none of it is computed again, and
    all layers but the last share their kernels."""
    x, inner, outer = (leaf.detach() for leaf in inputs((640, 32), (32, 64), (32, 32)))
    norm = picograd.nn.functional.layer_norm
    for _ in range(layers):
        wide = picograd.tanh(norm(x, (32,)) @ inner)
        x = x + (wide[:, :32] * wide[:, 32:]) @ outer
    program = program_of([norm(x, (32,)) @ inner])
    products = [
        stage
        for step in program.steps
        for stage in step.kernel.stages
        if stage.kind is StageKind.REDUCE and isinstance(stage.value, Compute)
        if stage.value.op is Op.MUL and len(stage.inner) + len(step.kernel.domain) >= 2
    ]
    assert len(products) <= 2 * layers + 4
    assert len({step.kernel for step in program.steps}) <= 8
