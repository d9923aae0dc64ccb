"""Memory of the GPU shared with other libraries: `__cuda_array_interface__`, both ways.

In: a tensor on the GPU, or an object of another library with that attribute. Out: the attribute's
value, or a tensor over the same memory; writes to one are seen through the other, in the order of
the streams. DLPack's capsules (`dlpack.py`) come through here too.

>>> ELEMENTS["<f4"].name, "bfloat16" in {dtype.name for dtype in ELEMENTS.values()}
('float32', True)
"""

from __future__ import annotations

from typing import Any

from picograd import dtypes
from picograd.dtypes import DType
from picograd.frontend.registry import attribute
from picograd.frontend.striding import as_strided
from picograd.frontend.tensor import Tensor, wrap
from picograd.frontend.view import contiguous_strides
from picograd.graph.node import leaf
from picograd.graph.ops import Shape

# Element types by NumPy's names; bfloat16, which NumPy lacks, has the one that torch gives it.
ELEMENTS = {dtype.numpy.str: dtype for dtype in dtypes.ALL if dtype is not dtypes.bfloat16}
ELEMENTS["<V2"] = dtypes.bfloat16
BOUNDARY = 16  # bytes
_NAMES = {dtype: name for name, dtype in ELEMENTS.items()}


def over(address: int, dtype: DType, shape: Shape, strides: Shape | None, owner: object) -> Tensor:
    """A tensor over memory of the GPU, which lives as long as `owner`. `strides` are in elements;
    None: row after row."""
    from picograd.runtime.cuda import memory

    steps = contiguous_strides(shape) if strides is None else strides
    if any(step < 0 for step in steps):
        raise BufferError("negative strides are not supported; copy the array first")
    if 0 in shape:
        return wrap(leaf(memory.empty(dtype, 0), shape))
    last = sum((extent - 1) * step for extent, step in zip(shape, steps, strict=True))
    # Kernels take 16 bytes at a time where indices say that they may: a memory begins on such a
    # boundary, and a tensor within it where it does.
    before, odd = divmod(address % BOUNDARY, dtype.itemsize)
    if odd:
        raise BufferError(f"an address that is no multiple of {dtype.itemsize}; copy the array")
    if before:
        start = address - before * dtype.itemsize
        whole = memory.borrowed(dtype, before + last + 1, start, owner)
        flat = wrap(leaf(whole, (before + last + 1,)))
        flat._storage.pin()
        return as_strided(flat, shape, steps, before)
    if steps == contiguous_strides(shape):
        result = wrap(leaf(memory.borrowed(dtype, last + 1, address, owner), shape))
        result._storage.pin()
        return result
    flat = wrap(leaf(memory.borrowed(dtype, last + 1, address, owner), (last + 1,)))
    flat._storage.pin()
    return as_strided(flat, shape, steps)


def from_interface(obj: Any) -> Tensor:
    """A tensor over the memory of an object with `__cuda_array_interface__`."""
    from picograd.runtime.cuda import driver, functions

    described = obj.__cuda_array_interface__
    if described.get("mask") is not None:
        raise TypeError("__cuda_array_interface__: masked arrays can't be tensors")
    dtype = ELEMENTS.get(described["typestr"])
    if dtype is None:
        raise TypeError(f"can't convert an array of {described['typestr']} on the GPU to a tensor")
    address, read_only = described["data"]
    if read_only:
        raise ValueError("__cuda_array_interface__: read-only memory can't be shared; copy it")
    strides = described.get("strides")
    if strides is not None:
        if any(step % dtype.itemsize for step in strides):
            raise ValueError(f"strides of {strides} bytes are no multiples of {dtype.itemsize}")
        strides = tuple(int(step) // dtype.itemsize for step in strides)
    stream = described.get("stream")
    if stream is not None:
        functions.order(int(stream), driver.get().stream.handle)
    return over(int(address), dtype, tuple(map(int, described["shape"])), strides, obj)


@attribute
def __cuda_array_interface__(self: Tensor) -> dict[str, object]:
    """Where the elements are on the GPU, for other libraries (version 3). The memory stays the
    tensor's from now on. Raises AttributeError for tensors elsewhere."""
    if not self.is_cuda:
        raise AttributeError(
            f"Can't get __cuda_array_interface__ on non-CUDA tensor type: {self.type()} "
            "If CUDA data is required use tensor.cuda() to copy tensor to device memory."
        )
    if self.requires_grad:
        raise RuntimeError(
            "Can't get __cuda_array_interface__ on Variable that requires grad. If gradients "
            "aren't required, use var.detach() to get Variable that doesn't require grad."
        )
    from picograd.runtime.cuda import driver

    memory = self._storage.own_memory()
    self._storage.pin()  # nobody says when the other library has done with it
    item, strides = self.dtype.itemsize, self.stride()
    contiguous = strides == contiguous_strides(self._shape)
    return {
        "shape": tuple(self._shape),
        "typestr": _NAMES[self.dtype],
        "data": (memory.address + self._offset * item if self.numel() else 0, False),
        "strides": None if contiguous else tuple(item * step for step in strides),
        "stream": driver.get().stream.handle,
        "version": 3,
    }
