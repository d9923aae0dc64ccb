"""Gradients of the pieces of joined and overwritten tensors: right, and without detours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import picograd
from picograd.graph.node import topological
from picograd.graph.ops import Op


def pieces(m: Any, count: int = 5) -> list[Any]:
    generator = np.random.default_rng(3)
    made = [generator.normal(size=(2, n + 1, 3)).astype(np.float32) for n in range(count)]
    return [m.tensor(piece, requires_grad=True) for piece in made]


def joined(m: Any) -> list[Any]:
    parts = pieces(m)
    (m.cat(parts, 1) * m.arange(90.0).reshape(2, 15, 3)).sin().sum().backward()
    return [part.grad for part in parts]


def overwritten(m: Any) -> list[Any]:
    """Parts that meet: what is written first has no gradient where it is overwritten."""
    first, second = m.arange(4.0).requires_grad_(), m.arange(1.0, 5.0).requires_grad_()
    base = m.zeros(4, 6)
    base[:, 2] = first
    base[:, 2] = second
    base[:, 5] = first * second
    base[1:3, 0:2] = first[:2].reshape(2, 1)
    base[::2, 3] = second[:2]
    base[0] = base[1] * 2
    (base * base * m.arange(24.0).reshape(4, 6)).sum().backward()
    return [first.grad, second.grad]


def twice(m: Any) -> list[Any]:
    """The gradient of a gradient goes through the same steps."""
    parts = pieces(m)
    sums = m.stack([part.sum((0, 1)) for part in parts])
    (gradient,) = m.autograd.grad((sums**3).sum(), parts[2], create_graph=True)
    (gradient**2).sum().backward()
    return [parts[2].grad]


def split(m: Any) -> list[Any]:
    """Gradients of chunks, of rows, of overlapping parts, and of parts used twice."""
    x = m.arange(48.0).reshape(4, 12).requires_grad_()
    total = sum((part * (n + 1)).sin().sum() for n, part in enumerate(x.chunk(3, 1)))
    total = total + sum((row * (n + 1)).cos().sum() for n, row in enumerate(x.unbind(0)))
    total = total + (x[:, 2:7] * x[:, 4:9]).sum() + x[1].exp().mul(0.001)[3] + x[2:3].sum()
    total.backward()
    return [x.grad]


def missing(m: Any) -> list[Any]:
    """Parts that leave gaps, and of other dtypes."""
    x = m.linspace(-2, 2, 20).reshape(4, 5).to(m.float64).requires_grad_()
    rows = x.unbind(0)
    (rows[3] * rows[0] + rows[0].exp()).sum().backward()
    return [x.grad]


def recurrent(m: Any) -> list[Any]:
    """A weight and a bias that are used at every step."""
    generator = np.random.default_rng(4)
    made = [generator.normal(size=size).astype(np.float32) for size in [(6, 6), (6,), (7, 2, 6)]]
    weight, bias, x = [m.tensor(one, requires_grad=True) for one in made]
    state = m.zeros(2, 6)
    for part in x.unbind(0):
        state = m.tanh(m.nn.functional.linear(state, weight, bias) + part)
    state.sum().backward()
    return [weight.grad, bias.grad, x.grad]


def characters(m: Any) -> list[Any]:
    """Few characters, looked up at many places of a recurrent network's input."""
    generator = np.random.default_rng(5)
    sizes = [(6, 32), (33, 32), (33,), (12, 33)]
    table, inner, bias, y = (m.tensor(generator.normal(size=n).astype(np.float32)) for n in sizes)
    for parameter in (table, inner, bias):
        parameter.requires_grad_()
    x = m.tensor(generator.integers(0, 5, (12, 11)))
    gates = m.nn.functional.linear(m.nn.functional.embedding(x, table), inner, bias)
    (gates.transpose(0, 1).tanh() * y).sum().backward()
    return [gates, table.grad, inner.grad, bias.grad]


CASES = [joined, overwritten, twice, split, missing, recurrent, characters]


@pytest.mark.parametrize("case", CASES)
def test_as_torch(case: Callable[[Any], list[Any]]) -> None:
    torch = pytest.importorskip("torch")
    for found, expected in zip(case(picograd), case(torch), strict=True):
        want = expected.detach().numpy()
        np.testing.assert_allclose(found.detach().numpy(), want, rtol=1e-4, atol=2e-5)


def test_a_piece_is_cut_from_the_gradient_of_the_whole() -> None:
    parts = pieces(picograd)
    weight = picograd.rand(2, 15, 3)
    weight.numpy()
    (picograd.cat(parts, 1) * weight).sum().backward()
    for part in parts:
        ops = {node.op for node in topological([part.grad.node])}
        assert Op.SLICE in ops and Op.UPDATE not in ops


def test_parts_are_joined_and_steps_are_one_product() -> None:
    weight, x = picograd.rand(6, 6).requires_grad_(), picograd.rand(9, 2, 6).requires_grad_()
    bias, state = picograd.rand(6).requires_grad_(), picograd.zeros(2, 6)
    for part in x.unbind(0):
        state = picograd.tanh(state @ weight + part + bias)
    state.sum().backward()
    sums = [n for n in topological([bias.grad.node]) if n.op is Op.REDUCE and n.size == 6]
    assert [n.srcs[0].shape[0] for n in sums] == [9]
    assert weight.grad.node.op is not Op.ADD and x.grad.node.op is Op.UPDATE
    nodes = topological([weight.grad.node])
    assert [n.srcs[0].shape for n in nodes if n.op is Op.REDUCE and len(n.srcs[0].shape) > 3] == [
        (9, 2, 6, 6)
    ]
