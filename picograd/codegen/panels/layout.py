"""The sizes of a PANELS kernel's loops: register tiles, blocks of rows, panels, tasks.

In: a kernel, its `Steps` and the `Target`. Out: a `Layout`, with the panels allocated in its
`Nest`. Called by `lower`. No choice here changes a result's bits.
"""

from __future__ import annotations

from math import gcd, lcm, prod

from picograd.codegen.contraction.expressions import accesses
from picograd.codegen.contraction.tiles import (
    TASK_NANOSECONDS,
    TASKS_PER_THREAD,
    ceil_div,
    register_tile,
    round_up,
)
from picograd.codegen.panels.analyse import Cells, Result, Rows, Scores, Steps
from picograd.codegen.panels.nest import Grid, Nest
from picograd.codegen.panels.product import Shape
from picograd.codegen.panels.skip import Band, find_band
from picograd.codegen.panels.sweep import UNROLL, Sweep, sweeps
from picograd.codegen.target import Target
from picograd.dtypes import DType
from picograd.schedule.kernel import Kernel

MOST_ROWS = 24  # of a block
LEAST_PART = 96  # rows that are worth packing all columns for
LEAST_TASKS = 8  # where results for the columns are summed up: more tasks need more memory
Action = Scores | Sweep | Result


def _actions(steps: Steps) -> list[Action]:
    """The steps with sweeps instead of their parts."""
    found: list[Action] = []
    pending: list[Cells | Rows] = []
    for step in steps.steps:
        if isinstance(step, Cells | Rows):
            pending.append(step)
            continue
        if pending:
            found += sweeps(pending)
            pending = []
        found.append(step)
    return [*found, *sweeps(pending)] if pending else found


def _reads(action: Action) -> set[str]:
    """The tables that an action reads."""
    match action:
        case Scores():
            return set()
        case Result():
            return {action.weights.buffer}
        case Sweep():
            parts = (*action.cells, *action.reductions)
            return {access.buffer for part in parts for access in accesses(part.value)}


class Layout:
    """What is done in which order, and how large everything is.

    actions    the steps with sweeps instead of their parts; `shapes` are their register tiles and
               `kept` the tables that each makes for later ones
    group      rows that have the same limits on columns
    height     rows of a block; `tallest` with the rows that the last tiles add
    parts      parts of the rows that are tasks of their own
    """

    def __init__(self, kernel: Kernel, steps: Steps, target: Target) -> None:
        self.kernel, self.steps, self.target = kernel, steps, target
        self.actions = _actions(steps)
        self.rows, self.columns = steps.row.high + 1, steps.column.high + 1
        first = next(step for step in steps.steps if isinstance(step, Scores))
        lanes = target.lanes(first.accumulator)
        self.nest = Nest(kernel, steps, lanes)
        self.band = find_band(steps)
        self.shapes = [self._shape(action, lanes) for action in self.actions]
        self.group = self._group()
        self.across = any(isinstance(a, Result) and a.across for a in self.actions)
        self.kept: list[set[str]] = []
        self.panel_types: list[DType] = []
        self.tallest = 0
        self.height = self._block_height(self._place_tables())
        self.parts = self._parts()

    @property
    def banded(self) -> bool:
        return self.band != Band()

    def _shape(self, action: Action, lanes: int) -> Shape:
        """The register tile of a product."""
        registers = self.target.registers
        if isinstance(action, Scores):
            vectors, height = register_tile(self.rows, ceil_div(self.columns, lanes), registers)
            if self.banded:  # whole chunks of columns, and few columns too many
                vectors, height = UNROLL, 12 if registers >= 32 else 6
            return Shape(height, vectors, lanes)
        if isinstance(action, Sweep):
            return Shape(1, 1, lanes)
        count = ceil_div(action.axis.high + 1, lanes)
        widest = 4 if registers >= 32 else 2
        vectors = max((v for v in range(1, widest + 1) if count % v == 0), default=1)
        if not action.across:
            if self.banded:  # a divisor of the height above
                return Shape(12 if registers >= 32 and vectors < 3 else 6, vectors, lanes)
            vectors, height = register_tile(self.rows, count, registers)
            return Shape(height, vectors, lanes)
        height = 8 if vectors * 8 <= (24 if registers >= 32 else 12) else 4
        return Shape(gcd(height, UNROLL * lanes), vectors, lanes)

    def _group(self) -> int:
        """Rows that have the same limits on columns."""
        heights = [
            shape.height
            for action, shape in zip(self.actions, self.shapes, strict=True)
            if isinstance(action, Scores) or (isinstance(action, Result) and not action.across)
        ]
        return lcm(*heights) if self.banded else max(heights)

    def _place_tables(self) -> dict[str, int]:
        """The panel of each table that is kept for a later action; panels are used again."""
        last: dict[str, int] = {}
        for number, action in enumerate(self.actions):
            for name in _reads(action):
                last[name] = number
        panels: list[int] = []  # the action after which each panel is free
        types: list[DType] = []
        places: dict[str, int] = {}
        for number, action in enumerate(self.actions):
            made: list[str] = []
            if isinstance(action, Scores):
                made = [action.target]
            elif isinstance(action, Sweep):
                made = [cell.target for cell in action.cells]
            made = [name for name in made if last.get(name, -1) > number]
            self.kept.append(set(made))
            # A sweep reads an element before it writes one in the same place.
            free = number if isinstance(action, Sweep) else number - 1
            for name in made:
                dtype = self._panel_type(name)
                fits = (p for p, until in enumerate(panels) if until <= free and types[p] is dtype)
                place = next(fits, len(panels))
                if place == len(panels):
                    panels.append(0)
                    types.append(dtype)
                panels[place], places[name] = last[name], place
        self.panel_types = types
        return places

    def _panel_type(self, name: str) -> DType:
        for action in self.actions:
            if isinstance(action, Scores) and action.target == name:
                return action.accumulator
        return self.steps.tables[name]

    def _block_height(self, tables: dict[str, int]) -> int:
        """Rows of a block; allocates its panels and its values of rows."""
        nest, group = self.nest, self.group
        widest = max([shape.width for a, shape in self._shaped() if isinstance(a, Scores)] + [1])
        pitch = round_up(self.columns, lcm(widest, UNROLL * nest.lanes)) + nest.lanes
        nbytes = sum(dtype.itemsize for dtype in self.panel_types) * pitch
        most = max(1, self.target.l2 // 2 // max(1, nbytes))
        height = max(group, min(most, MOST_ROWS) // group * group)
        blocks = ceil_div(self.rows, height)
        height = round_up(ceil_div(self.rows, blocks), group)
        tallest = max(round_up(height, shape.height) for _, shape in self._shaped())
        memories = [
            nest.allocate(f"panel{number}", dtype, tallest * pitch)
            for number, dtype in enumerate(self.panel_types)
        ]
        for name, place in tables.items():
            nest.grids[name] = Grid(memories[place], pitch)
        for name, dtype in self.steps.rows.items():
            if name not in nest.memories:
                nest.lines[name] = nest.allocate(f"{name}.rows", dtype, tallest)
        self.tallest = tallest
        return height

    def _shaped(self) -> list[tuple[Action, Shape]]:
        return list(zip(self.actions, self.shapes, strict=True))

    def work(self) -> float:
        """Nanoseconds of one batch element on one core."""
        depth = 0
        for action in self.actions:
            if isinstance(action, Scores):
                depth += action.depth.high + 1
            else:
                depth += action.axis.high + 1 if isinstance(action, Result) else 24
        area = self.rows * self.columns * (0.6 if self.banded else 1.0)
        return area * depth / self.nest.lanes / 3.0

    def _parts(self) -> int:
        """Parts of the rows that are tasks of their own."""
        batch = prod(var.high + 1 for var in self.kernel.domain)
        most = max(1, self.rows // max(LEAST_PART, self.height))
        if self.across:  # sums for the columns are grouped by parts: not by the machine's threads
            return max(1, min(ceil_div(LEAST_TASKS, batch), self.rows // LEAST_PART))
        wanted = min(int(batch * self.work() / TASK_NANOSECONDS), self._tasks())
        return max(1, min(ceil_div(wanted, batch), most))

    def _tasks(self) -> int:
        return TASKS_PER_THREAD * self.target.threads
