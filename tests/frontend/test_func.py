"""`func`, `autograd.functional`, `vmap` and pytrees: expressions that both libraries evaluate.

`x`, `y` (4, 3) and `w` (3, 2) are float32 tensors that require gradients, `i` integers; `T` is
`m.func`, `A` `m.autograd.functional`. The sum of squares of the results is differentiated too.
"""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

MAPPED = [
    "lambda v: v * 2 + 1",
    "lambda v: v.sum()",
    "lambda v: v.softmax(0) @ w",
    "lambda v: m.stack([v, v.flip(0)])",
    "lambda v: m.cat([v, v.detach() * v])",
    "lambda v: v.cumsum(0)",
    "lambda v: v.max(0).values",
    "lambda v: v.argmax()",
    "lambda v: v[1:] * v[:-1]",
    "lambda v: v[[2, 0, 0]]",
    "lambda v: v[i % 3]",
    "lambda v: v.var() + v.norm()",
    "lambda v: m.where(v > 0, v, -v)",
    "lambda v: m.outer(v, v).tril()",
    "lambda v: m.einsum('i,ij->j', v, w)",
    "lambda v: m.nn.functional.pad(v, (1, 2), value=7)",
    "lambda v: m.nn.functional.cross_entropy(v[None], m.tensor([1]))",
    "lambda v: m.nn.functional.layer_norm(v, (3,))",
    "lambda v: m.nn.functional.conv1d(v[None, None], w.T[:, None, :2])",
    "lambda v: m.zeros(3).index_add(0, m.tensor([0, 0, 2]), v)",
    "lambda v: m.scatter(m.zeros(5), 0, m.tensor([4, 1, 0]), v)",
    "lambda v: v.sort().values * v",
    "lambda v: (v.clone().mul_(2), {'a': v.unsqueeze(0)})",
    "lambda v: m.ones(2)",
    "lambda v: m.func.grad(lambda u: (u ** 3).sum())(v)",
    "lambda v: m.vmap(lambda u: u * v)(m.ones(5))",
    "lambda v: m.func.jacrev(lambda u: u @ w)(v)",
    "lambda v: m.linalg.inv(m.outer(v, v) + m.eye(3) * 9)",
    "lambda v: m.nn.functional.scaled_dot_product_attention(*[v.reshape(1, 3, 1)] * 3)",
]
EXPRESSIONS = [
    *[f"m.vmap({function})(x)" for function in MAPPED],
    "m.vmap(m.dot)(x, y)",
    "m.vmap(m.dot, in_dims=1)(x, y)",
    "m.vmap(m.mul, in_dims=(0, None))(x, y[0])",
    "m.vmap(m.mul, in_dims=(None, 1), out_dims=1)(x, y.mT.contiguous().mT)",
    "m.vmap(lambda d: d['a'] * d['b'][0], in_dims=({'a': 0, 'b': None},))({'a': x, 'b': (y[0],)})",
    "m.vmap(lambda u, v: (u + v, u), out_dims=(1, 0))(x, y)",
    "m.vmap(lambda u, k: u * k, in_dims=(0, None))(x, 3)",
    "m.vmap(m.vmap(lambda a, b: a * b, (None, 0)), (0, None))(x[0], y[1])",
    "m.vmap(lambda v, n: v[n % 3])(x, i)",
    "m.vmap(lambda n: x[n])(i % 4)",
    "m.vmap(lambda v: v * 2, chunk_size=3)(x)",
    "m.vmap(lambda v: v * v.sum().item())(x)",
    "m.vmap(lambda v: v if v.sum() > 0 else -v)(x)",
    "m.vmap(lambda v: v + m.rand(3))(x)",
    "m.vmap(lambda v: v * 0 + m.rand(3).le(1), randomness='different')(x)",
    "m.vmap(lambda v: v * 0 + m.rand(()).floor(), randomness='same')(x)",
    "m.vmap(lambda v: v, in_dims=2)(x)",
    "m.vmap(lambda v: v, in_dims=(0, 0))(x)",
    "m.vmap(lambda v: v, in_dims=None)(x)",
    "m.vmap(lambda v: 3)(x)",
    "m.vmap(lambda u, v: u)(x, y.T)",
    "m.vmap(lambda v: v)()",
    "m.vmap(lambda v: v, randomness='some')(x)",
    "T.grad(lambda v: (v ** 2).sum())(x)",
    "T.grad(lambda u, v: (u * v.sin()).sum(), argnums=(1, 0))(x, y)",
    "T.grad(lambda d: (d['a'] * d['b'] ** 2).sum())({'a': x, 'b': y})",
    "T.grad(lambda v: ((v * w[0, 0]).sum(), v), has_aux=True)(x)",
    "T.grad_and_value(lambda v: (v @ w).sum())(x)",
    "T.grad_and_value(lambda v: ((v @ w).sum(), v * 2), has_aux=True)(x)",
    "T.grad(T.grad(lambda v: v ** 4))(x[0, 0])",
    "T.grad(lambda v: T.grad(lambda u: (u * v) ** 2)(v))(x[0, 0])",
    "T.grad(lambda v: v)(x)",
    "T.grad(lambda v: 3)(x)",
    "T.grad(lambda v: v.sum(), argnums=2)(x)",
    "T.grad(lambda v: w.sum())(x)",
    "m.vmap(T.grad(lambda v, u: ((v @ w - u) ** 2).mean()))(x, y[:, :2])",
    "m.vmap(T.grad(lambda p, v: ((v @ p) ** 2).mean()), in_dims=(None, 0))(w, x)",
    "T.vjp(lambda v: v.sin(), x)[1](y)",
    "T.vjp(lambda u, v: (u * v, u.sum()), x, y)[1]((y, x.sum()))",
    "T.vjp(lambda v: (v * 2, v), x, has_aux=True)[2]",
    "T.jvp(lambda v: v.sin(), (x,), (y,))",
    "T.jvp(lambda u, v: (u @ v.T, u.exp()), (x, y), (y, x))",
    "T.jvp(lambda v: v, x, y)",
    "T.linearize(lambda v: v ** 3, x.detach())[1](y.detach())",
    "T.jacrev(lambda v: v @ w)(x)",
    "T.jacrev(lambda u, v: (u * v[0], v.sum()), argnums=(0, 1))(x[0], y)",
    "T.jacrev(lambda v: {'a': v.sin(), 'b': v.sum()})(x[0])",
    "T.jacfwd(lambda v: v.tanh() @ w)(x)",
    "T.hessian(lambda v: (v.sin() @ w).prod())(x[0])",
    "T.hessian(lambda u, v: (u * v).sum() ** 2, argnums=(0, 1))(x[0], y[0])",
    "m.vmap(T.hessian(lambda v: (v ** 3).sum()))(x)",
    "m.vmap(T.jacrev(lambda v: v.softmax(0)))(x)",
    "A.jacobian(lambda v: v @ w, x)",
    "A.jacobian(lambda v: v @ w, x, create_graph=True)",
    "A.jacobian(lambda u, v: (u * v, v.sum(0)), (x, y))",
    "A.jacobian(lambda v: m.ones(2), x, strict=True)",
    "A.hessian(lambda v: (v ** 3).sum(), x)",
    "A.hessian(lambda u, v: (u * v ** 2).sum(), (x[0], y[0]))",
    "A.hessian(lambda v: v, x)",
    "A.vjp(lambda v: v @ w, x, y[:, :2])",
    "A.vjp(lambda v: v.sum(), x)",
    "A.vjp(lambda v: v @ w, x)",
    "A.jvp(lambda v: v.exp(), x, y)",
    "A.jvp(lambda u, v: (u @ v.T, u), (x, y), (y, x))",
    "A.hvp(lambda v: (v ** 3).sum(), x, y)",
    "A.vhp(lambda u, v: (u * v ** 2).sum(), (x, y), (y, x))",
    "A.vhp(lambda v: (v ** 3).sum(), x, y[0])",
    "m.autograd.grad(x @ w, x, m.eye(8).reshape(8, 4, 2), is_grads_batched=True)",
    "P.tree_map(lambda v: v * 2, {'a': x, 'b': [y, (x[0],)]})",
    "P.tree_map(lambda a, b: a + b, [x, (y,)], [y, (x,)])",
    "P.tree_map(lambda a, b: a + b, [x, (y,)], [y, x])",
    "P.tree_map_only(m.Tensor, lambda v: v * 2, [1, x, 'a'])[1:2]",
    "P.tree_unflatten([1], P.tree_structure([x, y]))",
    "P.tree_flatten({'b': x, 'a': [y, None]})[0][:2]",
]
STACKED = """
models = [m.nn.Linear(3, 2) for _ in range(4)]
for n, model in enumerate(models):
    model.load_state_dict({'weight': w.detach().T * n, 'bias': w[0].detach() + n})
parameters, buffers = T.stack_module_state(models)
def call(p, b, v): return T.functional_call(models[0], (p, b), (v,))
result = [m.vmap(call, (0, 0, None))(parameters, buffers, x), m.vmap(call)(parameters, buffers, x)]
m.vmap(call)(parameters, buffers, x).sum().backward()
result += [parameters['weight'].grad]
"""
PER_SAMPLE = """
model = m.nn.Sequential(m.nn.Conv1d(1, 2, 2), m.nn.Tanh(), m.nn.Flatten(0), m.nn.Linear(4, 2))
random = np.random.default_rng(3)
parameters = {n: m.tensor(random.standard_normal(tuple(p.shape)).astype(np.float32))
              for n, p in model.named_parameters()}
def loss(p, v, t):
    out = T.functional_call(model, p, (v[None],))
    return m.nn.functional.cross_entropy(out[None], t[None])
found = m.vmap(T.grad(loss), in_dims=(None, 0, 0))(parameters, x, i % 2)
result = [found[n] for n in sorted(found)]
result += [T.grad(loss)(parameters, x[0], i[0] % 2)[n] for n in sorted(found)]
"""


def names(m):
    random = np.random.default_rng(0)
    shapes = {"x": (4, 3), "y": (4, 3), "w": (3, 2)}
    made = {
        name: m.tensor(random.standard_normal(shape).astype(np.float32), requires_grad=True)
        for name, shape in shapes.items()
    }
    paths = {"T": "func", "A": "autograd.functional", "P": "utils._pytree"}
    modules = {k: importlib.import_module(f"{m.__name__}.{v}") for k, v in paths.items()}
    return {"m": m, "np": np, "i": m.tensor([0, 5, 2, 3]), **made, **modules}


def flat(result, tensor):
    if isinstance(result, dict):
        return flat([result[key] for key in sorted(result)], tensor)
    if isinstance(result, list | tuple):
        return [x for part in result for x in flat(part, tensor)]
    return [result] if isinstance(result, tensor) else []


def outcome(m, run):
    known = names(m)
    try:
        results = flat(run(known), m.Tensor)
    except Exception as error:
        return type(error).__name__, [], []
    inexact = [x for x in results if x.requires_grad]
    if inexact:
        sum(x.square().sum() for x in inexact).backward()
    gradients = [known[name].grad for name in "xyw"]
    return None, [x.detach().numpy() for x in results], [
        None if g is None else g.numpy() for g in gradients
    ]  # fmt: skip


def same(run, tolerance=2e-5):
    (error, ours, slopes), (expected, theirs, wanted) = (outcome(m, run) for m in (picograd, torch))
    assert error == expected
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=tolerance)
    for a, b in zip(slopes, wanted, strict=True):
        if a is None or b is None:
            assert (a is None or not a.any()) and (b is None or not b.any())
        else:
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=tolerance * np.abs(b).max() + 1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_as_in_torch(expression):
    same(lambda known: eval(expression, known))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("program", [STACKED, PER_SAMPLE], ids=["stacked", "per sample"])
def test_programs(program):
    def run(known):
        exec(program, known)
        return known["result"]

    same(run)


def test_the_batch_is_one_graph():
    """The number of programs and kernels doesn't grow with the number of examples."""
    from picograd import engine

    counts = []
    for size in (3, 300):
        x = picograd.randn(size, 5)
        engine.statistics.reset()
        picograd.vmap(lambda v: (v.softmax(0) * v).sum())(x).sum().item()
        counts.append((engine.statistics.programs_run, engine.statistics.kernels_run))
    assert counts[0] == counts[1]


def test_outside_tensors_are_not_written():
    total = picograd.zeros(3)
    with pytest.raises(RuntimeError, match="in-place"):
        picograd.vmap(lambda v: total.add_(v))(picograd.ones(2, 3))
    assert total.tolist() == [0, 0, 0]
    assert picograd.vmap(lambda v: v.clone().add_(1))(picograd.ones(2, 3)).sum().item() == 12
