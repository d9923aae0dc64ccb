"""What a kernel occupies of a multiprocessor, and how many of its blocks are there at once.

In: a launchable function's attributes, from the driver. Out: `Resources`, and a line of text about
them for DEBUG=6. The number of resident blocks follows from the limits of the device by the rules
of the CUDA programming guide: registers are handed out to warps in portions of 256, and to each of
four partitions apart; shared memory in portions of 128 bytes, one KiB a block being the system's.

>>> hopper = Multiprocessor(2048, 32, 65536, 228 << 10, 1 << 10)
>>> hopper.resident(threads=256, registers=128, shared=33 << 10)
2
>>> Resources(1024, 256, 128, 33 << 10, 0, 2, 2048).text()
'1024 blocks of 256 threads, 128 registers, 33.0 KiB of shared memory, no spills, 2 blocks at once \
(25% occupancy)'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from picograd.runtime.cuda.driver import Driver
    from picograd.runtime.cuda.modules import LaunchablePhase

_WARP = 32
_PARTITIONS = 4
_REGISTER_PORTION = 256
_SHARED_PORTION = 128


def _rounded(size: int, portion: int) -> int:
    return -(-size // portion) * portion


@dataclass(frozen=True, slots=True)
class Multiprocessor:
    """The limits of one: threads, blocks, registers, bytes of shared memory, and of these how
    many each block loses to the system."""

    threads: int
    blocks: int
    registers: int
    shared: int
    reserved: int

    @staticmethod
    def of(opened: Driver) -> Multiprocessor:
        names = opened.cuda.device_attribute
        asked = (
            names.MAX_THREADS_PER_MULTIPROCESSOR,
            names.MAX_BLOCKS_PER_MULTIPROCESSOR,
            names.MAX_REGISTERS_PER_MULTIPROCESSOR,
            names.MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
            names.RESERVED_SHARED_MEMORY_PER_BLOCK,
        )
        return Multiprocessor(*(opened.device.get_attribute(name) for name in asked))

    def resident(self, threads: int, registers: int, shared: int) -> int:
        """How many blocks of so many threads are here at once; `registers` of each thread,
        `shared` bytes of each block."""
        warps = -(-threads // _WARP)
        portion = _rounded(max(registers, 1) * _WARP, _REGISTER_PORTION)
        by_registers = self.registers // _PARTITIONS // portion * _PARTITIONS // warps
        by_shared = self.shared // _rounded(shared + self.reserved, _SHARED_PORTION)
        by_threads = self.threads // (warps * _WARP)
        return min(self.blocks, by_threads, by_registers, by_shared)


@dataclass(frozen=True, slots=True)
class Resources:
    """A launch: its grid, each thread's registers and bytes of local memory, each block's bytes of
    shared memory, the blocks that a multiprocessor holds at once, and the threads it could hold."""

    blocks: int
    threads: int
    registers: int
    shared: int
    local: int
    resident: int
    most_threads: int

    @staticmethod
    def of(opened: Driver, phase: LaunchablePhase) -> Resources:
        function: Any = phase.function
        kinds = opened.cuda.function_attribute
        registers = function.get_attribute(kinds.NUM_REGS)
        shared = function.get_attribute(kinds.SHARED_SIZE_BYTES) + phase.shared
        limits = Multiprocessor.of(opened)
        resident = limits.resident(phase.threads, registers, shared)
        return Resources(
            *(phase.blocks, phase.threads, registers, shared),
            function.get_attribute(kinds.LOCAL_SIZE_BYTES),
            *(resident, limits.threads),
        )

    @property
    def occupancy(self) -> float:
        """The share of a multiprocessor's threads that have a place on it."""
        return self.resident * _rounded(self.threads, _WARP) / self.most_threads

    def text(self) -> str:
        shared = f"{self.shared / 1024:.1f} KiB of" if self.shared else "no"
        local = f"{self.local} bytes a thread of local memory" if self.local else "no spills"
        return (
            f"{self.blocks} blocks of {self.threads} threads, {self.registers} registers, "
            f"{shared} shared memory, {local}, {self.resident} blocks at once "
            f"({100 * self.occupancy:.0f}% occupancy)"
        )
