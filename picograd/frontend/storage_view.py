"""`x.storage()`: the flat memory behind a tensor and its views, for looking at.

In: a tensor. Out: `StorageView`, a read-only sequence of the elements of the whole storage.

>>> import picograd
>>> list(picograd.arange(4).view(2, 2).t().storage())
[0, 1, 2, 3]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np

from picograd.dtypes import DType
from picograd.frontend.device import device, device_of
from picograd.frontend.memory import Number
from picograd.frontend.registry import operation
from picograd.frontend.storage import Storage
from picograd.frontend.tensor import Tensor


class StorageView:
    """The elements of a storage in memory order."""

    def __init__(self, storage: Storage, dtype: DType) -> None:
        self._storage = storage
        self.dtype = dtype

    @property
    def device(self) -> device:
        """Where the memory is."""
        return device_of(self._storage.node.device)

    def __len__(self) -> int:
        return self._storage.node.size

    def size(self) -> int:
        """The number of elements."""
        return len(self)

    def nbytes(self) -> int:
        """The number of bytes."""
        return len(self) * self.dtype.itemsize

    def data_ptr(self) -> int:
        """The address of the memory; computes the contents."""
        return self._storage.address()

    def tolist(self) -> list[Number]:
        """The elements as Python numbers."""
        return cast("list[Number]", self._storage.buffer.array.view(self.dtype.numpy).tolist())

    def __getitem__(self, index: int) -> Number:
        return self.tolist()[index]

    def __iter__(self) -> Iterator[Number]:
        return iter(self.tolist())

    def __repr__(self) -> str:
        rows = "\n".join(f" {value}" for value in self.tolist())
        kind = f"torch.storage.TypedStorage(dtype={self.dtype}, device={self.device})"
        return f"{rows}\n[{kind} of size {len(self)}]"


@operation(function=False, aliases=("untyped_storage",))
def storage(self: Tensor) -> StorageView:
    """The memory that this tensor and its views share."""
    return StorageView(self._storage, self.dtype)


class UntypedStorage:
    """Bytes of a file, as the libraries that read tensors out of files ask for them."""

    def __init__(self, memory: np.ndarray) -> None:
        self._memory = memory

    @classmethod
    def from_file(cls, filename: str, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """The first bytes of a file; writes reach the file only if it is `shared`."""
        return cls(np.memmap(filename, np.uint8, "r+" if shared else "c", shape=(nbytes,)))

    def untyped(self) -> UntypedStorage:
        """The storage itself."""
        return self

    def nbytes(self) -> int:
        """The number of bytes."""
        return self._memory.size

    __len__ = size = nbytes

    def __getitem__(self, index: int | slice) -> int | UntypedStorage:
        if isinstance(index, slice):
            return UntypedStorage(self._memory[index])
        return int(self._memory[index])

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._memory, dtype)


EXPORTS = {"UntypedStorage": UntypedStorage}
