"""Divide a sum instead of each of its terms: `sum (e / total) * v` as `(sum e * v) / total`.

In: the drafts of one kernel. Out: the same, where a softmax's weights are multiplied with values
after they were divided. Called by `collect`. It is done for the weights of a softmax alone: they
are exponentials of differences from the maximum, so they are at most 1, and their total is at
least 1. Between division and product there may be factors (a dropout's), a conversion, and a choice
that is made for whole rows (those that a mask leaves empty).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count

from picograd.dtypes import DType
from picograd.graph.index import Var
from picograd.graph.ops import Combiner, Op
from picograd.schedule.kernel import Access, Compute, Expr, Literal, Stage, StageKind
from picograd.schedule.panels.table import Table
from picograd.schedule.stages import Buffers, Draft
from picograd.schedule.walk import indices, stage_accesses


@dataclass(frozen=True, slots=True)
class _Quotient:
    """`value`, a multiple of `power`, is to be divided by `total`, and to be kept for the rows in
    which `kept` holds."""

    value: Expr
    power: Access
    total: Access
    kept: Expr | None = None


def divide_sums(
    drafts: list[Draft], table: Table, buffers: Buffers, numbers: count[int]
) -> list[Draft]:
    """The drafts with divisions moved behind the contraction of the columns."""
    stages = {draft.target: draft.stage for draft in drafts}
    result: list[Draft] = []
    for draft in drafts:
        stage = draft.stage
        found = _quotient(stage, table, stages)
        if found is None:
            result.append(draft)
            continue
        assert isinstance(stage.value, Compute)
        weights = found.value
        if not isinstance(weights, Access):
            name = f"v{next(numbers)}"
            buffers.add(name, weights.dtype, table.size)
            axes = (*table.batch, table.row, table.column)
            made = Stage(StageKind.MAP, name, table.position, weights, axes)
            result.append(replace(draft, stage=made))
            weights = Access(name, table.position, weights.dtype)
        name, dtype = f"v{next(numbers)}", buffers.dtype[draft.target]
        wide = stage.accumulator or dtype  # undivided, it may be beyond the result's type
        buffers.add(name, wide, buffers.size[draft.target])
        value = replace(stage.value, args=(weights, stage.value.args[1]))
        result.append(replace(draft, stage=replace(stage, target=name, value=value)))
        load, total = Access(name, stage.store, wide), _cast(found.total, wide)
        quotient: Expr = Compute(Op.DIV, (load, total), wide)
        if found.kept is not None:
            quotient = Compute(Op.WHERE, (found.kept, quotient, Literal.of(0.0, wide)), wide)
        divided = _cast(quotient, dtype)
        last = Stage(StageKind.MAP, draft.target, stage.store, divided, stage.inner)
        result.append(replace(draft, stage=last))
    return _read(result, table)


def _cast(expr: Expr, dtype: DType) -> Expr:
    return expr if expr.dtype is dtype else Compute(Op.CAST, (expr,), dtype)


def _quotient(stage: Stage, table: Table, stages: Mapping[str, Stage]) -> _Quotient | None:
    """The undivided weights and their total, in a contraction of the weights of a softmax."""
    if stage.reduce != (table.column,) or not isinstance(stage.value, Compute):
        return None
    if stage.value.op is not Op.MUL or stage.store == table.line:
        return None
    weight = stage.value.args[0]
    if isinstance(weight, Access):
        made = stages.get(weight.buffer)
        if made is None or made.kind is not StageKind.MAP:
            return None
        weight = made.value
    found = _undivided(weight, table.column)
    if found is None:
        return None
    total, power = stages.get(found.total.buffer), stages.get(found.power.buffer)
    if total is None or power is None or not _is_total(total, found.power, table):
        return None
    return found if _is_power(power, table, stages) else None


def _undivided(expr: Expr, column: Var) -> _Quotient | None:
    """An expression that is a multiple of a quotient of two loads, without the division."""
    if not isinstance(expr, Compute):
        return None
    first, *rest = expr.args
    match expr.op, rest:
        case Op.DIV, [Access() as total] if isinstance(first, Access):
            return _Quotient(first, first, total)
        case Op.CAST, [] if expr.dtype.is_float:
            found = _undivided(first, column)
            return found and replace(found, value=_cast(found.value, expr.dtype))
        case Op.MUL, [second]:
            for one, other in ((first, second), (second, first)):
                found = _undivided(one, column)
                if found is not None and found.kept is None:
                    return replace(found, value=replace(expr, args=(found.value, other)))
        case Op.WHERE, [chosen, Literal(value=0)] if _is_free(first, column):
            found = _undivided(chosen, column)
            return replace(found, kept=first) if found and found.kept is None else None
        case _:
            pass
    return None


def _is_free(expr: Expr, column: Var) -> bool:
    return all(column not in index.atoms() for index in indices(expr))


def _is_total(stage: Stage, weights: Access, table: Table) -> bool:
    """Whether a stage sums the weights over the columns."""
    summed = stage.kind is StageKind.REDUCE and stage.reduce == (table.column,)
    return summed and stage.combiner is Combiner.SUM and stage.value == weights


def _is_power(stage: Stage, table: Table, stages: Mapping[str, Stage]) -> bool:
    """Whether a stage is `exp(x - max x)`."""
    value = stage.value
    if not isinstance(value, Compute) or value.op is not Op.EXP:
        return False
    difference = value.args[0]
    if not isinstance(difference, Compute) or difference.op is not Op.SUB:
        return False
    cell, largest = difference.args
    if not isinstance(largest, Access):
        return False
    made = stages.get(largest.buffer)
    return (
        made is not None
        and made.combiner is Combiner.MAX
        and made.reduce == (table.column,)
        and made.value == cell
    )


def _read(drafts: list[Draft], table: Table) -> list[Draft]:
    """Without the weights that nothing reads any more."""
    read = {access.buffer for draft in drafts for access in stage_accesses(draft.stage)}
    return [d for d in drafts if d.target in read or d.stage.store != table.position]
