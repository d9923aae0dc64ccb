"""A program as launches on the stream.

In: a `schedule.kernel.Program` and its launchable kernels. Out: `CudaExecutable`. A launch's
parameters are one packed buffer: the addresses of the kernel's arguments, its run-time numbers,
then the addresses of the status word, the workspace and the threads' scratch (see
`codegen.cuda.render`). A run only enqueues; whoever reads a result waits for it. Programs that
check indices wait once, after their checks, so that a failing one changes nothing.

>>> _aligned(1), _aligned(256)
(256, 256)
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np

from picograd.runtime.buffer import Buffer
from picograd.runtime.cuda import driver, memory
from picograd.runtime.cuda.modules import LaunchableKernel
from picograd.runtime.cuda.timing import Stopwatch
from picograd.runtime.observe import Timing
from picograd.schedule.kernel import Kernel, Program, SlotKind, StageKind, Step

_ONE = (1, 1, 1)


def _aligned(size: int) -> int:
    return -(-size // 256) * 256


class _Launch:
    """One step of a program: its kernel and how its parameters are packed."""

    def __init__(self, step: Step, kernel: LaunchableKernel) -> None:
        self.step, self.kernel = step, kernel
        self.checks = any(stage.kind is StageKind.CHECK for stage in step.kernel.stages)
        numbers = "".join({1: "B", 2: "H", 4: "I", 8: "Q"}[d.itemsize] for d in kernel.scalars)
        # Native alignment, as a C struct has it.
        self.layout = struct.Struct(f"@{len(step.slots)}Q{numbers}3Q")
        self.masks = [(1 << 8 * dtype.itemsize) - 1 for dtype in kernel.scalars]
        most = max((phase.blocks * phase.threads for phase in kernel.phases), default=0)
        self.scratch = kernel.scratch * most

    def pack(
        self, addresses: Sequence[int], values: Sequence[int], private: Sequence[int]
    ) -> bytes:
        """The parameters: a number is the low bytes of its 8-byte cell."""
        arguments = [addresses[slot] for slot in self.step.slots]
        numbers = [
            values[place] & mask for place, mask in zip(self.step.scalars, self.masks, strict=True)
        ]
        return self.layout.pack(*arguments, *numbers, *private)


class CudaExecutable:
    """A compiled program; see `runtime.device.Executable`."""

    loaded = False

    def __init__(self, program: Program, kernels: Mapping[Kernel, LaunchableKernel]) -> None:
        self.program = program
        self.kernel_count = len(program.steps)
        self._launches = [_Launch(step, kernels[step.kernel]) for step in program.steps]
        self._outputs = [slot for slot in program.slots if slot.kind is SlotKind.OUTPUT]
        self._result_plan = program.plan_results()
        # One block a run: the temporaries, then the status word, the workspace, the scratch.
        self._status_at = _aligned(program.arena)
        self._workspace_at = self._status_at + 256
        workspace = max((launch.kernel.workspace for launch in self._launches), default=0)
        self._scratch_at = self._workspace_at + _aligned(workspace)
        self._bytes = self._scratch_at + max((one.scratch for one in self._launches), default=0)

    def run(
        self,
        inputs: Sequence[Buffer],
        values: Sequence[int] = (),
        timings: list[Timing] | None = None,
    ) -> list[Buffer]:
        """Enqueue the kernels. See `runtime.device.Executable`."""
        opened = driver.get()
        made = [memory.empty(slot.dtype, slot.size) for slot in self._outputs]
        if self._launches:
            block = memory.allocate(self._bytes)
            addresses = self._addresses(inputs, made, block.address)
            with opened:
                try:
                    self._launch_all(opened, addresses, values, block.address, timings)
                except opened.cuda.Error as error:
                    raise driver.failed(error) from error
        return [made[n] if fresh else inputs[n] for fresh, n in self._result_plan]

    def _addresses(self, inputs: Sequence[Buffer], made: Sequence[Buffer], arena: int) -> list[int]:
        """The address of every slot of the program."""
        fresh = iter(made)
        addresses = []
        for slot in self.program.slots:
            if slot.kind is SlotKind.INPUT:
                addresses.append(inputs[slot.number].address)
            elif slot.kind is SlotKind.OUTPUT:
                addresses.append(next(fresh).address)
            else:
                addresses.append(arena + slot.offset)
        return addresses

    def _launch_all(
        self,
        opened: driver.Driver,
        addresses: Sequence[int],
        values: Sequence[int],
        arena: int,
        timings: list[Timing] | None,
    ) -> None:
        stream = opened.stream
        private = [arena + at for at in (self._status_at, self._workspace_at, self._scratch_at)]
        if any(launch.checks for launch in self._launches):
            opened.cuda.memset_d32_async(private[0], 0, 1, stream)
        stopwatch = None if timings is None else Stopwatch(opened, timings)
        if stopwatch is not None:
            stopwatch.begin(len(self._launches))
        for number, launch in enumerate(self._launches):
            parameters = launch.pack(addresses, values, private)
            for phase in launch.kernel.phases:
                phase.function._launch_kernel(
                    (phase.blocks, 1, 1), (phase.threads, 1, 1), parameters, 0, stream
                )
            if stopwatch is not None:
                stopwatch.lap(launch.step.kernel, launch.kernel.unit)
            following = self._launches[number + 1 : number + 2]
            if launch.checks and not any(one.checks for one in following):
                self._raise_if_set(opened, private[0])
                if stopwatch is not None:
                    stopwatch.begin(len(self._launches) - number)
        if stopwatch is not None:
            stopwatch.finish()

    def _raise_if_set(self, opened: driver.Driver, status: int) -> None:
        word = np.empty(1, np.int32)
        opened.cuda.memcpy_dtoh_async(word, status, opened.stream)
        opened.stream.synchronize()
        if not word[0]:
            return
        origins = {one.step.origin for one in self._launches if one.checks and one.step.origin}
        where = f" (from {' or '.join(sorted(origins))})" if origins else ""
        raise IndexError(
            f"index out of range in self: an index tensor points outside the dimension it "
            f"indexes{where}. The tensors are as they were before."
        )
