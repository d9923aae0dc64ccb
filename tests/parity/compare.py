"""Tries an expression on a sample in torch and in picograd.

In: a `Row` of `tests/parity/table.py` and the name of one of its samples. Out: `outcomes`, what
each of the two libraries gives as plain data, and `difference`, what differs, in words.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import picograd
from tests.frontend.twins import agree, is_error, plain
from tests.parity.table import SAMPLES, Row

torch = pytest.importorskip("torch")

LIBRARIES = (torch, picograd)
ELEMENTWISE = tuple(name for name in SAMPLES if name != "wide")


def numbers(row: Row, dtype: str, key: str) -> Callable[..., np.ndarray]:
    """A source of arrays of the row's range: the same for every library."""
    rng = np.random.default_rng(zlib.crc32(f"{row.text} {dtype} {key}".encode()))

    def array(*shape: int) -> np.ndarray:
        if dtype == "bool":
            return rng.random(shape) < 0.5
        values = np.asarray(rng.uniform(row.low, row.high, shape))
        if dtype.startswith(("int", "uint")):
            values = np.round(values) if dtype.startswith("int") else np.abs(np.round(values))
        return values.astype(dtype)

    return array


def names(m: object, row: Row, sample: str, dtype: str) -> dict[str, object]:
    """What the expression of a row may use, for one library."""
    a = numbers(row, dtype, sample)
    tensors = {name: SAMPLES[sample](m, a) for name in "xy" if name == "x" or "y" in row.text}
    return {"m": m, "F": m.nn.functional, **tensors}


def guarded(program: Callable[[object], object], m: object) -> object:
    """What a program gives, as plain data; the name of its exception."""
    try:
        return plain(program(m))
    except Exception as error:
        return (type(error).__name__, str(error))


# What torch says where it has no code for something: what picograd computes there is no mistake.
LIMITS = ("not implemented", "not support", "unallocated storage", "setStorage", "invalid gradient")


def differ(program: Callable[[object], object], tolerance: float = 2e-5) -> str:
    """What differs between the libraries, or nothing. Errors agree if their types do."""
    theirs, ours = (guarded(program, m) for m in LIBRARIES)
    if is_error(theirs):
        if any(limit in theirs[1] for limit in LIMITS):
            return ""
        if is_error(ours):
            theirs, ours = theirs[0], ours[0]
    return "" if agree(theirs, ours, tolerance) else f"torch {theirs}, picograd {ours}"


def cases(row: Row) -> Iterator[tuple[str, str]]:
    """The samples and dtypes that a row is tried on."""
    for sample in row.samples or ELEMENTWISE:
        for dtype in row.dtypes:
            yield sample, dtype


@pytest.fixture
def reference_device() -> Iterator[None]:
    """Tensors live on the device that says what is right."""
    picograd.set_default_device(os.environ.get("DEVICE", "numpy"))
    yield
    picograd.set_default_device(None)
