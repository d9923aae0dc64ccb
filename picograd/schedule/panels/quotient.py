"""Divide a sum instead of each of its terms: `sum (e / total) * v` as `(sum e * v) / total`.

In: the drafts of one kernel. Out: the same, where a softmax's weights are multiplied with values
before they are divided. Called by `collect`. It is done for the weights of a softmax alone: they
are exponentials of differences from the maximum, so they are at most 1, and their total is at
least 1.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from picograd.graph.ops import Combiner, Op
from picograd.schedule.kernel import Access, Compute, Stage, StageKind
from picograd.schedule.panels.table import Table
from picograd.schedule.stages import Buffers, Draft
from picograd.schedule.walk import stage_accesses


def divide_sums(
    drafts: list[Draft], table: Table, buffers: Buffers, numbers: count[int]
) -> list[Draft]:
    """The drafts with divisions moved behind the contraction of the columns."""
    stages = {draft.target: draft.stage for draft in drafts}
    result: list[Draft] = []
    for draft in drafts:
        found = _quotient(draft.stage, table, stages)
        if found is None:
            result.append(draft)
            continue
        weights, total = found
        stage = draft.stage
        assert isinstance(stage.value, Compute)
        name = f"v{next(numbers)}"
        buffers.add(name, buffers.dtype[draft.target], buffers.size[draft.target])
        value = replace(stage.value, args=(weights, stage.value.args[1]))
        result.append(replace(draft, stage=replace(stage, target=name, value=value)))
        load = Access(name, stage.store, total.dtype)
        quotient = Compute(Op.DIV, (load, total), total.dtype)
        divided = Stage(StageKind.MAP, draft.target, stage.store, quotient, stage.inner)
        result.append(replace(draft, stage=divided))
    return _read(result, table)


def _quotient(stage: Stage, table: Table, stages: dict[str, Stage]) -> tuple[Access, Access] | None:
    """The undivided weights and their total, in a contraction of the weights of a softmax."""
    if stage.reduce != (table.column,) or not isinstance(stage.value, Compute):
        return None
    if stage.value.op is not Op.MUL or stage.store == table.line:
        return None
    weight = stage.value.args[0]
    made = stages.get(weight.buffer) if isinstance(weight, Access) else None
    if made is None or made.kind is not StageKind.MAP or not isinstance(made.value, Compute):
        return None
    if made.value.op is not Op.DIV:
        return None
    above, below = made.value.args
    if not isinstance(above, Access) or not isinstance(below, Access):
        return None
    total, power = stages.get(below.buffer), stages.get(above.buffer)
    if total is None or power is None or not _is_total(total, above, table):
        return None
    return (above, below) if _is_power(power, table, stages) else None


def _is_total(stage: Stage, weights: Access, table: Table) -> bool:
    """Whether a stage sums the weights over the columns."""
    summed = stage.kind is StageKind.REDUCE and stage.reduce == (table.column,)
    return summed and stage.combiner is Combiner.SUM and stage.value == weights


def _is_power(stage: Stage, table: Table, stages: dict[str, Stage]) -> bool:
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
