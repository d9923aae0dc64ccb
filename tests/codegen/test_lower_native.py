"""Vectorised functions give the same as machine code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from picograd.codegen.pipeline import compile_function
from picograd.codegen.target import AVX2, AVX512, Target
from picograd.schedule.kernel import Kernel
from tests.codegen import kernels
from tests.codegen.native import compile_all
from tests.codegen.reference import reference
from tests.codegen.test_lower import ALL, IDS

STREAMING = replace(AVX512, l3=0)


@pytest.mark.parametrize("target", [AVX512, AVX2, STREAMING], ids=["avx512", "avx2", "streaming"])
@pytest.mark.parametrize("kernel", ALL, ids=IDS)
def test_machine_code_means_what_the_kernel_says(kernel: Kernel, target: Target) -> None:
    seed = 3
    arrays, scalars = kernels.inputs(kernel, seed)
    expected = [array.copy() for array in arrays]
    typed = [kind.numpy.type(s) for kind, s in zip(kernel.scalars, scalars, strict=True)]
    failed = reference(kernel, expected, scalars)
    function = compile_function(kernel, target)
    native = compile_all([function], target)[function.name]
    assert bool(native.run(arrays, typed)) == failed
    for number, (got, want) in enumerate(zip(arrays, expected, strict=True)):
        message = f"argument {number} of {kernel.name}, seed {seed}"
        if got.dtype.kind == "f":
            scale = 2e-3 if got.dtype == np.float16 else 2e-5
            np.testing.assert_allclose(got, want, scale, scale, err_msg=message)
        else:
            np.testing.assert_array_equal(got, want, err_msg=message)
