"""Rows and columns on the GPU: every way in which threads share them, against float64.

Runs wherever there is a GPU, and under `python -m tests.cuda_emulator`.
"""

from __future__ import annotations

import numpy as np
import pytest

import picograd as torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

F = torch.nn.functional
NORMS = {
    "softmax": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]),
    "argmax": lambda x: x.argmax(-1),
    "var": lambda x: x.var(-1),
}
# Rows of half a warp, of a warp with a rest, of several warps, of more than registers hold; few
# rows and many.
SHAPES = [(3, 64), (37, 100), (5, 768), (2, 1001), (300, 33), (1, 2500), (2, 52000)]


def given(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows(shape: tuple[int, int]) -> None:
    """Results and gradients, of all norms together: one compilation."""
    values = given(*shape)
    grads = []
    results: list[list[np.ndarray]] = []
    for device, dtype in (("cuda", torch.float32), ("cpu", torch.float64)):
        x = torch.tensor(values, dtype=dtype, device=device, requires_grad=True)
        made = [norm(x) for norm in NORMS.values()]
        total = sum((y * torch.arange(y.shape[-1], device=device).sin()).sum() for y in made[:3])
        (grad,) = torch.autograd.grad(total, x)
        results.append([y.detach().cpu().numpy() for y in made])
        grads.append(grad.cpu().numpy())
    for name, found, wanted in zip(NORMS, *results, strict=True):
        assert np.allclose(found, wanted, rtol=1e-4, atol=1e-5), name
    assert np.allclose(*grads, rtol=1e-3, atol=1e-4)


COLUMNS = [(100, 32), (33, 36), (40, 260), (1000, 12), (70, 3, 40)]


@pytest.mark.parametrize("shape", COLUMNS, ids=str)
def test_columns(shape: tuple[int, ...]) -> None:
    values = given(*shape)
    x = torch.tensor(values, dtype=torch.float32, device="cuda")
    for found, wanted in [
        (x.sum(0), values.sum(0)),
        (x.amax(0), values.max(0)),
        (x.std(0), values.std(0, ddof=1)),
        (x.sum(0).sum(-1), values.sum(0).sum(-1)),
    ]:
        assert np.allclose(found.cpu().numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_narrow_rows() -> None:
    """Sums of 16-bit floats, of integers and of truths."""
    values = given(6, 512)
    x = torch.tensor(values, device="cuda")
    assert np.allclose(x.bfloat16().sum(-1).float().cpu().numpy(), values.sum(-1), atol=1)
    assert (x > 0).sum(-1).tolist() == (values > 0).sum(-1).tolist()
    assert (x > 9).any(-1).tolist() == [False] * 6 and (x < 9).all(-1).tolist() == [True] * 6
    bytes_ = (x * 10).to(torch.int8)
    assert bytes_.amax(-1).tolist() == bytes_.cpu().numpy().max(-1).tolist()


@pytest.mark.parametrize("size", [70_000, 1 << 18, 300_001])
def test_long_sums(size: int) -> None:
    values = given(size)
    x = torch.tensor(values, device="cuda", dtype=torch.float32)
    assert abs(x.sum().item() - values.sum()) < 1e-1
    assert x.max().item() == values.astype(np.float32).max()
    first, again = [(x * x).mean().item() for _ in range(2)]
    assert first == again and abs(first - 1) < 0.02


@pytest.mark.parametrize("shape", [(20_000, 4), (3000, 40), (3, 40_000)], ids=str)
def test_tall_and_wide(shape: tuple[int, int]) -> None:
    values = given(*shape)
    x = torch.tensor(values, device="cuda", dtype=torch.float32)
    for axis in (0, 1):
        assert np.allclose(x.sum(axis).cpu().numpy(), values.sum(axis), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("width", [1, 60])
def test_a_row_and_a_matrix_of_as_many_lines(width: int) -> None:
    """What threads keep of a row is not what they need where each of them has a line."""
    lines, values = given(60), given(60, width)
    x, matrix = (torch.tensor(v, dtype=torch.float32, device="cuda") for v in (lines, values))
    share = (x - x.max()).exp().sum()
    found = (matrix * x.unsqueeze(1) / share).sum().item()
    wanted = (values * lines[:, None]).sum() / np.exp(lines - lines.max()).sum()
    assert np.isclose(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("width", [3, 4])
def test_threads_beyond_the_last_line_read_none(width: int) -> None:
    """The factors of lines end where their memory does."""
    factors, values = given(4, 96, 1), given(4, 96, width)
    results = []
    for device in ("cuda", "cpu"):
        x = torch.tensor(factors, dtype=torch.float32, device=device)
        products = x * torch.tensor(values, dtype=torch.float32, device=device)
        largest = (products * x).amax((1, 2), keepdim=True)
        results.append((products - largest * x).square().sum((1, 2)).cpu().numpy())
    assert np.allclose(*results, rtol=1e-4)
