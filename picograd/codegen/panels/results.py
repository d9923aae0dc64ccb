"""Results of a GPU's block on their way out: through shared memory, neighbours side by side.

In: a thread's sums of a result, as `threads` or `warps` has them. Out: the statements that finish
them. Called by `block`, behind all tiles, when shared memory is free. Each thread puts its sums
there, and what the stages that follow need of its lines; then it takes up to 16 bytes of neighbours
of a line, applies the stages, and stores them together.

>>> [part(extent) for extent in (20, 64, 200)]
[[(0, 20)], [(0, 64)], [(0, 64), (64, 64), (128, 64), (192, 8)]]
"""

from __future__ import annotations

from math import gcd

from picograd.codegen.contraction.expressions import accesses
from picograd.codegen.contraction.frame import guarded, inside
from picograd.codegen.contraction.staging import BYTES
from picograd.codegen.contraction.tiles import ceil_div, round_up
from picograd.codegen.expressions import cast
from picograd.codegen.loops import Barrier, For, If, Load, Memory, Statement, Store, Value
from picograd.codegen.panels.analyse import Result
from picograd.codegen.panels.lines import Lines, Tiles
from picograd.codegen.panels.scene import Elements, Scene, Statements
from picograd.codegen.wide import best_width, widened
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.graph.mask import EVERYWHERE, Mask

PART = 64  # positions of an axis at a time
PAD = 8  # elements between lines: pairs of four lines lie in different banks


def part(extent: int) -> list[tuple[int, int]]:
    """The first position and the size of each part of an axis."""
    return [(start, min(PART, extent - start)) for start in range(0, extent, PART)]


class Results:
    """Finishes the results of a block, one after the other."""

    def __init__(self, scene: Scene, tiles: Tiles, lines: Lines) -> None:
        self.scene, self.tiles, self.lines = scene, tiles, lines

    def finish(self, step: Result, sums: Elements) -> Statements:
        """The stages that follow a sum."""
        body: list[Statement] = []
        used, self.scene.used = self.scene.used, 0
        known, kept = self._line_values(step)
        for start, extent in part(step.axis.high + 1):
            memory = self.scene.shared(
                f"sums_{step.target}_{start}_",
                step.accumulator,
                self.tiles.height * _pitch(extent),
            )
            self.scene.used -= round_up(memory.size * memory.dtype.itemsize, BYTES)
            body += [Barrier(), *(known if start == 0 else ())]
            body += self._put(memory, step, start, sums)
            body += [Barrier(), self._take(memory, step, start, extent, kept)]
        self.scene.used = used
        return tuple(body)

    def _line_values(self, step: Result) -> tuple[Statements, dict[str, Memory]]:
        """Shared memory for the lines' values that the stages read, by name."""
        wanted = {a.buffer for stage in step.finish for a in accesses(stage.value)}
        body: list[Statement] = []
        kept: dict[str, Memory] = {}
        first = Mask().require(-self.tiles.place(0))
        for name, values in sorted(self.lines.values.items()):
            if name not in wanted:
                continue
            memory = self.scene.shared(f"of_{name}", values[0].dtype, self.tiles.height)
            kept[name] = memory
            stores = [Store(memory, self.tiles.line(i), value) for i, value in values.items()]
            body.append(If(first, tuple(stores)))
        return tuple(body), kept

    def _put(self, memory: Memory, step: Result, start: int, sums: Elements) -> Statements:
        """A thread's sums of a part of the axis, neighbours together."""
        tiles, extent = self.tiles, step.axis.high + 1
        together, each = tiles.axis_together(extent), tiles.axis_count(PART)
        own = self.scene.registers(f"together{together}_", memory.dtype, together)
        near = of(Var("near", 0, together - 1, together)) if together > 1 else ZERO
        first = each * (start // PART)
        pitch = _pitch(min(PART, extent - start))
        body: list[Statement] = []
        for i in range(tiles.high):
            for j in range(first, min(first + each, tiles.axis_count(extent)), together):
                for at in range(together):
                    body.append(Store(own, constant(at), sums[i, j + at]))
                place = tiles.line(i) * pitch + tiles.axis_place(j, extent) - start
                body.append(Store(memory, place + near, Load(own, near, together)))
        return tuple(body)

    def _take(
        self, memory: Memory, step: Result, start: int, extent: int, kept: dict[str, Memory]
    ) -> For:
        """The stages at the elements in shared memory, some neighbours of each thread at a time."""
        scene, width = self.scene, gcd(BYTES // step.accumulator.itemsize, extent)
        while True:
            near = Var("near", 0, width - 1)
            points = self.tiles.height * extent // width
            turn = Var(scene.names.fresh("turn"), 0, ceil_div(points, scene.threads) - 1)
            let, point = scene.name("point", of(turn) * scene.threads + scene.thread)
            line, group = point // (extent // width), point % (extent // width)
            named, position = scene.name("line", self.lines.side.start + line)
            place = group * width + of(near)
            total = Load(memory, line * _pitch(extent) + place)
            known: dict[str, Value] = {name: Load(one, line) for name, one in kept.items()}
            known[step.target] = cast(total, step.dtype)
            body = self._stages(step, position, place + start, known)
            if best_width(body, near) == width:
                break
            width //= 2
        edge = inside(point, points) & inside(position, self.lines.side.extent)
        inner = (let, named, *guarded(edge, widened(body, near, ZERO, width)))
        return For(turn, ZERO, constant(turn.high + 1), inner)

    def _stages(
        self, step: Result, position: Index, place: Index, known: dict[str, Value]
    ) -> Statements:
        """All stages at one element."""
        scene, body = self.scene, list[Statement]()
        at = {self.lines.side.var: position, step.axis: place}
        for stage in step.finish:
            lets, value = scene.evaluate(stage.value, at, EVERYWHERE, known)
            named, value = scene.let("finished", value)
            body += [*lets, named]
            memory = scene.memories.get(stage.target)
            if memory is not None:
                index = stage.store.substitute({**scene.batch, **at})
                body.append(Store(memory, index, cast(value, memory.dtype)))
            known[stage.target] = value
        return tuple(body)


def _pitch(extent: int) -> int:
    """Elements from one line to the next."""
    return round_up(extent, 32) + PAD
