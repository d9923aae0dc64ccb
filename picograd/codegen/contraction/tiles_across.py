"""Sizes of tiles and blocks where results lie across the vectors (see `orientation`).

In: a `Contraction` that runs across, and the `Target`. Out: its `Tiles`. Called by `lower`.

The packed factor is small (weights) and shared by many elements of the batch; the other one is read
in place. So a depth block is as long as its panel may be in the second-level cache: mostly all of
the depth. Blocks of rows are short, since their sums wait in scratch to be transposed.
"""

from __future__ import annotations

from picograd.codegen.contraction.axes import Contraction
from picograd.codegen.contraction.tiles import (
    TASK_NANOSECONDS,
    TASKS_PER_THREAD,
    Tiles,
    ceil_div,
    narrow_lanes,
    register_tile,
    round_up,
    tile_work,
)
from picograd.codegen.target import Target

BLOCK_ROWS = 96  # rows whose sums are transposed together


def choose_across(found: Contraction, target: Target) -> Tiles:
    """The tiles of a contraction that runs across."""
    rows, columns, depth = found.rows.extent, found.columns.extent, found.depth.extent
    lanes = narrow_lanes(columns, target.lanes(found.accumulator))
    vectors, height = register_tile(rows, ceil_div(columns, lanes), target.registers)
    width = vectors * lanes
    row_tiles, column_tiles = ceil_div(rows, height), ceil_div(columns, width)
    longest = target.l2 * 5 // (8 * width * found.accumulator.itemsize)
    blocks = ceil_div(depth, max(1, longest))
    length = ceil_div(depth, blocks)
    batch = found.batch.extent // found.shared
    work = tile_work(height, vectors, depth * found.turns.extent)
    total = found.batch.extent * row_tiles * column_tiles * work
    wanted = max(1, min(int(total / TASK_NANOSECONDS), TASKS_PER_THREAD * target.threads))
    column_parts = min(column_tiles, ceil_div(wanted, batch))
    shared_parts = min(found.shared, ceil_div(wanted, batch * column_parts))
    # Parts of the rows pack the right factor again.
    few = min(wanted, target.threads)
    row_parts = min(row_tiles, ceil_div(few, batch * column_parts * shared_parts))
    share = max(target.l3 // (2 * target.threads), target.l2 // 2)
    widest = max(1, share // (length * width * found.accumulator.itemsize))
    column_parts = max(column_parts, ceil_div(column_tiles, widest))
    row_blocks = ceil_div(ceil_div(row_tiles, row_parts), max(1, BLOCK_ROWS // height)) * row_parts
    return Tiles(
        lanes,
        vectors,
        height,
        length,
        row_tiles,
        column_tiles,
        blocks * found.turns.extent,
        row_parts,
        column_parts,
        min(row_blocks, round_up(row_tiles, row_parts)),
        turns=found.turns.extent,
        shared_parts=shared_parts,
    )
