"""The language programs in examples/: the losses are torch's from equal weights, at small size.

Each is loaded twice, as it runs with picograd and as it runs with `--torch`. What they claim is
tested too: caches and speculation change the time that a text takes, and not the text.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import picograd
from tests.programs.examples import FOLDER, load, set_weights

PARTS = sorted(f"language/{path.stem}" for path in (FOLDER / "language").glob("part*.py"))


def slices(m: ModuleType, columns: Any, size: int, count: int) -> list[list[Any]]:
    """Batches of lists of rows, as tensors."""
    tensors = [m.torch.tensor(column[: size * count]) for column in columns]
    return [[t[k : k + size] for t in tensors] for k in range(0, size * count, size)]


def classifier(pooling: str):
    def run(m: ModuleType) -> tuple[Any, Any]:
        model = m.Classifier(pooling, width=4, hidden=6)
        return model, lambda: m.train(model, m.Reviews(40, seed=3), steps=7, batch=8)

    return run


def first_part(m: ModuleType) -> tuple[Any, Any]:
    model = m.Model()
    return model, lambda: [m.loss_on(model, m.names()[:50]).item()]


def second_part(m: ModuleType) -> tuple[Any, Any]:
    model = m.Model()
    batches = slices(m, m.windows(m.names()[:50], m.T), 16, 8)
    return model, lambda: m.train(model, batches)


def third_part(name: str):
    def run(m: ModuleType) -> tuple[Any, Any]:
        model = m.MODELS[name]()
        return model, lambda: m.train(model, slices(m, m.rows(m.names()[:40], m.LENGTH), 8, 5))

    return run


def variant(**options: Any):
    def run(m: ModuleType) -> tuple[Any, Any]:
        model = m.GPT(20, context=12, width=16, heads=4, layers=1, **options)
        tokens = np.random.default_rng(0).integers(0, 20, (5, 3, 13))
        batches = [(m.torch.tensor(t[:, :-1]), m.torch.tensor(t[:, 1:])) for t in tokens]
        return model, lambda: m.train(model, batches)

    return run


def cross(m: ModuleType) -> tuple[Any, Any]:
    model, columns = m.Backwards(6, cross=True, width=8), m.reversed_names(m.names()[:40], 6)
    batches = [[column[k : k + 8] for column in columns] for k in range(0, 40, 8)]
    return model, lambda: m.train(model, batches)


PROGRAMS = {
    "mean pooling": ("sentiment", classifier("mean")),
    "max pooling": ("sentiment", classifier("max")),
    "pairs": ("sentiment", classifier("pairs")),
    "forward": ("language/part1_forward", first_part),
    "backward": ("language/part2_backward", second_part),
    **{name: ("language/part3_models", third_part(name)) for name in ("FFN", "RNN", "LSTM", "GPT")},
    "multi-head": ("language/part4_attention", variant()),
    "grouped-query": ("language/part4_attention", variant(groups=2)),
    "multi-query": ("language/part4_attention", variant(groups=1)),
    "sliding window": ("language/part4_attention", variant(window=3)),
    "cross": ("language/part4_attention", cross),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_losses_are_torchs(program: str) -> None:
    name, build = PROGRAMS[program]
    losses = []
    for framework in ("torch", "picograd"):
        example = load(name, framework)
        model, train = build(example)
        set_weights(model, example.torch)
        losses.append(train())
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-4)


OPTIONS = {
    "language/part1_forward": (),
    "language/part4_cache": ("--count", "4"),
    "language/part4_speculative": ("--count", "6"),
}


@pytest.mark.parametrize("name", ["sentiment", *PARTS])
def test_it_runs(name: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    module = load(name, "picograd")
    monkeypatch.setattr(sys, "argv", [name, *OPTIONS.get(name, ("--steps", "2"))])
    if "GPT" in vars(module):  # what takes long is tested below
        monkeypatch.setattr(module, "train", lambda *_, **__: [1.0] * 10)
    module.main()
    assert "loss" in capsys.readouterr().out


def test_only_pairs_of_words_know_what_not_does() -> None:
    m = load("sentiment", "picograd")
    training, held_out = m.Reviews(800, seed=1), m.Reviews(300, seed=2)
    found = {}
    for pooling in ("mean", "pairs"):
        picograd.manual_seed(0)
        model = m.Classifier(pooling)
        m.train(model, training, 150)
        found[pooling] = m.accuracy(model, held_out)
    assert found["mean"][0] > 0.95 and found["pairs"][0] > 0.95
    assert found["mean"][1] < 0.7 and found["pairs"][1] > 0.95
    table, words = picograd.randn(7, 3), picograd.tensor([[1, 6], [0, 1]])
    assert picograd.equal(m.one_hot_lookup(table, words), table[words])


def test_the_lstm_is_the_librarys() -> None:
    m = load("language/part3_models", "picograd")
    model, inputs = m.LSTM(width=5, hidden=4), picograd.randn(3, 6, 5)
    library = picograd.nn.LSTM(5, 4, batch_first=True)
    parts = [model.from_input, model.from_state]
    weights = [part.weight for part in parts] + [part.bias for part in parts]
    for mine, other in zip(library.parameters(), weights, strict=True):
        mine.data = other.data
    np.testing.assert_allclose(
        model.states(inputs).detach().numpy(), library(inputs)[0].detach().numpy(), atol=1e-6
    )


# --- generation ----------------------------------------------------------------------------------


def sharp_model(
    m: ModuleType, vocabulary: int, sharpness: float = 1.0, seed: int = 5, **options: Any
) -> Any:
    """An untrained model with clear opinions, the same in picograd and torch."""
    model = m.GPT(vocabulary, width=8, heads=2, layers=1, **options)
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        numbers = rng.standard_normal(tuple(parameter.shape)) * sharpness
        parameter.data = m.torch.tensor(numbers.astype(np.float32))
    return model


@pytest.mark.parametrize("options", [{}, {"groups": 1}, {"window": 3}], ids=str)
def test_caches_do_not_change_the_text(options: dict[str, Any]) -> None:
    m = load("language/part4_cache", "picograd")
    model = sharp_model(m, 11, context=14, **options)
    texts = {name: way(model, [3, 1, 4], 10) for name, way in m.WAYS.items()}
    assert len(set(texts["again"])) > 3, "a text that tells something"
    assert texts["again"] == texts["growing"] == texts["preallocated"]


def test_a_preallocated_cache_needs_few_programs() -> None:
    m = load("language/part4_cache", "picograd")
    model = sharp_model(m, 11, context=40)
    before = picograd.engine.statistics.programs_compiled
    m.WAYS["preallocated"](model, [3, 1, 4], 30)
    assert picograd.engine.statistics.programs_compiled - before <= 6


def pair(
    m: ModuleType, vocabulary: int, temperature: float, sharpness: float = 0.7
) -> tuple[Any, Any]:
    """A target and a draft that agree often, but not always."""
    target, draft = (sharp_model(m, vocabulary, sharpness, seed, context=24) for seed in (5, 6))
    draft.head.weight.data += target.head.weight.detach()
    return m.Reader(target, temperature), m.Reader(draft, temperature)


@pytest.mark.parametrize("ahead", [1, 3])
def test_greedy_speculation_writes_what_the_target_writes(ahead: int) -> None:
    m, rng = load("language/part4_speculative", "picograd"), random.Random(0)
    target, draft = pair(m, 11, 0.0)
    alone = m.plain(target, [3, 1, 4], 16, rng)
    passes, target.passes = target.passes, 0
    target.back_to(0)
    assert m.speculative(target, draft, [3, 1, 4], 16, ahead, rng) == alone
    assert target.passes < passes


def chances(target: Any, prompt: list[int], vocabulary: int) -> dict[tuple[int, ...], float]:
    """Of each pair of tokens after a prompt."""
    found = {}
    for first in range(vocabulary):
        target.back_to(0)
        rows = target.read([*prompt, first])
        for second in range(vocabulary):
            found[first, second] = rows[-2][first] * rows[-1][second]
    return found


def misfit(drawn: Counter, expected: dict[tuple[int, ...], float]) -> float:
    """The chi-square statistic."""
    total = sum(drawn.values())
    return sum((drawn[key] - total * p) ** 2 / (total * p) for key, p in expected.items())


def test_speculation_has_the_targets_distribution() -> None:
    m, rng, vocabulary, prompt = (
        load("language/part4_speculative", "picograd"),
        random.Random(0),
        3,
        [1, 2],
    )
    target, draft = pair(m, vocabulary, 1.0, sharpness=0.5)
    expected = chances(target, prompt, vocabulary)
    assert min(expected.values()) > 0.01
    ways = {
        "speculative": lambda: m.speculative(target, draft, prompt, 2, 2, rng),
        "draft": lambda: m.plain(draft, prompt, 2, rng),
    }
    misfits = {}
    for name, way in ways.items():
        drawn: Counter = Counter()
        for _ in range(200):
            target.back_to(0)
            draft.back_to(0)
            drawn[tuple(way()[-2:])] += 1
        misfits[name] = misfit(drawn, expected)
    # 99.9 % of samples of the right distribution stay below 26.1 (8 degrees of freedom).
    assert misfits["speculative"] < 26.1 < misfits["draft"]


def test_acceptance_of_one_guess_is_exact() -> None:
    """What `accept` gives, averaged over guesses drawn from q, is p: here by counting."""
    m, rng = load("language/part4_speculative", "picograd"), random.Random(1)
    q, p = [0.6, 0.3, 0.1], [0.2, 0.3, 0.5]
    drawn = Counter(m.accept([m.draw(q, rng)], [q], [p, p], rng)[0] for _ in range(20000))
    np.testing.assert_allclose([drawn[k] / 20000 for k in range(3)], p, atol=0.015)


def test_samples_are_torchs() -> None:
    texts = []
    for framework in ("torch", "picograd"):
        m = load("language/part4_speculative", framework)
        target, draft = pair(m, 11, 0.8)
        texts.append(m.speculative(target, draft, [3, 1, 4], 16, 3, random.Random(7)))
    assert texts[0] == texts[1]
