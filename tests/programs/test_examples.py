"""Every example of numbers and pictures at small size: picograd's results are torch's.

A row of `RUNS` takes the example's module and returns what it computed, from equal numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.programs.examples import load, numbers, set_weights


def normal(m: ModuleType, *shape: int, seed: int = 0, grad: bool = False) -> Any:
    values = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return m.torch.tensor(values, requires_grad=grad)


def images(m: ModuleType, count: int) -> tuple[Any, Any]:
    pictures, labels = m.digits.load(count)
    return m.torch.tensor(pictures), m.torch.tensor(labels)


# --- tensor forms of loops and formulas -----------------------------------------------------------


def loops(m: ModuleType) -> list:
    x = normal(m, 4, 5)
    for slow, others in m.TASKS.values():
        expected = slow(x)
        for other in others:
            assert m.torch.allclose(other(x), expected, atol=1e-6), other.__name__
    return [distances(x) for _, others in m.TASKS.values() for distances in others]


def matmul(m: ModuleType) -> list:
    a, b = normal(m, 2, 6), normal(m, 6, 3, seed=1)
    return [way(a, b) for way in m.WAYS]


def attention(m: ModuleType) -> list:
    rng = np.random.default_rng(3)
    parameters = m.weights(rng)
    losses = m.train(parameters, rng, steps=12, batch=16)
    assert losses[-1] < losses[0] - 0.1
    return [losses, m.attend(*normal(m, 3, 7, 4).unbind(), m.causal(7))]


def blocked(m: ModuleType) -> list:
    x, tensors = 30 * normal(m, 3, 50), m.inputs((2, 16, 4))
    forms = [
        m.gradients(m.plain, tensors),
        m.gradients(lambda *qkv: m.attention(*qkv, block=6), tensors),
    ]
    for form in forms[1:]:
        for got, want in zip(form, forms[0]):
            np.testing.assert_allclose(numbers(got), numbers(want), atol=2e-5)
    full = m.attention(*tensors, block=7, causal=False)
    library = m.torch.nn.functional.scaled_dot_product_attention(*tensors)
    np.testing.assert_allclose(numbers(full), numbers(library), atol=2e-5)
    np.testing.assert_allclose(numbers(m.softmax(x, 16)), numbers(x.softmax(-1)), atol=1e-6)
    return [tensor for form in forms for tensor in form]


# --- algorithms -----------------------------------------------------------------------------------


def randomized_svd(m: ModuleType) -> list:
    low = normal(m, 40, 5) @ normal(m, 5, 30, seed=1) + 1e-3 * normal(m, 40, 30, seed=2)
    u, s, v = m.randomized_svd(low, 5, normal(m, 30, 8, seed=3))
    np.testing.assert_allclose(numbers(s), numbers(m.torch.linalg.svdvals(low)[:5]), rtol=1e-3)
    words = [f"w{n}" for n in range(40)]
    assert len(m.neighbours(u, s, words, "w3", 4)) == 4
    return [s, (u * s) @ v.T]


def circulant(m: ModuleType) -> list:
    column, row, x = (normal(m, 12, seed=n) for n in range(3))
    products = [m.circulant_times(column, x), m.toeplitz_times(column, row, x)]
    for fast, matrix in zip(products, (m.circulant(column), m.toeplitz(column, row))):
        np.testing.assert_allclose(numbers(fast), numbers(matrix @ x), atol=1e-5)
    signals = normal(m, 5, 16, seed=4)
    found, losses = m.learn(signals, m.circulant_times(m.torch.tensor(m.bell(16, 1.0)), signals), 8)
    assert losses[-1] < losses[0]
    return [*products, found, losses]


def sparse(m: ModuleType) -> list:
    matrix = m.scattered(np.random.default_rng(0), 12, 40)
    x = normal(m, 6, 12)
    np.testing.assert_allclose(
        numbers(matrix @ x[0]), numbers(matrix.dense() @ x[0]), rtol=1e-4, atol=1e-5
    )
    found, losses = m.learn(matrix, x, x @ matrix.dense().T, 20)
    share, changes = m.rank(matrix._replace(values=matrix.values.abs() / 20), 10)
    return [found, losses, share, changes]


def tsne(m: ModuleType) -> list:
    pictures, labels = images(m, 60)
    p = m.likeness(pictures.flatten(1), perplexity=8, rounds=10)
    y = normal(m, 60, 2, grad=True)
    m.divergence(p, y).backward()
    np.testing.assert_allclose(numbers(m.forces(p, y)), numbers(y.grad), atol=1e-5)
    placed, losses = m.lay_out(p, 1e-2 * y.detach(), 24, report=6)
    assert losses[-1] < losses[0]
    assert "\n" in m.drawing(placed.numpy(), labels.numpy(), 20, 8)
    return [p, losses, m.same_neighbour(placed, labels)]


# --- networks -------------------------------------------------------------------------------------


def convnet(m: ModuleType) -> list:
    pictures, labels = images(m, 60)
    model = m.Net()
    set_weights(model, m.torch)
    optimizer = m.torch.optim.Adam(model.parameters(), lr=3e-3)
    batches = list(zip(pictures.unsqueeze(1).split(12), labels.split(12)))
    losses = m.train(model, batches, optimizer) + m.train(model, batches, optimizer)
    assert losses[-1] < losses[0]
    model.eval()
    return [losses, model(pictures[:4].unsqueeze(1)), m.accuracy(model, *batches[0])]


def alexnet(m: ModuleType) -> list:
    pictures, labels = images(m, 8)
    large = m.enlarged(pictures)
    model = m.AlexNet(width=6, dropout=0.0)
    set_weights(model, m.torch)
    optimizer = m.torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    # One batch of all images: in which order they come does not matter.
    losses = [m.train(model, optimizer, large, labels, batch=8)[0] for _ in range(4)]
    assert losses[-1] < losses[0]
    return [large, losses, m.accuracy(model, large, labels)]


RUNS: tuple[Callable[[ModuleType], list], ...] = (
    loops, matmul, attention, blocked, randomized_svd, circulant, sparse, tsne, convnet, alexnet,
)  # fmt: skip


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
def test_results_are_torchs(run: Callable[[ModuleType], list]) -> None:
    ours = run(load(run.__name__, "picograd"))
    theirs = run(load(run.__name__, "torch"))
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs):
        np.testing.assert_allclose(numbers(mine), numbers(other), rtol=2e-4, atol=2e-5)


def test_what_fails_fails_as_in_torch() -> None:
    ours, theirs = load("matmul", "picograd"), load("matmul", "torch")
    calls = [m.failing(m.torch.zeros(2, 64)) for m in (ours, theirs)]
    # Each has a device that is not there, unless there is one.
    equal = ours.torch.cuda.is_available() == theirs.torch.cuda.is_available()
    assert len(calls[0]) >= 2 and (list(calls[0]) == list(calls[1]) or not equal)
    for name in calls[0].keys() & calls[1].keys():
        with pytest.raises(Exception) as expected:
            calls[1][name]()
        with pytest.raises(expected.type):
            calls[0][name]()


def test_digits_without_scikit_learn() -> None:
    digits = load("digits", "picograd")
    pictures, labels = digits.drawn(200)
    assert pictures.shape == (200, 8, 8) and 0 <= pictures.min() <= pictures.max() <= 1
    assert set(labels) == set(range(10))
    # They can be told apart: the nearest other picture is mostly the same digit.
    flat = pictures.reshape(200, 64)
    distances = ((flat[:, None] - flat) ** 2).sum(2) + 1e9 * np.eye(200)
    assert (labels[distances.argmin(1)] == labels).mean() > 0.7
