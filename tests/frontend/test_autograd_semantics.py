"""What torch's autograd refuses, notices and tells: writes to saved values, NaN, hooks, checks.

Each statement runs in both libraries; `x` is a leaf of two float32 numbers, `b` is `x * 2`. Equal
are the results, or the types of the errors.
"""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")

SAVED = [  # written after it was used
    f"y = {expression}; b.add_(1); y.sum().backward(); r = x.grad"
    for expression in [
        "b.exp()", "b.log()", "b.sin()", "b.cos()", "b.tanh()", "b.sqrt()", "b * b", "b * 3",
        "b * m.ones(2)", "b + 1", "b - b", "b / 3", "1 / b", "b / b", "b ** 2", "b ** 2.5", "-b",
        "b.abs()", "b.relu()", "b.sigmoid()", "b.softmax(0)", "b.sum()", "b.mean()", "b.view(2, 1)",
        "b.clone()", "b[None] @ b[:, None]", "m.nn.functional.linear(b[None], m.ones(3, 2))",
        "m.nn.functional.linear(m.ones(3, 2), b[None])", "m.dot(b, b)", "m.where(b > 0, b, b)",
        "m.cat([b, b])", "b.cumsum(0)", "b.expand(3, 2)", "b.log_softmax(0)", "m.stack([b])",
        "b.atan()", "b.erf()", "b.expm1()", "b.log1p()", "b[b > 0]", "b[[0]]", "b.t() + b.T",
    ]
]  # fmt: skip
RESULTS = [  # the result is written
    f"y = {expression}; y.mul_(2); y.sum().backward(); r = x.grad"
    for expression in [
        "x.exp()", "x.log()", "x.sin()", "x.tanh()", "x.sqrt()", "x * x", "x.relu()", "x.sigmoid()",
        "x.softmax(0)", "x.log_softmax(0)", "1 / x", "x ** 2", "x + 1", "x.clamp(0)", "x.abs()",
        "x @ m.eye(2)", "m.nn.functional.linear(x, m.eye(2))",
    ]
]  # fmt: skip
STATEMENTS = [
    *SAVED,
    *RESULTS,
    "w = x.detach().clone().requires_grad_(); b.mul_(w); b.sum().backward(); r = [x.grad, w.grad]",
    "w = x.detach().clone().requires_grad_(); b *= w; b *= w; b.sum().backward(); r = w.grad",
    "b.div_(x); b.sum().backward(); r = x.grad",
    "b.exp_(); b.sum().backward(); r = x.grad",
    "b.sigmoid_().sum().backward(); r = x.grad",
    "m.nn.functional.relu(b, inplace=True).sum().backward(); r = x.grad",
    "m.nn.functional.silu(b, inplace=True).sum().backward(); r = x.grad",
    "m.nn.functional.hardswish(b, inplace=True).sum().backward(); r = x.grad",
    "b.pow_(3); b.sum().backward(); r = x.grad",
    "b[0] = 7; (b * b).sum().backward(); r = x.grad",
    "y = b * b; b[0] = 7; y.sum().backward(); r = x.grad",
    "y = b[:1] * b[1:]; b[0] = 7; y.sum().backward(); r = x.grad",
    "y = b.exp(); y[0] = 0; y.sum().backward(); r = x.grad",
    "y = b * b; b.detach().zero_(); y.sum().backward()",
    "y = (x * x).sum(); n = m.no_grad(); n.__enter__(); x.add_(1); n.__exit__(None, None, None); "
    "y.backward()",
    "y = (x * x).sum(); x.data.add_(1); y.backward(); r = x.grad.shape",
    "l = m.nn.Linear(2, 1); o = m.optim.SGD(l.parameters(), 0.1); y = l(b).sum(); "
    "y.backward(retain_graph=True); o.step(); y.backward()",
    "l = m.nn.Linear(2, 1); o = m.optim.SGD(l.parameters(), 0.1)\n"
    "for _ in range(3): l(x).sum().backward(); o.step()\nr = x.grad.shape",
    "r = [x._version, x.detach().add_(1)._version, x[0]._version, b._version]",
    "y = (x * x).sum(); y.backward(); y.backward()",
    "y = (x + 1).sum(); y.backward(); y.backward(); r = x.grad",
    "with m.autograd.detect_anomaly(): (x.sub(x).sqrt() * 0).sum().backward()",
    "with m.autograd.detect_anomaly(): (x * 2).sum().backward()\nr = x.grad",
    "with m.autograd.set_detect_anomaly(True): r = [m.is_anomaly_enabled()]\n"
    "r.append(m.is_anomaly_enabled())",
    "r = m.autograd.gradcheck(lambda a: a.sin() * a, x.detach().double().requires_grad_())",
    "r = m.autograd.gradgradcheck(lambda a: a.sin() * a, x.detach().double().requires_grad_())",
    "class F(m.autograd.Function):\n"
    "    forward = staticmethod(lambda ctx, a: a * 2)\n"
    "    backward = staticmethod(lambda ctx, g: g * 3)\n"
    "d = x.detach().double().requires_grad_()\n"
    "r = m.autograd.gradcheck(F.apply, d, raise_exception=False)\nm.autograd.gradcheck(F.apply, d)",
    "m.autograd.gradcheck(m.sin, x.detach().double())",
    "y = x * 3; y.grad_fn.register_prehook(lambda g: (g[0] * 2,)); y.sum().backward(); r = x.grad",
    "w = x.detach().clone().requires_grad_(); r = []\n"
    "h = graph.register_multi_grad_hook((x, w), lambda gs: r.extend(gs))\n"
    "(x * w).sum().backward(); h.remove(); (x * w).sum().backward()",
    "r = []; h = graph.register_multi_grad_hook((x, b), r.append, mode='any')\n"
    "(x * b).sum().backward(); r = len(r)",
    "graph.register_multi_grad_hook((x,), print, mode='some')",
    "with graph.save_on_cpu(): y = (x * x).sum()\ny.backward(); r = x.grad",
    "r = [isinstance(b.grad_fn, graph.Node), b.grad_fn.name()]",
    "r = x.grad_fn",
    "q = b.view(1, 1, 2, 1); v = q * 3\n"
    "y = m.nn.functional.scaled_dot_product_attention(q, q, v); v.detach().add_(1)\n"
    "y.sum().backward()",
    "q = b.view(1, 1, 2, 1); v = q * 3\n"
    "y = m.nn.functional.scaled_dot_product_attention(q, q * 2, v, scale=0.7)\n"
    "(r,) = m.autograd.grad(y.pow(3).sum(), x)",
]  # fmt: skip


def outcome(m, statement):
    x = m.tensor([0.5, 2.0], requires_grad=True)
    graph = importlib.import_module(f"{m.__name__}.autograd.graph")
    names = {"m": m, "x": x, "b": x * 2, "graph": graph}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(statement, names)
    except Exception as error:
        kept = "modified by an inplace" in str(error), "nan values" in str(error)
        return [type(error).__name__, *kept]
    return flat(names.get("r"))


def flat(r):
    if isinstance(r, list | tuple):
        return [x for part in r for x in flat(part)]
    return [r.detach().tolist() if hasattr(r, "detach") else r]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_as_in_torch(statement):
    ours, theirs = outcome(picograd, statement), outcome(torch, statement)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, list | float):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        else:
            assert a == b, (ours, theirs)


def test_anomaly_names_the_line():
    with picograd.autograd.detect_anomaly():
        x = picograd.zeros(1, requires_grad=True)
        y = x.sqrt()
    with (
        picograd.autograd.detect_anomaly(),
        pytest.warns(UserWarning, match=r"test_autograd_semantics\.py:"),
        pytest.raises(RuntimeError, match=r"SqrtBackward0.*nan"),
    ):
        (y * 0).sum().backward()
