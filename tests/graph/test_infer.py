"""Shapes, dtypes and devices of every op, and every error that a wrong expression raises."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from picograd import dtypes as dt
from picograd.dtypes import ALL
from picograd.graph.index import Param, of
from picograd.graph.infer import RULES, infer
from picograd.graph.node import Node, const, make
from picograd.graph.ops import (
    AxesAttr,
    CastAttr,
    Combiner,
    ConcatAttr,
    ConstAttr,
    GatherAttr,
    IotaAttr,
    LeafAttr,
    Op,
    PadAttr,
    RandomAttr,
    ReduceAttr,
    ScanAttr,
    ScatterReduceAttr,
    ShapeAttr,
    SliceAttr,
)
from tests.graph.builders import cast, leaf, pad, permute, reduce, reshape, window

X = leaf(0, (3, 4))
Y = leaf(1, (3, 5))
INT = leaf(2, (3, 4), dt.int64)
BOOL = leaf(3, (3, 4), dt.bool_)
COMPLEX = leaf(4, (3, 4), dt.complex64)
INDEX = leaf(5, (2, 7), dt.int32)


def shape_and_dtype(node: Node) -> tuple[tuple[int, ...], str]:
    return node.shape, node.dtype.name


GOOD: list[tuple[Node, tuple[int, ...], str]] = [
    (make(Op.ADD, (X, X)), (3, 4), "float32"),
    (make(Op.LT, (X, X)), (3, 4), "bool"),
    (make(Op.EQ, (COMPLEX, COMPLEX)), (3, 4), "bool"),
    (make(Op.WHERE, (BOOL, INT, INT)), (3, 4), "int64"),
    (make(Op.ABS, (COMPLEX,)), (3, 4), "float32"),
    (make(Op.COMPLEX, (X, X)), (3, 4), "complex64"),
    (make(Op.IMAG, (COMPLEX,)), (3, 4), "float32"),
    (cast(X, dt.int8), (3, 4), "int8"),
    (make(Op.BITCAST, (X,), CastAttr(dt.uint32)), (3, 4), "uint32"),
    (reduce(X, 0), (4,), "float32"),
    (reduce(X, 0, 1, combiner=Combiner.MAX), (), "float32"),
    (make(Op.SCAN, (INT,), ScanAttr(Combiner.SUM, 1)), (3, 4), "int64"),
    (reshape(X, (2, 6, 1)), (2, 6, 1), "float32"),
    (permute(X, 1, 0), (4, 3), "float32"),
    (pad(X, (1, 0), (0, 2)), (4, 6), "float32"),
    (window(X, (1, 0), (2, 2), (1, 3)), (2, 2), "float32"),
    (window(X, (of(Param(0, 0, 1)), 4), (2, 0)), (2, 0), "float32"),
    (make(Op.FLIP, (X,), AxesAttr((1,))), (3, 4), "float32"),
    (make(Op.EXPAND, (reshape(X, (3, 1, 4)),), ShapeAttr((3, 9, 4))), (3, 9, 4), "float32"),
    (make(Op.GATHER, (X, INDEX), GatherAttr((1,), False)), (2, 7, 3), "float32"),
    (make(Op.GATHER, (X, INDEX, INDEX), GatherAttr((1, 0), False)), (2, 7), "float32"),
    (make(Op.IOTA, (), IotaAttr(5, dt.int16), "cpu"), (5,), "int16"),
    (make(Op.RANDOM, (), RandomAttr((2, 3), 0, 1, 2), "cpu"), (2, 3), "uint32"),
    (const(1.5, dt.bfloat16, "cpu"), (), "bfloat16"),
]


@pytest.mark.parametrize(("node", "shape", "dtype"), GOOD, ids=lambda v: str(v)[:40])
def test_shapes_and_dtypes(node: Node, shape: tuple[int, ...], dtype: str) -> None:
    assert shape_and_dtype(node) == (shape, dtype) and node.device == "cpu"


def gather(*indices: Node, axes: tuple[int, ...] = (0,)) -> Node:
    return make(Op.GATHER, (X, *indices), GatherAttr(axes, False))


def update(value: Node, starts: tuple[int, ...]) -> Node:
    return make(Op.UPDATE, (X, value), SliceAttr(starts, (2, 2), (1, 1)))


def concat(*parts: Node, starts: tuple[int, ...] = (0, 3)) -> Node:
    return make(Op.CONCAT, parts, ConcatAttr(0, starts))


ELSEWHERE = make(Op.BUFFER, (), LeafAttr(9, (3, 4), dt.float32), "cuda")

BAD: list[tuple[type[Exception], str, Callable[[], Node]]] = [
    (
        RuntimeError,
        "The size of tensor a (4) must match the size of tensor b (5) at non-singleton "
        "dimension 1: add of shapes [3, 4] and [3, 5]",
        lambda: make(Op.ADD, (X, Y)),
    ),
    (RuntimeError, "The number of dimensions", lambda: make(Op.ADD, (X, leaf(6, (4,))))),
    (RuntimeError, "same dtype, but got float32 and int64", lambda: make(Op.MUL, (X, INT))),
    (RuntimeError, "on the same device", lambda: make(Op.ADD, (X, ELSEWHERE))),
    (TypeError, "needs a device", lambda: make(Op.IOTA, (), IotaAttr(5, dt.int64))),
    (TypeError, "add takes 2 sources, got 1: float32[3, 4]", lambda: make(Op.ADD, (X,))),
    (TypeError, "sqrt takes 1 sources", lambda: make(Op.SQRT, (X, X))),
    (TypeError, "reduce needs a ReduceAttr, got NoAttr", lambda: make(Op.REDUCE, (X,))),
    (NotImplementedError, "\"sqrt\" not implemented for 'Long'", lambda: make(Op.SQRT, (INT,))),
    (NotImplementedError, "'ComplexFloat'", lambda: make(Op.LT, (COMPLEX, COMPLEX))),
    (NotImplementedError, "'Float'", lambda: make(Op.AND, (X, X))),
    (NotImplementedError, "'Long'", lambda: make(Op.DIV, (INT, INT))),
    (RuntimeError, "Negation, the `-` operator, on a bool", lambda: make(Op.NEG, (BOOL,))),
    (RuntimeError, "condition to be a boolean", lambda: make(Op.WHERE, (INT, X, X))),
    (RuntimeError, "shapes [3, 4] and [3, 5]", lambda: make(Op.WHERE, (BOOL, Y, Y))),
    (RuntimeError, "same dtype", lambda: make(Op.WHERE, (BOOL, X, INT))),
    (RuntimeError, "Float or Double tensors", lambda: make(Op.COMPLEX, (INT, INT))),
    (
        RuntimeError,
        "scalar type Float but got scalar type Long",
        lambda: make(Op.COMPLEX, (X, INT)),
    ),
    (RuntimeError, "non-complex dtypes, got float32", lambda: make(Op.REAL, (X,))),
    (
        RuntimeError,
        "float32 (4 bytes) as int64 (8 bytes)",
        lambda: make(Op.BITCAST, (X,), CastAttr(dt.int64)),
    ),
    (IndexError, "range of [0, 1], but got 2", lambda: reduce(X, 2)),
    (RuntimeError, "dim 1 appears multiple times", lambda: reduce(X, 1, 1)),
    (NotImplementedError, '"max" not', lambda: reduce(COMPLEX, 0, combiner=Combiner.MAX)),
    (IndexError, "in scan", lambda: make(Op.SCAN, (X,), ScanAttr(Combiner.SUM, 2))),
    (RuntimeError, "shape '[5, 2]' is invalid for input of size 12", lambda: reshape(X, (5, 2))),
    (RuntimeError, "invalid for input", lambda: reshape(X, (-3, -4))),
    (RuntimeError, "number of dimensions", lambda: permute(X, 0)),
    (RuntimeError, "multiple times", lambda: permute(X, 0, 0)),
    (IndexError, "out of range", lambda: permute(X, 0, 2)),
    (
        RuntimeError,
        "The expanded size of the tensor (5) must match the existing size (4) at non-singleton "
        "dimension 1.  Target sizes: [3, 5].  Tensor sizes: [3, 4]",
        lambda: make(Op.EXPAND, (X,), ShapeAttr((3, 5))),
    ),
    (RuntimeError, "keeps the number", lambda: make(Op.EXPAND, (X,), ShapeAttr((2, 3, 4)))),
    (RuntimeError, "none negative", lambda: pad(X, (0, -1), (0, 0))),
    (
        RuntimeError,
        "float32 tensor with a int64 value",
        lambda: make(Op.PAD, (X,), PadAttr((0, 0), (0, 0), ConstAttr(0, dt.int64))),
    ),
    (RuntimeError, "needs 2 starts, sizes and steps", lambda: window(X, (0,), (1,))),
    (RuntimeError, "steps must be positive", lambda: window(X, (0, 0), (1, 1), (1, 0))),
    (IndexError, "dimension 1 with size 4", lambda: window(X, (0, 3), (1, 2))),
    (IndexError, "dimension 0 with size 3", lambda: window(X, (of(Param(0, 0, 2)), 0), (2, 4))),
    (IndexError, "start -1", lambda: window(X, (-1, 0), (1, 1))),
    (IndexError, "range of [0, 1]", lambda: make(Op.FLIP, (X,), AxesAttr((3,)))),
    (RuntimeError, "shape [3, 4] cannot be written", lambda: update(X, (0, 0))),
    (RuntimeError, "same dtype", lambda: update(leaf(7, (2, 2), dt.int8), (0, 0))),
    (IndexError, "out of bounds", lambda: update(leaf(7, (2, 2)), (2, 0))),
    (
        RuntimeError,
        "starts at 2, but the one",
        lambda: concat(X, X, starts=(0, 2)),
    ),
    (RuntimeError, "must match except in dimension 0", lambda: concat(X, leaf(7, (3, 5)))),
    (RuntimeError, "same dtype", lambda: concat(X, leaf(7, (3, 4), dt.int8))),
    (IndexError, "must be integers, got float32", lambda: gather(leaf(7, (2,)))),
    (IndexError, "1 index tensors for the 2 dimensions", lambda: gather(INDEX, axes=(0, 1))),
    (
        IndexError,
        "1 index tensors for the 0 dimensions",
        lambda: make(Op.GATHER, (X, X), GatherAttr((), False)),
    ),
    (
        IndexError,
        "could not be broadcast together with shapes [2, 7], [2]",
        lambda: gather(INDEX, leaf(7, (2,), dt.int64), axes=(0, 1)),
    ),
    (IndexError, "range of [0, 1], but got 2", lambda: gather(INDEX, axes=(2,))),
    (
        RuntimeError,
        "value tensor of shape [3, 4] cannot be written to an indexing result of shape [2, 7, 4]",
        lambda: make(Op.SCATTER, (X, X, INDEX), GatherAttr((0,), False)),
    ),
    (
        RuntimeError,
        "indexing result of shape [2, 7, 4]",
        lambda: make(
            Op.SCATTER_REDUCE, (X, X, INDEX), ScatterReduceAttr((0,), False, Combiner.SUM)
        ),
    ),
    (
        NotImplementedError,
        "\"min\" not implemented for 'ComplexFloat'",
        lambda: make(
            Op.SCATTER_REDUCE,
            (COMPLEX, leaf(7, (2, 7, 4), dt.complex64), INDEX),
            ScatterReduceAttr((0,), False, Combiner.MIN),
        ),
    ),
    (NotImplementedError, "'Float'", lambda: make(Op.IOTA, (), IotaAttr(3, dt.float32), "cpu")),
    (RuntimeError, "negative extent -1", lambda: make(Op.IOTA, (), IotaAttr(-1, dt.int64), "cpu")),
    (RuntimeError, "words 0 to 3", lambda: make(Op.RANDOM, (), RandomAttr((2,), 4, 0, 0), "cpu")),
    (
        RuntimeError,
        "single number",
        lambda: make(Op.PARAMETER, (), LeafAttr(0, (2,), dt.float32), "cpu"),
    ),
]


@pytest.mark.parametrize(
    ("error", "message", "build"), BAD, ids=[f"{n}-{case[1][:30]}" for n, case in enumerate(BAD)]
)
def test_errors(error: type[Exception], message: str, build: Callable[[], Node]) -> None:
    with pytest.raises(error, match=re.escape(message)) as caught:
        build()
    assert caught.type is error


def test_every_op_has_a_rule() -> None:
    assert set(RULES) == set(Op)


def test_every_dtype_has_a_name_in_messages() -> None:
    for dtype in ALL:
        if not dtype.is_float:
            with pytest.raises(NotImplementedError, match=r"not implemented for '[A-Z]"):
                make(Op.ERF, (leaf(0, (1,), dtype),))


def test_attribute_of_reduce_is_read_once() -> None:
    attr = ReduceAttr(Combiner.SUM, (1,))
    assert infer(Op.REDUCE, (X,), attr, None) == (dt.float32, (3,), "cpu")


def test_numbers_are_converted_as_casts_are() -> None:
    assert const(300, dt.uint8, "cpu").attr == ConstAttr(44, dt.uint8)
    assert const(-1, dt.uint64, "cpu").attr == ConstAttr(2**64 - 1, dt.uint64)
    assert const(0.1, dt.float32, "cpu").attr == ConstAttr(0.10000000149011612, dt.float32)
    assert const(1e39, dt.float32, "cpu").attr == ConstAttr(float("inf"), dt.float32)
    assert const(-0.0, dt.float32, "cpu") is not const(0.0, dt.float32, "cpu")
    twice_rounded = 1 + 2**-11 + 2**-40  # 1 by way of float32, else the next float16
    assert const(twice_rounded, dt.float16, "cpu").attr == ConstAttr(1.0, dt.float16)
