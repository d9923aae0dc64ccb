"""Complex values become pairs of real ones.

In: the outputs of a canonical graph. Out: outputs of a graph with real dtypes only; called before
the schedule, which knows no complex numbers. The memory stays as it is: a complex leaf of shape S
is read as a real leaf of the same slot and shape S + (2,), and a complex output becomes a real
output of shape S + (2,). A complex64 parameter is read as the uint64 cell that holds its bits.

>>> from picograd.dtypes import complex64
>>> z = make(Op.BUFFER, (), LeafAttr(0, (3,), complex64), "cpu")
>>> split_complex([make(Op.MUL, (z, z))])[0]
<WHERE float32[3, 2] on cpu>
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.dtypes import complex64, float32, int32, real_of, uint32, uint64
from picograd.graph import complex_math
from picograd.graph.build import (
    cast,
    expand,
    full_like,
    permute,
    reshape,
    select,
    window,
)
from picograd.graph.complex_math import BINARY, TO_REAL, UNARY, Pair, multiply
from picograd.graph.node import Node, const, make, topological
from picograd.graph.ops import (
    MOVEMENTS,
    CastAttr,
    Combiner,
    ConstAttr,
    IotaAttr,
    LeafAttr,
    Op,
    PadAttr,
    ReduceAttr,
    ScanAttr,
    ScatterReduceAttr,
)

Value = Node | Pair


def split_complex(outputs: Sequence[Node]) -> list[Node]:
    """The graph over real numbers; graphs without complex numbers come back as they are.

    Raises NotImplementedError, naming op and dtype, for what has no real form here.
    """
    values: dict[int, Value] = {}
    for node in topological(outputs):
        values[id(node)] = _split(node, [values[id(src)] for src in node.srcs])
    results: list[Node] = []
    for output in outputs:
        value = values[id(output)]
        results.append(_interleave(value) if isinstance(value, Pair) else value)
    return results


def _split(node: Node, srcs: list[Value]) -> Value:
    if not any(isinstance(src, Pair) for src in srcs) and not node.dtype.is_complex:
        nodes = tuple(src for src in srcs if isinstance(src, Node))
        if all(new is old for new, old in zip(nodes, node.srcs, strict=True)):
            return node
        return _keep_origin(make(node.op, nodes, node.attr), node)
    if not srcs:
        return _split_leaf(node)
    if node.op in MOVEMENTS:
        return _split_movement(node, srcs)
    if node.op in (Op.REDUCE, Op.SCAN, Op.SCATTER_REDUCE):
        return _split_reduce(node, srcs)
    return _split_elementwise(node, srcs)


def _keep_origin(new: Node, old: Node) -> Node:
    if new.origin is None:
        new.origin = old.origin
    return new


def _unsupported(node: Node) -> NotImplementedError:
    dtypes = ", ".join(src.dtype.name for src in node.srcs)
    return NotImplementedError(
        f"{node.op.name.lower()} of {dtypes or node.dtype.name} to {node.dtype.name} is not "
        f"implemented for complex numbers; compute with the real and imaginary parts instead"
    )


def _interleave(pair: Pair) -> Node:
    """The memory of a complex value: real and imaginary parts in turn."""
    shape = (*pair.real.shape, 2)
    real, imag = (expand(reshape(part, (*part.shape, 1)), shape) for part in pair)
    which = make(Op.IOTA, (), IotaAttr(2, int32), pair.real.device)
    first = make(Op.EQ, (which, full_like(0, which)))
    first = expand(reshape(first, (1,) * len(pair.real.shape) + (2,)), shape)
    return make(Op.WHERE, (first, real, imag))


# --- leaves ---------------------------------------------------------------------------------------


def _split_leaf(node: Node) -> Pair:
    attr = node.attr
    if isinstance(attr, ConstAttr):
        part = const(0.0, real_of(attr.dtype), node.device)
        return complex_math.constant_pair(complex(attr.value), part)
    if not isinstance(attr, LeafAttr):
        raise _unsupported(node)
    if node.op is Op.PARAMETER:
        return _split_parameter(node, attr)
    leaf = LeafAttr(attr.slot, (*attr.shape, 2), real_of(attr.dtype))
    both = make(Op.BUFFER, (), leaf, node.device)
    axis = len(attr.shape)
    return Pair(*(reshape(select(both, axis, part), attr.shape) for part in (0, 1)))


def _split_parameter(node: Node, attr: LeafAttr) -> Pair:
    """The two halves of the 8-byte cell."""
    if attr.dtype is not complex64:
        raise _unsupported(node)  # 16 bytes do not fit: the engine makes these constants
    cell = make(Op.PARAMETER, (), LeafAttr(attr.slot, (), uint64), node.device)
    high = make(Op.SHR, (cell, full_like(32, cell)))
    halves = (make(Op.BITCAST, (cast(half, uint32),), CastAttr(float32)) for half in (cell, high))
    return Pair(*halves)


# --- elementwise ----------------------------------------------------------------------------------


def _split_elementwise(node: Node, srcs: list[Value]) -> Value:
    op = node.op
    if op is Op.CAST:
        return _split_cast(node, srcs[0])
    if op is Op.COMPLEX:
        real, imag = srcs
        assert isinstance(real, Node) and isinstance(imag, Node)
        return Pair(real, imag)
    if op is Op.WHERE:
        condition, x, y = srcs
        assert isinstance(condition, Node) and isinstance(x, Pair) and isinstance(y, Pair)
        return Pair(*(make(Op.WHERE, (condition, *parts)) for parts in zip(x, y, strict=True)))
    pairs = [src for src in srcs if isinstance(src, Pair)]
    if op in TO_REAL:
        return TO_REAL[op](*pairs)
    if op in UNARY:
        return UNARY[op](*pairs)
    if op in BINARY:
        return BINARY[op](*pairs)
    raise _unsupported(node)


def _split_cast(node: Node, src: Value) -> Value:
    target = node.dtype
    if isinstance(src, Node):
        real = cast(src, real_of(target))
        return Pair(real, full_like(0, real))
    if target.is_complex:
        return Pair(*(cast(part, real_of(target)) for part in src))
    if target.is_bool:
        return make(Op.OR, (cast(src.real, target), cast(src.imag, target)))
    return cast(src.real, target)


# --- movement -------------------------------------------------------------------------------------


def _split_movement(node: Node, srcs: list[Value]) -> Pair:
    """The same movement of both parts; index sources are real and shared."""
    parts: list[Node] = []
    for which in (0, 1):
        nodes = tuple(src[which] if isinstance(src, Pair) else src for src in srcs)
        attr = node.attr
        if isinstance(attr, PadAttr):
            value = complex(attr.value.value)
            number = ConstAttr((value.real, value.imag)[which], nodes[0].dtype)
            attr = PadAttr(attr.before, attr.after, number)
        parts.append(_keep_origin(make(node.op, nodes, attr), node))
    return Pair(*parts)


# --- reduce ---------------------------------------------------------------------------------------


def _split_reduce(node: Node, srcs: list[Value]) -> Pair:
    attr = node.attr
    assert isinstance(attr, ReduceAttr | ScanAttr | ScatterReduceAttr)
    if attr.combiner is Combiner.SUM:
        return _split_movement(node, srcs)
    pair = srcs[0]
    if attr.combiner is not Combiner.PROD or not isinstance(pair, Pair):
        raise _unsupported(node)
    if isinstance(attr, ReduceAttr):
        return _product(pair, attr.axes)
    if isinstance(attr, ScanAttr):
        return _running_product(pair, attr.axis)
    raise _unsupported(node)


def _product(pair: Pair, axes: tuple[int, ...]) -> Pair:
    """A product over axes: halves are multiplied until one element is left."""
    shape = pair.real.shape
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    kept_shape = tuple(shape[axis] for axis in kept)
    extent = 1
    for axis in axes:
        extent *= shape[axis]
    flat = Pair(*(reshape(permute(x, (*kept, *axes)), (*kept_shape, extent)) for x in pair))
    last = len(kept)
    if extent == 0:
        flat, extent = _shifted(flat, last, 1, 1), 1
    while extent > 1:
        if extent % 2:
            flat, extent = _shifted(flat, last, 1, extent + 1), extent + 1
        extent //= 2
        first, second = (
            Pair(*(window(x, (0,) * last + (start,), (*kept_shape, extent)) for x in flat))
            for start in (0, extent)
        )
        flat = multiply(first, second)
    return Pair(*(reshape(x, kept_shape) for x in flat))


def _running_product(pair: Pair, axis: int) -> Pair:
    """A prefix product: each round multiplies by what stands twice as far before."""
    extent, distance = pair.real.shape[axis], 1
    while distance < extent:
        pair = multiply(_shifted(pair, axis, distance, extent), pair)
        distance *= 2
    return pair


def _shifted(pair: Pair, axis: int, distance: int, extent: int) -> Pair:
    """`extent` elements of ones followed by the pair's, moved `distance` places along an axis."""
    parts: list[Node] = []
    for x, one in zip(pair, (1.0, 0.0), strict=True):
        rank = len(x.shape)
        before = tuple(distance if n == axis else 0 for n in range(rank))
        pad = PadAttr(before, (0,) * rank, ConstAttr(one, x.dtype))
        sizes = tuple(extent if n == axis else size for n, size in enumerate(x.shape))
        parts.append(window(make(Op.PAD, (x,), pad), (0,) * rank, sizes))
    return Pair(*parts)
