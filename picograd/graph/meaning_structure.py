"""The NumPy meaning of leaves, reductions and movement ops.

In: a node, the arrays of its sources, and `Bindings` (leaf buffers and run-time numbers). Out: the
array of its value, which may be a view of a source. `interpret.MEANING` lists the functions by op.

Float sums and products accumulate in float64 and are rounded once (through float32 for the 16-bit
floats): the order of a reduction is unspecified, and this is the value that any order approaches.

>>> import numpy as np
>>> [hex(word) for word in philox(np.zeros(1, np.uint64), 0, 0)[:, 0].tolist()]
['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from picograd.dtypes import DType
from picograd.graph.index import Index, Param, Var
from picograd.graph.meaning_elementwise import rounded
from picograd.graph.node import Node
from picograd.graph.ops import (
    AxesAttr,
    Combiner,
    ConcatAttr,
    ConstAttr,
    GatherAttr,
    IotaAttr,
    LeafAttr,
    PadAttr,
    RandomAttr,
    ReduceAttr,
    ScanAttr,
    ScatterReduceAttr,
    ShapeAttr,
    SliceAttr,
)

Arrays = Sequence[np.ndarray]
Number = int | float | complex | bool


@dataclass(frozen=True, slots=True)
class Bindings:
    """What a canonical graph leaves open: the buffers by leaf slot, the numbers by value slot."""

    buffers: Mapping[int, np.ndarray] = field(default_factory=dict)
    values: Mapping[int, Number] = field(default_factory=dict)

    def integer(self, value: int | Index) -> int:
        """A start or counter: itself, or its index evaluated with the run-time values."""
        if isinstance(value, int):
            return value
        known: dict[Var | Param, int] = {}
        for atom in value.atoms():
            assert isinstance(atom, Param), (
                f"a run-time integer depends on the loop variable {atom}"
            )
            known[atom] = int(self.values[atom.slot].real)
        return value.evaluate(known)


# --- leaves ---------------------------------------------------------------------------------------


def buffer(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, LeafAttr), "a buffer that is neither realised nor numbered"
    return bindings.buffers[attr.slot].reshape(attr.shape)


def constant(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, ConstAttr)
    return np.asarray(attr.value).astype(attr.dtype.numpy)


def parameter(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, LeafAttr)
    value = bindings.values[attr.slot]
    if attr.dtype.is_integer:
        value = int(value.real) & ((1 << attr.dtype.bits) - 1)
        return np.asarray(value, f"u{attr.dtype.itemsize}").view(attr.dtype.numpy)
    return np.asarray(value).astype(attr.dtype.numpy)


def iota(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, IotaAttr)
    return np.arange(attr.extent, dtype=np.int64).astype(attr.dtype.numpy)


def random(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, RandomAttr)
    seed, call = bindings.integer(attr.seed), bindings.integer(attr.call)
    positions = np.arange(node.size, dtype=np.uint64)
    return philox(positions, seed, call)[attr.word].reshape(attr.shape)


def philox(positions: np.ndarray, seed: int, call: int) -> np.ndarray:
    """Philox4x32-10: the four 32-bit words of every position's block, as uint32[4, n]."""
    low32 = np.uint64(0xFFFFFFFF)
    counter = [
        positions & low32,
        positions >> np.uint64(32),
        np.full_like(positions, call & 0xFFFFFFFF),
        np.full_like(positions, (call >> 32) & 0xFFFFFFFF),
    ]
    key_low, key_high = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(10):
        first = counter[0] * np.uint64(0xD2511F53)
        second = counter[2] * np.uint64(0xCD9E8D57)
        counter = [
            (second >> np.uint64(32)) ^ counter[1] ^ np.uint64(key_low),
            second & low32,
            (first >> np.uint64(32)) ^ counter[3] ^ np.uint64(key_high),
            first & low32,
        ]
        key_low = (key_low + 0x9E3779B9) & 0xFFFFFFFF
        key_high = (key_high + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(counter).astype(np.uint32)


# --- reduce ---------------------------------------------------------------------------------------

UFUNCS: dict[Combiner, np.ufunc] = {
    Combiner.SUM: np.add,
    Combiner.PROD: np.multiply,
    Combiner.MAX: np.maximum,
    Combiner.MIN: np.minimum,
}


def accumulator(combiner: Combiner, dtype: DType) -> np.dtype:
    """The NumPy type in which the interpreter combines."""
    if dtype.is_float:
        return np.dtype(np.float64)
    if dtype.is_complex and combiner in (Combiner.SUM, Combiner.PROD):
        return np.dtype(np.complex128)
    return dtype.numpy


def identity(combiner: Combiner, dtype: DType) -> int | float | bool:
    """What a reduction over nothing gives."""
    if combiner is Combiner.MAX:
        return dtype.lowest
    if combiner is Combiner.MIN:
        return dtype.highest
    return int(combiner is Combiner.PROD)


def reduce(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, ReduceAttr)
    if not attr.axes:
        return sources[0]
    if node.srcs[0].size == 0:
        return np.full(node.shape, identity(attr.combiner, node.dtype), node.dtype.numpy)
    wide = accumulator(attr.combiner, node.dtype)
    x = sources[0].astype(wide, copy=False)
    return rounded(UFUNCS[attr.combiner].reduce(x, axis=attr.axes, dtype=wide), node.dtype)


def scan(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, ScanAttr)
    wide = accumulator(attr.combiner, node.dtype)
    x = sources[0].astype(wide, copy=False)
    return rounded(UFUNCS[attr.combiner].accumulate(x, axis=attr.axis, dtype=wide), node.dtype)


def scatter_reduce(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, ScatterReduceAttr)
    base, value, *indices = sources
    _check_indices(attr.axes, base.shape, indices)
    wide = accumulator(attr.combiner, node.dtype)
    result = base.astype(wide, order="C")
    target = _axes_first(result, attr.axes)
    UFUNCS[attr.combiner].at(target, tuple(indices), value.astype(wide))
    return rounded(result, node.dtype)


# --- movement -------------------------------------------------------------------------------------


def reshape(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    return sources[0].reshape(node.shape)


def permute(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, AxesAttr)
    return sources[0].transpose(attr.axes)


def expand(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, ShapeAttr)
    return np.broadcast_to(sources[0], attr.shape)


def pad(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, PadAttr)
    result = np.empty(node.shape, node.dtype.numpy)
    result[...] = np.asarray(attr.value.value).astype(node.dtype.numpy)
    extents = zip(attr.before, sources[0].shape, strict=True)
    result[tuple(slice(before, before + extent) for before, extent in extents)] = sources[0]
    return result


def _window(attr: SliceAttr, shape: tuple[int, ...], bindings: Bindings) -> tuple[slice, ...]:
    slices: list[slice] = []
    for axis, (start, size, step) in enumerate(
        zip(attr.starts, attr.sizes, attr.steps, strict=True)
    ):
        first = bindings.integer(start)
        last = first + (size - 1) * step + 1 if size else first
        if first < 0 or last > shape[axis]:
            raise IndexError(
                f"start {first}, size {size}, step {step} is out of bounds for dimension {axis} "
                f"with size {shape[axis]}"
            )
        slices.append(slice(first, last, step))
    return tuple(slices)


def slice_(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, SliceAttr)
    return sources[0][_window(attr, sources[0].shape, bindings)]


def update(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, SliceAttr)
    result = np.array(sources[0], order="C")
    result[_window(attr, result.shape, bindings)] = sources[1]
    return result


def concat(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, ConcatAttr)
    return np.concatenate(sources, attr.axis)


def flip(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, AxesAttr)
    return np.flip(sources[0], attr.axes) if attr.axes else sources[0]


def _check_indices(axes: Sequence[int], shape: Sequence[int], indices: Arrays) -> None:
    """Raise torch's IndexError for the first index outside its dimension."""
    for axis, index in zip(axes, indices, strict=True):
        outside = index[(index < 0) | (index >= shape[axis])]
        if outside.size:
            raise IndexError(
                f"index {int(outside.flat[0])} is out of bounds for dimension {axis} with size "
                f"{shape[axis]}"
            )


def _axes_first(x: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """A view of x with the indexed axes in front, in the order of the indices."""
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    return x.transpose([*axes, *rest])


def gather(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, GatherAttr)
    x, *indices = sources
    _check_indices(attr.axes, x.shape, indices)
    return np.asarray(_axes_first(x, attr.axes)[tuple(indices)])


def scatter(node: Node, sources: Arrays, bindings: Bindings) -> np.ndarray:
    attr = node.attr
    assert isinstance(attr, GatherAttr)
    base, value, *indices = sources
    _check_indices(attr.axes, base.shape, indices)
    result = np.array(base, order="C")
    _axes_first(result, attr.axes)[tuple(indices)] = value
    return result
