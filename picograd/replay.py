"""Functions that are run once and then replayed: what `compile` makes.

In: a Python function or a module, and calls of it. Out: its results. The first call with arguments
of a kind runs the function on holes in place of all tensors, its arguments and those that it reads
besides (`picograd.surroundings`); what it builds is the program of all later calls of that kind.
A call then compares what was seen, fills in the memory and runs the program: no Python of the
function's. A whole training step can be such a function: what it writes, gradients, an optimiser's
numbers and the random counter go on as if it had run (`picograd.recording`).

Whatever can't be replayed is run as it is, so the results are always those of the function: when
its results can still be differentiated, when numbers are asked for on the way, when the
surroundings are unclear.

>>> import picograd
>>> double = Replayed(lambda x: x + x)
>>> [double(picograd.tensor([n])).item() for n in (1, 2, 3)], double.replays
([2, 4, 6], 2)
"""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable, Sequence
from typing import Any, cast

from picograd import engine
from picograd.dtypes import DType
from picograd.frontend import autocasting, batching, precision
from picograd.frontend.device import device_name
from picograd.frontend.grad_mode import state
from picograd.frontend.promotion import get_default_dtype
from picograd.frontend.pytree import tree_flatten
from picograd.frontend.storage import Storage
from picograd.frontend.tape import AccumulateGrad
from picograd.frontend.tensor import Tensor
from picograd.frontend.view import Steps
from picograd.frontend.watching import ANOMALY
from picograd.graph.ops import Shape
from picograd.nn.module import Module
from picograd.optim.optimizer import Optimizer
from picograd.optim.script import Script
from picograd.recording import Recording, Scene, play, record
from picograd.surroundings import CONSTANTS, Surroundings, Unclear, look

_FAILURES = 3  # kinds of calls that can't be replayed before the function is left alone
_KINDS = 64  # kinds of calls that are kept
_DEVICES = ("cpu", "cuda")


_SIMPLE = (Tensor, *CONSTANTS)
stance = ["default"]  # of `torch.compiler.set_stance`
_all: weakref.WeakSet[Replayed] = weakref.WeakSet()


def forget() -> None:
    """Let every compiled function begin anew."""
    for one in _all:
        one.forget()


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
        self._leaves: list[Tensor] = []  # them, if the function may want gradients
        self._optimizers: list[Optimizer] = []
        self._recordings: dict[tuple[object, ...], Recording] = {}
        self._bound: weakref.WeakKeyDictionary[object, Replayed] = weakref.WeakKeyDictionary()
        self._failures = 0
        self.replays = 0
        _all.add(self)
        if subject is None:
            functools.update_wrapper(self, function, updated=())

    def forget(self) -> None:
        """Begin anew: nothing is known of what it reads and does."""
        self._around, self._known, self._storages = None, [], []
        self._leaves, self._optimizers, self._failures = [], [], 0
        self._recordings.clear()

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
        flat, spec = args, len(args)
        for one in (kwargs,) if kwargs else args:
            if not isinstance(one, _SIMPLE):
                flat, spec = tree_flatten((args, kwargs))
                break
        key = self._key(flat, spec)
        if key is None:
            return self._function(*args, **kwargs)
        tensors = [one for one in flat if isinstance(one, Tensor)]
        scene = self._scene(tensors)
        recording = self._recordings.get(key)
        if recording is not None:
            result = self._played(recording, scene)
            if result is not NotImplemented:
                self.replays += 1
                return result
            scene = self._scene(tensors)
        recording = self._record(args, kwargs, scene)
        if isinstance(recording, Script):
            if recording.begin():
                return self(*args, **kwargs)
            self._failures += 1
        if not isinstance(recording, Recording):
            return self._function(*args, **kwargs)
        if len(self._recordings) >= _KINDS:
            self._recordings.clear()
        self._recordings[key] = recording
        result = self._played(recording, scene)
        return self._function(*args, **kwargs) if result is NotImplemented else result

    def _scene(self, tensors: list[Tensor]) -> Scene:
        """Where a call takes place. Nothing else holds the gradients, which it may replace."""
        gradients = [x._meta.grad for x in self._leaves if x._meta and x._meta.grad is not None]
        storages = [*self._storages, *_distinct([*gradients, *tensors])]
        return Scene(storages, self._leaves, self._optimizers)

    def _played(self, recording: Recording, scene: Scene) -> Any:
        """The result of a replay; NotImplemented if the function has to be run."""
        try:
            return play(recording, scene)
        except IndexError:
            return NotImplemented  # the function raises it again, and says where

    def _key(self, flat: Sequence[Any], spec: Any) -> tuple[object, ...] | None:
        """What calls of one kind share; None if the call can't be replayed."""
        if not self._is_unchanged() and not self._look():
            return None
        numbers: dict[int, int] = {}
        modes = get_default_dtype(), device_name(None), precision.coarse(), state.enabled
        parts: list[object] = [repr(spec), *modes]
        for x in self._leaves:
            kind = self._leaf_kind(x, numbers)
            if kind is None:
                return None
            parts += kind
        if not self._leaves:
            for x, *_ in self._known:
                if not _is_plain(x):
                    return None
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

    def _leaf_kind(self, x: Tensor, numbers: dict[int, int]) -> Sequence[object] | None:
        """What calls of one kind share about a tensor around and its gradient; None if replaying
        doesn't do justice to it."""
        meta = x._meta
        if x._storage.node.device not in _DEVICES:
            return None
        if meta is None:
            return (None,) if x._base is None or x._edge() is None else None
        if meta.post_hooks or meta.retains:
            return None
        edge = x._edge()
        if edge is not None and (
            not isinstance(edge[0], AccumulateGrad)
            or edge[0].hooks is not None
            or edge[0].node_hooks is not None
        ):
            return None
        gradient = meta.grad
        if gradient is None:
            return (meta.requires_grad,)
        if gradient._meta is not None or gradient._storage in self._storages:
            return None
        number = numbers.setdefault(id(gradient._storage), len(numbers))
        return (meta.requires_grad, number, *_kind(gradient))

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
        tensors = list(dict.fromkeys(self._around.tensors))
        self._known = [(x, x._storage, x._shape, x._steps, x.dtype) for x in tensors]
        self._leaves = tensors if self._around.trains() else []
        self._optimizers = self._around.optimizers
        self._storages = _distinct(tensors)
        return True

    def _record(self, args: Any, kwargs: Any, scene: Scene) -> Recording | Script | None:
        """Run the function on holes; None, and a failure counted, if that doesn't tell enough."""
        if engine.is_shared():
            return None  # other threads may read the tensors that stand as holes meanwhile
        recording = record(self._function, args, kwargs, scene)
        if not cast("Surroundings", self._around).unchanged():
            cast("Surroundings", self._around).restore()
            recording = None
        if not isinstance(recording, Script):
            self._failures = 0 if recording is not None else self._failures + 1
        return recording


def _is_quiet() -> bool:
    """Whether nothing is going on that looks at the single operations."""
    tells = autocasting.is_on() or ANOMALY.enabled or engine.is_observed()
    tells = tells or stance[0] == "force_eager"
    return not (tells or batching.TRACES)


def _is_plain(x: Tensor) -> bool:
    """Whether a tensor is one that replaying does justice to: no gradients, in real memory."""
    return x._storage.node.device in _DEVICES and not (state.enabled and x.requires_grad)


def _kind(x: Tensor) -> tuple[object, ...]:
    whole = x._storage.node
    inside = whole.shape, whole.dtype, whole.device
    return (type(x), x.dtype, x._shape, x._strides, x._offset, x._steps, *inside)


def _distinct(tensors: Sequence[Tensor]) -> list[Storage]:
    if len(tensors) == 1:
        return [tensors[0]._storage]
    return list({id(x._storage): x._storage for x in tensors}.values())
