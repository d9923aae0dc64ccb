"""How large tables and what they are made of may be, for each kind of machine.

In: nothing. Out: `Limits`, which a device gives `schedule.plan`.

>>> CACHE.axis > TILES.axis, CACHE.columns < TILES.columns
(True, True)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Most `columns` of a table, most elements of a `factor` that all rows of a task need, most
    positions of a result's `axis`."""

    columns: int
    factor: int
    axis: int


# A block of whole rows stays in a core's cache, and so does a factor that is packed for it.
CACHE = Limits(columns=1 << 14, factor=1 << 19, axis=1 << 14)
# A GPU's block goes over the columns by tiles; its results stay in its threads' registers.
TILES = Limits(columns=1 << 30, factor=1 << 40, axis=256)
