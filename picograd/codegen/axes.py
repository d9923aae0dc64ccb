"""Recognise a contraction: which axes are batch, rows, columns and depth, and what is multiplied.

In: a CONTRACTION kernel, whose stage 0 sums a product of two factors. Out: a `Contraction`, the
same computation written as

    target[b, m, n] = sum_k left[b, m, k] * right[b, k, n]

with one variable per group of axes, or None when the kernel has another form. Called by
`codegen.contraction`. Axes are grouped by the factors that depend on them:

>>> from picograd.codegen.axes import role
>>> role(in_left=True, in_right=False), role(in_left=True, in_right=True)
('rows', 'batch')
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

from picograd.codegen.expressions import parts
from picograd.dtype import DType
from picograd.graph.index import Index, Mask, Param, Var, constant, delinearize, of
from picograd.graph.ops import Combiner, Op
from picograd.schedule.kernel import (
    Access,
    Compute,
    Expr,
    FromIndex,
    Guard,
    Kernel,
    Philox,
    Space,
    Stage,
    StageKind,
)

Values = Mapping[Var | Param, Index]
EVERYWHERE = Mask()


@dataclass(frozen=True, slots=True)
class Group:
    """Several axes looped over as one, in row-major order."""

    var: Var
    axes: tuple[Var, ...]

    @staticmethod
    def of_axes(name: str, axes: tuple[Var, ...]) -> Group:
        extent = prod(axis.high + 1 for axis in axes)
        return Group(Var(name, 0, extent - 1), axes)

    @property
    def extent(self) -> int:
        return self.var.high + 1

    def positions(self) -> dict[Var | Param, Index]:
        """Each axis as a function of the group's variable."""
        shape = [axis.high + 1 for axis in self.axes]
        position = of(self.var) if self.extent > 1 else constant(0)
        return dict(zip(self.axes, delinearize(position, shape), strict=True))


@dataclass(frozen=True, slots=True)
class Contraction:
    """A sum of products; all expressions are functions of the four groups' variables.

    `store` is the position in stage 0's target when that is an argument, else None. `epilogue`
    holds the elementwise stages that follow; `target` is the name by which they read the sum,
    which has dtype `dtype` once rounded.
    """

    batch: Group
    rows: Group
    columns: Group
    depth: Group
    left: Expr
    right: Expr
    accumulator: DType
    target: str
    dtype: DType
    store: Index | None
    epilogue: tuple[Stage, ...]


def role(in_left: bool, in_right: bool) -> str:
    """The group of a domain axis, by the factors that depend on it."""
    if in_left == in_right:
        return "batch"
    return "rows" if in_left else "columns"


def analyse(kernel: Kernel) -> Contraction | None:
    """The contraction that a kernel computes, or None when it has another form."""
    first = kernel.stages[0]
    product = first.value
    if not isinstance(product, Compute) or product.op is not Op.MUL or not _plain(first):
        return None
    if any(not _elementwise(stage) for stage in kernel.stages[1:]):
        return None
    memory = {m.name: m for m in kernel.memories}
    target = memory[first.target]
    if target.space is Space.SCRATCH:
        return None
    accumulator = first.accumulator or target.dtype
    if not (accumulator.is_float or accumulator.is_integer):
        return None
    left, right = (_cast(factor, accumulator) for factor in product.args)
    if _unit_axis(kernel, memory) in variables(left) - variables(right):
        left, right = right, left
    groups = _groups(kernel, first, left, right)
    values: dict[Var | Param, Index] = {}
    for group in groups:
        values.update(group.positions())
    is_argument = target.space is Space.ARGUMENT
    found = Contraction(
        *groups,
        substitute(left, values),
        substitute(right, values),
        accumulator,
        first.target,
        target.dtype,
        first.store.substitute(values) if is_argument else None,
        tuple(_substitute_stage(stage, values) for stage in kernel.stages[1:]),
    )
    return found if _reads_own_point(found, kernel) else None


def _plain(stage: Stage) -> bool:
    """True for a sum that is stored everywhere."""
    return (
        stage.kind is StageKind.REDUCE
        and stage.combiner is Combiner.SUM
        and not (stage.inner or stage.binds)
        and stage.mask.always
        and bool(stage.reduce)
    )


def _elementwise(stage: Stage) -> bool:
    return stage.kind is StageKind.MAP and not (stage.inner or stage.reduce or stage.binds)


def _cast(expr: Expr, dtype: DType) -> Expr:
    return expr if expr.dtype is dtype else Compute(Op.CAST, (expr,), dtype)


def _unit_axis(kernel: Kernel, memory: Mapping[str, object]) -> Var | None:
    """The domain axis along which the results are contiguous."""
    arguments = {m.name for m in kernel.arguments}
    for stage in kernel.stages:
        if stage.target not in arguments:
            continue
        for axis in reversed(kernel.domain):
            if axis.high > 0 and stage.store.coefficient(axis) == 1:
                return axis
    return kernel.domain[-1] if kernel.domain else None


def _groups(
    kernel: Kernel, stage: Stage, left: Expr, right: Expr
) -> tuple[Group, Group, Group, Group]:
    in_left, in_right = variables(left), variables(right)
    found: dict[str, list[Var]] = {"batch": [], "rows": [], "columns": []}
    for axis in kernel.domain:
        found[role(axis in in_left, axis in in_right)].append(axis)
    return (
        Group.of_axes("b", tuple(found["batch"])),
        Group.of_axes("m", tuple(found["rows"])),
        Group.of_axes("n", tuple(found["columns"])),
        Group.of_axes("k", stage.reduce),
    )


def _reads_own_point(contraction: Contraction, kernel: Kernel) -> bool:
    """What this kernel writes is read by no factor, and by the epilogue at its own point only."""
    written = {stage.target for stage in kernel.stages}
    for factor in (contraction.left, contraction.right):
        if any(access.buffer in written for access in accesses(factor)):
            return False
    stores: dict[str, Index] = {}
    if contraction.store is not None:
        stores[contraction.target] = contraction.store
    for stage in contraction.epilogue:
        for access in accesses(stage.value):
            if access.buffer in stores and access.index != stores[access.buffer]:
                return False
        if any(m.name == stage.target for m in kernel.arguments):
            stores[stage.target] = stage.store
    return True


# --- walking scalar expressions ---------------------------------------------------------------


def walk(expr: Expr) -> Iterator[Expr]:
    """Every subexpression once, shared ones too."""
    seen: set[int] = set()
    stack = [expr]
    while stack:
        top = stack.pop()
        if id(top) in seen:
            continue
        seen.add(id(top))
        yield top
        stack.extend(parts(top))


def accesses(expr: Expr) -> Iterator[Access]:
    return (part for part in walk(expr) if isinstance(part, Access))


def variables(expr: Expr) -> frozenset[Var]:
    """The loop variables that an expression depends on."""
    atoms: set[Var | Param] = set()
    for part in walk(expr):
        match part:
            case Access():
                atoms |= part.index.atoms() | part.mask.atoms()
            case FromIndex():
                atoms |= part.index.atoms()
            case Guard():
                atoms |= part.mask.atoms()
            case Philox():
                atoms |= part.position.atoms()
    return frozenset(atom for atom in atoms if isinstance(atom, Var))


def substitute(expr: Expr, values: Values, edge: Mask = EVERYWHERE) -> Expr:
    """Replace variables in all indices; every access is also masked by `edge`."""
    done: dict[int, Expr] = {}

    def visit(part: Expr) -> Expr:
        if id(part) not in done:
            done[id(part)] = rebuild(part)
        return done[id(part)]

    def rebuild(part: Expr) -> Expr:
        match part:
            case Access():
                index, mask = part.index.substitute(values), part.mask.substitute(values)
                return replace(part, index=index, mask=mask & edge)
            case FromIndex():
                return replace(part, index=part.index.substitute(values))
            case Compute():
                return replace(part, args=tuple(visit(arg) for arg in part.args))
            case Guard():
                mask = part.mask.substitute(values)
                return replace(part, mask=mask, value=visit(part.value), other=visit(part.other))
            case Philox():
                return replace(part, position=part.position.substitute(values))
            case _:
                return part

    return visit(expr)


def _substitute_stage(stage: Stage, values: Values) -> Stage:
    return replace(
        stage,
        store=stage.store.substitute(values),
        value=substitute(stage.value, values),
        mask=stage.mask.substitute(values),
    )
