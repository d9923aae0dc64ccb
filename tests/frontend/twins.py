"""Runs one program with torch and with picograd and compares everything it returns.

A program is a function of the module. Tensors are compared by shape, dtype, requires_grad and
values; exceptions by type and (unless `messages` is off) message.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")


def outcome(program: Callable, module: object) -> object:
    try:
        return plain(program(module))
    except Exception as error:
        return (type(error).__name__, str(error))


def plain(value: object) -> object:
    """A result as nested plain Python data."""
    if isinstance(value, (torch.Tensor, picograd.Tensor)):
        body = value.detach()
        if str(value.dtype).endswith("bfloat16"):
            body = body.float()
        array = np.array(body.tolist())
        return ("tensor", tuple(value.shape), str(value.dtype), value.requires_grad, array)
    if isinstance(value, (torch.dtype, picograd.DType)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return ("array", value.shape, str(value.dtype), value)
    return value


def agree(a: object, b: object, tolerance: float) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.shape != b.shape:
            return False
        if a.dtype.kind in "fc" or b.dtype.kind in "fc":
            return np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
        return bool((a == b).all())
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(agree(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
    return type(a) is type(b) and a == b


def same(program: Callable, tolerance: float = 1e-5, messages: bool = True) -> object:
    """Assert that a program does the same in both; returns picograd's outcome."""
    expected, found = outcome(program, torch), outcome(program, picograd)
    if not messages and is_error(expected) and is_error(found):
        expected, found = expected[0], found[0]
    assert agree(expected, found, tolerance), f"torch: {expected}\npicograd: {found}"
    return found


def is_error(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str)
