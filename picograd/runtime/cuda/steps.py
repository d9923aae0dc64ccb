"""Kernels that belong to no program: sorting, searching, and their like.

In: a CUDA C file with its kernels, and launches of them: grids and parameters. Out: work on the
stream; nobody waits. `runtime.cuda.sorting` works with it.

>>> packed([Ref(1), 7, Narrow(3)]).hex(" ", 4)
'01000000 00000000 07000000 00000000 03000000'
"""

from __future__ import annotations

import struct
import sys
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, NewType

from picograd import env
from picograd.runtime.cuda import capture, driver
from picograd.runtime.cuda.compiler import cubin_of

Ref = NewType("Ref", int)  # an address


class Narrow(int):
    """An int parameter; other numbers are 8 bytes wide."""


class Step(NamedTuple):
    """One launch: a kernel of the file, its blocks and their threads, its parameters, and bytes of
    dynamic shared memory."""

    kernel: str
    blocks: int
    threads: int
    parameters: Sequence[int]
    shared: int = 0


_lock = threading.RLock()


def packed(parameters: Sequence[int]) -> bytes:
    """Parameters as a C struct has them."""
    kinds = "".join("i" if isinstance(number, Narrow) else "Q" for number in parameters)
    masks = [number if isinstance(number, Narrow) else number % (1 << 64) for number in parameters]
    return struct.pack(f"@{kinds}", *masks)


@lru_cache(maxsize=128)
def _module(source: str) -> Any:
    opened = driver.get()
    if _module.cache_clear not in opened.at_end:
        opened.at_end.append(_module.cache_clear)
    if env.debug_level() >= 4:
        print(f"--- CUDA C\n{source}", file=sys.stderr)
    return opened.cuda.module_from_buffer(cubin_of(source, opened.architecture))


def run(title: str, source: str, steps: Sequence[Step]) -> None:
    """Enqueue the launches, in order. `title` names them in errors and under DEBUG=2."""
    noting = capture.current()
    if noting is not None:
        noting.note(lambda _: run(title, source, steps))
        noting.addresses.update(number for step in steps for number in step.parameters)
        return
    opened = driver.get()
    with opened, _lock, opened.lock:
        opened.enqueued.append([title])
        try:
            module = _module(source)
            functions = {step.kernel: module.get_function(step.kernel) for step in steps}
            watched = env.debug_level() >= 2
            marks = [_mark(opened)] if watched else []
            for step in steps:
                buffer = packed(step.parameters)
                grid, block = (step.blocks, 1, 1), (step.threads, 1, 1)
                functions[step.kernel]._launch_kernel(
                    grid, block, buffer, step.shared, opened.stream
                )
                if watched:
                    marks.append(_mark(opened))
            if watched or opened.blocking:
                opened.stream.synchronize()
        except opened.cuda.Error as error:
            raise driver.failed(error) from error
    for step, start, end in zip(steps, marks, marks[1:], strict=False):
        name = f"{title}: {step.kernel}"
        print(f"kernel {name:48} {end.time_since(start) * 1e3:10.1f} us", file=sys.stderr)


def _mark(opened: driver.Driver) -> Any:
    event = opened.cuda.Event()
    event.record(opened.stream)
    return event
