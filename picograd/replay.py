"""Functions that are run once and then replayed: what `compile` makes.

In: a Python function or a module, and calls of it. Out: its results. The first call with arguments
of a kind runs the function on holes in place of all tensors, its arguments and those that it reads
besides (`picograd.surroundings`); what it builds is the program of all later calls of that kind.
A call then compares what was seen, fills in the memory and runs the program: no Python of the
function's.

Whatever can't be replayed is run as it is, so the results are always those of the function: when
gradients are wanted, when numbers are drawn or asked for on the way, when something from outside
is written, when the surroundings are unclear.

>>> import picograd
>>> double = Replayed(lambda x: x + x)
>>> [double(picograd.tensor([n])).item() for n in (1, 2, 3)], double.replays
([2, 4, 6], 2)
"""

from __future__ import annotations

import functools
import threading
import types
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from picograd import engine, portion, programs
from picograd.dtypes import DType
from picograd.frontend import autocasting, batching, storage
from picograd.frontend.grad_mode import state
from picograd.frontend.promotion import get_default_dtype
from picograd.frontend.pytree import tree_flatten, tree_unflatten
from picograd.frontend.random import default_generator
from picograd.frontend.storage import Storage
from picograd.frontend.tensor import Tensor, wrap
from picograd.frontend.view import Steps
from picograd.frontend.watching import ANOMALY
from picograd.graph.build import uniform_constant
from picograd.graph.canonical import analyse
from picograd.graph.hole import hole
from picograd.graph.node import Node, leaf
from picograd.graph.ops import Shape
from picograd.graph.template import Template, template
from picograd.nn.module import Module
from picograd.programs import Graph
from picograd.runtime.buffer import Buffer
from picograd.runtime.device import Executable, Interrupted
from picograd.surroundings import CONSTANTS, Surroundings, Unclear, look

_FAILURES = 3  # kinds of calls that can't be replayed before the function is left alone
_KINDS = 64  # kinds of calls that are kept


_SIMPLE = (Tensor, *CONSTANTS)
_Program = tuple[Executable, list[int], list[int], list[tuple[int, Shape]]]


@dataclass(slots=True)
class _Recording:
    """What a kind of call builds.

    graph      the results over the storages' contents
    spec       how the results are nested; None for a single tensor
    program    the executable, the memory it reads (places among the storages), its values, and
               which of what it computes each result is, in what shape; None until the first run
    """

    graph: Template
    spec: Any
    program: _Program | None = None


class Replayed:
    """A function whose graph is kept for each kind of its arguments.

    `subject` is what the function reads from: itself, or the module that it runs.
    """

    def __init__(self, function: Callable[..., Any], subject: object = None) -> None:
        self._function = function
        self._subject = function if subject is None else subject
        self._around: Surroundings | None = None
        self._known: list[tuple[Tensor, Storage, Shape, Steps, DType]] = []  # tensors around
        self._storages: list[Storage] = []  # theirs
        self._recordings: dict[tuple[object, ...], _Recording] = {}
        self._bound: weakref.WeakKeyDictionary[object, Replayed] = weakref.WeakKeyDictionary()
        self._failures = 0
        self.replays = 0
        if subject is None:
            functools.update_wrapper(self, function, updated=())

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound = types.MethodType(self._function, instance)
        if not isinstance(instance, Module):
            return bound
        return self._bound.setdefault(instance, Replayed(bound))

    def __deepcopy__(self, memo: object) -> None:
        return None  # a copy of a module is not compiled

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._failures >= _FAILURES or not _is_quiet():
            return self._function(*args, **kwargs)
        if kwargs or not all(isinstance(one, _SIMPLE) for one in args):
            flat, spec = tree_flatten((args, kwargs))
        else:
            flat, spec = args, len(args)
        key = self._key(flat, spec)
        if key is None:
            return self._function(*args, **kwargs)
        tensors = [one for one in flat if isinstance(one, Tensor)]
        recording = self._recordings.get(key)
        if recording is None:
            recording = self._record(args, kwargs, tensors)
            if recording is None:
                return self._function(*args, **kwargs)
            if len(self._recordings) >= _KINDS:
                self._recordings.clear()
            self._recordings[key] = recording
        else:
            self.replays += 1
        try:
            return _played(recording, [*self._storages, *_distinct(tensors)])
        except IndexError:
            return self._function(*args, **kwargs)  # raises it again, and says where
        except Interrupted:
            raise KeyboardInterrupt from None

    def _key(self, flat: Sequence[Any], spec: Any) -> tuple[object, ...] | None:
        """What calls of one kind share; None if the call can't be replayed."""
        if state.enabled and any(x.requires_grad for x, *_ in self._known):
            return None
        if not self._is_unchanged() and not self._look():
            return None
        if not all(_is_plain(x) for x, *_ in self._known):
            return None
        numbers: dict[int, int] = {}
        parts: list[object] = [repr(spec), get_default_dtype()]
        for one in flat:
            if isinstance(one, Tensor):
                if one._storage in self._storages or not _is_plain(one):
                    return None
                number = numbers.setdefault(id(one._storage), len(numbers))
                parts += [number, *_kind(one)]
            elif isinstance(one, CONSTANTS):
                parts += [type(one), repr(one)]
            else:
                return None
        return tuple(parts)

    def _is_unchanged(self) -> bool:
        """Whether all that the function reads besides its arguments is as it was."""
        if self._around is None:
            return False
        for x, own, shape, steps, dtype in self._known:
            if x._storage is not own or x._shape is not shape:
                return False
            if x._steps is not steps or x.dtype is not dtype:
                return False
        return self._around.unchanged()

    def _look(self) -> bool:
        """Look around anew. False, and never again, if things are unclear there."""
        self._recordings.clear()
        try:
            self._around = look(self._subject)
        except Unclear:
            self._failures = _FAILURES
            return False
        tensors = self._around.tensors
        self._known = [(x, x._storage, x._shape, x._steps, x.dtype) for x in tensors]
        self._storages = _distinct(tensors)
        return True

    def _record(self, args: Any, kwargs: Any, tensors: list[Tensor]) -> _Recording | None:
        """Run the function on holes; None, and a failure counted, if that doesn't tell enough."""
        if _are_others_at_work():
            return None
        storages = [*self._storages, *_distinct(tensors)]
        before = [one.node for one in storages]
        versions = [one.version for one in storages]
        drawn = default_generator._seed, default_generator._call
        holes = [hole(node.shape, node.dtype, node.device) for node in before]
        try:
            for one, empty in zip(storages, holes, strict=True):
                one.node = empty
            with engine.tracing(), storage.unpinned():
                returned = self._function(*args, **kwargs)
            single = isinstance(returned, Tensor)
            results, spec = ([returned], None) if single else tree_flatten(returned)
            nodes = [_result(x, storages) for x in results]
            recording = None
            written = [one.version for one in storages] != versions
            if nodes and not written and None not in nodes:
                graph = template(cast("list[Node]", nodes), holes)
                recording = None if graph is None else _Recording(graph, spec)
        except Exception:
            recording = None  # if it is the function's own error, it comes again
        finally:
            for one, node in zip(storages, before, strict=True):
                one.node = node
            default_generator._seed, default_generator._call = drawn
        self._failures = 0 if recording is not None else self._failures + 1
        return recording


def _is_quiet() -> bool:
    """Whether nothing is going on that looks at the single operations."""
    tells = autocasting.is_on() or ANOMALY.enabled or engine.is_observed()
    return not (tells or batching.TRACES)


def _are_others_at_work() -> bool:
    """Whether other threads may read the tensors that stand as holes during a recording."""
    here = threading.current_thread()
    return any(one is not here and not one.daemon for one in threading.enumerate())


def _is_plain(x: Tensor) -> bool:
    """Whether a tensor is one that replaying does justice to: no gradients, on the CPU."""
    return x._storage.node.device == "cpu" and not (state.enabled and x.requires_grad)


def _kind(x: Tensor) -> tuple[object, ...]:
    whole = x._storage.node
    return (type(x), x.dtype, x._shape, x._strides, x._offset, x._steps, whole.shape, whole.dtype)


def _distinct(tensors: Sequence[Tensor]) -> list[Storage]:
    return list({id(x._storage): x._storage for x in tensors}.values())


def _result(x: object, storages: list[Storage]) -> Node | None:
    """The node of a result that is fresh, contiguous and to be computed; else None."""
    if type(x) is not Tensor or x._steps or x._strides is not None or x._meta is not None:
        return None
    node = x._storage.node
    fresh = x._storage not in storages and node.srcs and uniform_constant(node) is None
    return node if fresh else None


def _played(recording: _Recording, storages: list[Storage]) -> Any:
    """The results over the storages' contents of now."""
    memories = [one.buffer for one in storages]
    if recording.program is None:
        nodes = [one.node for one in storages]
        if len(set(map(id, memories))) < len(memories):  # which may not be so the next time
            results = [wrap(node) for node in recording.graph.build(nodes)]
            return tree_unflatten(results, recording.spec)
        _prepare(recording, nodes, memories)
    executable, places, values, shapes = cast("_Program", recording.program)
    made = executable.run([memories[place] for place in places], values)
    programs.statistics.programs_run += 1
    programs.statistics.kernels_run += executable.kernel_count
    results = [wrap(leaf(made[place], shape)) for place, shape in shapes]
    return results[0] if recording.spec is None else tree_unflatten(results, recording.spec)


def _prepare(recording: _Recording, nodes: list[Node], memories: list[Buffer]) -> None:
    """Find or compile the program."""
    results = recording.graph.build(nodes)
    distinct = list(dict.fromkeys(results))
    with engine.locked():
        order = portion.below(distinct)
        structure = analyse(order, distinct, [])
        variant, values = programs.get(Graph(order, distinct, [], structure))
    where = {id(memory): place for place, memory in enumerate(memories)}
    places = [where[id(buffer)] for buffer in structure.leaves]
    shapes = [(distinct.index(node), node.shape) for node in results]
    recording.program = variant.executable, places, values, shapes
