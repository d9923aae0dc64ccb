"""Windows are torch's, sample by sample."""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")
ROWS = [
    *[
        f"torch.signal.windows.{name}({count}, {options})"
        for name in ("bartlett", "blackman", "cosine", "exponential", "gaussian", "hamming", "hann")
        for count, options in ((0, ""), (1, ""), (7, ""), (8, "sym=False, dtype=torch.float64"))
    ],
    "torch.signal.windows.nuttall(9)",
    "torch.signal.windows.kaiser(9, beta=5.0)",
    "torch.signal.windows.kaiser(8, sym=False)",
    "torch.signal.windows.gaussian(8, std=0.7, sym=False)",
    "torch.signal.windows.exponential(8, center=1, tau=2.5, sym=False)",
    "torch.signal.windows.general_cosine(8, a=[0.4, 0.3, 0.2, 0.1])",
    "torch.signal.windows.general_hamming(8, alpha=0.6)",
    *[
        f"torch.{name}_window({options})"
        for name in ("bartlett", "blackman", "hamming", "hann", "kaiser")
        for options in ("8", "9, False", "1", "0", "6, dtype=torch.float64")
    ],
    "torch.hamming_window(8, True, 0.6, 0.3)",
    "torch.kaiser_window(8, True, 3.0)",
]


@pytest.mark.parametrize("expression", ROWS)
def test_as_torch(expression):
    ours, theirs = (eval(expression, {"torch": m}).numpy() for m in (picograd, torch))
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-6)


def test_options_and_errors():
    assert picograd.hann_window(4, requires_grad=True).requires_grad
    with pytest.raises(ValueError, match="non-negative"):
        picograd.signal.windows.hann(-1)
    with pytest.raises(ValueError, match="floating"):
        picograd.signal.windows.hann(3, dtype=picograd.int64)
