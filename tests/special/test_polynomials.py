"""Orthogonal polynomials are torch's, for one degree and for a tensor of degrees."""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")
NAMES = [name for name in picograd.special.__all__ if "polynomial" in name]
POINTS = np.linspace(-0.95, 0.95, 13)


@pytest.mark.parametrize("name", NAMES)
def test_as_torch(name):
    degrees = np.arange(13.0) - 1
    ours, theirs = (getattr(m.special, name) for m in (picograd, torch))
    for degree in (-1, 0, 1, 2, 5, 8):
        np.testing.assert_allclose(
            ours(picograd.tensor(POINTS), degree).numpy(),
            theirs(torch.tensor(POINTS), degree).numpy(),
            rtol=1e-9,
            atol=1e-10,
        )
    np.testing.assert_allclose(
        ours(picograd.tensor(POINTS), picograd.tensor(degrees)).numpy(),
        theirs(torch.tensor(POINTS), torch.tensor(degrees)).numpy(),
        rtol=1e-9,
        atol=1e-10,
    )


def test_zeta_at_poles():
    q = np.array([0.0, -1.0, 2.0])
    ours, theirs = (m.special.zeta(2.0, m.tensor(q)).numpy() for m in (picograd, torch))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
