"""The CUDA device: a canonical graph becomes a program of kernels in CUDA C, run through pycuda.

In: the outputs of a canonical graph, from the engine. Out: a `CudaExecutable`. Nothing of CUDA is
imported before the device is first used; `why_not` says why it can't be.

    device       plans and compiles graphs
    driver       pycuda's context, the stream, errors, the end of the process
    compiler     CUDA C to machine code, by NVRTC or nvcc
    memory       device memory that is kept for reuse, and buffers in it
    modules      kernels to launchable functions, each once a process
    executable   a program's launches

>>> from picograd.runtime import device
>>> "cuda" in device.names()
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from picograd.runtime.cuda import driver

if TYPE_CHECKING:
    from picograd.runtime.cuda.device import CudaDevice


def why_not() -> str | None:
    """Why there is no CUDA device here, or None where there is one."""
    return driver.why_not()


def device() -> CudaDevice:
    """The device, for `runtime.device`. Raises RuntimeError, saying why, where there is none."""
    from picograd.runtime.cuda.device import CudaDevice

    driver.get()
    return CudaDevice()
