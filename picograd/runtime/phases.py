"""Calls of generated phases that belong to no program, on the thread pool.

In: addresses of phases (see `runtime.native` for their arguments), buffers, numbers. Out: nothing;
the calls have run, one after another. `runtime.sorting` works with it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from picograd.runtime import native
from picograd.runtime import pool as pools
from picograd.runtime.allocator import HOST


@dataclass(frozen=True, slots=True)
class Call:
    """One phase: `extent` iterations of about `work` nanoseconds each, and its numbers."""

    address: int
    extent: int
    work: float
    scalars: Sequence[int]


def run(calls: Sequence[Call], buffers: Sequence[int], scratch: int = 0) -> None:
    """Run the calls in order. All get the same buffers; `scratch`: bytes for each thread."""
    count, numbers = len(calls), len(calls[0].scalars)
    steps, phases, operands = [], [], []
    for n, call in enumerate(calls):
        steps += [len(buffers), numbers, len(operands), 1, n, 0]
        phases += [call.address, struct.unpack("q", struct.pack("d", call.work))[0]]
        operands += [*range(len(buffers)), *range(n * numbers, (n + 1) * numbers)]
    values = [number for call in calls for number in call.scalars]
    tables = [steps, operands, phases, [call.extent for call in calls], list(buffers), values]
    room = [0] * (len(buffers) + numbers)  # for the arguments of one phase
    cells = np.array([0] * native.FRAME_CELLS + list(chain(*tables)) + room, np.int64)
    base: int = cells.ctypes.data
    block = HOST.allocate(scratch) if scratch else None
    pool = pools.current()
    header = {native.FRAME_END: count, native.FRAME_SCRATCH_BYTES: -(-scratch // 64) * 64}
    at = native.FRAME_CELLS
    names = (native.FRAME_STEPS, native.FRAME_OPERANDS, native.FRAME_PHASES, native.FRAME_EXTENTS)
    for name, table in zip((*names, native.FRAME_SLOTS, native.FRAME_VALUES), tables, strict=True):
        header[name] = base + 8 * at
        at += len(table)
    header[native.FRAME_BUFFERS] = base + 8 * at
    header[native.FRAME_SCALARS] = base + 8 * (at + len(buffers))
    header[native.FRAME_SCRATCH] = 0 if block is None else block.address
    header[native.FRAME_POOL], header[native.FRAME_THREADS] = pool.address, 1 + pool.workers
    cells[list(header)] = list(header.values())
    pools.entry()(base)
    del block, pool  # they were needed until here
