"""What the stages of a PANELS kernel do: the steps of one block of rows.

In: a kernel whose stages make tables of M rows and N columns for each point of its domain, and
contract them. Out: `Steps`, with the row called `m` and the column `n` in all of them; None for a
kernel of another form. Called by `codegen.panels.lower`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from picograd.codegen.contraction.expressions import accesses, rewrite
from picograd.dtypes import DType
from picograd.graph.index import Index, Var, of
from picograd.graph.ops import Combiner, Op
from picograd.schedule.kernel import Access, Compute, Expr, Kernel, Stage, StageKind

ROW, COLUMN, DEPTH, AXIS = "m", "n", "k", "d"


@dataclass(frozen=True, slots=True)
class Scores:
    """table[m, n] = sum_k left[m, k] * right[n, k]"""

    target: str
    left: Expr
    right: Expr
    depth: Var
    accumulator: DType
    coarse: bool = False  # whether its factors may be rounded to TensorFloat32


@dataclass(frozen=True, slots=True)
class Cells:
    """table[m, n] = value"""

    target: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Rows:
    """target[m] = value, or its combination over all n"""

    target: str
    value: Expr
    combiner: Combiner | None
    accumulator: DType
    store: Index


@dataclass(frozen=True, slots=True)
class Result:
    """sum_n weights[m, n] * values[n, d], or (`across`) sum_m weights[m, n] * values[m, d]; then
    the elementwise stages `finish`, which read the sum as `target` and store something."""

    target: str
    weights: Access
    values: Expr
    axis: Var
    accumulator: DType
    dtype: DType
    across: bool
    finish: tuple[Stage, ...] = ()
    coarse: bool = False


Step = Scores | Cells | Rows | Result


@dataclass(slots=True)
class Steps:
    """The steps in order, the row and the column, and the dtype of each table."""

    row: Var
    column: Var
    steps: list[Step] = field(default_factory=list)
    tables: dict[str, DType] = field(default_factory=dict)
    rows: dict[str, DType] = field(default_factory=dict)


def analyse(kernel: Kernel) -> Steps | None:
    """The steps of a kernel."""
    sums = (stage for stage in kernel.stages if stage.kind is StageKind.REDUCE)
    first = next((stage for stage in sums if len(stage.inner) == 2), None)
    if first is None:
        return None
    row, column = (replace(var, name=name) for var, name in zip(first.inner, (ROW, COLUMN)))
    reader = _Reader(kernel, Steps(row, column))
    return reader.steps if all(reader.stage(stage) for stage in kernel.stages) else None


class _Reader:
    def __init__(self, kernel: Kernel, steps: Steps) -> None:
        self.steps = steps
        self.dtypes = {memory.name: memory.dtype for memory in kernel.memories}
        self.arguments = {memory.name for memory in kernel.arguments}
        self.results: dict[str, int] = {}  # names of results and what follows -> step

    def stage(self, stage: Stage) -> bool:
        """Add a stage's step; False when it has another form."""
        if stage.kind is StageKind.REDUCE:
            return self._table_sum(stage) if self._table(stage) else self._scores(stage)
        read = {access.buffer for access in accesses(stage.value)}
        if following := read & self.results.keys():
            return self._finish(stage, self.results[following.pop()])
        renamed = self._renamed(stage, dict(zip(stage.inner, (ROW, COLUMN), strict=False)))
        if len(stage.inner) == 2:
            self.steps.tables[stage.target] = self.dtypes[stage.target]
            self.steps.steps.append(Cells(stage.target, renamed.value))
            return True
        return len(stage.inner) == 1 and self._row(renamed)

    def _table(self, stage: Stage) -> Access | None:
        """A load of a table in a stage."""
        names = self.steps.tables
        return next((a for a in accesses(stage.value) if a.buffer in names), None)

    def _renamed(self, stage: Stage, names: dict[Var, str]) -> Stage:
        values = {var: of(replace(var, name=name)) for var, name in names.items()}

        def change(index: Index) -> Index:
            return index.substitute(values)  # pyright: ignore[reportArgumentType]

        return replace(
            stage,
            store=change(stage.store),
            value=rewrite(stage.value, change),
            inner=tuple(replace(var, name=names.get(var, var.name)) for var in stage.inner),
            reduce=tuple(replace(var, name=names.get(var, var.name)) for var in stage.reduce),
        )

    def _scores(self, stage: Stage) -> bool:
        if len(stage.inner) != 2 or len(stage.reduce) != 1:
            return False
        names = {stage.inner[0]: ROW, stage.inner[1]: COLUMN, stage.reduce[0]: DEPTH}
        stage = self._renamed(stage, names)
        row, column = stage.inner
        if row != self.steps.row or column != self.steps.column:
            return False
        value, dtype = stage.value, self.dtypes[stage.target]
        assert isinstance(value, Compute)
        accumulator = stage.accumulator or dtype
        left, right = (cast(factor, accumulator) for factor in value.args)
        if not _varies(left, row):
            left, right = right, left
        self.steps.tables[stage.target] = dtype
        step = Scores(stage.target, left, right, stage.reduce[0], accumulator, stage.coarse)
        self.steps.steps.append(step)
        return True

    def _row(self, stage: Stage) -> bool:
        dtype = self.dtypes[stage.target]
        self.steps.rows[stage.target] = dtype
        accumulator = stage.accumulator or dtype
        step = Rows(stage.target, stage.value, stage.combiner, accumulator, stage.store)
        self.steps.steps.append(step)
        return True

    def _table_sum(self, stage: Stage) -> bool:
        """A reduction over the columns, or a contraction of columns or rows."""
        load = self._table(stage)
        (summed,) = stage.reduce
        assert load is not None
        if len(stage.inner) == 1:
            return self._row(self._renamed(stage, {stage.inner[0]: ROW, summed: COLUMN}))
        across = load.index.coefficient(summed) > 1
        kept, axis = stage.inner
        places = (COLUMN, ROW) if across else (ROW, COLUMN)
        stage = self._renamed(stage, {kept: places[0], summed: places[1], axis: AXIS})
        value, dtype = stage.value, self.dtypes[stage.target]
        assert isinstance(value, Compute)
        accumulator = stage.accumulator or dtype
        weights, values = value.args
        if not isinstance(weights, Access) or self.steps.tables[weights.buffer] is not accumulator:
            name = f"{stage.target}.weights"
            self.steps.tables[name] = accumulator
            self.steps.steps.append(Cells(name, cast(weights, accumulator)))
            weights = Access(name, load.index, accumulator)
        name, finish = stage.target, ()
        if name in self.arguments:
            name = f"{stage.target}.sum"
            load = Access(name, stage.store, dtype)
            finish = (Stage(StageKind.MAP, stage.target, stage.store, load, stage.inner),)
        values = cast(values, accumulator)
        axis, coarse = stage.inner[1], stage.coarse
        step = Result(name, weights, values, axis, accumulator, dtype, across, finish, coarse)
        self.results[stage.target] = len(self.steps.steps)
        self.steps.steps.append(step)
        return True

    def _finish(self, stage: Stage, place: int) -> bool:
        step = self.steps.steps[place]
        assert isinstance(step, Result)
        kept = COLUMN if step.across else ROW
        stage = self._renamed(stage, dict(zip(stage.inner, (kept, AXIS), strict=True)))
        self.steps.steps[place] = replace(step, finish=(*step.finish, stage))
        self.results[stage.target] = place
        return True


def cast(expr: Expr, dtype: DType) -> Expr:
    return expr if expr.dtype is dtype else Compute(Op.CAST, (expr,), dtype)


def _varies(expr: Expr, var: Var) -> bool:
    return any(var in access.index.atoms() | access.mask.atoms() for access in accesses(expr))


Change = Callable[[Index], Index]
