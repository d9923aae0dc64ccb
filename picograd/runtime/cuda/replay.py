"""Launches that nothing on the host comes between: one by one at first, then as a CUDA graph.

In: consecutive launches of a program, and for each run its operands. Out: work on the stream.
Called by `executable`.

A program's memory is where it was a few runs before, as a rule: what is freed is handed out again.
So a part keeps a few executable graphs, each with the operands that it was last launched with. The
same operands: nothing is updated. Others: the graph that differs in the fewest launches takes
the new parameters of those. Addresses that come back get a graph of their own.

>>> differing((0, 4096, 8192), (0, 4096, 4608))
[2]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from picograd.runtime.cuda import graphs
from picograd.runtime.cuda.driver import Driver
from picograd.runtime.cuda.launch import Launch, Operands

FEWEST = 2  # a graph of one launch gains nothing
MOST = 4  # executable graphs of a part: memory alternates between two places, seldom more


def differing(before: Sequence[int], now: Sequence[int]) -> list[int]:
    """The places at which two equally long sequences differ."""
    return [n for n, (one, other) in enumerate(zip(before, now, strict=True)) if one != other]


@dataclass(slots=True)
class _Copy:
    """An executable graph, and the operands that its launches have."""

    executable: graphs.Executable
    operands: Operands


class Part:
    """Consecutive launches of a program."""

    def __init__(self, launches: Sequence[Launch]) -> None:
        self.launches = launches
        # Which launches take each address and each value.
        self._takers: tuple[dict[int, list[int]], dict[int, list[int]]] = ({}, {})
        for number, launch in enumerate(launches):
            for reads, takers in zip(launch.reads, self._takers, strict=True):
                for place in reads:
                    takers.setdefault(place, []).append(number)
        self._worth = sum(len(launch.kernel.phases) for launch in launches) >= FEWEST
        self._graph: graphs.Graph | None = None
        self._nodes: list[list[graphs.Node]] = []
        self._recorded = Operands((), ())
        self._copies: dict[tuple[int, ...], _Copy] = {}
        self._seen: deque[tuple[int, ...]] = deque(maxlen=2 * MOST)  # addresses that had no copy

    def enqueue(self, opened: Driver, operands: Operands) -> None:
        """Give the launches to the stream one by one."""
        for launch in self.launches:
            launch.enqueue(opened, operands)

    def replay(self, opened: Driver, operands: Operands) -> None:
        """Give them to the stream as a graph, where that is possible."""
        if not self._worth or not graphs.available():
            self.enqueue(opened, operands)
            return
        copy = self._copies.get(operands.addresses)
        if copy is None:
            copy = self._adapted(opened, operands)
        elif copy.operands.values != operands.values:
            self._update(copy, operands)
        copy.executable.launch(opened.stream.handle)

    def _adapted(self, opened: Driver, operands: Operands) -> _Copy:
        """A copy for addresses that no copy has: a new one if all would change a lot."""
        if self._graph is None:
            self._record(opened, operands)
        copies = list(self._copies.values())
        counts = [len(self._changed(copy.operands, operands)) for copy in copies]
        much = not copies or 2 * min(counts) > len(self.launches)
        again = operands.addresses in self._seen
        self._seen.append(operands.addresses)
        if (much or again) and len(copies) < MOST:
            assert self._graph is not None
            copy = _Copy(self._graph.instantiate(), self._recorded)
        else:
            copy = copies[counts.index(min(counts))]
        self._update(copy, operands)
        return copy

    def _record(self, opened: Driver, operands: Operands) -> None:
        with graphs.Recording(opened.stream.handle) as recording:
            for launch in self.launches:
                launch.pack(operands)
                nodes = []
                for phase in launch.kernel.phases:
                    phase.enqueue(launch.memory, opened.stream)
                    nodes.append(recording.node(launch.memory))
                self._nodes.append(nodes)
        self._graph, self._recorded = recording.graph, operands

    def _changed(self, before: Operands, now: Operands) -> set[int]:
        """The launches whose parameters differ."""
        found: set[int] = set()
        for takers, old, new in zip(self._takers, before, now, strict=True):
            for place in differing(old, new):
                found.update(takers.get(place, ()))
        return found

    def _update(self, copy: _Copy, operands: Operands) -> None:
        self._copies.pop(copy.operands.addresses, None)
        for number in self._changed(copy.operands, operands):
            self.launches[number].pack(operands)
            for node in self._nodes[number]:
                node.update(copy.executable)
        copy.operands = operands
        self._copies[operands.addresses] = copy
