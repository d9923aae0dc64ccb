"""Errors of the elementwise ops that read or make complex numbers.

In: as `bounds.bound`. Out: how far the value may be off, as the magnitude of the difference. The
products and functions of complex numbers have several good implementations: where they differ in
more than a rounding (infinities, and numbers whose squares over- or underflow), nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from picograd.graph.node import Node
from picograd.graph.ops import Op

Arrays = Sequence[np.ndarray]
EXACT = {Op.ADD, Op.SUB, Op.NEG, Op.REAL, Op.IMAG, Op.COMPLEX, Op.CAST, Op.WHERE, Op.EQ, Op.NE}
LARGE, SMALL = 1e12, 1e-12
STEEP = 30.0  # arguments up to which the functions are smooth enough
ULPS = 200


def magnitude(x: np.ndarray) -> np.ndarray:
    """The absolute values, as float64."""
    wide = np.complex128 if x.dtype.kind == "c" else np.float64
    with np.errstate(all="ignore"):
        return np.abs(x.astype(wide))


def complex_bound(
    node: Node, value: np.ndarray, sources: Arrays, errors: Arrays, own: np.ndarray
) -> np.ndarray:
    """The error of an elementwise op; `own` is a unit in the last place of its value."""
    op, exact = node.op, all(not error.any() for error in errors)
    if op in EXACT and exact:
        return np.zeros(value.shape)
    sizes = [magnitude(source) for source in sources]
    if op in (Op.ADD, Op.SUB, Op.COMPLEX):
        return errors[0] + errors[1] + own
    if op in (Op.NEG, Op.REAL, Op.IMAG):
        return errors[0]
    if op is Op.ABS:
        return np.where(_tame(sizes[0]) | (sizes[0] == 0), errors[0] + 8 * own, np.inf)
    if op is Op.WHERE:
        return np.where(errors[0] > 0, np.inf, np.where(sources[0], errors[1], errors[2]))
    if op in (Op.EQ, Op.NE):
        room = errors[0] + errors[1]
        apart = magnitude(sources[0] - sources[1]) > room
        return np.where(apart | (room == 0), 0.0, np.inf)
    if op is Op.CAST and (node.dtype.is_float or node.dtype.is_complex):
        return errors[0] + own
    if op is Op.MUL:
        product = sizes[0] * errors[1] + sizes[1] * errors[0] + errors[0] * errors[1]
        tame = (sizes[0] < LARGE) & (sizes[1] < LARGE)
        return np.where(tame, product + 4 * own, np.inf)
    if op is Op.DIV:
        room = sizes[1] - errors[1]
        quotient = (errors[0] + magnitude(value) * errors[1]) / room
        tame = _tame(sizes[1]) & (room > 0) & (_tame(sizes[0]) | (sizes[0] == 0))
        return np.where(tame, quotient + 8 * own, np.inf)
    if op in (Op.EXP, Op.RECIPROCAL, Op.SIN, Op.COS, Op.SQRT, Op.TANH, Op.POW) and exact:
        tame = np.ones(value.shape, bool)
        for size in sizes:
            tame &= (size < STEEP) & (size > 1 / STEEP)
        tame &= _tame(magnitude(value))
        return np.where(tame, ULPS * own * (10 if op is Op.POW else 1), np.inf)
    unsure = np.zeros(value.shape, bool)
    for error in errors:
        unsure |= np.broadcast_to(error, value.shape) > 0
    if op in (Op.LOG, Op.LOG2, Op.LOG1P, Op.EXPM1, Op.EXP2, Op.ATAN):
        unsure |= ~((sizes[0] < STEEP) & (sizes[0] > 1 / STEEP))
        return np.where(unsure, np.inf, ULPS * own + 1e-5)
    return np.where(unsure, np.inf, 0.0 if op in EXACT else ULPS * own)


def _tame(size: np.ndarray) -> np.ndarray:
    return (size < LARGE) & (size > SMALL)
