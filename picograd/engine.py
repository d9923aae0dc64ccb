"""From a node to its numbers: the one module that knows every stage.

In: unrealised nodes (`realize`), and the objects that hold tensors' contents (`watch`). Out: each
requested node has its `buffer`. Called by the frontend whenever a number is needed.

What is computed together: the request, every watched storage whose pending graph shares nodes
with it, and reductions that somebody still holds (values that backward will want). So one
training step is one program, and nothing is computed twice. `picograd.programs` has the programs
that were compiled before, and compiles new ones; `picograd.pace` says when to compute unasked.

>>> import picograd
>>> a = picograd.ones(3)
>>> (a + 1).sum().item()
6.0
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np

from picograd import blame, env, portion, programs, reporter
from picograd.errors import InternalError, OutOfMemoryError
from picograd.graph.build import uniform_constant
from picograd.graph.canonical import Structure, analyse
from picograd.graph.node import Node
from picograd.pace import Pace
from picograd.programs import Graph, Variant, clear_cache, statistics
from picograd.runtime.buffer import Buffer
from picograd.runtime.device import Interrupted
from picograd.runtime.observe import Timing

KernelWatcher = Callable[[Sequence[Timing], str], None]


class Holder(Protocol):
    """An object (a tensor's storage) that holds a node, and counts the writes into it that wait
    to be computed (`writes` is the engine's)."""

    node: Node
    writes: int

    def settle(self) -> None:
        """Give contents that are one number everywhere memory of their own."""
        ...

    def roll_back(self, spoilt: Callable[[Node], bool]) -> None:
        """Go back to the newest contents that aren't spoilt, if they can still be had."""
        ...


@dataclass(slots=True)
class _State:
    """Everything the engine remembers."""

    watched: list[weakref.ref[Holder]] = field(default_factory=list)
    spoilt: weakref.WeakSet[Node] = field(default_factory=weakref.WeakSet)  # known to fail
    pace: Pace = field(default_factory=Pace)
    kernel_watcher: KernelWatcher | None = None
    cut: bool = False  # whether a limit made a program end within this training step
    lock: threading.RLock = field(default_factory=threading.RLock)
    threads: set[int] = field(default_factory=set)  # those that have asked for results


class _Traces(threading.local):
    """The holders made within each `tracing` of this thread, the innermost last; and who is told of
    each program before it runs."""

    def __init__(self) -> None:
        self.made: list[weakref.WeakSet[Holder]] = []
        self.listener: Callable[[Sequence[Node], Structure], None] | None = None


_state = _State()
_traces = _Traces()
__all__ = ["after_write", "clear_cache", "realize", "realize_pending", "statistics", "watch"]

# One storage may collect this many writes before they are computed: a chain of element writes
# becomes programs of equal length, whatever the loop around it.
WRITES_PER_PROGRAM = 128
# Values that are worth a program of their own where a phase of a training step ends, and the step.
PHASE_NODES = 1000
STEP_NODES = 500


def watch_kernels(watcher: KernelWatcher | None) -> None:
    """Tell a function of each program's kernels when they have run, and of their device (None:
    nobody)."""
    _state.kernel_watcher = watcher


def listen(listener: Callable[[Sequence[Node], Structure], None] | None) -> None:
    """Tell a function of the nodes and the structure of this thread's programs, each before it
    runs (None: nobody). They are programs of their own, for no other sizes."""
    _traces.listener = listener


def is_listened() -> bool:
    """Whether somebody is told of this thread's programs."""
    return _traces.listener is not None


@contextmanager
def tracing() -> Iterator[weakref.WeakSet[Holder]]:
    """Within it, graphs are built to be read: what is made is not computed until asked for.

    Such graphs may stand on holes (`graph/hole.py`). Gives the set of the holders made within it.
    """
    made: weakref.WeakSet[Holder] = weakref.WeakSet()
    _traces.made.append(made)
    try:
        yield made
    finally:
        _traces.made.pop()


def check_write(holder: Holder) -> None:
    """Raise RuntimeError for a write, within `tracing`, to what was there before."""
    if _traces.made and holder not in _traces.made[-1]:
        raise RuntimeError(
            "vmap: in-place arithmetic is not possible on a tensor from outside of the mapped "
            "function: all examples would write to it. Return the new value instead."
        )


def watch(holder: Holder) -> None:
    """Remember (weakly) a holder whose node is not realised yet.

    May compute what is pending, so that a program that never asks for a number stays bounded.
    """
    if _traces.made:
        _traces.made[-1].add(holder)
        return
    _state.watched.append(weakref.ref(holder))
    pace = _state.pace
    if pace.created < pace.quiet:
        pace.created += 1
    elif pace.is_due(env.GRAPH_NODES.get()):
        _cut()


def count(values: int) -> None:
    """Count values that wait to be computed and have no holder."""
    if not _traces.made:
        _state.pace.created += values


def after_write(holder: Holder) -> None:
    """Tell that a holder's node was replaced by a write. May compute what is pending."""
    if _traces.made:
        return
    _state.watched.append(weakref.ref(holder))
    holder.writes += 1
    due = _state.pace.is_due(env.GRAPH_NODES.get())
    if holder.writes >= WRITES_PER_PROGRAM:
        realize([holder.node])
    elif due:
        _cut()


def end_phase(last: bool = False) -> None:
    """Tell that a part of the program ends here that comes again: a good place to compute.

    Called before and after backward and, as the `last` part, after an optimiser's step. A large
    training step is cut here, and so at the same places each time. A step that was cut leaves
    nothing for the next one.
    """
    if _traces.made:
        return
    limit = env.GRAPH_NODES.get()
    enough = min(limit // 4, STEP_NODES if last else PHASE_NODES)
    if _state.pace.created > enough or (last and _state.cut):
        _state.pace.ran(asked=True)  # the same phase will end here again
        _cut()
    _state.cut = _state.cut and not last
    _state.pace.end_phase(limit)


def expect_phases() -> None:
    """Compute what is pending, so that the first training step begins as all later ones do, and
    expect steps to come."""
    realize_pending()
    _state.pace.expect_phases(env.GRAPH_NODES.get())


def _cut() -> None:
    """Compute what is pending because of a limit."""
    realize_pending()
    _state.cut = True


def realize_pending() -> None:
    """Compute every watched storage that is not realised, and can be.

    What an index outside has spoilt is left alone: whoever asks for it gets the error.
    """
    with _state.lock:
        _state.pace.ran(asked=False)
        waiting = _pending()
        nodes = list(dict.fromkeys([holder.node for holder in waiting]))
        for device in sorted({node.device for node in nodes}):
            asked = [n for n in nodes if n.device == device and n not in _state.spoilt]
            roots = [node for node in asked if node.buffer is None]
            try:
                if roots:
                    roots, order = portion.connected(roots, [])
                    _run(roots, order, waiting)
            except IndexError:
                _salvage(roots)


def realize(nodes: Sequence[Node]) -> None:
    """Compute the nodes (and what is computed with them); afterwards each has its buffer.

    Raises IndexError when an index tensor turns out to point outside. Then the nodes that depend
    on it have no buffer, and holders that were to be written with them hold what they held.
    """
    with _state.lock:
        _state.threads.add(threading.get_ident())
        alone = False
        while True:
            requested = list(dict.fromkeys([node for node in nodes if node.buffer is None]))
            if not requested:
                return
            device = requested[0].device
            same_device = [node for node in requested if node.device == device]
            waiting = _pending()
            others = [holder.node for holder in waiting if holder.node.device == device]
            if _state.spoilt:
                others = [node for node in others if node not in _state.spoilt]
            if alone:
                others = []
            roots, order = portion.connected(same_device, others)
            del others
            _state.pace.ran(asked=True)
            try:
                _run(roots, order, waiting)
            except OutOfMemoryError as error:
                if len(roots) == len(same_device):
                    raise _without_frames(error) from None
                alone = True  # there may be room for what was asked for
            except IndexError:
                reasons = _salvage(roots)
                bad = [reasons[node] for node in same_device if node in reasons]
                if bad:
                    _roll_back(reasons)
                    raise IndexError(bad[0]) from None


def _without_frames(error: OutOfMemoryError) -> OutOfMemoryError:
    """The error without its way here: what the functions on that way hold is memory."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def locked() -> threading.RLock:
    """The lock of what the engine does to nodes, for `with`."""
    return _state.lock


def is_shared() -> bool:
    """Whether other threads that are alive have asked for results, too."""
    here = threading.get_ident()
    return any(one.ident != here and one.ident in _state.threads for one in threading.enumerate())


def is_observed() -> bool:
    """Whether somebody watches kernels run, or graphs are built to be read."""
    watched = _state.kernel_watcher is not None or env.debug_level() >= 2
    return watched or bool(_traces.made) or is_listened()


def _pending() -> list[Holder]:
    """The watched holders that still wait, oldest first; forgets the others.

    What is one number everywhere needs no program: it gets its memory here. Only single numbers
    stay as they are, so that programs are simplified with them.
    """
    waiting = [
        holder
        for reference in _state.watched
        if (holder := reference()) is not None and holder.node.buffer is None
    ]
    holders: list[Holder] = []
    for holder in dict.fromkeys(waiting):
        if uniform_constant(holder.node) is None:
            holders.append(holder)
        elif holder.node.shape:
            holder.settle()
    _state.watched = [weakref.ref(holder) for holder in holders]
    return holders


def _salvage(roots: list[Node]) -> dict[Node, str]:
    """After a failure: compute the roots that are not spoilt. What is, with the reason."""
    order = portion.below(roots)
    reasons = blame.spoilt(order, _array)
    if not reasons:
        raise InternalError("a program stopped at an index outside, but all indices lie inside")
    _state.spoilt.update(reasons)
    sound = [root for root in roots if root not in _state.spoilt and root.buffer is None]
    if sound:
        _run(*portion.connected(sound, []), _pending())
    return reasons


def _array(node: Node) -> np.ndarray:
    """The contents of one node, computed without its neighbours."""
    if node.buffer is None:
        _run([node], portion.below([node]), _pending())
    return cast("Buffer", node.buffer).array


def _roll_back(reasons: dict[Node, str]) -> None:
    """Undo the pending writes of spoilt values."""
    for holder in _pending():
        if holder.node in reasons:
            holder.roll_back(lambda node: node in reasons)


def _run(roots: list[Node], order: list[Node], waiting: list[Holder]) -> None:
    """Compute nodes of one device as one program. `order` is what `portion` made of them;
    `waiting` are the pending holders."""
    held = portion.held(order)
    outputs = portion.outputs(order, roots, held)
    donated = portion.donatable(order, outputs, held)
    structure = analyse(order, outputs, donated)
    graph = Graph(order, outputs, donated, structure)
    if _traces.listener is None:
        variant, values = programs.get(graph)
    else:
        variant, values = programs.own(graph), structure.cells
        _traces.listener(order, structure)
    interrupt = None
    try:
        buffers = _execute(variant, structure, values, outputs[0].device)
    except Interrupted as stop:
        buffers, interrupt = stop.buffers, stop
    for node, buffer in zip(outputs, buffers, strict=True):
        node.realize(buffer)
    for holder in waiting:
        if holder.node.buffer is not None:
            holder.writes = 0
    statistics.programs_run += 1
    statistics.kernels_run += variant.executable.kernel_count
    if interrupt is not None:
        raise KeyboardInterrupt from None


def _execute(
    variant: Variant, structure: Structure, values: list[int], device: str
) -> list[Buffer]:
    """Run a program; under DEBUG=2, kernel by kernel with the time of each."""
    run = variant.executable.run
    leaves = cast("list[Buffer]", structure.leaves)
    debugging = env.debug_level() >= 2
    if not debugging and _state.kernel_watcher is None:
        return run(leaves, values)
    timings: list[Timing] = []
    buffers = run(leaves, values, timings)
    if _state.kernel_watcher is not None:
        _state.kernel_watcher(timings, device)
    if debugging:
        reporter.report_timings(timings, device)
    return buffers
