"""Graphs as text: one line per node, sources before their users.

In: the outputs of a graph. Out: its text, printed by DEBUG=5.

>>> from picograd.dtypes import float32
>>> from picograd.graph.node import make
>>> from picograd.graph.ops import LeafAttr, Op
>>> x = make(Op.BUFFER, (), LeafAttr(0, (4, 5), float32), "cpu")
>>> print(show([make(Op.ADD, (x, x))]))
%0 = buffer f32[4, 5] slot=0
%1 = add f32[4, 5] %0, %0
return %1
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from picograd.dtypes import DType
from picograd.graph.node import Node, topological
from picograd.graph.ops import (
    Attr,
    AxesAttr,
    CastAttr,
    ConstAttr,
    GatherAttr,
    IotaAttr,
    LeafAttr,
    PadAttr,
    RandomAttr,
    ReduceAttr,
    ScanAttr,
    ScatterReduceAttr,
    SliceAttr,
)

_SHORT = {"float": "f", "int": "i", "uint": "u", "complex": "c"}


def short(dtype: DType) -> str:
    """`f32`, `i64`, `u8`, `bf16`, `bool`."""
    if dtype.is_bool or dtype.name == "bfloat16":
        return {"bool": "bool", "bfloat16": "bf16"}[dtype.name]
    return f"{_SHORT[dtype.kind]}{dtype.bits}"


def show(outputs: Sequence[Node]) -> str:
    """The graph as text, ending with the outputs."""
    numbers: dict[int, int] = {}
    lines: list[str] = []
    for node in topological(outputs):
        numbers[id(node)] = len(lines)
        lines.append(f"%{len(lines)} = {describe(node, [numbers[id(s)] for s in node.srcs])}")
    returned = ", ".join(f"%{numbers[id(node)]}" for node in outputs)
    return "\n".join([*lines, f"return {returned}"])


def describe(node: Node, sources: Sequence[int]) -> str:
    """One line: op, type, sources, attribute, the user's line."""
    op = "realised" if node.buffer is not None else node.op.name.lower()
    text = f"{op} {short(node.dtype)}[{', '.join(map(str, node.shape))}]"
    if sources:
        text += " " + ", ".join(f"%{number}" for number in sources)
    attr = "" if node.buffer is not None else describe_attr(node.attr)
    if attr:
        text += f" {attr}"
    return f"{text}  # {node.origin}" if node.origin else text


def _list(values: Sequence[object]) -> str:
    return "[" + ", ".join(map(str, values)) + "]"


def _pad(attr: PadAttr) -> str:
    return f"before={_list(attr.before)} after={_list(attr.after)} value={attr.value.value}"


def _slice(attr: SliceAttr) -> str:
    steps = f" steps={_list(attr.steps)}" if any(step != 1 for step in attr.steps) else ""
    return f"starts={_list(attr.starts)} sizes={_list(attr.sizes)}{steps}"


def _gather(attr: GatherAttr) -> str:
    return f"axes={_list(attr.axes)}{' checked' if attr.checked else ''}"


def _scatter_reduce(attr: ScatterReduceAttr) -> str:
    checked = " checked" if attr.checked else ""
    return f"{attr.combiner.name.lower()} axes={_list(attr.axes)}{checked}"


_ATTRIBUTES: tuple[tuple[type, Callable[..., str]], ...] = (
    (ConstAttr, lambda attr: str(attr.value)),
    (LeafAttr, lambda attr: f"slot={attr.slot}"),
    (RandomAttr, lambda attr: f"word={attr.word} seed={attr.seed} call={attr.call}"),
    (ReduceAttr, lambda attr: f"{attr.combiner.name.lower()} axes={_list(attr.axes)}"),
    (ScanAttr, lambda attr: f"{attr.combiner.name.lower()} axis={attr.axis}"),
    (AxesAttr, lambda attr: f"axes={_list(attr.axes)}"),
    (PadAttr, _pad),
    (SliceAttr, _slice),
    (GatherAttr, _gather),
    (ScatterReduceAttr, _scatter_reduce),
)


def describe_attr(attr: Attr) -> str:
    """What an attribute says beyond the node's type and shape."""
    if isinstance(attr, CastAttr | IotaAttr):
        return ""
    for kind, text in _ATTRIBUTES:
        if isinstance(attr, kind):
            return text(attr)
    return ""
