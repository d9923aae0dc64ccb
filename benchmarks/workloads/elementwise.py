"""Elementwise functions and chains of them on 16 million elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from workloads.base import Arrays, Workload, computation, normal, sizes


def elementwise(
    name: str,
    size: int,
    function: Callable[..., Any],
    jax: Callable[..., Any] | None,
    *names: str,
    flops: float = 1.0,
    **described: Any,
) -> Workload:
    """A function of arrays of equal size, read once and written once."""
    shape = (size, 4096)
    inputs = described.pop("inputs", normal(**dict.fromkeys(names or ("x",), shape)))
    return computation(
        "elementwise",
        name,
        inputs,
        function,
        jax=jax,
        flops=flops * math.prod(shape),
        bytes=4.0 * math.prod(shape) * (len(names or "x") + 1),
        **described,
    )


def _chain(x: Any, relu: Any, root: Any, clip: Any) -> Any:
    """Eight operations; each library's own relu, root and clip."""
    return clip(root(relu(x * 2 + 1) * x + abs(x)), 3)


def _clip(module: Any) -> Callable[[Any, float], Any]:
    return lambda x, high: module.clip(x, 0, high)


def _integers(size: int) -> Callable[[np.random.Generator], Arrays]:
    return lambda rng: {"x": rng.integers(-999, 999, (size, 4096), dtype=np.int32)}


def ladder(tiny: bool = False) -> list[Workload]:
    n = sizes(tiny)(4096)

    def chain(torch: Any, x: Any) -> Any:
        return _chain(x, torch.relu, lambda v: v.abs().sqrt(), _clip(torch))

    def jax_chain(jax: Any, x: Any) -> Any:
        np = jax.numpy
        return _chain(x, jax.nn.relu, lambda v: np.sqrt(abs(v)), _clip(np))

    def silu_gate(torch: Any, a: Any, b: Any) -> Any:
        return torch.nn.functional.silu(a) * b

    return [
        elementwise(
            *("add 1", n, lambda torch, x: x + 1, lambda jax, x: x + 1),
            numpy=lambda x: x + 1,
            tinygrad=lambda x: x + 1,
            out=lambda torch, out, x: torch.add(x, 1, out=out),
        ),
        elementwise(
            *("a + b", n, lambda torch, a, b: a + b, lambda jax, a, b: a + b, "a", "b"),
            numpy=lambda a, b: a + b,
            tinygrad=lambda a, b: a + b,
            out=lambda torch, out, a, b: torch.add(a, b, out=out),
        ),
        elementwise(
            *("exp", n, lambda torch, x: x.exp(), lambda jax, x: jax.numpy.exp(x)),
            numpy=lambda x: np.exp(x),
            tinygrad=lambda x: x.exp(),
            out=lambda torch, out, x: torch.exp(x, out=out),
            flops=12,
        ),
        elementwise(
            *("tanh", n, lambda torch, x: x.tanh(), lambda jax, x: jax.numpy.tanh(x)),
            numpy=lambda x: np.tanh(x),
            tinygrad=lambda x: x.tanh(),
            out=lambda torch, out, x: torch.tanh(x, out=out),
            flops=20,
        ),
        elementwise(
            *("sin", n, lambda torch, x: x.sin(), lambda jax, x: jax.numpy.sin(x)),
            numpy=lambda x: np.sin(x),
            out=lambda torch, out, x: torch.sin(x, out=out),
            flops=20,
        ),
        elementwise(
            *("log1p(x * x)", n, lambda torch, x: (x * x).log1p()),
            lambda jax, x: jax.numpy.log1p(x * x),
            flops=15,
        ),
        elementwise(
            *("gelu", n, lambda torch, x: torch.nn.functional.gelu(x)),
            lambda jax, x: jax.nn.gelu(x, approximate=False),
            tinygrad=lambda x: x * 0.5 * (1 + (x * 0.5**0.5).erf()),
            flops=20,
            compiles=True,
        ),
        elementwise(
            *("gelu, backward", n, lambda torch, x: torch.nn.functional.gelu(x)),
            lambda jax, x: jax.nn.gelu(x, approximate=False),
            inputs=normal(x=(n, 4096), upstream=(n, 4096)),
            gradients=("x",),
            flops=30,
        ),
        elementwise(
            *("silu(a) * b", n, silu_gate, lambda jax, a, b: jax.nn.silu(a) * b, "a", "b"),
            flops=16,
            compiles=True,
        ),
        elementwise(*("chain of 8", n, chain, jax_chain), flops=8, compiles=True),
        elementwise(
            *("where(a > b, a, b / 2)", n),
            lambda torch, a, b: torch.where(a > b, a, b / 2),
            lambda jax, a, b: jax.numpy.where(a > b, a, b / 2),
            *("a", "b"),
            numpy=lambda a, b: np.where(a > b, a, b / 2),
        ),
        elementwise(
            *("int32 x * 3 % 7", n, lambda torch, x: x * 3 % 7, lambda jax, x: x * 3 % 7),
            inputs=_integers(n),
            numpy=lambda x: x * 3 % 7,
            dtype="int32",
        ),
        elementwise(
            *("float32 -> bfloat16", n, lambda torch, x: x.to(torch.bfloat16)),
            lambda jax, x: x.astype(jax.numpy.bfloat16),
            tolerance=4e-3,
        ),
    ]
