"""Comparing tensors in tests.

In: two tensors (arrays, numbers, or containers of them). Out: nothing, or AssertionError that says
how many elements differ, by how much, and where the largest difference is.

>>> import picograd
>>> assert_close(picograd.ones(2), picograd.ones(2) + 1e-7)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from picograd import paths
from picograd.dtypes import DType
from picograd.frontend.hostdata import values
from picograd.frontend.interop import as_tensor
from picograd.frontend.tensor import Tensor

# dtype -> relative and absolute tolerance
_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol |expected| everywhere."""
    if (rtol is None) != (atol is None):
        raise ValueError("rtol and atol must both be specified or both be unspecified")
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if set(actual) != set(expected):
            _fail(f"The keys of the mappings do not match: {set(actual) ^ set(expected)}", msg)
        pairs = [(actual[key], expected[key]) for key in expected]
    elif _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            _fail(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", msg)
        pairs = list(zip(actual, expected, strict=True))
    else:
        _compare(actual, expected, rtol, atol, equal_nan, check_device, check_dtype, msg)
        return
    for a, b in pairs:
        assert_close(
            a, b, rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=check_device,
            check_dtype=check_dtype, msg=msg,
        )  # fmt: skip


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _fail(text: str, msg: str | Callable[[str], str] | None) -> None:
    raise AssertionError(text if msg is None else msg if isinstance(msg, str) else msg(text))


def _compare(
    actual: Any,
    expected: Any,
    rtol: float | None,
    atol: float | None,
    equal_nan: bool,
    check_device: bool,
    check_dtype: bool,
    msg: str | Callable[[str], str] | None,
) -> None:
    if isinstance(actual, Tensor) != isinstance(expected, Tensor):
        raise TypeError(
            f"No comparison pair was able to handle inputs of type {type(actual)} and "
            f"{type(expected)}."
        )
    numbers = not isinstance(actual, Tensor)
    a, b = as_tensor(actual).detach(), as_tensor(expected).detach()
    if a.shape != b.shape:
        _fail(f"The values for attribute 'shape' do not match: {a.shape} != {b.shape}.", msg)
    if check_device and a.device != b.device:
        _fail(f"The values for attribute 'device' do not match: {a.device} != {b.device}.", msg)
    if check_dtype and not numbers and a.dtype is not b.dtype:
        _fail(f"The values for attribute 'dtype' do not match: {a.dtype} != {b.dtype}.", msg)
    if rtol is None or atol is None:
        pairs = [_TOLERANCES.get(x.dtype.name, (0.0, 0.0)) for x in (a, b)]
        rtol, atol = (max(pair[n] for pair in pairs) for n in (0, 1))
    x, y = (np.asarray(t.tolist()) if t.dtype.name == "bfloat16" else values(t) for t in (a, b))
    wide = np.complex128 if a.dtype.is_complex or b.dtype.is_complex else np.float64
    exact = x.dtype.kind in "biu" and y.dtype.kind in "biu"
    p, q = x.astype(wide), y.astype(wide)
    with np.errstate(all="ignore"):
        near = x == y if exact else np.isclose(p, q, rtol, atol, equal_nan)
        if near.all():
            return
        off = np.abs(p - q)
    worst = np.unravel_index(int(np.nanargmax(np.where(near, -1, off))), off.shape)
    _fail(
        f"{'Scalars' if off.ndim == 0 else 'Tensor-likes'} are not close!\n\n"
        f"Mismatched elements: {int((~near).sum())} / {near.size} "
        f"({100 * float((~near).mean()):.1f}%)\n"
        f"Greatest absolute difference: {off[worst]} at index {tuple(map(int, worst))} "
        f"(up to {atol} allowed)\n"
        f"Greatest relative difference: {off[worst] / abs(q[worst])} at index "
        f"{tuple(map(int, worst))} (up to {rtol} allowed)",
        msg,
    )


def default_tolerances(
    *inputs: Tensor | DType, dtype_precisions: dict[DType, tuple[float, float]] | None = None
) -> tuple[float, float]:
    """The largest relative and absolute tolerances that `assert_close` has for dtypes."""
    dtypes = [one if isinstance(one, DType) else one.dtype for one in inputs]
    given = dtype_precisions or {}
    pairs = [given.get(one, _TOLERANCES.get(one.name, (0.0, 0.0))) for one in dtypes]
    return max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)


assert_allclose = assert_close
paths.publish(__name__, "_comparison", {"default_tolerances": default_tolerances})
