"""Programs whose arithmetic is nothing: what a call costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from workloads.base import Arrays, Step, Tensors, Workload, Wrap, computation, normal

LENGTH = 100


def _products(x: Any, w: Any, length: int) -> Any:
    for _ in range(length):
        x = x @ w
    return x


def _inputs(rng: np.random.Generator) -> Arrays:
    arrays = normal(x=(8, 8), w=(8, 8))(rng)
    arrays["w"] = np.linalg.qr(arrays["w"])[0]  # the products keep their size
    return arrays


def products(length: int) -> Workload:
    """A program of so many kernels."""

    def function(x: Any, w: Any) -> Any:
        return _products(x, w, length)

    def compiled(torch: Any, tensors: Tensors, wrap: Wrap) -> Step:
        """The products through picograd's own `compile`; torch's is a peer of its own."""
        compile_it = torch.compile if torch.__name__ == "picograd" else wrap
        made = compile_it(function)
        return lambda: made(tensors["x"], tensors["w"])

    described = computation(
        *("overhead", f"{length} tiny products, compiled", _inputs),
        lambda torch, x, w: function(x, w),
        numpy=function,
        jax=lambda jax, x, w: function(x, w),
        flops=length * 2.0 * 8**3,
        tolerance=1e-4,
        compiles=True,
        waits=True,
    )
    return replace(described, program=compiled)


def ladder(tiny: bool = False) -> list[Workload]:
    return [
        computation(
            *("overhead", "1 tiny kernel", normal(x=(4, 4)), lambda torch, x: x + 1),
            numpy=lambda x: x + 1,
            jax=lambda jax, x: x + 1,
        ),
        products(LENGTH),
    ]
