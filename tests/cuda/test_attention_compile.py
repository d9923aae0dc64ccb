"""What NVIDIA's compiler makes of attention's kernels; NVRTC needs no GPU."""

from __future__ import annotations

import re

import pytest

import picograd
from picograd.codegen.cuda.ops import PRELUDE
from picograd.codegen.cuda.render import cuda_kernel, grid_function
from picograd.codegen.panels.analyse import analyse
from picograd.codegen.panels.grid import lower_panels_to_grid
from picograd.codegen.panels.rounds import rounds
from picograd.codegen.verify import verify
from picograd.nn.functional import scaled_dot_product_attention
from picograd.schedule.panels import collect
from picograd.schedule.panels.limits import TILES
from tests.cuda import nvrtc, sass
from tests.cuda.sass import needs_disassembler
from tests.cuda.test_banks import joined, shared_accesses, turns
from tests.schedule.attention import SPELLINGS, inputs, panels, program_of, with_gradients

needs_nvrtc = pytest.mark.skipif(
    nvrtc.library() is None, reason="NVRTC is not installed (pip install nvidia-cuda-nvrtc)"
)


def kernels_of(spelling: str, *shapes: tuple[int, ...], dtype=None):  # type: ignore[no-untyped-def]
    leaves = inputs(*shapes)
    if dtype is not None:
        leaves = [leaf.detach().to(dtype) for leaf in leaves]
        for leaf in leaves:
            leaf.requires_grad_().sum().item()
    result = SPELLINGS[spelling](*leaves)
    return panels(program_of(with_gradients(result, leaves), TILES))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_has_loops_over_tiles(
    spelling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "LEAST", 256)
    for kernel in kernels_of(spelling, (18, 3), (37, 3), (37, 3)):
        function = lower_panels_to_grid(kernel, tensor_cores=True)
        assert function is not None
        verify(function)
        assert not function.scratch and len(function.phases) == 1 + ("back" in kernel.name)


def test_gradients_of_scores_take_one_round() -> None:
    """What a row's gradients have in common comes from the result: scores are there once."""
    q, k, v = leaves = inputs(*[(64, 256, 32)] * 3)
    result = scaled_dot_product_attention(q, k, v, is_causal=True)
    _, kernel = panels(program_of(with_gradients(result, leaves), TILES))
    steps = analyse(kernel)
    assert steps is not None and len(rounds(steps)) == 1
    _, kernel = kernels_of("causal", *[(64, 256, 32)] * 3)
    steps = analyse(kernel)
    assert steps is not None and len(rounds(steps)) == 2


@needs_nvrtc
def test_attention_fits_registers_and_shared_memory() -> None:
    shape = (64, 512, 128)
    for kernel in kernels_of("causal", shape, shape, shape):
        text = f"{PRELUDE}\n{cuda_kernel(kernel)}"
        size, log = nvrtc.compile_source(text, "sm_90", "--ptxas-options=-v")
        assert size, log
        assert set(re.findall(r"(\d+) bytes spill stores", log)) == {"0"}
        assert max(map(int, re.findall(r"Used (\d+) registers", log))) <= 168
        assert grid_function(kernel).shared <= 48 << 10


@needs_disassembler
@pytest.mark.parametrize(("depth", "architecture"), [(64, "sm_80"), (128, "sm_90")])
def test_tensor_cores_multiply(depth: int, architecture: str) -> None:
    """No spills; everything is copied by 16 bytes and loaded by matrices."""
    shape = (64, 1024, depth)
    kernels = kernels_of("causal", shape, shape, shape, dtype=picograd.bfloat16)
    for code in sass.codes(tuple(map(cuda_kernel, kernels)), architecture):
        assert code.count("STL", "LDL") == 0
        assert code.count("HMMA.16816.F32.BF16") >= 64
        assert code.count("LDGSTS.E.BYPASS.128") and code.count("LDSM.16.M88.4")
        assert code.count("LDG.E.U16") <= 80  # maxima and sums of a backward pass


@needs_disassembler
@pytest.mark.parametrize("depth", [64, 128])
def test_tensorfloat32_where_it_is_allowed(depth: int) -> None:
    """As with 16 bits: copies of 16 bytes, fragments by matrices but for the values'."""
    shape = (64, 1024, depth)
    before = picograd.get_float32_matmul_precision()
    picograd.set_float32_matmul_precision("high")
    try:
        kernels = kernels_of("causal", shape, shape, shape)
    finally:
        picograd.set_float32_matmul_precision(before)
    for code in sass.codes(tuple(map(cuda_kernel, kernels)), "sm_80"):
        assert code.count("STL", "LDL") == 0
        assert code.count("HMMA.1688.F32.TF32") >= 128
        assert code.count("LDGSTS") == code.count("LDGSTS.E.BYPASS.128") > 0
        assert code.count("LDSM.16.M88.4") >= 32
    for kernel in kernels_of("causal", shape, shape, shape):
        assert "pg_multiply" not in cuda_kernel(kernel)


@needs_disassembler
@pytest.mark.parametrize("dtype", [picograd.float32, picograd.bfloat16], ids=str)
def test_results_leave_by_16_bytes_of_sums(dtype: picograd.dtype) -> None:
    """Neighbours of a line together; only maxima and sums are single."""
    shape = (64, 1024, 64)
    wide = "STG.E.128" if dtype is picograd.float32 else "STG.E.64"
    kernels = kernels_of("causal", shape, shape, shape, dtype=dtype)
    codes = sass.codes(tuple(map(cuda_kernel, kernels)), "sm_80")
    for kernel, code in zip(kernels, codes, strict=True):
        results = 3 if "back" in kernel.name else 1
        assert code.count(wide) >= results
        assert code.count("STG") - code.count(wide) <= 8


@needs_disassembler
@pytest.mark.parametrize("dtype", [picograd.float32, picograd.bfloat16], ids=str)
def test_elements_are_not_divided(dtype: picograd.dtype) -> None:
    """By a number of the program or a sum of a row: there is one inverse for all that share it. And
    powers of two take one multiply-add from what was multiplied."""
    shape = (64, 1024, 64)
    kernels = kernels_of("causal", shape, shape, shape, dtype=dtype)
    _, code = sass.codes(tuple(map(cuda_kernel, kernels)), "sm_80")
    if dtype is picograd.bfloat16:
        assert code.count("MUFU.RCP") <= 2 * 16 + 8  # of two loops, and of the program's
    else:
        assert code.count("MUFU.RCP") <= 4 * 4 + 8


def test_no_bank_is_asked_twice() -> None:
    """Tiles, and results on their way out."""
    shape = (64, 1024, 64)
    for kernel in kernels_of("plain", shape, shape, shape, dtype=picograd.bfloat16):
        for phase in grid_function(kernel).phases:
            found = list(joined(shared_accesses(phase.body)))
            assert {"sums"} <= {memory.name.split("_")[0] for memory, _, _ in found}
            for access in found:
                assert max(turns(access, warp) for warp in range(4)) == 1, access
