"""What a thread of a GPU's block does with one tile of a table.

In: the thread's `Lines`, a round, and the side of the tile. Out: the body of the loop over tiles.
Called by `block`.

Each thread has the same elements of every tile: their values, the partial reductions and the sums
of results live in its registers. What is relative to a maximum (see `rounds`) is multiplied by
exp(old - new) when a tile raises it. A maximum of minus infinity, where nothing has been seen yet
but what a mask leaves out, counts as zero in differences: they are minus infinity then, not NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import product

from picograd.codegen.expressions import cast, combine, identity
from picograd.codegen.loops import Alu, Literal, Predicate, Ref, Statement, Value
from picograd.codegen.panels.analyse import Cells, Result, Rows, Scores
from picograd.codegen.panels.lines import ByLine, Lines, Tiles
from picograd.codegen.panels.rounds import Round
from picograd.codegen.panels.scene import Elements, Place, Scene, Side, Statements, zero
from picograd.dtypes import bool_
from picograd.graph.index import Index
from picograd.graph.ops import Combiner, Op
from picograd.schedule.kernel import Compute, Expr


@dataclass(slots=True)
class State:
    """What a round carries from tile to tile, as it is at the current statement: parts of
    reductions by line, sums of results by element. `start`: what their names begin with."""

    partial: dict[str, dict[int, Value]] = field(default_factory=dict)
    sums: dict[str, Elements] = field(default_factory=dict)
    start: dict[str, Value] = field(default_factory=dict)

    @staticmethod
    def of(scene: Scene, tiles: Tiles, one: Round) -> State:
        """Before the first tile."""
        state = State()
        for step in one.steps:
            if isinstance(step, Rows) and step.combiner is not None:
                start = identity(step.combiner, step.accumulator)
                state.partial[step.target] = dict.fromkeys(range(tiles.high), start)
            elif isinstance(step, Result):
                count = tiles.axis_count(step.axis.high + 1)
                places = product(range(tiles.high), range(count))
                state.sums[step.target] = dict.fromkeys(places, zero(step.accumulator))
        return state

    def renamed(self, scene: Scene) -> State:
        """Fresh names for everything, which begin with its values."""
        state = State()

        def renamed(target: str, value: Value) -> Value:
            name = scene.names.fresh(target)
            state.start[name] = value
            return Ref(name, value.dtype)

        for target, parts in self.partial.items():
            state.partial[target] = {i: renamed(target, value) for i, value in parts.items()}
        for target, sums in self.sums.items():
            state.sums[target] = {at: renamed(target, value) for at, value in sums.items()}
        return state

    def copy(self) -> State:
        partial = {name: dict(values) for name, values in self.partial.items()}
        sums = {name: dict(values) for name, values in self.sums.items()}
        return State(partial, sums, self.start)

    def all(self) -> list[Value]:
        """Everything, in a fixed order."""
        groups = (*self.partial.values(), *self.sums.values())
        return [value for group in groups for value in group.values()]


class Tile:
    """Builds the body of the loop over tiles of one round."""

    def __init__(self, lines: Lines, one: Round, places: Side, state: State) -> None:
        self.lines, self.one, self.places, self.state = lines, one, places, state
        self.scene, self.tiles = lines.scene, lines.tiles
        self.positions: list[Index] = []  # of a thread's places
        self.at_place: dict[str, ByLine] = {}
        self.tables: dict[str, Elements] = {}
        self.maxima: dict[str, ByLine] = {}  # that differences are taken from
        self.exponents: dict[Value, Value] = {}  # of what powers are relative to

    def body(self) -> Statements:
        lines, one, places = self.lines, self.one, self.places
        body = [*self._places()]
        for step in one.steps:
            match step:
                case Scores():
                    made, values = self.tiles.scores(step, lines.side, places, lines.across)
                    self.tables[step.target] = values
                    body += made
                case Cells():
                    made, self.tables[step.target] = self._elements(step)
                    body += made
                case Rows():
                    body += self._reduce(step)
                case Result():
                    made, weights = self._weights(step)
                    sums = self.state.sums[step.target]
                    more, sums = self.tiles.product(step, weights, sums, places, lines.across)
                    self.state.sums[step.target] = sums
                    body += [*made, *more]
        return tuple(body)

    def _places(self) -> Statements:
        """Names of the thread's places, and the values that vary with them alone."""
        scene, body = self.scene, list[Statement]()
        for number in range(self.tiles.wide):
            named, position = scene.name("place", self.places.start + self.tiles.place(number))
            body.append(named)
            self.positions.append(position)
        for access in self.lines.single_loads([self.one], self.places.var, self.lines.side.var):
            values = self.at_place[access.buffer] = {}
            for number, position in enumerate(self.positions):
                edge = self.places.edge(position)
                lets, value = self.lines.value(access, self.places.var, position, edge)
                named, values[number] = scene.let(access.buffer, value)
                body += [*lets, named]
        return tuple(body)

    def _own(self) -> list[Place]:
        return [(i, j) for i in range(self.tiles.high) for j in range(self.tiles.wide)]

    def _elements(self, step: Cells | Rows) -> tuple[Statements, Elements]:
        """A step's value at each element of the thread."""
        lines, body, made = self.lines, list[Statement](), Elements()
        for i, j in self._own():
            line, place = lines.positions[i], self.positions[j]
            known = lines.known(i)
            known |= {name: values[j] for name, values in self.at_place.items()}
            known |= {name: values[i] for name, values in self.maxima.items()}
            known |= {name: values[i, j] for name, values in self.tables.items()}
            at = {lines.side.var: line, self.places.var: place}
            edge = lines.side.edge(line) & self.places.edge(place)
            exponent = _exponent(step.value)
            if exponent is None:
                lets, value = self.scene.evaluate(step.value, at, edge, known)
            else:
                parts: list[Value] = []
                lets = ()
                for part in exponent:
                    more, value = self.scene.evaluate(part, at, edge, known)
                    lets, parts = (*lets, *more), [*parts, value]
                more, value = self.tiles.power(parts, self.exponents)
                lets += more
            body += lets
            let, made[i, j] = self.scene.let("cell", value)
            body.append(let)
        return tuple(body), made

    def _weights(self, step: Result) -> tuple[Statements, Elements]:
        """The weights of a product: none beyond the last place."""
        body, made = list[Statement](), Elements()
        for (i, j), value in self.tables[step.weights.buffer].items():
            lets, made[i, j] = self._inside(j, value, zero(value.dtype))
            body += lets
        return tuple(body), made

    def _inside(self, number: int, value: Value, other: Literal) -> tuple[Statements, Value]:
        """A value at a place that exists."""
        edge = self.places.edge(self.positions[number])
        if edge.always:
            return (), value
        let, value = self.scene.let(
            "cell", Alu(Op.WHERE, (Predicate(edge), value, other), value.dtype)
        )
        return (let,), value

    def _reduce(self, step: Rows) -> Statements:
        """The thread's part of a reduction."""
        assert step.combiner is not None
        made, values = self._elements(step)
        body, state = list(made), self.state.partial[step.target]
        start = identity(step.combiner, step.accumulator)
        tile: ByLine = {}
        for (i, j), value in values.items():
            lets, value = self._inside(j, cast(value, step.accumulator), start)
            body += lets
            total = value if i not in tile else combine(step.combiner, tile[i], value)
            let, tile[i] = self.scene.let("part", total)
            body.append(let)
        for i, value in tile.items():
            if step.target in self.one.maxima:
                body += self._raise(step, i, value)
            else:
                let, state[i] = self.scene.let("part", combine(step.combiner, state[i], value))
                body.append(let)
        return tuple(body)

    def _raise(self, step: Rows, i: int, value: Value) -> Statements:
        """A line's maximum with that of a tile; what is relative to it follows."""
        scene, old = self.scene, self.state.partial[step.target][i]
        made, value = self.lines.combined(Combiner.MAX, value)
        larger = self.lines.as_stored(step, combine(Combiner.MAX, old, value))
        let, new = scene.let("maximum", larger)
        lowest = Literal.of(-math.inf, new.dtype)
        nothing = Alu(Op.EQ, (new, lowest), bool_)
        named, base = scene.let("base", Alu(Op.WHERE, (nothing, zero(new.dtype), new), new.dtype))
        grown = Alu(Op.EXP, (Alu(Op.SUB, (old, base), new.dtype),), new.dtype)
        also, factor = scene.let("factor", grown)
        body: list[Statement] = [*made, let, named, also]
        self.state.partial[step.target][i] = new
        self.maxima.setdefault(step.target, {})[i] = base
        for target, maximum in self.one.relative.items():
            if maximum != step.target:
                continue
            body += self._scale(target, i, factor)
        return tuple(body)

    def _scale(self, target: str, line: int, factor: Value) -> Statements:
        """Multiply what a line has of a sum or a result so far."""
        body: list[Statement] = []

        def scaled(value: Value) -> Value:
            value = Alu(Op.MUL, (value, cast(factor, value.dtype)), value.dtype)
            let, value = self.scene.let("scaled", value)
            body.append(let)
            return value

        if target in self.state.partial:
            own = self.state.partial[target]
            own[line] = scaled(own[line])
        sums = self.state.sums.get(target, {})
        for place, value in sums.items():
            if place[0] == line:
                sums[place] = scaled(value)
        return tuple(body)


def _exponent(expr: Expr) -> tuple[Expr, ...] | None:
    """The x of exp(x), or the x and y of exp(x - y)."""
    if not isinstance(expr, Compute) or expr.op is not Op.EXP:
        return None
    (value,) = expr.args
    if isinstance(value, Compute) and value.op is Op.SUB:
        return value.args
    return (value,)
