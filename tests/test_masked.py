"""Masked reductions give torch.masked's values, dtypes and gradients."""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")
SEED = 20261121
ROWS = [
    *[
        f"m.{name}(x, {dim}mask=mask)"
        for name in ("sum", "prod", "amax", "amin", "mean", "var", "std", "norm", "logsumexp")
        for dim in ("dim=1, ", "dim=(0, 1), keepdim=True, ", "")
    ],
    "m.sum(x, 1)",
    "m.sum(x.to(torch.int32), 1, mask=mask)",
    "m.sum(x, 0, dtype=torch.float64, mask=mask)",
    "m.amax((x * 10).to(torch.int32), 1, mask=mask)",
    "m.mean(x, 1, mask=mask[0])",
    "m.var(x, 1, False, mask=mask)",
    "m.std(x, 1, correction=0, mask=mask)",
    "m.norm(x, 3.0, 1, mask=mask)",
    "m.argmax(x, 1, mask=mask)",
    "m.argmin(x, 1, keepdim=True, mask=mask)",
    "m.median(x, 1, mask=mask)",
    *[
        f"m.{name}(x, 1, mask=mask)"
        for name in ("softmax", "log_softmax", "softmin", "cumsum", "cumprod")
    ],
    "m.normalize(x, 2.0, 1, mask=mask)",
    "m.logaddexp(x, x * 2, input_mask=mask, other_mask=~mask)",
]


@pytest.mark.parametrize("expression", ROWS)
def test_as_torch(expression):
    rng = np.random.default_rng(SEED)
    array = rng.standard_normal((4, 6)).astype(np.float32)
    chosen = rng.random((4, 6)) < 0.6
    chosen[:, :2] = True
    results = []
    for module in (picograd, torch):
        x = module.tensor(array, requires_grad=True)
        names = {"m": module.masked, "torch": module, "x": x, "mask": module.tensor(chosen)}
        found = eval(expression, names)
        rows = [found.detach().numpy()]
        if found.requires_grad:
            weights = module.tensor(np.arange(rows[0].size, dtype=np.float32) + 1)
            finite = module.where(module.isinf(found), 0 * found.detach(), found)
            (slope,) = module.autograd.grad((finite.reshape(-1) * weights).nansum(), x)
            rows.append(slope.numpy())
        results.append(rows)
    assert results[0][0].dtype == results[1][0].dtype
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-5)
