"""Fourier transforms give torch's numbers, gradients, gradients of gradients and errors."""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")
SEED = 20261122

# expression of a: "r" real or "c" complex, shape
CASES = [
    *[(f"fft.{name}(a)", "c", (3, 7)) for name in ("fft", "ifft", "irfft", "hfft")],
    *[(f"fft.{name}(a)", "r", (3, 7)) for name in ("fft", "ifft", "irfft", "hfft")],
    *[(f"fft.{name}(a)", "r", (3, 8)) for name in ("rfft", "ihfft", "rfftn", "rfft2", "ihfftn")],
    *[(f"fft.{name}(a)", "c", (2, 3, 5)) for name in ("fftn", "ifftn", "fft2", "ifft2")],
    *[(f"fft.{name}(a)", "c", (2, 3, 5)) for name in ("irfftn", "irfft2", "hfftn", "hfft2")],
    *[
        (f"fft.{name}(a, norm='{norm}')", kind, (2, 6))
        for kind, names in (("c", ("fft", "ifft", "irfft", "hfft")), ("r", ("rfft",)))
        for name in names
        for norm in ("forward", "backward", "ortho")
    ],
    *[(f"fft.{name}(a, n=9, dim=0)", "r", (5, 2)) for name in ("fft", "rfft", "irfft")],
    *[(f"fft.{name}(a, 4, 1)", "c", (2, 6)) for name in ("fft", "ifft", "irfft")],
    ("fft.fftn(a, s=(4, 3), dim=(0, 2))", "c", (2, 3, 5)),
    ("fft.rfftn(a, s=(4, -1))", "r", (2, 3, 5)),
    ("fft.irfftn(a, s=(4, 7), dim=(2, 0))", "c", (3, 2, 5)),
    ("fft.fftshift(a)", "r", (3, 4)),
    ("fft.ifftshift(a, dim=0)", "r", (5, 4)),
    ("fft.fft(a).abs()", "r", (16,)),
    ("fft.fft(a)", "i", (6,)),
]  # fmt: skip


def given(module, kind, shape):
    rng = np.random.default_rng(SEED)
    array = rng.standard_normal(shape)
    if kind == "c":
        array = array + 1j * rng.standard_normal(shape)
    if kind == "i":
        return module.tensor(rng.integers(0, 9, shape))
    return module.tensor(array, requires_grad=True)


def scalar(module, x):
    weights = np.random.default_rng(SEED + 1).standard_normal(tuple(x.shape))
    weighted = x * module.tensor(weights)
    if "complex" in repr(x.dtype):
        weighted = module.real(weighted) + 2 * module.imag(weighted)
    return (weighted**2).sum()


@pytest.mark.parametrize(("expression", "kind", "shape"), CASES)
def test_values_and_gradients(expression, kind, shape):
    found = []
    for module in (picograd, torch):
        a = given(module, kind, shape)
        result = eval(expression, {"fft": module.fft, "a": a})
        rows = [result]
        if kind != "i":
            (first,) = module.autograd.grad(scalar(module, result), a, create_graph=True)
            rows += [first, module.autograd.grad(scalar(module, first), a)[0]]
        found.append(rows)
    for ours, theirs in zip(*found, strict=True):
        theirs = theirs.detach().resolve_conj() + 0
        assert repr(ours.dtype) == repr(theirs.dtype)
        rtol = 1e-9 if "64" not in repr(ours.dtype) or "float" in repr(ours.dtype) else 1e-5
        np.testing.assert_allclose(
            ours.detach().numpy(), theirs.numpy(), rtol=rtol, atol=1e-8, err_msg=str(SEED)
        )


@pytest.mark.parametrize("n", [1, 4, 5])
@pytest.mark.parametrize("name", ["fftfreq", "rfftfreq"])
def test_frequencies(name, n):
    ours, theirs = (getattr(m.fft, name)(n, d=0.5, dtype=m.float64) for m in (picograd, torch))
    np.testing.assert_allclose(ours.numpy(), theirs.numpy())


def test_float32_gives_complex64():
    x = picograd.ones(4)
    assert picograd.fft.fft(x).dtype is picograd.complex64
    assert picograd.fft.irfft(picograd.fft.rfft(x)).dtype is picograd.float32


@pytest.mark.parametrize(
    "expression",
    [
        "fft.fft(a, norm='no')",
        "fft.fft(a, n=0)",
        "fft.fft(a, dim=5)",
        "fft.rfft(c)",
        "fft.fftn(a, dim=(0, 0))",
        "fft.fftn(a, s=(2, 2, 2))",
        "fft.fftn(a, s=(2,), dim=(0, 1))",
        "fft.fft('x')",
    ],
)
def test_errors(expression):
    kinds = []
    for module in (picograd, torch):
        names = {"fft": module.fft, "a": module.ones(2, 3), "c": module.ones(2, 3) + 1j}
        with pytest.raises(Exception) as error:
            eval(expression, names)
        kinds.append(error.type)
    assert kinds[0] is kinds[1]


def test_a_circulant_product_is_a_product_of_spectra():
    rng = np.random.default_rng(SEED)
    column, x = rng.standard_normal(12), rng.standard_normal(12)
    matrix = np.stack([np.roll(column, k) for k in range(12)], 1)
    spectra = [picograd.fft.rfft(picograd.tensor(v)) for v in (column, x)]
    product = picograd.fft.irfft(spectra[0] * spectra[1], n=12)
    np.testing.assert_allclose(product.numpy(), matrix @ x, atol=1e-12)
