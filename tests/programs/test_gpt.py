"""The GPT example: its losses are torch's from equal weights, and it trains and samples."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import picograd

EXAMPLE = Path(__file__).parents[2] / "examples" / "gpt.py"


@pytest.fixture
def gpt(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example with a small model."""
    spec = importlib.util.spec_from_file_location("example_gpt", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    small = {"CONTEXT": 8, "WIDTH": 16, "HEADS": 2, "LAYERS": 2, "BATCH": 4}
    for name, value in small.items():
        monkeypatch.setattr(module, name, value)
    return module


def test_it_trains_and_samples(gpt: ModuleType) -> None:
    trained = gpt.train(picograd, 40, report=0)
    assert np.mean(trained.losses[-5:]) < trained.losses[0] - 0.5
    assert gpt.sample(picograd, trained, "The ", 3).startswith("The ")


def test_losses_are_torchs(gpt: ModuleType) -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = gpt.build(torch, 20), gpt.build(picograd, 20)
    ours.load_state_dict({k: picograd.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    tokens = np.random.default_rng(0).integers(0, 20, (5, 4, 9))
    losses = []
    for m, model in ((torch, theirs), (picograd, ours)):
        optimizer = m.optim.AdamW(model.parameters(), lr=2e-3)
        losses.append([])
        for batch in tokens:
            loss = model(m.tensor(batch[:, :-1]), m.tensor(batch[:, 1:]))
            optimizer.zero_grad()
            loss.backward()
            m.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses[-1].append(loss.item())
    np.testing.assert_allclose(losses[1], losses[0], 1e-4)
