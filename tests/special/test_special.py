"""Special functions are torch's to 1e-12 in float64 and 1e-5 in float32; so are derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")
SEED = 20261123
LINE = np.concatenate([np.linspace(-30.3, 30.3, 98), [0.5, 1.0, 2.0, 0.1, 150.0, -0.25]])
RIGHT = np.concatenate([np.linspace(0.01, 40, 77), [1.0, 2.0, 1e-4, 500.0]])
UNIT = np.concatenate([np.linspace(0.001, 0.999, 41), [1e-12, 1e-7, 0.5]])
EDGES = np.array([0.0, -0.0, 1.0, 2.0, -1.0, -2.0, np.inf, -np.inf, np.nan])

FUNCTIONS = [
    ("lgamma(x)", LINE),
    ("torch.lgamma(x)", RIGHT),
    ("digamma(x)", LINE),
    ("psi(x) + gammaln(x)", RIGHT),
    ("polygamma(1, x)", LINE),
    ("polygamma(2, x)", RIGHT),
    ("polygamma(3, x)", RIGHT),
    ("multigammaln(x + 2, 3)", RIGHT),
    ("i0(x)", LINE),
    ("i0e(x)", LINE),
    ("i1(x)", LINE),
    ("i1e(x)", LINE),
    ("ndtr(x)", LINE),
    ("ndtri(x)", UNIT),
    ("log_ndtr(x)", LINE),
    ("erfcx(x)", np.linspace(-4, 40, 81)),
    ("entr(x)", UNIT),
    ("xlog1py(x, x)", UNIT),
    ("expit(x)", LINE),
    ("logit(x)", UNIT),
]


def run(module, expression, array, grad=True):
    x = module.tensor(array, requires_grad=grad)
    names = {
        name: getattr(module.special, name)
        for name in picograd.special.__all__
        if hasattr(module.special, name)
    }
    result = eval(expression, names | {"x": x, "torch": module, "lgamma": module.lgamma})
    return x, result


@pytest.mark.parametrize(("expression", "points"), FUNCTIONS)
def test_values_and_gradients(expression, points):
    for dtype, rtol in ((np.float64, 1e-11), (np.float32, 1e-5)):
        array = points.astype(dtype)
        if dtype == np.float32:
            array = array[np.abs(array) < 80]
        rows = []
        for module in (picograd, torch):
            # torch in float64 judges both: near poles its float32 has three digits.
            given = array if module is picograd else array.astype(np.float64)
            x, result = run(module, expression, given)
            (first,) = module.autograd.grad(result.sum(), x)
            rows.append([result.detach().numpy(), first.numpy()])
        # torch's trigamma, which is digamma's derivative, is right to 1e-9 only.
        value = max(rtol, 1e-8) if "polygamma(1" in expression else rtol
        slope = max(rtol, 1e-8) if expression[:3] in ("dig", "psi") else rtol * 5
        np.testing.assert_allclose(rows[0][0], rows[1][0], rtol=value, atol=rtol * 1e-2)
        np.testing.assert_allclose(rows[0][1], rows[1][1], rtol=slope, atol=rtol)


@pytest.mark.parametrize(
    "expression", ["lgamma(x)", "digamma(x)", "i0(x)", "ndtr(x)", "entr(x)", "log_ndtr(x)"]
)
def test_edges(expression):
    ours, theirs = (run(m, expression, EDGES, False)[1].numpy() for m in (picograd, torch))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def test_second_derivatives():
    for expression in ("lgamma(x)", "i0(x)", "ndtri(x)", "log_ndtr(x)"):
        rows = []
        for module in (picograd, torch):
            x, result = run(module, expression, UNIT[5:30])
            (first,) = module.autograd.grad(result.sum(), x, create_graph=True)
            (second,) = module.autograd.grad(first.sum(), x)
            rows.append(second.numpy())
        np.testing.assert_allclose(rows[0], rows[1], rtol=1e-8, atol=1e-9)


def test_known_values():
    x = picograd.tensor([1.0, 0.5], dtype=picograd.float64)
    trigamma = picograd.polygamma(1, x).numpy()
    np.testing.assert_allclose(trigamma, [np.pi**2 / 6, np.pi**2 / 2], rtol=1e-14)


def test_zeta():
    s, q = np.meshgrid([1.5, 2.0, 3.7, 8.0], [0.3, 1.0, 4.5])
    ours, theirs = (m.special.zeta(m.tensor(s), m.tensor(q)).numpy() for m in (picograd, torch))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_in_place_and_methods():
    x = picograd.tensor([3.0, 4.0])
    assert x.lgamma().tolist() == picograd.lgamma(x).tolist()
    assert x.polygamma(1).tolist() == picograd.polygamma(1, x).tolist()
    x.lgamma_()
    np.testing.assert_allclose(x.numpy(), [np.log(2), np.log(6)], rtol=1e-6)
