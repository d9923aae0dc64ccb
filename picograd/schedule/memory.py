"""Where every buffer of a program lives.

In: kernels in order with the memory of each argument. Out: numbered slots: inputs, outputs, and
an arena in which temporaries share bytes when their lifetimes do not overlap. Called by
`schedule.plan`.

>>> place([(0, 1, 100), (1, 2, 100), (2, 3, 100)])
([0, 128, 0], 256)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ALIGNMENT = 64


def place(lifetimes: Sequence[tuple[int, int, int]]) -> tuple[list[int], int]:
    """Offsets for (first step, last step, bytes), and the size of the arena.

    Best fit: each buffer, the large ones first, goes into the smallest gap between the buffers
    that are alive at the same time.
    """
    offsets = [0] * len(lifetimes)
    placed = np.zeros((4, len(lifetimes)), np.int64)  # begin, end, first step, last step
    total = 0
    order = sorted(range(len(lifetimes)), key=lambda n: (-lifetimes[n][2], lifetimes[n][0]))
    for count, number in enumerate(order):
        first, last, size = lifetimes[number]
        size = -(-max(size, 1) // ALIGNMENT) * ALIGNMENT
        begins, ends, starts, stops = placed[:, :count]
        alive = (stops >= first) & (starts <= last)
        best, best_gap, cursor = None, None, 0
        for begin, end in sorted(zip(begins[alive].tolist(), ends[alive].tolist(), strict=True)):
            gap = begin - cursor
            if gap >= size and (best_gap is None or gap < best_gap):
                best, best_gap = cursor, gap
            cursor = max(cursor, end)
        offset = cursor if best is None else best
        offsets[number] = offset
        placed[:, count] = offset, offset + size, first, last
        total = max(total, offset + size)
    return offsets, total
