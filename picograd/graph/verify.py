"""What a legal graph is.

In: the outputs of a graph, and whether it claims to be canonical. Out: nothing, or InternalError
naming the node that breaks a rule. The tests call it on what rules and passes make of graphs.

>>> from picograd.dtypes import float32
>>> from picograd.graph.node import const
>>> verify([const(1.0, float32, "cpu")], canonical=True)
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.dtypes import ALL
from picograd.errors import InternalError
from picograd.graph.index import Index, Param
from picograd.graph.infer import infer
from picograd.graph.node import Node, convert, topological
from picograd.graph.ops import (
    LEAVES,
    ConstAttr,
    LeafAttr,
    Op,
    PadAttr,
    RandomAttr,
    ReduceAttr,
    SliceAttr,
)


def verify(outputs: Sequence[Node], *, canonical: bool = False) -> None:
    """Raise InternalError unless every node below the outputs is legal.

    Legal: the dtype, shape and device are those that `infer` gives; leaves have no sources and
    others have some; constants are numbers of their dtype; axes are sorted. Canonical besides: no
    realised nodes, one type per leaf slot, run-time integers depend on parameters only.
    """
    slots: dict[tuple[Op, int], LeafAttr] = {}
    for node in topological(outputs):
        if node.buffer is not None:
            if canonical:
                _fail(node, "a canonical graph has numbered leaves in place of realised nodes")
            if node.buffer.size != node.size or node.buffer.dtype is not node.dtype:
                _fail(node, f"its buffer holds {node.buffer.size} {node.buffer.dtype.name}")
            continue
        _verify_type(node)
        _verify_attribute(node)
        if isinstance(node.attr, LeafAttr):
            first = slots.setdefault((node.op, node.attr.slot), node.attr)
            if first.dtype is not node.attr.dtype:
                _fail(node, f"slot {node.attr.slot} is {first.dtype.name} elsewhere")
        elif node.op is Op.BUFFER or (node.op is Op.PARAMETER and not canonical):
            _fail(node, "a leaf without a number that is not realised either")


def _fail(node: Node, reason: str) -> None:
    line = f" (made at {node.origin})" if node.origin else ""
    raise InternalError(f"illegal graph: {node}{line}: {reason}")


def _verify_type(node: Node) -> None:
    if (node.op in LEAVES) != (not node.srcs):
        _fail(node, f"{len(node.srcs)} sources")
    if node.dtype not in ALL:
        _fail(node, f"unknown dtype {node.dtype}")
    try:
        expected = infer(node.op, node.srcs, node.attr, None if node.srcs else node.device)
    except (RuntimeError, TypeError, IndexError) as error:
        raise InternalError(f"illegal graph: {node}: {error}") from error
    if expected != (node.dtype, node.shape, node.device):
        _fail(node, f"it should be {expected[0].name}{list(expected[1])} on {expected[2]}")


def _verify_attribute(node: Node) -> None:
    attr = node.attr
    if isinstance(attr, ConstAttr):
        _verify_number(node, attr)
    elif isinstance(attr, PadAttr):
        _verify_number(node, attr.value)
    elif isinstance(attr, ReduceAttr):
        if list(attr.axes) != sorted(attr.axes):
            _fail(node, f"the axes {attr.axes} are not sorted")
    elif isinstance(attr, SliceAttr | RandomAttr):
        values = attr.starts if isinstance(attr, SliceAttr) else (attr.seed, attr.call)
        for value in values:
            if isinstance(value, Index) and not all(isinstance(a, Param) for a in value.atoms()):
                _fail(node, f"the run-time integer {value} depends on a loop variable")


def _verify_number(node: Node, attr: ConstAttr) -> None:
    if ConstAttr(convert(attr.value, attr.dtype), attr.dtype) != attr:
        _fail(node, f"{attr.value!r} is no {attr.dtype.name}")
