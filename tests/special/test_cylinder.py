"""Bessel functions are torch's on both sides of each border between formulas."""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")
RIGHT = np.concatenate([np.linspace(0.05, 40, 83), [0.0, 1.999, 2.0, 11.99, 12.0, 100.0, np.nan]])
NAMES = [name for name in picograd.special.__all__ if "bessel" in name]


@pytest.mark.parametrize("name", NAMES)
def test_as_torch(name):
    points = RIGHT if name[-2] in "yk" else np.concatenate([RIGHT, -RIGHT])
    ours, theirs = (getattr(m.special, name)(m.tensor(points)).numpy() for m in (picograd, torch))
    # torch's J and Y are right to 5e-7 only around 5; ours are to 1e-12.
    atol = 6e-7 if name.startswith("bessel") else 1e-12
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=atol)


def test_left_of_zero():
    x = picograd.tensor([-1.0])
    for name in ("bessel_y0", "bessel_y1", "modified_bessel_k0", "scaled_modified_bessel_k1"):
        assert getattr(picograd.special, name)(x).isnan().all()


# From SciPy, at 5.5 and 11.9.
KNOWN = {
    "bessel_j0": (-0.006843869417819189, 0.02504944169958986),
    "bessel_j1": (-0.34143821542904335, -0.22898324966192404),
    "bessel_y0": (-0.339480592881911, -0.2298332139433751),
    "bessel_y1": (-0.02375823895638965, -0.03471149833403043),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_values(name):
    x = picograd.tensor([5.5, 11.9], dtype=picograd.float64)
    found = getattr(picograd.special, name)(x).numpy()
    np.testing.assert_allclose(found, KNOWN[name], rtol=1e-10, atol=2e-12)
