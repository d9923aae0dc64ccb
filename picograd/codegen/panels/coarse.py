"""Tiles of scores and results on tensor cores where float32 may be TensorFloat32.

In: a `Scene`, steps, and the sides of a tile. Out: as `warps`, whose loops these are. Called by
`block` and `tile`, for kernels all of whose products were written while that was allowed. A word of
shared memory is one float32, rounded to ten bits after the point on its way to a product. A product
takes 8 places in any order: the two that a thread has of each eight of a table are those that it
has to have, if the values are read in the same order.
"""

from __future__ import annotations

from picograd.codegen.contraction.staging import Factor
from picograd.codegen.loops import (
    Address,
    Alu,
    Call,
    Literal,
    Load,
    Memory,
    Predicate,
    Statement,
    Store,
)
from picograd.codegen.panels.scene import Elements, Statements
from picograd.codegen.panels.threads import is_read
from picograd.codegen.panels.warps import WIDE, WarpTiles
from picograd.dtypes import uint32
from picograd.graph.index import Index, Var, constant
from picograd.graph.mask import Mask
from picograd.graph.ops import Op
from picograd.schedule.kernel import Expr

STEP = 8  # along the depth of a product


class CoarseTiles(WarpTiles):
    """`WarpTiles` of words that are float32."""

    packed, step = 1, STEP

    def rounded(self, words: Memory, at: int) -> list[Statement]:
        return [Call("pg_to_tf32", (Address(words, constant(at + word)),)) for word in range(4)]

    def weights(self, weights: Elements, number: int) -> list[Statement]:
        """A thread's two neighbours are words 0 and 2 of a line, 1 and 3 of the one eight below."""
        body: list[Statement] = []
        for tall in range(self.tall):
            first = (number * self.tall + tall) * 4
            for word in range(4):
                weight = weights[tall * 2 + word % 2, number * 2 + word // 2]
                raw = Alu(Op.BITCAST, (weight,), uint32)
                body.append(Store(self.words, constant(first + word), raw))
            body += self.rounded(self.words, first)
        return body

    def values(self, values: Factor, slot: Index, number: int, pair: int) -> list[Statement]:
        body: list[Statement] = []
        for word in range(4):
            place = self.lane % 4 * 2 + (number * STEP + word % 2)
            at = self.lane // 4 + (pair + word // 2) * WIDE
            load = Load(values.memory, values.position(slot, place, at))
            body.append(Store(self.right_words, constant(word), load))
        return body + self.rounded(self.right_words, 0)

    def _source(self, expr: Expr) -> Expr:
        return expr

    def _word(
        self, factor: Factor, values: dict[Var, Index], edge: Mask, target: Index
    ) -> Statements:
        """One element."""
        statements, value = self.scene.evaluate(factor.expr, values, edge)
        if not edge.always and not is_read(factor.expr):
            zero = Literal.of(0.0, value.dtype)
            value = Alu(Op.WHERE, (Predicate(edge), value, zero), value.dtype)
        raw = Alu(Op.BITCAST, (value,), uint32)
        return (*statements, Store(factor.memory, target, raw))
