"""Windows that taper a signal: `torch.signal.windows` and `torch.hann_window` and its kin.

In: a length and the shape's parameters. Out: a tensor of that length. A symmetric window (`sym`) is
the whole shape; a periodic one is the shape of one more sample without its last. The samples are
computed in double precision on the host: a window is made once and is small.

>>> bartlett(5).tolist()
[0.0, 0.5, 1.0, 0.5, 0.0]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from picograd.dtypes import DType
from picograd.frontend.interop import tensor
from picograd.frontend.promotion import get_default_dtype
from picograd.frontend.tensor import Tensor

Shape = Callable[[np.ndarray, int], np.ndarray]
_NUTTALL = (0.3635819, 0.4891775, 0.1365995, 0.0106411)


def _window(
    name: str, count: int, sym: bool, shape: Shape, dtype: DType | None = None, **options: Any
) -> Tensor:
    """The first `count` samples of `shape(n, length)`, whose length is one more if not `sym`."""
    chosen = dtype or get_default_dtype()
    if count < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={count}")
    if not chosen.is_float:
        raise ValueError(f"{name} expects floating point dtypes, got: {chosen}")
    options.pop("layout", None)
    options.pop("pin_memory", None)
    length = count if sym or count < 2 else count + 1
    samples = shape(np.arange(count, dtype=np.float64), length)
    return tensor(samples, dtype=chosen, **options)


def _cosines(weights: Iterable[float]) -> Shape:
    """The sum of `(-1)**k * weights[k] * cos(2 pi k n / (length - 1))`; 1 for a single sample."""
    kept = list(weights)

    def shape(n: np.ndarray, length: int) -> np.ndarray:
        if length == 1:
            return np.ones_like(n)
        angle = 2 * np.pi * n / (length - 1)
        return sum(((-1) ** k * w * np.cos(k * angle) for k, w in enumerate(kept)), n * 0)

    return shape


def _triangle(n: np.ndarray, length: int) -> np.ndarray:
    return np.ones_like(n) if length == 1 else 1 - np.abs(2 * n / (length - 1) - 1)


def _kaiser(beta: float) -> Shape:
    def shape(n: np.ndarray, length: int) -> np.ndarray:
        if length == 1:
            return np.ones_like(n)
        place = 2 * n / (length - 1) - 1
        return np.i0(beta * np.sqrt(np.maximum(1 - place * place, 0))) / np.i0(beta)

    return shape


def general_cosine(M: int, *, a: Iterable[float], sym: bool = True, **options: Any) -> Tensor:
    """A sum of cosines with the weights `a`, the signs alternating."""
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    weights = list(a)
    if not weights:
        raise ValueError("Coefficients cannot be empty")
    return _window("general_cosine", M, sym, _cosines(weights), **options)


def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, **options: Any) -> Tensor:
    """`alpha` less `1 - alpha` times one cosine."""
    return _window("general_hamming", M, sym, _cosines((alpha, 1 - alpha)), **options)


def hamming(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Hamming's window."""
    return _window("hamming", M, sym, _cosines((0.54, 0.46)), **options)


def hann(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Hann's window."""
    return _window("hann", M, sym, _cosines((0.5, 0.5)), **options)


def blackman(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Blackman's window."""
    return _window("blackman", M, sym, _cosines((0.42, 0.5, 0.08)), **options)


def nuttall(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Nuttall's window of four cosines."""
    return _window("nuttall", M, sym, _cosines(_NUTTALL), **options)


def bartlett(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """A triangle that is 0 at both ends."""
    return _window("bartlett", M, sym, _triangle, **options)


def cosine(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Half a period of a sine."""

    def shape(n: np.ndarray, length: int) -> np.ndarray:
        return np.sin(np.pi * (n + 0.5) / max(length, 1))

    return _window("cosine", M, sym, shape, **options)


def gaussian(M: int, *, std: float = 1.0, sym: bool = True, **options: Any) -> Tensor:
    """The bell curve of a standard deviation given in samples."""
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")

    def shape(n: np.ndarray, length: int) -> np.ndarray:
        return np.exp(-0.5 * ((n - (length - 1) / 2) / std) ** 2)

    return _window("gaussian", M, sym, shape, **options)


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, **options: Any
) -> Tensor:
    """Exponential decay on both sides of a centre."""
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")

    def shape(n: np.ndarray, length: int) -> np.ndarray:
        middle = (length - 1) / 2 if center is None else center
        return np.exp(-np.abs(n - middle) / tau)

    return _window("exponential", M, sym, shape, **options)


def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, **options: Any) -> Tensor:
    """Kaiser's window: a modified Bessel function of a half circle."""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return _window("kaiser", M, sym, _kaiser(beta), **options)


# The older functions, which are periodic unless told otherwise.


def hann_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """`torch.hann_window`."""
    return hann(window_length, sym=not periodic, **options)


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    **options: Any,
) -> Tensor:
    """`torch.hamming_window`: `alpha` less `beta` times one cosine."""
    shape = _cosines((alpha, beta))
    return _window("hamming_window", window_length, not periodic, shape, **options)


def blackman_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """`torch.blackman_window`."""
    return blackman(window_length, sym=not periodic, **options)


def bartlett_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """`torch.bartlett_window`."""
    return bartlett(window_length, sym=not periodic, **options)


def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, **options: Any
) -> Tensor:
    """`torch.kaiser_window`."""
    return kaiser(window_length, beta=beta, sym=not periodic, **options)
