"""Programs for many sizes: what functions give for ever new lengths, and how often they compile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import picograd as torch
from picograd import engine
from picograd.env import Context
from picograd.nn import functional as F

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 48, 8)).astype(np.float32)
W = torch.tensor(RNG.standard_normal((8, 8)).astype(np.float32))
LABELS = RNG.integers(0, 8, (3, 48))
LENGTHS = (2, 3, 5, 9, 17, 18, 33, 34, 40)

Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    engine.clear_cache()
    yield
    engine.clear_cache()


def _part(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Fresh tensors: the first `length` positions of the data and of the labels."""
    return torch.tensor(X[:, :length].copy()), torch.tensor(LABELS[:, :length].copy())


def _grow(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    cache = torch.zeros(3, 48, 8)
    cache[:, 1 : x.shape[1] + 1] = x
    return cache


def _one_more(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    cache, here = torch.ones(3, 48, 8), x.shape[1]
    cache[:, here : here + 1] = x[:, :1]
    return (cache[:, : here + 1] @ W).softmax(1)


def _gradient(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    weight = W.clone().requires_grad_()
    loss = F.cross_entropy((x @ weight).relu().view(-1, 8) @ weight, y.view(-1))
    (gradient,) = torch.autograd.grad(loss, [weight])
    return gradient


def _embedding_gradient(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    weight = W.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((F.embedding(y, weight) * x).sum(), [weight])
    return gradient


FUNCTIONS: dict[str, Function] = {
    "elementwise": lambda x, y: x * 2 + 1,
    "sum": lambda x, y: x.sum(1),
    "mean": lambda x, y: x.mean(1),
    "max with place": lambda x, y: x.max(1).values + x.argmax(1),
    "product": lambda x, y: torch.where(x > 0, x, 1.0).prod(1),
    "softmax": lambda x, y: x.softmax(1),
    "matmul": lambda x, y: x @ W,
    "contraction over the length": lambda x, y: x.transpose(1, 2) @ x,
    "infinity times zero": lambda x, y: (x.sum(2) * torch.tensor(float("inf"))).sum(1),
    "merged axes": lambda x, y: F.linear(x.view(-1, 8), W, W[0]).view(3, -1, 8),
    "causal attention": lambda x, y: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "triangle": lambda x, y: (x @ x.transpose(1, 2)).tril(),
    "concatenation of many": lambda x, y: torch.cat([x, x[:, -1:], x, x, x * 2, x], 1),
    "concatenation": lambda x, y: torch.cat([x, x[:, -1:], x], 1),
    "flip": lambda x, y: x.flip(1),
    "roll": lambda x, y: x.roll(2, 1),
    "padding": lambda x, y: F.pad(x, (0, 0, 2, 1), value=3.0),
    "running sum": lambda x, y: x.cumsum(1),
    "all but the first": lambda x, y: x[:, 1:].sum(1),
    "every other": lambda x, y: x[:, ::2].sum(1),
    "order": lambda x, y: x.sort(1).values,
    "reverse by index": lambda x, y: x[:, torch.arange(x.shape[1] - 1, -1, -1)],
    "normalisation": lambda x, y: F.layer_norm(x @ W, (8,)),
    "convolution": lambda x, y: F.conv1d(x.transpose(1, 2), torch.stack([W, W, W], 2), padding=1),
    "embedding": lambda x, y: F.embedding(y, W).sum(1),
    "cross entropy": lambda x, y: F.cross_entropy((x @ W).view(-1, 8), y.view(-1)),
    "one hot": lambda x, y: F.one_hot(y, 8).sum(1),
    "write a window": _grow,
    "write one row": _one_more,
    "gradient": _gradient,
    "gradient of an embedding": _embedding_gradient,
    "a batch of all lengths": lambda x, y: F.cross_entropy(x.reshape(-1, 8)[:, :5], y.view(-1) % 5),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_numbers_as_programs_of_their_own(name: str) -> None:
    function = FUNCTIONS[name]
    engine.statistics.reset()
    got = [function(*_part(length)).numpy() for length in LENGTHS]
    compiled = engine.statistics.programs_compiled
    engine.clear_cache()
    with Context(PICOGRAD_ELASTIC=0):
        want = [function(*_part(length)).numpy() for length in LENGTHS]
    for length, mine, other in zip(LENGTHS, got, want, strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-5, atol=2e-5, err_msg=f"length {length}")
    assert compiled <= 6, f"{compiled} programs for {len(LENGTHS)} lengths"


GROWING = """
import picograd as torch
from picograd import engine
x, total = torch.rand(6), torch.zeros(1)
for _ in range(250):
    total = torch.cat([total, (total.sum() + x[0]).view(1)])
    total.sum().item()
print(engine.statistics.programs_compiled)
"""


def test_a_growing_size_meets_few_programs() -> None:
    """In a process of its own: values that earlier tests left alive would be found again."""
    command = [sys.executable, "-c", GROWING]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 6  # one of them makes x


def test_generation_with_a_growing_window() -> None:
    """Most of the work grows with the square of the length: a program reaches as far as it is
    thrifty, and there is one at every length."""
    torch.manual_seed(0)
    table, weight = torch.randn(16, 32), torch.randn(32, 32) / 6
    tokens = torch.zeros(1, 1, dtype=torch.long)
    engine.statistics.reset()
    for _ in range(150):
        x = F.embedding(tokens, table)
        for _ in range(2):
            q, k, v = (y.view(1, -1, 8, 4).transpose(1, 2) for y in (x @ weight, x, -x))
            scores = (q @ k.transpose(2, 3)).tril()
            x = x + (scores.softmax(3) @ v).transpose(1, 2).reshape(1, -1, 32)
        logits = x[:, -1] @ table.T
        tokens = torch.cat([tokens, logits.argmax(1, keepdim=True)], 1)
        tokens.tolist()
    assert tokens.shape == (1, 151)
    assert engine.statistics.programs_compiled <= 8


def test_an_index_beyond_the_size_is_an_error() -> None:
    for length in LENGTHS:
        x, _ = _part(length)
        x[:, torch.tensor([length - 1])].sum().item()
        with pytest.raises(IndexError):
            x[:, torch.tensor([length])].sum().item()


def _whole(x: torch.Tensor) -> torch.Tensor:
    return x.sum()


RECORDED = pytest.mark.parametrize("recorded", [False, True], ids=["eager", "recorded"])


@RECORDED
def test_sizes_that_stay_get_a_program_of_their_own(recorded: bool) -> None:
    whole = torch.compile(_whole) if recorded else _whole
    for length in (2, 3, 5):
        whole(_part(length)[0]).item()
    engine.statistics.reset()
    for _ in range(5):
        whole(_part(7)[0]).item()
    assert engine.statistics.programs_compiled == 1


@RECORDED
def test_sizes_that_take_turns_get_programs_of_their_own_later(recorded: bool) -> None:
    whole = torch.compile(_whole) if recorded else _whole
    for length in (2, 3, 5):
        whole(_part(length)[0]).item()
    engine.statistics.reset()
    for runs in range(70):
        for length in (6, 7):
            whole(_part(length)[0]).item()
        assert engine.statistics.programs_compiled == (0 if runs < 64 else 2)


def test_nothing_at_all_among_other_sizes() -> None:
    for length in (4, 6, 0, 5, 0):
        x = torch.tensor(X[:, :length].copy())
        assert x.sum(1).shape == (3, 8)
        np.testing.assert_allclose(x.sum(1).numpy(), X[:, :length].sum(1), rtol=1e-5, atol=1e-5)


def test_constants_that_follow_the_size() -> None:
    for length in LENGTHS:
        x, _ = _part(length)
        np.testing.assert_allclose(
            (x * length + 1 / length).numpy(), X[:, :length] * length + 1 / length, rtol=1e-6
        )


def test_random_numbers_do_not_depend_on_the_program() -> None:
    def draw() -> list[np.ndarray]:
        torch.manual_seed(3)
        return [torch.rand(length, 4).numpy() for length in LENGTHS]

    first = draw()
    with Context(PICOGRAD_ELASTIC=0):
        engine.clear_cache()
        second = draw()
    for mine, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_loops_that_ask_for_nothing_repeat_their_programs() -> None:
    def layers(state: torch.Tensor) -> torch.Tensor:
        for weight in (W, W.T, W + 1):
            state = (state @ weight).tanh() * 0.5 + state
        return state

    state = torch.ones(2, 8)
    engine.statistics.reset()
    for _ in range(1000):
        state = layers(state)
    state.sum().item()
    assert engine.statistics.programs_compiled <= 6


def test_axis_repeated_at_some_sizes_only() -> None:
    for shape, wide in (
        ((5, 1), (5, 5)),
        ((1, 5), (6, 5)),
        ((1, 7), (3, 7)),
        ((4, 1), (4, 7)),
        ((3, 4), (3, 4)),
    ):
        x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        found = torch.tensor(x).expand(wide).clone()
        np.testing.assert_array_equal(found.numpy(), np.broadcast_to(x, wide))


def test_parameters_of_all_shapes_do_not_meet_in_one_huge_program() -> None:
    """Room for twice each of four extents would be sixteen times the memory."""
    engine.statistics.reset()
    for shape in ((256, 128, 3, 3), (64, 3, 7, 7), (512, 256, 1, 1), (128, 64, 3, 3)):
        weight = torch.tensor(np.ones(shape, np.float32))
        assert weight.double().numpy().shape == shape
    assert engine.statistics.programs_compiled == 4
