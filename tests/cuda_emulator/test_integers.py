"""Integers wrap on the GPU as on the CPU, and no C++ that a compiler may take at its word says
otherwise: under `python -m tests.cuda_emulator --sanitize` an overflow is an error.

Runs wherever there is a GPU, and under the emulator.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import picograd as torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

DTYPES = ["uint8", "int8", "int16", "int32", "int64"]
# Of two vectors that begin with the least and the largest number.
CASES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "elements": lambda x, y: torch.stack([x + y, x - y, x * y, -x, torch.abs(x), x * y + x]),
    "powers": lambda x, y: torch.stack([x**2, x**3, x**7, torch.pow(x, y & 7)]),
    "quotients": lambda x, y: torch.stack([x // (y | 1), x % (y | 1), x // (y * 0 + 1)]),
    "shifts": lambda x, y: torch.stack([x << (y & 7), x >> (y & 7)]),
    "combined": lambda x, y: torch.stack([(x * y).sum().to(x.dtype), y.prod().to(x.dtype)]),
    "running": lambda x, y: torch.stack([x.cumsum(0, dtype=x.dtype), y.cumprod(0, dtype=x.dtype)]),
    "products": lambda x, y: torch.outer(x, y) @ torch.outer(y, x),
    "scattered": lambda x, y: torch.zeros_like(x).scatter_add(0, (y & 7).long(), x),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_as_on_the_cpu(name: str, dtype: str) -> None:
    bounds = np.iinfo(dtype)
    ends = np.array([bounds.min, bounds.max, bounds.min, bounds.max - 1, 0, 1], dtype)
    some = np.random.default_rng(0).integers(bounds.min, bounds.max, 34, dtype, endpoint=True)
    values = np.concatenate([ends, some])
    x, y = torch.tensor(values, device="cpu"), torch.tensor(values[::-1].copy(), device="cpu")
    wanted = CASES[name](x, y)
    assert torch.equal(CASES[name](x.cuda(), y.cuda()).cpu(), wanted)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_the_least_number(dtype: str) -> None:
    """Has no opposite."""
    least = torch.iinfo(getattr(torch, dtype)).min
    x = torch.full((3,), least, dtype=getattr(torch, dtype), device="cuda")
    for result in (-x, torch.abs(x), x // torch.full_like(x, -1), x * -1):
        assert result.tolist() == [least] * 3
    assert (x % torch.full_like(x, -1)).tolist() == [0] * 3
