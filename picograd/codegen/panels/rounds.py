"""Which steps of a PANELS kernel run in one round over the columns, for a GPU.

In: `Steps`. Out: `Round`s. Called by `grid`. A GPU has no place for whole rows: each round goes
over the columns by tiles, computes what it needs of the tables again, and forgets it. A step that
needs what a round reduces waits for the next one, with one exception: a sum whose terms have the
factor exp(x - max x) need not wait for the maximum. It is kept *relative* to the maximum so far,
and multiplied by exp(old - new) whenever that grows (Milakov and Gimelshein, 2018); so the weights
and the results of a softmax take one round.

>>> from picograd.dtypes import float32
>>> from picograd.graph.index import ZERO, Var
>>> x, top = Access("x", ZERO, float32), Access("top", ZERO, float32)
>>> power = Compute(Op.EXP, (Compute(Op.SUB, (x, top), float32),), float32)
>>> row, column = Var("m", 0, 9), Var("n", 0, 9)
>>> largest = Rows("top", x, Combiner.MAX, float32, ZERO)
>>> total = Rows("total", power, Combiner.SUM, float32, ZERO)
>>> [made.relative for made in rounds(Steps(row, column, [largest, total]))]
[{'total': 'top'}]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from picograd.codegen.contraction.expressions import accesses
from picograd.codegen.panels.analyse import Cells, Result, Rows, Scores, Step, Steps
from picograd.graph.ops import Combiner, Op
from picograd.schedule.kernel import Access, Compute, Expr, Guard, Literal


@dataclass(slots=True)
class Round:
    """Steps of one round, in order; `after` are values of rows that follow it. `relative` maps
    sums and results to the maximum that they are relative to while the round runs."""

    steps: list[Step] = field(default_factory=list)
    after: list[Rows] = field(default_factory=list)
    relative: dict[str, str] = field(default_factory=dict)

    @property
    def scores(self) -> list[Scores]:
        return [step for step in self.steps if isinstance(step, Scores)]

    @property
    def results(self) -> list[Result]:
        return [step for step in self.steps if isinstance(step, Result)]

    @property
    def maxima(self) -> set[str]:
        """The maxima that something is relative to."""
        return set(self.relative.values())


def rounds(steps: Steps) -> list[Round]:
    """The rounds of all reductions and results for the rows."""
    return _Planner(steps).rounds()


def columns_round(steps: Steps) -> Round | None:
    """What the results for the columns need: values of rows are known by then."""
    results = [step for step in steps.steps if isinstance(step, Result) and step.across]
    return Round(_with_tables(steps.steps, results)) if results else None


def is_reduction(step: Step) -> bool:
    """Whether a step combines all columns of a row."""
    if isinstance(step, Rows):
        return step.combiner is not None
    return isinstance(step, Result) and not step.across


def reads(step: Step) -> set[str]:
    """The memories and values that a step's columns and rows come from."""
    match step:
        case Scores():
            return set()
        case Result():
            return {step.weights.buffer}
        case _:
            return {access.buffer for access in accesses(step.value)}


def _with_tables(steps: Sequence[Step], wanted: Sequence[Step]) -> list[Step]:
    """The wanted steps with the tables that they need, in order."""
    names = set().union(*(reads(step) for step in wanted))
    made: list[Step] = []
    for step in reversed(steps):
        if isinstance(step, Scores | Cells):
            if step.target in names:
                names |= reads(step)
                made.append(step)
        elif any(step is one for one in wanted):
            made.append(step)
    return made[::-1]


class _Planner:
    """Finds the round of each step. `needs` maps tables and values of rows to the reductions that
    they depend on, `level` the reductions to their rounds."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.needs: dict[str, frozenset[str]] = {}
        self.level: dict[str, int] = {}
        self.maxima = {
            step.target: step
            for step in steps.steps
            if isinstance(step, Rows) and step.combiner is Combiner.MAX
        }

    def rounds(self) -> list[Round]:
        wanted: list[list[Step]] = []
        after: dict[int, list[Rows]] = {}
        relative: dict[str, str] = {}
        for step in self.steps.steps:
            needs = frozenset[str]().union(*(self.needs.get(name, ()) for name in reads(step)))
            if not is_reduction(step):
                self.needs[step.target] = needs
                if isinstance(step, Rows):
                    last = max((self.level[name] for name in needs), default=0)
                    after.setdefault(last, []).append(step)
                continue
            level = max((self.level[name] + 1 for name in needs), default=0)
            maximum = self._maximum(step, needs)
            if maximum is not None:
                level -= 1
                relative[step.target] = maximum
            self.level[step.target] = level
            if isinstance(step, Rows):
                self.needs[step.target] = frozenset({step.target})
            wanted += [[] for _ in range(level + 1 - len(wanted))]
            wanted[level].append(step)
        return [
            Round(
                _with_tables(self.steps.steps, steps),
                after.get(number, []),
                {step.target: relative[step.target] for step in steps if step.target in relative},
            )
            for number, steps in enumerate(wanted)
        ]

    def _maximum(self, step: Step, needs: frozenset[str]) -> str | None:
        """The one maximum of the latest round that a sum can be relative to."""
        latest = max((self.level[name] for name in needs), default=0)
        (*names,) = (name for name in needs if self.level[name] == latest)
        if len(names) != 1 or names[0] not in self.maxima:
            return None
        if isinstance(step, Rows) and step.combiner is not Combiner.SUM:
            return None
        value = step.weights if isinstance(step, Result) else step.value  # type: ignore[union-attr]
        kinds = _Kinds(self.maxima[names[0]], self.needs, self.steps)
        return names[0] if kinds.of(value) is Kind.RELATIVE else None


class Kind(Enum):
    """How an expression depends on a maximum."""

    FREE = auto()  # not at all
    ZERO = auto()  # it is zero
    RELATIVE = auto()  # as exp(x - maximum) times something that is free
    OTHER = auto()


class _Kinds:
    """How expressions depend on one maximum."""

    def __init__(self, maximum: Rows, needs: Mapping[str, frozenset[str]], steps: Steps) -> None:
        self.maximum, self.needs = maximum, needs
        self.tables: dict[str, Kind] = {}
        for step in steps.steps:
            if isinstance(step, Cells):
                self.tables[step.target] = self.of(step.value)

    def of(self, expr: Expr) -> Kind:
        match expr:
            case Literal(value=0):
                return Kind.ZERO
            case Access(buffer=name):
                if name in self.tables:
                    return self.tables[name]
                own = self.maximum.target
                return Kind.OTHER if own in self.needs.get(name, (name,)) else Kind.FREE
            case Guard():
                return _either(self.of(expr.value), self.of(expr.other))
            case Compute():
                return self._compute(expr)
            case _:
                return Kind.FREE

    def _compute(self, expr: Compute) -> Kind:
        kinds = [self.of(arg) for arg in expr.args]
        if self._is_power(expr):
            return Kind.RELATIVE
        free = [kind in (Kind.FREE, Kind.ZERO) for kind in kinds]
        if all(free):
            return Kind.FREE
        first = kinds[0] is Kind.RELATIVE
        match expr.op:
            case Op.NEG:
                return kinds[0]
            case Op.CAST if expr.dtype.is_float:
                return kinds[0]
            case Op.MUL if (first and free[1]) or (free[0] and kinds[1] is Kind.RELATIVE):
                return Kind.RELATIVE
            case Op.DIV if first and free[1]:
                return Kind.RELATIVE
            case Op.ADD | Op.SUB:
                return Kind.RELATIVE if _either(*kinds) is Kind.RELATIVE else Kind.OTHER
            case Op.WHERE if free[0]:
                return _either(kinds[1], kinds[2])
            case _:
                return Kind.OTHER

    def _is_power(self, expr: Compute) -> bool:
        """exp(x - maximum), of the x of which it is the maximum."""
        if expr.op is not Op.EXP or not isinstance(expr.args[0], Compute):
            return False
        difference = expr.args[0]
        if difference.op is not Op.SUB:
            return False
        value, largest = difference.args
        if not isinstance(largest, Access):
            return False
        return largest.buffer == self.maximum.target and value == self.maximum.value


def _either(first: Kind, second: Kind) -> Kind:
    """The kind of a value that is one of two, or their sum."""
    if first is second:
        return first
    if {first, second} == {Kind.ZERO, Kind.RELATIVE}:
        return Kind.RELATIVE
    return Kind.FREE if {first, second} == {Kind.ZERO, Kind.FREE} else Kind.OTHER
