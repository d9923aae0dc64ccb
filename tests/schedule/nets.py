"""Pieces of networks as canonical graphs, as a frontend builds them."""

from __future__ import annotations

from picograd.dtypes import DType, bool_, float32, int64
from picograd.graph.node import Node, make
from picograd.graph.ops import (
    AxesAttr,
    CastAttr,
    Combiner,
    ConstAttr,
    GatherAttr,
    IotaAttr,
    LeafAttr,
    Op,
    ReduceAttr,
    Shape,
    ShapeAttr,
)


def leaf(slot: int, *shape: int, dtype: DType = float32) -> Node:
    return make(Op.BUFFER, (), LeafAttr(slot, shape, dtype), "cpu")


def number(value: float, shape: Shape = (), dtype: DType = float32) -> Node:
    return spread(make(Op.CONST, (), ConstAttr(value, dtype), "cpu"), shape)


def reshape(x: Node, *shape: int) -> Node:
    return x if x.shape == shape else make(Op.RESHAPE, (x,), ShapeAttr(shape))


def spread(x: Node, shape: Shape) -> Node:
    """Broadcast to a shape."""
    x = reshape(x, *(1,) * (len(shape) - len(x.shape)), *x.shape)
    return x if x.shape == shape else make(Op.EXPAND, (x,), ShapeAttr(shape))


def apply(op: Op, *sources: Node | float) -> Node:
    """An elementwise op with broadcasting."""
    shape: Shape = ()
    for source in sources:
        if isinstance(source, Node):
            rank = max(len(shape), len(source.shape))
            left = (1,) * (rank - len(shape)) + shape
            right = (1,) * (rank - len(source.shape)) + source.shape
            shape = tuple(b if a == 1 else a for a, b in zip(left, right, strict=True))
    nodes = [spread(s, shape) if isinstance(s, Node) else number(s, shape) for s in sources]
    return make(op, tuple(nodes))


def reduce(x: Node, *axes: int, keep: bool = False, combiner: Combiner = Combiner.SUM) -> Node:
    axes = tuple(sorted(axis % len(x.shape) for axis in axes)) or tuple(range(len(x.shape)))
    result = make(Op.REDUCE, (x,), ReduceAttr(combiner, axes))
    shape = (1 if axis in axes else extent for axis, extent in enumerate(x.shape))
    return reshape(result, *shape) if keep else result


def mean(x: Node, *axes: int, keep: bool = False) -> Node:
    total = reduce(x, *axes, keep=keep)
    return apply(Op.DIV, total, float(x.size // total.size))


def transpose(x: Node) -> Node:
    return make(Op.PERMUTE, (x,), AxesAttr((1, 0)))


def matmul(x: Node, y: Node) -> Node:
    """[m, k] @ [k, n]."""
    (m, k), (_, n) = x.shape, y.shape
    left = spread(reshape(x, m, k, 1), (m, k, n))
    right = spread(reshape(y, 1, k, n), (m, k, n))
    return reduce(make(Op.MUL, (left, right)), 1)


def softmax(x: Node) -> Node:
    power = apply(Op.EXP, apply(Op.SUB, x, reduce(x, -1, keep=True, combiner=Combiner.MAX)))
    return apply(Op.DIV, power, reduce(power, -1, keep=True))


def log_softmax(x: Node) -> Node:
    shifted = apply(Op.SUB, x, reduce(x, -1, keep=True, combiner=Combiner.MAX))
    total = reduce(apply(Op.EXP, shifted), -1, keep=True)
    return apply(Op.SUB, shifted, apply(Op.LOG, total))


def layernorm(x: Node, scale: Node, shift: Node) -> Node:
    centered = apply(Op.SUB, x, mean(x, -1, keep=True))
    variance = mean(apply(Op.MUL, centered, centered), -1, keep=True)
    deviation = apply(Op.SQRT, apply(Op.ADD, variance, 1e-5))
    return apply(Op.ADD, apply(Op.MUL, apply(Op.DIV, centered, deviation), scale), shift)


def gelu(x: Node) -> Node:
    error = apply(Op.ERF, apply(Op.MUL, x, 0.7071067811865476))
    return apply(Op.MUL, apply(Op.MUL, x, 0.5), apply(Op.ADD, error, 1.0))


def iota(extent: int) -> Node:
    return make(Op.IOTA, (), IotaAttr(extent, int64), "cpu")


def cross_entropy(x: Node, labels: Node, checked: bool = True) -> Node:
    rows = x.shape[0]
    picked = make(Op.GATHER, (log_softmax(x), iota(rows), labels), GatherAttr((0, 1), checked))
    return mean(apply(Op.NEG, picked), 0)


def one_hot(labels: Node, classes: int) -> Node:
    column = spread(reshape(labels, labels.size, 1), (labels.size, classes))
    equal = make(Op.EQ, (column, spread(iota(classes), (labels.size, classes))))
    assert equal.dtype is bool_
    return make(Op.CAST, (equal,), CastAttr(float32))


def adam(p: Node, grad: Node, m: Node, v: Node) -> tuple[Node, Node, Node]:
    """New parameter, first and second moment."""
    m = apply(Op.ADD, apply(Op.MUL, m, 0.9), apply(Op.MUL, grad, 0.1))
    v = apply(Op.ADD, apply(Op.MUL, v, 0.99), apply(Op.MUL, apply(Op.MUL, grad, grad), 0.01))
    root = apply(Op.ADD, apply(Op.SQRT, apply(Op.DIV, v, 0.5)), 1e-8)
    step = apply(Op.MUL, apply(Op.DIV, apply(Op.DIV, m, 0.5), root), 0.001)
    return apply(Op.SUB, p, step), m, v
