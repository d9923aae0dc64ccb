"""Checkpointed segments: the same values and gradients, and the random numbers of the first run."""

from __future__ import annotations

import pytest

import picograd
from picograd import nn
from picograd.utils.checkpoint import checkpoint, checkpoint_sequential


def gradients(run, reentrant):
    picograd.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 2))
    x = picograd.rand(5, 3, requires_grad=True)
    picograd.manual_seed(2)
    hidden = x * 2
    loss = run(model, hidden, reentrant).square().sum()
    after = picograd.rand(2)
    loss.backward()
    return [loss, after, x.grad, *[p.grad for p in model.parameters()]]


RUNS = {
    "whole": lambda model, x, r: checkpoint(model, x, use_reentrant=r),
    "sequential": lambda model, x, r: checkpoint_sequential(model, 2, x, use_reentrant=r),
    "nested": lambda model, x, r: checkpoint(
        lambda v: checkpoint(model, v, use_reentrant=r) * 1, x, use_reentrant=r
    ),
}


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("name", RUNS)
def test_same_gradients(name, reentrant):
    plain = gradients(lambda model, x, r: model(x), None)
    for a, b in zip(gradients(RUNS[name], reentrant), plain, strict=True):
        assert picograd.allclose(a, b, rtol=1e-6)


def test_backward_runs_the_function_again():
    calls = []
    w = picograd.ones(2, requires_grad=True)
    x = picograd.ones(2)

    def function(x, flag, *, scale):
        calls.append(flag)
        return {"a": 1} if flag is None else (x * w * scale, x * 3, "text")

    y, z, text = checkpoint(function, x, 7, scale=w * 2, use_reentrant=False)
    assert calls == [7] and text == "text" and y.requires_grad
    (y.sum() + z.sum()).backward()
    assert calls == [7, 7] and w.grad.tolist() == [4, 4]
    with picograd.no_grad():
        assert not checkpoint(lambda v: v * w, x, use_reentrant=False).requires_grad
