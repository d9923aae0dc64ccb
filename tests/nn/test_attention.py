"""Attention and transformer layers: names, numbers and gradients are torch's."""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")


def twin(expression: str):
    theirs, ours = (eval(f"m.nn.{expression}", {"m": m}) for m in (torch, picograd))
    assert repr(ours) == repr(theirs)
    state = {name: picograd.tensor(value.numpy()) for name, value in theirs.state_dict().items()}
    ours.load_state_dict(state)
    return theirs, ours


def arrays(*shapes):
    random = np.random.default_rng(0)
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


def same(ours, theirs, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), 1e-3, tolerance)


ATTENTION = [
    ("MultiheadAttention(8, 2)", {}),
    ("MultiheadAttention(8, 2, batch_first=True, bias=False)", {}),
    ("MultiheadAttention(8, 4, add_bias_kv=True, add_zero_attn=True)", {}),
    ("MultiheadAttention(8, 2)", {"need_weights": False}),
    ("MultiheadAttention(8, 2)", {"average_attn_weights": False}),
]


@pytest.mark.parametrize(("expression", "options"), ATTENTION, ids=str)
def test_attention(expression: str, options) -> None:
    theirs, ours = twin(expression)
    q, k, v = arrays((5, 3, 8), (5, 3, 8), (5, 3, 8))
    allowed = np.triu(np.ones((5, 5), bool), 1)
    if "batch_first" in expression:
        allowed = allowed[:3, :3]
    for mask in (None, allowed, np.where(allowed, -1.5, 0.25).astype(np.float32)):
        results = []
        for m, layer in ((torch, theirs), (picograd, ours)):
            x = m.tensor(q, requires_grad=True)
            given = None if mask is None else m.tensor(mask)
            output, weights = layer(x, m.tensor(k), m.tensor(v), attn_mask=given, **options)
            output.square().sum().backward()
            results.append((output, x.grad, weights))
        for a, b in zip(results[1], results[0], strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                same(a, b)
    for p, g in zip(ours.parameters(), theirs.parameters(), strict=True):
        same(p.grad, g.grad, 1e-4)


def test_self_and_cross_attention_and_padding() -> None:
    theirs, ours = twin("MultiheadAttention(8, 2, kdim=6, vdim=4, batch_first=True)")
    q, k, v = arrays((2, 5, 8), (2, 3, 6), (2, 3, 4))
    padding = np.array([[False, False, True], [False, True, True]])
    want, _ = theirs(*map(torch.tensor, (q, k, v)), key_padding_mask=torch.tensor(padding))
    have, _ = ours(*map(picograd.tensor, (q, k, v)), key_padding_mask=picograd.tensor(padding))
    same(have, want)
    theirs, ours = twin("MultiheadAttention(8, 2)")
    (x,) = arrays((5, 8))
    a, b = torch.tensor(x), picograd.tensor(x)
    same(ours(b, b, b)[0], theirs(a, a, a)[0])
    same(ours(b, b, b)[1], theirs(a, a, a)[1])


ENCODERS = [
    "TransformerEncoderLayer(8, 2, 16, dropout=0.0)",
    "TransformerEncoderLayer(8, 2, 16, 0.0, 'gelu', batch_first=True, norm_first=True)",
    "TransformerEncoder(m.nn.TransformerEncoderLayer(8, 2, 16, 0.0), 2, m.nn.LayerNorm(8))",
]


@pytest.mark.parametrize("expression", ENCODERS)
def test_encoders(expression: str) -> None:
    theirs, ours = twin(expression)
    (x,) = arrays((5, 5, 8))
    mask = torch.nn.Transformer.generate_square_subsequent_mask(5)
    mine = picograd.nn.Transformer.generate_square_subsequent_mask(5)
    np.testing.assert_array_equal(mine.numpy(), mask.numpy())
    want, have = theirs(torch.tensor(x), mask), ours(picograd.tensor(x), mine)
    same(have, want)
    want.square().sum().backward()
    have.square().sum().backward()
    for p, g in zip(ours.parameters(), theirs.parameters(), strict=True):
        same(p.grad, g.grad, 1e-3)


def test_transformer() -> None:
    theirs, ours = twin("Transformer(8, 2, 1, 2, 16, 0.0)")
    source, target = arrays((4, 2, 8), (3, 2, 8))
    mask = torch.nn.Transformer.generate_square_subsequent_mask(3)
    want = theirs(torch.tensor(source), torch.tensor(target), tgt_mask=mask)
    have = ours(
        picograd.tensor(source), picograd.tensor(target), tgt_mask=picograd.tensor(mask.numpy())
    )
    same(have, want, 1e-4)
