"""Every optimiser against torch: weights, representation, saved state and hooks."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

DECAY = {"weight_decay": 0.1}
UP = {"maximize": True}
CASES = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.2, **DECAY, **UP}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    ("ASGD", {"lr": 0.05, "t0": 2, **DECAY}),
    ("Rprop", {"lr": 0.02}),
    ("Rprop", {"lr": 0.02, "etas": (0.3, 1.4), "step_sizes": (0.001, 0.03), **UP}),
    ("Adam", {"lr": 0.05, **DECAY, "amsgrad": True}),
    ("Adam", {"lr": 0.05, **DECAY, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.05, "betas": (0.7, 0.9), **UP}),
    ("AdamW", {"lr": 0.05, "amsgrad": True, "eps": 1e-3}),
    ("NAdam", {"lr": 0.05, **DECAY}),
    ("NAdam", {"lr": 0.05, **DECAY, "decoupled_weight_decay": True, "momentum_decay": 0.1}),
    ("RAdam", {"lr": 0.05, **DECAY}),
    ("RAdam", {"lr": 0.05, "betas": (0.8, 0.6), "decoupled_weight_decay": True, **UP}),
    ("Adamax", {"lr": 0.05, **DECAY}),
    ("Adamax", {"betas": (0.5, 0.7), **UP}),
    ("RMSprop", {"lr": 0.02, "centered": True, "momentum": 0.5, **DECAY}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.5, **UP}),
    ("Adagrad", {"lr": 0.05, "lr_decay": 0.1, "initial_accumulator_value": 0.3, **DECAY}),
    ("Adadelta", {"lr": 0.5, **DECAY}),
    ("Adadelta", {"rho": 0.5, "eps": 1e-2, **UP}),
    ("LBFGS", {"lr": 0.3, "max_iter": 4}),
    ("LBFGS", {"lr": 0.3, "max_iter": 7, "history_size": 2, "max_eval": 6}),
    ("LBFGS", {"max_iter": 5, "line_search_fn": "strong_wolfe"}),
]
NAMES = [f"{name}-{n}" for n, (name, _) in enumerate(CASES)]


def weights(module):
    rng = np.random.default_rng(0)
    make = lambda *shape: module.tensor(  # noqa: E731
        rng.standard_normal(shape), requires_grad=True
    )
    return [make(4, 3), make(3)]


def closure_of(module, parameters, optimizer):
    x = module.tensor(np.random.default_rng(1).standard_normal((6, 4)))

    def closure():
        optimizer.zero_grad()
        loss = ((x @ parameters[0] + parameters[1]).tanh() ** 2).sum() + parameters[
            0
        ].square().sum()
        loss.backward()
        return loss

    return closure


def run(module, name, settings, steps=5):
    parameters = weights(module)
    optimizer = getattr(module.optim, name)(parameters, **settings)
    closure = closure_of(module, parameters, optimizer)
    losses = [float(optimizer.step(closure).item()) for _ in range(steps)]
    return losses, [p.detach().numpy() for p in parameters], optimizer


@pytest.mark.parametrize(("name", "settings"), CASES, ids=NAMES)
def test_five_steps(name, settings):
    ours, theirs = (run(module, name, settings) for module in (picograd, torch))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-6)
    for a, b in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    assert repr(ours[2]) == repr(theirs[2])
    a, b = ours[2].state_dict(), theirs[2].state_dict()
    assert a["param_groups"] == b["param_groups"]
    known = set(b["state"].get(0, ())) - {"al"}
    assert known <= set(a["state"].get(0, ()))


@pytest.mark.parametrize(("name", "settings"), CASES, ids=NAMES)
def test_a_saved_state_goes_on(name, settings):
    _, _, optimizer = run(picograd, name, settings, 2)
    parameters = optimizer.param_groups[0]["params"]
    twins = [p.detach().clone().requires_grad_() for p in parameters]
    again = getattr(picograd.optim, name)(twins, **settings)
    again.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    for one, group in ((optimizer, parameters), (again, twins)):
        closure = closure_of(picograd, group, one)
        for _ in range(2):
            one.step(closure)
    for a, b in zip(parameters, twins, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_states_go_to_torch(name):
    """A state dict of ours, as arrays, continues in torch."""
    settings = {"lr": 0.05, "weight_decay": 0.1}
    if name != "Adam":
        settings["momentum"] = 0.9
    _, before, optimizer = run(picograd, name, settings, 3)
    saved = optimizer.state_dict()
    state = {
        n: {k: torch.tensor(v.numpy()) if hasattr(v, "numpy") else v for k, v in one.items()}
        for n, one in saved["state"].items()
    }
    theirs = [torch.tensor(b.copy(), requires_grad=True) for b in before]
    twin = getattr(torch.optim, name)(theirs, lr=1.0)
    twin.load_state_dict({"state": state, "param_groups": copy.deepcopy(saved["param_groups"])})
    twin.step(closure_of(torch, theirs, twin))
    ours = optimizer.param_groups[0]["params"]
    optimizer.step(closure_of(picograd, ours, optimizer))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6, atol=1e-7)


ERRORS = [
    lambda m, w: m.optim.SGD(w, lr=-1),
    lambda m, w: m.optim.SGD(w, momentum=-1),
    lambda m, w: m.optim.SGD(w, nesterov=True),
    lambda m, w: m.optim.Adam(w, betas=(1.0, 0.9)),
    lambda m, w: m.optim.Adam(w, eps=-1),
    lambda m, w: m.optim.Adadelta(w, rho=2),
    lambda m, w: m.optim.NAdam(w, momentum_decay=-1),
    lambda m, w: m.optim.Rprop(w, etas=(1.5, 2)),
    lambda m, w: m.optim.Adagrad(w, lr_decay=-1),
    lambda m, w: m.optim.LBFGS([{"params": w[:1]}, {"params": w[1:]}]),
    lambda m, w: m.optim.SGD([{"params": set(w)}]),
    lambda m, w: m.optim.SGD([w[0] * 2]),
    lambda m, w: m.optim.SGD([1]),
    lambda m, w: m.optim.SGD([]),
    lambda m, w: m.optim.SGD([{"params": w}, {"params": w[:1]}]),
    lambda m, w: m.optim.SGD([("a", w[0]), w[1]]),
    lambda m, w: m.optim.SGD(w).load_state_dict({"state": {}, "param_groups": []}),
    lambda m, w: m.optim.SGD(w).load_state_dict({"state": {}, "param_groups": [{"params": []}]}),
    lambda m, w: m.optim.LBFGS(w, line_search_fn="x").step(closure_of(m, w, m.optim.SGD(w))),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_errors(case):
    raised = []
    for module in (picograd, torch):
        with pytest.raises(Exception) as caught:
            ERRORS[case](module, weights(module))
        raised.append((caught.type, str(caught.value)))
    assert raised[0] == raised[1]


def test_an_optimizer_of_ones_own_and_hooks():
    class Sign(picograd.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        @picograd.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["count"] = self.state[p].get("count", 0) + 1
                    p.add_(p.grad.sign(), alpha=-group["lr"])

    w = picograd.tensor([1.0, -1.0], requires_grad=True)
    optimizer = Sign([w], lr=0.25)
    seen = []
    optimizer.register_step_pre_hook(lambda *a: seen.append("before"))
    after = optimizer.register_step_post_hook(lambda *a: seen.append("after"))
    for _ in range(2):
        (w * w).sum().backward()
        optimizer.step()
        after.remove()
    assert w.tolist() == [0.5, -0.5] and seen == ["before", "after", "before"]
    copied = pickle.loads(pickle.dumps(optimizer.state_dict()))
    assert copied["state"] == {0: {"count": 2}}


def test_named_parameters():
    w = weights(picograd)
    optimizer = picograd.optim.SGD([("a", w[0]), ("b", w[1])], lr=0.1)
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]
    with pytest.raises(ValueError, match="without names"):
        optimizer.add_param_group({"params": picograd.ones(1)})
