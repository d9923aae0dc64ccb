"""Plain nests compute what their kernels say."""

from __future__ import annotations

import numpy as np
import pytest

from picograd.codegen import pipeline
from picograd.codegen.evaluate import evaluate
from picograd.codegen.loops import Function
from picograd.codegen.lower import lower
from picograd.codegen.passes.split_reduction import Few
from picograd.codegen.show import show
from picograd.codegen.target import AVX2, AVX512, SCALAR, Target
from picograd.codegen.verify import verify
from picograd.schedule.kernel import Kernel
from tests.codegen import kernels
from tests.codegen.reference import reference

ALL = kernels.all_kernels()
IDS = [f"{kernel.name}-{n}" for n, kernel in enumerate(ALL)]


def check(kernel: Kernel, function: Function, seed: int = 1) -> None:
    """The function's results are the kernel's: integers exactly, floats to a few roundings."""
    arrays, scalars = kernels.inputs(kernel, seed)
    expected = [array.copy() for array in arrays]
    assert reference(kernel, expected, scalars) == evaluate(function, arrays, scalars)
    for number, (got, want) in enumerate(zip(arrays, expected, strict=True)):
        message = f"argument {number} of {kernel.name}, seed {seed}"
        if got.dtype.kind == "f":
            scale = 2e-3 if got.dtype == np.float16 else 2e-5
            np.testing.assert_allclose(got, want, scale, scale, err_msg=message)
        else:
            np.testing.assert_array_equal(got, want, err_msg=message)


@pytest.mark.parametrize("kernel", ALL, ids=IDS)
def test_the_plain_nest_means_what_the_kernel_says(kernel: Kernel) -> None:
    function = lower(kernel)
    verify(function)
    check(kernel, function)


@pytest.mark.parametrize("target", [AVX512, AVX2, SCALAR], ids=["avx512", "avx2", "scalar"])
@pytest.mark.parametrize("kernel", ALL, ids=IDS)
def test_every_pass_keeps_the_meaning(
    kernel: Kernel, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("picograd.codegen.passes.parallelise.PIECE", 10.0)
    monkeypatch.setattr("picograd.codegen.passes.split_reduction.BIG", 200)
    monkeypatch.setattr("picograd.codegen.passes.split_reduction.PART", 50)
    monkeypatch.setattr("picograd.codegen.passes.split_reduction.CORES", Few(16, 64, 1, 1))
    seen: list[tuple[str, Function]] = []
    pipeline.compile_function(kernel, target, lambda name, made: seen.append((name, made)))
    previous = None
    for name, function in seen:
        if function != previous:
            print(f"{name}: {show(function)}")
            check(kernel, function, 2)
        previous = function
