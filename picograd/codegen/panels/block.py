"""What a block of a GPU does with its lines of a table: the loop over tiles of places.

In: a `Scene`, a way to multiply tiles, the rounds of a phase. Out: the statements of its threads.
Called by `grid`, which says what lines and places are; `tile` makes the loop's body.
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.contraction.tiles import ceil_div
from picograd.codegen.expressions import cast
from picograd.codegen.loops import (
    Alu,
    Carried,
    For,
    If,
    IndexValue,
    Let,
    Ref,
    Statement,
    Store,
    Value,
)
from picograd.codegen.panels.analyse import Result, Rows
from picograd.codegen.panels.lines import Lines, Tiles
from picograd.codegen.panels.results import Results
from picograd.codegen.panels.rounds import Round
from picograd.codegen.panels.scene import Elements, Scene, Side, Statements
from picograd.codegen.panels.skip import Band, assuming
from picograd.codegen.panels.tile import State, Tile
from picograd.dtypes import int64
from picograd.graph.index import Index, Var, constant, of
from picograd.graph.mask import Mask
from picograd.graph.ops import Combiner, Op


class Block:
    """Builds the statements of the threads of a block."""

    def __init__(self, scene: Scene, tiles: Tiles, lines: Lines, band: Band) -> None:
        self.scene, self.tiles, self.lines, self.band = scene, tiles, lines, band
        self.sums: dict[str, Elements] = {}  # results
        self.results: list[Result] = []

    def body(self, made: list[Round]) -> Statements:
        """All rounds, then what follows the results."""
        lines, body = self.lines, list(self.lines.named())
        scores = {step.target: step for one in made for step in one.scores}
        body += self.tiles.open(list(scores.values()), lines.side, lines.across)
        body += self._hoisted(made)
        for one in made:
            body += self._round(one)
        results = Results(self.scene, self.tiles, lines)
        for result in self.results:
            body += results.finish(result, self.sums[result.target])
        return tuple(body)

    def _hoisted(self, made: list[Round]) -> Statements:
        """Values of lines, once for all tiles."""
        body: list[Statement] = []
        lines, side = self.lines, self.lines.side
        for access in lines.single_loads(made, side.var, lines.places):
            values = lines.values[access.buffer] = {}
            for number, position in enumerate(lines.positions):
                lets, value = lines.value(access, side.var, position, side.edge(position))
                named, values[number] = self.scene.let(access.buffer, value)
                body += [*lets, named]
        return tuple(body)

    # --- one round ------------------------------------------------------------------------------

    def _round(self, one: Round) -> Statements:
        """The loops over a round's tiles: where a mask leaves out nothing it is not asked."""
        tiles, place = self.tiles, self.lines.places
        limits, begin, end = self._limits(ceil_div(place.high + 1, tiles.width))
        work = one.scores, one.results, place
        body = [*limits, *tiles.first(*work, begin)]
        state = State.of(self.scene, tiles, one)
        named, parts = self._parts(one, begin, end)
        body += named
        for part, first, last in parts:
            state = state.renamed(self.scene)
            loop, state = self._loop(part, state, (first, last), end)
            body.append(loop)
        self.sums |= state.sums
        self.results += one.results
        return (*body, *self._reduced(one, state))

    def _loop(
        self, one: Round, state: State, span: tuple[Index, Index], end: Index
    ) -> tuple[For, State]:
        """The loop over some tiles, and what it leaves. `end` is behind the round's last tile."""
        scene, tiles, place = self.scene, self.tiles, self.lines.places
        tile = Var(scene.names.fresh("tile"), 0, ceil_div(place.high + 1, tiles.width) - 1)
        before = state.copy()
        body = tiles.begin(one.scores, one.results, place, of(tile), end)
        body += Tile(self.lines, one, Side(place, of(tile) * tiles.width), state).body()
        carried = [
            Carried(start.name, start.dtype, state.start[start.name], following)
            for start, following in zip(before.all(), state.all(), strict=True)
            if isinstance(start, Ref)
        ]
        return For(tile, *span, body, carried=tuple(carried)), before

    def _parts(
        self, one: Round, begin: Index, end: Index
    ) -> tuple[Statements, list[tuple[Round, Index, Index]]]:
        """The tiles of a round in two parts, in one of which no column is beyond the band."""
        band, lines, width = self.band, self.lines, self.tiles.width
        if band.high is None:
            return (), [(one, begin, end)]
        steps = self.scene.steps
        known = of(steps.row) + band.high - of(steps.column)
        inside = replace(one, steps=assuming(one.steps, known))
        high, last = self.scene.index(band.high), ceil_div(lines.places.high + 1, width)
        if lines.across:  # the rows from the last column on
            cut = lines.side.start + (self.tiles.height - 1) - high + (width - 1)
        else:  # the columns up to the first row's
            cut = lines.side.start + high + 1
        named, cut = self.scene.limited("cut", cut, last * width + width - 1)
        cut = cut // width
        between, cut = self._between(cut, begin, end, last)
        parts = [(inside, begin, cut), (one, cut, end)]
        if lines.across:
            parts = [(one, begin, cut), (inside, cut, end)]
        return (*named, *between), parts

    def _between(
        self, tile: Index, begin: Index, end: Index, last: int
    ) -> tuple[Statements, Index]:
        """The number of a tile, but not before `begin` or behind `end`."""
        value: Value = IndexValue(tile, int64)
        value = Alu(Op.MINIMUM, (value, IndexValue(end, int64)), int64)
        value = Alu(Op.MAXIMUM, (value, IndexValue(begin, int64)), int64)
        var = Var(self.scene.names.fresh("cut"), 0, last)
        return (Let(var.name, value, var),), of(var)

    def _limits(self, count: int) -> tuple[Statements, Index, Index]:
        """The first tile that a block needs, and the one after the last."""
        scene, width, top = self.scene, self.tiles.width, self.lines.places.high
        first, final = self.lines.side.start, self.lines.side.start + (self.tiles.height - 1)
        low, high = self.band.low, self.band.high
        if self.lines.across:  # rows from column - high to column - low
            low, high = _negative(high), _negative(low)
        statements: Statements = ()
        begin, end = constant(0), constant(count)
        if low is not None:
            statements, begin = scene.limited("least", first + scene.index(low), top)
            begin = begin // width
        if high is not None:
            named, end = scene.limited("most", final + scene.index(high), top)
            statements += named
            end = end // width + 1
        return statements, begin, end

    def _reduced(self, one: Round, state: State) -> Statements:
        """Reductions of all threads that share a line, and the values that follow them."""
        lines, body = self.lines, list[Statement]()
        for step in one.steps:
            if not isinstance(step, Rows) or step.combiner is None:
                continue
            for number, value in state.partial[step.target].items():
                if step.target not in one.maxima:
                    lets, value = self.lines.combined(step.combiner, value)
                    body += lets
                body += self._row(step, number, value)
        for step in one.after:
            for number, position in enumerate(lines.positions):
                at, known = {lines.side.var: position}, lines.known(number)
                edge = lines.side.edge(position)
                lets, value = self.scene.evaluate(step.value, at, edge, known)
                body += [*lets, *self._row(step, number, value)]
        return tuple(body)

    def _row(self, step: Rows, number: int, value: Value) -> Statements:
        """Name a value of a line, and store it where it is wanted."""
        scene, lines = self.scene, self.lines
        position = lines.positions[number]
        value = cast(value, scene.steps.rows[step.target])
        if step.combiner in (Combiner.MAX, Combiner.MIN):
            value = lines.as_stored(step, value)
        let, value = scene.let(step.target, value)
        lines.values.setdefault(step.target, {})[number] = value
        memory = scene.memories.get(step.target)
        index = step.store.substitute({**scene.batch, lines.side.var: position})
        if memory is None and step.target in scene.lines:
            memory = scene.lines[step.target]
            index = scene.batch_number * lines.side.extent + position
        if memory is None:
            return (let,)
        first = Mask().require(-self.tiles.place(0))
        store = Store(memory, index, cast(value, memory.dtype))
        return (let, If(lines.side.edge(position) & first, (store,)))


def _negative(index: Index | None) -> Index | None:
    return None if index is None else -index
