"""Training steps of small models: two MLPs, a convnet, an LSTM."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from workloads import language
from workloads.base import Arrays, Workload
from workloads.learning import Learner, workload


def mean_cross_entropy(jax: Any, logits: Any, y: Any) -> Any:
    """The loss of the JAX twins."""
    scores = jax.nn.log_softmax(logits)
    return -jax.numpy.take_along_axis(scores, y[..., None], -1).mean()


def mlp(batch: int, inner: int, hidden: int, classes: int) -> Learner:
    """Images of digits to classes: 784 -> 512 -> 10, batch 128, Adam."""

    def data(rng: np.random.Generator) -> Arrays:
        x = rng.standard_normal((batch, inner), dtype=np.float32)
        return {"x": x, "y": rng.integers(0, classes, batch)}

    def build(torch: Any) -> Any:
        nn = torch.nn
        return nn.Sequential(nn.Linear(inner, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def jax_loss(jax: Any, p: Any, x: Any, y: Any) -> Any:
        x = jax.nn.relu(x @ p["0.weight"].T + p["0.bias"])
        return mean_cross_entropy(jax, x @ p["2.weight"].T + p["2.bias"], y)

    weights = inner * hidden + hidden * classes
    return Learner(
        name=f"MLP {inner}-{hidden}-{classes}, batch {batch}, Adam",
        data=data,
        shapes={
            "0.weight": (hidden, inner),
            "0.bias": (hidden,),
            "2.weight": (classes, hidden),
            "2.bias": (classes,),
        },
        build=build,
        loss=lambda torch, model, x, y: torch.nn.functional.cross_entropy(model(x), y),
        jax_loss=jax_loss,
        flops=6.0 * batch * weights - 2.0 * batch * inner * hidden,
    )


def names(batch: int, context: int, width: int, hidden: int) -> Learner:
    """The next letter of a name from the three before it, as in `examples/names.py`."""
    vocabulary = 27
    layers = [(hidden, context * width), (hidden, hidden), (vocabulary, hidden)]

    def data(rng: np.random.Generator) -> Arrays:
        x = rng.integers(0, vocabulary, (batch, context))
        return {"x": x, "y": rng.integers(0, vocabulary, batch)}

    def build(torch: Any) -> Any:
        nn = torch.nn
        model = nn.Sequential()
        model.add_module("embed", nn.Embedding(vocabulary, width))
        model.add_module("flat", nn.Flatten())
        for number, (outer, inner) in enumerate(layers):
            if number:
                model.add_module(f"{number}tanh", nn.Tanh())
            model.add_module(f"{number}linear", nn.Linear(inner, outer))
        return model

    def jax_loss(jax: Any, p: Any, x: Any, y: Any) -> Any:
        x = p["embed.weight"][x].reshape(len(x), -1)
        for number in range(len(layers)):
            x = jax.numpy.tanh(x) if number else x
            x = x @ p[f"{number}linear.weight"].T + p[f"{number}linear.bias"]
        return mean_cross_entropy(jax, x, y)

    shapes: dict[str, tuple[int, ...]] = {"embed.weight": (vocabulary, width)}
    for number, shape in enumerate(layers):
        shapes |= {f"{number}linear.weight": shape, f"{number}linear.bias": shape[:1]}
    return Learner(
        name=f"names MLP {context * width}-{hidden}-{hidden}, batch {batch}, Adam",
        data=data,
        shapes=shapes,
        build=build,
        loss=lambda torch, model, x, y: torch.nn.functional.cross_entropy(model(x), y),
        jax_loss=jax_loss,
        flops=6.0 * batch * sum(a * b for a, b in layers),
    )


def convnet(batch: int, size: int, channels: tuple[int, ...]) -> Learner:
    """Three convolutions, each with batch norm, relu and pooling, and a linear head; SGD."""
    classes, ends = 10, (3, *channels)
    after = size >> len(channels)

    def data(rng: np.random.Generator) -> Arrays:
        x = rng.standard_normal((batch, 3, size, size), dtype=np.float32)
        return {"x": x, "y": rng.integers(0, classes, batch)}

    def build(torch: Any) -> Any:
        nn = torch.nn
        model = nn.Sequential()
        for number, (inner, outer) in enumerate(pairwise(ends)):
            model.add_module(f"{number}conv", nn.Conv2d(inner, outer, 3, padding=1, bias=False))
            model.add_module(f"{number}norm", nn.BatchNorm2d(outer))
            model.add_module(f"{number}relu", nn.ReLU())
            model.add_module(f"{number}pool", nn.MaxPool2d(2))
        model.add_module("flat", nn.Flatten())
        model.add_module("head", nn.Linear(ends[-1] * after**2, classes))
        return model

    def jax_loss(jax: Any, p: Any, x: Any, y: Any) -> Any:
        for number in range(len(channels)):
            x = jax.lax.conv_general_dilated(x, p[f"{number}conv.weight"], (1, 1), "SAME")
            x = x - x.mean((0, 2, 3), keepdims=True)
            x = x * ((x * x).mean((0, 2, 3), keepdims=True) + 1e-5) ** -0.5
            scale, shift = (p[f"{number}norm.{part}"] for part in ("weight", "bias"))
            x = jax.nn.relu(x * scale[:, None, None] + shift[:, None, None])
            window = (1, 1, 2, 2)
            x = jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, window, "VALID")
        logits = x.reshape(len(x), -1) @ p["head.weight"].T + p["head.bias"]
        return mean_cross_entropy(jax, logits, y)

    shapes: dict[str, tuple[int, ...]] = {}
    flops = 6.0 * batch * ends[-1] * after**2 * classes
    for number, (inner, outer) in enumerate(pairwise(ends)):
        shapes[f"{number}conv.weight"] = (outer, inner, 3, 3)
        shapes |= {f"{number}norm.weight": (outer,), f"{number}norm.bias": (outer,)}
        passes = 6.0 if number else 4.0  # the images need no gradient
        flops += passes * batch * 9 * inner * outer * (size >> number) ** 2
    shapes |= {"head.weight": (classes, ends[-1] * after**2), "head.bias": (classes,)}
    return Learner(
        name=f"convnet {'-'.join(map(str, channels))}, {size}x{size}, batch {batch}, SGD",
        data=data,
        shapes=shapes,
        build=build,
        loss=lambda torch, model, x, y: torch.nn.functional.cross_entropy(model(x), y),
        jax_loss=jax_loss,
        flops=flops,
        adam=False,
        rate=0.01,
    )


def lstm(batch: int, length: int, width: int, hidden: int) -> Learner:
    """The next character of a text from an LSTM; Adam with clipped gradients."""
    vocabulary = 65

    def data(rng: np.random.Generator) -> Arrays:
        text = rng.integers(0, vocabulary, (batch, length + 1))
        return {"x": text[:, :-1].copy(), "y": text[:, 1:].copy()}

    def build(torch: Any) -> Any:
        nn = torch.nn

        class Characters(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embed = nn.Embedding(vocabulary, width)
                self.lstm = nn.LSTM(width, hidden, batch_first=True)
                self.head = nn.Linear(hidden, vocabulary)

            def forward(self, x: Any) -> Any:
                return self.head(self.lstm(self.embed(x))[0])

        return Characters()

    def loss(torch: Any, model: Any, x: Any, y: Any) -> Any:
        return torch.nn.functional.cross_entropy(model(x).reshape(-1, vocabulary), y.reshape(-1))

    def jax_loss(jax: Any, p: Any, x: Any, y: Any) -> Any:
        np = jax.numpy
        into = p["embed.weight"][x] @ p["lstm.weight_ih_l0"].T
        into = (into + p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"]).swapaxes(0, 1)

        def cell(state: Any, now: Any) -> Any:
            h, c = state
            i, f, g, o = np.split(now + h @ p["lstm.weight_hh_l0"].T, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * np.tanh(g)
            h = jax.nn.sigmoid(o) * np.tanh(c)
            return (h, c), h

        zero = np.zeros((len(x), hidden), into.dtype)
        states = jax.lax.scan(cell, (zero, zero), into)[1].swapaxes(0, 1)
        return mean_cross_entropy(jax, states @ p["head.weight"].T + p["head.bias"], y)

    shapes = {
        "embed.weight": (vocabulary, width),
        "lstm.weight_ih_l0": (4 * hidden, width),
        "lstm.weight_hh_l0": (4 * hidden, hidden),
        "lstm.bias_ih_l0": (4 * hidden,),
        "lstm.bias_hh_l0": (4 * hidden,),
        "head.weight": (vocabulary, hidden),
        "head.bias": (vocabulary,),
    }
    return Learner(
        name=f"LSTM {hidden}, {length} steps, batch {batch}, Adam",
        data=data,
        shapes=shapes,
        build=build,
        loss=loss,
        jax_loss=jax_loss,
        flops=6.0 * batch * length * hidden * (4 * (width + hidden) + vocabulary),
        clip=1.0,
    )


def ladder(tiny: bool = False) -> list[Workload]:
    if tiny:
        learners = [mlp(4, 12, 8, 3), names(4, 3, 4, 8), convnet(2, 8, (4, 4)), lstm(2, 4, 3, 4)]
    else:
        learners = [
            mlp(128, 784, 512, 10),
            names(128, 3, 10, 200),
            convnet(64, 32, (32, 64, 128)),
            lstm(32, 64, 128, 256),
        ]
    return [workload(learner) for learner in (*learners, *language.learners(tiny))]
