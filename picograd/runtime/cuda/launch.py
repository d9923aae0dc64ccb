"""One kernel of a program, and how its parameters are packed for each run.

In: a step, its compiled kernel, and where the kernel's memories are. Out: `Launch`, which gives
the kernel to the stream. The parameters are one packed buffer: the addresses of the kernel's
arguments, its run-time numbers, then the addresses of the status word, the workspace and the
threads' scratch, then descriptors of arguments (see `codegen.cuda.render`). Called by `executable`
and `replay`.

>>> at(Place(1, 64), (0, 4096)), at(NOWHERE, (0, 4096))
(4160, 0)
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import NamedTuple

from picograd.runtime.cuda import maps
from picograd.runtime.cuda.driver import Driver, failed
from picograd.runtime.cuda.modules import LaunchableKernel
from picograd.schedule.kernel import Step


class Operands(NamedTuple):
    """What a run computes with: addresses, the first of which is 0, and the program's values as
    8-byte cells."""

    addresses: tuple[int, ...]
    values: tuple[int, ...]


class Place(NamedTuple):
    """An address of a run: `offset` bytes behind the address `number` of its operands."""

    number: int
    offset: int


NOWHERE = Place(0, 0)


def at(place: Place, addresses: Sequence[int]) -> int:
    """The address of a place."""
    return addresses[place.number] + place.offset


class Launch:
    """A kernel of a program. `memory` holds the parameters that were packed last; `reads` are the
    numbers of the addresses and of the values that they depend on."""

    def __init__(
        self,
        step: Step,
        kernel: LaunchableKernel,
        arguments: Sequence[Place],
        private: Sequence[Place],
    ) -> None:
        self.step, self.kernel = step, kernel
        self._arguments, self._private = arguments, private
        sizes = [dtype.itemsize for dtype in kernel.scalars]
        numbers = "".join({1: "B", 2: "H", 4: "I", 8: "Q"}[size] for size in sizes)
        # Native alignment, as a C struct has it.
        self._layout = struct.Struct(f"@{len(arguments)}Q{numbers}3Q")
        masks = [(1 << 8 * size) - 1 for size in sizes]
        self._numbers = list(zip(step.scalars, masks, strict=True))
        size = self._layout.size
        self._maps = [
            (tile, arguments[tile.argument], size + number * maps.SIZE)
            for number, tile in enumerate(kernel.maps)
        ]
        self.memory = ctypes.create_string_buffer(size + len(self._maps) * maps.SIZE)
        self.reads = (
            frozenset(place.number for place in (*arguments, *private)) - {NOWHERE.number},
            frozenset(step.scalars),
        )

    def pack(self, operands: Operands) -> None:
        """Write the parameters of a run; a number is the low bytes of its cell."""
        addresses, values = operands
        self._layout.pack_into(
            self.memory,
            0,
            *[addresses[number] + offset for number, offset in self._arguments],
            *[values[number] & mask for number, mask in self._numbers],
            *[addresses[number] + offset for number, offset in self._private],
        )
        for tile, place, start in self._maps:
            self.memory[start : start + maps.SIZE] = maps.encode(tile, at(place, addresses))

    def enqueue(self, opened: Driver, operands: Operands) -> None:
        """Give the kernel to the stream."""
        self.pack(operands)
        try:
            for phase in self.kernel.phases:
                phase.enqueue(self.memory, opened.stream)
            if opened.blocking:
                opened.stream.synchronize()
        except opened.cuda.Error as error:
            raise failed(error, self.step.kernel) from error
