"""Short ways to build canonical graphs in tests."""

from __future__ import annotations

import numpy as np

from picograd.dtypes import DType, float32
from picograd.graph.node import Node, convert, make
from picograd.graph.ops import (
    AxesAttr,
    CastAttr,
    Combiner,
    ConstAttr,
    IotaAttr,
    LeafAttr,
    Op,
    PadAttr,
    ReduceAttr,
    ShapeAttr,
    SliceAttr,
)


def leaf(slot: int, shape: tuple[int, ...], dtype: DType = float32) -> Node:
    return make(Op.BUFFER, (), LeafAttr(slot, shape, dtype), "cpu")


def parameter(slot: int, dtype: DType) -> Node:
    return make(Op.PARAMETER, (), LeafAttr(slot, (), dtype), "cpu")


def const(value: int | float | complex | bool, dtype: DType = float32) -> Node:
    return make(Op.CONST, (), ConstAttr(convert(value, dtype), dtype), "cpu")


def full(value: int | float | complex | bool, like: Node) -> Node:
    """A constant of the shape and dtype of a node."""
    ones = reshape(const(value, like.dtype), (1,) * len(like.shape))
    return expand(ones, like.shape)


def iota(extent: int, dtype: DType) -> Node:
    return make(Op.IOTA, (), IotaAttr(extent, dtype), "cpu")


def reshape(x: Node, shape: tuple[int, ...]) -> Node:
    return make(Op.RESHAPE, (x,), ShapeAttr(shape))


def expand(x: Node, shape: tuple[int, ...]) -> Node:
    return make(Op.EXPAND, (x,), ShapeAttr(shape))


def permute(x: Node, *axes: int) -> Node:
    return make(Op.PERMUTE, (x,), AxesAttr(axes))


def flip(x: Node, *axes: int) -> Node:
    return make(Op.FLIP, (x,), AxesAttr(axes))


def pad(x: Node, before: tuple[int, ...], after: tuple[int, ...], value: float = 0) -> Node:
    return make(Op.PAD, (x,), PadAttr(before, after, ConstAttr(convert(value, x.dtype), x.dtype)))


def window(x: Node, starts: tuple, sizes: tuple[int, ...], steps: tuple[int, ...] = ()) -> Node:
    return make(Op.SLICE, (x,), SliceAttr(starts, sizes, steps or (1,) * len(sizes)))


def reduce(x: Node, *axes: int, combiner: Combiner = Combiner.SUM) -> Node:
    return make(Op.REDUCE, (x,), ReduceAttr(combiner, axes))


def cast(x: Node, dtype: DType) -> Node:
    return make(Op.CAST, (x,), CastAttr(dtype))


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal shapes, dtypes and bits, where every NaN counts as equal to every other."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind == "c":
        return same_bits(a.real.copy(), b.real.copy()) and same_bits(a.imag.copy(), b.imag.copy())
    a, b = np.atleast_1d(np.array(a)), np.atleast_1d(np.array(b))
    if a.dtype.kind in "fV" or "bfloat" in str(a.dtype):
        nan = np.isnan(a.astype(np.float64)) & np.isnan(b.astype(np.float64))
        bits = np.dtype(f"u{a.dtype.itemsize}")
        return bool(np.all(nan | (a.view(bits) == b.view(bits))))
    return bool(np.array_equal(a, b))
