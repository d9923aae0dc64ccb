"""Recognise a contraction: which axes are batch, rows, columns and depth, and what is multiplied.

In: a CONTRACTION kernel, whose stage 0 sums a product of two factors. Out: a `Contraction`, the
same computation written as

    target[b, m, n] = sum_k left[b, m, k] * right[b, k, n]

with one variable per group of axes, or None when the kernel has another form. Called by
`codegen.contraction.lower`. Axes are grouped by the factors that depend on them:

>>> from picograd.codegen.contraction.axes import role
>>> role(in_left=True, in_right=False), role(in_left=True, in_right=True)
('rows', 'batch')
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from picograd.codegen.contraction.expressions import (
    Change,
    accesses,
    rewrite,
    rewrite_mask,
    variables,
)
from picograd.codegen.contraction.groups import Group, Groups, Values
from picograd.codegen.contraction.orientation import LEAST_LANES, groups_across, runs_across
from picograd.codegen.target import Target
from picograd.dtypes import DType
from picograd.graph.index import Index, Var
from picograd.graph.ops import Combiner, Op
from picograd.schedule.kernel import Access, Compute, Expr, Kernel, Space, Stage, StageKind

# Columns may be padded by this factor where that makes every access along them contiguous.
PADDING = 1.34


@dataclass(frozen=True, slots=True)
class Contraction:
    """A sum of products; all expressions are functions of the four groups' variables.

    The sum, rounded to `dtype`, goes to `store` of the argument `memory` (None when it stays in
    the kernel). `epilogue` holds the elementwise stages that follow; they read it as `names`.

    Over `shared` neighbouring elements of the batch the right factor is the same. `turns` are
    outer axes of the depth. `across` says that results lie along the rows in memory, `coarse` that
    factors of float32 may be rounded to TensorFloat32.
    """

    batch: Group
    rows: Group
    columns: Group
    turns: Group
    depth: Group
    shared: int
    across: bool
    left: Expr
    right: Expr
    accumulator: DType
    dtype: DType
    names: tuple[str, ...]
    memory: str | None
    store: Index
    epilogue: tuple[Stage, ...]
    coarse: bool = False


def role(in_left: bool, in_right: bool) -> str:
    """The group of a domain axis, by the factors that depend on it."""
    if in_left == in_right:
        return "batch"
    return "rows" if in_left else "columns"


def analyse(kernel: Kernel, target: Target) -> Contraction | None:
    """The contraction that a kernel computes, or None when it has another form."""
    first = kernel.stages[0]
    product = first.value
    if (
        not isinstance(product, Compute)
        or product.op is not Op.MUL
        or not _plain(first, kernel.domain)
    ):
        return None
    if any(not _elementwise(stage) for stage in kernel.stages[1:]):
        return None
    sums = next(memory for memory in kernel.memories if memory.name == first.target)
    if sums.space is Space.SCRATCH:
        return None
    accumulator = first.accumulator or sums.dtype
    if not (accumulator.is_float or accumulator.is_integer):
        return None
    left, right = (_cast(factor, accumulator) for factor in product.args)
    if _unit_axis(kernel) in variables(left) - variables(right):
        left, right = right, left
    lanes = target.lanes(accumulator)
    across = lanes >= LEAST_LANES and runs_across(kernel, left, right)
    if across:
        left, right = right, left
        groups, shared = groups_across(kernel, left, right)
    else:
        groups, shared = _groups(kernel, left, right, target, lanes), 1
    change = _change(groups)
    memory = first.target if sums.space is Space.ARGUMENT else None
    names, store, following = (first.target,), first.store, kernel.stages[1:]
    arguments = {argument.name for argument in kernel.arguments}
    if (
        memory is None
        and following
        and following[0].target in arguments
        and _is_copy(following[0], first.target)
    ):
        # The sum is stored as it is: into that result directly.
        copy, *rest = following
        memory, names, store, following = copy.target, (*names, copy.target), copy.store, rest
    found = Contraction(
        *groups,
        shared,
        across,
        rewrite(left, change),
        rewrite(right, change),
        accumulator,
        sums.dtype,
        names,
        memory,
        change(store),
        tuple(_rewrite_stage(stage, change) for stage in following),
        first.coarse,
    )
    return found if _reads_own_point(found, kernel) else None


def _change(groups: Sequence[Group]) -> Change:
    """From indices over axes to indices over groups."""

    def change(index: Index) -> Index:
        values: Values = {}
        for group in groups:
            values |= group.joined()
        joined = index.substitute(values)
        apart = [group for group in groups if not joined.is_affine_in(group.var)]
        for group in apart:
            values |= group.split()
        return index.substitute(values) if apart else joined

    return change


def _rewrite_stage(stage: Stage, change: Change) -> Stage:
    return replace(
        stage,
        store=change(stage.store),
        value=rewrite(stage.value, change),
        mask=rewrite_mask(stage.mask, change),
    )


def _plain(stage: Stage, domain: tuple[Var, ...]) -> bool:
    """True for a sum at every point of the domain that is stored everywhere."""
    return (
        stage.kind is StageKind.REDUCE
        and stage.combiner is Combiner.SUM
        and not (stage.inner or stage.binds)
        and stage.mask.always
        and bool(stage.reduce)
        and not any(axis in domain for axis in stage.reduce)
    )


def _elementwise(stage: Stage) -> bool:
    loops = stage.inner or stage.reduce or stage.binds or stage.once
    return stage.kind is StageKind.MAP and not loops


def _is_copy(stage: Stage, name: str) -> bool:
    """Whether a stage stores a local everywhere, unchanged."""
    value = stage.value
    return isinstance(value, Access) and value.buffer == name and stage.mask.always


def _cast(expr: Expr, dtype: DType) -> Expr:
    return expr if expr.dtype is dtype else Compute(Op.CAST, (expr,), dtype)


def _unit_axis(kernel: Kernel) -> Var | None:
    """The domain axis along which the results are contiguous."""
    arguments = {m.name for m in kernel.arguments}
    for stage in kernel.stages:
        if stage.target not in arguments:
            continue
        for axis in reversed(kernel.domain):
            if axis.high > 0 and stage.store.coefficient(axis) == 1:
                return axis
    return kernel.domain[-1] if kernel.domain else None


def _groups(kernel: Kernel, left: Expr, right: Expr, target: Target, lanes: int) -> Groups:
    in_left, in_right = variables(left), variables(right)
    found: dict[str, list[Var]] = {"batch": [], "rows": [], "columns": []}
    for axis in kernel.domain:
        found[role(axis in in_left, axis in in_right)].append(axis)
    vectors = target.vector_bytes > 1  # on a GPU every thread computes its own index
    outer = _outer_columns(kernel, right, found["columns"], lanes) if vectors else 0
    columns = found["columns"][outer:]
    batch = [axis for axis in kernel.domain if axis not in found["rows"] and axis not in columns]
    return (
        Group.of_axes("b", tuple(batch)),
        Group.of_axes("m", tuple(found["rows"])),
        Group.of_axes("n", tuple(columns)),
        Group.of_axes("t", ()),
        Group.of_axes("k", kernel.stages[0].reduce),
    )


def _outer_columns(kernel: Kernel, right: Expr, columns: list[Var], lanes: int) -> int:
    """How many outer column axes are looped over like a batch, so that vectors of the others are
    contiguous in the right factor and the results; none where that would leave too few columns."""
    indices = [access.index for access in accesses(right)]
    indices += [stage.store for stage in kernel.stages]
    for outer in range(len(columns)):
        group = Group.of_axes("n", tuple(columns[outer:]))
        values = group.joined()
        if all(index.substitute(values).is_affine_in(group.var) for index in indices):
            return outer if -(-group.extent // lanes) * lanes <= PADDING * group.extent else 0
    return 0


def _reads_own_point(contraction: Contraction, kernel: Kernel) -> bool:
    """What this kernel writes is read by no factor, and by the epilogue at its own point only."""
    written = {stage.target for stage in kernel.stages}
    for factor in (contraction.left, contraction.right):
        if any(access.buffer in written for access in accesses(factor)):
            return False
    stores: dict[str, Index] = {}
    if contraction.memory is not None:
        stores[contraction.memory] = contraction.store
    for stage in contraction.epilogue:
        for access in accesses(stage.value):
            if access.buffer in stores and access.index != stores[access.buffer]:
                return False
        if any(m.name == stage.target for m in kernel.arguments):
            stores[stage.target] = stage.store
    return True
