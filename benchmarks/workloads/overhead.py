"""Programs whose arithmetic is nothing: what a call costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from workloads.base import Arrays, Step, Tensors, Workload, Wrap, computation, normal

LENGTH = 100


def _hundred(x: Any, w: Any) -> Any:
    for _ in range(LENGTH):
        x = x @ w
    return x


def _inputs(rng: np.random.Generator) -> Arrays:
    arrays = normal(x=(8, 8), w=(8, 8))(rng)
    arrays["w"] /= np.linalg.norm(arrays["w"], 2)  # the products stay finite
    return arrays


def _compiled(torch: Any, tensors: Tensors, wrap: Wrap) -> Step:
    """The products through picograd's own `compile`; torch's is a peer of its own."""
    compile_it = torch.compile if torch.__name__ == "picograd" else wrap
    function = compile_it(_hundred)
    return lambda: function(tensors["x"], tensors["w"])


def ladder(tiny: bool = False) -> list[Workload]:
    hundred = computation(
        *("overhead", f"{LENGTH} tiny products, compiled", _inputs),
        lambda torch, x, w: _hundred(x, w),
        numpy=_hundred,
        jax=lambda jax, x, w: _hundred(x, w),
        flops=LENGTH * 2.0 * 8**3,
        tolerance=1e-4,
        compiles=True,
    )
    return [
        computation(
            *("overhead", "1 tiny kernel", normal(x=(4, 4)), lambda torch, x: x + 1),
            numpy=lambda x: x + 1,
            jax=lambda jax, x: x + 1,
        ),
        replace(hundred, program=_compiled),
    ]
