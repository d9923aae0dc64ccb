"""DLPack: memory shared with other libraries, both ways.

In: a tensor, or a capsule or an object with `__dlpack__` of another library. Out: a capsule, or a
tensor over the same memory; writes to one are seen through the other. NumPy makes the capsules of
the host's memory; `capsule.py` makes those of a GPU's, and reads all.

>>> import numpy as np
>>> a = np.zeros(3, np.float32)
>>> x = from_dlpack(a)
>>> x[1] = 5
>>> a.tolist(), np.from_dlpack(x).tolist()
([0.0, 5.0, 0.0], [0.0, 5.0, 0.0])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from picograd.frontend import capsule as capsules
from picograd.frontend.interop import _sharing
from picograd.frontend.storage import strided
from picograd.frontend.tensor import Tensor

CPU, HOST_MEMORY = 1, (1, 3)  # kDLCPU; kDLCPU and kDLCUDAHost
GPU, GPU_MEMORY = 2, (2, 13)  # kDLCUDA; kDLCUDA and kDLCUDAManaged


class _Memory:
    """Taken memory of the host, for NumPy."""

    def __init__(self, taken: capsules.Taken, nbytes: int) -> None:
        self.owner = taken.owner
        self.__array_interface__ = {
            "data": (taken.address, taken.read_only),
            "shape": (nbytes,),
            "typestr": "|u1",
            "version": 3,
        }


def _on_host(taken: capsules.Taken) -> np.ndarray:
    """The array over taken memory."""
    shape, strides, dtype = taken.shape, taken.strides, taken.dtype
    if 0 in shape:
        return np.empty(shape, dtype.numpy)
    last = sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) + 1
    flat = np.asarray(_Memory(taken, last * dtype.itemsize)).view(dtype.numpy)
    return strided(flat, shape, strides, 0)


def _asked(ext_tensor: Any) -> Any:
    """The capsule of another library's array. What it still has to do on a GPU comes before what
    we do there."""
    kind, number = ext_tensor.__dlpack_device__()
    options: dict[str, Any] = {}
    if int(kind) in GPU_MEMORY:
        from picograd.runtime.cuda import driver

        if number:
            raise RuntimeError(f"from_dlpack: the memory is of GPU {number}; picograd uses cuda:0")
        options["stream"] = driver.get().stream.handle
    elif int(kind) not in HOST_MEMORY:
        raise RuntimeError(f"from_dlpack: memory of device type {int(kind)} isn't the host's")
    try:
        return ext_tensor.__dlpack__(max_version=(1, 0), **options)
    except TypeError:  # from before DLPack 1
        return ext_tensor.__dlpack__(**options)


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of another library's array or of a capsule."""
    taken = capsules.take(_asked(ext_tensor) if hasattr(ext_tensor, "__dlpack__") else ext_tensor)
    kind, number = taken.device
    if kind in HOST_MEMORY:
        array = _on_host(taken)
        return _sharing(array.copy() if copy else array, "cpu")
    if kind not in GPU_MEMORY or number:
        raise RuntimeError(f"from_dlpack: memory of device type {kind}:{number} can't be used")
    from picograd.frontend import gpu_memory

    if taken.read_only and not copy:
        raise BufferError("from_dlpack: read-only memory of a GPU can't be shared; copy=True does")
    result = gpu_memory.over(*taken[:4], taken.owner)
    return result.clone() if copy else result


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule over the tensor's memory, for one taker."""
    return export(tensor)


def export(
    self: Tensor,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """`Tensor.__dlpack__`: a capsule over the tensor's memory. On a GPU, what comes to `stream`
    (None: the legacy default stream; -1: no care is taken) waits for what we still have to do."""
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    here = device_of(self)
    if dl_device is not None and (int(dl_device[0]), int(dl_device[1])) != here:
        raise BufferError(f"Can't export to the device {dl_device}: the memory is of {here}")
    versioned = max_version is not None and max_version[0] >= 1
    source = self.clone() if copy else self
    if here[0] == GPU:
        return _of_gpu(source, stream, versioned)
    narrow = self.dtype.name == "bfloat16"
    array = source._storage.export(source._shape, source._strides, source._offset)
    array = array.view(np.uint16 if narrow else self.dtype.numpy)
    options: dict[str, Any] = {"max_version": (1, 0)} if versioned else {}
    capsule: Any = array.__dlpack__(**options)
    return capsules.call_bfloat(capsule) if narrow else capsule


def _of_gpu(x: Tensor, stream: Any, versioned: bool) -> Any:
    from picograd.runtime.cuda import driver, functions

    if stream is not None and (type(stream) is not int or stream == 0 or stream < -1):
        raise BufferError(f"__dlpack__: {stream!r} is no stream of a GPU: -1, 1, 2 or a handle are")
    exported = x._storage.exported()
    if stream != -1:
        functions.order(driver.get().stream.handle, stream or functions.LEGACY)
    address = exported.buffer.address + x._offset * x.dtype.itemsize
    return capsules.make(
        address, x.dtype, x._shape, x.stride(), (GPU, 0), versioned, (exported, x._storage)
    )


def device_of(self: Tensor) -> tuple[int, int]:
    """`Tensor.__dlpack_device__`: the host's memory, or a GPU's."""
    return (GPU, 0) if self.is_cuda else (CPU, 0)
