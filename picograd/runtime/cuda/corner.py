"""Copies between row-major arrays of different shapes in device memory.

In: addresses and shapes of two arrays, from `memory`. Out: copies on the stream, of
the elements whose coordinates are in both. Programs for many sizes lay out their inputs and cut
their outputs so.

>>> _levels((4, 8, 5), (4, 2, 5), 4)  # 2 * 5 elements of 4 bytes, 4 times
(40, [_Level(times=4, target=160, source=40)])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from picograd.runtime.cuda import driver


class Piece(NamedTuple):
    """Where a row-major array is."""

    address: int
    shape: Sequence[int]


def copy_corner(opened: driver.Driver, target: Piece, source: Piece, itemsize: int) -> None:
    """Enqueue the copy. The context is current."""
    width, levels = _levels(target.shape, source.shape, itemsize)
    if width and all(level.times for level in levels):
        _copy_levels(opened, target.address, source.address, width, levels)


class _Level(NamedTuple):
    """A loop around the pieces that are copied: how often, and how far apart in bytes."""

    times: int
    target: int
    source: int


def _levels(shape: Sequence[int], other: Sequence[int], itemsize: int) -> tuple[int, list[_Level]]:
    """The bytes that lie side by side in both arrays, and the loops around them, inner first."""
    width = target = source = itemsize
    levels: list[_Level] = []
    for mine, its in zip(reversed(shape), reversed(other), strict=True):
        count = min(mine, its)
        if width == target == source:
            width *= count
        elif levels and (target, source) == tuple(
            levels[-1].times * stride for stride in levels[-1][1:]
        ):
            levels[-1] = levels[-1]._replace(times=levels[-1].times * count)
        elif count != 1:
            levels.append(_Level(count, target, source))
        target, source = target * mine, source * its
    return width, levels


def _copy_levels(
    opened: driver.Driver, target: int, source: int, width: int, levels: list[_Level]
) -> None:
    """Two loops are the driver's; those around them are ours."""
    if len(levels) > 2:
        count, mine, its = levels[-1]
        for number in range(count):
            at = target + number * mine, source + number * its
            _copy_levels(opened, *at, width, levels[:-1])
        return
    rows, slices = [*levels, *[_Level(1, 0, 0)] * (2 - len(levels))]
    copy = opened.cuda.Memcpy3D()
    copy.set_dst_device(target)
    copy.set_src_device(source)
    copy.dst_pitch, copy.src_pitch = rows.target or width, rows.source or width
    # Strides of row-major arrays are multiples of those inside them.
    copy.dst_height = slices.target // copy.dst_pitch or rows.times
    copy.src_height = slices.source // copy.src_pitch or rows.times
    copy.width_in_bytes, copy.height, copy.depth = width, rows.times, slices.times
    copy(opened.stream)
