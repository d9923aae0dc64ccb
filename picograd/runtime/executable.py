"""A program as one native call.

In: a `schedule.kernel.Program` and its compiled kernels, or the `Layout` that an earlier process
made of them and the code. Out: `CpuExecutable`, whose `run` makes the outputs, fills a *frame* with
addresses and numbers, and calls the native executor once.

A frame is one block of 64-bit cells: the header that `runtime.native` reads, then the addresses of
the program's slots (inputs, outputs, temporaries), its values, the extents of all phases, and room
for the arguments of one kernel. Frames are reused; each belongs to one run at a time, so any
number of threads may run one executable.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np

from picograd.errors import InternalError
from picograd.graph.index import Index, Param, Var
from picograd.runtime import native
from picograd.runtime import pool as pools
from picograd.runtime.allocator import HOST, Block
from picograd.runtime.buffer import Buffer
from picograd.runtime.device import Interrupted
from picograd.runtime.jit import Library
from picograd.runtime.kernels import CompiledKernel, Outline
from picograd.runtime.observe import Timing
from picograd.schedule.kernel import Kernel, Program, SlotKind

_SIGN = 1 << 63
Code = tuple[Library, tuple[int, ...]]  # a kernel's: what holds it, where its phases begin


def _aligned(size: int) -> int:
    return -(-size // 64) * 64


class _Extent(NamedTuple):
    """The extent of phase `number`, which depends on program values: parameter -> value."""

    number: int
    extent: Index
    parameters: tuple[tuple[Param, int], ...]


class Layout:
    """What all runs of a program share, as the native executor reads it, but for where the code
    is: `phases` has room for the addresses of the phases of each step's kernel, by its number."""

    def __init__(self, program: Program, outlines: Mapping[Kernel, Outline]) -> None:
        slots = program.slots
        of_kind = {
            kind: [n for n, slot in enumerate(slots) if slot.kind is kind] for kind in SlotKind
        }
        self.inputs = 1 + max((slots[n].number for n in of_kind[SlotKind.INPUT]), default=-1)
        self.outputs = [slots[n] for n in of_kind[SlotKind.OUTPUT]]
        self.offsets = [slots[n].offset for n in of_kind[SlotKind.ARENA]]
        # The frame's cell of each slot: inputs by number, then outputs, then temporaries.
        self.cell_of = {n: slots[n].number for n in of_kind[SlotKind.INPUT]}
        for n in of_kind[SlotKind.OUTPUT] + of_kind[SlotKind.ARENA]:
            self.cell_of[n] = self.inputs + len(self.cell_of) - len(of_kind[SlotKind.INPUT])
        self.slots = self.inputs + len(self.outputs) + len(self.offsets)
        self.values = 1 + max((v for step in program.steps for v in step.scalars), default=-1)
        self.buffers = max((len(step.slots) for step in program.steps), default=0)
        self.scalars = max((len(step.scalars) for step in program.steps), default=0)
        self.constant: list[int] = []
        self.variable: list[_Extent] = []
        steps: list[int] = []
        operands: list[int] = []
        phases: list[int] = []
        number = {kernel: n for n, kernel in enumerate(outlines)}
        for step in program.steps:
            outline = outlines[step.kernel]
            first = len(self.constant)
            counts = (len(step.slots), len(step.scalars), len(operands))
            steps += [*counts, len(outline.phases), first, int(step.kernel.checks)]
            operands += [self.cell_of[n] for n in step.slots]
            operands += step.scalars
            for extent, work in outline.phases:
                phases += [0, struct.unpack("q", struct.pack("d", work))[0]]
                self._add_extent(extent, step.scalars)
        self.kernels = [number[step.kernel] for step in program.steps]
        self.steps = np.array(steps, np.int64)
        self.operands = np.array(operands, np.int64)
        self.phases = np.array(phases, np.int64)
        self.arena = program.arena
        self.scratch = max((outline.scratch for outline in outlines.values()), default=0)
        self.workspace = max((outline.workspace for outline in outlines.values()), default=0)
        self.results = program.plan_results()

    def place(self, code: Sequence[tuple[int, ...]]) -> None:
        """Fill in the addresses of the phases of each kernel, which are in order."""
        addresses = [address for n in self.kernels for address in code[n]]
        self.phases[::2] = np.array(addresses, np.uint64).astype(np.int64)

    def _add_extent(self, extent: Index, scalars: Sequence[int]) -> None:
        if extent.is_constant:
            self.constant.append(extent.constant)
            return
        parameters = [atom for atom in extent.atoms() if isinstance(atom, Param)]
        if len(parameters) != len(extent.atoms()):
            raise InternalError(f"a phase's extent depends on a loop variable: {extent}")
        pairs = tuple((parameter, scalars[parameter.slot]) for parameter in parameters)
        self.variable.append(_Extent(len(self.constant), extent, pairs))
        self.constant.append(0)


def layout_of(program: Program, kernels: Mapping[Kernel, CompiledKernel]) -> Layout:
    """The layout of a program whose kernels were compiled."""
    return Layout(program, {kernel: made.outline for kernel, made in kernels.items()})


class _Frame:
    """The memory of one run at a time."""

    __slots__ = ("address", "base", "cells", "extents_at", "memory", "slots_at", "values_at")

    def __init__(self, tables: Layout, steps: int, scratch: int) -> None:
        self.slots_at = native.FRAME_CELLS
        self.values_at = self.slots_at + tables.slots
        self.extents_at = self.values_at + tables.values
        buffers_at = self.extents_at + len(tables.constant)
        scalars_at = buffers_at + tables.buffers
        self.cells = np.zeros(scalars_at + tables.scalars, np.int64)
        self.address = self.cells.ctypes.data
        self.memory = self.cells.data.cast("B")
        self.base = 0  # where the temporaries of the last run were
        cells = self.cells
        cells[native.FRAME_END] = steps
        cells[native.FRAME_STEPS] = tables.steps.ctypes.data
        cells[native.FRAME_OPERANDS] = tables.operands.ctypes.data
        cells[native.FRAME_PHASES] = tables.phases.ctypes.data
        cells[native.FRAME_EXTENTS] = self.address + 8 * self.extents_at
        cells[native.FRAME_SLOTS] = self.address + 8 * self.slots_at
        cells[native.FRAME_VALUES] = self.address + 8 * self.values_at
        cells[native.FRAME_SCRATCH_BYTES] = scratch
        cells[native.FRAME_BUFFERS] = self.address + 8 * buffers_at
        cells[native.FRAME_SCALARS] = self.address + 8 * scalars_at
        cells[self.extents_at : buffers_at] = tables.constant


class CpuExecutable:
    """A compiled program; see `runtime.device.Executable`."""

    def __init__(
        self, layout: Layout, code: Sequence[Code], program: Callable[[], Program], device: str
    ) -> None:
        layout.place([addresses for _, addresses in code])
        self._tables = layout
        self._program = program
        self._code = code  # stays loaded
        self.loaded = False
        self.device = device
        self.kernel_count = len(layout.kernels)
        # One block a run: temporaries, the workspace, the calling thread's scratch.
        self._scratch = _aligned(layout.scratch)
        self._workspace_at = _aligned(layout.arena)
        self._scratch_at = self._workspace_at + _aligned(layout.workspace)
        self._block_bytes = self._scratch_at + self._scratch
        # Pool, threads and status of the header, then the addresses of inputs and outputs.
        self._addresses = struct.Struct(f"{3 + self._tables.inputs + len(self._tables.outputs)}Q")
        self._values = struct.Struct(f"{self._tables.values}q")
        self._output_bytes = [slot.size * slot.dtype.itemsize for slot in self._tables.outputs]
        self._frames: list[_Frame] = []
        self.result_plan = layout.results

    @classmethod
    def of(
        cls,
        program: Program,
        kernels: Mapping[Kernel, CompiledKernel],
        device: str = "cpu",
        layout: Layout | None = None,
    ) -> Self:
        """The executable of a program whose kernels were compiled; its layout, if that is known."""
        layout = layout or layout_of(program, kernels)
        code = [(made.library, made.addresses) for made in kernels.values()]
        return cls(layout, code, lambda: program, device)

    @property
    def program(self) -> Program:
        """What it was made of, which only those who look into it need."""
        return self._program()

    def run(
        self,
        inputs: Sequence[Buffer],
        values: Sequence[int] = (),
        timings: list[Timing] | None = None,
    ) -> list[Buffer]:
        """Compute the outputs. See `runtime.device.Executable`."""
        tables = self._tables
        if len(inputs) < tables.inputs or len(values) < tables.values:
            raise InternalError(
                f"a program of {tables.inputs} inputs and {tables.values} values was given "
                f"{len(inputs)} and {len(values)}"
            )
        made = self.make_outputs()
        if self.kernel_count:
            frame = self._frames.pop() if self._frames else self._new_frame()
            pool = pools.current()
            block = self._fill(frame, pool, inputs, made, values)
            try:
                if timings is None:
                    failed = pools.entry()(frame.address)
                else:
                    failed = self._run_timed(frame, timings)
            except KeyboardInterrupt:
                if timings is None and frame.cells[native.FRAME_STATUS] == native.COMPLETED:
                    raise Interrupted(self.results(inputs, made)) from None
                raise
            finally:
                self._frames.append(frame)
            del block, pool  # temporaries and threads were needed until here
            if failed >= 0:
                self._raise(failed)
        return self.results(inputs, made)

    def make_outputs(self) -> list[Buffer]:
        """Fresh memory for every output slot, not cleared."""
        blocks = HOST.allocate_all(self._output_bytes)
        return [
            Buffer(slot.dtype, slot.size, self.device, block.address, block)
            for slot, block in zip(self._tables.outputs, blocks, strict=True)
        ]

    def results(self, inputs: Sequence[Buffer], made: list[Buffer]) -> list[Buffer]:
        """The buffer of every output of the graph."""
        return [made[n] if fresh else inputs[n] for fresh, n in self.result_plan]

    def _new_frame(self) -> _Frame:
        return _Frame(self._tables, self.kernel_count, self._scratch)

    def _fill(
        self,
        frame: _Frame,
        pool: pools.Pool,
        inputs: Sequence[Buffer],
        made: list[Buffer],
        values: Sequence[int],
    ) -> Block | None:
        """Write a run's addresses and numbers; the result holds the temporaries."""
        tables = self._tables
        cells = frame.cells
        header = [pool.address, 1 + pool.workers, 0]
        header += [buffer.address for buffer in inputs[: tables.inputs]]
        header += [buffer.address for buffer in made]
        self._addresses.pack_into(frame.memory, 8 * native.FRAME_POOL, *header)
        if tables.values:
            numbers = values[: tables.values]
            try:
                self._values.pack_into(frame.memory, 8 * frame.values_at, *numbers)
            except struct.error:  # unsigned numbers from 2**63 on
                signed = [(n + _SIGN) % (2 * _SIGN) - _SIGN for n in numbers]
                self._values.pack_into(frame.memory, 8 * frame.values_at, *signed)
        for number, extent, parameters in tables.variable:
            known: dict[Var | Param, int] = {
                parameter: int(cells[frame.values_at + value]) for parameter, value in parameters
            }
            cells[frame.extents_at + number] = extent.evaluate(known)
        if not self._block_bytes:
            return None
        block = HOST.allocate(self._block_bytes)
        if block.address != frame.base:
            base = frame.base = block.address
            cells[native.FRAME_WORKSPACE] = base + self._workspace_at
            cells[native.FRAME_SCRATCH] = base + self._scratch_at
            start = frame.slots_at + tables.inputs + len(made)
            cells[start : start + len(tables.offsets)] = [base + n for n in tables.offsets]
        return block

    def _run_timed(self, frame: _Frame, timings: list[Timing]) -> int:
        """Run the frame's steps one by one; the number of the step that failed, or -1."""
        cells, run = frame.cells, pools.entry()
        try:
            for number, step in enumerate(self.program.steps):
                cells[native.FRAME_BEGIN], cells[native.FRAME_END] = number, number + 1
                cells[native.FRAME_STATUS] = 0  # the step before left it at COMPLETED
                start = time.perf_counter()
                failed = run(frame.address)
                timings.append(Timing(step.kernel, time.perf_counter() - start))
                if failed >= 0:
                    return failed
        finally:
            cells[native.FRAME_BEGIN], cells[native.FRAME_END] = 0, self.kernel_count
        return -1

    def _raise(self, failed: int) -> None:
        step = self.program.steps[failed]
        where = f" (from {step.origin})" if step.origin else ""
        raise IndexError(
            f"index out of range in self: an index tensor points outside the dimension it "
            f"indexes{where}. The tensors are as they were before."
        )
