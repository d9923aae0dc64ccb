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
from picograd.cuda import memory as memory
from picograd.cuda import nvtx as nvtx
from picograd.cuda import random as random
from picograd.cuda.memory import (
    OutOfMemoryError,
    empty_cache,
    ipc_collect,
    max_memory_allocated,
    max_memory_cached,
    max_memory_reserved,
    memory_allocated,
    memory_cached,
    memory_reserved,
    memory_stats,
    memory_summary,
    reset_accumulated_memory_stats,
    reset_max_memory_allocated,
    reset_peak_memory_stats,
)
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
from picograd.frontend.device import device as Device
from picograd.frontend.legacy import CUDA_TYPES
from picograd.runtime import cuda as runtime
from picograd.runtime.cuda import driver

__all__ = [
    "BFloat16Tensor",
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "Event",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "OutOfMemoryError",
    "ShortTensor",
    "Stream",
    "amp",
    "can_device_access_peer",
    "current_device",
    "current_stream",
    "device",
    "device_count",
    "empty_cache",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "initial_seed",
    "ipc_collect",
    "is_available",
    "is_bf16_supported",
    "is_current_stream_capturing",
    "is_initialized",
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
    "random",
    "reset_accumulated_memory_stats",
    "reset_max_memory_allocated",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state",
    "set_rng_state_all",
    "set_stream",
    "stream",
    "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """Whether tensors can live on a GPU."""
    return runtime.why_not() is None


def is_initialized() -> bool:
    """Whether the GPU is in use."""
    return driver.get.cache_info().currsize > 0


def init() -> None:
    """Start to use the GPU; the first tensor there does it too."""
    _opened()


def _opened() -> driver.Driver:
    """The driver. Raises AssertionError where there is no GPU, as torch without CUDA does."""
    reason = runtime.why_not()
    if reason is not None:
        raise AssertionError(
            f"Torch not compiled with CUDA enabled: {reason}. "
            "Ask `torch.cuda.is_available()` first."
        )
    return driver.get()


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the GPU computes in bfloat16, or converts it where it has no such type."""
    return is_available() and (including_emulation or get_device_capability() >= (8, 0))


def device_count() -> int:
    """How many GPUs picograd uses: one where there is any."""
    return int(is_available())


def current_device() -> int:
    """The number of the GPU in use."""
    _opened()
    return 0


def set_device(device: Any) -> None:
    """Choose the GPU. Raises RuntimeError for any but the first."""
    _opened()
    number = device if isinstance(device, int) else Device(device).index
    if number not in (None, 0, -1):
        raise RuntimeError(
            f"CUDA error: invalid device ordinal: picograd uses cuda:0, not {device}"
        )


def synchronize(device: Any = None) -> None:
    """Compute what is pending and wait until the GPU has done all that it was given."""
    opened = _opened()
    engine.realize_pending()
    opened.synchronize()


# --- what the GPU is ------------------------------------------------------------------------------


def get_device_name(device: Any = None) -> str:
    """The GPU's name, as the driver has it."""
    return _opened().device.name()


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The GPU's compute capability: (major, minor)."""
    return _opened().device.compute_capability()


def get_device_properties(device: Any = None) -> SimpleNamespace:
    """Name, compute capability, memory in bytes, and the sizes that kernels are made for."""
    found = _opened().device
    kinds = driver.get().cuda.device_attribute
    major, minor = found.compute_capability()
    return SimpleNamespace(
        name=found.name(),
        major=major,
        minor=minor,
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
        is_integrated=found.get_attribute(kinds.INTEGRATED),
    )


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """The free bytes of the GPU's memory and all of them."""
    with _opened() as opened:
        return opened.cuda.mem_get_info()


def get_arch_list() -> list[str]:
    """The architectures that kernels are made for: this GPU's."""
    return [driver.get().architecture] if is_available() else []


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether one GPU sees another's memory: there is no other."""
    return False


class device:
    """`with device(0):` chooses the GPU for what is inside. Raises RuntimeError for any but it."""

    def __init__(self, device: Any) -> None:
        self.idx = device

    def __enter__(self) -> None:
        if self.idx is not None:
            set_device(self.idx)

    def __exit__(self, *error: object) -> None:
        """There is one GPU: it stays chosen."""


# --- streams and events ---------------------------------------------------------------------------


class Stream:
    """A queue of work: whatever its name, the one of this process."""

    priority = 0

    def __init__(self, device: Any = None, priority: int = 0, **kwargs: Any) -> None:
        self.device = Device("cuda", 0)
        self.cuda_stream: int = _opened().stream.handle

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.cuda_stream == self.cuda_stream

    def __hash__(self) -> int:
        return hash(self.cuda_stream)

    def __repr__(self) -> str:
        return f"<torch.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"

    def synchronize(self) -> None:
        """Wait for all work."""
        synchronize()

    def query(self) -> bool:
        """Whether all work is done: what is pending is given to the GPU first."""
        engine.realize_pending()
        with _opened() as opened:
            return opened.stream.is_done()

    def wait_stream(self, stream: Stream) -> None:
        """Nothing: work is done in the order in which it was given."""

    def wait_event(self, event: Event) -> None:
        """Nothing: work is done in the order in which it was given."""

    def record_event(self, event: Event | None = None) -> Event:
        """An event behind all work so far."""
        made = event or Event()
        made.record(self)
        return made

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        """Work goes on in the same stream."""


def current_stream(device: Any = None) -> Stream:
    """The stream in use."""
    return Stream()


default_stream = current_stream


def set_stream(stream: Stream) -> None:
    """Nothing: there is one stream."""


def is_current_stream_capturing() -> bool:
    """Whether work is recorded instead of done."""
    return False


def stream(stream: Stream | None) -> Stream:
    """`with stream(s):` gives work to a stream."""
    return stream or Stream()


class Event:
    """A point in the GPU's time, whose time is taken with `enable_timing`."""

    def __init__(
        self,
        enable_timing: bool = False,
        blocking: bool = False,
        interprocess: bool = False,
        external: bool = False,
    ) -> None:
        if interprocess:
            raise NotImplementedError("torch.cuda.Event: events of other processes")
        with _opened() as opened:
            kinds = opened.cuda.event_flags
            flags = kinds.DEFAULT if enable_timing else kinds.DISABLE_TIMING
            self._event = opened.cuda.Event(flags | (kinds.BLOCKING_SYNC if blocking else 0))
        self._timed, self._recorded = enable_timing, False

    def record(self, stream: Stream | None = None) -> None:
        """Mark the point behind all work so far: what is pending is given to the GPU first."""
        engine.realize_pending()
        with _opened() as opened:
            self._event.record(opened.stream)
        self._recorded = True

    def synchronize(self) -> None:
        """Wait until the point is reached."""
        with _opened():
            self._event.synchronize()

    def wait(self, stream: Stream | None = None) -> None:
        """Nothing: work is done in the order in which it was given."""

    def query(self) -> bool:
        """Whether the point is reached."""
        with _opened():
            return self._event.query()

    def elapsed_time(self, end_event: Event) -> float:
        """The milliseconds from this point to another. Raises where one of them has no time."""
        if not (self._timed and end_event._timed):
            raise ValueError(
                "Both events must be created with argument 'enable_timing=True' before time "
                "can be taken"
            )
        if not (self._recorded and end_event._recorded):
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        if not (self.query() and end_event.query()):
            raise RuntimeError(
                "Both events must be completed before calculating elapsed time: synchronize() them"
            )
        with _opened():
            return end_event._event.time_since(self._event)


HalfTensor, BFloat16Tensor = CUDA_TYPES["HalfTensor"], CUDA_TYPES["BFloat16Tensor"]
FloatTensor, DoubleTensor = CUDA_TYPES["FloatTensor"], CUDA_TYPES["DoubleTensor"]
BoolTensor, ByteTensor = CUDA_TYPES["BoolTensor"], CUDA_TYPES["ByteTensor"]
CharTensor, ShortTensor = CUDA_TYPES["CharTensor"], CUDA_TYPES["ShortTensor"]
IntTensor, LongTensor = CUDA_TYPES["IntTensor"], CUDA_TYPES["LongTensor"]
