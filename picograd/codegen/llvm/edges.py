"""What formulas need at the edges of their range, for `llvm.math` and `llvm.double`.

In: `Lanes` and registers. Out: registers.

>>> from picograd.codegen.llvm.builder import Builder
>>> from picograd.dtypes import float32
>>> builder = Builder()
>>> at_most(builder.lanes(float32, 1), "%x", 2.0)
'%v1'
>>> builder.scopes[0].lines[0]
'  %v0 = fcmp ogt float %x, 0x4000000000000000'
"""

from __future__ import annotations

import math

from picograd.codegen.llvm.builder import Lanes


def at_most(lanes: Lanes, x: str, limit: float) -> str:
    """The lesser of two; NaN stays."""
    bound = lanes.number(limit)
    return lanes.select(lanes.compare("fcmp ogt", x, bound), bound, x)


def at_least(lanes: Lanes, x: str, limit: float) -> str:
    """The greater of two; NaN stays."""
    bound = lanes.number(limit)
    return lanes.select(lanes.compare("fcmp olt", x, bound), bound, x)


def outside_of_logarithm(lanes: Lanes, x: str, result: str, edge: float) -> str:
    """Logarithms of what is not in (edge, inf): -inf at the edge, NaN below it."""
    infinite = lanes.compare("fcmp oeq", x, lanes.number(math.inf))
    result = lanes.select(infinite, x, result)
    inside = lanes.compare("fcmp ogt", x, lanes.number(edge))
    at_edge = lanes.compare("fcmp oeq", x, lanes.number(edge))
    outside = lanes.select(at_edge, lanes.number(-math.inf), lanes.number(math.nan))
    return lanes.select(inside, result, outside)
