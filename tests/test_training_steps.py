"""Whole training steps under `compile`: replayed to the bit, and never stale."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import picograd as torch
from picograd import engine
from picograd.frontend import storage
from picograd.replay import Replayed

nn, F = torch.nn, torch.nn.functional


@dataclass(frozen=True)
class Settings:
    width: int = 8
    clip: float = 1.0


class Learner:
    """A model, an optimiser, and a step over them: as it is, or compiled."""

    def __init__(self, kind: str, optimizer: Callable[[Any], Any], compiled: bool) -> None:
        torch.manual_seed(1)
        settings = Settings()
        self.model = model = nn.Sequential(
            nn.Linear(6, settings.width), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3),
            nn.Linear(8, 3),
        )  # fmt: skip
        self.optimizer = optimizer(model.parameters())
        self.step = STEPS[kind](model, self.optimizer, settings)
        if compiled:
            self.step = torch.compile(self.step)
            assert isinstance(self.step, Replayed)

    def state(self) -> list[np.ndarray]:
        """All that a step may have changed."""
        tensors = [*self.model.state_dict().values()]
        tensors += [p.grad for p in self.model.parameters() if p.grad is not None]
        for state in self.optimizer.state.values():
            tensors += [torch.as_tensor(value) for value in state.values()]
        return [x.detach().numpy().copy() for x in tensors]


def _usual(model: Any, optimizer: Any, settings: Settings) -> Any:
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _clipped(model: Any, optimizer: Any, settings: Settings) -> Any:
    def step(x: Any, y: Any) -> Any:
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        size = nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach(), logits, size

    return step


def _accumulated(model: Any, optimizer: Any, settings: Settings) -> Any:
    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y) / 2
        loss.backward()
        return loss

    return step


def _filled(model: Any, optimizer: Any, settings: Settings) -> Any:
    more = SimpleNamespace(smoothing=0.1)

    def step(x: Any, y: Any) -> Any:
        for half in (x, -x):
            F.cross_entropy(model(half), y, label_smoothing=more.smoothing).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        return None

    return step


def _scaled(model: Any, optimizer: Any, settings: Settings) -> Any:
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y) * optimizer.param_groups[0]["lr"]
        loss.backward()
        optimizer.step()
        return loss

    return step


STEPS = {
    "usual": _usual,
    "clipped": _clipped,
    "accumulated": _accumulated,
    "filled": _filled,
    "scaled": _scaled,
}
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, centered=True, momentum=0.5, weight_decay=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr_decay=0.1),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
}
# Not replayed: NAdam's updates are not made by `rewrite`, and zeros have no program.
AS_IT_IS = {("usual", "nadam"), ("filled", "sgd")}
PAIRS = [
    ("usual", "sgd"), ("usual", "momentum"), ("usual", "adam"), ("usual", "nadam"),
    ("usual", "rmsprop"), ("usual", "adagrad"), ("clipped", "adamw"), ("accumulated", "sgd"),
    ("filled", "sgd"),
]  # fmt: skip


def batches(count: int) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(0)
    return [
        (torch.tensor(rng.standard_normal((4, 6), np.float32)), torch.tensor(rng.integers(0, 3, 4)))
        for _ in range(count)
    ]


def compare(plain: Learner, replayed: Learner, x: Any, y: Any, seed: int) -> None:
    """Make a step with both; they must agree in all that they return and change."""
    found = []
    for learner in (plain, replayed):
        torch.manual_seed(seed)
        result = learner.step(x, y)
        numbers = [one.detach().numpy().copy() for one in _leaves(result)]
        found.append([*numbers, torch.rand(1).numpy(), *learner.state()])
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def _leaves(result: Any) -> list[Any]:
    return [] if result is None else list(result) if isinstance(result, tuple) else [result]


@pytest.mark.parametrize(("kind", "optimizer"), PAIRS)
def test_steps_are_replayed_to_the_bit(kind: str, optimizer: str) -> None:
    plain, replayed = (Learner(kind, OPTIMIZERS[optimizer], c) for c in (False, True))
    for number, (x, y) in enumerate(batches(6)):
        compare(plain, replayed, x, y, number)
    assert (replayed.step.replays >= 3) is ((kind, optimizer) not in AS_IT_IS)


# What a program changes between two steps; what happens must be what would happen without compile.
CHANGES: dict[str, Callable[[Learner], Any]] = {
    "rate": lambda one: one.optimizer.param_groups[0].update(lr=0.05),
    "decay": lambda one: one.optimizer.param_groups[0].update(weight_decay=0.1),
    "maximize": lambda one: one.optimizer.param_groups[0].update(maximize=True),
    "eval": lambda one: one.model.eval(),
    "train": lambda one: one.model.train(),
    "dropout": lambda one: setattr(one.model[3], "p", 0.1),
    "frozen": lambda one: one.model[0].requires_grad_(False),
    "gradient": lambda one: setattr(one.model[0].weight, "grad", None),
    "given_gradient": lambda one: setattr(one.model[4].bias, "grad", torch.ones(3)),
    "melted": lambda one: one.model[0].requires_grad_(True),
    "written": lambda one: one.model[4].weight.data.mul_(0.5),
    "replaced": lambda one: setattr(one.model[4].weight, "data", torch.ones(3, 8)),
    "layer": lambda one: one.model.__setitem__(2, nn.ReLU()),
    "loaded": lambda one: one.optimizer.load_state_dict(
        copy.deepcopy(one.optimizer.state_dict())
    ),
    "exported": lambda one: setattr(one, "seen", one.model[0].weight.detach().numpy()),
    "stepped": lambda one: one.optimizer.step(),
    "zeroed": lambda one: one.optimizer.zero_grad(),
    "hook": lambda one: one.model[4].bias.register_hook(lambda g: g * 2),
}  # fmt: skip


def test_what_a_step_depends_on_may_change() -> None:
    plain, replayed = (Learner("usual", OPTIMIZERS["adam"], c) for c in (False, True))
    data = batches(3)
    for number, change in enumerate([lambda one: None, *CHANGES.values()]):
        for one in (plain, replayed):
            change(one)
        for again, (x, y) in enumerate(data):
            compare(plain, replayed, x, y, 10 * number + again)
    assert replayed.step.replays >= len(CHANGES)


def test_settings_that_a_step_reads() -> None:
    plain, replayed = (Learner("scaled", OPTIMIZERS["sgd"], c) for c in (False, True))
    for number, (x, y) in enumerate(batches(5)):
        for one in (plain, replayed):
            one.optimizer.param_groups[0]["lr"] = 0.1 / (number + 1)
        compare(plain, replayed, x, y, number)


def test_a_replayed_step_runs_one_program_and_compiles_none() -> None:
    one = Learner("usual", OPTIMIZERS["adamw"], True)
    x, y = batches(1)[0]
    for _ in range(4):
        one.step(x, y)
    engine.statistics.reset()
    for factor in range(3):
        one.optimizer.param_groups[0]["lr"] = 0.01 * factor
        one.step(x, y)
    found = engine.statistics
    assert (found.programs_run, found.programs_compiled) == (3, 0)


def test_gradients_that_are_one_sum() -> None:
    """Both biases of a recurrent layer have the same gradient; the step is still put together
    once."""
    torch.manual_seed(0)
    model = nn.RNN(3, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    x = torch.randn(6, 2, 3)

    @torch.compile
    def step() -> Any:
        loss = model(x)[0].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    losses = [step().item() for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    assert isinstance(step, Replayed)
    (*_, recording) = step._recordings.values()
    assert recording.program is not None
    gradients = [model.bias_ih_l0.grad, model.bias_hh_l0.grad]
    assert gradients[0].tolist() == gradients[1].tolist()
    gradients[0].zero_()
    assert gradients[1].abs().sum().item() > 0


def test_states_that_begin_as_the_same_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large zeros are one node until they are computed; each state is written in its own memory."""
    monkeypatch.setattr(storage, "_SETTLED", 4)
    found = []
    for compiled in (False, True):
        one, compiles = Learner("usual", OPTIMIZERS["momentum"], compiled), []
        torch.manual_seed(0)
        for x, y in batches(4):
            engine.statistics.reset()
            one.step(x, y)
            compiles.append(engine.statistics.programs_compiled)
        assert not compiled or compiles[1:] == [0, 0, 0]
        found.append(one.state())
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)  # zeros simplify


def test_the_result_has_been_walked() -> None:
    one = Learner("usual", OPTIMIZERS["sgd"], True)
    x, y = batches(1)[0]
    for _ in range(3):
        loss = one.step(x, y)
    assert loss.requires_grad and loss.grad_fn.name() == "NllLossBackward0"
    with pytest.raises(RuntimeError, match="a second time"):
        loss.backward()


def test_random_numbers_go_on() -> None:
    def noisy(x: Any) -> Any:
        return F.dropout(x, 0.5) + torch.randn(3)

    made = torch.compile(noisy)
    torch.manual_seed(0)
    mine = [made(torch.ones(3)).tolist() for _ in range(4)] + [torch.rand(2).tolist()]
    torch.manual_seed(0)
    assert mine == [noisy(torch.ones(3)).tolist() for _ in range(4)] + [torch.rand(2).tolist()]
    assert made.replays == 3


def test_an_index_outside_leaves_all_as_it_was() -> None:
    torch.manual_seed(0)
    table = nn.Embedding(5, 3)
    optimizer = torch.optim.Adam(table.parameters())

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = table(x).pow(2).sum()
        loss.backward()
        optimizer.step()
        return loss

    made, good = torch.compile(step), torch.tensor([1, 2])
    for _ in range(3):
        made(good)
    with pytest.raises(IndexError):
        made(good + 7).item()
    before = table.weight.tolist()
    assert made(good).item() < 10 and table.weight.tolist() != before


def test_a_loop_that_learns() -> None:
    one = Learner("usual", OPTIMIZERS["adamw"], True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(one.optimizer, 30)
    x, y = batches(1)[0]
    losses = []
    for _ in range(30):
        losses.append(one.step(x, y).item())
        schedule.step()
    assert losses[-1] < losses[0] / 2 and one.step.replays == 28


def test_threads_that_have_nothing_to_do_with_it() -> None:
    """A pool of threads stays alive when its work is done."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(sum, [1, 2]).result()
        one = Learner("usual", OPTIMIZERS["sgd"], True)
        x, y = batches(1)[0]
        for _ in range(4):
            one.step(x, y).item()
        assert one.step.replays >= 2


def test_threads_that_ask_for_results() -> None:
    """They may read the tensors of a step while it is recorded: it is not."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: torch.ones(2).sum().item()).result()
        one = Learner("usual", OPTIMIZERS["sgd"], True)
        x, y = batches(1)[0]
        for _ in range(4):
            one.step(x, y).item()
        assert one.step.replays == 0
