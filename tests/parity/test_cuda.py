"""`torch.cuda` and its relatives where there is no GPU: torch's values, and its exception types."""

from __future__ import annotations

from typing import Any

import pytest

import picograd

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(
    picograd.cuda.is_available() or torch.cuda.is_available(), reason="there is a GPU"
)

SAME = """
version.cuda
version.hip
backends.cuda.is_built()
backends.cuda.matmul.allow_tf32
backends.cuda.matmul.allow_fp16_reduced_precision_reduction
backends.cuda.matmul.allow_bf16_reduced_precision_reduction
backends.cuda.matmul.allow_fp16_accumulation
backends.cuda.flash_sdp_enabled()
backends.cuda.mem_efficient_sdp_enabled()
backends.cuda.math_sdp_enabled()
backends.cuda.cudnn_sdp_enabled()
backends.cuda.is_flash_attention_available()
backends.cuda.enable_flash_sdp(True)
backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
backends.cudnn.is_available()
backends.cudnn.version()
backends.cudnn.enabled
backends.cudnn.benchmark
backends.cudnn.benchmark_limit
backends.cudnn.deterministic
backends.cudnn.allow_tf32
backends.cudnn.fp32_precision
backends.cudnn.is_acceptable(ones(1))
backends.cudnn.flags(enabled=True).__enter__()
cuda.is_available()
cuda.is_initialized()
cuda.device_count()
cuda.init()
cuda.current_device()
cuda.set_device(-1)
cuda.get_device_name()
cuda.get_device_name(0)
cuda.get_device_capability()
cuda.get_device_properties(0)
cuda.get_arch_list()
cuda.get_gencode_flags()
cuda.is_bf16_supported()
cuda.is_tf32_supported()
cuda.can_device_access_peer(0, 1)
cuda.device(-1).__enter__()
cuda.device_of(ones(1)).__enter__()
cuda.synchronize()
cuda.current_stream()
cuda.default_stream()
cuda.set_stream(None)
cuda.stream(None).__enter__()
cuda.StreamContext(None).__enter__()
cuda.Stream()
cuda.Event()
cuda.Event(enable_timing=True)
cuda.CUDAGraph()
cuda.graph(None)
cuda.graph_pool_handle()
cuda.make_graphed_callables(lambda x: x, (ones(1),))
cuda.memory_allocated()
cuda.max_memory_allocated()
cuda.memory_reserved()
cuda.max_memory_reserved()
cuda.empty_cache()
cuda.memory_stats()
cuda.mem_get_info()
cuda.set_per_process_memory_fraction(0.5)
cuda.set_per_process_memory_fraction(7)
cuda.get_per_process_memory_fraction()
cuda.has_half
cuda.has_magma
cuda.default_generators
cuda.manual_seed(1)
cuda.manual_seed_all(1)
cuda.seed()
cuda.initial_seed()
cuda.get_rng_state()
cuda.get_rng_state_all()
cuda.FloatTensor(2)
cuda.OutOfMemoryError is OutOfMemoryError
cuda.OutOfMemoryError.__mro__[1]
cuda.DeferredCudaCallError.__mro__[1]
cuda.CudaError.__mro__[1]
cuda.nvtx.range_push("a")
cuda.nvtx.range_pop()
cuda.nvtx.mark("a")
cuda.nvtx.range("a").__enter__()
cuda.profiler.start()
cuda.profiler.stop()
cuda.profiler.profile().__enter__()
cuda._is_compiled()
cuda._lazy_init()
compiler.reset()
compiler.is_compiling()
compiler.is_dynamo_compiling()
compiler.is_exporting()
compiler.cudagraph_mark_step_begin()
compiler.disable(len)([1])
compiler.disable()(len)([1])
compiler.allow_in_graph(len) is len
accelerator.is_available()
accelerator.current_accelerator()
accelerator.current_device_index()
ones(1).cuda()
ones(1).to("cuda")
ones(1, device="cuda")
nn.Linear(1, 1).cuda()
device("cuda", 1)
binomial(tensor([4.0, 10.0]), tensor([0.0, 1.0]))
binomial(tensor([2.7, -4.0]), tensor([1.5, 0.5]))
binomial(tensor([float("nan"), 4.0]), tensor([1.0, float("nan")]))
binomial(tensor([[4.0, 0.0]]).double(), tensor([1.0, 0.5]).double())
binomial(tensor([4]), tensor([0.5]))
binomial(tensor([4.0]), tensor([0.5]).double())
""".strip().splitlines()


class Names(dict[str, Any]):
    """The names of a library."""

    def __init__(self, library: Any) -> None:
        self.library = library

    def __missing__(self, name: str) -> Any:
        try:
            return getattr(self.library, name)
        except AttributeError:
            raise KeyError(name) from None


def outcome(library: Any, text: str) -> str:
    try:
        return repr(eval(text, {}, Names(library))).replace("picograd", "torch")
    except Exception as error:
        return type(error).__name__


@pytest.mark.parametrize("text", SAME)
def test_as_torch_without_a_gpu(text: str) -> None:
    assert outcome(picograd, text) == outcome(torch, text)
