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


DOCUMENTS = [0] * 3 + [1] * 4
FLEX = [
    ("F.flex_attention(q, k, v)", 2),
    ("F.flex_attention(q, k, v, lambda s, b, h, i, j: s + (j - i), scale=0.3)", 2),
    ("F.flex_attention(q, k, v, lambda s, b, h, i, j: m.tanh(s / 2) * 2 * slopes[h])", 2),
    ("F.flex_attention(q, k, v, lambda s, b, h, i, j: s + grid[b, h, i, j])", 2),
    ("F.flex_attention(q, k, v, lambda s, b, h, i, j: m.where(i >= j, s, -float('inf')))", 2),
    ("F.flex_attention(q, k, v, block_mask=block(lambda b, h, i, j: i >= j, None, None))", 2),
    ("F.flex_attention(q, k, v, block_mask=block(lambda b, h, i, j: (i >= j) & (j > 2), 2, 4))", 2),
    ("F.flex_attention(q, k, v, enable_gqa=True, block_mask=block(F.and_masks(lambda b, h, i, j: "
     "i >= j, lambda b, h, i, j: documents[i] == documents[j]), None, None))", 1),
    ("F.flex_attention(q, k, v, block_mask=block(F.or_masks(lambda b, h, i, j: i == j, "
     "lambda b, h, i, j: (j < 2) & (h > 1)), 2, 4))", 2),
    ("F.flex_attention(q, k, v, return_lse=True, block_mask=block(lambda b, h, i, j: j > i, None, "
     "None))", 2),
    ("F.flex_attention(q, k, v)", 1),
    ("F.flex_attention(q, k, v, block_mask=F.create_block_mask(F.noop_mask, 1, 1, 3, 3, "
     "device='cpu'))", 2),
    ("[F.create_mask(lambda b, h, i, j: i > j + b, 2, None, 3, 4, 'cpu')]", 2),
]  # fmt: skip
MASKS = ["q >= kv", "(q >= kv) & (q - kv < 100)", "(q < 0) & (kv > 0)", "q + kv < 300 + b"]


def flex(m, expression, heads, q, k, v):
    """The outcome of an expression, and gradients."""
    import importlib

    F = importlib.import_module(f"{m.__name__}.nn.attention.flex_attention")
    tensors = [m.tensor(x) for x in (q, k[:, : heads * 2], v[:, : heads * 2])]
    names = {
        "F": F,
        "m": m,
        **dict(zip("qkv", tensors, strict=True)),
        "slopes": m.tensor([1.0, 0.5, 2, 3]),
        "grid": m.arange(2.0 * 4 * 7 * 7).reshape(2, 4, 7, 7) / 99,
        "documents": m.tensor(DOCUMENTS),
        "block": lambda f, b, h: F.create_block_mask(f, b, h, 7, 7, device=tensors[0].device),
    }
    try:
        result = eval(expression, names)
    except (ValueError, RuntimeError) as error:
        return type(error).__name__, []
    listed = list(result) if isinstance(result, tuple | list) else [result]
    return None, [x.numpy() for x in listed]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("expression, heads", FLEX, ids=str)
def test_flex_attention(expression, heads):
    random = np.random.default_rng(0)
    given = [random.standard_normal((2, 4, 7, 5)).astype(np.float32) for _ in range(3)]
    ours, theirs = (flex(m, expression, heads, *given) for m in (picograd, torch))
    assert ours[0] == theirs[0]
    for a, b in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", MASKS)
@pytest.mark.parametrize("size", [(300, 300, 128), (64, 200, (32, 64))])
def test_block_masks(rule, size):
    queries, keys, block = size
    made = []
    for m in (picograd, torch):
        import importlib

        F = importlib.import_module(f"{m.__name__}.nn.attention.flex_attention")
        mask = F.create_block_mask(
            eval(f"lambda b, h, q, kv: {rule}"), 2, 1, queries, keys, "cpu", BLOCK_SIZE=block
        )
        again = F.BlockMask.from_kv_blocks(
            mask.kv_num_blocks, mask.kv_indices, mask.full_kv_num_blocks, mask.full_kv_indices,
            BLOCK_SIZE=mask.BLOCK_SIZE, mask_mod=mask.mask_mod, seq_lengths=(queries, keys),
        )  # fmt: skip
        part = mask[:, :, 1]
        made.append(
            [mask.shape, mask.numel(), mask.sparsity(), part.shape, again.sparsity()]
            + [
                x.tolist()
                for one in (mask, again, part)
                for x in (one.to_dense(), one.kv_num_blocks, one.full_kv_num_blocks, one.kv_indices)
            ]
            + [mask.q_num_blocks.tolist(), mask.full_q_num_blocks.tolist()]
        )
    assert made[0] == made[1]


def test_blocks_alone_are_a_mask():
    from picograd.nn.attention.flex_attention import BlockMask, flex_attention

    number, places = picograd.tensor([[[1, 2]]]), picograd.tensor([[[[1, 0], [0, 1]]]])
    mask = BlockMask.from_kv_blocks(number, places, BLOCK_SIZE=2)
    x = picograd.randn(1, 1, 4, 3)
    shown = picograd.ones(4, 4, dtype=picograd.bool)
    shown[:2, :2] = False
    expected = picograd.nn.functional.scaled_dot_product_attention(x, x, x, shown)
    assert picograd.allclose(flex_attention(x, x, x, block_mask=mask), expected, atol=1e-6)


def test_gradients_of_flex_attention():
    """Torch has none on the CPU; those of the plain function are compared with torch's."""
    from picograd.nn.attention.flex_attention import create_block_mask, flex_attention

    causal = create_block_mask(lambda b, h, i, j: i >= j, None, None, 6, 6)
    found = []
    for attend in (
        lambda *x: flex_attention(*x, block_mask=causal),
        lambda *x: flex_attention(*x, lambda s, b, h, i, j: s.masked_fill(i < j, -float("inf"))),
        lambda *x: picograd.nn.functional.scaled_dot_product_attention(*x, is_causal=True),
    ):
        given = [picograd.tensor(x, requires_grad=True) for x in arrays(*[(1, 2, 6, 4)] * 3)]
        attend(*given).sin().sum().backward()
        found.append([x.grad for x in given])
    for ours in found[:2]:
        assert all(map(lambda a, b: picograd.allclose(a, b, atol=1e-6), ours, found[2]))


def test_kernels_may_be_named():
    from picograd.nn.attention import SDPBackend, sdpa_kernel

    x = picograd.ones(1, 2, 4)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert picograd.nn.functional.scaled_dot_product_attention(x, x, x).shape == x.shape
    with pytest.raises(AssertionError), sdpa_kernel("flash"):
        pass
