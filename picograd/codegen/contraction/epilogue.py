"""Write back a contraction's tile: the elementwise stages that follow the sum.

In: a `Frame` and the `Destination` of the sums. Out: where partial sums are kept, and the
statements that turn a finished tile into the kernel's results. Called by `lower`.

The stages run in a small loop over the tile's rows and vectors, reading the sums back from the
first-level cache: their code appears once, however large the register tile.
"""

from __future__ import annotations

from picograd.codegen import loops
from picograd.codegen.contraction.axes import Contraction
from picograd.codegen.contraction.expressions import accesses
from picograd.codegen.contraction.frame import Frame, lane_index
from picograd.codegen.contraction.groups import Values
from picograd.codegen.contraction.packing import each
from picograd.codegen.contraction.places import Destination, Tile
from picograd.codegen.contraction.tiles import round_up
from picograd.codegen.expressions import cast
from picograd.codegen.loops import Home, Statement, Value
from picograd.graph.index import Index, Var, constant, of
from picograd.graph.mask import Mask
from picograd.schedule.kernel import Kernel, Space


def destination(frame: Frame) -> Destination:
    """Where the sums are kept: the result itself, an output that is about to be overwritten, a
    tile in scratch, or (partial sums that fit in no output) the workspace."""
    found, tiles = frame.contraction, frame.tiles
    # Sums that are read and written often are kept where no two rows share a place in the cache.
    apart = tiles.streamed and tiles.height > 1
    memory = None if found.memory is None or apart else frame.memories[found.memory]
    if memory is not None and _direct(found, found.store, memory):
        return Destination(memory, found.store)
    if tiles.depth_blocks == 1:
        size = tiles.height * tiles.width
        return Destination(frame.allocate("tile", found.accumulator, size, Home.SCRATCH), None)
    read = {a.buffer for stage in found.epilogue for a in accesses(stage.value)}
    for stage in () if apart else found.epilogue:
        memory = frame.memories.get(stage.target)
        if memory is None or stage.target in read or not stage.mask.always:
            continue
        if _direct(found, stage.store, memory):
            return Destination(memory, stage.store)
    width = round_up(found.columns.extent, tiles.lanes) + tiles.lanes
    batch, rows = found.batch.extent, found.rows.extent
    memory = frame.allocate("sums", found.accumulator, batch * rows * width, Home.WORKSPACE)
    position = (of(found.batch.var) * rows + of(found.rows.var)) * width + of(found.columns.var)
    return Destination(memory, position)


def _direct(found: Contraction, store: Index, memory: loops.Memory) -> bool:
    """Whether rows of sums are contiguous vectors of the accumulator's dtype in a memory."""
    return (
        memory.dtype is found.accumulator
        and found.rows.strided(store)
        and found.columns.step(store) == 1
        and memory.size >= found.batch.extent * found.rows.extent * found.columns.extent
    )


def finish(frame: Frame, kernel: Kernel, tile: Tile, sums: Destination) -> tuple[Statement, ...]:
    """The stages over a finished tile; nothing when the sums are already the result."""
    found, tiles = frame.contraction, frame.tiles
    if sums.memory.name == found.memory and not found.epilogue:
        return ()
    r = Var("r", 0, tiles.height - 1)
    v = Var("v", 0, tiles.vectors - 1)
    column = of(v) * tiles.lanes + lane_index(tiles.lanes)
    body = _stages(frame, kernel, tile, sums, of(r), column)
    inner = each(v, constant(tiles.vectors), body)
    loop = loops.For(r, tile.skipped, constant(tiles.height), (inner,), independent=True)
    if tiles.depth_blocks == 1:
        return (loop,)
    last = Mask().require(frame.block - (tiles.depth_blocks - 1))
    return (loops.If(last, (loop,)),)


def _stages(
    frame: Frame, kernel: Kernel, tile: Tile, sums: Destination, row: Index, column: Index
) -> tuple[Statement, ...]:
    """One vector of a row: the sum, then each stage."""
    found, lanes = frame.contraction, frame.tiles.lanes
    edge = tile.edge(frame, column)
    position = sums.position(frame, tile, row, column)
    load = loops.Load(sums.memory, position, lanes, sums.mask(frame, tile, column))
    body, total = rounded(frame, load)
    values = frame.at(row=tile.row + row, column=tile.column + column)
    return (
        *body,
        *apply_stages(frame, kernel, total, values, edge, sums.memory.name == found.memory),
    )


def rounded(frame: Frame, load: Value) -> tuple[list[Statement], loops.Ref]:
    """Name a vector of sums, in the dtype that the stages read."""
    found, lanes = frame.contraction, load.lanes
    body: list[Statement] = [loops.Let("sum", load)]
    total: Value = cast(loops.Ref("sum", found.accumulator, lanes), found.dtype)
    if not isinstance(total, loops.Ref):
        body.append(loops.Let("rounded", total))
        total = loops.Ref("rounded", found.dtype, lanes)
    return body, total


def apply_stages(
    frame: Frame, kernel: Kernel, total: loops.Ref, values: Values, edge: Mask, stored: bool
) -> tuple[Statement, ...]:
    """The stages that follow the sum, in the lanes of a vector of rounded sums; `stored` tells
    that the sum is already where it belongs."""
    found, lanes = frame.contraction, total.lanes
    body: list[Statement] = []
    if found.memory is not None and not stored:
        memory = frame.memories[found.memory]
        body.append(loops.Store(memory, found.store.substitute(values), total, edge))
    # The stages read the sum in one lane: `evaluate` widens references too.
    frame.locals = {name: loops.Ref(total.name, found.dtype) for name in found.names}
    local = {m.name for m in kernel.memories if m.space is Space.LOCAL}
    for number, stage in enumerate(found.epilogue):
        statements, value = frame.evaluate(stage.value, values, edge, lanes)
        body += statements
        name = f"value{number}"
        body.append(loops.Let(name, value))
        result = loops.Ref(name, value.dtype, lanes)
        if stage.target not in local:
            index = stage.store.substitute(values)
            mask = stage.mask.substitute(values) & edge
            body.append(loops.Store(frame.memories[stage.target], index, result, mask))
            if not stage.mask.always:
                continue
        frame.locals[stage.target] = loops.Ref(name, value.dtype)
    frame.locals = {}
    return tuple(body)
