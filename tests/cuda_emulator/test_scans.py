"""Running sums, products and extremes on the GPU: every way in which threads share a row.

Runs wherever there is a GPU, and under `python -m tests.cuda_emulator`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import picograd as torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

# (shape, axis): a point, less than a warp, a warp with a rest, several rounds and rows that share a
# block; columns side by side; rows cut into blocks, with and without a rest.
SHAPES = [
    *[((1,), 0), ((5,), 0), ((33,), 0), ((3, 64), 1), ((7, 50), 1), ((300, 34), 1)],
    *[((1, 1025), 1), ((2, 5000), 1), ((1, 4097), 1), ((20_000, 3), 1)],
    *[((50, 33), 0), ((2, 130, 40), 1), ((1000, 32), 0), ((9, 0), 1), ((0, 9), 1)],
    *[((1 << 16,), 0), ((65_537,), 0), ((70_001, 2), 0)],
]


def given(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize(("shape", "axis"), SHAPES, ids=str)
def test_sums_and_extremes(shape: tuple[int, ...], axis: int) -> None:
    """Against NumPy, and the same bits again; integers, and what compares, are exact."""
    values = given(shape).astype(np.float32)
    x = torch.tensor(values, device="cuda")
    first, again = (torch.cumsum(x, axis).cpu().numpy() for _ in range(2))
    assert np.array_equal(first, again)
    wanted = np.cumsum(values.astype(np.float64), axis)
    assert np.allclose(first, wanted, rtol=1e-4, atol=1e-3)
    numbers = (values * 100).astype(np.int64)
    y = torch.tensor(numbers, device="cuda")
    assert np.array_equal(torch.cumsum(y, axis).cpu().numpy(), np.cumsum(numbers, axis))
    assert np.array_equal(torch.cumsum(x > 0, axis).cpu().numpy(), np.cumsum(values > 0, axis))
    if values.size < 70_000:
        best, places = torch.cummax(x, axis)
        assert np.array_equal(best.cpu().numpy(), np.maximum.accumulate(values, axis))
        assert np.array_equal(torch.gather(x, axis, places).cpu().numpy(), best.cpu().numpy())


SAMPLES: list[list[Any]] = [
    [1.0, float("nan"), 2.0, float("inf")],
    [-0.0, 0.0, -0.0],
    [float("-inf"), 1.0, 1.0, float("nan"), 1.0],
    [3.0, 3.0, 2.0, 3.0],
    [],
]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_as_on_the_cpu(dtype: str) -> None:
    """NaN, infinities, ties, and narrow types: what the CPU says."""
    functions = {
        "cumsum": lambda x: torch.cumsum(x, 0),
        "cumprod": lambda x: torch.cumprod(x, 0),
        "cummax": lambda x: torch.cummax(x, 0),
        "cummin": lambda x: torch.cummin(x, 0),
        "logcumsumexp": lambda x: torch.logcumsumexp(x, 0),
    }
    for sample in [*SAMPLES, [0.5, -0.25, 1.0, 2.0, 0.5] * 20]:
        for name, function in functions.items():
            found, wanted = (
                function(torch.tensor(sample, dtype=getattr(torch, dtype), device=device))
                for device in ("cuda", "cpu")
            )
            if not isinstance(found, tuple):
                found, wanted = (found,), (wanted,)
            for mine, other in zip(found, wanted, strict=True):
                # a sum of other parts rounds otherwise
                bounds = {} if mine.dtype.is_floating_point else {"rtol": 0, "atol": 0}
                torch.testing.assert_close(
                    mine.cpu(), other, equal_nan=True, msg=f"{name} {sample}", **bounds
                )


def test_integers_of_64_bits() -> None:
    least, greatest = -(2**63), 2**63 - 1
    numbers = np.array([5, greatest, 1, least, -1, least] * 30, np.int64)
    x = torch.tensor(numbers, device="cuda")
    assert torch.cummin(x, 0).values.tolist() == np.minimum.accumulate(numbers).tolist()
    assert torch.cummax(x, 0).values.tolist() == np.maximum.accumulate(numbers).tolist()
    signs = np.array([1, -1, 1, greatest, -1] + [1] * 40, np.int64)
    found = torch.cumprod(torch.tensor(signs, device="cuda"), 0)
    assert found.tolist() == np.cumprod(signs).tolist()


def test_gradients_and_what_follows() -> None:
    """A scan between other stages of a row, over a view that is not contiguous."""
    values = given((6, 80, 5))
    results = []
    for device, dtype in (("cuda", torch.float32), ("cpu", torch.float64)):
        x = torch.tensor(values, dtype=dtype, device=device, requires_grad=True)
        rows = torch.softmax(x.transpose(1, 2)[..., ::2], -1)
        total = torch.cumsum(rows, -1).clamp(max=0.9)
        (total * total).sum().backward()
        results.append((total.detach().cpu().numpy(), x.grad.cpu().numpy()))
    for found, wanted in zip(*results, strict=True):
        assert np.allclose(found, wanted, rtol=1e-4, atol=1e-4)
