"""Convolutions of the shapes that residual and depthwise networks have, and pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from workloads.base import Workload, computation, count, normal, sizes

_LETTERS = "XYZ"


def convolution(
    name: str,
    batch: int,
    channels: tuple[int, int],
    lengths: tuple[int, ...],
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    transpose: bool = False,
    backward: bool = False,
) -> Workload:
    """One convolution of one to three dimensions; `backward`: and both gradients."""
    rank, (inner, outer) = len(lengths), channels
    reach = dilation * (kernel - 1)
    if transpose:
        after = tuple((n - 1) * stride - 2 * padding + reach + 1 for n in lengths)
        weight = (inner, outer // groups, *(kernel,) * rank)
    else:
        after = tuple((n + 2 * padding - reach - 1) // stride + 1 for n in lengths)
        weight = (outer, inner // groups, *(kernel,) * rank)
    x, result = (batch, inner, *lengths), (batch, outer, *after)
    described = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    called = f"conv_transpose{rank}d" if transpose else f"conv{rank}d"

    def jax_function(jax: Any, x: Any, w: Any) -> Any:
        spatial = _LETTERS[:rank]
        return jax.lax.conv_general_dilated(
            x,
            w,
            (stride,) * rank,
            [(padding, padding)] * rank,
            rhs_dilation=(dilation,) * rank,
            dimension_numbers=(f"NC{spatial}", f"OI{spatial}", f"NC{spatial}"),
            feature_group_count=groups,
        )

    multiplies = np.prod(x if transpose else result) * np.prod(weight[1:])
    return computation(
        "convolution",
        name,
        normal(x=x, w=weight, **({"upstream": result} if backward else {})),
        lambda torch, x, w: getattr(torch.nn.functional, called)(x, w, None, **described),
        gradients=("x", "w") if backward else (),
        jax=None if transpose else jax_function,
        tinygrad=None
        if transpose or backward or rank > 2
        else lambda x, w: x.conv2d(w, **described),
        flops=float(2 * multiplies * (3 if backward else 1)),
        bytes=count(x, weight, result) * (3 if backward else 1),
        tolerance=1e-4 if backward else 2e-5,  # a weight's gradient sums over all images' pixels
    )


def max_pool(name: str, shape: tuple[int, int, int, int]) -> Workload:
    """Maxima of 2 x 2 windows, and their gradient."""
    n, c, h, w = shape
    return computation(
        "convolution",
        name,
        normal(x=shape, upstream=(n, c, h // 2, w // 2)),
        lambda torch, x: torch.nn.functional.max_pool2d(x, 2),
        gradients=("x",),
        jax=lambda jax, x: jax.lax.reduce_window(
            x, -np.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID"
        ),
        flops=float(np.prod(shape)),
        bytes=2 * count(shape) + 2 * count((n, c, h // 2, w // 2)),
    )


def ladder(tiny: bool = False) -> list[Workload]:
    n = sizes(tiny)

    def plane(size: int) -> tuple[int, int]:
        return max(n(size), 8), max(n(size), 8)

    batch, narrow, wide = n(32), (n(64), n(64)), (n(256), n(256))
    same = {"kernel": 3, "padding": 1}
    deep = max(n(128), 4)
    return [
        convolution("conv 3x3, 64, 56x56", batch, narrow, plane(56), **same),
        convolution(
            "conv 3x3, 64, 56x56, backward", batch, narrow, plane(56), **same, backward=True
        ),
        convolution("conv 3x3, 256, 14x14", batch, wide, plane(14), **same),
        convolution(
            "conv 3x3, 256, 14x14, backward", batch, wide, plane(14), **same, backward=True
        ),
        convolution("conv 1x1, 64 -> 256, 56x56", batch, (n(64), n(256)), plane(56), 1),
        convolution(
            "conv 7x7 /2, 3 -> 64, 224x224", n(16), (3, n(64)), plane(224), 7, stride=2, padding=3
        ),
        convolution(
            "conv 3x3 /2, 128 -> 256, 28x28", batch, (n(128), n(256)), plane(28), **same, stride=2
        ),
        convolution(
            "conv 3x3 dilated 2, 64, 56x56", n(16), narrow, plane(56), 3, padding=2, dilation=2
        ),
        convolution(
            "conv depthwise 3x3, 128, 56x56", batch, (deep, deep), plane(56), **same, groups=deep
        ),
        convolution(
            "conv depthwise 3x3, backward",
            batch,
            (deep, deep),
            plane(56),
            **same,
            groups=deep,
            backward=True,
        ),
        convolution(
            "conv grouped (4) 3x3, 128, 28x28", batch, (deep, deep), plane(28), **same, groups=4
        ),
        convolution(
            "conv1d 5, 128, 1024", batch, (n(128), n(128)), (max(n(1024), 8),), 5, padding=2
        ),
        convolution(
            "conv3d 3, 64 -> 32, 16^3", n(8), (n(64), n(32)), plane(16) + plane(16)[:1], **same
        ),
        convolution(
            "conv transposed 4x4 /2, 64, 28x28",
            batch,
            narrow,
            plane(28),
            4,
            stride=2,
            padding=1,
            transpose=True,
        ),
        max_pool("max pool 2x2, backward", (batch, n(64), *plane(56))),
    ]
