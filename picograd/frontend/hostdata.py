"""Between tensors and NumPy arrays on the host, for what the graph can't express.

In: tensors. Out: arrays with their contents (realised), and tensors made of arrays. Sorting,
`nonzero` and their like compute on the host through these two; gradients are not recorded.

>>> import picograd
>>> values(picograd.tensor([1, 2])).tolist()
[1, 2]
"""

from __future__ import annotations

import sys
from typing import cast

import numpy as np

from picograd import engine
from picograd.frontend import batching, known
from picograd.frontend.storage import strided
from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.node import leaf
from picograd.graph.ops import ConstAttr, Op
from picograd.runtime import buffer
from picograd.runtime.buffer import Buffer


def values(x: Tensor) -> np.ndarray:
    """The contents as an array that must not be written to; 16-bit floats as float32."""
    memory(x)
    array = wrap(x.node)._array()
    return array.astype(np.float32) if x.dtype.is_float and x.dtype.itemsize == 2 else array


def memory(x: Tensor) -> Buffer:
    """The memory of the contents, row by row; it must not be written to."""
    node = x.node
    if node.buffer is None:
        batching.check_known(node)
        engine.realize([node])
    return cast("Buffer", node.buffer)


def known_values(x: Tensor) -> np.ndarray | None:
    """The contents, if the host has them already or they are one number; else None."""
    node = x._storage.node
    if node.buffer is not None:
        flat = known.contents(node)
        if flat is None:
            return None
        flat = flat if flat.dtype == x.dtype.numpy else flat.view(x.dtype.numpy)
        return strided(flat, x._shape, x.stride(), x._offset)
    while node.op in (Op.EXPAND, Op.RESHAPE) and node.srcs:  # computed nodes have none
        node = node.srcs[0]
    return np.array(cast("ConstAttr", node.attr).value) if node.op is Op.CONST else None


def from_array(array: np.ndarray, device: str) -> Tensor:
    """A tensor that takes over an array that nobody else holds."""
    fresh = np.array(array, order="C", copy=None)
    if not fresh.flags.writeable or not fresh.flags.c_contiguous:
        fresh = fresh.copy()
    return wrap(known.remember(leaf(buffer.from_array(fresh, device), fresh.shape), fresh))


def set_places(mask: Tensor) -> Tensor:
    """Where a mask holds, as places in the flattened array, on the mask's device."""
    device = mask._storage.node.device
    if device == "cuda":
        from picograd.frontend.selecting import places_of

        return places_of(mask)
    return from_array(np.flatnonzero(values(mask)), device)


def unravelled(places: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Places in the flattened array as an index for each axis."""
    found: list[np.ndarray] = []
    for extent in reversed(shape[1:]):
        before = places // max(1, extent)
        found.append(places - before * extent)
        places = before
    return [places, *reversed(found)]


def settle(x: Tensor) -> Tensor:
    """The tensor, its contents in memory of their own if they are one number everywhere."""
    x._storage.settle(limit=sys.maxsize)
    return x
