"""Switches of CUDA matrix products and attention kernels.

>>> matmul.allow_tf32
False
"""

import contextlib
from collections.abc import Iterator

from picograd.frontend import precision
from picograd.runtime.cuda import why_not


class _Products:
    """`torch.backends.cuda.matmul`."""

    # Sums are float32, whatever these allow.
    allow_fp16_reduced_precision_reduction = allow_bf16_reduced_precision_reduction = True
    allow_fp16_accumulation = False

    @property
    def allow_tf32(self) -> bool:
        """Whether factors of float32 may be rounded to TensorFloat32."""
        return precision.coarse()

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        precision.set_float32_matmul_precision("high" if allowed else "highest")


matmul = _Products()


def is_built() -> bool:
    """Whether there is a GPU to compute on: there is one build for all machines."""
    return why_not() is None


# Which attention kernels may be used: there is one of ours, whatever these say.
_allowed = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True, "reduced": False}


def enable_flash_sdp(enabled: bool) -> None:
    """Remembered."""
    _allowed["flash"] = bool(enabled)


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Remembered."""
    _allowed["mem_efficient"] = bool(enabled)


def enable_math_sdp(enabled: bool) -> None:
    """Remembered."""
    _allowed["math"] = bool(enabled)


def enable_cudnn_sdp(enabled: bool) -> None:
    """Remembered."""
    _allowed["cudnn"] = bool(enabled)


def allow_fp16_bf16_reduction_math_sdp(enabled: bool) -> None:
    """Remembered; sums are float32."""
    _allowed["reduced"] = bool(enabled)


def fp16_bf16_reduction_math_sdp_allowed() -> bool:
    """What was chosen."""
    return _allowed["reduced"]


def flash_sdp_enabled() -> bool:
    """What was chosen."""
    return _allowed["flash"]


def mem_efficient_sdp_enabled() -> bool:
    """What was chosen."""
    return _allowed["mem_efficient"]


def math_sdp_enabled() -> bool:
    """What was chosen."""
    return _allowed["math"]


def cudnn_sdp_enabled() -> bool:
    """What was chosen."""
    return _allowed["cudnn"]


def is_flash_attention_available() -> bool:
    """Whether attention on a GPU stores no scores: wherever there is one."""
    return is_built()


@contextlib.contextmanager
def sdp_kernel(
    enable_flash: bool = True,
    enable_math: bool = True,
    enable_mem_efficient: bool = True,
    enable_cudnn: bool = True,
) -> Iterator[None]:
    """Choose attention kernels for a while: there is one."""
    before = dict(_allowed)
    _allowed.update(flash=enable_flash, math=enable_math, cudnn=enable_cudnn)
    _allowed.update(mem_efficient=enable_mem_efficient)
    try:
        yield
    finally:
        _allowed.update(before)
