"""Values that change their places: transposes, gather, scatter, embedding, sort, topk."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from workloads.base import Arrays, Workload, computation, normal, sizes


def moved(
    name: str,
    inputs: Callable[[np.random.Generator], Arrays],
    function: Callable[..., Any],
    elements: int,
    **described: Any,
) -> Workload:
    """A function that computes nothing: `elements` are read or written at least."""
    return computation("movement", name, inputs, function, bytes=4.0 * elements, **described)


def indexed(
    values: tuple[int, ...],
    indices: tuple[int, ...],
    limit: int,
    *more: tuple[str, tuple[int, ...]],
) -> Callable[[np.random.Generator], Arrays]:
    """Normal values `x`, indices `i` below a limit, and further normal arrays."""
    return lambda rng: {
        **normal(x=values, **dict(more))(rng),
        "i": rng.integers(0, limit, indices),
    }


def _places(tiny: bool) -> list[Workload]:
    n = sizes(tiny)
    square, flat = (n(4096), n(1024)), n(1 << 20)
    words, width, lookups = n(50000), n(512), (n(32), n(512))
    found = (*lookups, width)
    return [
        moved(
            *("gather", indexed(square, square, square[1])),
            lambda torch, x, i: x.gather(1, i),
            4 * prod(square),
            numpy=lambda x, i: np.take_along_axis(x, i, 1),
            jax=lambda jax, x, i: jax.numpy.take_along_axis(x, i, 1),
        ),
        moved(
            *("scatter_add", indexed(square, square, square[1])),
            lambda torch, x, i: torch.zeros_like(x).scatter_add(1, i, x),
            4 * prod(square),
        ),
        moved(
            *("index_add 1M to 1000", indexed((flat,), (flat,), 1000)),
            lambda torch, x, i: torch.zeros(1000, dtype=x.dtype).index_add(0, i, x),
            3 * flat,
            numpy=lambda x, i: np.bincount(i, x, 1000),
            jax=lambda jax, x, i: jax.numpy.zeros(1000).at[i].add(x),
            tolerance=1e-4,
        ),
        moved(
            *("rows by index", indexed((n(16384), n(512)), (n(16384),), n(16384))),
            lambda torch, x, i: x[i],
            2 * n(16384) * n(512),
            numpy=lambda x, i: x[i],
            jax=lambda jax, x, i: x[i],
        ),
        moved(
            *("embedding", indexed((words, width), lookups, words)),
            lambda torch, x, i: torch.nn.functional.embedding(i, x),
            2 * prod(found),
            numpy=lambda x, i: x[i],
            jax=lambda jax, x, i: x[i],
            tinygrad=lambda x, i: x[i],
        ),
        moved(
            *("embedding, backward", indexed((words, width), lookups, words, ("upstream", found))),
            lambda torch, x, i: torch.nn.functional.embedding(i, x),
            prod(found) + words * width,
            gradients=("x",),
            jax=lambda jax, x, i: x[i],
        ),
    ]


def _orders(tiny: bool) -> list[Workload]:
    n = sizes(tiny)
    table, flat = (n(4096), n(1024)), (n(1 << 20),)
    k = min(50, n(1024) // 2)
    return [
        moved(
            *("sort rows of 1024", normal(x=table), lambda torch, x: x.sort(-1).values),
            2 * prod(table),
            numpy=lambda x: np.sort(x, -1),
            jax=lambda jax, x: jax.numpy.sort(x, -1),
        ),
        moved(
            *("sort 1M", normal(x=flat), lambda torch, x: x.sort().values),
            2 * prod(flat),
            numpy=lambda x: np.sort(x),
            jax=lambda jax, x: jax.numpy.sort(x),
        ),
        moved(
            *("argsort 1M", normal(x=flat), lambda torch, x: x.argsort(stable=True)),
            3 * prod(flat),
            numpy=lambda x: np.argsort(x, kind="stable"),
            jax=lambda jax, x: jax.numpy.argsort(x),
        ),
        moved(
            *("topk 50, rows of 1024", normal(x=table), lambda torch, x: x.topk(k).values),
            prod(table),
            jax=lambda jax, x: jax.lax.top_k(x, k)[0],
        ),
    ]


def _views(tiny: bool) -> list[Workload]:
    n = sizes(tiny)
    square, image = (n(4096), n(4096)), (n(64), n(64), n(64), n(64))
    return [
        moved(
            *("transpose", normal(x=square), lambda torch, x: x.T.contiguous()),
            2 * prod(square),
            numpy=lambda x: np.ascontiguousarray(x.T),
            jax=lambda jax, x: x.T + 0,
            tinygrad=lambda x: x.T.contiguous(),
        ),
        moved(
            *("channels to the end", normal(x=image)),
            lambda torch, x: x.permute(0, 2, 3, 1).contiguous(),
            2 * prod(image),
            numpy=lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)),
            jax=lambda jax, x: x.transpose(0, 2, 3, 1) + 0,
        ),
        moved(
            *("cat of 4", normal(a=square, b=square), lambda torch, a, b: torch.cat([a, b, b, a])),
            6 * prod(square),
            numpy=lambda a, b: np.concatenate([a, b, b, a]),
            jax=lambda jax, a, b: jax.numpy.concatenate([a, b, b, a]),
        ),
        moved(
            *("roll and flip", normal(x=square)),
            lambda torch, x: x.roll(3, 1).flip(0),
            2 * prod(square),
            numpy=lambda x: np.flip(np.roll(x, 3, 1), 0).copy(),
            jax=lambda jax, x: jax.numpy.flip(jax.numpy.roll(x, 3, 1), 0),
        ),
    ]


def ladder(tiny: bool = False) -> list[Workload]:
    return [*_views(tiny), *_places(tiny), *_orders(tiny)]
