"""What all training steps share: parameters by name, the step in PyTorch's words, and in JAX's.

In: a model, its parameters' shapes, and its loss. Out: a `Workload` whose step is forward,
backward and an optimiser's update, and whose result is the loss. Several losses in a row are
compared with float64, so that a wrong gradient or update shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workloads.base import Arrays, Step, Tensors, Workload, Wrap

PARAMETER = "parameter "  # how their arrays are named, apart from the data's


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A model and how it learns; `loss` and `jax_loss` get the data as they are named."""

    name: str
    data: Callable[[np.random.Generator], Arrays]
    shapes: Mapping[str, tuple[int, ...]]  # of the parameters, by PyTorch's names
    build: Callable[[Any], Any]  # torch -> module
    loss: Callable[..., Any]  # (torch, model, **data)
    jax_loss: Callable[..., Any]  # (jax, parameters, **data)
    flops: float
    adam: bool = True
    rate: float = 1e-3
    decay: float = 0.0
    clip: float | None = None
    checked: int = 3


def workload(learner: Learner) -> Workload:
    weights = sum(float(np.prod(shape)) for shape in learner.shapes.values())
    states = 2 if learner.adam else 1
    return Workload(
        family="training",
        name=learner.name,
        inputs=lambda rng: learner.data(rng) | parameters(learner.shapes, rng),
        program=lambda torch, tensors, wrap: _torch_step(learner, torch, tensors, wrap),
        jax=lambda jax, arrays: _jax_step(learner, jax, arrays),
        flops=learner.flops,
        # The weights are read twice, gradients written and read, and all states read and written.
        bytes=4.0 * weights * (5 + 2 * states),
        tolerance=1e-4,
        checked=learner.checked,
        compiles=True,
    )


def parameters(shapes: Mapping[str, tuple[int, ...]], rng: np.random.Generator) -> Arrays:
    """Initial weights: ones for the scales of norms, zero biases, the rest random by fan-in."""
    arrays = {}
    for name, shape in shapes.items():
        if len(shape) > 1:
            scale = np.float32(0.02 if "embed" in name else np.prod(shape[1:]) ** -0.5)
            array = rng.standard_normal(shape, dtype=np.float32) * scale
        else:
            array = (np.ones if name.endswith("norm.weight") else np.zeros)(shape, np.float32)
        arrays[PARAMETER + name] = array
    return arrays


def _torch_step(learner: Learner, torch: Any, tensors: Tensors, wrap: Wrap) -> Step:
    model = learner.build(torch)
    data = {name: value for name, value in tensors.items() if not name.startswith(PARAMETER)}
    weights = {
        name.removeprefix(PARAMETER): value
        for name, value in tensors.items()
        if name.startswith(PARAMETER)
    }
    sample = next(iter(weights.values()))
    model.to(sample.device, sample.dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights.pop(name))
    if weights:
        raise KeyError(f"{learner.name}: the model has no parameters {sorted(weights)}")
    if learner.adam:
        kind = torch.optim.AdamW if learner.decay else torch.optim.Adam
        # A GPU can replay the steps of an optimiser that counts them there.
        replayed = sample.is_cuda and torch.__name__ == "torch"
        chosen = {"weight_decay": learner.decay, "fused": True, "capturable": replayed}
        optimizer = kind(model.parameters(), lr=learner.rate, **chosen)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=learner.rate, momentum=0.9, fused=True)
    wrapped, objective, clip = wrap(model), learner.loss, learner.clip

    def update(**data: Any) -> Any:
        loss = objective(torch, wrapped, **data)
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        return loss

    # picograd's `compile` takes a whole step; PyTorch's takes no backward: it got the model.
    made = torch.compile(update) if torch.__name__ == "picograd" else update
    on_host = not sample.is_cuda

    def step() -> Any:
        loss = made(**data)
        return loss.item() if on_host else loss.detach()  # nobody waits for a GPU

    return step


def _jax_step(learner: Learner, jax: Any, arrays: Arrays) -> Step:
    """The same step as one jitted function that gives its old weights' memory away."""
    np = jax.numpy
    data = {name: np.asarray(a) for name, a in arrays.items() if not name.startswith(PARAMETER)}
    weights = {
        name.removeprefix(PARAMETER): np.asarray(a)
        for name, a in arrays.items()
        if name.startswith(PARAMETER)
    }

    def loss_of(weights: Any, data: Any) -> Any:
        return learner.jax_loss(jax, weights, **data)

    def update(state: Any, data: Any) -> Any:
        weights, first, second, t = state
        loss, gradients = jax.value_and_grad(loss_of)(weights, data)
        if learner.clip is not None:
            total = sum((g * g).sum() for g in gradients.values()) ** 0.5
            factor = np.minimum(learner.clip / (total + 1e-6), 1.0)
            gradients = {name: g * factor for name, g in gradients.items()}
        rule = _adam if learner.adam else _momentum
        found = {
            name: rule(learner, np, weights[name], g, first[name], second[name], t + 1)
            for name, g in gradients.items()
        }
        return loss, (*({n: f[i] for n, f in found.items()} for i in range(3)), t + 1)

    compiled = jax.jit(update, donate_argnums=0)
    # A buffer of its own for each: donated memory can't be given away twice.
    zeros = [{name: np.zeros_like(w) for name, w in weights.items()} for _ in range(2)]
    state = [(weights, *zeros, np.zeros((), np.float32))]

    def step() -> float:
        loss, state[0] = compiled(state[0], data)
        jax.block_until_ready(state[0])
        return float(loss)

    return step


def _adam(learner: Learner, np: Any, w: Any, g: Any, m: Any, v: Any, t: Any) -> Any:
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    w = w * (1 - learner.rate * learner.decay)
    size = learner.rate / (1 - 0.9**t)
    return w - size * m / (np.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v


def _momentum(learner: Learner, np: Any, w: Any, g: Any, m: Any, v: Any, t: Any) -> Any:
    m = 0.9 * m + g
    return w - learner.rate * m, m, v
