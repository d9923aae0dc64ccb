"""Which columns of a row a mask leaves out: a causal mask, or a sliding window.

In: `Steps`. Out: a `Band`: where `low <= n - m <= high` fails, every table's element is known and
makes no difference to any result, so it need not be computed. Called by `codegen.panels.lower`.

Each comparison of the row with the column in a table's formula is assumed to hold, and then not to
hold; with it the tables' elements are folded to constants. A maximum may leave out minus infinity,
a sum may leave out zeros. As everywhere where a product with zero is left out, an infinity or NaN
in a value that all rows leave out is not seen.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from picograd.codegen.contraction.expressions import walk
from picograd.codegen.panels.analyse import Cells, Result, Rows, Scores, Step, Steps
from picograd.dtypes import DType, bool_
from picograd.graph.index import Index, constant, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Combiner, Op
from picograd.schedule.kernel import Access, Compute, Expr, FromIndex, Guard, Literal

Number = int | float | bool

ARITHMETIC: Mapping[Op, Callable[..., Number]] = {
    Op.ADD: operator.add,
    Op.SUB: operator.sub,
    Op.MUL: operator.mul,
    Op.EQ: operator.eq,
    Op.NE: operator.ne,
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.AND: operator.and_,
    Op.OR: operator.or_,
    Op.XOR: operator.xor,
}


@dataclass(frozen=True, slots=True)
class Band:
    """Limits of `n - m` within which elements matter; None: no limit."""

    low: Index | None = None
    high: Index | None = None


def find_band(steps: Steps) -> Band:
    """The band of a kernel's tables."""
    low = high = None
    rows, columns = steps.row.high + 1, steps.column.high + 1
    difference = of(steps.column) - of(steps.row)
    for condition in _conditions(steps):
        for holds in (True, False):
            known = condition if holds else -condition - 1
            if not _makes_no_difference(steps, known):
                continue
            above, below = known - difference, known + difference
            # Rows without any column keep all: a softmax over nothing is NaN.
            if _is_free(above, steps):  # n - m + above >= 0: nothing matters from there on
                if (-above - 1).bounds()[0] >= 0 and high is None:
                    high = -above - 1
            elif _is_free(below, steps) and low is None:  # m - n + below >= 0
                low = below + 1 if (below + 1).bounds()[1] <= columns - rows else None
    if low is not None and high is not None and (high - low).bounds()[0] < 0:
        low = None
    return Band(low, high)


def _is_free(index: Index, steps: Steps) -> bool:
    return not {steps.row, steps.column} & index.atoms()


def _conditions(steps: Steps) -> Iterator[Index]:
    """What the tables' formulas compare, as numbers that are not negative where it holds."""
    seen: set[Index] = set()
    for step in steps.steps:
        if not isinstance(step, Cells):
            continue
        for part in walk(step.value):
            found: tuple[Index, ...] = ()
            if isinstance(part, Guard):
                found = part.mask.constraints
            elif isinstance(part, Compute) and (compared := _compared(part)) is not None:
                found = (compared,)
            for index in found:
                if index not in seen:
                    seen.add(index)
                    yield index


def _compared(expr: Compute) -> Index | None:
    """The number that is not negative where a comparison of two indices holds."""
    if expr.op not in (Op.LE, Op.LT):
        return None
    left, right = (_as_index(arg) for arg in expr.args)
    if left is None or right is None:
        return None
    return right - left - (expr.op is Op.LT)


def _as_index(expr: Expr) -> Index | None:
    """An expression of integers as an index, where it can't overflow."""
    index: Index | None = None
    match expr:
        case Literal() if expr.dtype.is_integer:
            index = constant(int(expr.value))
        case FromIndex():
            index = expr.index
        case Compute(op=Op.CAST) if expr.dtype.is_integer:
            index = _as_index(expr.args[0])
        case Compute(op=Op.ADD | Op.SUB) if expr.dtype.is_integer:
            first, second = (_as_index(arg) for arg in expr.args)
            if first is not None and second is not None:
                index = first + second if expr.op is Op.ADD else first - second
        case Compute(op=Op.MUL, args=(part, Literal(value=factor))) if expr.dtype.is_integer:
            index = _as_index(part)
            index = None if index is None else index * int(factor)
        case _:
            pass
    if index is None:
        return None
    low, high = index.bounds()
    return index if expr.dtype.lowest <= low and high <= expr.dtype.highest else None


def _makes_no_difference(steps: Steps, known: Index) -> bool:
    """Whether no result depends on the elements where `known >= 0`."""
    folder = _Folder(known)
    for step in steps.steps:
        match step:
            case Scores():
                pass
            case Cells():
                folder.tables[step.target] = folder.fold(step.value)
            case Rows(combiner=None):
                pass
            case Rows():
                neutral = 0 if step.combiner is Combiner.SUM else -math.inf
                if step.combiner not in (Combiner.SUM, Combiner.MAX):
                    return False
                if folder.fold(step.value) != neutral:
                    return False
            case Result():
                if folder.tables.get(step.weights.buffer) != 0:
                    return False
    return True


def assuming(steps: Sequence[Step], known: Index) -> list[Step]:
    """Steps for elements at which an index is known not to be negative: without the choices that
    this decides."""
    folder = _Folder(known)
    made: list[Step] = []
    for step in steps:
        if isinstance(step, Cells):
            value = _decided(step.value, folder)
            step = replace(step, value=value)
            if value.dtype is bool_:
                folder.tables[step.target] = folder.fold(value)
        made.append(step)
    return made


def _decided(root: Expr, folder: _Folder) -> Expr:
    done: dict[int, Expr] = {}

    def visit(expr: Expr) -> Expr:
        if id(expr) not in done:
            done[id(expr)] = rebuild(expr)
        return done[id(expr)]

    def rebuild(expr: Expr) -> Expr:
        if expr.dtype is bool_ and not isinstance(expr, Literal):
            truth = folder.fold(expr)
            if truth is not None:
                return Literal.of(bool(truth), bool_)
        if isinstance(expr, Guard):
            arms = visit(expr.value), visit(expr.other)
            held = folder.mask(expr.mask)
            return replace(expr, value=arms[0], other=arms[1]) if held is None else arms[not held]
        if not isinstance(expr, Compute):
            return expr
        args = tuple(visit(arg) for arg in expr.args)
        if expr.op is Op.WHERE and isinstance(args[0], Literal):
            return args[1] if args[0].value else args[2]
        return replace(expr, args=args)

    return visit(root)


class _Folder:
    """Constants that expressions are where an index is not negative."""

    def __init__(self, known: Index) -> None:
        self.known = known
        self.tables: dict[str, Number | None] = {}

    def fold(self, expr: Expr) -> Number | None:
        match expr:
            case Literal():
                return expr.value
            case Access():
                return self.tables.get(expr.buffer)
            case Guard():
                held = self.mask(expr.mask)
                return None if held is None else self.fold(expr.value if held else expr.other)
            case Compute():
                return self._compute(expr)
            case _:
                return None

    def mask(self, mask: Mask) -> bool | None:
        """Whether a mask holds, where that is known."""
        if any(self._fails(constraint) for constraint in mask.constraints):
            return False
        return True if all(self._holds(constraint) for constraint in mask.constraints) else None

    def _holds(self, index: Index) -> bool:
        return Mask().require(index).constraints == Mask().require(self.known).constraints

    def _fails(self, index: Index) -> bool:
        return self._holds(-index - 1)

    def _compute(self, expr: Compute) -> Number | None:
        compared = _compared(expr)
        if compared is not None:
            if self._holds(compared):
                return True
            return False if self._fails(compared) else None
        args = [self.fold(arg) for arg in expr.args]
        if expr.op is Op.WHERE:
            if args[0] is None:
                return args[1] if args[1] == args[2] else None
            return args[1] if args[0] else args[2]
        return _known_result(expr.op, args, expr.dtype)


def _known_result(op: Op, args: list[Number | None], dtype: DType) -> Number | None:
    """What an op makes of constants, some unknown: numbers that are finite."""
    if op is Op.CAST and args[0] is not None and dtype.is_float:
        return float(args[0])
    if op is Op.MUL and 0 in args:
        return 0
    if op is Op.OR and dtype is bool_ and True in args:
        return True
    if op is Op.AND and dtype is bool_ and False in args:
        return False
    if op is Op.NOT and dtype is bool_ and args[0] is not None:
        return not args[0]
    if op is Op.DIV and args[0] == 0:
        return 0
    if op is Op.EXP and args[0] == -math.inf:
        return 0
    if (
        op in (Op.ADD, Op.SUB)
        and args[0] == -math.inf
        and args[1] != (math.inf if op is Op.ADD else -math.inf)
    ):
        return -math.inf
    if op is Op.ADD and args[1] == -math.inf and args[0] != math.inf:
        return -math.inf
    if op in ARITHMETIC and None not in args:
        return ARITHMETIC[op](*args)
    return None
