"""A program as work on the stream.

In: a `schedule.kernel.Program` and its launchable kernels. Out: `CudaExecutable`. A run only
enqueues; whoever reads a result waits for it. From its third run on, a program is a CUDA graph.

A program that checks indices is run in three parts: what its checks need; the kernels that only
write fresh memory, with indices that are kept inside (see `schedule.express`); and, from the first
kernel that overwrites an input on, the rest. In between the host waits for the checks, while the
GPU is busy with the second part; a failing one changes nothing.

>>> _aligned(1), _aligned(256)
(256, 256)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from picograd.errors import InternalError
from picograd.runtime.buffer import Buffer
from picograd.runtime.cuda import capture, driver, memory
from picograd.runtime.cuda.launch import NOWHERE, Launch, Operands, Place
from picograd.runtime.cuda.modules import LaunchableKernel
from picograd.runtime.cuda.replay import Part
from picograd.runtime.cuda.timing import Stopwatch
from picograd.runtime.observe import Timing
from picograd.schedule.kernel import Kernel, Program, SlotKind

LAUNCHED_RUNS = 2  # runs before a program is worth a graph


def _aligned(size: int) -> int:
    return -(-size // 256) * 256


class _Check:
    """The word that a check sets when it fails, in the host's memory: kernels touch it only then.
    All programs share it, since each waits for its checks. `passed` is the event behind them."""

    def __init__(self, opened: driver.Driver) -> None:
        cuda = opened.cuda
        self.word = cuda.pagelocked_zeros(1, np.int32, mem_flags=cuda.host_alloc_flags.DEVICEMAP)
        self.address = int(self.word.base.get_device_pointer())
        self.passed = cuda.Event(cuda.event_flags.DISABLE_TIMING)


@lru_cache(maxsize=1)
def _check() -> _Check:
    opened = driver.get()
    opened.at_end.append(_check.cache_clear)
    with opened:
        return _Check(opened)


class CudaExecutable:
    """A compiled program; see `runtime.device.Executable`."""

    loaded = False

    def __init__(self, program: Program, kernels: Mapping[Kernel, LaunchableKernel]) -> None:
        self.program = program
        self.kernel_count = len(program.steps)
        self._names = tuple(step.kernel.name for step in program.steps)
        self._outputs = [slot for slot in program.slots if slot.kind is SlotKind.OUTPUT]
        self._made = [(slot.dtype, slot.size) for slot in self._outputs]
        self._result_plan = program.plan_results()
        numbers = [slot.number for slot in program.slots if slot.kind is SlotKind.INPUT]
        self._inputs = 1 + max(numbers, default=-1)
        self._values = 1 + max((v for step in program.steps for v in step.scalars), default=-1)
        self._runs = 0
        launches = self._plan_launches(kernels)
        self._sizes = [slot.size * slot.dtype.itemsize for slot in self._outputs]
        if self._block_bytes:
            self._sizes.append(self._block_bytes)
        checking = [n for n, step in enumerate(program.steps) if step.kernel.checks]
        self._origins = sorted({program.steps[n].origin or "" for n in checking} - {""})
        self._checked = bool(checking)
        # Without checks, all is behind the last of them.
        last = 1 + max(checking, default=-1)
        first_write = self._first_overwriting() if checking else 0
        if first_write < last:
            raise InternalError(f"kernel {first_write} overwrites an input before the last check")
        bounds = (0, last, first_write, len(launches))
        self._parts = [Part(launches[start:end]) for start, end in itertools.pairwise(bounds)]

    def _plan_launches(self, kernels: Mapping[Kernel, LaunchableKernel]) -> list[Launch]:
        """The steps with the places of their memories. One block a run has the temporaries, then
        the workspace, then the threads' scratch."""
        used = [kernels[step.kernel] for step in self.program.steps]
        workspace_at = _aligned(self.program.arena)
        scratch_at = workspace_at + _aligned(max((one.workspace for one in used), default=0))
        scratch = [one.scratch * one.most_threads for one in used]
        self._block_bytes = scratch_at + max(scratch, default=0)
        block = 1 + self._inputs + len(self._outputs)  # its number among the addresses
        places = self._places(block)
        launches = []
        for step, kernel in zip(self.program.steps, used, strict=True):
            arguments = [places[slot] for slot in step.slots]
            private = (
                Place(NOWHERE.number, _check().address) if step.kernel.checks else NOWHERE,
                Place(block, workspace_at) if kernel.workspace else NOWHERE,
                Place(block, scratch_at) if kernel.scratch else NOWHERE,
            )
            launches.append(Launch(step, kernel, arguments, private))
        return launches

    def _places(self, block: int) -> list[Place]:
        """Where each slot of the program is in a run."""
        outputs = itertools.count(1 + self._inputs)
        places = []
        for slot in self.program.slots:
            if slot.kind is SlotKind.INPUT:
                places.append(Place(1 + slot.number, 0))
            elif slot.kind is SlotKind.OUTPUT:
                places.append(Place(next(outputs), 0))
            else:
                places.append(Place(block, slot.offset))
        return places

    def _first_overwriting(self) -> int:
        """The first step that writes to an input, or the number of steps."""
        for number, step in enumerate(self.program.steps):
            pairs = zip(step.slots, step.kernel.arguments, strict=True)
            if any(memory.written and self._is_input(slot) for slot, memory in pairs):
                return number
        return len(self.program.steps)

    def _is_input(self, slot: int) -> bool:
        return self.program.slots[slot].kind is SlotKind.INPUT

    def run(
        self,
        inputs: Sequence[Buffer],
        values: Sequence[int] = (),
        timings: list[Timing] | None = None,
    ) -> list[Buffer]:
        """Enqueue the kernels. See `runtime.device.Executable`."""
        if len(inputs) < self._inputs or len(values) < self._values:
            raise InternalError(
                f"a program of {self._inputs} inputs and {self._values} values was given "
                f"{len(inputs)} and {len(values)}"
            )
        opened = driver.get()
        with opened, opened.lock:  # in this order: a forked child has to fail, not to wait
            blocks = memory.allocate_all(opened, self._sizes)
            made: list[Buffer] = [
                memory.DeviceBuffer(dtype, size, "cuda", block.address, block)
                for (dtype, size), block in zip(self._made, blocks, strict=False)
            ]
            if self.kernel_count:
                addresses = (
                    0,
                    *[buffer.address for buffer in inputs[: self._inputs]],
                    *[block.address for block in blocks],
                )
                operands = Operands(addresses, tuple(values[: self._values]))
                if timings is not None:
                    stopwatch = Stopwatch(opened, timings)
                    self._run_parts(opened, lambda part: _time(part, operands, stopwatch))
                    stopwatch.finish()
                elif (noting := capture.current()) is not None:
                    self._note(noting, operands, values, [*inputs[: self._inputs], *made])
                else:
                    self._enqueue(opened, operands)
        return [made[n] if fresh else inputs[n] for fresh, n in self._result_plan]

    def _note(
        self, noting: capture.Capture, now: Operands, values: Sequence[int], used: Sequence[Buffer]
    ) -> None:
        """Note a run: its addresses stay, random streams go on."""
        cells = list(values)
        noting.random.append((cells, noting.slots))
        noting.slots = []

        def again(opened: driver.Driver) -> None:
            self._runs = max(self._runs, LAUNCHED_RUNS)
            self._enqueue(opened, now._replace(values=tuple(cells[: self._values])))

        noting.note(again, *used)

    def _enqueue(self, opened: driver.Driver, operands: Operands) -> None:
        """Give the kernels to the stream: one by one at first, as graphs later."""
        opened.enqueued.append(self._names)
        self._runs += 1
        give = Part.replay
        if self._runs <= LAUNCHED_RUNS or opened.blocking:
            give = Part.enqueue
        if self._checked:
            self._run_parts(opened, lambda part: give(part, opened, operands))
        else:
            give(self._parts[-1], opened, operands)

    def _run_parts(self, opened: driver.Driver, give: Callable[[Part], None]) -> None:
        checking, meanwhile, rest = self._parts
        if self._checked:
            check = _check()
            check.passed.synchronize()  # a run that was interrupted may not have waited
            check.word[0] = 0
            give(checking)
            check.passed.record(opened.stream)
            give(meanwhile)
            check.passed.synchronize()
            if check.word[0]:
                raise self._outside()
        give(rest)

    def _outside(self) -> IndexError:
        where = f" (from {' or '.join(self._origins)})" if self._origins else ""
        return IndexError(
            f"index out of range in self: an index tensor points outside the dimension it "
            f"indexes{where}. The tensors are as they were before."
        )


def _time(part: Part, operands: Operands, stopwatch: Stopwatch) -> None:
    stopwatch.begin(len(part.launches))
    for launch in part.launches:
        launch.enqueue(stopwatch.opened, operands)
        stopwatch.lap(launch.step.kernel, launch.kernel.unit)
