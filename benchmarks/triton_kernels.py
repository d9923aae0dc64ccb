"""What a programmer would write in Triton: one kernel for each of a few workloads.

In: tensors of PyTorch's, by the names of the workload's inputs. Out: the result. Each program
takes a row, or a block of elements. Called by `peers.py`, where Triton is installed.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

_BLOCK = 1024


@triton.jit
def _negate(to, source, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    tl.store(to + at, -tl.load(source + at, mask=inside), mask=inside)


@triton.jit
def _gelu(to, source, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    x = tl.load(source + at, mask=inside, other=0.0)
    tl.store(to + at, x * 0.5 * (1.0 + tl.math.erf(x * 0.7071067811865476)), mask=inside)


@triton.jit
def _softmax(to, source, columns, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    at, inside = tl.program_id(0) * columns + place, place < columns
    x = tl.load(source + at, mask=inside, other=-float("inf"))
    e = tl.exp(x - tl.max(x, axis=0))
    tl.store(to + at, e / tl.sum(e, axis=0), mask=inside)


@triton.jit
def _layer_norm(to, source, columns, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    at, inside = tl.program_id(0) * columns + place, place < columns
    x = tl.load(source + at, mask=inside, other=0.0)
    centred = tl.where(inside, x - tl.sum(x, axis=0) / columns, 0.0)
    variance = tl.sum(centred * centred, axis=0) / columns
    tl.store(to + at, centred / tl.sqrt(variance + 1e-5), mask=inside)


@triton.jit
def _sum(to, source, columns, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    x = tl.load(source + tl.program_id(0) * columns + place, mask=place < columns, other=0.0)
    tl.store(to + tl.program_id(0), tl.sum(x, axis=0))


def _elements(kernel: Any, x: torch.Tensor) -> torch.Tensor:
    result, count = torch.empty_like(x), x.numel()
    kernel[(triton.cdiv(count, _BLOCK),)](result, x, count, BLOCK=_BLOCK)
    return result


def _rows(kernel: Any, x: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
    rows, columns = x.shape
    block = triton.next_power_of_2(columns)
    kernel[(rows,)](result, x, columns, BLOCK=block, num_warps=max(1, min(16, block // 256)))
    return result


# By the names of workloads.
FUNCTIONS = {
    "copy, negated": lambda x: _elements(_negate, x),
    "gelu": lambda x: _elements(_gelu, x),
    "softmax": lambda x: _rows(_softmax, x, torch.empty_like(x)),
    "layer norm": lambda x: _rows(_layer_norm, x, torch.empty_like(x)),
    "layer norm, rows of 768": lambda x: _rows(_layer_norm, x, torch.empty_like(x)),
    "sum of rows": lambda x: _rows(_sum, x, torch.empty_like(x[:, 0])),
}
