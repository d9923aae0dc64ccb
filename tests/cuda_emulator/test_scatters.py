"""Scatters on the GPU: what the CPU says, however often places meet, and the same bits again.

Runs wherever there is a GPU, and under `python -m tests.cuda_emulator`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import picograd as torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

F = torch.nn.functional
Case = Callable[[str], Any]


def numbers(device: str, *shape: int, dtype: Any = torch.float32, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    return torch.tensor(random.integers(-30, 30, shape) / 8, device=device).to(dtype)


def places(device: str, most: int, *shape: int, seed: int = 1) -> Any:
    found = np.random.default_rng(seed).integers(0, most, shape)
    return torch.tensor(found, device=device)


def embedding(device: str, rows: int, wide: int, count: int) -> Any:
    weight = numbers(device, rows, wide).requires_grad_()
    taken = F.embedding(places(device, rows, count), weight, padding_idx=1)
    (taken * numbers(device, count, wide, seed=2)).sum().backward()
    return weight.grad


def put(device: str, accumulate: bool) -> Any:
    x = numbers(device, 9, 7)
    at = (places(device, 9, 300), places(device, 7, 300, seed=3))
    return x.index_put_(at, numbers(device, 300, seed=4), accumulate=accumulate)


def reduced(device: str, how: str, dtype: Any, include: bool) -> Any:
    x, values = numbers(device, 11, 5, dtype=dtype), numbers(device, 200, 5, dtype=dtype, seed=5)
    index = places(device, 11, 200, 5)
    return x.scatter_reduce(0, index, values, how, include_self=include)


def ordered(device: str, write: str) -> Any:
    """The last of those that meet wins."""
    x, values = numbers(device, 40, 6), numbers(device, 6, 130, seed=6).t()
    index = places(device, 40, 130)
    if write == "scatter":
        return x.scatter(0, index[:, None].expand(130, 6), values)
    if write == "index_copy":
        return x.index_copy(0, index, values)
    x[index] = values
    return x


CASES: dict[str, Case] = {
    "embedding, short runs": lambda d: embedding(d, 50, 8, 70),
    "embedding, one tile": lambda d: embedding(d, 10, 12, 1000),
    "embedding, several tiles": lambda d: embedding(d, 300, 3, 8200),
    "one place": lambda d: torch.zeros(2, 3, device=d).index_add(
        0, places(d, 1, 777), numbers(d, 777, 3)
    ),
    "one dimension": lambda d: torch.zeros(70_000, device=d).index_add(
        0, places(d, 70_000, 500), numbers(d, 500)
    ),
    "integers": lambda d: torch.zeros(37, dtype=torch.int64, device=d).scatter_add(
        0, places(d, 37, 5000), places(d, 1 << 50, 5000)
    ),
    "of a column": lambda d: torch.zeros(8, 9, device=d).scatter_add(
        1, places(d, 9, 8, 100), numbers(d, 8, 100)
    ),
    "along columns": lambda d: torch.zeros(8, 9, device=d).index_add(
        1, places(d, 9, 90), numbers(d, 8, 90)
    ),
    "narrow": lambda d: torch.zeros(20, 4, dtype=torch.bfloat16, device=d).index_add(
        0, places(d, 20, 64), numbers(d, 64, 4, dtype=torch.bfloat16)
    ),
    "places of several": lambda d: put(d, True),
    "last of several": lambda d: put(d, False),
    "nothing": lambda d: numbers(d, 4, 3).index_add(0, places(d, 4, 0), numbers(d, 0, 3)),
    **{
        f"ordered {write}": (lambda d, w=write: ordered(d, w))
        for write in ("scatter", "index_copy", "put")
    },
    **{
        f"{how} {dtype} {include}": (
            lambda d, h=how, t=dtype, i=include: reduced(d, h, getattr(torch, t), i)
        )
        for how, dtype, include in [
            *[("sum", "float64", True), ("prod", "int32", True), ("amax", "float32", False)],
            *[("amin", "float16", True), ("mean", "float32", False), ("amax", "uint8", True)],
        ]
    },
}


@pytest.mark.parametrize("name", CASES)
def test_scatters(name: str) -> None:
    first, again, wanted = (CASES[name](device) for device in ("cuda", "cuda", "cpu"))
    assert first.is_cuda and first.tolist() == again.tolist()
    if wanted.dtype.is_floating_point:
        torch.testing.assert_close(first.cpu(), wanted)
    else:
        assert first.tolist() == wanted.tolist()


def test_replays_take_other_places() -> None:
    """From its third run on, a program is a graph; data and addresses change."""
    for seed in range(5):
        index, values = places("cuda", 12, 300, seed=seed), numbers("cuda", 300, 4, seed=seed)
        found = torch.zeros(12, 4, device="cuda").index_add(0, index, values)
        wanted = torch.zeros(12, 4, device="cpu").index_add(0, index.cpu(), values.cpu())
        torch.testing.assert_close(found.cpu(), wanted)


def test_indices_outside_change_nothing() -> None:
    x = torch.zeros(5, device="cuda")
    with pytest.raises(IndexError):
        x.index_add_(0, torch.full((100,), 5, device="cuda"), torch.ones(100, device="cuda"))
        x.tolist()
    assert x.tolist() == [0.0] * 5
