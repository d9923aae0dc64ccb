"""Sums of products on the GPU: every way to move the factors and to multiply, with tails.

Runs wherever there is a GPU, and under `python -m tests.cuda_emulator`.
"""

from __future__ import annotations

import numpy as np
import pytest

import picograd as torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int32": torch.int32,
}
TOLERANCE = {"float32": 1e-5, "float64": 1e-13, "float16": 2e-3, "bfloat16": 1e-2, "int32": 0}


def factor(shape: tuple[int, ...], dtype: str, seed: int):
    """Random numbers that the dtype holds exactly."""
    numbers = np.random.default_rng(seed).integers(-8, 8, shape)
    values = numbers if dtype == "int32" else numbers / 8
    return torch.tensor(values.tolist(), dtype=DTYPES[dtype], device="cuda")


def exact(x) -> np.ndarray:
    return np.array(x.cpu().double().tolist())


def check(result, expected: np.ndarray, dtype: str, slack: float = 1.0) -> None:
    scale = np.abs(expected).max() or 1.0
    assert result.shape == expected.shape
    error = np.abs(exact(result) - expected).max() / scale
    assert error <= slack * TOLERANCE[dtype], error


@pytest.mark.parametrize("turned", ["", "left", "right", "both"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts(dtype: str, turned: str) -> None:
    """Rows that are and that are not multiples of 16 bytes, contiguous along k or along lines."""
    for rows, columns, depth in ((40, 24, 48), (33, 50, 35)):
        a = factor((depth, rows) if turned in ("left", "both") else (rows, depth), dtype, 1)
        b = factor((columns, depth) if turned in ("right", "both") else (depth, columns), dtype, 2)
        a = a.T if turned in ("left", "both") else a
        b = b.T if turned in ("right", "both") else b
        check(a @ b, exact(a) @ exact(b), dtype)


@pytest.mark.parametrize("turned", [False, True])
def test_coarse_products(turned: bool) -> None:
    """TensorFloat32 where it is allowed: ten bits after the point, halves away from zero."""
    torch.manual_seed(0)
    a, b = torch.randn(40, 52, device="cuda"), torch.randn(52, 36, device="cuda")
    if turned:
        a, b = a.T.contiguous().T, b.T.contiguous().T
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        coarse = a @ b
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False

    def rounded(x) -> np.ndarray:
        bits = x.cpu().numpy().view(np.uint32) + np.uint32(0x1000)
        return (bits & np.uint32(0xFFFFE000)).view(np.float32).astype(np.float64)

    check(coarse, rounded(a) @ rounded(b), "float32")
    check(a @ b, exact(a) @ exact(b), "float32")
    assert (coarse != a @ b).any().item()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_large_tiles(dtype: str) -> None:
    """A batch makes the tiles large: 128 x 128, several depth tiles."""
    a, b = factor((132, 72, 100), dtype, 3), factor((100, 136), dtype, 4)
    check(a @ b, exact(a) @ exact(b), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_fused(dtype: str) -> None:
    """Factors that are computed on the way in, and stages that follow the sum."""
    a, b, bias = factor((40, 64), dtype, 5), factor((64, 48), dtype, 6), factor((48,), dtype, 7)
    result = torch.relu(torch.tanh(a) @ (b * 2) + bias)
    expected = np.maximum(np.tanh(exact(a)) @ (exact(b) * 2) + exact(bias), 0)
    check(result, expected, dtype, 4)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_long_sums_are_shared_by_blocks(dtype: str) -> None:
    """The same bits every time; the last part is shorter."""
    a, b, bias = factor((40, 1700), dtype, 8), factor((1700, 24), dtype, 9), factor((24,), dtype, 1)
    result = a @ b + bias
    check(result, exact(a) @ exact(b) + exact(bias), dtype, 2)
    assert (exact(a @ b + bias) == exact(result)).all()


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    "dtype, few",
    [("float32", 1), ("float32", 15), ("bfloat16", 1), ("bfloat16", 3), ("float64", 2)],
)
def test_few_lines(dtype: str, turned: bool, few: int) -> None:
    """Few rows, then few columns; a large factor along k and along lines; tails; a bias."""
    for lines, depth in ((88, 136), (37, 203)):
        x = factor((few, depth), dtype, 13)
        w = factor((lines, depth) if turned else (depth, lines), dtype, 14)
        w = w.T if turned else w
        bias = factor((lines,), dtype, 15)
        check(x @ w + bias, exact(x) @ exact(w) + exact(bias), dtype, 2)
        check(w.T @ x.T, exact(w).T @ exact(x).T, dtype, 2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_convolution(dtype: str, last: bool) -> None:
    """Windows are index arithmetic; forward and both gradients."""
    import numpy.lib.stride_tricks as tricks

    x, w = factor((2, 16, 9, 8), dtype, 10), factor((24, 16, 3, 3), dtype, 11)
    if last:
        x = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    x.requires_grad_(), w.requires_grad_()
    y = torch.nn.functional.conv2d(x, w, padding=1)
    padded = np.pad(exact(x.detach()), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = tricks.sliding_window_view(padded, (3, 3), (2, 3))  # n c y x i j
    check(y.detach(), np.einsum("ncyxij,ocij->noyx", windows, exact(w.detach())), dtype, 2)
    seed = factor(tuple(y.shape), dtype, 12)
    y.backward(seed)
    check(w.grad, np.einsum("ncyxij,noyx->ocij", windows, exact(seed)), dtype, 2)
    turned = exact(w.detach())[:, :, ::-1, ::-1]
    padded = np.pad(exact(seed), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = tricks.sliding_window_view(padded, (3, 3), (2, 3))
    check(x.grad, np.einsum("noyxij,ocij->ncyx", windows, turned), dtype, 2)
