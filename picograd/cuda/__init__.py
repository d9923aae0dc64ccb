"""`torch.cuda`: the GPU, or truthful answers where there is none.

In: questions, and waits. Out: what the driver says. Without a GPU `is_available()` is False, counts
are 0, seeds are accepted, and whatever needs a device says why there is none, with torch's
exception type. All of picograd's work goes to one stream of one GPU; other streams are accepted
and are that one.

>>> device_count() == int(is_available())
True
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from picograd import engine
from picograd.cuda import amp as amp
from picograd.cuda import graphs as graphs
from picograd.cuda import memory as memory
from picograd.cuda import nvtx as nvtx
from picograd.cuda import profiler as profiler
from picograd.cuda import random as random
from picograd.cuda import streams as streams
from picograd.cuda.graphs import (
    CUDAGraph,
    graph,
    graph_pool_handle,
    is_current_stream_capturing,
    make_graphed_callables,
)
from picograd.cuda.memory import (
    OutOfMemoryError,
    empty_cache,
    get_allocator_backend,
    get_per_process_memory_fraction,
    ipc_collect,
    max_memory_allocated,
    max_memory_cached,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_cached,
    memory_reserved,
    memory_stats,
    memory_summary,
    reset_accumulated_memory_stats,
    reset_max_memory_allocated,
    reset_max_memory_cached,
    reset_peak_memory_stats,
    set_per_process_memory_fraction,
)
from picograd.cuda.opening import check_device, number_of, opened
from picograd.cuda.random import (
    get_rng_state,
    get_rng_state_all,
    initial_seed,
    manual_seed,
    manual_seed_all,
    seed,
    seed_all,
    set_rng_state,
    set_rng_state_all,
)
from picograd.cuda.streams import (
    Event,
    ExternalStream,
    Stream,
    StreamContext,
    current_stream,
    default_stream,
    get_stream_from_external,
    set_stream,
    stream,
)
from picograd.frontend.legacy import CUDA_TYPES
from picograd.runtime import cuda as runtime
from picograd.runtime.cuda import capture, driver

__all__ = [
    "BFloat16Tensor",
    "BoolTensor",
    "ByteTensor",
    "CUDAGraph",
    "CharTensor",
    "CudaError",
    "DeferredCudaCallError",
    "DoubleTensor",
    "Event",
    "ExternalStream",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "OutOfMemoryError",
    "ShortTensor",
    "Stream",
    "StreamContext",
    "amp",
    "can_device_access_peer",
    "current_device",
    "current_stream",
    "default_generators",
    "default_stream",
    "device",
    "device_count",
    "device_of",
    "empty_cache",
    "get_allocator_backend",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_gencode_flags",
    "get_per_process_memory_fraction",
    "get_rng_state",
    "get_rng_state_all",
    "get_stream_from_external",
    "graph",
    "graph_pool_handle",
    "graphs",
    "has_half",
    "has_magma",
    "init",
    "initial_seed",
    "ipc_collect",
    "is_available",
    "is_bf16_supported",
    "is_current_stream_capturing",
    "is_initialized",
    "is_tf32_supported",
    "make_graphed_callables",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_cached",
    "max_memory_reserved",
    "mem_get_info",
    "memory",
    "memory_allocated",
    "memory_cached",
    "memory_reserved",
    "memory_stats",
    "memory_summary",
    "nvtx",
    "profiler",
    "random",
    "reset_accumulated_memory_stats",
    "reset_max_memory_allocated",
    "reset_max_memory_cached",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_per_process_memory_fraction",
    "set_rng_state",
    "set_rng_state_all",
    "set_stream",
    "stream",
    "streams",
    "synchronize",
]  # fmt: skip


has_half, has_magma = True, False
default_generators: tuple[Any, ...] = ()  # one serves all devices: `torch.default_generator`


def is_available() -> bool:
    """Whether tensors can live on a GPU."""
    return runtime.why_not() is None


def is_initialized() -> bool:
    """Whether the GPU is in use."""
    return driver.get.cache_info().currsize > 0


def init() -> None:
    """Start to use the GPU; the first tensor there does it too."""
    opened()


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the GPU computes in bfloat16, or converts it where it has no such type."""
    return is_available() and (including_emulation or get_device_capability() >= (8, 0))


def device_count() -> int:
    """How many GPUs picograd uses: one where there is any."""
    return int(is_available())


def current_device() -> int:
    """The number of the GPU in use."""
    opened()
    return 0


def set_device(device: Any) -> None:
    """Choose the GPU. Raises RuntimeError for any but the first."""
    number = number_of(device)
    if number is not None and number < 0:
        return
    opened()
    if number:
        raise RuntimeError(
            f"CUDA error: invalid device ordinal: picograd uses cuda:0, not {device}"
        )


def synchronize(device: Any = None) -> None:
    """Compute what is pending and wait until the GPU has done all that it was given."""
    gpu = opened()
    check_device(device)
    capture.forbid("waiting for the GPU")
    engine.realize_pending()
    gpu.synchronize()


# --- what the GPU is ------------------------------------------------------------------------------


def _device(device: Any) -> Any:
    """pycuda's device. Raises AssertionError where there is no GPU, or none of that number."""
    gpu = opened()
    check_device(device)
    return gpu.device


def get_device_name(device: Any = None) -> str:
    """The GPU's name, as the driver has it."""
    return _device(device).name()


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The GPU's compute capability: (major, minor)."""
    return _device(device).compute_capability()


def get_device_properties(device: Any = None) -> SimpleNamespace:
    """Name, compute capability, memory in bytes, and the sizes that kernels are made for."""
    found = _device(device)
    kinds = driver.get().cuda.device_attribute
    major, minor = found.compute_capability()
    return SimpleNamespace(
        name=found.name(),
        major=major,
        minor=minor,
        gcnArchName="",
        is_multi_gpu_board=bool(found.get_attribute(kinds.MULTI_GPU_BOARD)),
        total_memory=found.total_memory(),
        multi_processor_count=found.get_attribute(kinds.MULTIPROCESSOR_COUNT),
        warp_size=found.get_attribute(kinds.WARP_SIZE),
        max_threads_per_multi_processor=found.get_attribute(kinds.MAX_THREADS_PER_MULTIPROCESSOR),
        shared_memory_per_block=found.get_attribute(kinds.MAX_SHARED_MEMORY_PER_BLOCK),
        shared_memory_per_multiprocessor=found.get_attribute(
            kinds.MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
        ),
        regs_per_multiprocessor=found.get_attribute(kinds.MAX_REGISTERS_PER_MULTIPROCESSOR),
        L2_cache_size=found.get_attribute(kinds.L2_CACHE_SIZE),
        clock_rate=found.get_attribute(kinds.CLOCK_RATE),
        memory_clock_rate=found.get_attribute(kinds.MEMORY_CLOCK_RATE),
        memory_bus_width=found.get_attribute(kinds.GLOBAL_MEMORY_BUS_WIDTH),
        max_threads_per_block=found.get_attribute(kinds.MAX_THREADS_PER_BLOCK),
        shared_memory_per_block_optin=found.get_attribute(kinds.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
        is_integrated=found.get_attribute(kinds.INTEGRATED),
        pci_bus_id=int(found.pci_bus_id().split(":")[-2], 16),
        pci_device_id=int(found.pci_bus_id().split(":")[-1].split(".")[0], 16),
        pci_domain_id=int(found.pci_bus_id().split(":")[0], 16),
    )


def get_arch_list() -> list[str]:
    """The architectures that kernels are made for: this GPU's."""
    return [driver.get().architecture] if is_available() else []


def get_gencode_flags() -> str:
    """The options that would have nvcc make kernels for the same GPUs."""
    names = [one.removeprefix("sm_") for one in get_arch_list()]
    return " ".join([f"-gencode compute=compute_{name},code=sm_{name}" for name in names])


def is_tf32_supported() -> bool:
    """Whether the GPU has TensorFloat32."""
    return is_available() and get_device_capability() >= (8, 0)


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether one GPU sees another's memory: there is no other."""
    opened()
    return False


def _lazy_init() -> None:
    """What torch calls to start to use the GPU."""
    opened()


def _is_compiled() -> bool:
    """Whether there could be a GPU."""
    return is_available()


class device:
    """`with device(0):` chooses the GPU for what is inside. Raises RuntimeError for any but it."""

    def __init__(self, device: Any) -> None:
        self.idx = device

    def __enter__(self) -> None:
        if self.idx is not None:
            set_device(self.idx)

    def __exit__(self, *error: object) -> None:
        """There is one GPU: it stays chosen."""


class device_of(device):
    """`with device_of(x):` chooses the GPU that a tensor is on; one of the CPU chooses none."""

    def __init__(self, tensor: Any) -> None:
        super().__init__(0 if tensor.is_cuda else None)


class DeferredCudaCallError(Exception):
    """In torch, an error of a call that waited for the GPU's start."""


class CudaError(RuntimeError):
    """In torch, an error of the CUDA runtime; here such errors are RuntimeErrors."""


# --- types of tensors -----------------------------------------------------------------------------


HalfTensor, BFloat16Tensor = CUDA_TYPES["HalfTensor"], CUDA_TYPES["BFloat16Tensor"]
FloatTensor, DoubleTensor = CUDA_TYPES["FloatTensor"], CUDA_TYPES["DoubleTensor"]
BoolTensor, ByteTensor = CUDA_TYPES["BoolTensor"], CUDA_TYPES["ByteTensor"]
CharTensor, ShortTensor = CUDA_TYPES["CharTensor"], CUDA_TYPES["ShortTensor"]
IntTensor, LongTensor = CUDA_TYPES["IntTensor"], CUDA_TYPES["LongTensor"]
