"""Widen scalar values to vectors over one lane variable.

In: statements and a value in one lane, whose indices may contain a lane variable. Out: the same
computation in all lanes at once. The contraction schedule calls it for what it packs and writes
back; row kernels are widened by `passes/vectorise.py`, which also chooses the loop.

>>> from picograd.dtypes import float32
>>> from picograd.graph.index import Var
>>> widen((), loops.Literal.of(2.0, float32), Var("l", 0, 15, 16))[1].lanes
16
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from picograd.codegen import loops
from picograd.codegen.loops import Statement, Value
from picograd.graph.index import Var


def widen(
    statements: Sequence[Statement], value: Value, lane: Var
) -> tuple[tuple[Statement, ...], Value]:
    """The statements (all of them `Let`s) and the value in `lane.lanes` lanes."""
    if lane.lanes == 1:
        return tuple(statements), value
    widener = _Widener(lane)
    wide: list[Statement] = []
    for statement in statements:
        if not isinstance(statement, loops.Let):
            raise TypeError(f"only Lets can be widened, not {type(statement).__name__}")
        wide.append(replace(statement, value=widener.visit(statement.value)))
    return tuple(wide), widener.visit(value)


class _Widener:
    def __init__(self, lane: Var) -> None:
        self.lane, self.lanes = lane, lane.lanes

    def visit(self, value: Value) -> Value:
        match value:
            case loops.Literal() | loops.Argument() | loops.Ref():
                return replace(value, lanes=self.lanes)
            case loops.Load():
                return self._where(value, self.lane in value.index.atoms() | value.mask.atoms())
            case loops.IndexValue():
                return self._where(value, self.lane in value.index.atoms())
            case loops.Predicate():
                return self._where(value, self.lane in value.mask.atoms())
            case loops.Alu():
                args = tuple(self.visit(arg) for arg in value.args)
                return replace(value, args=args, lanes=self.lanes)
            case loops.Random():
                low, high = self.visit(value.low), self.visit(value.high)
                return replace(value, low=low, high=high, lanes=self.lanes)
            case _:
                raise TypeError(f"a {type(value).__name__} can't be widened")

    def _where(self, value: loops.Load | loops.IndexValue | loops.Predicate, varies: bool) -> Value:
        """In lanes where the value varies with the lane, else broadcast."""
        if varies:
            return replace(value, lanes=self.lanes)
        return loops.Broadcast(value, self.lanes)
