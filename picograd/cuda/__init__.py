"""What programs ask about GPUs, answered for a build that computes on the CPU.

In: nothing. Out: `is_available()` is False, counts are 0, seeds are accepted, and whatever needs a
device says that there is none, with torch's exception type.

>>> is_available(), device_count()
(False, 0)
"""

from __future__ import annotations

from typing import Any, NoReturn

from picograd.cuda import amp as amp

__all__ = [
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "Event",
    "FloatTensor", "HalfTensor", "IntTensor", "LongTensor", "ShortTensor", "Stream", "amp",
    "current_device", "current_stream", "device_count", "empty_cache",
    "get_device_capability", "get_device_name", "get_device_properties", "get_rng_state",
    "get_rng_state_all", "is_available",
    "is_bf16_supported", "is_initialized", "manual_seed", "manual_seed_all",
    "max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved",
    "reset_peak_memory_stats", "set_device", "set_rng_state",
    "set_rng_state_all", "stream", "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """Whether tensors can live on a GPU."""
    return False


def is_initialized() -> bool:
    """Whether a GPU is in use."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the GPU computes in bfloat16."""
    return False


def device_count() -> int:
    """How many GPUs there are."""
    return 0


def manual_seed(seed: int) -> None:
    """Seed the GPU's generator: without a GPU, nothing."""


def manual_seed_all(seed: int) -> None:
    """Seed all GPUs' generators: without a GPU, nothing."""


def empty_cache() -> None:
    """Give unused memory back: without a GPU, nothing."""


def reset_peak_memory_stats(device: Any = None) -> None:
    """Forget the peak: without a GPU, nothing."""


def _zero(device: Any = None) -> int:
    """Bytes: without a GPU, 0."""
    return 0


memory_allocated = max_memory_allocated = memory_reserved = max_memory_reserved = _zero


def _none(*args: Any, **kwargs: Any) -> NoReturn:
    """Needs a GPU. Raises AssertionError, as torch does in a build without CUDA."""
    raise AssertionError(
        "Torch not compiled with CUDA enabled: picograd runs on the CPU here. "
        "Ask `torch.cuda.is_available()` first."
    )


def get_rng_state_all() -> list[Any]:
    """The states of all GPUs' generators: without a GPU, none."""
    return []


def set_rng_state_all(new_states: Any) -> None:
    """Restore what `get_rng_state_all` gave."""
    for state in new_states:
        set_rng_state(state)


get_rng_state = set_rng_state = _none
set_device = current_device = synchronize = current_stream = stream = _none
get_device_name = get_device_properties = get_device_capability = _none


class Event:
    """A point in a GPU's time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _none()


class Stream:
    """A GPU's queue."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _none()


class _Unavailable(type):
    """The type of `FloatTensor` and its like: nothing is one, and none can be made."""

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"type torch.cuda.{cls.__name__} not available. Torch not compiled with CUDA enabled."
        )


def _type(name: str) -> _Unavailable:
    return _Unavailable(name, (), {"__module__": "torch.cuda", "__doc__": "Tensors on a GPU."})


HalfTensor, BFloat16Tensor = _type("HalfTensor"), _type("BFloat16Tensor")
FloatTensor, DoubleTensor = _type("FloatTensor"), _type("DoubleTensor")
BoolTensor, ByteTensor = _type("BoolTensor"), _type("ByteTensor")
CharTensor, ShortTensor = _type("CharTensor"), _type("ShortTensor")
IntTensor, LongTensor = _type("IntTensor"), _type("LongTensor")
