"""Graphs of complex numbers split into real ones, against the interpreter on the original."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from picograd import dtypes as dt
from picograd.graph.complex import split_complex
from picograd.graph.index import Param, of
from picograd.graph.interpret import interpret
from picograd.graph.node import Node, make, topological
from picograd.graph.ops import (
    Combiner,
    ConstAttr,
    GatherAttr,
    Op,
    PadAttr,
    ScanAttr,
    ScatterReduceAttr,
    SliceAttr,
)
from picograd.graph.rules import simplify
from picograd.graph.verify import verify
from tests.graph.builders import (
    cast,
    const,
    expand,
    flip,
    leaf,
    parameter,
    permute,
    reduce,
    reshape,
    window,
)

COMPLEX = [dt.complex64, dt.complex128]


def check(node: Node, arrays: list[np.ndarray], values: dict | None = None) -> None:
    """The split graph has real types only, and gives the same numbers interleaved."""
    (expected,) = interpret([node], dict(enumerate(arrays)), values)
    split = split_complex([node])
    for outputs in (split, simplify(split)):
        verify(outputs, canonical=True)
        assert not any(n.dtype.is_complex for n in topological(outputs))
        halves = [a.view(a.real.dtype) if a.dtype.kind == "c" and a.ndim else a for a in arrays]
        (got,) = interpret(outputs, dict(enumerate(halves)), values)
        if node.dtype.is_complex:
            assert got.shape == (*node.shape, 2)
            got = got[..., 0] + 1j * got[..., 1]
        tolerance = 1e-13 if expected.dtype in (np.complex128, np.float64) else 5e-6
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def numbers(dtype, shape: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype.numpy)


UNARY = [
    *(Op.NEG, Op.RECIPROCAL, Op.SQRT, Op.EXP, Op.EXP2, Op.LOG, Op.LOG2, Op.SIN, Op.COS),
    *(Op.EXPM1, Op.LOG1P, Op.TANH, Op.ATAN),
    *(Op.ABS, Op.REAL, Op.IMAG),
]
BINARY = [Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.POW, Op.EQ, Op.NE]


@pytest.mark.parametrize("op", [*UNARY, *BINARY], ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", COMPLEX, ids=lambda d: d.name)
def test_elementwise(op: Op, dtype, seed: int) -> None:
    x, y = numbers(dtype, (40,), seed), numbers(dtype, (40,), seed + 1)
    y[::5] = x[::5]
    leaves = (leaf(0, (40,), dtype), leaf(1, (40,), dtype))
    check(make(op, leaves[: 1 if op in UNARY else 2]), [x, y])


@pytest.mark.parametrize(
    "op", [Op.ABS, Op.SQRT, Op.LOG, Op.EXP, Op.MUL, Op.DIV], ids=lambda o: o.name
)
def test_numbers_on_the_axes_and_far_away(op: Op) -> None:
    parts = [0.0, -0.0, 1.0, -1.0, 3.0, -2.5] + ([1e30, -1e30, 1e-30] if op is Op.ABS else [])
    x = np.array([complex(a, b) for a in parts for b in parts], np.complex64)
    if op is Op.LOG:
        x = x[x != 0]
    y = np.full(len(x), 2 - 1j, np.complex64)
    leaves = (leaf(0, x.shape, dt.complex64), leaf(1, x.shape, dt.complex64))
    check(make(op, leaves if op in (Op.MUL, Op.DIV) else leaves[:1]), [x, y])


@pytest.mark.parametrize("target", [*COMPLEX, dt.float32, dt.float16, dt.int32, dt.bool_])
def test_casts(target) -> None:
    for source in (*COMPLEX, dt.float64, dt.int8, dt.bool_):
        if source.is_complex:
            x = np.array([0, 1j, 2.5, -3 + 4j], source.numpy)
        else:
            x = np.array([0, 1, 1, 0]).astype(source.numpy)
        check(cast(leaf(0, (4,), source), target), [x])


def test_selection_and_construction(seed: int) -> None:
    x, y = numbers(dt.complex64, (6,), seed), numbers(dt.complex64, (6,), seed + 1)
    a, b = leaf(0, (6,), dt.complex64), leaf(1, (6,), dt.complex64)
    condition = make(Op.LT, (make(Op.REAL, (a,)), make(Op.IMAG, (b,))))
    check(make(Op.WHERE, (condition, a, b)), [x, y])
    check(make(Op.COMPLEX, (make(Op.REAL, (a,)), make(Op.ABS, (b,)))), [x, y])


MOVEMENTS: list[tuple[str, Callable[[Node], Node]]] = [
    ("reshape", lambda x: reshape(x, (6, 2))),
    ("permute", lambda x: permute(x, 1, 0)),
    ("expand", lambda x: expand(reshape(x, (3, 1, 4)), (3, 2, 4))),
    ("slice", lambda x: window(x, (of(Param(0, 0, 1)), 1), (2, 2), (1, 2))),
    ("flip", lambda x: flip(x, 1)),
    (
        "pad",
        lambda x: make(Op.PAD, (x,), PadAttr((1, 0), (0, 2), ConstAttr(complex(2, -1), x.dtype))),
    ),
    (
        "update",
        lambda x: make(
            Op.UPDATE, (x, window(x, (0, 0), (2, 2))), SliceAttr((1, 1), (2, 2), (1, 2))
        ),
    ),
    ("gather", lambda x: make(Op.GATHER, (x, INDEX), GatherAttr((0,), False))),
    (
        "scatter",
        lambda x: make(
            Op.SCATTER,
            (x, make(Op.GATHER, (flip(x, 0), INDEX), GatherAttr((0,), False)), INDEX),
            GatherAttr((0,), False),
        ),
    ),
    (
        "scatter_reduce",
        lambda x: make(
            Op.SCATTER_REDUCE,
            (x, make(Op.GATHER, (flip(x, 0), INDEX), GatherAttr((0,), False)), INDEX),
            ScatterReduceAttr((0,), False, Combiner.SUM),
        ),
    ),
]
INDEX = leaf(1, (4,), dt.int64)


@pytest.mark.parametrize(("name", "graph"), MOVEMENTS, ids=[case[0] for case in MOVEMENTS])
def test_movement(name: str, graph: Callable[[Node], Node], seed: int) -> None:
    for dtype in COMPLEX:
        x = numbers(dtype, (3, 4), seed)
        check(graph(leaf(0, (3, 4), dtype)), [x, np.array([2, 0, 2, 1])], {0: 1})


@pytest.mark.parametrize("combiner", [Combiner.SUM, Combiner.PROD])
def test_reductions(combiner: Combiner, seed: int) -> None:
    for shape in ((3, 5, 4), (2, 1, 7), (2, 0, 3), (1, 1, 1)):
        x = numbers(dt.complex64, shape, seed)
        node = leaf(0, shape, dt.complex64)
        for axes in ((1,), (0, 2), (0, 1, 2)):
            check(reduce(node, *axes, combiner=combiner), [x])
        for axis in range(3):
            check(make(Op.SCAN, (node,), ScanAttr(combiner, axis)), [x])


def test_constants_and_parameters() -> None:
    number = complex(1.5, -2.0)
    x = leaf(0, (), dt.complex64)
    check(make(Op.MUL, (x, const(number, dt.complex64))), [np.array(2j, np.complex64).reshape(1)])
    run_time = make(Op.ADD, (parameter(3, dt.complex64), x))
    (split,) = split_complex([run_time])
    cell = int(np.array(number, np.complex64).view(np.uint64))
    (got,) = interpret([split], {0: np.zeros(2, np.float32)}, {3: cell})
    assert got.tolist() == [1.5, -2.0]
    with pytest.raises(NotImplementedError, match="parameter of complex128"):
        split_complex([parameter(3, dt.complex128)])


def test_products_by_index_have_no_real_form() -> None:
    x, table = leaf(0, (2,), dt.complex64), leaf(1, (2,), dt.int64)
    with pytest.raises(NotImplementedError, match=r"scatter_reduce.*ComplexFloat"):
        make(Op.SCATTER_REDUCE, (x, x, table), ScatterReduceAttr((0,), True, Combiner.PROD))


@pytest.mark.parametrize("op", [Op.TANH, Op.ATAN, Op.EXPM1, Op.LOG1P], ids=lambda o: o.name)
def test_functions_far_out_and_near_zero(op: Op) -> None:
    parts = [0.0, 1e-12, -1e-7, 0.3, -0.9, 5.0, -40.0]
    parts += [] if op is Op.EXPM1 else [1e4, -1e4]
    x = np.array([complex(a, b) for a in parts for b in parts], np.complex128)
    y = leaf(0, x.shape, dt.complex128)
    (got,) = interpret(split_complex([make(op, (y,))]), {0: x.view(np.float64)})
    (expected,) = interpret([make(op, (y,))], {0: x})
    # NumPy's log1p is log(1 + x) and no better than that.
    accuracy = 1e-12 if op is not Op.LOG1P else 1e-3
    np.testing.assert_allclose(
        got[..., 0] + 1j * got[..., 1],
        expected,
        rtol=accuracy,
        atol=1e-20 if accuracy < 1e-9 else 1e-15,
    )


def test_real_graphs_stay_as_they_are() -> None:
    node = make(Op.ADD, (leaf(0, (2,)), leaf(1, (2,))))
    assert split_complex([node, leaf(0, (2,))]) == [node, leaf(0, (2,))]
