"""The printer and the verifier of graphs, and the node table they look at."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from picograd import dtypes as dt
from picograd.errors import InternalError
from picograd.graph.index import Param, of, variable
from picograd.graph.interpret import interpret
from picograd.graph.node import Node, make, topological
from picograd.graph.node import leaf as realised_leaf
from picograd.graph.ops import (
    Combiner,
    ConstAttr,
    GatherAttr,
    LeafAttr,
    Op,
    RandomAttr,
    ReduceAttr,
    ScanAttr,
    ScatterReduceAttr,
    SliceAttr,
)
from picograd.graph.rules import simplify
from picograd.graph.show import show
from picograd.graph.verify import verify
from tests.graph.builders import (
    cast,
    const,
    expand,
    flip,
    iota,
    leaf,
    pad,
    parameter,
    permute,
    reduce,
    reshape,
    window,
)


class FakeBuffer:
    """Memory of a realised node."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array.reshape(-1)
        self.dtype, self.size = dt.from_numpy(array.dtype), array.size
        self.device, self.address = "cpu", array.ctypes.data


def test_printing_a_program() -> None:
    x = leaf(0, (4, 5))
    biggest = expand(reshape(reduce(x, 1, combiner=Combiner.MAX), (4, 1)), (4, 5))
    shifted = make(Op.EXP, (make(Op.SUB, (x, biggest)),))
    assert show([shifted, cast(x, dt.bfloat16)]) == (
        "%0 = buffer f32[4, 5] slot=0\n"
        "%1 = reduce f32[4] %0 max axes=[1]\n"
        "%2 = reshape f32[4, 1] %1\n"
        "%3 = expand f32[4, 5] %2\n"
        "%4 = sub f32[4, 5] %0, %3\n"
        "%5 = exp f32[4, 5] %4\n"
        "%6 = cast bf16[4, 5] %0\n"
        "return %5, %6"
    )


def test_printing_every_attribute() -> None:
    x, index = leaf(0, (4, 5)), leaf(1, (2,), dt.int64)
    start = of(Param(3, 0, 2))
    value = leaf(2, (2, 5))
    scattered = (x, value, index)
    lines = {
        const(1.5, dt.float64): "const f64[] 1.5",
        parameter(2, dt.uint8): "parameter u8[] slot=2",
        iota(5, dt.int16): "iota i16[5]",
        make(Op.RANDOM, (), RandomAttr((2,), 1, 7, of(Param(0, 0, 9))), "cpu"): (
            "random u32[2] word=1 seed=7 call=p0"
        ),
        permute(x, 1, 0): "permute f32[5, 4] %0 axes=[1, 0]",
        flip(x, 0): "flip f32[4, 5] %0 axes=[0]",
        pad(x, (1, 0), (0, 2), 3.0): "pad f32[5, 7] %0 before=[1, 0] after=[0, 2] value=3.0",
        window(x, (start, 0), (2, 2)): "slice f32[2, 2] %0 starts=[p3, 0] sizes=[2, 2]",
        window(x, (start, 0), (2, 2), (1, 3)): (
            "slice f32[2, 2] %0 starts=[p3, 0] sizes=[2, 2] steps=[1, 3]"
        ),
        make(Op.SCAN, (x,), ScanAttr(Combiner.PROD, 1)): "scan f32[4, 5] %0 prod axis=1",
        make(Op.GATHER, (x, index), GatherAttr((0,), False)): "gather f32[2, 5] %0, %1 axes=[0]",
        make(Op.GATHER, (x, index), GatherAttr((1,), True)): (
            "gather f32[2, 4] %0, %1 axes=[1] checked"
        ),
        make(Op.SCATTER_REDUCE, scattered, ScatterReduceAttr((0,), False, Combiner.SUM)): (
            "scatter_reduce f32[4, 5] %0, %1, %2 sum axes=[0]"
        ),
        make(Op.ABS, (leaf(0, (2,), dt.complex64),)): "abs f32[2] %0",
    }
    for node, text in lines.items():
        assert show([node]).splitlines()[-2].split(" = ")[1] == text


def test_printing_names_the_users_line() -> None:
    node = make(Op.NEG, (leaf(0, (3, 7)),))
    node.origin = "model.py:12"
    try:
        assert "%1 = neg f32[3, 7] %0  # model.py:12" in show([node])
    finally:
        node.origin = None


def test_realised_nodes_are_leaves() -> None:
    x = realised_leaf(FakeBuffer(np.arange(6, dtype=np.float32)), (2, 3))
    y = make(Op.NEG, (x,))
    y.realize(FakeBuffer(-np.arange(6, dtype=np.float32)))
    twice = make(Op.NEG, (y,))
    assert show([twice]) == "%0 = realised f32[2, 3]\n%1 = neg f32[2, 3] %0\nreturn %1"
    verify([twice])
    assert simplify([twice]) == [twice]  # what computed a realised node is gone
    assert interpret([twice])[0].tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(InternalError, match="numbered leaves in place of realised"):
        verify([twice], canonical=True)
    z = realised_leaf(FakeBuffer(np.zeros(5, np.float32)), (2, 3))
    with pytest.raises(InternalError, match="its buffer holds 5 float32"):
        verify([z])


def broken(node: Node, **changes: object) -> Node:
    """A node whose fields were changed behind the back of `make`."""
    copy = Node()
    for name in ("op", "srcs", "attr", "dtype", "shape", "device", "structure", "buffer", "origin"):
        setattr(copy, name, changes.get(name, getattr(node, name)))
    return copy


X = leaf(0, (4, 5))
ILLEGAL = [
    ("should be float32", broken(make(Op.NEG, (X,)), shape=(5, 4))),
    ("should be float32", broken(make(Op.NEG, (X,)), dtype=dt.float64)),
    ("should be float32", broken(make(Op.NEG, (X,)), device="cuda")),
    ("0 sources", broken(make(Op.NEG, (X,)), srcs=())),
    ("1 sources", broken(const(1.0), srcs=(X,))),
    ("takes 2 sources", broken(make(Op.ADD, (X, X)), srcs=(X,))),
    ("same dtype", broken(make(Op.ADD, (X, X)), srcs=(X, leaf(1, (4, 5), dt.int8)))),
    ("300 is no uint8", broken(const(1, dt.uint8), attr=ConstAttr(300, dt.uint8))),
    ("0.1 is no float32", broken(const(1.0), attr=ConstAttr(0.1, dt.float32))),
    ("True is no float32", broken(const(1.0), attr=ConstAttr(True, dt.float32))),
    ("not sorted", reduce(leaf(0, (2, 3, 4)), 2, 0)),
    (
        "slot 0 is float32 elsewhere",
        make(Op.ADD, (X, cast(leaf(0, (4, 5), dt.int32), dt.float32))),
    ),
    (
        "depends on a loop variable",
        make(Op.SLICE, (X,), SliceAttr((variable("i", 3), 0), (2, 2), (1, 1))),
    ),
]


@pytest.mark.parametrize(("message", "node"), ILLEGAL, ids=[case[0] for case in ILLEGAL])
def test_illegal_graphs(message: str, node: Node) -> None:
    with pytest.raises(InternalError, match=message):
        verify([make(Op.ABS, (node,)) if node.srcs and node.dtype.is_float else node])


def test_leaves_need_a_number_or_memory() -> None:
    verify([parameter(0, dt.float32)], canonical=True)
    with pytest.raises(InternalError, match="illegal graph"):
        verify([broken(X, attr=ReduceAttr(Combiner.SUM, ()))])


def test_legal_graphs_pass() -> None:
    start = of(Param(1, 0, 2))
    scale = expand(reshape(parameter(0, dt.float32), (1, 1)), (4, 5))
    verify([window(make(Op.ADD, (X, scale)), (start, 0), (2, 5))], canonical=True)


def test_equal_expressions_are_one_node_while_they_live() -> None:
    first = make(Op.EXP, (leaf(77, (3,)),))
    assert make(Op.EXP, (leaf(77, (3,)),)) is first
    assert make(Op.BUFFER, (), LeafAttr(77, (3,), dt.float32), "cpu") is first.srcs[0]
    order = topological([first])
    assert order[-1] is first and len(order) == 2
    del first, order
    gc.collect()
