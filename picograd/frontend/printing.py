"""How tensors print: exactly as torch prints them.

In: a tensor. Out: its `repr`. Floats share one format per tensor, chosen from its finite nonzero
elements; tensors of more than `threshold` elements show `edgeitems` at each end of every axis.

>>> import picograd
>>> picograd.tensor([[1.0, 2.5], [1e-3, 4.0]])
tensor([[1.0000e+00, 2.5000e+00],
        [1.0000e-03, 4.0000e+00]])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from picograd.dtypes import bool_, complex64, int64
from picograd.frontend.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Options:
    """What `set_printoptions` sets."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": Options(),
    "short": Options(precision=2, edgeitems=2),
    "full": Options(threshold=math.inf),
}
_options: list[Options] = [Options()]


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors print; what isn't given stays, except `sci_mode` (None: automatic)."""
    options = _options[0] if profile is None else PROFILES[profile]
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    _options[0] = replace(options, **changed, sci_mode=sci_mode)


class _Formatter:
    """The common format of all the (shown) elements of a tensor."""

    def __init__(self, values: np.ndarray, options: Options) -> None:
        self.floating = values.dtype.kind == "f"
        self.integral = True
        self.scientific = False
        self.precision = options.precision
        self.width = 1
        flat = values.reshape(-1)
        if not self.floating:
            self.width = max([1, *[len(str(value)) for value in flat.tolist()]])
            return
        usable = flat[np.isfinite(flat) & (flat != 0)].astype(np.float64)
        if not usable.size:
            return
        sizes = np.abs(usable)
        least, most = sizes.min(), sizes.max()
        self.integral = bool((usable == np.ceil(usable)).all())
        with np.errstate(over="ignore"):
            ratio = most / least
        self.scientific = bool(ratio > 1000.0 or most > 1.0e8)
        if not self.integral:
            self.scientific = self.scientific or bool(least < 1.0e-4)
        if options.sci_mode is not None:
            self.scientific = options.sci_mode
        # Zeros, infinities and NaN don't count, as in torch: they may stick out.
        self.width = max([len(self._finite(value)) for value in usable.tolist()])

    def _finite(self, value: float) -> str:
        if self.scientific:
            return f"{value:.{self.precision}e}"
        if self.integral:
            return f"{value:.0f}."
        return f"{value:.{self.precision}f}"

    def format(self, value: float | int | bool) -> str:
        """One element, padded to the common width."""
        if not self.floating:
            return str(value).rjust(self.width)
        text = self._finite(value) if math.isfinite(value) else str(value)
        return text.rjust(self.width)


def _complex_format(values: np.ndarray, options: Options) -> tuple[int, Callable[..., str]]:
    real = _Formatter(np.real(values), options)
    imaginary = _Formatter(np.imag(values), options)

    def show(value: complex) -> str:
        first = real.format(value.real)
        second = imaginary.format(value.imag).lstrip()
        if second.startswith("-"):
            return f"{first}-{second[1:]}j"
        return f"{first}+{second}j"

    return real.width + imaginary.width + 1, show


def _edges(array: np.ndarray, edge: int) -> np.ndarray:
    """The elements that a summary shows, as one array."""
    for axis, extent in enumerate(array.shape):
        if extent > 2 * edge:
            ends = (*range(edge), *range(extent - edge, extent))
            array = array.take(ends, axis)
    return array


def _lines(
    array: np.ndarray,
    indent: int,
    options: Options,
    summarise: bool,
    width: int,
    show: Callable[..., str],
) -> str:
    """The bracketed text of an array of any rank."""
    if array.ndim == 0:
        return show(array.item())
    if array.ndim == 1:
        return _row(array, indent, options, summarise, width, show)
    edge = options.edgeitems
    if summarise and len(array) > 2 * edge:
        parts = [*array[:edge], None, *array[-edge:]]
    else:
        parts = list(array)
    texts = [
        "..." if part is None else _lines(part, indent + 1, options, summarise, width, show)
        for part in parts
    ]
    between = "," + "\n" * (array.ndim - 1) + " " * (indent + 1)
    return "[" + between.join(texts) + "]"


def _row(
    array: np.ndarray,
    indent: int,
    options: Options,
    summarise: bool,
    width: int,
    show: Callable[..., str],
) -> str:
    per_line = max(1, math.floor((options.linewidth - indent) / (width + 2)))
    edge = options.edgeitems
    if summarise and not options.sci_mode and len(array) > 2 * edge:
        shown = [show(v) for v in array[:edge].tolist()]
        shown += [" ..."]
        shown += [show(v) for v in array[-edge:].tolist()]
    else:
        shown = [show(v) for v in array.tolist()]
    lines = [", ".join(shown[at : at + per_line]) for at in range(0, len(shown), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _body(x: Tensor, indent: int) -> str:
    from picograd.frontend.memory import host_array

    options = _options[0]
    count = x.numel()
    if count == 0:
        return "[]"
    array = host_array(x)
    if x.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    summarise = count > options.threshold
    visible = _edges(array, options.edgeitems) if summarise else array
    if array.dtype.kind == "c":
        width, show = _complex_format(visible, options)
    else:
        formatter = _Formatter(visible, options)
        width, show = formatter.width, formatter.format
    return _lines(array, indent, options, summarise, width, show)


def represent(self: Tensor) -> str:
    """`repr(x)` and `str(x)`."""
    from picograd.frontend.promotion import get_default_dtype

    is_parameter = type(self).__name__ == "Parameter"
    prefix = "tensor("
    suffixes = []
    if self._storage.node.device != "cpu":
        suffixes.append(f"device='{self.device}'")
    usual = (get_default_dtype(), int64, bool_, complex64)
    if self.numel() == 0:
        if self.ndim != 1:
            suffixes.append(f"size={tuple(self._shape)}")
        if self.dtype is not get_default_dtype():
            suffixes.append(f"dtype={self.dtype}")
    elif self.dtype not in usual:
        suffixes.append(f"dtype={self.dtype}")
    text = _body(self._alias(), len(prefix))
    grad_fn = self.grad_fn
    if grad_fn is not None:
        suffixes.append(f"grad_fn=<{grad_fn.name()}>")
    elif self.requires_grad:
        suffixes.append("requires_grad=True")
    text = _with_suffixes(prefix + text, suffixes, len(prefix))
    return f"Parameter containing:\n{text}" if is_parameter else text


def _with_suffixes(text: str, suffixes: list[str], indent: int) -> str:
    """The suffixes behind the body, on a new line where the line would grow too long."""
    parts = [text]
    length = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if length + len(suffix) + 2 > _options[0].linewidth:
            parts.append(",\n" + " " * indent + suffix)
            length = indent + len(suffix)
        else:
            parts.append(", " + suffix)
            length += len(suffix) + 2
    parts.append(")")
    return "".join(parts)
