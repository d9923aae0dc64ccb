"""Reductions along rows, columns, the middle and everything, and running sums."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from workloads.base import Workload, computation, normal, sizes


def reduction(
    name: str,
    shape: tuple[int, ...],
    result: tuple[int, ...],
    function: Callable[[Any, Any], Any],
    both: Callable[[Any, Any], Any] | None,
    *,
    tinygrad: Callable[[Any], Any] | None = None,
    out: Callable[..., Any] | None = None,
) -> Workload:
    """A function of one array; `both` says it with NumPy or `jax.numpy`, whichever it is given."""
    return computation(
        "reduction",
        name,
        normal(x=shape),
        function,
        numpy=None if both is None else lambda x: both(np, x),
        jax=None if both is None else lambda jax, x: both(jax.numpy, x),
        tinygrad=tinygrad,
        out=out,
        flops=float(prod(shape)),
        bytes=4.0 * (prod(shape) + prod(result)),
        tolerance=1e-4,  # of sums of 16 million numbers that cancel
    )


def ladder(tiny: bool = False) -> list[Workload]:
    n = sizes(tiny)
    side = n(4096)
    square, row = (side, side), (side,)
    block, inner = (n(64), n(256), n(1024)), (n(64), n(1024))

    def flat(x: Any) -> Any:
        return x.reshape(-1)

    return [
        reduction(
            *("sum of all", square, (), lambda torch, x: x.sum(), lambda np, x: x.sum()),
            tinygrad=lambda x: x.sum(),
        ),
        reduction(
            *("sum of rows", square, row, lambda torch, x: x.sum(1), lambda np, x: x.sum(1)),
            tinygrad=lambda x: x.sum(1),
        ),
        reduction(
            *("sum of columns", square, row, lambda torch, x: x.sum(0), lambda np, x: x.sum(0)),
            tinygrad=lambda x: x.sum(0),
        ),
        reduction(
            *("sum of the middle", block, inner),
            lambda torch, x: x.sum(1),
            lambda np, x: x.sum(1),
        ),
        reduction(
            *("sum of first and last", block, (n(256),)),
            lambda torch, x: x.sum((0, 2)),
            lambda np, x: x.sum((0, 2)),
        ),
        reduction(
            "max of rows", square, row, lambda torch, x: x.max(1).values, lambda np, x: x.max(1)
        ),
        reduction(
            *("argmax of rows", square, row),
            lambda torch, x: x.argmax(1),
            lambda np, x: x.argmax(1),
        ),
        reduction(
            *("argmax of columns", square, row),
            lambda torch, x: x.argmax(0),
            lambda np, x: x.argmax(0),
        ),
        reduction(
            "variance of all", square, (), lambda torch, x: x.var(), lambda np, x: x.var(ddof=1)
        ),
        reduction(
            *("norm of rows", square, row),
            lambda torch, x: torch.linalg.vector_norm(x, dim=1),
            lambda np, x: np.linalg.norm(x, axis=1),
        ),
        reduction(
            *("logsumexp of rows", square, row),
            lambda torch, x: x.logsumexp(1),
            lambda np, x: np.log(np.exp(x).sum(1)),
        ),
        reduction(
            *("cumsum of rows", square, square),
            lambda torch, x: x.cumsum(1),
            lambda np, x: np.cumsum(x, 1),
            out=lambda torch, out, x: torch.cumsum(x, 1, out=out),
        ),
        reduction(
            *("cumsum of columns", square, square),
            lambda torch, x: x.cumsum(0),
            lambda np, x: np.cumsum(x, 0),
        ),
        reduction(
            *("cumsum of 16M", square, square),
            lambda torch, x: flat(x).cumsum(0),
            lambda np, x: np.cumsum(flat(x)),
        ),
        reduction("cummax of rows", square, square, lambda torch, x: x.cummax(1).values, None),
        reduction(
            *("logcumsumexp of rows", (n(1024), n(1024)), (n(1024), n(1024))),
            lambda torch, x: x.logcumsumexp(1),
            None,
        ),
    ]
