"""Every scheduler against torch: the same rates for thirty steps, also from a saved state."""

from __future__ import annotations

import copy
import warnings

import pytest

import picograd

torch = pytest.importorskip("torch")

CASES = [
    "LambdaLR(o, lambda e: 0.9**e)",
    "LambdaLR(o, [lambda e: 0.9**e, lambda e: 1 / (1 + e)])",
    "MultiplicativeLR(o, lambda e: 0.95 if e % 2 else 1.01)",
    "StepLR(o, 7, 0.3)",
    "MultiStepLR(o, [3, 3, 11, 20], 0.5)",
    "ConstantLR(o, 0.25, 6)",
    "LinearLR(o, 0.2, 0.9, 12)",
    "ExponentialLR(o, 0.9)",
    "PolynomialLR(o, 20, 1.7)",
    "CosineAnnealingLR(o, 8, 0.01)",
    "CosineAnnealingWarmRestarts(o, 5)",
    "CosineAnnealingWarmRestarts(o, 4, 2, 0.001)",
    "OneCycleLR(o, 0.5, total_steps=40)",
    "OneCycleLR(o, [0.5, 1.0], epochs=4, steps_per_epoch=10, anneal_strategy='linear')",
    "OneCycleLR(o, 0.5, total_steps=31, three_phase=True, cycle_momentum=False)",
    "CyclicLR(o, 0.1, 0.7, 4)",
    "CyclicLR(o, [0.1, 0.2], 0.7, 4, 7, mode='triangular2')",
    "CyclicLR(o, 0.1, 0.7, 3, mode='exp_range', gamma=0.97, cycle_momentum=False)",
    "CyclicLR(o, 0.1, 0.7, 3, scale_fn=lambda x: 0.9**x, scale_mode='iterations')",
    "SequentialLR(o, [s.LinearLR(o, 0.1, 1.0, 5), s.CosineAnnealingLR(o, 20)], [5])",
    "SequentialLR(o, [s.ConstantLR(o, 0.1), s.ExponentialLR(o, 0.9), s.StepLR(o, 3)], [4, 15])",
    "ChainedScheduler([s.ConstantLR(o, 0.1, 9), s.ExponentialLR(o, 0.9)])",
]
KINDS = ["SGD", "Adam"]


def build(module, case, kind):
    w = [module.ones(2, requires_grad=True) for _ in range(2)]
    settings = {"momentum": 0.9} if kind == "SGD" else {}
    groups = [{"params": w[:1]}, {"params": w[1:], "lr": 0.3}]
    optimizer = getattr(module.optim, kind)(groups, lr=1.0, **settings)
    scope = {"o": optimizer, "s": module.optim.lr_scheduler}
    return optimizer, eval(f"s.{case}", scope)


def follow(optimizer, scheduler, steps):
    rates = []
    for _ in range(steps):
        rates.append(
            (scheduler.get_last_lr(), [(g["lr"], g.get("momentum"), g.get("betas"))
             for g in optimizer.param_groups])
        )  # fmt: skip
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_rates(case, kind):
    ours, theirs = (follow(*build(module, case, kind), 30) for module in (picograd, torch))
    assert ours == theirs


@pytest.mark.parametrize("case", CASES)
def test_state(case):
    optimizer, scheduler = build(picograd, case, "SGD")
    reference = build(torch, case, "SGD")
    for pair in ((optimizer, scheduler), reference):
        follow(*pair, 9)
    private = {"_scale_fn_ref", "_get_lr_called_within_step", "_is_initial"}
    a, b = (set(one.state_dict()) - private for one in (scheduler, reference[1]))
    assert a == b
    saved = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    expected = follow(optimizer, scheduler, 10)
    optimizer, scheduler = build(picograd, case, "SGD")
    optimizer.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    optimizer.step()
    assert follow(optimizer, scheduler, 10) == expected


@pytest.mark.parametrize("case", CASES[3:10])
def test_steps_to_an_epoch(case):
    rates = []
    for module in (picograd, torch):
        optimizer, scheduler = build(module, case, "SGD")
        optimizer.step()
        with pytest.warns(UserWarning, match="epoch parameter"):
            scheduler.step(13)
        rates.append(scheduler.get_last_lr())
    assert rates[0] == rates[1]


PLATEAUS = [
    {"patience": 1},
    {"patience": 0, "factor": 0.5, "cooldown": 2, "min_lr": [0.1, 0.01]},
    {"mode": "max", "patience": 2, "threshold": 0.3, "threshold_mode": "abs"},
    {"mode": "max", "patience": 1, "threshold": 0.1},
]


@pytest.mark.parametrize("settings", PLATEAUS)
def test_plateau(settings):
    losses = [3, 2, 1.9, 1.9, 2.5, 1.0, 1.0, 1.0, 0.99999, 1.1, 1.3, 1.0, 0.4, 2.0] * 2
    seen = []
    for module in (picograd, torch):
        optimizer, _ = build(module, "StepLR(o, 100)", "SGD")
        scheduler = module.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **settings)
        rates = []
        for n, loss in enumerate(losses):
            scheduler.step(module.tensor(loss) if n % 2 else loss)
            rates.append((scheduler.get_last_lr(), scheduler.num_bad_epochs))
        seen.append((rates, scheduler.state_dict()))
    assert seen[0] == seen[1]


ERRORS = [
    "ReduceLROnPlateau(o, factor=1.0)",
    "ReduceLROnPlateau(o, mode='x')",
    "ReduceLROnPlateau(o, threshold_mode='x')",
    "ReduceLROnPlateau(o, min_lr=[0])",
    "LambdaLR(o, [lambda e: 1])",
    "MultiplicativeLR(o, 3)",
    "ConstantLR(o, 2)",
    "LinearLR(o, 0)",
    "LinearLR(o, 0.5, 2)",
    "StepLR(3, 1)",
    "StepLR(o, 1, last_epoch=4)",
    "OneCycleLR(o, 1)",
    "OneCycleLR(o, 1, total_steps=0)",
    "OneCycleLR(o, [1], total_steps=3)",
    "OneCycleLR(o, 1, total_steps=3, anneal_strategy='x')",
    "OneCycleLR(o, 1, total_steps=3, pct_start=2.0)",
    "CyclicLR(o, 1, 2, mode='x')",
    "CyclicLR(o, [1], 2)",
    "CosineAnnealingWarmRestarts(o, 0)",
    "CosineAnnealingWarmRestarts(o, 1, 0)",
    "SequentialLR(o, [], [])",
    "SequentialLR(o, [s.StepLR(o, 1)], [3])",
    "SequentialLR(o, [s.ReduceLROnPlateau(o)], [])",
    "ChainedScheduler([])",
]


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    raised = []
    for module in (picograd, torch):
        optimizer, _ = build(module, "ExponentialLR(o, 1.0)", "SGD")
        for group in optimizer.param_groups:
            del group["initial_lr"]
        with pytest.raises(Exception) as caught:
            eval(f"s.{case}", {"o": optimizer, "s": module.optim.lr_scheduler})
        raised.append((caught.type, str(caught.value)))
    assert raised[0] == raised[1]


def test_order_is_warned_of():
    optimizer, scheduler = build(picograd, "StepLR(o, 3)", "SGD")
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()
    optimizer, scheduler = build(picograd, "StepLR(o, 3)", "SGD")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
        scheduler.step()


def test_a_rate_that_is_a_tensor_stays_one():
    rate = picograd.tensor(1.0)
    w = picograd.ones(1, requires_grad=True)
    optimizer = picograd.optim.SGD([w], lr=rate)
    scheduler = picograd.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    assert rate.item() == 0.5 and optimizer.param_groups[0]["lr"] is rate
