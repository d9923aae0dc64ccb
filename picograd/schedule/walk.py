"""Walks over scalar expressions and stages: what they contain, and how to rewrite them.

In: expressions and stages of `schedule.kernel`. Out: their parts, or changed copies. Used by every
file of the schedule. Expressions are small (`decide` bounds them), so recursion is safe; shared
parts are visited once.

>>> from picograd.dtypes import float32
>>> from picograd.graph.index import variable
>>> from picograd.graph.ops import Op
>>> load = Access("a0", variable("i", 8), float32)
>>> [access.buffer for access in accesses(Compute(Op.MUL, (load, load), float32))]
['a0']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from picograd.graph.index import Index, Param, Var
from picograd.graph.mask import Mask
from picograd.schedule.kernel import (
    Access,
    Bind,
    Compute,
    Expr,
    FromIndex,
    Guard,
    Philox,
    Scalar,
    Stage,
)


def children(expr: Expr) -> tuple[Expr, ...]:
    """The expressions directly below one."""
    if isinstance(expr, Compute):
        return expr.args
    if isinstance(expr, Guard):
        return (expr.value, expr.other)
    return ()


def subexpressions(expr: Expr) -> list[Expr]:
    """Every distinct object below an expression and the expression itself, parents first."""
    seen: set[int] = set()
    found: list[Expr] = []
    stack = [expr]
    while stack:
        current = stack.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        found.append(current)
        if isinstance(current, Compute):
            stack.extend(current.args[::-1])
        elif isinstance(current, Guard):
            stack += (current.other, current.value)
    return found


def accesses(expr: Expr) -> list[Access]:
    """Every load in an expression."""
    return [part for part in subexpressions(expr) if isinstance(part, Access)]


def stage_accesses(stage: Stage) -> tuple[Access, ...]:
    """Every load of a stage, those of its data-dependent indices included."""
    found = stage.loads
    if found is None:
        parts = [*(bind.value for bind in stage.binds), stage.value]
        found = stage.loads = tuple([load for part in parts for load in accesses(part)])
    return found


def indices(expr: Expr) -> Iterator[Index]:
    """Every index in an expression: positions and the constraints of masks."""
    for part in subexpressions(expr):
        if isinstance(part, Access):
            yield part.index
            yield from part.mask.constraints
        elif isinstance(part, FromIndex):
            yield part.index
        elif isinstance(part, Philox):
            yield part.position
        elif isinstance(part, Guard):
            yield from part.mask.constraints


def stage_indices(stage: Stage) -> Iterator[Index]:
    """Every index of a stage."""
    for bind in stage.binds:
        yield from indices(bind.value)
    yield from indices(stage.value)
    yield stage.store
    yield from stage.mask.constraints


def weight(expr: Expr) -> int:
    """The number of distinct parts of an expression."""
    return len(subexpressions(expr))


class Rewriter:
    """A bottom-up copy of expressions with changed parts; one object shares work between calls.

    Override the methods for the parts that change. `index` sees every index, masks included.
    """

    def __init__(self) -> None:
        self._done: dict[int, tuple[Expr, Expr]] = {}
        self._indices: dict[Index, Index] = {}

    def index(self, index: Index) -> Index:
        return index

    def access(self, access: Access) -> Expr:
        """A load whose index and mask have been rewritten already."""
        return access

    def scalar(self, scalar: Scalar) -> Expr:
        return scalar

    def philox(self, philox: Philox) -> Expr:
        """A random word whose position has been rewritten already."""
        return philox

    def __call__(self, expr: Expr) -> Expr:
        done = self._done.get(id(expr))
        if done is not None:
            return done[1]
        result = self._rebuild(expr)
        self._done[id(expr)] = (expr, result)  # keeps `expr` alive, so its id stays its own
        return result

    def position(self, index: Index) -> Index:
        """`index`, remembered."""
        found = self._indices.get(index)
        if found is None:
            found = self._indices[index] = self.index(index)
        return found

    def mask(self, mask: Mask) -> Mask:
        if not mask.constraints:
            return mask
        result = Mask()
        for constraint in mask.constraints:
            result = result.require(self.position(constraint))
        return result

    def _rebuild(self, expr: Expr) -> Expr:
        if isinstance(expr, Compute):
            args = tuple([self(arg) for arg in expr.args])
            for new, old in zip(args, expr.args, strict=True):
                if new is not old:
                    return Compute(expr.op, args, expr.dtype)
            return expr
        if isinstance(expr, Access):
            index, mask = self.position(expr.index), self.mask(expr.mask)
            return self.access(Access(expr.buffer, index, expr.dtype, mask))
        if isinstance(expr, Guard):
            value, other = self(expr.value), self(expr.other)
            mask = self.mask(expr.mask)
            return value if mask.always else Guard(mask, value, other, expr.dtype)
        if isinstance(expr, FromIndex):
            return FromIndex(self.position(expr.index), expr.dtype)
        if isinstance(expr, Philox):
            return self.philox(replace(expr, position=self.position(expr.position)))
        if isinstance(expr, Scalar):
            return self.scalar(expr)
        return expr

    def bind(self, bind: Bind) -> Bind:
        return Bind(bind.var, self(bind.value))

    def stage(self, stage: Stage) -> Stage:
        """A stage with its value, binds, store and mask rewritten; its axes stay."""
        value = self(stage.value)
        binds = tuple([self.bind(bind) for bind in stage.binds])
        return Stage(
            stage.kind,
            stage.target,
            self.position(stage.store),
            value,
            stage.inner,
            stage.reduce,
            stage.combiner,
            stage.accumulator,
            self.mask(stage.mask),
            binds,
            stage.once,
            stage.coarse,
        )


class Substitute(Rewriter):
    """Replaces variables and parameters in all indices."""

    def __init__(self, values: Mapping[Var | Param, Index]) -> None:
        super().__init__()
        self._values = values

    def index(self, index: Index) -> Index:
        return index.substitute(self._values)
