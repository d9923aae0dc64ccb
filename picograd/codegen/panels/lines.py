"""The lines that a thread of a GPU's block has: where they are, and what is known of each.

In: a `Scene`, a way to multiply tiles, the side of a block. Out: `Lines`, made by `block` and read
by `tile`.
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.contraction.expressions import accesses
from picograd.codegen.expressions import cast, combine
from picograd.codegen.loops import Exchange, Let, Statement, Value
from picograd.codegen.panels.analyse import Cells, Rows
from picograd.codegen.panels.rounds import Round
from picograd.codegen.panels.scene import Scene, Side, Statements
from picograd.codegen.panels.threads import ThreadTiles
from picograd.codegen.panels.warps import WarpTiles
from picograd.codegen.panels.wide import inverse_of
from picograd.graph.index import Index, Var
from picograd.graph.mask import Mask
from picograd.graph.ops import Combiner
from picograd.schedule.kernel import Access

ByLine = dict[int, Value]
Tiles = ThreadTiles | WarpTiles


class Lines:
    """`places`: the other axis; `across`: whether lines are columns. `values` are those of lines
    that are in registers."""

    def __init__(self, scene: Scene, tiles: Tiles, side: Side, places: Var, across: bool) -> None:
        self.scene, self.tiles, self.side = scene, tiles, side
        self.places, self.across = places, across
        self.positions: list[Index] = []
        self.values: dict[str, ByLine] = {}

    def named(self) -> Statements:
        """Names for the thread's lines."""
        body: list[Let] = []
        for number in range(self.tiles.high):
            let, position = self.scene.name("line", self.side.start + self.tiles.line(number))
            body.append(let)
            self.positions.append(position)
        return tuple(body)

    def single_loads(self, made: list[Round], var: Var, other: Var) -> list[Access]:
        """Loads that vary with one axis of the tables alone, at one place of their memory."""
        found: dict[str, set[Access]] = {}
        for one in made:
            for step in one.steps:
                if isinstance(step, Cells | Rows):
                    for access in accesses(step.value):
                        found.setdefault(access.buffer, set()).add(access)
        single = [next(iter(group)) for group in found.values() if len(group) == 1]
        return sorted(
            (
                access
                for access in single
                if other not in access.index.atoms() | access.mask.atoms()
                and var in access.index.atoms()
                and self._is_loaded(access)
            ),
            key=lambda access: access.buffer,
        )

    def value(
        self, access: Access, var: Var, position: Index, edge: Mask
    ) -> tuple[Statements, Value]:
        """What such a load finds at a position, or its inverse."""
        memory = inverse_of(access.buffer)
        if memory is None:
            return self.scene.evaluate(access, {var: position}, edge)
        source = replace(access, buffer=memory, dtype=self.scene.memories[memory].dtype)
        lets, value = self.scene.evaluate(source, {var: position}, edge)
        more, value = self.tiles.inverse(cast(value, access.dtype))
        return (*lets, *more), value

    def _is_loaded(self, access: Access) -> bool:
        """Whether a load finds its value in memory: a row's own are there for the columns only."""
        steps = self.scene.steps
        return access.buffer not in steps.tables and (
            self.across or access.buffer not in steps.rows
        )

    def combined(self, combiner: Combiner, value: Value) -> tuple[Statements, Value]:
        """The combination of the values of all threads that have a line, for all of them."""
        body: list[Statement] = []
        for distance in self.tiles.distances:
            let, other = self.scene.let("other", Exchange(value, distance))
            named, value = self.scene.let("both", combine(combiner, value, other))
            body += [let, named]
        return tuple(body), value

    def as_stored(self, step: Rows, value: Value) -> Value:
        """A maximum rounded to what a later kernel will read: powers there are relative to it."""
        memory = self.scene.memories.get(step.target)
        if memory is None:
            return value
        return cast(cast(value, memory.dtype), value.dtype)

    def known(self, number: int) -> dict[str, Value]:
        """The values of a line."""
        return {name: values[number] for name, values in self.values.items()}
