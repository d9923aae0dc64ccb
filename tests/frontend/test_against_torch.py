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
    ("m.stft(x, 8, window=m.hann_window(8), return_complex=True).abs()", [(2, 32)]),
    ("m.stft(x, 8, 3, 6, y, center=False, normalized=True, onesided=False,"
     " return_complex=True).real", [(32,), (6,)]),
    ("m.istft(m.stft(x, 8, 2, window=m.hann_window(8), return_complex=True), 8, 2,"
     " window=m.hann_window(8), length=30)", [(32,)]),
    ("m.frexp(x * 100)[0]", [(9,)]),
    ("m.frexp(m.tensor([0, 1e-310, m.inf, -3, 1e308, 5e-324], dtype=m.float64))", []),
    ("F.fractional_max_pool2d(x, (2, 3), (3, 4), _random_samples=y.sigmoid().detach())",
     [(2, 3, 8, 11), (2, 3, 2)]),
    ("F.fractional_max_pool3d(x, (2, 3, 2), 3, _random_samples=y.sigmoid().detach())",
     [(2, 3, 8, 9, 7), (2, 3, 3)]),
    ("F.grid_sample(x, y, 'bicubic', 'zeros', True)", [(2, 3, 5, 4), (2, 6, 3, 2)]),
    ("F.grid_sample(x, y, 'bicubic', 'reflection', False)", [(2, 3, 5, 4), (2, 6, 3, 2)]),
    ("m.igamma(x.exp().detach() * 9, y.exp() * 9)", [(9,), (9,)]),
    ("m.igammac(x.exp().detach(), y.exp())", [(9,), (9,)]),
    ("m.igamma(m.tensor([0, 0, 1, m.inf, -1, 0]), m.tensor([0, 1, m.inf, 1, 1, m.inf]))", []),
    ("m.native_layer_norm(x, (4,), y, z, 1e-5)", [(2, 3, 4), (4,), (4,)]),
    ("m.native_group_norm(x, y, z, 2, 4, 3, 2, 1e-5)", [(2, 4, 3), (4,), (4,)]),
    ("m.native_batch_norm(x, y, z, None, None, True, 0.1, 1e-5)", [(2, 4, 3), (4,), (4,)]),
    ("m._softmax_backward_data(x.detach(), y.detach(), 1, m.float32)", [(2, 4), (2, 4)]),
    ("F.multi_head_attention_forward(x, x, x, 4, 2, y, None, None, None, True, 0.0, z, None,"
     " attn_mask=m.ones(5, 5).triu(1).bool())", [(5, 2, 4), (12, 4), (4, 4)]),
    ("m.as_strided_scatter(x.detach(), m.ones(2, 2), (2, 2), (1, 3))", [(3, 4)]),
    ("m.nonzero_static(x.detach() > 0, size=9)", [(3, 4)]),
    ("m.constant_pad_nd(x, (1, 2), 3.0)", [(3, 4)]),
    ("m.hypot(m.tensor([m.inf, m.nan, 3]), m.tensor([m.nan, -m.inf, 4]))", []),
    ("x.__rdiv__(2)", [(3,)]),
    ("(x * 1).renorm_(2, 0, 1.0)", [(3, 4)]),
    ("F.hardshrink(m.tensor([m.nan, 0.1]))", []),
    ("((y := x * 2).squeeze_(0), y.t_(), y.mul_(3), y.unsqueeze_(0))[3]", [(1, 2, 3)]),
    ("(x * 2).transpose_(0, 2).cos()", [(1, 2, 3)]),
    ("m.acosh(m.tensor([1, 1.5, 3e38, 1e9, m.inf, 0.5]))", []),
    ("m.i0(m.tensor([1e308, 3], dtype=m.float64))", []),
    ("F.threshold(x * 1, 0.0, 5.0, inplace=True)", [(4,)]),
    ("m.isclose(*(m.tensor(k, dtype=m.int8) for k in ([-128, 5, -128], [0, 5, 127])))", []),
    ("m.empty_strided((2, 3), (1, 2)).stride()", []),
    ("m.empty_permuted((2, 3, 4), (0, 2, 1)).stride()", []),
    ("x.new_empty_strided((2, 2), (1, 2)).stride()", [(1,)]),
    ("m.index_fill(x, 0, m.tensor([1, 0, 1]), y)", [(3, 2), ()]),
    ("m.index_fill(x, -1, m.tensor([-1]), 5.0)", [(3, 2)]),
    ("m.nextafter(x, y)", [(3, 1), (2,)]),
    ("m.nextafter(x, x)", [(3,)]),
    ("(x * 1).as_strided_((2, 2), (1, 2), 1)", [(5,)]),
    ("m.resize_as_(x.detach(), y)", [(5,), (2, 2)]),
    ("m.linalg.householder_product(x, y)", [(3, 2), (0,)]),
    ("x.narrow_copy(1, 1, 2)", [(3, 4)]),
    ("m.gcd(*[m.tensor([-(2**31), 7, 0], dtype=m.int32)] * 2)", []),
    ("m.histogramdd(x.detach(), [2, 3], weight=y.detach().exp())[0]", [(9, 2), (9,)]),
    ("m.histogramdd(x.detach(), 2, range=[-1, 1, -2, 0], density=True)[0]", [(3, 9, 2)]),
    ("m.histogramdd(x.detach(), [m.tensor([-1.0, 0, 2])] * 2).bin_edges", [(9, 2)]),
    ("F.linear_cross_entropy(x, y, i[0], linear_bias=z, label_smoothing=0.1)",
     [(3, 3), (9, 3), (9,)]),
    ("F.linear_cross_entropy(x, y, m.tensor([[0, 1]] * 4), reduction='none')",
     [(4, 3), (5, 2, 3)]),
    ("F.max_pool2d_with_indices(x, 2)", [(2, 3, 6, 5)]),
    ("F.max_pool3d_with_indices(x, 2, 1)", [(1, 1, 3, 4, 3)]),
    ("F.adaptive_max_pool1d_with_indices(x, 2)[0]", [(2, 3, 6)]),
    ("m.tensor(x.to(memory_format=m.channels_last).stride())", [(2, 3, 4, 5)]),
    ("x.float(memory_format=m.channels_last_3d) * 2", [(2, 3, 4, 5, 2)]),
    ("m.tensor([x.clone(memory_format=m.channels_last).is_contiguous(memory_format=f)"
     " for f in (m.channels_last, m.contiguous_format, m.channels_last_3d)])", [(2, 3, 4, 5)]),
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


REFUSED = [
    ("F.hardtanh(x, 2.0, 1.0)", ValueError),
    ("F.softshrink(x, -1.0)", RuntimeError),
    ("F.rrelu(x, 0.5, 0.1)", RuntimeError),
    ("F.max_pool1d(m.ones(1, 1, 9), 3, padding=-1)", RuntimeError),
    ("F.conv1d(m.ones(1, 1, 9), m.ones(1, 1, 2), groups=0)", RuntimeError),
    ("F.huber_loss(x, x, delta=-1.0)", RuntimeError),
    ("F.triplet_margin_loss(x, x, x, margin=-1.0)", ValueError),
    ("F.gaussian_nll_loss(x, x, m.ones(2))", ValueError),
    ("m.isclose(x, x, rtol=-1.0)", RuntimeError),
    ("m.cov(m.ones(2, 3), fweights=i[0] - 2)", RuntimeError),
    ("x.squeeze_()", RuntimeError),
    ("m.zeros(3).cauchy_(0, 0)", RuntimeError),
    ("m.zeros(3).geometric_(1.5)", RuntimeError),
    ("m.stft(x, 2)", RuntimeError),
    *[
        (f"m.{name}(x, 1)", TypeError)
        for name in ("maximum", "fmin", "atan2", "logical_or", "ldexp")
    ],
    ("x.dot(1)", TypeError),
    ("m.equal(x, 1)", TypeError),
    ("x.index_fill(0, m.tensor([0]), x)", RuntimeError),
    ("x.to(memory_format=m.channels_last)", RuntimeError),
    ("m.ones(2, 3).t().contiguous(memory_format=m.preserve_format)", RuntimeError),
]


@pytest.mark.parametrize(("expression", "kind"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(expression: str, kind: type[Exception]) -> None:
    for m in (torch, picograd):
        with pytest.raises(kind):
            eval(expression, _inputs(m, [(8,)]))


FILLS = [("cauchy_", (1, 2)), ("geometric_", (0.3,)), ("log_normal_", (0.5, 0.5))]


@pytest.mark.parametrize(("name", "arguments"), FILLS)
def test_fill_has_its_distribution(name: str, arguments) -> None:
    medians = []
    for m in (torch, picograd):
        m.manual_seed(0)
        medians.append(getattr(m.zeros(20000), name)(*arguments).median().item())
    assert medians[1] == pytest.approx(medians[0], rel=0.1)
