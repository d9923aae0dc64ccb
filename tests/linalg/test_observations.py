"""Distances, covariances and correlations give torch's values and gradients."""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")
SEED = 20261121
ROWS = [
    *[(f"torch.cdist(a, b, {p})", (5, 3), (4, 3)) for p in ("2.0", "1.0", "3.5", "float('inf')")],
    ("torch.cdist(a, b)", (2, 5, 3), (4, 3)),
    ("torch.cdist(a, b, compute_mode='use_mm_for_euclid_dist')", (30, 3), (27, 3)),
    ("torch.cdist(a, a)", (5, 3), (1,)),
    ("torch.cdist(a, b)", (5, 0), (4, 0)),
    ("torch.pdist(a)", (5, 3), (1,)),
    ("torch.cov(a)", (3, 6), (1,)),
    ("a.cov(correction=0)", (3, 6), (1,)),
    ("torch.cov(a)", (6,), (1,)),
    ("torch.cov(a, fweights=(b * 9).abs().to(torch.int64) + 1)", (3, 6), (6,)),
    ("torch.cov(a, aweights=b.abs())", (3, 6), (6,)),
    ("torch.cov(a, fweights=b.to(torch.int64) + 3, aweights=b.abs())", (3, 6), (6,)),
    ("torch.corrcoef(a)", (3, 6), (1,)),
    ("a.corrcoef()", (6,), (1,)),
    ("torch.norm(a, 'nuc')", (4, 3), (1,)),
    ("torch.norm(a, 'nuc', dim=(0, 2), keepdim=True)", (4, 2, 3), (1,)),
    ("torch.linalg.svdvals(a * 0 + torch.eye(3))", (3, 3), (1,)),
    ("torch.linalg.vander(a[0, 0], N=4) + b", (2, 2), (1,)),
]


@pytest.mark.parametrize(("expression", "first", "second"), ROWS)
def test_as_torch(expression, first, second):
    rng = np.random.default_rng(SEED)
    arrays = [rng.standard_normal(shape) for shape in (first, second)]
    rows = []
    for module in (picograd, torch):
        a, b = (module.tensor(x) for x in arrays)
        a.requires_grad_()
        found = eval(expression, {"torch": module, "a": a, "b": b})
        weights = module.tensor(np.arange(found.numel()) + 1.0)
        (slope,) = module.autograd.grad((found.reshape(-1) * weights).sum(), a)
        rows.append((found.detach().numpy(), slope.numpy()))
    for ours, theirs in zip(*rows, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("hermitian", [False, True])
def test_rank_of_nothing(hermitian):
    found = picograd.linalg.matrix_rank(picograd.zeros(2, 0, 0), hermitian=hermitian)
    assert found.tolist() == [0, 0]


def test_errors():
    x = picograd.zeros(2, 3)
    with pytest.raises(RuntimeError, match="same number of columns"):
        picograd.cdist(x, picograd.zeros(2, 2))
    with pytest.raises(RuntimeError, match="non-negative p"):
        picograd.cdist(x, x, -1.0)
