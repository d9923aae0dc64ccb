"""Every environment variable in one table, and the context manager that sets one in code.

In: the process's environment. Out: `DEBUG.get()` and its siblings, read by all stages.
`python -m picograd.env` prints the table.

>>> with Context(DEBUG="2:softmax*"):
...     (debug_level("softmax_4096"), debug_level("matmul"))
(2, 0)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Variable(Generic[T]):
    """One variable: `get()` is its value, parsed once and again after every `Context` change."""

    name: str
    default: str
    parse: Callable[[str], T]
    meaning: str
    _value: T | None = field(default=None, repr=False)
    _known: bool = field(default=False, repr=False)

    def get(self) -> T:
        if not self._known:
            self.set(os.environ.get(self.name, self.default))
        return self._value  # pyright: ignore[reportReturnType]

    def set(self, text: str) -> None:
        try:
            self._value = self.parse(text)
        except ValueError as error:
            raise ValueError(f"{self.name}={text!r} is not valid: {self.meaning}") from error
        self._known = True


@dataclass(frozen=True, slots=True)
class DebugSetting:
    """`DEBUG=4` or `DEBUG=4:softmax*`: a level, and the kernels it is for."""

    level: int
    pattern: str = "*"


def _parse_debug(text: str) -> DebugSetting:
    level, _, pattern = text.partition(":")
    return DebugSetting(int(level or 0), pattern or "*")


DEBUG = Variable(
    "DEBUG",
    "0",
    _parse_debug,
    "what is printed on stderr, see the levels below; DEBUG=4:softmax* prints level 4 for the "
    "kernels whose name matches",
)
DUMP = Variable(
    "DUMP", "", str, "a folder that receives what DEBUG=6 prints as files, one folder a kernel"
)
DEVICE = Variable(
    "DEVICE", "cpu", str, "the default device of new tensors: cpu, cuda, numpy or null"
)
NUM_THREADS = Variable(
    "PICOGRAD_NUM_THREADS",
    "0",
    int,
    "threads of the CPU device; 0 means as many as the process may use",
)
GRAPH_NODES = Variable(
    "PICOGRAD_GRAPH_NODES",
    "8000",
    int,
    "values that may wait to be computed; a loop is cut where it comes round before that",
)
ELASTIC = Variable(
    "PICOGRAD_ELASTIC",
    "1",
    int,
    "1: when ever new sizes come, compile one program for many of them; 0: one for each",
)
CACHE = Variable(
    "PICOGRAD_CACHE",
    "~/.cache/picograd",
    str,
    "the folder that keeps compiled programs for the next process; 0: none",
)
TUNE = Variable(
    "TUNE",
    "0",
    int,
    "1: search for the best tiles of every new contraction; later runs find them in tune.jsonl in "
    "the cache folder",
)
CPU_TARGET = Variable(
    "PICOGRAD_CPU",
    "host",
    str,
    "the processor to generate code for: host, or a preset of codegen.target (avx512, avx2, "
    "sse2, scalar) that the host can run",
)

VARIABLES: tuple[Variable[DebugSetting] | Variable[str] | Variable[int], ...] = (
    DEBUG,
    DUMP,
    DEVICE,
    NUM_THREADS,
    GRAPH_NODES,
    ELASTIC,
    CACHE,
    TUNE,
    CPU_TARGET,
)

LEVELS = (
    (1, "programs: how many kernels, and the time to compile or that the cache had it"),
    (2, "one line a kernel: name, shape, time, GFLOP/s, GB/s, percent of the machine's roofline"),
    (3, "the schedule in index notation, with the reason of every cut"),
    (4, "the generated LLVM IR or CUDA C"),
    (5, "the graph, the rules that changed it, and the loop IR before and after every pass"),
    (6, "assembly, registers and spills; of a GPU also shared memory and occupancy"),
)


def debug_level(kernel: str | None = None) -> int:
    """The DEBUG level in force, for a kernel's name when one is given."""
    setting = DEBUG.get()
    if kernel is not None and not fnmatch(kernel, setting.pattern):
        return 0
    return setting.level


class Context(ContextDecorator):
    """Set variables for a block or a function: `with Context(DEBUG=2): ...`.

    Keyword names are those of the table; values are what the environment would hold.
    Raises ValueError for an unknown name or a value that the variable can't take.
    """

    def __init__(self, **settings: str | int) -> None:
        known = {variable.name: variable for variable in VARIABLES}
        for name in settings:
            if name not in known:
                raise ValueError(f"unknown variable {name}; known: {', '.join(known)}")
        self._changes = [(known[name], str(value)) for name, value in settings.items()]
        self._saved: list[list[tuple[object, bool]]] = []

    def __enter__(self) -> Context:
        self._saved.append([(v._value, v._known) for v, _ in self._changes])
        for variable, text in self._changes:
            variable.set(text)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for (variable, _), (value, known) in zip(self._changes, self._saved.pop(), strict=True):
            variable._value, variable._known = value, known  # pyright: ignore


def table() -> Iterator[str]:
    """The lines that `python -m picograd.env` prints."""
    yield f"{'variable':20}  {'default':17}  meaning"
    for variable in VARIABLES:
        yield f"{variable.name:20}  {variable.default or '(none)':17}  {variable.meaning}"
    yield ""
    yield "DEBUG  prints, each level including those below it"
    for level, meaning in LEVELS:
        yield f"{level:5}  {meaning}"
