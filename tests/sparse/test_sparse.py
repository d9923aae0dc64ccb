"""Sparse tensors have torch's numbers, shapes and gradients."""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

PLACES = np.array([[0, 1, 1, 0], [2, 0, 2, 2]])
VALUES = np.array([3.0, 4.0, 5.0, -1.0], np.float32)
DENSE = np.arange(6, dtype=np.float32).reshape(3, 2) / 4

# of the sparse matrix s (2 by 3, one place twice), the tensors v it is made of, d and e
CASES = {
    "dense": lambda m, s, v, d: s.to_dense(),
    "mm": lambda m, s, v, d: m.sparse.mm(s, d),
    "spmm": lambda m, s, v, d: m.spmm(s, d),
    "torch.mm": lambda m, s, v, d: m.mm(s, d),
    "matmul": lambda m, s, v, d: m.matmul(s, d[:, 0]),
    "operator": lambda m, s, v, d: s @ d,
    "transposed": lambda m, s, v, d: s.t() @ d[:2],
    "dense first": lambda m, s, v, d: d.t() @ s.t(),
    "scaled": lambda m, s, v, d: (s * 2 / 4).to_dense(),
    "added": lambda m, s, v, d: (s + s).coalesce().values(),
    "sum": lambda m, s, v, d: m.sparse.sum(s),
    "sum of rows": lambda m, s, v, d: m.sparse.sum(s, dim=1).to_dense(),
    "coalesced": lambda m, s, v, d: s.coalesce().values(),
    "addmm": lambda m, s, v, d: m.sparse.addmm(d[:2], s, d, beta=0.5, alpha=2),
}


@pytest.mark.parametrize("name", CASES)
def test_results_and_gradients(name):
    results = []
    for module in (picograd, torch):
        v = module.tensor(VALUES, requires_grad=True)
        d = module.tensor(DENSE, requires_grad=True)
        s = module.sparse_coo_tensor(module.tensor(PLACES), v, (2, 3))
        result = CASES[name](module, s, v, d)
        weights = module.arange(1.0, 1 + result.numel()).reshape(result.shape)
        grads = module.autograd.grad((result * weights).sum(), [v, d], allow_unused=True)
        results.append([result, *grads])
    for mine, other in zip(*results, strict=True):
        assert (mine is None) == (other is None)
        if mine is not None:
            np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), rtol=1e-6)


def test_attributes_and_text():
    for module in (picograd, torch):
        s = module.sparse_coo_tensor(module.tensor(PLACES), module.tensor(VALUES), (2, 3))
        assert s.is_sparse and str(s.layout) == "torch.sparse_coo" and not s.is_coalesced()
        assert tuple(s.shape) == (2, 3) and s._nnz() == 4 and s.size(1) == 3 and s.dim() == 2
        assert s.coalesce().indices().tolist() == [[0, 1, 1], [2, 0, 2]]
        assert s.t().coalesce().indices().tolist() == [[0, 2, 2], [1, 0, 1]]
        with pytest.raises(RuntimeError, match="uncoalesced"):
            s.values()
        with pytest.raises(RuntimeError, match="inconsistent with indices"):
            module.sparse_coo_tensor(
                module.tensor(PLACES), module.tensor(VALUES), (2, 2), check_invariants=True
            )
        old = module.sparse.FloatTensor(
            module.tensor(PLACES), module.tensor(VALUES), module.Size([2, 3])
        )
        assert repr(old) == repr(s)
        back = module.eye(3).to_sparse()
        assert back.is_coalesced() and module.equal(back.to_dense(), module.eye(3))


def test_a_function_may_save_a_sparse_matrix():
    """The layer of a graph attention network whose attention is sparse."""
    grads = [_trained(module) for module in (picograd, torch)]
    for mine, other in zip(*grads, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6)


def _trained(module):
    class Product(module.autograd.Function):
        @staticmethod
        def forward(ctx, places, kept, shape, dense):
            sparse = module.sparse_coo_tensor(places, kept, shape)
            ctx.save_for_backward(sparse, dense)
            return module.matmul(sparse, dense)

        @staticmethod
        def backward(ctx, gradient):
            sparse, dense = ctx.saved_tensors
            wide = gradient.matmul(dense.t())
            rows, columns = sparse._indices()
            return None, wide[rows, columns], None, sparse.t().matmul(gradient)

    kept = module.tensor(VALUES, requires_grad=True)
    dense = module.tensor(DENSE, requires_grad=True)
    result = Product.apply(module.tensor(PLACES), kept, module.Size([2, 3]), dense)
    (result**2).sum().backward()
    return kept.grad.numpy(), dense.grad.numpy()
