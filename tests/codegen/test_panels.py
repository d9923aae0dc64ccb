"""Attention by blocks of rows computes what its kernels say, for every target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import picograd
from picograd.codegen.evaluate import evaluate
from picograd.codegen.panels import layout as lowering
from picograd.codegen.panels.analyse import analyse
from picograd.codegen.panels.lower import lower_panels
from picograd.codegen.panels.skip import assuming, find_band
from picograd.codegen.target import AVX2, AVX512, NEON, Target
from picograd.codegen.verify import verify
from picograd.dtypes import float64
from picograd.graph.index import of
from picograd.schedule import simulate
from picograd.schedule.kernel import Kernel
from picograd.schedule.panels import collect
from tests.schedule.attention import (
    SPELLINGS,
    inputs,
    panels,
    program_of,
    with_gradients,
)

TARGETS = {"avx512": AVX512, "avx2": AVX2, "neon": NEON}


def kernels_of(spelling: str, monkeypatch: pytest.MonkeyPatch, rows: int = 18) -> list[Kernel]:
    """The kernels of forward and backward, over small tables."""
    monkeypatch.setattr(collect, "LEAST", 256)
    leaves = inputs((rows, 3), (37, 3), (37, 3))
    return panels(program_of(with_gradients(SPELLINGS[spelling](*leaves), leaves)))


def arrays_of(kernel: Kernel) -> list[np.ndarray]:
    """Arguments whose numbers suit every kernel: positive, and no row is masked away."""
    generator = np.random.default_rng(3)
    return [
        (generator.random(memory.size) + 0.5).astype(memory.dtype.numpy)
        for memory in kernel.arguments
    ]


def close(kernel: Kernel, got: list[np.ndarray], want: list[np.ndarray]) -> None:
    sizes = {memory.dtype.itemsize for memory in kernel.memories}
    tolerance = 5e-2 if 2 in sizes else 1e-5
    for one, other in zip(got, want, strict=True):
        scale = np.abs(other.astype(np.float64)).max() + 1e-9
        np.testing.assert_allclose(
            one.astype(np.float64) / scale, other.astype(np.float64) / scale, atol=tolerance
        )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_blocks_compute_what_the_notation_says(
    spelling: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = kernels_of(spelling, monkeypatch)
    assert kernels
    for kernel in kernels:
        check(kernel, TARGETS[target])


def check(kernel: Kernel, target: Target) -> None:
    function = lower_panels(kernel, target)
    assert function is not None
    verify(function)
    arrays = arrays_of(kernel)
    expected = [array.copy() for array in arrays]
    scalars = [0.5 if dtype.is_float else 1 for dtype in kernel.scalars]
    simulate.run(kernel, expected, scalars)
    evaluate(function, arrays, scalars)
    close(kernel, arrays, expected)


def test_a_reduction_of_another_table_may_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "LEAST", 256)
    q, k, v = (leaf.detach() for leaf in inputs((18, 3), (37, 3), (37, 3)))
    noise = picograd.rand(18, 37)
    noise = noise / noise.sum(-1, keepdim=True)
    (kernel,) = panels(program_of([(q @ k.T + noise).softmax(-1) @ v]))
    check(kernel, AVX512)


def test_blocks_and_parts_do_not_change_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """One task for each batch element or many, blocks of 48 rows or of 12: the same numbers."""
    results = []
    (kernel, *_) = kernels_of("causal", monkeypatch, rows=50)
    for rows, part in ((48, 96), (12, 12)):
        monkeypatch.setattr(lowering, "MOST_ROWS", rows)
        monkeypatch.setattr(lowering, "LEAST_PART", part)
        monkeypatch.setattr(lowering, "TASK_NANOSECONDS", 1)
        function = lower_panels(kernel, AVX512)
        assert function is not None
        arrays = arrays_of(kernel)
        evaluate(function, arrays, [0.5 for _ in kernel.scalars])
        results.append((len(arrays), [array.tobytes() for array in arrays], function))
    assert results[0][2].phases[0].extent != results[1][2].phases[0].extent
    assert results[0][:2] == results[1][:2]


@pytest.mark.parametrize("spelling", ["plain", "causal", "window"])
def test_one_head_is_many_tasks_whose_sums_are_added(
    spelling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = kernels_of(spelling, monkeypatch, rows=50)[-1]
    monkeypatch.setattr(lowering, "LEAST_PART", 12)
    monkeypatch.setattr(lowering, "MOST_ROWS", 12)
    function = lower_panels(kernel, AVX512)
    assert function is not None
    assert [phase.extent.constant for phase in function.phases] == [4, 2]
    check(kernel, AVX512)


@pytest.mark.parametrize(
    ("spelling", "low", "high"),
    [("causal", None, "0"), ("plain", None, None), ("window", "-6", "2")],
)
def test_masks_leave_out_columns(
    spelling: str, low: str | None, high: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = kernels_of(spelling, monkeypatch)
    assert len(kernels) == 2
    for kernel in kernels:
        steps = analyse(kernel)
        assert steps is not None
        band = find_band(steps)
        assert [None if x is None else str(x) for x in (band.low, band.high)] == [low, high]


@pytest.mark.parametrize("spelling", ["causal", "window"])
def test_inside_a_band_nothing_is_compared_with_its_end(
    spelling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kernel in kernels_of(spelling, monkeypatch):
        steps = analyse(kernel)
        assert steps is not None
        band = find_band(steps)
        assert band.high is not None
        known = of(steps.row) + band.high - of(steps.column)
        left = find_band(replace(steps, steps=assuming(steps.steps, known)))
        assert left.high is None and left.low == band.low


def test_float64_accumulates_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    (kernel, *_) = kernels_of("double", monkeypatch)
    function = lower_panels(kernel, AVX512)
    assert function is not None
    assert {m.dtype for m in function.memories if m.name.startswith("panel")} == {float64}
