"""Order on the GPU: what the CPU says, to the bit, in every way of sorting.

Runs wherever there is a GPU, and under `python -m tests.cuda_emulator`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import picograd as torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

FLOATS = ["float16", "bfloat16", "float32", "float64"]
DTYPES = [*FLOATS, "int8", "int16", "int32", "int64", "uint8", "bool"]
# One element, tiles that are full or not and share a block, the border of shared memory, and
# beyond it: tiles of the radix sort with and without a rest.
SHAPES = [(1,), (3, 2), (5, 33), (1, 64), (40, 3), (2, 1025), (2049,), (2, 4096), (4097,)]


def sample(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Any:
    """Numbers with ties, and whatever is special about the type."""
    random = np.random.default_rng(seed)
    numbers = random.integers(-40, 40, shape).astype(np.float64)
    if dtype in FLOATS:
        special = [np.nan, np.inf, -np.inf, -0.0, 0.0, -np.nan, 1e-40]
        numbers = np.where(random.random(shape) < 0.2, random.choice(special, shape), numbers / 8)
    x = torch.tensor(numbers, device="cpu").to(getattr(torch, dtype))
    if dtype == "int64":
        ends = torch.tensor(random.choice([-(2**63), 2**63 - 1, 0], shape), device="cpu")
        x = torch.where(x > 30, ends, x)
    return x


def same(found: Any, wanted: Any, what: object) -> None:
    pairs = zip(found, wanted, strict=True) if isinstance(found, tuple) else [(found, wanted)]
    for mine, other in pairs:
        assert mine.is_cuda and mine.dtype is other.dtype, what
        if mine.dtype.is_floating_point:  # to the bit, -0 and NaN too
            views = {2: torch.int16, 4: torch.int32, 8: torch.int64}
            kind = views[mine.element_size()]
            mine, other = mine.cpu().view(kind), other.view(kind)
        assert mine.tolist() == other.tolist(), what


@pytest.mark.parametrize("dtype", DTYPES)
def test_sort(dtype: str) -> None:
    for shape in SHAPES:
        x = sample(shape, dtype)
        for descending in (False, True):
            found = torch.sort(x.cuda(), descending=descending)
            same(tuple(found), tuple(torch.sort(x, descending=descending)), (shape, descending))


def test_sort_of_views_and_of_nothing() -> None:
    x = sample((6, 70, 4), "float32")
    for shown in (x.transpose(0, 1), x[:, ::3], x.permute(2, 1, 0)[1:]):
        moved = x.cuda()
        assert moved.is_cuda
        for dim in range(3):
            found = torch.sort(shown.cuda(), dim=dim)
            same(tuple(found), tuple(torch.sort(shown, dim=dim)), dim)
    for shape in ((0,), (3, 0), (0, 3), ()):
        empty = torch.zeros(shape, device="cpu")
        same(tuple(torch.sort(empty.cuda())), tuple(torch.sort(empty)), shape)


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
def test_first_ones(dtype: str) -> None:
    """Few of short and of long rows; in several rounds."""
    for shape, k in [((7, 30), 3), ((2, 5000), 1), ((2, 5000), 20), ((70_000,), 256), ((9,), 0)]:
        x = sample(shape, dtype)
        for largest in (True, False):
            found = torch.topk(x.cuda(), k, largest=largest)
            same(tuple(found), tuple(torch.topk(x, k, largest=largest)), (shape, k))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
def test_ranks(dtype: str) -> None:
    for shape in ((1,), (5, 8), (3, 33), (3000,)):
        x = sample(shape, dtype)
        moved = x.cuda()
        for rank in (1, (1 + shape[-1]) // 2, shape[-1]):
            same(tuple(torch.kthvalue(moved, rank)), tuple(torch.kthvalue(x, rank)), shape)
        functions = (torch.median, torch.nanmedian) if dtype != "int64" else (torch.median,)
        for function in functions:
            same(tuple(function(moved, -1)), tuple(function(x, -1)), shape)
            same(function(moved), function(x), shape)
    missing = torch.full((3, 4), float("nan"), device="cpu")
    same(tuple(torch.nanmedian(missing.cuda(), 1)), tuple(torch.nanmedian(missing, 1)), "nan")


def test_gradients() -> None:
    results = []
    for device in ("cuda", "cpu"):
        x = sample((4, 50), "int32").to(device).float().requires_grad_()
        values, places = torch.sort(x, -1)
        best, _ = torch.topk(x, 3)
        total = (values * torch.arange(50, device=device)).sum() + best.sum() + x.median()
        total.backward()
        results.append((x.grad.cpu().tolist(), places.tolist(), torch.mode(x, -1).values.tolist()))
    assert results[0] == results[1]


def test_nothing_goes_through_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    from picograd.runtime.cuda.memory import DeviceBuffer

    x = torch.arange(5000, device="cuda").flip(0).contiguous()
    x.sum().item()

    def refuse(self: object) -> None:
        raise AssertionError("the contents were copied to the host")

    with monkeypatch.context() as patched:
        patched.setattr(DeviceBuffer, "array", property(refuse))
        found = torch.sort(x)
        best = torch.topk(x, 3)
        middle = x.median(-1)
    assert found.values[:3].tolist() == [0, 1, 2] and best.values.tolist() == [4999, 4998, 4997]
    assert middle.values.item() == 2499
