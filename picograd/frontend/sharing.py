"""Memory that several processes see: `share_memory_`, `is_shared`.

In: a tensor. Out: the same tensor, whose storage lies in an anonymous map that forked processes
share: what one of them writes, the others read.

>>> import picograd
>>> x = picograd.ones(3)
>>> x.is_shared(), x.share_memory_().is_shared(), x.tolist()
(False, True, [1.0, 1.0, 1.0])
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from picograd.frontend.registry import operation
from picograd.frontend.tensor import Tensor
from picograd.graph.node import leaf
from picograd.runtime import buffer as buffers


@operation(function=False)
def is_shared(self: Tensor) -> bool:
    """Whether forked processes see what is written to the tensor."""
    memory: Any = self._storage.node.buffer
    return memory is not None and isinstance(_root(memory.owner), mmap.mmap)


def _root(owner: object) -> object:
    """What an array of an array of ... memory belongs to in the end."""
    while isinstance(owner, (np.ndarray, memoryview)):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    return owner


@operation(function=False)
def share_memory_(self: Tensor) -> Tensor:
    """Move the tensor's storage into memory that forked processes share."""
    if is_shared(self):
        return self
    storage = self._storage
    old = storage.buffer
    shared = np.frombuffer(mmap.mmap(-1, max(old.nbytes, 1)), np.uint8, old.nbytes)
    shared = shared.view(old.array.dtype)
    np.copyto(shared, old.array)
    storage.node = leaf(buffers.from_array(shared, old.device), storage.node.shape)
    storage.pin()
    return self
