"""Bad input is refused with torch's exception types; names that don't exist are named."""

from __future__ import annotations

import pytest

import picograd

pytest.importorskip("torch")

from tests.parity.compare import LIBRARIES, reference_device  # noqa: F401
from tests.parity.table import listed

# x is a (2, 3) matrix, v a vector of 3, i a vector of integers, z a number.
BAD = listed("""
x + m.ones(2, 2); x @ x; m.mm(x, v); m.mv(x, m.ones(2)); m.dot(v, m.ones(2)); m.bmm(x, x)
x.view(5); x.view(-1, -1); x.view(-1, 4); x.reshape(7); x.t().view(6); x.expand(3, 3); x.expand(2)
x.transpose(0, 2); x.permute(0, 0); x.permute(0); x[2]; x[0, 3]; x[0, 0, 0]; x[::-1]; x["a"]; x[1.5]
x[m.tensor([5])]; x[m.tensor([0.5])]; x[m.tensor([True])]; z[0]; len(z); x.sum(2)
x.mean(dtype=m.int64); i.mean(); m.softmax(x, 2); m.cat([]); m.cat([x, v]); m.cat([x, m.ones(2, 2)])
m.stack([x, v]); x.squeeze(3); x.unsqueeze(4); x.chunk(0); x.split([1, 2]); x.narrow(0, 1, 5)
x.item(); x.bool().item(); bool(x); float(x); int(v); m.tensor([[1], [1, 2]]); m.tensor("a")
m.tensor(None); m.zeros(-1); m.zeros("a"); m.arange(0, 5, -1); m.linspace(0, 1, -1); m.eye(-1)
m.full((2,), None); m.ones(2).to("nowhere"); m.ones(2, dtype="float"); m.ones(2).type("Nothing")
m.gather(x, 0, m.tensor([0])); m.gather(x, 0, m.tensor([[7]])); m.index_select(x, 0, m.tensor([9]))
x.scatter(0, m.tensor([[9]]), 1.0); x.index_add(0, m.tensor([0]), v); x.masked_fill(x, 1)
m.where(x, x, x); m.topk(x, 9); m.sort(x, 5); m.kthvalue(x, 9); m.argmax(m.zeros(0))
m.zeros(0).max()
m.linalg.inv(x); m.linalg.inv(m.zeros(2, 2)); m.linalg.cholesky(-m.eye(2)); m.linalg.solve(x, x)
m.linalg.det(v); m.trace(v); m.tril(v); m.diag(m.ones(2, 2, 2)); m.cross(m.ones(2), m.ones(2))
m.einsum("ij,jk", x, x); m.einsum("i", x); m.einsum("ii", x); m.outer(x, x); m.cumsum(x, 5)
x.add_(m.ones(3, 3)); i.add_(1.5); i.div_(2); x.copy_(m.ones(4)); x.requires_grad_().add_(1)
i.requires_grad_(); x.backward(); x.requires_grad_().backward(); z.requires_grad_().numpy()
m.autograd.grad(z, x); m.autograd.grad(x.requires_grad_(), x); x.clamp(); m.pow(i, -1); ~x; x & x
x << 1; -x.bool(); x.bool() - x.bool(); m.bitwise_not(x); m.normal(0, -1, (2,))
m.randint(5, 1, (2,))
m.multinomial(v, 9); m.manual_seed("a"); m.repeat_interleave(x, m.tensor([1]))
F.linear(x, m.ones(2, 2)); F.conv2d(x, x); F.conv2d(m.ones(1, 2, 4, 4), m.ones(1, 3, 2, 2))
F.max_pool2d(v, 2); F.cross_entropy(x, m.tensor([0])); F.cross_entropy(x, m.tensor([0, 7]))
F.nll_loss(v, v); F.one_hot(m.tensor([3]), 2); F.embedding(m.tensor([9]), x); F.layer_norm(x, (2,))
F.batch_norm(v, None, None, training=True); F.dropout(x, 2.0); F.pad(x, (1,))
F.pad(v, (1, 1, 1, 1))
F.interpolate(x, 2); F.mse_loss(x, m.ones(4)); F.glu(x, 1)
m.nn.Linear(2, 2)(x); m.nn.Linear(2); m.nn.Conv2d(3, 4, 2, groups=2); m.nn.Embedding(3, 2)(v)
m.nn.LSTM(2, 2)(x); m.nn.Module()(x); m.nn.Sequential(3); m.nn.ModuleList([3])
m.nn.BatchNorm1d(2)(x); m.nn.MultiheadAttention(3, 2); m.nn.init.xavier_uniform_(v)
m.optim.SGD([], lr=1); m.optim.SGD([x], lr=-1); m.optim.Adam([v * 2.0], lr="a")
m.optim.SGD(v, lr=1)
m.result_type("a", 1); m.promote_types(1, 2); m.broadcast_shapes((2,), (3,)); m.meshgrid(x)
m.fft.fft(x, n=0); m.fft.fft(x, dim=5); m.combinations(x); m.bucketize(v, x); m.bincount(-i)
m.load("/nonexistent/file"); m.from_numpy([1]); m.as_strided(v, (9,), (1,)); m.unbind(z)
m.roll(x, (1, 2), 0)
""")


def raised(m: object, text: str) -> tuple[type, ...] | None:
    scope = {"m": m, "F": m.nn.functional, "x": m.ones(2, 3), "v": m.ones(3)}
    scope |= {"i": m.tensor([1, 2, 3]), "z": m.tensor(1.0)}
    try:
        eval(text, scope)
    except Exception as error:
        return type(error).__mro__
    return None


@pytest.mark.parametrize("text", BAD)
@pytest.mark.usefixtures("reference_device")
def test_bad_input(text: str) -> None:
    """An `except` that catches torch's error catches ours too."""
    theirs, ours = (raised(m, text) for m in LIBRARIES)
    if theirs is None:
        assert ours is None
        return
    kind = theirs[0].__name__.lstrip("_")
    assert ours is not None, f"torch raises {kind}"
    assert kind in [one.__name__ for one in ours], f"torch raises {kind}, picograd {ours[0]}"


MISSING = {
    "m.softmaxx(x)": "picograd.softmaxx isn't supported yet; the nearest names are softmax",
    "x.sumn()": "Tensor.sumn isn't supported yet; the nearest names are sum",
    "F.rellu(x)": "picograd.nn.functional.rellu isn't supported yet; the nearest names are relu",
    "m.nn.Liner": "picograd.nn.Liner isn't supported yet; the nearest names are Linear",
    "m.optim.Adamm": "picograd.optim.Adamm isn't supported yet; the nearest names are Adam",
    "m.linalg.dett": "picograd.linalg.dett isn't supported yet; the nearest names are det",
    "m.zzzzzzzz": "picograd.zzzzzzzz isn't supported yet",
}


@pytest.mark.parametrize("text", MISSING)
def test_missing_names(text: str) -> None:
    m = picograd
    with pytest.raises(AttributeError) as caught:
        eval(text, {"m": m, "F": m.nn.functional, "x": m.ones(2)})
    assert str(caught.value).startswith(MISSING[text])
