"""Attention on the GPU, where no score is ever stored, against NumPy in float64.

Runs wherever there is a GPU, and under `python -m tests.cuda_emulator`.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import picograd as torch
import picograd.nn.functional as F
from picograd.codegen.panels import grid
from picograd.schedule.panels import collect
from tests.schedule.attention import SPELLINGS, with_gradients

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1e-2}
Arrays = tuple[np.ndarray, ...]


@pytest.fixture(autouse=True)
def small_tables_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "LEAST", 256)


def made(*shapes: tuple[int, ...]) -> Arrays:
    generator = np.random.default_rng(7)
    return tuple(generator.standard_normal(shape) for shape in shapes)


def softmax(scores: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)


def expected(q, k, v, gradient, bias, scale: float, keep=1.0) -> Arrays:  # type: ignore[no-untyped-def]
    """The result, and the gradients of q, k and v."""
    weights = softmax(q @ k.swapaxes(-2, -1) * scale + bias)
    weights = np.where(np.isnan(weights), 0, weights)  # rows of which all is masked
    back = gradient @ v.swapaxes(-2, -1) * keep
    scores = weights * (back - (back * weights).sum(-1, keepdims=True)) * scale
    kept = weights * keep
    return (
        kept @ v,
        scores @ k,
        scores.swapaxes(-2, -1) @ q,
        kept.swapaxes(-2, -1) @ gradient,
    )


def on_the_gpu(arrays: Arrays, dtype: torch.dtype) -> list[torch.Tensor]:
    """Leaves, and the same numbers as they are after rounding."""
    return [torch.tensor(a, dtype=dtype, device="cuda") for a in arrays]


def rounded(tensors: list[torch.Tensor]) -> list[np.ndarray]:
    return [tensor.cpu().double().numpy() for tensor in tensors]


def close(got: list[torch.Tensor], want: Arrays, dtype: torch.dtype) -> None:
    for one, other in zip(got, want, strict=True):
        scale = np.abs(other).max() + 1e-9
        np.testing.assert_allclose(
            one.cpu().double().numpy() / scale, other / scale, atol=TOLERANCES[dtype]
        )


SHAPES = {
    "one tile": (2, 16, 17, 8, 8),  # heads, rows, columns, depth, width of values
    "ragged": (3, 77, 130, 20, 12),
    "long rows": (1, 20, 200, 16, 16),
    "wide": (1, 40, 40, 40, 136),
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_backward(shape: str, causal: bool) -> None:
    check(SHAPES[shape], causal, torch.float32)


def check(shape: tuple[int, ...], causal: bool, dtype: torch.dtype) -> None:
    heads, rows, columns, depth, width = shape
    shapes = (heads, rows, depth), (heads, columns, depth), (heads, columns, width)
    q, k, v, gradient = on_the_gpu(made(*shapes, (heads, rows, width)), dtype)
    leaves = [x.requires_grad_() for x in (q, k, v)]
    y = F.scaled_dot_product_attention(*leaves, is_causal=causal)
    found = torch.autograd.grad(y, leaves, gradient)
    arrays = rounded([q.detach(), k.detach(), v.detach(), gradient])
    bias = np.where(np.tri(rows, columns), 0, -np.inf) if causal else np.zeros((rows, columns))
    want = expected(*arrays, bias, 1 / math.sqrt(depth))
    close([y.detach(), *found], want, dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_other_types(dtype: torch.dtype) -> None:
    check((2, 40, 50, 24, 16), True, dtype)


@pytest.mark.parametrize(
    "shape",
    [(1, 150, 200, 64, 64), (1, 30, 140, 128, 128), (1, 40, 33, 20, 136), (1, 40, 40, 256, 200)],
    ids=str,
)
def test_tensor_cores(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """All shapes of tiles: of one block more than one, and too wide for tensor cores."""
    monkeypatch.setattr(grid, "BLOCKS", 1)
    check(shape, shape[1] == 150, torch.bfloat16)


@pytest.mark.parametrize(
    "shape",
    [(1, 150, 200, 64, 64), (1, 30, 70, 128, 128), (1, 40, 33, 19, 21), (2, 20, 20, 12, 40)],
    ids=str,
)
def test_tensorfloat32_where_it_is_allowed(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Factors of ten bits: ragged and odd ones, too."""
    monkeypatch.setattr(grid, "BLOCKS", 1)
    monkeypatch.setitem(TOLERANCES, torch.float32, 3e-3)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        check(shape, shape[1] == 150, torch.float32)
    finally:
        torch.set_float32_matmul_precision(before)


def test_masks_biases_and_shared_heads() -> None:
    """A mask that leaves out all of some rows, a bias for each head, keys of two for four heads."""
    (arrays,) = (made((1, 4, 33, 16), (1, 2, 70, 16), (1, 2, 70, 16), (1, 4, 33, 16), (4, 33, 70)),)
    q, k, v, gradient, bias = on_the_gpu(arrays, torch.float32)
    allowed = bias > -0.5
    allowed[:, 5:9] = False
    leaves = [x.requires_grad_() for x in (q, k, v)]
    pairs = [x.repeat_interleave(2, 1) for x in leaves[1:]]
    y = F.scaled_dot_product_attention(q, *pairs, attn_mask=allowed)
    z = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, enable_gqa=True)
    both = np.repeat(arrays[1], 2, 1), np.repeat(arrays[2], 2, 1)
    for result, extra in (
        (y, np.where(allowed.cpu().numpy(), 0, -np.inf)),
        (z, arrays[4].astype(np.float32)),
    ):
        found = torch.autograd.grad(result, leaves, gradient)
        want = expected(arrays[0], *both, arrays[3], extra, 0.25)
        halves = [x.reshape(1, 2, 2, 70, 16).sum(2) for x in want[2:]]
        close([result.detach(), *found], (*want[:2], *halves), torch.float32)


def test_dropout_takes_the_bits_of_the_cpu() -> None:
    arrays = made((2, 40, 16), (2, 50, 16), (2, 50, 16), (2, 40, 16))
    results = []
    for device in ("cuda", "cpu"):
        torch.manual_seed(4)
        q, k, v, gradient = (
            torch.tensor(a, dtype=torch.float32, device=device).requires_grad_() for a in arrays
        )
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.3)
        found = torch.autograd.grad(y, [q, k, v], gradient)
        results.append([y.detach(), *found])
    close(results[0], tuple(rounded(results[1])), torch.float32)


@pytest.mark.parametrize("spelling", [s for s in SPELLINGS if s not in ("half_causal", "double")])
def test_spellings(spelling: str) -> None:
    """Whatever is normalised, in however many rounds: as the CPU does it."""
    results = []
    for device in ("cuda", "cpu"):
        leaves = [
            torch.tensor(a, dtype=torch.float32, device=device).requires_grad_()
            for a in made((35, 8), (67, 8), (67, 8))
        ]
        with torch.device(device):
            y = SPELLINGS[spelling](*leaves)
        results.append(with_gradients(y, leaves))
    close(results[0], tuple(rounded(results[1])), torch.float32)


def test_the_same_bits_again() -> None:
    def run() -> list[bytes]:
        q, k, v = (x.requires_grad_() for x in on_the_gpu(made(*[(2, 70, 16)] * 3), torch.float32))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        found = torch.autograd.grad(y.square().sum(), [q, k, v])
        return [x.cpu().numpy().tobytes() for x in (y.detach(), *found)]

    assert run() == run()


def test_no_table_is_stored() -> None:
    """At 512 x 512 the device holds less than one table of scores, in both passes."""
    size = 512
    leaves = [x.requires_grad_() for x in on_the_gpu(made(*[(1, size, 8)] * 3), torch.float32)]
    for leaf in leaves:
        leaf.sum().item()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    y = F.scaled_dot_product_attention(*leaves, is_causal=True)
    found = torch.autograd.grad(y, leaves, leaves[0].detach())
    assert all(math.isfinite(x.sum().item()) for x in found)
    assert torch.cuda.max_memory_allocated() - before < size * size * 4 // 4
