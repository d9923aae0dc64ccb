"""The recorded primitives: one function per form of graph node.

In: tensors whose dtypes and shapes already agree, as the graph wants them. Out: tensors with fresh
storage, recorded on the tape when an input requires grad. Every named function of the frontend is
written on top of these; nobody else calls `graph.node.make` for tensors.

Shapes and dtypes are checked by `graph.infer` alone, so its errors are the user's.

>>> import picograd
>>> x = picograd.tensor([[1.0, 2.0], [3.0, 4.0]])
>>> reduce(Combiner.SUM, x, (0,)).tolist()
[4.0, 6.0]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from picograd.dtypes import DType, float32, int64
from picograd.frontend import precision, storage, tape
from picograd.frontend.grad_mode import state
from picograd.frontend.tensor import Tensor, wrap
from picograd.frontend.view import shape_attr
from picograd.graph.build import uniform_constant
from picograd.graph.node import Node, const, convert, make
from picograd.graph.ops import (
    NO_ATTR,
    Attr,
    AxesAttr,
    CastAttr,
    Combiner,
    ConcatAttr,
    ConstAttr,
    GatherAttr,
    IotaAttr,
    Op,
    PadAttr,
    RandomAttr,
    ReduceAttr,
    ScanAttr,
    ScatterReduceAttr,
    Shape,
    SliceAttr,
)

_PACKAGE = str(Path(__file__).parent.parent)


def primitive(op: Op, inputs: tuple[Tensor, ...], attr: Attr = NO_ATTR) -> Tensor:
    """The tensor of one new node: every function below ends here."""
    node = make(op, tuple([x.node for x in inputs]), attr)
    result = wrap(node)
    if state.enabled:
        for x in inputs:
            if x._meta is not None or x._base is not None:
                tape.record(op, result, inputs)
                break
    if storage._pinned:
        storage.settle(node, [x._storage for x in inputs])
    return result


def with_number(op: Op, x: Tensor, value: int | float) -> Tensor:
    """`op` of a tensor and a number as its dtype holds it."""
    filler = constant_node(value, x.dtype, x._storage.node.device, x._shape)
    result = wrap(make(op, (x.node, filler)))
    if state.enabled and (x._meta is not None or x._base is not None):
        tape.record(op, result, (x, wrap(filler)))
    if storage._pinned:
        storage.settle(result._storage.node, [x._storage])
    return result


def elementwise(op: Op, *tensors: Tensor) -> Tensor:
    """An elementwise op; its sources have one shape and, but for WHERE's condition, one dtype."""
    return primitive(op, tensors)


def cast(x: Tensor, dtype: DType) -> Tensor:
    """`x` converted to another dtype; `x` itself if it has it already."""
    return x if x.dtype is dtype else primitive(Op.CAST, (x,), CastAttr(dtype))


def bitcast(x: Tensor, dtype: DType) -> Tensor:
    """The bits of `x` as another dtype of the same size, in fresh storage."""
    return primitive(Op.BITCAST, (x,), CastAttr(dtype))


def reduce(combiner: Combiner, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Combine along axes (sorted, not negative), which vanish from the shape."""
    if not axes:
        return x
    coarse = combiner is Combiner.SUM and x.dtype is float32 and precision.coarse()
    return primitive(Op.REDUCE, (x,), ReduceAttr(combiner, axes, coarse))


def scan(combiner: Combiner, x: Tensor, axis: int) -> Tensor:
    """Combine every prefix along one axis."""
    return primitive(Op.SCAN, (x,), ScanAttr(combiner, axis))


def reshape(x: Tensor, shape: Shape) -> Tensor:
    """The elements in row-major order in another shape (fresh storage; see `Tensor.reshape`)."""
    return x if x._shape == shape else primitive(Op.RESHAPE, (x,), shape_attr(shape))


def permute(x: Tensor, order: tuple[int, ...]) -> Tensor:
    """Axis k of the result is axis `order[k]` of `x`."""
    return primitive(Op.PERMUTE, (x,), AxesAttr(order))


def expand(x: Tensor, shape: Shape) -> Tensor:
    """Repeat axes of extent 1; the rank stays."""
    return x if x._shape == shape else primitive(Op.EXPAND, (x,), shape_attr(shape))


def pad(
    x: Tensor,
    before: tuple[int, ...],
    after: tuple[int, ...],
    value: int | float | complex | bool = 0,
) -> Tensor:
    """Surround `x` with a constant, `before[k]` and `after[k]` elements of it along axis k."""
    filler = ConstAttr(convert(value, x.dtype), x.dtype)
    return primitive(Op.PAD, (x,), PadAttr(before, after, filler))


def slice_(
    x: Tensor, starts: tuple[int, ...], sizes: tuple[int, ...], steps: tuple[int, ...]
) -> Tensor:
    """Element `start + k*step` for `k < size` of each axis."""
    return primitive(Op.SLICE, (x,), SliceAttr(starts, sizes, steps))


def flip(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Turn axes (sorted, not negative) round."""
    return primitive(Op.FLIP, (x,), AxesAttr(axes)) if axes else x


def _located(result: Tensor, checked: bool) -> Tensor:
    """Remember the user's line on a node that may fail when it is computed."""
    if not checked and result.node.origin is None:
        result.node.origin = user_line()
    return result


def user_line() -> str | None:
    """ "file:line" of the innermost call from outside of picograd."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return None if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def gather(
    x: Tensor, axes: tuple[int, ...], indices: tuple[Tensor, ...], checked: bool = False
) -> Tensor:
    """Index `axes` of `x` by integer tensors of one shape; that shape leads the result's."""
    return _located(primitive(Op.GATHER, (x, *indices), GatherAttr(axes, checked)), checked)


def scatter(
    base: Tensor,
    value: Tensor,
    axes: tuple[int, ...],
    indices: tuple[Tensor, ...],
    checked: bool = False,
) -> Tensor:
    """`base` with the elements that `gather` would read replaced by `value`; the last wins."""
    attr = GatherAttr(axes, checked)
    return _located(primitive(Op.SCATTER, (base, value, *indices), attr), checked)


def scatter_reduce(
    combiner: Combiner,
    base: Tensor,
    value: Tensor,
    axes: tuple[int, ...],
    indices: tuple[Tensor, ...],
    checked: bool = False,
) -> Tensor:
    """As `scatter`, combining `value` with what is there."""
    attr = ScatterReduceAttr(axes, checked, combiner)
    return _located(primitive(Op.SCATTER_REDUCE, (base, value, *indices), attr), checked)


def update(
    base: Tensor,
    value: Tensor,
    starts: tuple[int, ...],
    sizes: tuple[int, ...],
    steps: tuple[int, ...],
) -> Tensor:
    """`base` with the elements that `slice_` would read replaced by `value`."""
    return primitive(Op.UPDATE, (base, value), SliceAttr(starts, sizes, steps))


def concat(parts: Sequence[Tensor], axis: int) -> Tensor:
    """The parts one after the other along an axis."""
    starts = (0, *accumulate([part._shape[axis] for part in parts[:-1]]))
    return primitive(Op.CONCAT, tuple(parts), ConcatAttr(axis, starts))


# Programs use the same few numbers again and again; a known one costs a look-up.
_constants: dict[tuple[object, ...], Node] = {}
_CONSTANTS_KEPT = 1024


def constant_node(
    value: int | float | complex | bool, dtype: DType, device: str, shape: Shape = ()
) -> Node:
    """The node of a constant of any shape."""
    key = (value.__class__, value or repr(value), dtype, device, shape)
    node = _constants.get(key)
    # Somebody may have asked for the memory of a tensor of one number: then what repeats it would
    # read that, and be no constant any more.
    if node is not None and node.buffer is None and (not shape or uniform_constant(node)):
        return node
    node = const(value, dtype, device)
    if shape:
        node = make(Op.RESHAPE, (node,), shape_attr((1,) * len(shape)))
        if node.shape != shape:
            node = make(Op.EXPAND, (node,), shape_attr(shape))
    if len(_constants) >= _CONSTANTS_KEPT:
        _constants.clear()
    _constants[key] = node
    return node


def constant(
    value: int | float | complex | bool, dtype: DType, device: str, shape: Shape = ()
) -> Tensor:
    """A tensor filled with one number."""
    return wrap(constant_node(value, dtype, device, shape))


def iota(extent: int, dtype: DType, device: str) -> Tensor:
    """0, 1, ..., extent - 1."""
    counted = dtype if dtype.is_integer else int64
    return cast(wrap(make(Op.IOTA, (), IotaAttr(extent, counted), device)), dtype)


def random_bits(shape: Shape, word: int, seed: int, call: int, device: str) -> Tensor:
    """Word `word` (0 to 3) of the Philox block of every element, as uint32."""
    return wrap(make(Op.RANDOM, (), RandomAttr(shape, word, seed, call), device))
