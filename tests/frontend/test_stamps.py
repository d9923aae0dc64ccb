"""Stamped functions: their graphs, their derivatives, and what others may notice of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import picograd as torch
from picograd import engine
from picograd.frontend.primitives import constant_node
from picograd.frontend.stamps import stamped
from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.build import full, uniform_constant
from picograd.graph.hole import hole
from picograd.graph.node import const, make
from picograd.graph.ops import Op, RandomAttr
from picograd.graph.template import template

F = torch.nn.functional


def x(*shape: int) -> Tensor:
    numbers = np.random.default_rng(sum(shape)).standard_normal(shape)
    return torch.tensor(numbers, requires_grad=True)


# Composites that save inputs, results, values in between, and nothing; ranks that broadcast.
FUNCTIONS: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "matmul": (torch.matmul, (x(2, 3), x(3, 2))),
    "matmul_batched": (torch.matmul, (x(2, 2, 3), x(3, 2))),
    "matmul_vector": (torch.matmul, (x(3), x(3, 2))),
    "linear": (F.linear, (x(2, 3), x(4, 3), x(4))),
    "layer_norm": (lambda a, w, b: F.layer_norm(a, (3,), w, b), (x(2, 3), x(3), x(3))),
    "layer_norm_bias": (lambda a, b: F.layer_norm(a, (3,), None, b), (x(2, 3), x(3))),
    "rms_norm": (lambda a, w: F.rms_norm(a, (3,), w), (x(2, 3), x(3))),
    "softmax": (lambda a: torch.softmax(a, 0), (x(3, 2),)),
    "log_softmax": (lambda a: torch.log_softmax(a, 1), (x(3, 2),)),
    "cross_entropy": (lambda a: F.cross_entropy(a, torch.tensor([1, -100])), (x(2, 3),)),
    "nll_loss": (
        lambda a: F.nll_loss(a, torch.tensor([1, 0]), torch.tensor([0.5, 1, 2]).double()),
        (x(2, 3),),
    ),
    "gelu": (F.gelu, (x(4),)),
    "gelu_tanh": (lambda a: F.gelu(a, "tanh"), (x(4),)),
    "silu": (F.silu, (x(4),)),
    "sigmoid": (torch.sigmoid, (x(4),)),
    "relu": (lambda a: F.relu(a * a * a), (x(4),)),
    "mean": (lambda a: (a * a).mean(1, keepdim=True), (x(2, 3),)),
    "add": (lambda a, b: (a + b) ** 3, (x(2, 3), x(3))),
    "mul": (lambda a, b: a * b, (x(2, 3), x(2, 1))),
    "div": (lambda a, b: a / (b * b + 1), (x(2, 3), x(3))),
    "same_twice": (lambda a: a @ a, (x(2, 2),)),
    "one_of_two": (lambda a: a.detach() @ a, (x(2, 2),)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_first_and_second_derivatives(name: str) -> None:
    function, inputs = FUNCTIONS[name]
    if name != "one_of_two":  # whose numerical derivative knows nothing of the detached factor
        assert torch.autograd.gradcheck(function, inputs)
    else:
        (gradient,) = torch.autograd.grad(function(*inputs).sum(), inputs)
        np.testing.assert_allclose(
            gradient.numpy(), inputs[0].detach().sum(0)[:, None].expand(2, 2)
        )
    if name != "one_of_two":
        assert torch.autograd.gradgradcheck(function, inputs)


def test_a_function_runs_once_for_each_kind_of_arguments() -> None:
    runs = []

    def scaled(a: Tensor, factor: float) -> Tensor:
        runs.append(factor)
        return a * factor + a

    for shape in ((2,), (2,), (3,), (2,)):
        one = torch.ones(shape)
        assert stamped("S", scaled, (one,), 2.0).tolist() == [3.0] * shape[0]
    assert runs == [2.0, 2.0]
    assert stamped("S", scaled, (torch.ones(2),), 3.0).tolist() == [4.0, 4.0]
    assert stamped("S", scaled, (torch.ones(2, dtype=torch.int64),), 3).dtype is torch.int64


def test_equal_constants_of_other_types_or_signs_are_others() -> None:
    def kind(a: Tensor, value: object) -> Tensor:
        return a + int(type(value) is bool) + (1.0 if str(value) == "-0.0" else 0.0)

    zeros = torch.zeros(1)
    found = [stamped("K", kind, (zeros,), value).item() for value in (1, True, 0.0, -0.0, 0, False)]
    assert found == [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]


def test_a_number_that_became_memory_is_made_again() -> None:
    """A template's constant may be the node of somebody's tensor, which is then computed."""
    source = hole((5,), torch.float32, "cpu")
    number = full(const(7.25, torch.float32, "cpu"), (5,))
    shifted = template([make(Op.ADD, (source, number))], [source])
    assert shifted is not None
    engine.realize([number])
    (result,) = shifted.build([full(const(1.0, torch.float32, "cpu"), (5,))])
    assert result.srcs[1] is not number and uniform_constant(result.srcs[1]) is not None
    assert wrap(result).tolist() == [8.25] * 5


@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_number_that_others_repeat_may_become_memory(shape: tuple[int, ...]) -> None:
    """Steps of (4,) and templates repeat the node of a tensor of one number, which is computed."""
    source = hole((4,), torch.float32, "cpu")
    kept = torch.full(shape, 7.5)
    long = constant_node(7.5, torch.float32, "cpu", (4,))
    shifted = template([make(Op.ADD, (source, long))], [source])
    assert shifted is not None and kept.numpy() == 7.5
    (result,) = shifted.build([full(const(1.0, torch.float32, "cpu"), (4,))])
    assert uniform_constant(result.srcs[1]) is not None
    assert uniform_constant(constant_node(7.5, torch.float32, "cpu", (4,))) is not None


@pytest.mark.host("NumPy writes to the tensor's memory")
def test_what_is_read_from_shared_memory_is_read_at_once() -> None:
    array = np.ones((2, 2), np.float32)
    shared = torch.from_numpy(array)
    product = shared @ torch.ones(2, 2)
    array[:] = 5
    assert product.tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_writes_to_what_torch_saves_are_noticed() -> None:
    w = torch.ones(2, 2, requires_grad=True)
    factor = torch.ones(2, 2)
    result = factor @ w
    factor.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.sum().backward()
    y = torch.softmax(w, 0)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_backward_twice_needs_the_saved_values() -> None:
    a = torch.randn(2, 2, requires_grad=True)
    loss = F.gelu(a).sum()
    loss.backward(retain_graph=True)
    first = a.grad.clone()
    loss.backward()
    np.testing.assert_allclose(a.grad.numpy(), 2 * first.numpy(), rtol=1e-6)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_under_vmap_and_within_it() -> None:
    a, w = torch.randn(3, 4), torch.randn(4, 4)
    np.testing.assert_allclose(
        torch.vmap(lambda row: F.layer_norm(row @ w, (4,)))(a).numpy(),
        F.layer_norm(a @ w, (4,)).numpy(),
        atol=1e-6,
    )
    slopes = torch.vmap(torch.func.grad(lambda row: F.gelu(row).sum()))(a)
    (expected,) = torch.autograd.grad(F.gelu(a.requires_grad_()).sum(), a)
    np.testing.assert_allclose(slopes.numpy(), expected.numpy(), atol=1e-6)


def test_no_template_over_memory_or_random_numbers() -> None:
    source = hole((3,), torch.float32, "cpu")
    memory = torch.randn(3)
    memory.numpy()
    number = full(const(2.0, torch.float32, "cpu"), (3,))
    drawn = make(Op.RANDOM, (), RandomAttr((3,), 0, 1, 2), "cpu")
    for other in (memory.node, drawn, hole((3,), torch.float32, "cpu")):
        assert template([number], [source]) is not None
        assert template([other], [source]) is None
    made = template([source], [source])
    assert made is not None and made.build([number]) == [number]


def test_random_numbers_are_drawn_every_time() -> None:
    def noisy(a: Tensor) -> Tensor:
        return a + torch.rand(a.shape)

    a = torch.zeros(4)
    assert stamped("R", noisy, (a,)).tolist() != stamped("R", noisy, (a,)).tolist()
