"""Lower a PANELS kernel to a GPU: attention, forward and backward, its scores in registers.

In: a PANELS kernel. Out: a loop IR function of one or two phases over blocks of threads, or None
for a kernel of another form. `codegen.cuda.render` calls it. The loops of the first phase:

    block: a batch element's block of rows
      for each round:                          `rounds`: mostly one
        for each tile of columns:              those that a mask leaves out altogether are skipped
          scores                               `warps` on tensor cores, or `threads`
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

from collections.abc import Iterable, Sequence
from math import prod

from picograd.codegen.contraction.expressions import accesses
from picograd.codegen.contraction.tiles import ceil_div, round_up
from picograd.codegen.loops import For, Function, Kind, Phase
from picograd.codegen.panels import threads, warps
from picograd.codegen.panels.analyse import Cells, Result, Rows, Scores, Steps, analyse
from picograd.codegen.panels.block import Block
from picograd.codegen.panels.coarse import CoarseTiles
from picograd.codegen.panels.lines import Lines, Tiles
from picograd.codegen.panels.rounds import Round, columns_round, reads, rounds
from picograd.codegen.panels.scene import Scene, Side, Statements
from picograd.codegen.panels.skip import find_band
from picograd.codegen.panels.threads import ThreadTiles
from picograd.codegen.panels.warps import WarpTiles, common_depth, narrow
from picograd.codegen.panels.wide import widened
from picograd.dtypes import DType, float32
from picograd.graph.index import ZERO, Var, constant, delinearize, of
from picograd.schedule.kernel import Expr, Kernel

WIDEST = 256  # positions of a result's axis
BLOCKS = 132  # smaller blocks are taken where there would be fewer than this
REGISTERS = 165  # of a thread, for what lives through a tile
SHARED = 96 << 10  # bytes of a block
RESIDENT = 2  # blocks that use tensor cores, on a multiprocessor at a time

AROUND = 8  # what else a tile takes of a thread's time, in fragments that a warp loads

# Ways to use tensor cores: products that a warp has one above the other, places of a tile, and
# whether the lines' factors stay in registers.
SHAPES = (
    (2, 64, True),
    (2, 64, False),
    (2, 32, True),
    (2, 32, False),
    (1, 64, True),
    (1, 64, False),
    (1, 32, True),
    (1, 32, False),
    (1, 16, False),
)


def lower_panels_to_grid(kernel: Kernel, tensor_cores: bool) -> Function | None:
    """The function of an attention kernel."""
    found = analyse(kernel)
    if found is None:
        return None
    dtype = _accumulator(found)
    if dtype is None or max(_axes(found.steps), default=1) > WIDEST:
        return None
    kind = _kind(found) if tensor_cores else None
    return _GridPanels(kernel, widened(found), dtype, kind).function()


def _accumulator(steps: Steps) -> DType | None:
    """The type of all sums of products."""
    types = {step.accumulator for step in steps.steps if isinstance(step, Scores | Result)}
    if len(types) != 1:
        return None
    (dtype,) = types
    return dtype if dtype.is_float and dtype.itemsize >= 4 else None


def _kind(steps: Steps) -> DType | None:
    """The 16-bit float that all factors of all products are, if they are one; float32 where all
    may be rounded."""
    cells = {step.target: step.value for step in steps.steps if isinstance(step, Cells)}
    factors: list[Expr | None] = []
    for step in steps.steps:
        if isinstance(step, Scores):
            factors += [step.left, step.right]
        elif isinstance(step, Result):
            factors += [cells.get(step.weights.buffer), step.values]
    sources = [narrow(factor) if factor is not None else None for factor in factors]
    kinds = {None if source is None else source.dtype for source in sources}
    if len(kinds) == 1 and None not in kinds:
        return kinds.pop()
    products = [step for step in steps.steps if isinstance(step, Scores | Result)]
    coarse = all(step.coarse and step.accumulator is float32 for step in products)
    return float32 if coarse else None


def _axes(steps: Iterable[object]) -> list[int]:
    """How long the results' axes are."""
    return [step.axis.high + 1 for step in steps if isinstance(step, Result)]


class _GridPanels:
    """Builds the phases of one kernel. `kind`: the float that tensor cores multiply."""

    def __init__(self, kernel: Kernel, steps: Steps, dtype: DType, kind: DType | None) -> None:
        self.kernel, self.steps, self.dtype = kernel, steps, dtype
        self.band = find_band(steps)
        self.kind = kind
        first, second = rounds(steps), columns_round(steps)
        self.passes = [(first, False)] if first else []
        if second is not None:
            self.passes.append(([second], True))
        shapes = [self._shape(made, across) for made, across in self.passes]
        self.kind = kind if all(shapes) else None
        self.shapes = shapes
        count = threads.THREADS if self.kind is None else warps.THREADS
        self.scene = Scene(kernel, steps, count)

    def function(self) -> Function:
        if self.passes[-1][1]:
            self._keep_lines(self.passes[-1][0][0])
        phases = tuple(self._phase(number) for number in range(len(self.passes)))
        kernel, scene = self.kernel, self.scene
        memories = tuple(scene.memories.values())
        return Function(
            kernel.name,
            memories,
            kernel.scalars,
            phases,
            scene.workspace,
            shared=scene.most_used,
            resident=RESIDENT if self.kind is not None else 0,
        )

    def _keep_lines(self, second: Round) -> None:
        """Values of rows that only the second phase's workspace brings there."""
        used = set().union(*(reads(step) for step in second.steps))
        for step in second.results:
            used |= {a.buffer for stage in step.finish for a in accesses(stage.value)}
        for step in self.steps.steps:
            if isinstance(step, Rows) and step.target in used - self.scene.memories.keys():
                self.scene.keep(step.target, self.steps.rows[step.target])

    def _phase(self, phase: int) -> Phase:
        """A block for each batch element and block of rows (`across`: of columns)."""
        scene, steps = self.scene, self.steps
        made, across = self.passes[phase]
        line, place = (steps.column, steps.row) if across else (steps.row, steps.column)
        scene.begin_phase(phase)
        tiles = self._tiles(phase, line)
        blocks = ceil_div(line.high + 1, tiles.height)
        block = Var("block_number", 0, scene.batches * blocks - 1)
        batch, scene.batch_number = scene.name("batch", of(block) // blocks)
        number = of(block) % blocks
        if self.band.high is not None and not across:  # long ones first
            number = constant(blocks - 1) - number
        first, start = scene.name("first", number * tiles.height)
        sizes = [var.high + 1 for var in self.kernel.domain]
        places = delinearize(scene.batch_number, sizes)
        scene.batch = dict(zip(self.kernel.domain, places, strict=True))
        lines = Lines(scene, tiles, Side(line, start), place, across)
        body: Statements = (batch, first, *Block(scene, tiles, lines, self.band).body(made))
        inner = For(scene.thread_variable, ZERO, constant(scene.threads), body, kind=Kind.THREAD)
        outer = For(block, ZERO, constant(block.high + 1), (inner,), kind=Kind.BLOCK)
        return Phase(None, constant(1), (outer,))

    # --- tiles ----------------------------------------------------------------------------------

    def _tiles(self, phase: int, line: Var) -> Tiles:
        made, across = self.passes[phase]
        shape = self.shapes[phase]
        if self.kind is not None and shape is not None:
            kind = CoarseTiles if self.kind is float32 else WarpTiles
            return kind(self.scene, self.kind, *shape, across)
        widest = max((extent for one in made for extent in _axes(one.steps)), default=1)
        most = 64 if self.dtype.itemsize == 4 else 32
        height = most
        while height > threads.ACROSS and self._blocks(line, height) < BLOCKS:
            height //= 2
        return ThreadTiles(self.scene, self.dtype, height, most, widest)

    def _blocks(self, line: Var, height: int) -> int:
        batches = prod(var.high + 1 for var in self.kernel.domain)
        return ceil_div(line.high + 1, height) * batches

    def _shape(self, made: Sequence[Round], across: bool) -> tuple[int, int, bool] | None:
        """How a phase may use tensor cores: what loads the fewest fragments for a product, of what
        fits; None where nothing does."""
        if self.kind is None:
            return None
        line = self.steps.column if across else self.steps.row
        fits: list[tuple[int, int, bool]] = []
        for tall, width, held in SHAPES:
            height = tall * warps.WARPS * warps.HIGH
            if tall > 1 and self._blocks(line, height) < BLOCKS:
                continue
            size = self.kind.itemsize
            if max(_registers(one, size, tall, width, held) for one in made) > REGISTERS:
                continue
            if _shared(made, size, height, width, across) <= SHARED:
                fits.append((tall, width, held))
        return min(fits, key=lambda shape: _fragments(made, *shape), default=None)


def _fragments(made: Sequence[Round], tall: int, width: int, held: bool) -> float:
    """What a warp loads for a tile, for each of its elements."""
    loads = float(AROUND * len(made))
    for one in made:
        for step in one.scores:
            steps = ceil_div(step.depth.high + 1, warps.STEP)
            loads += steps * (width // warps.STEP + (0 if held else tall))
        for extent in _axes(one.steps):
            loads += ceil_div(extent, warps.STEP) * (width // warps.STEP)
    return loads / (tall * width)


def _registers(one: Round, size: int, tall: int, width: int, held: bool) -> int:
    """What lives through a tile: tables, sums of results, the lines' factors."""
    tables = len(one.scores) * width // 2
    sums = sum(round_up(extent, warps.STEP) // 2 for extent in _axes(one.steps))
    factors = sum(round_up(step.depth.high + 1, warps.STEP) * size // 8 for step in one.scores)
    return tall * (tables + sums + (factors if held else 4))


def _shared(made: Sequence[Round], size: int, height: int, width: int, across: bool) -> int:
    """Bytes of a block's shared memory."""
    lefts: dict[str, int] = {}
    rights: dict[Expr, int] = {}
    for one in made:
        for step in one.scores:
            lefts[step.target] = step.depth.high + 1
            _, right = common_depth(step.left if across else step.right, step.depth)
            rights[right] = step.depth.high + 1
        for step in one.results:
            _, values = common_depth(step.values, step.axis)
            rights[values] = step.axis.high + 1
    elements = height * sum(round_up(depth, warps.STEP) for depth in lefts.values())
    places = sum(round_up(depth, warps.STEP) for depth in rights.values())
    return size * (elements + warps.SLOTS * width * places)
