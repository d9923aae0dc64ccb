"""Functions of `torch.nn.functional`, as expressions that both libraries evaluate.

In an expression, `x`, `y` and `z` are random float32 tensors of the given shapes (which require
gradients), `F` is the namespace and `m` the library.
"""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

PLANE, VOLUME, SIGNAL = (2, 3, 7, 5), (1, 2, 5, 4, 3), (2, 3, 9)
ROWS = "m.tensor([[0, 2], [3, 2]])"
TABLE = (4, 3)
TWO = "m.tensor([0, 2])"
INDEX = "m.tensor([0, 1, 3, 1, 2])"
CASES = [
    ("F.adaptive_max_pool1d(x, 4, return_indices=True)", SIGNAL),
    ("F.adaptive_max_pool2d(x, (3, None), True)", PLANE),
    ("F.adaptive_max_pool2d(x.round(), (3, 2), True)", (3, 7, 5)),
    ("F.adaptive_max_pool3d(x, 2, True)", VOLUME),
    ("F.avg_pool1d((x * 9).long(), 3)", SIGNAL),
    ("F.avg_pool2d((x * 9).long(), 3, 2, 1, count_include_pad=False)", PLANE),
    ("F.group_norm(x, 3)", (0, 6, 2)),
    ("F.group_norm(x, 1)", (2, 6, 0)),
    *[
        (f"F.pad(x, {amounts}, mode='{mode}')", (2, 3, 4, 5))
        for mode in ("replicate", "circular", "reflect", "constant")
        for amounts in ((1, -2, 0, 3), (0, 0, -1, -1))
    ],
    ("F.pad(x, (-4, 5), mode='replicate')", (2, 3, 4)),
    ("F.prelu(x, y)", (), (1,)),
    ("F.prelu(x, y)", PLANE, (3,)),
    ("F.cosine_similarity(x, y, dim=-1)", (4, 1), (1, 3)),
    ("F.cosine_embedding_loss(x, y, m.tensor([1, -1, 0]), 0.2, reduction='none')", (3, 4), (3, 4)),
    ("F.cosine_embedding_loss((x * 9).long(), y.long(), m.tensor([1, -1, 0]))", (3, 4), (3, 4)),
    ("F.multi_margin_loss(x, m.tensor([1, 0, 3]), 2, 0.5, m.arange(4.0))", (3, 4)),
    ("F.multilabel_margin_loss(x, m.tensor([[3, 0, -1, 1], [1, 1, 2, 0], [-1, 0, 0, 0]]))", (3, 4)),
    ("F.pdist(x, 1.5)", (4, 3)),
    ("F.max_unpool1d(*F.max_pool1d(x, 2, return_indices=True), 2, output_size=(2, 3, 9))", SIGNAL),
    ("F.max_unpool2d(*F.max_pool2d(x, 3, 2, 1, return_indices=True), 3, 2, 1)", PLANE),
    ("F.max_unpool3d(*F.max_pool3d(x, 2, return_indices=True), 2, output_size=(5, 4, 3))", VOLUME),
    ("F.upsample_nearest(x, scale_factor=2)", PLANE),
    ("F.upsample_bilinear(x, (9, 3))", PLANE),
    ("F.rrelu(x, 0.1, 0.3)", PLANE),
    ("F.gumbel_softmax(x, 1, True, 1e-10, 1).detach().sum(1)", PLANE),
    ("m.pdist(x)", TABLE),
    ("m.rrelu(x)", TABLE),
    ("F.rrelu(x, 0.2, 0.2, training=True)", PLANE),
    *[
        (f"F.embedding_bag({ROWS}, x, mode='{mode}', padding_idx={pad})", (4, 3))
        for mode in ("sum", "mean", "max")
        for pad in (None, 2)
    ],
    *[
        (f"F.embedding_bag({INDEX}, x, m.tensor([0, 2, 2, 5]), mode='{mode}', {rest})", (4, 3))
        for mode in ("sum", "mean", "max")
        for rest in ("padding_idx=1", "include_last_offset=True")
    ],
    (f"F.embedding_bag({INDEX}, x, {TWO}, mode='sum', per_sample_weights=y)", TABLE, (5,)),
    (f"m.nn.EmbeddingBag(4, 3, _weight=x)({ROWS}).square() + y", TABLE, (2, 3)),
    *[
        (f"F.embedding({INDEX}, x, {rest})", TABLE)
        for rest in ("scale_grad_by_freq=True", "padding_idx=1, scale_grad_by_freq=True")
    ],
    *[
        (f"[w := x.detach().clone(), F.embedding({INDEX}, w, max_norm={most}, norm_type={kind}), "
         "x * w][2]", TABLE)
        for most, kind in ((1.0, 2.0), (0.5, 1.0))
    ],
    (f"[w := x.detach().clone(), F.embedding_bag({ROWS}, w, max_norm=1.0), x * w][2]", TABLE),
    ("F.hinge_embedding_loss(x, m.tensor([1, -1, 0]), reduction='none')", (3,)),
]  # fmt: skip


def flat(result):
    return list(result) if isinstance(result, tuple | list) else [result]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_numbers_and_gradients(case) -> None:
    expression, *shapes = case
    random = np.random.default_rng(0)
    given = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    results = []
    for m in (torch, picograd):
        x = [m.tensor(a, requires_grad=True) for a in given]
        names = dict(zip("xyz", x, strict=False))
        out = flat(eval(expression, {"F": m.nn.functional, "m": m, **names}))
        floats = [y for y in out if y.requires_grad]
        if floats:
            m.autograd.backward([y.square().sum() for y in floats])
        grads = [m.zeros(1) if a.grad is None else a.grad for a in x]
        results.append([*[y.detach() for y in out], *grads])
    for want, have in zip(*results, strict=True):
        assert str(have.dtype) == str(want.dtype)
        assert tuple(have.shape) == tuple(want.shape)
        np.testing.assert_allclose(have.numpy(), want.numpy(), 1e-3, 1e-4)
