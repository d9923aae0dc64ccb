"""Python's `multiprocessing`, with torch's additions.

In: as there. Out: as there, and `spawn`, which starts several processes of one function. Tensors go
through queues and pipes as copies. `share_memory_()` moves a tensor into memory that forked
processes see too; a process that gets it as an argument of a fork writes into the same memory.

>>> import picograd
>>> Queue is not None, picograd.ones(2).share_memory_().is_shared()
(True, True)
"""

from __future__ import annotations

import multiprocessing as _python
from collections.abc import Callable, Sequence
from multiprocessing import *  # noqa: F403
from multiprocessing import get_context as _context
from typing import Any

from picograd.frontend.sharing import share_memory_ as share_memory_

__all__ = [*_python.__all__, "SpawnContext", "get_all_sharing_strategies", "spawn"]  # noqa: PLE0604


class ProcessRaisedException(Exception):
    """A process of `spawn` ended with an exception or a signal."""


class SpawnContext:
    """The processes that `spawn` has started."""

    def __init__(self, processes: Sequence[Any]) -> None:
        self.processes = list(processes)

    def pids(self) -> list[int]:
        """Their numbers."""
        return [process.pid for process in self.processes]

    def join(self, timeout: float | None = None) -> bool:
        """Wait for all. Raises ProcessRaisedException if one has failed; False: some still run."""
        for process in self.processes:
            process.join(timeout)
        for number, process in enumerate(self.processes):
            if process.exitcode:
                for other in self.processes:
                    other.terminate()
                raise ProcessRaisedException(
                    f"process {number} terminated with exit code {process.exitcode}; its own "
                    "output has the traceback"
                )
        return all(process.exitcode is not None for process in self.processes)


def start_processes(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> SpawnContext | None:
    """Run `fn(number, *args)` in `nprocs` processes; with `join`, wait for them."""
    context = _context(start_method)
    processes = []
    for number in range(nprocs):
        process: Any = context.Process(target=fn, args=(number, *args), daemon=daemon)  # pyright: ignore[reportAttributeAccessIssue]
        process.start()
        processes.append(process)
    started = SpawnContext(processes)
    if not join:
        return started
    started.join()
    return None


def spawn(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> SpawnContext | None:
    """`start_processes` with new interpreters."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)


def get_all_sharing_strategies() -> set[str]:
    """How tensors travel: as copies."""
    return {"file_system"}


def get_sharing_strategy() -> str:
    """How tensors travel: as copies."""
    return "file_system"


def set_sharing_strategy(new_strategy: str) -> None:
    """Torch's strategies are accepted; tensors travel as copies."""
    if new_strategy not in ("file_system", "file_descriptor"):
        raise AssertionError(f"unknown sharing strategy {new_strategy!r}")
