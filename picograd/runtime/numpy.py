"""The reference device: the graph's interpreter behind the interface of a device.

In: canonical graphs. Out: executables that evaluate them node by node in NumPy. Every other device
is tested against it.

>>> device().name
'numpy'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from picograd.dtypes import DType, int64
from picograd.graph.interpret import interpret
from picograd.graph.node import Node, topological
from picograd.graph.ops import LeafAttr, Op
from picograd.runtime.buffer import Buffer, from_array
from picograd.runtime.device import Canonical
from picograd.runtime.observe import Observer, Timing


class NumpyExecutable:
    """A canonical graph, to be interpreted; see `runtime.device.Executable`."""

    kernel_count = 0
    loaded = False

    def __init__(self, outputs: Sequence[Node]) -> None:
        self._outputs = list(outputs)
        self._numbers = {
            node.attr.slot: node.dtype
            for node in topological(outputs)
            if node.op is Op.PARAMETER and isinstance(node.attr, LeafAttr)
        }

    def run(
        self,
        inputs: Sequence[Buffer],
        values: Sequence[int] = (),
        timings: list[Timing] | None = None,
    ) -> list[Buffer]:
        """Interpret the graph; outputs are always fresh memory. There are no kernels to time."""
        arrays = {slot: buffer.array for slot, buffer in enumerate(inputs)}
        numbers = {
            slot: decode(cell, self._numbers.get(slot, int64)) for slot, cell in enumerate(values)
        }
        results = interpret(self._outputs, arrays, numbers)
        return [from_array(array, "numpy") for array in results]


def decode(cell: int, dtype: DType) -> int | float | bool:
    """The number of a program value: `dtype`'s own bits at the low end of 8 bytes.

    >>> from picograd.dtypes import float32, int8
    >>> decode(0x3FC00000, float32), decode(-1, int8)
    (1.5, -1)
    """
    if not dtype.is_float:
        return bool(cell) if dtype.is_bool else cell
    raw = (cell & ((1 << dtype.bits) - 1)).to_bytes(dtype.itemsize, "little")
    return float(np.frombuffer(raw, dtype.numpy)[0])


class NumpyDevice:
    """See `runtime.device.Device`."""

    name = "numpy"

    def build(
        self,
        outputs: Sequence[Node],
        donated: frozenset[int] = frozenset(),
        observer: Observer | None = None,
    ) -> NumpyExecutable:
        """Nothing to compile, and nothing is overwritten."""
        return NumpyExecutable(outputs)

    def obtain(self, make: Callable[[], Canonical], identify: Callable[[], str]) -> NumpyExecutable:
        """Nothing is kept for other processes."""
        return self.build(*make())


def device() -> NumpyDevice:
    """The device, for `runtime.device`."""
    return NumpyDevice()
