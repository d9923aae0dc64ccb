"""Scaled dot-product attention: short and long sequences, causal or not, forward and backward."""

from __future__ import annotations

from typing import Any

from workloads.base import Workload, computation, count, normal, sizes


def attention(
    name: str,
    batch: int,
    heads: int,
    length: int,
    width: int,
    causal: bool,
    backward: bool,
    dtype: str = "float32",
) -> Workload:
    """One attention; `backward`: and the gradients of queries, keys and values.

    A causal one does half the work of a full one: what lies above the diagonal is not counted.
    """
    shape = (batch, heads, length, width)

    def function(torch: Any, q: Any, k: Any, v: Any) -> Any:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

    def jax_function(jax: Any, q: Any, k: Any, v: Any) -> Any:
        q, k, v = (jax.numpy.swapaxes(x, 1, 2) for x in (q, k, v))  # it wants heads third
        found = jax.nn.dot_product_attention(q, k, v, is_causal=causal)
        return jax.numpy.swapaxes(found, 1, 2)

    plain = dtype == "float32"
    pairs = batch * heads * (length * (length + 1) // 2 if causal else length**2)
    return computation(
        "attention",
        name,
        normal(q=shape, k=shape, v=shape, **({"upstream": shape} if backward else {})),
        function,
        gradients=("q", "k", "v") if backward else (),
        jax=jax_function if plain else None,
        tinygrad=None
        if backward or not plain
        else lambda q, k, v: q.scaled_dot_product_attention(k, v, is_causal=causal),
        flops=4.0 * pairs * width * (3.5 if backward else 1),
        bytes=count(shape, width=4 if plain else 2) * (8 if backward else 4),
        dtype=dtype,
        tolerance=2e-5 if plain else 2e-2,
    )


def ladder(tiny: bool = False) -> list[Workload]:
    n = sizes(tiny)
    rows = []
    for length in (128, 256, 1024, 2048, 4096):
        batch = 8 if length <= 256 else 1
        for causal in (True, False):
            for backward in (False, True):
                if backward and length not in (256, 1024):
                    continue
                name = (
                    f"attention B{batch} H8 T{length}{' causal' if causal else ''}"
                    f"{', backward' if backward else ''}"
                )
                width = max(n(64), 4)
                rows.append(attention(name, batch, n(8), n(length), width, causal, backward))
    return rows
