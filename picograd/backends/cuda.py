"""Switches of CUDA matrix products and attention kernels, accepted without an effect.

>>> matmul.allow_tf32 = True
"""

from types import SimpleNamespace

matmul = SimpleNamespace(allow_tf32=False, allow_fp16_reduced_precision_reduction=False)


def is_built() -> bool:
    """Whether this build could use CUDA libraries."""
    return False


def _switch(enabled: bool) -> None:
    """Choose an attention kernel: there is one."""


enable_flash_sdp = enable_mem_efficient_sdp = enable_math_sdp = enable_cudnn_sdp = _switch
