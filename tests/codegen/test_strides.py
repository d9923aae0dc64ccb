"""Every second element of memory, in whole vectors and at their ends."""

from __future__ import annotations

import numpy as np
import pytest

import picograd


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "int64", "int32", "int8", "uint8", "bool"]
)
@pytest.mark.parametrize("length", [16, 33, 64, 95])
def test_every_second_element(dtype: str, length: int) -> None:
    values = np.random.default_rng(length).integers(-9, 9, (3, length)).astype(dtype)
    x = picograd.tensor(values)
    np.testing.assert_array_equal(x[:, ::2].contiguous().numpy(), values[:, ::2])
    padded = np.pad(values, ((0, 0), (1, 2)))
    have = picograd.nn.functional.pad(x, (1, 2))[:, 1::2].contiguous()
    np.testing.assert_array_equal(have.numpy(), padded[:, 1::2])
