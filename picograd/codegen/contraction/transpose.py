"""Transpose a square block of vectors in registers.

In: n names of vectors of n lanes, n a power of two. Out: statements that name the n columns. Used
by `packing` for a factor whose memory runs along k, where a panel needs it across.

Each of log2(n) rounds interleaves the first half of the rows with the second:

>>> from picograd.codegen import show
>>> from picograd.dtypes import float32
>>> rows = [loops.Ref(name, float32, 2) for name in "ab"]
>>> statements, columns = transpose(rows, "t")
>>> [show.lines((statement,), 0)[0] for statement in statements]
['t0_0 = shuffle(a, b, 0 2)', 't0_1 = shuffle(a, b, 1 3)']
"""

from __future__ import annotations

from collections.abc import Sequence

from picograd.codegen import loops
from picograd.codegen.loops import Ref, Statement


def transpose(
    rows: Sequence[Ref], stem: str, group: int = 1
) -> tuple[tuple[Statement, ...], list[Ref]]:
    """The columns of a block whose rows are given, and the statements that make them. Elements
    are groups of so many lanes."""
    size = len(rows)
    if size & (size - 1) or any(row.lanes != size * group for row in rows):
        raise ValueError(f"{size} rows of {rows[0].lanes} lanes are no square block")
    half = size // 2
    places = tuple(lane // 2 + lane % 2 * size for lane in range(size))
    low = tuple(place * group + lane for place in places for lane in range(group))
    high = tuple(lane + half * group for lane in low)
    statements: list[Statement] = []
    block = list(rows)
    for number in range(size.bit_length() - 1):
        mixed: list[Ref] = []
        for index in range(size):
            pair = block[index // 2], block[index // 2 + half]
            name = f"{stem}{number}_{index}"
            statements.append(loops.Let(name, loops.Shuffle(*pair, high if index % 2 else low)))
            mixed.append(Ref(name, rows[0].dtype, size * group))
        block = mixed
    return tuple(statements), block
