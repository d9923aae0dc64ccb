"""Programs as people write them: a notebook top to bottom, attention, pooled embeddings, pairs.

Each runs with picograd and with torch from equal numbers; what the cells display must be equal as
text, what they compute nearly equal.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")
from tests.frontend.twins import same  # noqa: E402

NOTEBOOK = (Path(__file__).parent / "matmul_notebook.py.txt").read_text()


def cells(m) -> list[str]:
    rng = np.random.default_rng(4)
    rows = (rng.integers(0, 17, (25, 64)) / 16).astype(np.float32)
    weights = rng.standard_normal((64, 10)).astype(np.float32)
    shown: list[str] = []
    names = {
        "torch": m,
        "np": np,
        "x_train": rows[:20],
        "x_valid": rows[20:],
        "weights_of": lambda module: module.tensor(weights),
        "show": lambda value: shown.append(repr(value)),
    }
    try:
        exec(compile(NOTEBOOK, "matmul_notebook.py", "exec"), names)
    finally:
        m.set_printoptions(profile="default")
    return shown


@pytest.mark.host("it displays devices and what fails without a GPU, and gives tensors to NumPy")
def test_notebook_displays_the_same() -> None:
    number = re.compile(r"-?\d+\.\d+")
    expected, found = cells(torch), cells(picograd)
    assert len(expected) == len(found) > 60
    for theirs, ours in zip(expected, found, strict=True):
        # Sums may be rounded in another order: the last printed digit can differ.
        assert number.sub("#", theirs) == number.sub("#", ours)
        for a, b in zip(number.findall(theirs), number.findall(ours), strict=True):
            assert math.isclose(float(a), float(b), rel_tol=1e-5, abs_tol=0.0101), (theirs, ours)


# --- slow loops and what replaces them -----------------------------------------------------------


def distances(m):
    x = m.tensor(np.random.default_rng(42).random((3, 7)))
    d1, d2 = x.shape
    slow = m.zeros((2, d1), dtype=m.float64)
    for i in range(d1):
        for j in range(d2):
            for k in range(2):
                slow[k, i] += (x[k, j] - x[i, j]) ** 2
    fast = ((x[:2, None] - x) ** 2).sum(2)
    inefficient = ((x[:2] - x[:, None]) ** 2).sum(2).transpose(1, 0)
    return slow, fast, inefficient, m.allclose(slow, fast)


def squares_off_the_diagonal(m):
    x = m.tensor(np.random.default_rng(1).random((5, 7)).astype(np.float32))
    d1, d2 = x.shape
    slow = m.empty((d2, d1))
    for i in range(d1):
        for j in range(d2):
            slow[j, i] = (i != j) * x[i, j] ** 2
    index = m.arange(min(x.shape))
    x[index, index] = 0
    fast = (x**2).transpose(0, 1)
    return slow, fast, m.allclose(slow, fast), m.all(slow == fast)


# --- attention -----------------------------------------------------------------------------------


def numbers(m, *shape, seed=0, grad=False):
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return m.tensor(values, requires_grad=grad)


def attention_core(m):
    q, k, v = (numbers(m, 6, 4, seed=n, grad=True) for n in range(3))
    mask = m.triu(m.full((6, 6), -math.inf), diagonal=1)
    s = (q @ k.T) * (1.0 / math.sqrt(4))
    s = s + mask
    top = s.max(dim=-1, keepdim=True).values
    p = (s - top).exp()
    p = p / p.sum(dim=-1, keepdim=True)
    o = p @ v
    (o * o).sum().backward()
    return o, q.grad, k.grad, v.grad


def attention_full(m):
    b, t, n, d = 2, 5, 3, 4
    x = numbers(m, b, t, n * d)
    weights = [numbers(m, n * d, n * d, seed=s, grad=True) for s in (1, 2, 3)]
    mask = m.zeros(b, n, t, t)
    mask[:, :, m.arange(t)[:, None] < m.arange(t)] = float("-inf")
    q, k, v = ((x @ w).view(b, t, n, d).transpose(1, 2).contiguous() for w in weights)
    s = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(d)) + mask
    top = s.max(dim=-1, keepdim=True).values
    p = (s - top).exp()
    p = p / p.sum(dim=-1, keepdim=True)
    y = (p @ v).transpose(1, 2).contiguous().view(b, t, n * d)
    y.square().mean().backward()
    library = m.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return y, library, m.softmax(s, dim=-1) - p, [w.grad for w in weights]


# --- words to vectors ----------------------------------------------------------------------------


def sentiment(m):
    """Embedding, mean over the words, two layers, a logistic loss, SGD by hand."""
    vocabulary, feature, hidden = 20, 6, 8
    rng = np.random.default_rng(7)
    sentences = m.tensor(rng.integers(0, vocabulary, (12, 5)))
    labels = m.tensor((sentences.tolist()[0:1] and rng.random(12) < 0.5).astype(np.float32))
    table = numbers(m, vocabulary, feature, seed=1, grad=True)
    first = numbers(m, feature, hidden, seed=2, grad=True)
    second = numbers(m, hidden, 1, seed=3, grad=True)
    losses = []
    for _ in range(12):
        one_hot = m.nn.functional.one_hot(sentences, vocabulary).float()
        looked_up, broadcast = table[sentences], one_hot @ table
        pooled = (looked_up + broadcast).mean(1) / 2
        p = ((pooled @ first).relu() @ second).sigmoid().view(-1)
        loss = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
        loss.backward()
        with m.no_grad():
            for parameter in (table, first, second):
                parameter -= 0.2 * parameter.grad
                parameter.grad.zero_()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    similar = (table[3] * table[5]).sum()
    word = m.zeros(vocabulary)
    word[4] = 1
    return losses, similar, (table * word.view(vocabulary, 1)).sum(0) - table[4]


# --- language models -----------------------------------------------------------------------------


def recurrent(m):
    """A recurrent cell unrolled over a sequence, with clipping and momentum."""
    inputs = m.tensor(np.random.default_rng(5).integers(0, 9, (6, 4)))
    embedding = numbers(m, 9, 5, seed=1, grad=True)
    names = {"wx": (5, 7), "wh": (7, 7), "wo": (7, 9)}
    weights = {
        name: (numbers(m, *shape, seed=n) * 0.3).requires_grad_()
        for n, (name, shape) in enumerate(names.items())
    }
    everything = [embedding, *weights.values()]
    optimiser = m.optim.SGD(everything, lr=0.3, momentum=0.9)
    losses = []
    for _ in range(8):
        state, loss = m.zeros(4, 7), 0
        for step in range(5):
            state = m.tanh(embedding[inputs[step]] @ weights["wx"] + state @ weights["wh"])
            loss = loss + m.nn.functional.cross_entropy(state @ weights["wo"], inputs[step + 1])
        optimiser.zero_grad()
        loss.backward()
        total = m.sqrt(sum((w.grad**2).sum() for w in everything))
        if total > 1:
            for w in everything:
                w.grad *= 1 / total
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    return losses, total


def transformer(m):
    """One block with layer norms and causal attention, trained with AdamW."""
    f = m.nn.functional
    t, d, heads, vocabulary = 6, 8, 2, 11
    tokens = m.tensor(np.random.default_rng(2).integers(0, vocabulary, (3, t + 1)))
    shapes = [(vocabulary, d), (t, d), (3 * d, d), (d, d), (4 * d, d), (d, 4 * d)]
    e, positions, qkv, out, up, down = (
        (numbers(m, *shape, seed=n) * 0.2).requires_grad_() for n, shape in enumerate(shapes)
    )
    scale, shift = m.ones(d, requires_grad=True), m.zeros(d, requires_grad=True)
    parameters = [e, positions, qkv, out, up, down, scale, shift]
    optimiser = m.optim.AdamW(parameters, lr=0.02)
    losses = []
    for _ in range(6):
        x, y = tokens[:, :-1], tokens[:, 1:]
        h = e[x] + positions
        q, k, v = f.linear(f.layer_norm(h, (d,), scale, shift), qkv).split(d, dim=2)
        q, k, v = (z.view(3, t, heads, d // heads).transpose(1, 2) for z in (q, k, v))
        a = (q @ k.mT) / math.sqrt(d // heads)
        a = a.masked_fill(m.tril(m.ones(t, t)) == 0, float("-inf")).softmax(-1)
        h = h + f.linear((a @ v).transpose(1, 2).reshape(3, t, d), out)
        h = h + f.linear(f.gelu(f.linear(f.layer_norm(h, (d,)), up)), down)
        logits = h @ e.T
        loss = f.cross_entropy(logits.view(-1, vocabulary), y.reshape(-1))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    best, places = m.topk(logits[:, -1], 3)
    return losses, best, places, scale.grad


PROGRAMS = [
    distances,
    squares_off_the_diagonal,
    attention_core,
    attention_full,
    sentiment,
    recurrent,
    transformer,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_program(program) -> None:
    same(program, tolerance=2e-4)
