"""Vectorised functions give the same as machine code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from picograd.codegen.pipeline import compile_function
from picograd.codegen.target import AVX2, AVX512, Target
from picograd.dtypes import float64, int32
from picograd.graph.ops import Combiner
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


SWEPT = [
    kernels.reduction(512, 100, True),
    kernels.reduction(512, 64, True, Combiner.MAX),
    kernels.reduction(512, 70, True, dtype=float64),
    kernels.reduction(768, 33, True, dtype=int32),
]


@pytest.mark.parametrize("kernel", SWEPT, ids=lambda kernel: str(kernel.memories[0].size))
def test_swept_columns_are_the_same_bits(kernel: Kernel) -> None:
    small = replace(AVX512, l2=0)
    swept, plain = compile_function(kernel, small), compile_function(kernel, AVX512)
    assert swept.scratch and not plain.scratch
    arrays, _ = kernels.inputs(kernel, 4)
    other = [array.copy() for array in arrays]
    compile_all([swept], small)[swept.name].run(arrays)
    compile_all([plain], AVX512)[plain.name].run(other)
    for got, want in zip(arrays, other, strict=True):
        np.testing.assert_array_equal(got.view(np.uint8), want.view(np.uint8))
