"""Fractional max pooling: windows whose places are drawn at random, a fraction of a step apart.

In: (N, C, H, W) or (N, C, D, H, W), with or without N. Out: the windows' maxima, and where they
are. Exported by `picograd.nn.functional`.

Source: Graham 2014, Fractional Max-Pooling.

>>> import picograd
>>> fractional_max_pool2d(picograd.arange(16.0).view(1, 4, 4), 2, output_size=2).shape
torch.Size([1, 2, 2])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from picograd.frontend.autocasting import in_float32
from picograd.frontend.hostdata import from_array, values
from picograd.frontend.random import uniform
from picograd.frontend.reductions import max as maximum
from picograd.frontend.tensor import Tensor

Sizes = int | Sequence[int]


def _starts(sample: Any, extent: int, out: int, kernel: int) -> np.ndarray:
    """Where the windows of one dimension begin; the last one ends at the edge."""
    found = np.full(out, extent - kernel)
    if out > 1:
        # In the type of the samples, whose rounding decides at the edges of a step.
        step = sample.dtype.type((extent - kernel) / (out - 1))
        places = (np.arange(out - 1).astype(sample.dtype) + sample) * step
        found[:-1] = places.astype(np.int64) - int(sample * step)
    return found


@in_float32
def _pooled(
    input: Tensor,
    kernel: Sizes,
    output_size: Sizes | None,
    output_ratio: float | Sequence[float] | None,
    samples: Tensor | None,
    rank: int,
) -> tuple[Tensor, Tensor]:
    name = f"fractional_max_pool{rank}d"
    if (output_size is None) == (output_ratio is None):
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    if input.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(f"{name}: expected {rank + 1}D or {rank + 2}D, got {input.ndim}D")
    x = input if input.ndim == rank + 2 else input.unsqueeze(0)
    batch, channels = x._shape[:2]
    sizes = x._shape[2:]
    kernels = (kernel,) * rank if isinstance(kernel, int) else tuple(kernel)
    if output_size is not None:
        outs = (output_size,) * rank if isinstance(output_size, int) else tuple(output_size)
    else:
        assert output_ratio is not None
        single = isinstance(output_ratio, float | int)
        ratios = (output_ratio,) * rank if single else tuple(output_ratio)  # type: ignore[arg-type]
        outs = tuple(int(n * ratio) for n, ratio in zip(sizes, ratios, strict=True))
    for extent, out, width in zip(sizes, outs, kernels, strict=True):
        if out + width - 1 > extent:
            raise RuntimeError(f"{name}: pool size {width} and {out} outputs exceed input {extent}")
    device = x._storage.node.device
    drawn = uniform((batch, channels, rank), x.dtype, None, device) if samples is None else samples
    random = values(drawn)
    flat = np.zeros((batch, channels, *outs, *kernels), np.int64)
    for axis, (extent, out, width) in enumerate(zip(sizes, outs, kernels, strict=True)):
        # In two dimensions the last one's sample comes first; in three it comes last.
        which = random[..., 1 - axis if rank == 2 else axis]
        table = np.zeros((batch, channels, out), np.int64)
        for place in np.ndindex(batch, channels):
            table[place] = _starts(which[place][()], extent, out, width)
        places = table[..., None] + np.arange(width)
        wide = [batch, channels, *[1] * (2 * rank)]
        wide[2 + axis], wide[2 + rank + axis] = out, width
        flat = flat * extent + places.reshape(wide)
    index = from_array(flat.reshape(batch, channels, math.prod((*outs, *kernels))), device)
    shape = (batch, channels, *outs, math.prod(kernels))
    windows = x.flatten(2).gather(2, index).view(shape)
    best, first = cast("tuple[Tensor, Tensor]", maximum(windows, -1))
    where = index.view(shape).gather(-1, first.unsqueeze(-1)).squeeze(-1)
    return (best.squeeze(0), where.squeeze(0)) if input.ndim == rank + 1 else (best, where)


def _functions(rank: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def with_indices(
        input: Tensor,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The maxima of randomly placed windows, and their places in the flattened input."""
        return _pooled(input, kernel_size, output_size, output_ratio, _random_samples, rank)

    def pool(
        input: Tensor,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """The maxima of randomly placed windows (and their places, if they are wanted)."""
        found = _pooled(input, kernel_size, output_size, output_ratio, _random_samples, rank)
        return found if return_indices else found[0]

    pool.__name__ = pool.__qualname__ = f"fractional_max_pool{rank}d"
    with_indices.__name__ = with_indices.__qualname__ = f"{pool.__name__}_with_indices"
    return pool, with_indices


fractional_max_pool2d, fractional_max_pool2d_with_indices = _functions(2)
fractional_max_pool3d, fractional_max_pool3d_with_indices = _functions(3)
