"""Pinned tensors, and copies between the host and the GPU that nobody waits for.

In: tensors of the CPU to pin, tensors to copy with `non_blocking=True`. Out: pinned tensors, and
nodes of copies. Called by `memory.to`.

>>> import picograd
>>> picograd.ones(2).is_pinned()
False
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from picograd import engine
from picograd.frontend.known import remember
from picograd.frontend.registry import operation
from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.node import Node, leaf
from picograd.graph.ops import Shape
from picograd.runtime import cuda
from picograd.runtime.buffer import Buffer

if TYPE_CHECKING:
    from picograd.runtime.cuda.pinned import PinnedBuffer


@operation(function=False)
def pin_memory(self: Tensor, device: object = None) -> Tensor:
    """A copy in memory from which a GPU copies by itself; the tensor itself if it is there
    already, or if there is no GPU."""
    if self.is_cuda:
        raise RuntimeError(f"cannot pin '{self.type()}' only dense CPU tensors can be pinned")
    if is_pinned(self) or cuda.why_not() is not None:
        return self
    from picograd.runtime.cuda import pinned

    memory = pinned.empty(self.dtype, self.numel())
    memory.array[:] = self.detach().contiguous()._array().reshape(-1)
    return wrap(_leaf(memory, self._shape))


@operation(function=False)
def is_pinned(self: Tensor, device: object = None) -> bool:
    """Whether a GPU copies the memory by itself."""
    buffer = self._storage.node.buffer
    return buffer is not None and cast("Buffer", buffer).pinned


def _leaf(memory: Buffer, shape: Shape) -> Node:
    return leaf(memory, shape)


def sent(x: Tensor, place: str) -> Node | None:
    """The node of a copy on another device that is enqueued, or None where torch waits too."""
    if x.is_cuda and place == "cpu":
        node = x.node
        engine.realize([node])
        from picograd.runtime.cuda import pinned

        memory = pinned.empty(node.dtype, node.size)
        memory.receive(cast("Buffer", node.buffer))
        return _leaf(memory, node.shape)
    if place == "cuda" and is_pinned(x) and not x._steps:
        memory = cast("PinnedBuffer", x._storage.node.buffer)
        return remember(leaf(memory.send(), x._shape), memory.array)
    return None
