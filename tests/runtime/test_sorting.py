"""Sorting against Python's own stable sort: every element type, every way it is computed."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from picograd.codegen.sorting.module import PARTS, module
from picograd.codegen.target import AVX2, AVX512, SCALAR, Target
from picograd.dtypes import ALL, DType, bfloat16, float32, float64, int64
from picograd.runtime import pool, sorting
from picograd.runtime.buffer import from_array
from picograd.runtime.jit import assembly

SORTED = [dtype for dtype in ALL if not dtype.is_complex]
SHAPES = [(3, 1), (9, 7), (3, 33), (3, 97), (2, 700), (3, 3000)]
LONG = (2, sorting.LONG_ROW + 13)


def _sample(dtype: DType, shape: tuple[int, int], few: bool) -> np.ndarray:
    """Random elements: of all kinds, or of few different values, so that many are equal."""
    rng = np.random.default_rng(shape[1] + few)
    if dtype.is_bool:
        return rng.integers(0, 2, shape).astype(bool)
    if not dtype.is_float:
        limits = np.iinfo(dtype.numpy)
        low, high = (limits.max - 5 if few else limits.min), limits.max
        return rng.integers(low, high, shape, dtype=dtype.numpy, endpoint=True)
    x = np.round(rng.standard_normal(shape) * 3) if few else rng.standard_normal(shape) * 1e3
    special = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0]
    return np.where(rng.random(shape) < 0.2, rng.choice(special, shape), x).astype(dtype.numpy)


def _compare(a: float, b: float) -> int:
    """NaN is the greatest number and equals itself."""
    if a != a or b != b:
        return int(a != a) - int(b != b)
    return int(a > b) - int(a < b)


def _expected(row: np.ndarray, descending: bool) -> list[int]:
    numbers = row.astype(np.float32).tolist() if row.dtype.itemsize == 2 else row.tolist()
    key = functools.cmp_to_key(_compare)
    # `reverse` of a stable sort keeps equal elements in order.
    return sorted(range(len(numbers)), key=lambda n: key(numbers[n]), reverse=descending)


def _check(x: np.ndarray, descending: bool, counts: set[int]) -> None:
    rows, n = x.shape
    expected = np.array([_expected(row, descending) for row in x])
    for k in counts:
        values, indices = sorting.order(from_array(x.reshape(-1)), rows, n, k, descending)
        found = indices.array.reshape(rows, k)
        assert found.tolist() == expected[:, :k].tolist(), (x.shape, k)
        assert values.array.tobytes() == np.take_along_axis(x, found, 1).tobytes()


@pytest.mark.parametrize("dtype", SORTED, ids=str)
@pytest.mark.parametrize("few", [False, True], ids=["all", "few"])
def test_order(dtype: DType, few: bool) -> None:
    for shape in SHAPES:
        n = shape[1]
        for descending in (False, True):
            _check(_sample(dtype, shape, few), descending, {n, 1, n // 3 + 1, min(n, 120)})


@pytest.mark.parametrize("dtype", [float32, float64, int64], ids=str)
def test_long_rows(dtype: DType) -> None:
    """Blocks sort a row together; the number of threads changes nothing."""
    threads = pool.get_num_threads()
    try:
        for number in (1, 3):
            pool.set_num_threads(number)
            _check(_sample(dtype, LONG, number == 3), False, {LONG[1], LONG[1] // 2 + 7, 30})
    finally:
        pool.set_num_threads(threads)


def test_huge_rows_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "LONG_ROW", 64)
    monkeypatch.setattr(sorting, "HUGE_ROW", 128)
    x = _sample(float32, (7, 200), True)
    _check(x, True, {200, 120})
    expected = [_expected(row, False)[50] for row in x]
    assert sorting.position(from_array(x.reshape(-1)), 7, 200, 50).array.tolist() == expected


@pytest.mark.parametrize("dtype", SORTED, ids=str)
def test_position(dtype: DType) -> None:
    for shape in SHAPES:
        x = _sample(dtype, shape, True)
        expected = np.array([_expected(row, False) for row in x])
        for rank in {0, shape[1] // 2, shape[1] - 1}:
            found = sorting.position(from_array(x.reshape(-1)), *shape, rank)
            assert found.array.tolist() == expected[:, rank].tolist(), (shape, rank)


@pytest.mark.parametrize("target", [AVX512, AVX2, SCALAR], ids=lambda one: one.cpu)
@pytest.mark.parametrize("part", list(PARTS))
def test_other_machines(part: str, target: Target) -> None:
    """The text of every part is code for processors with other vectors."""
    for dtype in (float32, int64):
        text = module(part, dtype, target)
        for name in PARTS[part]:
            assert name in assembly(text, target.cpu, target.features)


@pytest.mark.parametrize("size", [1, 16, 32])
@pytest.mark.parametrize("dtype", [bfloat16, float32, int64], ids=str)
def test_narrow_vectors(dtype: DType, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of a vector changes no result."""
    narrow = dataclasses.replace(sorting.target(), vector_bytes=size)
    monkeypatch.setattr(sorting, "target", lambda: narrow)
    for shape in SHAPES:
        _check(_sample(dtype, shape, True), False, {1, shape[1] // 2})
