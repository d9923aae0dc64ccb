"""float32 for what a kernel keeps to itself, where the notation says float16 or bfloat16.

In: `Steps`. Out: the same, with tables and values of rows of 16-bit floats in float32. Called by
`grid`: on a GPU a table's elements live in registers, where rounding them costs time and makes them
worse. What is multiplied is rounded still, for the tensor cores, and what is stored as well. A
division by a value of rows that was loaded becomes a product with its *inverse*, which is found
once for each row: a load of `inverse_of(...)`. So does one by a number of the program.
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.panels.analyse import Cells, Result, Rows, Scores, Step, Steps, cast
from picograd.dtypes import DType, bfloat16, float16, float32
from picograd.graph.index import Var
from picograd.graph.ops import Op
from picograd.schedule.kernel import Access, Compute, Expr, Guard, Literal, Scalar

NARROW = (float16, bfloat16)
INVERSE = ".inverse"


def widened(steps: Steps) -> Steps:
    """The steps without roundings to 16 bits in between."""
    widen = _Widen({*steps.tables, *steps.rows}, (steps.row, steps.column))
    return replace(
        steps,
        steps=[widen.step(step) for step in steps.steps],
        tables={name: _wide(dtype) for name, dtype in steps.tables.items()},
        rows={name: _wide(dtype) for name, dtype in steps.rows.items()},
    )


def _wide(dtype: DType) -> DType:
    return float32 if dtype in NARROW else dtype


class _Widen:
    """`known` are the names of what is wide already. `axes`: the row and the column, where
    inverses are to be loaded."""

    def __init__(self, known: set[str], axes: tuple[Var, Var] | None = None) -> None:
        self.known, self.axes = known, axes
        self.inverses: dict[Access, str] = {}
        self.done: dict[int, Expr] = {}

    def step(self, step: Step) -> Step:
        match step:
            case Scores():
                return step
            case Cells():
                return replace(step, value=self.expr(step.value))
            case Rows():
                widen = self if step.combiner is not None else _Widen(self.known)
                accumulator = _wide(step.accumulator)
                return replace(step, value=widen.expr(step.value), accumulator=accumulator)
            case Result():
                weights = replace(step.weights, dtype=_wide(step.weights.dtype))
                results = {step.target, *(stage.target for stage in step.finish)}
                inner = _Widen(self.known | results)
                finish = tuple(
                    replace(stage, value=inner.expr(stage.value)) for stage in step.finish
                )
                return replace(step, weights=weights, finish=finish, dtype=_wide(step.dtype))

    def expr(self, expr: Expr) -> Expr:
        found = self.done.get(id(expr))
        if found is None:
            found = self.done[id(expr)] = self._made(expr)
        return found

    def _made(self, expr: Expr) -> Expr:
        narrow = expr.dtype in NARROW
        match expr:
            case Access():
                if narrow and expr.buffer in self.known:
                    return replace(expr, dtype=float32)
                return cast(expr, _wide(expr.dtype))
            case Literal() if narrow:
                return Literal.of(float(expr.value), float32)
            case Scalar():
                return cast(expr, _wide(expr.dtype))
            case Compute(op=Op.BITCAST):
                args = tuple(cast(self.expr(arg), arg.dtype) for arg in expr.args)
                return cast(replace(expr, args=args), _wide(expr.dtype))
            case Compute(op=Op.DIV, args=(above, below)) if self._is_of_rows(below):
                wide = _wide(expr.dtype)
                inverse = self._inverse(below, wide)
                return Compute(Op.MUL, (cast(self.expr(above), wide), inverse), wide)
            case Compute(op=Op.DIV, args=(above, below)) if isinstance(_uncast(below), Scalar):
                wide = _wide(expr.dtype)
                inverse = Compute(Op.RECIPROCAL, (cast(self.expr(below), wide),), wide)
                return Compute(Op.MUL, (cast(self.expr(above), wide), inverse), wide)
            case Compute(op=Op.CAST):
                return cast(self.expr(expr.args[0]), _wide(expr.dtype))
            case Compute():
                args = tuple(self.expr(arg) for arg in expr.args)
                return replace(expr, args=args, dtype=_wide(expr.dtype))
            case Guard():
                value, other = self.expr(expr.value), self.expr(expr.other)
                return replace(expr, value=value, other=other, dtype=_wide(expr.dtype))
            case _:
                return expr

    def _is_of_rows(self, expr: Expr) -> bool:
        """Whether an expression is a float of each row that was loaded."""
        access = _uncast(expr)
        if self.axes is None or not isinstance(access, Access) or access.buffer in self.known:
            return False
        row, column = self.axes
        if not access.dtype.is_float or row not in access.index.atoms():
            return False
        return column not in access.index.atoms() | access.mask.atoms()

    def _inverse(self, expr: Expr, dtype: DType) -> Expr:
        """A load of the inverse of what an expression loads."""
        access = _uncast(expr)
        assert isinstance(access, Access)
        name = self.inverses.setdefault(access, f"{access.buffer}{INVERSE}{len(self.inverses)}")
        return replace(access, buffer=name, dtype=dtype)


def _uncast(expr: Expr) -> Expr:
    while isinstance(expr, Compute) and expr.op is Op.CAST and expr.dtype.is_float:
        (expr,) = expr.args
    return expr


def inverse_of(name: str) -> str | None:
    """The memory of whose elements loads have the inverses."""
    memory, found, _ = name.partition(INVERSE)
    return memory if found else None
