"""Switches of CUDA matrix products and attention kernels.

>>> matmul.allow_tf32
False
"""

import contextlib
from collections.abc import Iterator

from picograd.frontend import precision


class _Products:
    """`torch.backends.cuda.matmul`."""

    allow_fp16_reduced_precision_reduction = False  # sums are float32, whatever this says

    @property
    def allow_tf32(self) -> bool:
        """Whether factors of float32 may be rounded to TensorFloat32."""
        return precision.coarse()

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        precision.set_float32_matmul_precision("high" if allowed else "highest")


matmul = _Products()


def is_built() -> bool:
    """Whether this build could use CUDA libraries."""
    return False


def _switch(enabled: bool) -> None:
    """Choose an attention kernel: there is one."""


enable_flash_sdp = enable_mem_efficient_sdp = enable_math_sdp = enable_cudnn_sdp = _switch


@contextlib.contextmanager
def sdp_kernel(
    enable_flash: bool = True,
    enable_math: bool = True,
    enable_mem_efficient: bool = True,
    enable_cudnn: bool = True,
) -> Iterator[None]:
    """Choose attention kernels for a while: there is one."""
    yield


def _on() -> bool:
    """Whether an attention kernel may be used."""
    return True


flash_sdp_enabled = mem_efficient_sdp_enabled = math_sdp_enabled = cudnn_sdp_enabled = _on
