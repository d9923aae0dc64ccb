"""The interpreter: what every graph means, in NumPy.

In: outputs of a graph, the arrays of its numbered leaves and its run-time numbers. Out: one fresh
array per output. It is the oracle of every compiled kernel, constant folding, and the device
"numpy". `MEANING` has one row per op.

>>> from picograd.dtypes import int64
>>> from picograd.graph.node import const, make
>>> from picograd.graph.ops import Op
>>> three = const(3, int64, "cpu")
>>> interpret([make(Op.MUL, (three, three))])[0].item()
9
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from picograd.graph import meaning_elementwise as elementwise
from picograd.graph import meaning_structure as structure
from picograd.graph.meaning_elementwise import in_double, in_own_precision, integral
from picograd.graph.meaning_structure import Bindings, Number
from picograd.graph.node import Node, topological
from picograd.graph.ops import Op

Meaning = Callable[[Node, Sequence[np.ndarray], Bindings], np.ndarray]


def _pointwise(function: Callable[[Node, Sequence[np.ndarray]], np.ndarray]) -> Meaning:
    return lambda node, sources, bindings: function(node, sources)


MEANING: dict[Op, Meaning] = {
    Op.BUFFER: structure.buffer,
    Op.CONST: structure.constant,
    Op.PARAMETER: structure.parameter,
    Op.IOTA: structure.iota,
    Op.RANDOM: structure.random,
    Op.NEG: _pointwise(in_own_precision(np.negative)),
    Op.ABS: _pointwise(elementwise.absolute),
    Op.NOT: _pointwise(in_own_precision(np.invert)),
    Op.SQRT: _pointwise(in_own_precision(np.sqrt)),
    Op.RECIPROCAL: _pointwise(in_own_precision(elementwise.reciprocal)),
    Op.EXP: _pointwise(in_double(np.exp)),
    Op.EXP2: _pointwise(in_double(np.exp2)),
    Op.EXPM1: _pointwise(in_double(np.expm1)),
    Op.LOG: _pointwise(in_double(np.log)),
    Op.LOG2: _pointwise(in_double(np.log2)),
    Op.LOG1P: _pointwise(in_double(np.log1p)),
    Op.SIN: _pointwise(in_double(np.sin)),
    Op.COS: _pointwise(in_double(np.cos)),
    Op.TANH: _pointwise(in_double(np.tanh)),
    Op.ATAN: _pointwise(in_double(np.arctan)),
    Op.ERF: _pointwise(in_double(elementwise.error_function)),
    Op.FLOOR: _pointwise(integral(np.floor)),
    Op.CEIL: _pointwise(integral(np.ceil)),
    Op.TRUNC: _pointwise(integral(np.trunc)),
    Op.ROUND: _pointwise(integral(np.rint)),
    Op.CAST: _pointwise(elementwise.cast),
    Op.BITCAST: _pointwise(elementwise.bitcast),
    Op.ADD: _pointwise(in_own_precision(np.add)),
    Op.SUB: _pointwise(in_own_precision(elementwise.subtract)),
    Op.MUL: _pointwise(in_own_precision(np.multiply)),
    Op.DIV: _pointwise(in_own_precision(np.divide)),
    Op.FLOORDIV: _pointwise(in_own_precision(elementwise.floor_divide)),
    Op.MOD: _pointwise(in_own_precision(elementwise.modulo)),
    Op.POW: _pointwise(elementwise.power),
    Op.MAXIMUM: _pointwise(in_own_precision(np.maximum)),
    Op.MINIMUM: _pointwise(in_own_precision(np.minimum)),
    Op.EQ: _pointwise(in_own_precision(np.equal)),
    Op.NE: _pointwise(in_own_precision(np.not_equal)),
    Op.LT: _pointwise(in_own_precision(np.less)),
    Op.LE: _pointwise(in_own_precision(np.less_equal)),
    Op.AND: _pointwise(in_own_precision(np.bitwise_and)),
    Op.OR: _pointwise(in_own_precision(np.bitwise_or)),
    Op.XOR: _pointwise(in_own_precision(np.bitwise_xor)),
    Op.SHL: _pointwise(in_own_precision(elementwise.shift_left)),
    Op.SHR: _pointwise(in_own_precision(elementwise.shift_right)),
    Op.WHERE: lambda node, sources, bindings: np.where(*sources),
    Op.COMPLEX: _pointwise(elementwise.make_complex),
    Op.REAL: lambda node, sources, bindings: np.real(sources[0]),
    Op.IMAG: lambda node, sources, bindings: np.imag(sources[0]),
    Op.REDUCE: structure.reduce,
    Op.SCAN: structure.scan,
    Op.SCATTER_REDUCE: structure.scatter_reduce,
    Op.RESHAPE: structure.reshape,
    Op.PERMUTE: structure.permute,
    Op.EXPAND: structure.expand,
    Op.PAD: structure.pad,
    Op.SLICE: structure.slice_,
    Op.FLIP: structure.flip,
    Op.GATHER: structure.gather,
    Op.UPDATE: structure.update,
    Op.CONCAT: structure.concat,
    Op.SCATTER: structure.scatter,
}


def evaluate_node(
    node: Node, sources: Sequence[np.ndarray], bindings: Bindings | None = None
) -> np.ndarray:
    """The value of one node from the values of its sources."""
    if node.buffer is not None:
        return node.buffer.array.reshape(node.shape)
    with np.errstate(all="ignore"):
        value = MEANING[node.op](node, sources, bindings or Bindings())
    return np.asarray(value)


def interpret(
    outputs: Sequence[Node],
    buffers: Mapping[int, np.ndarray] | None = None,
    values: Mapping[int, Number] | None = None,
) -> list[np.ndarray]:
    """The values of the outputs, each in a fresh row-major array.

    `buffers[slot]` is the array of a numbered leaf (any shape of the right size), `values[slot]` a
    run-time number. Realised nodes bring their own memory.
    """
    bindings = Bindings(buffers or {}, values or {})
    order = topological(outputs)
    uses: dict[int, int] = {}
    for user in order:
        for src in user.srcs:
            uses[id(src)] = uses.get(id(src), 0) + 1
    for output in outputs:
        uses[id(output)] = uses.get(id(output), 0) + 1
    known: dict[int, np.ndarray] = {}
    for node in order:
        known[id(node)] = evaluate_node(node, [known[id(src)] for src in node.srcs], bindings)
        for src in node.srcs:  # free memory after the last use
            uses[id(src)] -= 1
            if not uses[id(src)]:
                del known[id(src)]
    return [
        np.array(known[id(node)], dtype=node.dtype.numpy, order="C", copy=True) for node in outputs
    ]
