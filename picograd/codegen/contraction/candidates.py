"""Other tiles that a contraction could have, for a search among them.

In: a kernel and the `Target`. Out: `Tiles`, the model's choice first. `runtime.tune` compiles,
verifies and times them. No choice changes a result's bits (see `tiles`), so they must agree.

>>> from picograd.codegen.target import AVX512
>>> len(register_tiles(96, 8, AVX512)), register_tiles(96, 8, AVX512)[0]
(6, (4, 6))
"""

from __future__ import annotations

from dataclasses import replace

from picograd.codegen.contraction import axes
from picograd.codegen.contraction.lower import choose_tiles, worthwhile
from picograd.codegen.contraction.tiles import REGISTER_TILES, Tiles, ceil_div, ranked, round_up
from picograd.codegen.target import Target
from picograd.schedule.kernel import Kernel

# How many register tiles are tried; each with several depths and numbers of parts.
SHAPES = 6
# Depth blocks and parts, relative to the model's choice.
DEPTHS, PARTS = (1.0, 0.5, 2.0), (1.0, 0.5, 2.0)


def candidates(kernel: Kernel, target: Target) -> list[Tiles]:
    """Tiles to try, none where the kernel has no register tile to choose."""
    found = axes.analyse(kernel, target)
    if found is None or not worthwhile(found, kernel.pattern, target):
        return []
    first = choose_tiles(found, target)
    if first.along or found.across:
        return []
    rows, columns = found.rows.extent, found.columns.extent
    steps = ceil_div(found.depth.extent, 2) if first.pairs else found.depth.extent
    shapes = [(first.vectors, first.height)]
    if not first.streamed:
        shapes += register_tiles(rows, ceil_div(columns, first.lanes), target)
    made = [first]
    for shape in shapes:
        made += [resized(first, shape, rows, columns, steps, depth, 1.0) for depth in DEPTHS]
    narrow = replace(first, lanes=first.lanes // 2)
    if not first.pairs and narrow.lanes and _padded(columns, narrow) < _padded(columns, first):
        # Narrower vectors waste less on the last columns; some machines run them twice as often.
        for shape in register_tiles(rows, ceil_div(columns, narrow.lanes), target):
            made.append(resized(narrow, shape, rows, columns, steps, 1.0, 1.0))
    made += [resized(first, shapes[0], rows, columns, steps, 1.0, parts) for parts in PARTS]
    return list(dict.fromkeys(made))


def _padded(columns: int, tiles: Tiles) -> int:
    """Columns with those that only fill the last vector."""
    return round_up(columns, tiles.lanes)


def register_tiles(rows: int, column_vectors: int, target: Target) -> list[tuple[int, int]]:
    """(vectors, height) of the most promising register tiles, by the model's cost."""
    return ranked(rows, column_vectors, *REGISTER_TILES[target.registers >= 32])[:SHAPES]


def resized(
    tiles: Tiles,
    shape: tuple[int, int],
    rows: int,
    columns: int,
    steps: int,
    depth: float,
    parts: float,
) -> Tiles:
    """The same blocks of memory around another register tile, or with other sizes."""
    vectors, height = shape
    row_tiles, column_tiles = ceil_div(rows, height), ceil_div(columns, vectors * tiles.lanes)
    depth_blocks = ceil_div(steps, max(1, round(tiles.depth * depth)))
    row_parts = min(row_tiles, tiles.row_parts)
    column_parts = min(column_tiles, max(1, round(tiles.column_parts * parts)))
    blocks = min(max(tiles.row_blocks, row_parts), round_up(row_tiles, row_parts))
    return replace(
        tiles,
        vectors=vectors,
        height=height,
        depth=ceil_div(steps, depth_blocks),
        row_tiles=row_tiles,
        column_tiles=column_tiles,
        depth_blocks=depth_blocks,
        row_parts=row_parts,
        column_parts=column_parts,
        row_blocks=round_up(blocks, row_parts),
    )
