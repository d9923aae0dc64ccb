"""Optimisers against torch: the same parameters after the same steps."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import picograd
from tests.frontend.parity import torch

SETTINGS = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd_momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}),
    "sgd_nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    "adam": ("Adam", {"lr": 0.05}),
    "adam_decay": ("Adam", {"lr": 0.05, "weight_decay": 0.1, "betas": (0.8, 0.9)}),
    "adam_amsgrad": ("Adam", {"lr": 0.05, "amsgrad": True}),
    "adamw": ("AdamW", {"lr": 0.05, "weight_decay": 0.1}),
    "rmsprop": ("RMSprop", {"lr": 0.05}),
    "rmsprop_all": (
        "RMSprop",
        {"lr": 0.05, "momentum": 0.5, "centered": True, "weight_decay": 0.1},
    ),
    "adagrad": ("Adagrad", {"lr": 0.05, "lr_decay": 0.1}),
}


def build(module, name, settings):
    rng = np.random.default_rng(0)
    device = "numpy" if module is picograd else "cpu"
    shapes = ((4, 3), (3,))
    weights = [
        module.tensor(rng.standard_normal(s).astype(np.float32), device=device, requires_grad=True)
        for s in shapes
    ]
    x = module.tensor(rng.standard_normal((6, 4)).astype(np.float32), device=device)
    return weights, x, getattr(module.optim, name)(weights, **settings)


def train(weights, x, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        loss = ((x @ weights[0] + weights[1]).tanh() ** 2).sum()
        loss.backward()
        optimizer.step()
    return [w.detach().numpy() for w in weights]


@pytest.mark.parametrize("case", SETTINGS)
def test_same_parameters(case):
    name, settings = SETTINGS[case]
    for ours, theirs in zip(
        train(*build(picograd, name, settings), 6),
        train(*build(torch, name, settings), 6),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def test_state_dict_goes_on_where_it_stopped():
    weights, x, optimizer = build(picograd, "Adam", {"lr": 0.05})
    train(weights, x, optimizer, 3)
    saved = copy.deepcopy(optimizer.state_dict())
    copied = [w.detach().clone().requires_grad_() for w in weights]
    again = picograd.optim.Adam(copied, lr=0.5)
    again.load_state_dict(saved)
    for a, b in zip(train(weights, x, optimizer, 2), train(copied, x, again, 2), strict=True):
        np.testing.assert_array_equal(a, b)


def test_groups_closure_and_errors():
    a = picograd.ones(2, device="numpy", requires_grad=True)
    b = picograd.ones(2, device="numpy", requires_grad=True)
    optimizer = picograd.optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (a * a + b * b).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4.0
    assert a.tolist() == [0.0, 0.0] and b.tolist() == [-1.0, -1.0]
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="empty parameter list"):
        picograd.optim.SGD([], lr=0.1)
    with pytest.raises(TypeError, match="iterable"):
        picograd.optim.SGD(a, lr=0.1)
    with pytest.raises(ValueError, match="non-leaf"):
        picograd.optim.SGD([a * 2], lr=0.1)
    with pytest.raises(ValueError, match="learning rate"):
        picograd.optim.SGD([a], lr=-1)
    assert "lr: 1.0" in repr(optimizer)
