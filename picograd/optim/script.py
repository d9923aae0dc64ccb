"""The numbers of optimisers' steps, apart from their tensors.

In: a function that is recorded (`picograd.replay`) and steps an optimiser. Out: `Script`: the
graph of the updates stands on holes where their numbers go (learning rates, bias corrections), and
`read` runs the Python that counts steps and computes numbers once more, for a replay. It gives None
when that Python asks for other updates than the recorded ones: a setting was changed that is more
than a number.

>>> import picograd
>>> w = picograd.tensor([1.0], requires_grad=True)
>>> w.grad = picograd.tensor([2.0])
>>> optimizer = picograd.optim.SGD([w], lr=0.5)
>>> with engine.tracing() as made, recording() as script:
...     made.add(w._storage)
...     optimizer.step()
>>> optimizer.param_groups[0]["lr"] = 0.25
>>> script.read()
[-0.25]
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from picograd import engine
from picograd.frontend.grad_mode import no_grad
from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.build import full
from picograd.graph.hole import hole
from picograd.graph.node import Node

if TYPE_CHECKING:
    from picograd.optim.optimizer import Optimizer

Number = int | float | complex | bool
# What an update rewrites, by which function with which switches.
_Rewrite = tuple[list[Tensor], Callable[..., Sequence[Tensor]], tuple[bool, ...]]


class _Changed(Exception):
    """The steps are others than those recorded."""


class _Local(threading.local):
    listener: Script | _Reader | None = None


_here = _Local()


class Script:
    """The updates of a recorded function, in their order, and the holes of their numbers."""

    def __init__(self) -> None:
        self.holes: list[Node] = []
        self.complete = True  # whether all that was updated was updated by `rewrite`
        self._places: dict[tuple[object, ...], int] = {}
        self._updates: list[tuple[Optimizer, Tensor, Tensor, dict[str, Any]]] = []
        self._rewrites: list[tuple[_Rewrite, list[int]]] = []
        self._before: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def update(
        self, optimizer: Optimizer, parameter: Tensor, gradient: Tensor, group: dict[str, Any]
    ) -> None:
        """Note an update and do it."""
        known = len(self._rewrites)
        optimizer.update(parameter, gradient, optimizer.state[parameter], group)
        stand_in = wrap(hole(*gradient._signature()))
        self._updates.append((optimizer, parameter, stand_in, group))
        self.complete = self.complete and len(self._rewrites) > known

    def begin(self) -> bool:
        """Make the states that the first step makes. False if all are there."""
        made = False
        for optimizer, parameter, _, group in self._updates:
            made = made or parameter not in optimizer.state
            state = optimizer.state[parameter]
            if not state:
                optimizer.begin(parameter, state, group)
        return made

    def constants(self, rewrite: _Rewrite, numbers: Sequence[float], like: Node) -> list[Node]:
        """Nodes that stand for the numbers of one rewrite; equal numbers share one."""
        places: list[int] = []
        for value in numbers:
            exact = (type(value), repr(value), like.dtype)
            place = self._places.setdefault(exact, len(self.holes))
            if place == len(self.holes):
                self.holes.append(hole((), like.dtype, like.device))
            places.append(place)
        self._rewrites.append((rewrite, places))
        return [full(self.holes[place], like.shape) for place in places]

    def read(self) -> list[Number] | None:
        """Count one more step; its numbers, in the order of the holes."""
        if not self._updates:
            return []
        self._before = [(o.state[p], dict(o.state[p])) for o, p, _, _ in self._updates]
        outer, reader = _here.listener, _Reader(self._rewrites, len(self.holes))
        _here.listener = reader
        try:
            with engine.tracing(), no_grad():
                for optimizer, parameter, gradient, group in self._updates:
                    optimizer.update(parameter, gradient, optimizer.state[parameter], group)
            return reader.finished()
        except _Changed:
            self.unread()
            return None
        finally:
            _here.listener = outer

    def unread(self) -> None:
        """Undo `read`: the step is not made after all."""
        for state, before in self._before:
            state.clear()
            state.update(before)
        self._before = []


class _Reader:
    """One reading of a script."""

    def __init__(self, rewrites: list[tuple[_Rewrite, list[int]]], numbers: int) -> None:
        self._rewrites, self._next = rewrites, 0
        self._values: list[Any] = [None] * numbers

    def constants(self, rewrite: _Rewrite, numbers: Sequence[float], like: Node) -> None:
        if self._next == len(self._rewrites):
            raise _Changed
        (targets, function, switches), places = self._rewrites[self._next]
        self._next += 1
        same = rewrite[1] is function and rewrite[2] == switches and len(places) == len(numbers)
        if not same or any(a is not b for a, b in zip(targets, rewrite[0], strict=True)):
            raise _Changed
        values = self._values
        for place, value in zip(places, numbers, strict=True):
            before = values[place]
            if before is None:
                values[place] = value
            elif before != value:
                raise _Changed

    def finished(self) -> list[Number]:
        if self._next != len(self._rewrites):
            raise _Changed
        return self._values


def listener() -> Script | _Reader | None:
    """Who listens to this thread's updates."""
    return _here.listener


@contextmanager
def recording() -> Iterator[Script]:
    """Within it, updates are noted and their numbers are holes."""
    outer, script = _here.listener, Script()
    _here.listener = script
    try:
        yield script
    finally:
        _here.listener = outer
