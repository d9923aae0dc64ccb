"""Lower large contractions of 16-bit floats to what GPUs of compute capability 9.0 are built for.

In: a CONTRACTION kernel. Out: a loop IR function, or None where `contraction.tensor_cores` has to
do: factors that are computed, or do not lie in memory in straight lines of whole 16 bytes; too few
tiles. `codegen.cuda.render` calls it for sm_90a. Blocks stay on their multiprocessor and take one
tile after another. Of a block's three warp groups (128 threads each)

    one thread of the last fetches depth tiles into a ring of slots (TMA: a copy of a box of memory,
    as a descriptor says, zero outside), each as soon as the slot is free;
    the first two wait for a slot to be full, multiply 64 rows each (wgmma: both factors are read
    from shared memory), and say that it is free. At the end of a tile they apply what follows the
    sum, while the next tile's depth tiles already come.

`full` and `free` are mbarriers; their phases take turns with the rounds of the ring. A depth tile
is 64 k: lines of 128 bytes, whose 16 bytes are swizzled by hardware, in boxes of 64 along the
direction in which the factor is contiguous. Both directions are multiplied as they are.

The launcher makes the descriptors (`loops.TileMap`), as parameters of the kernel. A first phase
puts them into the workspace: where parameters lie is the driver's affair, and a descriptor has to
be aligned.

>>> SLOT_BYTES[256], stages_for(256), stages_for(128)
(49152, 4, 6)
"""

from __future__ import annotations

from picograd.codegen.contraction.axes import Contraction, Group, analyse
from picograd.codegen.contraction.grid import BLOCKS, Grid, Shape, Statements, extents
from picograd.codegen.contraction.staging import Factor
from picograd.codegen.contraction.tensor_cores import KINDS, narrow_factors
from picograd.codegen.contraction.tiles import ceil_div
from picograd.codegen.loops import (
    Address,
    Barrier,
    Call,
    For,
    Function,
    Home,
    If,
    IndexValue,
    Kind,
    Literal,
    Memory,
    Phase,
    Ref,
    Statement,
    Store,
    TileMap,
)
from picograd.codegen.target import SCALAR
from picograd.dtypes import float32, int32, uint16, uint64
from picograd.graph.index import ZERO, Index, Var, constant, of
from picograd.graph.mask import Mask
from picograd.schedule.kernel import Access, Expr, Kernel

GROUP = 128  # threads
CONSUMERS = 2 * GROUP
HIGH = 64  # rows of a warp group
DEPTH = 64  # k of a depth tile: 128 bytes
STEP = 16  # k of a product
BOX = 64  # lines of a box of a factor that is contiguous along lines
ROWS = 2 * HIGH
LEAST_TILES = BLOCKS // 2
STAGED = 32  # columns of results on their way out at a time
RESULT_PAD = 8
ALIGNMENT = 1024  # bytes: what the swizzle repeats after
SHARED = 227 << 10  # bytes that a block may have
WORDS = 16  # of 8 bytes in a descriptor
SLOT_BYTES = {wide: (ROWS + wide) * DEPTH * 2 for wide in (128, 256)}


def stages_for(wide: int) -> int:
    """How many slots the ring has."""
    rest = SHARED - ALIGNMENT - ROWS * (STAGED + RESULT_PAD) * 4 - 256
    return min(6, rest // SLOT_BYTES[wide])


def lower_to_warp_groups(kernel: Kernel) -> Function | None:
    """The function of a kernel whose contraction is large, and of plain factors."""
    found = analyse(kernel, SCALAR)
    if found is None or found.accumulator is not float32:
        return None
    factors = narrow_factors(found)
    if factors is None or factors[0].dtype.itemsize != 2:
        return None
    maps = [
        tile_map(kernel, found, expr, group)
        for expr, group in zip(factors, (found.rows, found.columns), strict=True)
    ]
    rows, columns, depth = extents(found)
    if None in maps or min(rows, columns) < HIGH or depth < DEPTH:
        return None
    for wide in (256, 128):
        tiles = found.batch.extent * ceil_div(rows, ROWS) * ceil_div(columns, wide)
        if tiles >= (BLOCKS if wide == 256 else LEAST_TILES) and columns > wide // 2:
            break
    else:
        return None
    whole = [box_of(tile, ROWS if n == 0 else wide) for n, tile in enumerate(maps) if tile]
    return _WarpGroups(kernel, found, factors, Shape(ROWS, wide), whole).function()


def tile_map(kernel: Kernel, found: Contraction, expr: Expr, group: Group) -> TileMap | None:
    """A factor as a box of memory: (contiguous, other, batch). None where it is none."""
    if not isinstance(expr, Access) or not expr.mask.always:
        return None
    steps = [one.step(expr.index) for one in (found.depth, group, found.batch)]
    if None in steps or expr.index.constant % 8:
        return None
    variables = {found.depth.var, group.var, found.batch.var}
    if not expr.index.atoms() <= variables:
        return None
    along, across, batch = (step or 0 for step in steps)
    sizes = found.depth.extent, group.extent
    turned = along != 1
    if turned:
        along, across, sizes = across, along, (sizes[1], sizes[0])
    if along != 1 or across % 8 or across <= 0 or batch % 8 or batch < 0:
        return None
    number = next(n for n, memory in enumerate(kernel.memories) if memory.name == expr.buffer)
    count = found.batch.extent if batch else 1
    stride = batch or across * sizes[1]
    return TileMap(
        number, expr.index.constant, expr.dtype, (*sizes, count), (across, stride), (), turned
    )


def box_of(tile: TileMap, lines: int) -> TileMap:
    """The map with its box: 64 elements of the contiguous direction by as many others."""
    return TileMap(
        *(tile.argument, tile.offset, tile.dtype, tile.sizes, tile.strides),
        (BOX, DEPTH if tile.turned else lines, 1),
        tile.turned,
    )


class _WarpGroups(Grid):
    """Builds the loops of one kernel."""

    threads = 3 * GROUP
    depth = DEPTH
    finishers = CONSUMERS

    def __init__(
        self,
        kernel: Kernel,
        found: Contraction,
        factors: tuple[Expr, Expr],
        shape: Shape,
        maps: list[TileMap],
    ) -> None:
        self.maps = maps
        self.kind = factors[0].dtype
        self.stages = stages_for(shape.columns)
        super().__init__(kernel, found, shape)
        self.tiles = [
            self.share(name, uint16, self.stages * lines * DEPTH)
            for name, lines in (("left_tile", ROWS), ("right_tile", self.columns))
        ]
        self.sums = Memory("sums", float32, self.columns // 2, Home.REGISTER, written=True)
        self.rounds, self.round_rows, self.round_columns = self.columns // STAGED, ROWS, STAGED
        self.results_pitch = STAGED + RESULT_PAD
        self.results = self.share("results", float32, ROWS * self.results_pitch)
        self.full = self.share("full", uint64, self.stages)
        self.free = self.share("free", uint64, self.stages)
        size = WORDS * len(maps)
        self.descriptors = Memory("maps", uint64, size, Home.WORKSPACE, written=True)
        self.processor = Var("processor", 0, min(BLOCKS, self.block.high + 1) - 1)
        # The depth tiles of a block, counted through all its tiles.
        turns, count = self.turn.high + 1, self.processor.high + 1
        self.step = of(self.block) // count * turns + of(self.turn)
        self.slot = self.step % self.stages

    def factor(self, name: str, expr: Expr, group: Group, lines: int, start: Index) -> Factor:
        return Factor(
            *(name, expr, group, lines, DEPTH, start),
            memory=Memory(name, uint16, 0, Home.SHARED),
            along_depth=True,
            lines_inner=False,
            pitch=DEPTH,
            rotation=0,
            packed=1,
            grain=1,
            copies=False,
            threads=1,
        )

    def function(self) -> Function:
        memories = [*self.memories.values(), *self.tiles, self.sums, self.results]
        memories += [self.full, self.free, self.descriptors]
        return Function(
            self.kernel.name,
            tuple(memories),
            self.kernel.scalars,
            (self._publish(), self._phase()),
            workspace=self.descriptors.size * 8,
            shared=self.shared + ALIGNMENT,
            resident=1,
            maps=tuple(self.maps),
        )

    def _publish(self) -> Phase:
        """The descriptors, from the parameters to where they are aligned."""
        thread = Var("thread_number", 0, 0)
        body = tuple(
            Call(
                "pg_map_publish",
                (Address(self.descriptors, constant(n * WORDS)), Ref(f"map{n}", uint64)),
            )
            for n in range(len(self.maps))
        )
        block = Var("block_number", 0, 0)
        inner = For(thread, ZERO, constant(1), body, kind=Kind.THREAD)
        return Phase(None, constant(1), (For(block, ZERO, constant(1), (inner,), kind=Kind.BLOCK),))

    def _phase(self) -> Phase:
        thread, count = of(self.thread), self.processor.high + 1
        start: list[Statement] = []
        for number in range(self.stages):
            for memory, arrivals in ((self.full, 1), (self.free, CONSUMERS // GROUP)):
                where = Address(memory, constant(number))
                start.append(Call("pg_meet_begin", (where, Literal.of(arrivals, int32))))
        start.append(Call("pg_meets_begun"))

        def tiles(body: Statements) -> For:
            return For(self.block, of(self.processor), constant(self.block.high + 1), body, count)

        fetches = (*self._acquire(), tiles(self._each_turn(self._fetch())))
        consumed = (*self._zero(), self._turns(self._multiply()), *self.write_back(None))
        body: Statements = (
            If(Mask().require(-thread), tuple(start)),
            Barrier(),
            If(
                Mask().require(thread - CONSUMERS),
                (
                    Call("pg_registers_less<40>"),
                    If(Mask().require(constant(CONSUMERS) - thread), fetches),
                ),
            ),
            If(
                Mask().require(constant(CONSUMERS - 1) - thread),
                (Call("pg_registers_more<232>"), tiles(consumed)),
            ),
        )
        inner = For(self.thread, ZERO, constant(self.threads), body, kind=Kind.THREAD)
        blocks = constant(count)
        return Phase(
            None, constant(1), (For(self.processor, ZERO, blocks, (inner,), kind=Kind.BLOCK),)
        )

    def _each_turn(self, body: Statements) -> Statements:
        return (self._turns(body),)

    def _turns(self, body: Statements) -> For:
        return For(self.turn, ZERO, constant(self.turn.high + 1), body)

    def _acquire(self) -> Statements:
        return tuple(
            Call("pg_map_acquire", (Address(self.descriptors, constant(n * WORDS)),))
            for n in range(len(self.maps))
        )

    # --- the thread that fetches --------------------------------------------------------------

    def _fetch(self) -> Statements:
        """One depth tile of both factors into the next slot, when that is free."""
        full = Address(self.full, self.slot)
        size = SLOT_BYTES[self.columns]
        free = self._phase_of(self.step // self.stages + 1)
        body: list[Statement] = [
            Call("pg_meet_wait", (Address(self.free, self.slot), free)),
            Call("pg_meet_expect", (full, Literal.of(size, int32))),
        ]
        starts = (self.row, ROWS), (self.column, self.columns)
        for n, (tile, memory) in enumerate(zip(self.maps, self.tiles, strict=True)):
            line, lines = starts[n]
            k, base = of(self.turn) * DEPTH, self.slot * (lines * DEPTH)
            batch = self.batch if tile.sizes[2] > 1 else ZERO
            descriptor = Address(self.descriptors, constant(n * WORDS))
            boxes = lines // BOX if tile.turned else 1
            for number in range(boxes):
                place = (line + number * BOX, k, batch) if tile.turned else (k, line, batch)
                target = Address(memory, base + number * (BOX * DEPTH))
                where = [IndexValue(index, int32) for index in place]
                body.append(Call("pg_fetch_tile", (target, descriptor, *where, full)))
        return tuple(body)

    @staticmethod
    def _phase_of(rounds: Index) -> IndexValue:
        return IndexValue(rounds % 2, int32)

    # --- the threads that multiply ------------------------------------------------------------

    def _zero(self) -> Statements:
        zero = Literal.of(0.0, float32)
        return tuple(Store(self.sums, constant(n), zero) for n in range(self.sums.size))

    def _multiply(self) -> Statements:
        """The products of a warp group with the depth tile in the slot."""
        name, _ = KINDS[self.kind]
        full = Address(self.full, self.slot)
        body: list[Statement] = [
            Call("pg_meet_wait", (full, self._phase_of(self.step // self.stages))),
            Call("pg_products_begin"),
        ]
        turned = [int(tile.turned) for tile in self.maps]
        helper = f"pg_multiply_group{self.columns}_{name}<{turned[0]}, {turned[1]}>"
        group = of(self.thread) // GROUP
        for step in range(DEPTH // STEP):
            places = []
            for n, (memory, lines) in enumerate(zip(self.tiles, (ROWS, self.columns), strict=True)):
                base = self.slot * (lines * DEPTH) + (group * (HIGH * DEPTH) if n == 0 else ZERO)
                along = step * STEP * (BOX if turned[n] else 1)
                places.append(Address(memory, base + along))
            body.append(Call(helper, (Address(self.sums, ZERO), *places)))
        arrive = Call("pg_meet_arrive", (Address(self.free, self.slot),))
        first = Mask().require(-(of(self.thread) % GROUP))
        body += [Call("pg_products_end"), If(first, (arrive,))]
        return tuple(body)

    # --- results ------------------------------------------------------------------------------

    def meet(self) -> Statement:
        return Call(f"pg_meet_threads<{CONSUMERS}>")

    def staged(self, number: int) -> Statements:
        lane, warp = of(self.thread) % 32, of(self.thread) // 32
        body: list[Statement] = []
        for half in range(2):
            row = warp * 16 + lane // 4 + half * 8
            for j in range(STAGED // 8):
                at = row * self.results_pitch + j * 8 + lane % 4 * 2
                own = (number * (STAGED // 8) + j) * 4 + half * 2
                body.append(self.store_pair(at, own))
        return tuple(body)

    def staged_row(self, number: int, line: Index) -> Index:
        return line

    def staged_column(self, number: int, column: Index) -> Index:
        return column + number * STAGED
