"""Training steps of GPTs: a character-level one, and GPT-2 with its 124 million weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workloads.base import Arrays
from workloads.learning import Learner


@dataclass(frozen=True)
class Shape:
    """What makes one GPT differ from another."""

    vocabulary: int
    context: int
    layers: int
    heads: int
    width: int
    batch: int
    length: int


def build(torch: Any, shape: Shape) -> Any:
    """The usual model (Radford et al. 2019): pre-norm blocks, and a head tied to the embedding."""
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width = shape.width
            self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
            self.heads = nn.Linear(width, 3 * width)
            self.join = nn.Linear(width, width)
            self.wide = nn.Linear(width, 4 * width)
            self.narrow = nn.Linear(4 * width, width)

        def attend(self, x: Any) -> Any:
            n, t, c = x.shape
            q, k, v = (
                part.view(n, t, shape.heads, c // shape.heads).transpose(1, 2)
                for part in self.heads(x).split(c, dim=2)
            )
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.join(y.transpose(1, 2).reshape(n, t, c))

        def forward(self, x: Any) -> Any:
            x = x + self.attend(self.first_norm(x))
            return x + self.narrow(functional.gelu(self.wide(self.second_norm(x))))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(shape.vocabulary, shape.width)
            self.embed_place = nn.Embedding(shape.context, shape.width)
            self.blocks = nn.ModuleList([Block() for _ in range(shape.layers)])
            self.last_norm = nn.LayerNorm(shape.width)

        def forward(self, x: Any) -> Any:
            places = torch.arange(x.shape[1], device=x.device)
            x = self.embed(x) + self.embed_place(places)
            for block in self.blocks:
                x = block(x)
            return functional.linear(self.last_norm(x), self.embed.weight)

    return GPT()


def parameter_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    width = shape.width
    shapes: dict[str, tuple[int, ...]] = {
        "embed.weight": (shape.vocabulary, width),
        "embed_place.weight": (shape.context, width),
        "last_norm.weight": (width,),
        "last_norm.bias": (width,),
    }
    layers = {"heads": (3, 1), "join": (1, 1), "wide": (4, 1), "narrow": (1, 4)}
    for number in range(shape.layers):
        for name, (outer, inner) in layers.items():
            shapes[f"blocks.{number}.{name}.weight"] = (outer * width, inner * width)
            shapes[f"blocks.{number}.{name}.bias"] = (outer * width,)
        for name in ("first_norm", "second_norm"):
            shapes[f"blocks.{number}.{name}.weight"] = (width,)
            shapes[f"blocks.{number}.{name}.bias"] = (width,)
    return shapes


def jax_logits(jax: Any, shape: Shape, p: Any, x: Any) -> Any:
    """The same model as a function of its parameters."""

    def linear(x: Any, name: str) -> Any:
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def norm(x: Any, name: str) -> Any:
        x = x - x.mean(-1, keepdims=True)
        x = x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5)
        return x * p[f"{name}.weight"] + p[f"{name}.bias"]

    n, t = x.shape
    x = p["embed.weight"][x] + p["embed_place.weight"][:t]
    for number in range(shape.layers):
        block = f"blocks.{number}"
        parts = linear(norm(x, f"{block}.first_norm"), f"{block}.heads")
        q, k, v = (
            part.reshape(n, t, shape.heads, -1) for part in jax.numpy.split(parts, 3, axis=2)
        )
        y = jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(n, t, shape.width)
        x = x + linear(y, f"{block}.join")
        wide = linear(norm(x, f"{block}.second_norm"), f"{block}.wide")
        x = x + linear(jax.nn.gelu(wide, approximate=False), f"{block}.narrow")
    return norm(x, "last_norm") @ p["embed.weight"].T


def learner(name: str, shape: Shape, checked: int = 3) -> Learner:
    vocabulary, batch, length = shape.vocabulary, shape.batch, shape.length

    def data(rng: np.random.Generator) -> Arrays:
        text = rng.integers(0, vocabulary, (batch, length + 1))
        return {"x": text[:, :-1].copy(), "y": text[:, 1:].copy()}

    def loss(torch: Any, model: Any, x: Any, y: Any) -> Any:
        return torch.nn.functional.cross_entropy(model(x).reshape(-1, vocabulary), y.reshape(-1))

    def jax_loss(jax: Any, p: Any, x: Any, y: Any) -> Any:
        scores = jax.nn.log_softmax(jax_logits(jax, shape, p, x))
        return -jax.numpy.take_along_axis(scores, y[..., None], -1).mean()

    weights = 12 * shape.layers * shape.width**2 + vocabulary * shape.width
    return Learner(
        name=f"{name}, {shape.layers} x {shape.width}, {batch} x {length}, AdamW",
        data=data,
        shapes=parameter_shapes(shape),
        build=lambda torch: build(torch, shape),
        loss=loss,
        jax_loss=jax_loss,
        flops=6.0 * batch * length * (weights + shape.layers * shape.width * length),
        decay=0.1,
        clip=1.0,
        checked=checked,
    )


def learners(tiny: bool) -> list[Learner]:
    if tiny:
        return [learner("GPT", Shape(11, 8, 2, 2, 8, 2, 4))]
    return [
        learner("char-GPT", Shape(65, 64, 4, 4, 128, 12, 64)),
        learner("GPT-2 small", Shape(50257, 1024, 12, 12, 768, 2, 64), checked=2),
    ]
