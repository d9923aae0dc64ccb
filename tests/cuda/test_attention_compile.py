"""What NVIDIA's compiler makes of attention's kernels; NVRTC needs no GPU."""

from __future__ import annotations

import re

import pytest

import picograd
from picograd.codegen.cuda.ops import PRELUDE
from picograd.codegen.cuda.render import cuda_kernel, grid_function
from picograd.codegen.panels.grid import lower_panels_to_grid
from picograd.codegen.verify import verify
from picograd.schedule.panels import collect
from picograd.schedule.panels.limits import TILES
from tests.cuda import nvrtc, sass
from tests.cuda.sass import needs_disassembler
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


@needs_nvrtc
@pytest.mark.parametrize("depth", [64, 128])
def test_attention_fits_registers_and_shared_memory(depth: int) -> None:
    shape = (64, 512, depth)
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
    for kernel in kernels_of("causal", shape, shape, shape, dtype=picograd.bfloat16):
        image = sass.cubin(cuda_kernel(kernel), architecture)
        assert sass.count(image, "STL") == sass.count(image, "LDL") == 0
        assert sass.count(image, "HMMA.16816.F32.BF16") >= 64
        assert sass.count(image, "LDGSTS.E.BYPASS.128") and sass.count(image, "LDSM.16.M88.4")
        assert sass.count(image, "LDG.E.U16") <= 80  # maxima and sums of a backward pass
