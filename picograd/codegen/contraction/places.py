"""Where the register tile is: its rows and columns, and the memory of its sums.

In: a `Frame`. Out: `Tile` and `Destination`, made by `lower` and `epilogue`, read by `microkernel`,
`prefetch` and `epilogue`.
"""

from __future__ import annotations

from dataclasses import dataclass

from picograd.codegen import loops
from picograd.codegen.contraction.frame import Frame, inside
from picograd.graph.index import ZERO, Index
from picograd.graph.mask import Mask


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a tile's sums go: to `index`, a function of the groups' variables, of a memory that
    holds all sums (an argument or the workspace) and keeps partial ones between depth blocks; or,
    without an index, to one tile (or a strip of them) in scratch."""

    memory: loops.Memory
    index: Index | None

    def position(self, frame: Frame, tile: Tile, row: Index, column: Index) -> Index:
        """Where the sum of a row and column of the tile is."""
        if self.index is None:
            return (tile.local + row) * frame.tiles.width + column
        return self.index.substitute(frame.at(row=tile.row + row, column=tile.column + column))

    def mask(self, frame: Frame, tile: Tile, column: Index) -> Mask:
        """Where a column of the tile exists."""
        return Mask() if self.index is None else tile.edge(frame, column)


@dataclass(frozen=True, slots=True)
class Tile:
    """The current tile: its number among the row tiles, its first row and column, the rows at its
    start that belong to the tile before it, the numbers of its panels among the packed ones, and
    its first row in a strip of tiles."""

    number: Index
    row: Index
    column: Index
    skipped: Index
    left_panel: Index
    right_panel: Index
    local: Index = ZERO

    def edge(self, frame: Frame, column: Index) -> Mask:
        """Where a column of the tile exists."""
        return inside(self.column + column, frame.contraction.columns.extent)
