"""How far a compiled value may be from the interpreted one: errors carried through the graph.

In: a node, the interpreted values of its sources, and how far each may be off. Out: how far the
node's value may be off, elementwise, as float64. 0 means bitwise equal; infinity means that nothing
can be said (a comparison of two numbers whose errors overlap, say).

The bound of an op is the usual first-order one: the sources' errors through the op, plus the op's
own rounding (half an ulp, which is 0 when the sources are exact and the op is correctly rounded; a
few ulps for the transcendental functions, whose implementation may differ; n additions for a sum).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import ml_dtypes
import numpy as np

from picograd.dtypes import DType, float64, real_of
from picograd.graph.interpret import evaluate_node
from picograd.graph.meaning_structure import Bindings
from picograd.graph.node import Node
from picograd.graph.ops import COMPARISONS, Combiner, Op, PadAttr
from tests.fuzz.complex_bounds import complex_bound, magnitude

Arrays = Sequence[np.ndarray]

MONOTONE = {
    Op.SQRT, Op.EXP, Op.EXP2, Op.EXPM1, Op.LOG, Op.LOG2, Op.LOG1P, Op.TANH, Op.ATAN, Op.ERF,
}  # fmt: skip
APPROXIMATE = (MONOTONE - {Op.SQRT}) | {Op.SIN, Op.COS, Op.POW}
ULPS = 4  # two implementations, each within 2
STEPS = {Op.FLOOR, Op.CEIL, Op.TRUNC, Op.ROUND}
STRUCTURAL = {Op.RESHAPE, Op.PERMUTE, Op.EXPAND, Op.SLICE, Op.FLIP}


def epsilon(dtype: DType) -> float:
    return float(ml_dtypes.finfo(real_of(dtype).numpy).eps)


def tiny(dtype: DType) -> float:
    return float(ml_dtypes.finfo(real_of(dtype).numpy).smallest_subnormal)


def ulp(value: np.ndarray, dtype: DType) -> np.ndarray:
    """At least one unit in the last place of each value."""
    if not dtype.is_float and not dtype.is_complex:
        return np.zeros(value.shape)
    size = magnitude(value)
    return np.where(np.isfinite(size), size, 0.0) * epsilon(dtype) + tiny(dtype)


def bound(
    node: Node, value: np.ndarray, sources: Arrays, errors: Arrays, bindings: Bindings
) -> np.ndarray:
    """The error of a node; see the module's docstring."""
    with np.errstate(all="ignore"):
        result = _bound(node, value, sources, errors, bindings)
    result = np.broadcast_to(np.nan_to_num(result, nan=np.inf, posinf=np.inf), value.shape)
    if value.dtype.kind not in "biu":
        # An uncertain source makes inf and NaN uncertain too.
        wild = ~np.isfinite(magnitude(value)) & (result > 0)
        result = np.where(wild, np.inf, result)
    return result


def _bound(
    node: Node, value: np.ndarray, sources: Arrays, errors: Arrays, bindings: Bindings
) -> np.ndarray:
    op, exact = node.op, all(not error.any() for error in errors)
    if not node.srcs:
        return np.zeros(value.shape)
    if op in STRUCTURAL or op in (Op.UPDATE, Op.CONCAT, Op.PAD):
        return _moved(node, errors, bindings)
    if op is Op.GATHER or op is Op.SCATTER:
        if any(error.any() for error in errors[-_index_count(node) :]):
            return np.full(value.shape, np.inf)
        moved = errors[: len(node.srcs) - _index_count(node)]
        return evaluate_node(node, [*moved, *sources[len(moved) :]], bindings)
    if op is Op.REDUCE or op is Op.SCAN or op is Op.SCATTER_REDUCE:
        return _combined(node, value, sources, errors, bindings, exact)
    if op in (Op.MAXIMUM, Op.MINIMUM) and node.dtype.is_float:
        # Of 0 and -0 either may come out.
        either = (value == 0) & (np.signbit(sources[0]) != np.signbit(sources[1]))
        return np.maximum(np.maximum(*errors), tiny(node.dtype) * either)
    if any(x.dtype.is_complex for x in (node, *node.srcs)):
        return complex_bound(node, value, sources, errors, ulp(value, node.dtype))
    if op is Op.BITCAST and sources[0].dtype.kind not in "biu":
        # One NaN is as good as another.
        unsure = np.isnan(sources[0].astype(np.float64)) | (errors[0] > 0)
        return np.where(unsure, np.inf, 0.0)
    if exact:
        return ULPS * ulp(value, node.dtype) if op in APPROXIMATE else np.zeros(value.shape)
    result = _elementwise(node, value, sources, errors)
    if op is Op.WHERE:
        return result
    # Nothing is known of a source: it may even be NaN.
    unknown = np.zeros(value.shape, bool)
    for error in errors:
        unknown |= np.isinf(error)
    return np.where(unknown, np.inf, result)


def _index_count(node: Node) -> int:
    return len(node.srcs) - (1 if node.op is Op.GATHER else 2)


def _moved(node: Node, errors: Arrays, bindings: Bindings) -> np.ndarray:
    """The same movement, of the errors."""
    attr = node.attr
    if isinstance(attr, PadAttr):
        attr = replace(attr, value=replace(attr.value, value=0.0, dtype=float64))
    moved = Node()
    moved.op, moved.srcs, moved.attr, moved.buffer = node.op, node.srcs, attr, None
    moved.dtype, moved.shape, moved.device, moved.origin = float64, node.shape, node.device, None
    return evaluate_node(moved, [error.astype(np.float64) for error in errors], bindings)


def _combined(
    node: Node,
    value: np.ndarray,
    sources: Arrays,
    errors: Arrays,
    bindings: Bindings,
    exact: bool,
) -> np.ndarray:
    """Reductions: any order of combination is right."""
    combiner = node.attr.combiner  # type: ignore[union-attr]
    if not node.dtype.is_float and not node.dtype.is_complex:
        clean = np.zeros(value.shape)
        return clean if exact else np.full(value.shape, np.inf)
    if node.op is Op.SCATTER_REDUCE and any(error.any() for error in errors[2:]):
        return np.full(value.shape, np.inf)
    if combiner in (Combiner.MAX, Combiner.MIN):
        numbers = len(sources) if node.op is not Op.SCATTER_REDUCE else 2
        worst = max(float(error.max(initial=0.0)) for error in errors[:numbers])
        zeros = any(((x == 0) & np.signbit(x)).any() for x in sources[:numbers])
        return worst + tiny(node.dtype) * (zeros & (value == 0))
    if node.dtype.is_complex and combiner is Combiner.PROD and not np.isfinite(value).all():
        return np.full(value.shape, np.inf)  # infinity times one is partly NaN
    if node.op is Op.REDUCE and sources[0].size == value.size:
        # The sum of one number is that number, but for the sign of a zero.
        return errors[0].reshape(value.shape) + tiny(node.dtype) * (value == 0)
    wide = [magnitude(source) for source in sources[:1]]
    count = sources[0].size / max(value.size, 1) if node.op is Op.REDUCE else sources[-1].size + 1
    if node.op is Op.SCAN:
        count = sources[0].shape[node.attr.axis]  # type: ignore[union-attr]
    if combiner is Combiner.PROD or node.op is Op.SCATTER_REDUCE:
        if not exact:
            return np.full(value.shape, np.inf)
        largest = magnitude(value)
        if combiner is Combiner.SUM:
            largest = largest + sum(float(magnitude(s).sum()) for s in sources[:2])
        elif not np.isfinite(largest).all() or (largest < 1e-30).any() or (largest > 1e30).any():
            return np.full(value.shape, np.inf)  # intermediate products may over- or underflow
        return 2 * (count + 2) * (largest * epsilon(node.dtype) + tiny(node.dtype))
    plain = _float64(node)
    size = evaluate_node(plain, wide, bindings)
    carried = evaluate_node(plain, [errors[0].astype(np.float64)], bindings)
    accumulator = epsilon(node.dtype) if node.dtype.itemsize > 2 else 2.0**-23
    if node.dtype.is_complex:
        accumulator *= 4
    rounding = 2 * (count + 1) * accumulator * size + ulp(value, node.dtype)
    if node.dtype.itemsize == 2 and node.op is Op.REDUCE and _adds_products(node):
        rounding = rounding + epsilon(node.dtype) / 2 * size + count * tiny(node.dtype)
    overflow = size > float(ml_dtypes.finfo(real_of(node.dtype).numpy).max) / 4
    return np.where(overflow, np.inf, carried + rounding)


def _adds_products(node: Node) -> bool:
    """Whether a sum adds up the results of a MUL, which it may take before they are rounded."""
    source = node.srcs[0]
    while source.op in STRUCTURAL:
        source = source.srcs[0]
    return source.op is Op.MUL


def _float64(node: Node) -> Node:
    """The same reduction on float64 leaves."""
    copy = Node()
    copy.op, copy.srcs, copy.attr, copy.buffer = node.op, node.srcs, node.attr, None
    copy.dtype, copy.shape, copy.device, copy.origin = float64, node.shape, node.device, None
    return copy


def _elementwise(node: Node, value: np.ndarray, sources: Arrays, errors: Arrays) -> np.ndarray:
    op, dtype = node.op, node.dtype
    wide = [source.astype(np.float64) for source in sources]
    own = ulp(value, dtype) * (ULPS if op in APPROXIMATE else 1)
    if op in (Op.ADD, Op.SUB) and dtype.is_float:
        return errors[0] + errors[1] + own
    if op is Op.MUL and dtype.is_float:
        product = np.abs(wide[0]) * errors[1] + np.abs(wide[1]) * errors[0]
        return product + errors[0] * errors[1] + own
    if op is Op.DIV:
        room = np.abs(wide[1]) - errors[1]
        quotient = (errors[0] + np.abs(value.astype(np.float64)) * errors[1]) / room
        return np.where(room > 0, quotient + own, np.inf)
    if op is Op.RECIPROCAL:
        room = np.abs(wide[0]) - errors[0]
        return np.where(room > 0, np.abs(value.astype(np.float64)) * errors[0] / room + own, np.inf)
    if op in (Op.NEG, Op.ABS):
        return errors[0]
    if op in STEPS:
        low, high = (evaluate_node(_float64(node), [wide[0] + e]) for e in (-errors[0], errors[0]))
        return np.where(low == high, 0.0, high - low)
    if op is Op.WHERE:
        chosen = np.where(sources[0], errors[1], errors[2])
        return np.where(errors[0] > 0, np.inf, chosen)
    if op in MONOTONE:
        low = evaluate_node(_float64(node), [wide[0] - errors[0]])
        high = evaluate_node(_float64(node), [wide[0] + errors[0]])
        return high - low + own
    if op in (Op.SIN, Op.COS):
        return errors[0] + own
    if op in COMPARISONS:
        apart = np.abs(wide[0] - wide[1]) > errors[0] + errors[1]
        sure = apart | ((errors[0] == 0) & (errors[1] == 0))
        return np.where(sure, 0.0, np.inf)
    if op is Op.CAST and dtype.is_float and sources[0].dtype.kind not in "b":
        return errors[0] + own
    # Rounding to integers, bit patterns, powers: exact where the sources are, else unknown.
    unsure = np.zeros(value.shape, bool)
    for error in errors:
        unsure |= np.broadcast_to(error, value.shape) > 0
    return np.where(unsure, np.inf, own if op in APPROXIMATE else 0.0)
