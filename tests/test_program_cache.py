"""A training loop compiles nothing from its third step on, whatever changes between its steps."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

import picograd as torch
from picograd import engine, env
from picograd.nn import functional


def compiled_per_step(step: Callable[[int], object], steps: int = 8) -> list[int]:
    """How many programs each step compiles."""
    counts = []
    for number in range(steps):
        before = engine.statistics.programs_compiled
        step(number)
        counts.append(engine.statistics.programs_compiled - before)
    return counts


def mlp_parameters() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [
        (torch.randn(8, 16) * 0.3).requires_grad_(),
        torch.zeros(16).requires_grad_(),
        (torch.randn(16, 4) * 0.3).requires_grad_(),
    ]


def logits(parameters: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    hidden = torch.tanh(x @ parameters[0] + parameters[1])
    return hidden @ parameters[2]


def test_adam_with_its_changing_constants() -> None:
    parameters = mlp_parameters()
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    x, y = torch.randn(32, 8), torch.randint(0, 4, (32,))

    def step(number: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (1 + number)
        loss = functional.cross_entropy(logits(parameters, x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    assert sum(compiled_per_step(step)[2:]) == 0


def test_learning_rate_through_simple_numbers() -> None:
    """0.5, 1.0 and 2.0 look structural; after the second of them they are run-time values."""
    w, gradient = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])

    def step(number: int) -> float:
        nonlocal w
        w = w - gradient * [0.5, 1.0, 2.0, 0.25, 3.0, 4.0][number]
        return w.sum().item()

    assert sum(compiled_per_step(step, 6)[2:]) == 0


def test_mini_batches_sliced_at_changing_offsets() -> None:
    parameters = mlp_parameters()
    x, y = torch.randn(320, 8), torch.randint(0, 4, (320,))

    def step(number: int) -> None:
        i = number * 32
        loss = functional.cross_entropy(logits(parameters, x[i : i + 32]), y[i : i + 32])
        for p in parameters:
            p.grad = None
        loss.backward()
        for p in parameters:
            p.data += -0.1 * p.grad
        loss.item()

    assert sum(compiled_per_step(step)[2:]) == 0


def test_running_statistics_that_nobody_reads() -> None:
    """Batchnorm's buffers change every step and are only read at the end: once each, in step."""
    parameters = mlp_parameters()
    running_mean, running_var = torch.zeros(16), torch.ones(16)
    x, y = torch.randn(320, 8), torch.randint(0, 4, (320,))
    expected_mean = np.zeros(16)

    def step(number: int) -> None:
        nonlocal expected_mean
        i = number * 32
        hidden = x[i : i + 32] @ parameters[0] + parameters[1]
        mean, var = hidden.mean(0), hidden.var(0, unbiased=False)
        with torch.no_grad():
            running_mean.mul_(0.9).add_(mean, alpha=0.1)
            running_var.mul_(0.9).add_(var, alpha=0.1)
        normal = (hidden - mean) / (var + 1e-5).sqrt()
        loss = functional.cross_entropy(torch.tanh(normal) @ parameters[2], y[i : i + 32])
        for p in parameters:
            p.grad = None
        loss.backward()
        expected_mean = 0.9 * expected_mean + 0.1 * mean.detach().numpy()
        for p in parameters:
            p.data += -0.1 * p.grad
        loss.item()

    assert sum(compiled_per_step(step)[2:]) == 0
    np.testing.assert_allclose(running_mean.numpy(), expected_mean, rtol=1e-5, atol=1e-6)


def test_nothing_is_computed_twice_after_item() -> None:
    """Reading the loss first stores what backward needs: the second program has no matmul."""
    parameters = mlp_parameters()
    x, y = torch.randn(32, 8), torch.randint(0, 4, (32,))
    loss = functional.cross_entropy(logits(parameters, x), y)
    loss.item()
    loss.backward()
    assert parameters[0].grad.shape == (8, 16)
    parameters[0].grad.numpy()


def test_loop_without_reading_stays_bounded() -> None:
    """A loop that never asks for a number is computed piece by piece, by few programs."""
    w = torch.zeros(64)
    engine.statistics.reset()
    for number in range(3000):
        w += 0.001 * number
    np.testing.assert_allclose(w.numpy(), np.full(64, 0.001 * sum(range(3000))), rtol=1e-4)
    assert engine.statistics.programs_run > 5
    assert engine.statistics.programs_compiled <= 4


def test_triple_loop_matmul() -> None:
    """5 x 784 x 10, element by element: at most 16 programs and 20 seconds."""
    a, b = torch.randn(5, 784), torch.randn(784, 10)
    a.numpy(), b.numpy()
    engine.statistics.reset()
    started = time.perf_counter()
    result = torch.zeros((5, 10))
    for i in range(5):
        for j in range(10):
            for k in range(784):
                result[i, j] += a[i, k] * b[k, j]
    np.testing.assert_allclose(result.numpy(), a.numpy() @ b.numpy(), rtol=1e-3, atol=1e-3)
    assert engine.statistics.programs_compiled <= 16
    # A bound on the algorithm, not a benchmark: element-wise recompilation takes hours.
    assert time.perf_counter() - started < 120


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
@pytest.mark.parametrize(("limit", "first"), [(2000, 1), (200, 3)])
def test_the_first_step_is_the_program_of_all_later_ones(name: str, limit: int, first: int) -> None:
    """When a step is cut into programs, at the same places each time; where even one phase is
    beyond the limit, once the loop around the steps is known."""
    layers = [torch.nn.Linear(6, 6) for _ in range(4)]
    norms = [torch.nn.BatchNorm1d(6) for _ in range(4)]
    model = torch.nn.Sequential(
        *(part for pair in zip(layers, norms, strict=True) for part in pair)
    )
    settings = {"momentum": 0.9} if name == "SGD" else {}
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.013, **settings)
    x, y = torch.randn(16, 6), torch.randint(0, 6, (16,))
    x.numpy(), y.numpy()

    def step(number: int) -> None:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        loss.item()

    with env.Context(PICOGRAD_GRAPH_NODES=limit):
        counts = compiled_per_step(step, 5)
    assert counts[0] >= 1 and sum(counts[first:]) == 0, counts


def test_constants_stay_constants() -> None:
    """A number that some program computed is still folded by the programs after it."""
    torch.ones(3).numpy(), torch.ones(()).numpy()
    engine.realize_pending()
    x = torch.randn(3)
    assert (x * torch.ones(3))._storage.node.srcs[1].buffer is None
    kept = torch.ones(3)
    (x + 1).sum().item()
    assert kept._storage.node.buffer is not None and kept.tolist() == [1.0, 1.0, 1.0]


def test_equal_windows_by_chance_are_the_same_program() -> None:
    """`log(p[i, j])` in a loop: which of the i, j are equal must not matter."""
    table, random = torch.rand(4, 4) + 1, np.random.default_rng(0)
    table.numpy()
    compiled: list[int] = []
    for _ in range(4):
        engine.statistics.reset()
        total = torch.zeros(())
        places = random.integers(0, 4, (500, 2)).tolist()
        for i, j in places:
            total = total + torch.log(table[i, j])
        want = sum(np.log(table.numpy()[i, j]) for i, j in places)
        np.testing.assert_allclose(total.item(), want, rtol=1e-4)
        compiled.append(engine.statistics.programs_compiled)
    assert sum(compiled[2:]) == 0, compiled
