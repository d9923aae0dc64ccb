"""Lower a PANELS kernel to a GPU: attention, forward and backward, its scores in registers.

In: a PANELS kernel. Out: a loop IR function of one or two phases over blocks of threads, or None
for a kernel of another form. `codegen.cuda.render` calls it. The loops of the first phase:

    block: a batch element's block of rows
      for each round:                          `rounds`: mostly one
        for each tile of columns:              those that a mask leaves out altogether are skipped
          scores                               `threads`: products of the rows with the columns
          values of tables, reductions         in registers, each thread its own elements
          results for the rows                 sums += weights * values
        reductions of all threads of a row
      elementwise stages of the results

and of the second one, for results for the columns, the same with rows and columns exchanged, where
there is nothing to reduce. It computes the tables again; values of rows that it needs come from the
first through memory. Nobody adds to memory what others add to: every result is one sum in a fixed
order.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from picograd.codegen.contraction.expressions import accesses
from picograd.codegen.contraction.tiles import ceil_div
from picograd.codegen.loops import For, Function, Kind, Phase
from picograd.codegen.panels.analyse import Result, Rows, Scores, Steps, analyse
from picograd.codegen.panels.block import Block
from picograd.codegen.panels.lines import Lines
from picograd.codegen.panels.rounds import Round, columns_round, reads, rounds
from picograd.codegen.panels.scene import Scene, Side, Statements
from picograd.codegen.panels.skip import find_band
from picograd.codegen.panels.threads import THREADS, ThreadTiles
from picograd.codegen.panels.wide import widened
from picograd.dtypes import DType
from picograd.graph.index import ZERO, Var, constant, delinearize, of
from picograd.schedule.kernel import Kernel

WIDEST = 256  # positions of a result's axis
BLOCKS = 132  # smaller blocks are taken where there would be fewer than this


def lower_panels_to_grid(kernel: Kernel) -> Function | None:
    """The function of an attention kernel."""
    found = analyse(kernel)
    if found is None:
        return None
    steps = widened(found)
    dtype = _accumulator(steps)
    if dtype is None or _axis(steps.steps) > WIDEST:
        return None
    return _GridPanels(kernel, steps, dtype).function()


def _accumulator(steps: Steps) -> DType | None:
    """The type of all sums of products."""
    types = {step.accumulator for step in steps.steps if isinstance(step, Scores | Result)}
    if len(types) != 1:
        return None
    (dtype,) = types
    return dtype if dtype.is_float and dtype.itemsize >= 4 else None


def _axis(steps: Iterable[object]) -> int:
    """The longest axis of a result."""
    return max((step.axis.high + 1 for step in steps if isinstance(step, Result)), default=1)


class _GridPanels:
    """Builds the phases of one kernel."""

    def __init__(self, kernel: Kernel, steps: Steps, dtype: DType) -> None:
        self.kernel, self.steps, self.dtype = kernel, steps, dtype
        self.scene = Scene(kernel, steps, THREADS)
        self.band = find_band(steps)

    def function(self) -> Function:
        phases: list[Phase] = []
        made, second = rounds(self.steps), columns_round(self.steps)
        if second is not None:
            self._keep_lines(second)
        if made:
            phases.append(self._phase(made, across=False))
        if second is not None:
            phases.append(self._phase([second], across=True))
        kernel, scene = self.kernel, self.scene
        memories = tuple(scene.memories.values())
        return Function(kernel.name, memories, kernel.scalars, tuple(phases), scene.workspace)

    def _keep_lines(self, second: Round) -> None:
        """Values of rows that only the second phase's workspace brings there."""
        used = set().union(*(reads(step) for step in second.steps))
        for step in second.steps:
            if isinstance(step, Result):
                used |= {a.buffer for stage in step.finish for a in accesses(stage.value)}
        for step in self.steps.steps:
            if isinstance(step, Rows) and step.target in used - self.scene.memories.keys():
                self.scene.keep(step.target, self.steps.rows[step.target])

    def _phase(self, made: list[Round], across: bool) -> Phase:
        """A block for each batch element and block of rows (`across`: of columns)."""
        scene, steps = self.scene, self.steps
        line, place = (steps.column, steps.row) if across else (steps.row, steps.column)
        height, width = self._tile(line)
        tiles = ThreadTiles(scene, self.dtype, height, width, self._widest(made), across)
        blocks = ceil_div(line.high + 1, height)
        block = Var("block_number", 0, scene.batches * blocks - 1)
        batch, scene.batch_number = scene.name("batch", of(block) // blocks)
        number = of(block) % blocks
        if self.band.high is not None and not across:  # long ones first
            number = constant(blocks - 1) - number
        first, start = scene.name("first", number * height)
        sizes = [var.high + 1 for var in self.kernel.domain]
        places = delinearize(scene.batch_number, sizes)
        scene.batch = dict(zip(self.kernel.domain, places, strict=True))
        lines = Lines(scene, tiles, Side(line, start), place, across)
        body: Statements = (batch, first, *Block(scene, tiles, lines, self.band).body(made))
        inner = For(scene.thread_variable, ZERO, constant(scene.threads), body, kind=Kind.THREAD)
        outer = For(block, ZERO, constant(block.high + 1), (inner,), kind=Kind.BLOCK)
        return Phase(None, constant(1), (outer,))

    @staticmethod
    def _widest(made: list[Round]) -> int:
        return max(_axis(round.steps) for round in made)

    def _tile(self, line: Var) -> tuple[int, int]:
        """Lines and places of a tile."""
        most = 64 if self.dtype.itemsize == 4 else 32
        height = most
        batches = prod(var.high + 1 for var in self.kernel.domain)
        while height > 16 and ceil_div(line.high + 1, height) * batches < BLOCKS:
            height //= 2
        return height, most
