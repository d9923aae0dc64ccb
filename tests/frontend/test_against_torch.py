"""Expressions that read alike in torch: values, dtypes and gradients are torch's.

Each row is an expression over `m` (the library), `F` (its functional), and random inputs x, y, z of
the shapes given (float32); i and b are fixed tensors of integers and booleans. A result of several
tensors is compared part by part; those that require grad are summed for the gradients.
"""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

CASES = [
    ("m.linalg.slogdet(x)[0].requires_grad", [(3, 3)]),
    ("m.linalg.matrix_power(x, 0)", [(2, 2)]),
    ("x.norm(p=0, dim=1)", [(2, 3)]),
    ("m.linalg.lu_solve(*m.linalg.lu_factor(x), y)", [(0, 0), (0, 2)]),
    ("m.linalg.lstsq(x, y)[:2]", [(2, 4, 3), (2, 4, 2)]),
    ("m.linalg.lstsq(x, y, driver='gelsd')[1]", [(2, 4, 3), (2, 4, 2)]),
    ("m.linalg.householder_product(x, y)", [(0, 0), (0,)]),
    ("m.linalg.householder_product(x.tril(), y)", [(4, 3), (2,)]),
    ("m.ormqr(x, y, z)", [(4, 3), (3,), (4, 2)]),
    ("m.ormqr(x, y, z, left=False, transpose=True)", [(4, 2), (2,), (2, 4)]),
    ("[part.detach() for part in m.geqrf(x)]", [(4, 3)]),
    ("[p.detach() for p in m.linalg.ldl_factor(x + x.mT)]", [(2, 6, 6)]),
    ("m.linalg.ldl_solve(*m.linalg.ldl_factor((x + x.mT).detach()), y.detach())", [(5, 5), (5, 2)]),
    ("m.searchsorted(x, y)", [(0,), (3,)]),
    ("m.unique_consecutive(x[:0].detach(), return_counts=True)", [(3,)]),
    ("m.quantile(x, y.sigmoid())", [(7,), (2,)]),
    ("m.nanquantile(x, y.sigmoid(), dim=1)", [(2, 7), (2,)]),
    ("m.combinations(x, 3)", [(2,)]),
    ("m.gradient(i)", []),
    ("m.take_along_dim(x, i[:1] - 4, 1)", [(2, 4)]),
    ("m.logspace(0.9, 2.9, 4, dtype=m.int64)", []),
    ("m.addr(b, b[0], b[1], beta=True)", []),
    ("m.polygamma(2, m.tensor([0.0, -1.0])).abs()", []),
    ("m.polygamma(2, m.tensor([0.0]))", []),
    ("F.gaussian_nll_loss(x, y, z.exp())", [(3, 4), (3, 4), (3,)]),
    ("F.batch_norm(x, y.detach(), z.detach(), training=True)", [(0, 3), (3,), (3,)]),
    ("F.ctc_loss(x.log_softmax(2), i[:, :2], [4, 3], [2, 1])", [(4, 2, 5)]),
    ("F.ctc_loss(x.log_softmax(2), i[:, :3], [4, 2], [2, 3], zero_infinity=True)", [(4, 2, 5)]),
    ("F.ctc_loss(x, i[0, :2], (2,), (2,), blank=4, reduction='none')", [(3, 5)]),
]  # fmt: skip


def _inputs(m, shapes) -> dict[str, object]:
    random = np.random.default_rng(0)
    named: dict[str, object] = {"m": m, "F": m.nn.functional}
    for name, shape in zip("xyz", shapes, strict=False):
        array = random.standard_normal(shape).astype(np.float32)
        named[name] = m.tensor(array, requires_grad=True)
    named["i"] = m.tensor([[1, 3, 2], [2, 1, 1]])
    named["b"] = m.tensor([[True, False], [True, True]])
    return named


def _parts(result) -> list:
    if isinstance(result, list | tuple):
        return [part for one in result for part in _parts(one)]
    return [result]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("expression", "shapes"), CASES, ids=[row[0] for row in CASES])
def test_expression(expression: str, shapes) -> None:
    found = []
    for m in (torch, picograd):
        named = _inputs(m, shapes)
        parts = _parts(eval(expression, named))
        tensors = [part for part in parts if isinstance(part, m.Tensor)]
        plain = [part for part in parts if not isinstance(part, m.Tensor)]
        sloped = [part for part in tensors if part.requires_grad]
        if sloped:
            sum((part * part).sum() for part in sloped).backward()  # type: ignore[attr-defined]
        slopes = [named[name].grad for name in "xyz" if name in named]  # type: ignore[attr-defined]
        slopes = [None if slope is None else slope.numpy() for slope in slopes]
        found.append((tensors, plain, len(sloped), slopes))
    (want, want_plain, want_sloped, want_slopes), (have, plain, sloped, slopes) = found
    assert (plain, sloped) == (want_plain, want_sloped)
    for one, other in zip(have, want, strict=True):
        assert str(one.dtype) == str(other.dtype)
        assert one.shape == tuple(other.shape)
        np.testing.assert_allclose(one.detach().numpy(), other.detach().numpy(), 1e-4, 1e-5)
    for slope, other in zip(slopes, want_slopes, strict=True):
        other = np.zeros_like(slope) if other is None and slope is not None else other
        if other is not None:
            slope = np.zeros_like(other) if slope is None else slope
            np.testing.assert_allclose(slope, other, 1e-3, 1e-4)
