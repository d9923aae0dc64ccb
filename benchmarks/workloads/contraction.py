"""Matrix products: square, skinny, batched, transposed, in other types, and with what follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workloads.base import Workload, computation, count, normal, sizes

_WIDTH = {"float64": 8, "float32": 4, "int32": 4, "bfloat16": 2}
_TOLERANCE = {"bfloat16": 1e-2, "float64": 1e-12}


def product(
    name: str, a: Sequence[int], b: Sequence[int], dtype: str = "float32", tf32: bool = False
) -> Workload:
    """One `a @ b`, batched where the shapes have more than two axes."""
    rows = tuple(a[:-1])
    result = rows + ((b[-1],) if len(b) > 1 else ())
    plain = dtype in ("float32", "float64")

    def inputs(rng: np.random.Generator) -> dict[str, np.ndarray]:
        if dtype == "int32":
            return {n: rng.integers(-9, 9, s, dtype=np.int32) for n, s in (("a", a), ("b", b))}
        return normal(a=a, b=b)(rng)

    return computation(
        "contraction",
        name,
        inputs,
        lambda torch, a, b: a @ b,
        numpy=(lambda a, b: a @ b) if plain else None,
        jax=(lambda jax, a, b: a @ b) if plain else None,
        tinygrad=(lambda a, b: a @ b) if dtype == "float32" else None,
        flops=2.0 * np.prod(result) * a[-1],
        bytes=count(a, b, result, width=_WIDTH[dtype]),
        dtype=dtype,
        tolerance=2e-3 if tf32 else _TOLERANCE.get(dtype, 2e-5),
        tf32=tf32,
    )


def transposed(name: str, size: int, first: bool, second: bool) -> Workload:
    """A product whose operands lie in memory the other way round."""

    def turned(x: Any, turn: bool) -> Any:
        return x.T if turn else x

    return computation(
        "contraction",
        name,
        normal(a=(size, size), b=(size, size)),
        lambda torch, a, b: turned(a, first) @ turned(b, second),
        numpy=lambda a, b: turned(a, first) @ turned(b, second),
        jax=lambda jax, a, b: turned(a, first) @ turned(b, second),
        tinygrad=lambda a, b: turned(a, first) @ turned(b, second),
        flops=2.0 * size**3,
        bytes=12.0 * size**2,
    )


def linear(name: str, rows: int, fan_in: int, fan_out: int) -> Workload:
    """A layer without bias: the weight lies transposed, and must be read whole."""
    return computation(
        "contraction",
        name,
        normal(x=(rows, fan_in), w=(fan_out, fan_in)),
        lambda torch, x, w: torch.nn.functional.linear(x, w),
        numpy=lambda x, w: x @ w.T,
        jax=lambda jax, x, w: x @ w.T,
        tinygrad=lambda x, w: x @ w.T,
        flops=2.0 * rows * fan_in * fan_out,
        bytes=count((rows, fan_in), (fan_out, fan_in), (rows, fan_out)),
    )


def linear_gelu(name: str, rows: int, fan_in: int, fan_out: int, backward: bool) -> Workload:
    """A layer with bias and exact gelu; `backward`: and the gradients of all three inputs."""
    shapes = {"x": (rows, fan_in), "w": (fan_out, fan_in), "b": (fan_out,)}
    result = (rows, fan_out)
    return computation(
        "contraction",
        name,
        normal(**shapes, **({"upstream": result} if backward else {})),
        lambda torch, x, w, b: torch.nn.functional.gelu(torch.nn.functional.linear(x, w, b)),
        gradients=tuple(shapes) if backward else (),
        jax=lambda jax, x, w, b: jax.nn.gelu(x @ w.T + b, approximate=False),
        tinygrad=None if backward else lambda x, w, b: _gelu(x @ w.T + b),
        flops=(6.0 if backward else 2.0) * rows * fan_in * fan_out,
        bytes=count(*shapes.values(), result) * (3 if backward else 1),
        tolerance=5e-5,
        compiles=True,
    )


def _gelu(x: Any) -> Any:
    return x * 0.5 * (1 + (x * 0.5**0.5).erf())


def einsum(name: str, batch: int, heads: int, length: int, width: int) -> Workload:
    """Scores of attention, written as an einsum whose batch axes are not in front."""
    shape = (batch, length, heads, width)
    equation = "bqhd,bkhd->bhqk"
    return computation(
        "contraction",
        name,
        normal(q=shape, k=shape),
        lambda torch, q, k: torch.einsum(equation, q, k),
        numpy=lambda q, k: np.einsum(equation, q, k, optimize=True),
        jax=lambda jax, q, k: jax.numpy.einsum(equation, q, k),
        flops=2.0 * batch * heads * length**2 * width,
        bytes=count(shape, shape, (batch, heads, length, length)),
    )


def ladder(tiny: bool = False) -> list[Workload]:
    n = sizes(tiny)

    def pair(a: Sequence[int], b: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return tuple(n(length) for length in a), tuple(n(length) for length in b)

    squares = [
        product(f"matmul {size}", (n(size), n(size)), (n(size), n(size)))
        for size in (64, 128, 256, 512, 1024, 2048, 4096)
    ]
    skinny = [
        product(f"matmul {r}x{k} @ {k}x{c}", *pair((r, k), (k, c)))
        for r, k, c in (
            *((1, 4096, 4096), (8, 4096, 4096), (64, 4096, 4096)),
            *((4096, 64, 4096), (4096, 4096, 8), (16, 4096, 1024)),
        )
    ]
    batched = [
        product(f"matmul {b} of {size}", *pair((b, size, size), (b, size, size)))
        for b, size in ((64, 128), (1024, 32), (4096, 8))
    ]
    return [
        *squares,
        *skinny,
        product("matrix @ vector 4096", *pair((4096, 4096), (4096,))),
        linear("linear 1x4096 -> 4096", 1, n(4096), n(4096)),
        linear("linear 64x4096 -> 4096", n(64), n(4096), n(4096)),
        *batched,
        transposed("matmul 1024, A.T @ B", n(1024), True, False),
        transposed("matmul 1024, A.T @ B.T", n(1024), True, True),
        product("matmul 1024 float64", *pair((1024, 1024), (1024, 1024)), "float64"),
        product("matmul 1024 bfloat16", *pair((1024, 1024), (1024, 1024)), "bfloat16"),
        product("matmul 512 int32", *pair((512, 512), (512, 512)), "int32"),
        einsum("einsum bqhd,bkhd->bhqk", n(8), n(8), n(512), n(64)),
        linear_gelu("linear+bias+gelu", n(1024), n(1024), n(4096), False),
        linear_gelu("linear+bias+gelu, backward", n(1024), n(1024), n(4096), True),
    ]
