"""`vmap`: a function of one example, applied to a whole batch as one graph.

In: a function and which axes of its arguments are the examples'. Out: a function of batches. The
function runs once, on holes in the examples' shapes; what it built is then rebuilt with one more
axis (`frontend/batching.py`). On the tape that is one step, whose backward walks the tape of the
one example, on holes too, and rebuilds that.

A function that needs an example's numbers on the host (sorting, factorisations) runs for one
example after the other instead, and the results are stacked.

>>> import picograd
>>> x, y = picograd.ones(3, 2), picograd.arange(6.0).reshape(3, 2)
>>> vmap(picograd.dot)(x, y)
tensor([1., 5., 9.])
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

from picograd import engine
from picograd.frontend import batching, primitives, tape
from picograd.frontend.autograd import walk_between
from picograd.frontend.batching import NeedsExamples, Trace, batched, repeated
from picograd.frontend.grad_mode import state
from picograd.frontend.movement import cat, stack
from picograd.frontend.pytree import (
    TreeSpec,
    _broadcast_to_and_flatten,
    tree_flatten,
    tree_unflatten,
)
from picograd.frontend.random import get_rng_state, set_rng_state
from picograd.frontend.tape import AccumulateGrad, Edge, Gradients, GradNode, Meta
from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.hole import hole
from picograd.graph.node import Node
from picograd.graph.ops import Combiner

Dims = Any  # an int or None, or a nesting of them like the arguments'
RANDOMNESS = ("error", "different", "same")


class HoleGrad(GradNode):
    """Where the tape of one example begins."""

    __slots__ = ()

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        return ()


class _Batch:
    """A tensor whose examples lie along axis 0, and the hole that one of them is replaced by."""

    def __init__(self, tensor: Tensor) -> None:
        self.node, self.edge = tensor._snapshot(), tensor._edge() if state.enabled else None
        self.hole = hole(self.node.shape[1:], tensor.dtype, self.node.device)
        self.example = wrap(self.hole)
        self.start = HoleGrad((), (self.example._signature(),))
        if self.edge is not None:
            self.example._meta = Meta((self.start, 0))


@dataclass
class _Scope:
    """What tells the tape of one example from what was there before, and its random numbers."""

    size: int
    begin: int  # the first sequence number
    made: list[WeakSet[Any]]  # the storages
    drawn: list[Node]

    def boundary(self, results: Sequence[Tensor], batches: Sequence[_Batch]) -> list[Edge]:
        """The edges by which the example's tape leads to what was there before."""
        starts = {batch.start for batch in batches}
        found: dict[Edge, None] = {}
        seen: set[GradNode] = set()
        stack = [edge for x in results if (edge := x._edge()) is not None]
        while stack:
            edge = stack.pop()
            node = edge[0]
            if node in starts or node in seen:
                continue
            if isinstance(node, AccumulateGrad):
                if self._is_outside(node):
                    found[edge] = None
            elif node.sequence < self.begin:
                found[edge] = None
            else:
                seen.add(node)
                stack.extend([below for below in node.edges if below is not None])
        return list(found)

    def _is_outside(self, leaf: AccumulateGrad) -> bool:
        variable = leaf.variable
        return variable is not None and not any(variable._storage in made for made in self.made)


def _lift(
    results: Sequence[Tensor | None], batches: Sequence[_Batch], scope: _Scope
) -> list[Tensor | None]:
    """The results for all examples along axis 0, given those for one; recorded if enabled."""
    tensors = [x for x in results if x is not None]
    whole = {batch.hole: batch.node for batch in batches} | {node: node for node in scope.drawn}
    nodes = batched([x.node for x in tensors], whole, scope.size)
    lifted = [
        wrap(repeated(x.node, scope.size) if node is None else node)
        for x, node in zip(tensors, nodes, strict=True)
    ]
    if state.enabled:
        _record(tensors, lifted, batches, scope)
    fresh = iter(lifted)
    return [None if x is None else next(fresh) for x in results]


def _record(
    results: list[Tensor], lifted: list[Tensor], batches: Sequence[_Batch], scope: _Scope
) -> None:
    """Put a mapped call on the tape, if something before it requires grad."""
    captured = scope.boundary(results, batches)
    edges = (*[batch.edge for batch in batches], *captured)
    if not any(edges):
        return
    node = Lifted(edges, tuple([x._signature() for x in lifted]))
    node.batches, node.captured, node.scope = list(batches), captured, scope
    node.results = [x if x.requires_grad else None for x in results]
    for number, (inner, outer) in enumerate(zip(results, lifted, strict=True)):
        if inner.requires_grad:
            outer._meta = Meta((node, number))


class Lifted(GradNode):
    """A mapped call: its inputs are the batches, and what the function used besides."""

    __slots__ = ("batches", "captured", "results", "scope")

    batches: list[_Batch]
    captured: list[Edge]
    results: list[Tensor | None] | None
    scope: _Scope

    def name(self) -> str:
        return "VmapBackward"

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        if self.results is None:
            raise RuntimeError(tape.FREED)
        pairs = [
            (result, gradient)
            for result, gradient in zip(self.results, gradients, strict=True)
            if result is not None and gradient is not None
        ]
        places = [n for n, batch in enumerate(self.batches) if batch.edge is not None]
        ends: list[Edge] = [*[(self.batches[n].start, 0) for n in places], *self.captured]
        scope = self.scope
        with engine.tracing() as made:
            given = [_Batch(gradient) for _, gradient in pairs]
            found = walk_between(
                [result for result, _ in pairs], [one.example for one in given], ends
            )
        scope = _Scope(scope.size, scope.begin, [*scope.made, made], scope.drawn)
        lifted = _lift([found.get(end) for end in ends], [*self.batches, *given], scope)
        returned: list[Tensor | None] = [None] * len(self.edges)
        for place, value in zip(places, lifted, strict=False):
            returned[place] = value
        for number, value in enumerate(lifted[len(places) :], start=len(self.batches)):
            if value is not None:
                returned[number] = primitives.reduce(Combiner.SUM, value, (0,))
        return returned

    def release(self) -> None:
        self.results = None


def _traced(function: Callable[..., list[Any]], inputs: list[Any], axes: list[Any], size: int,
            randomness: str) -> list[Tensor | None]:  # fmt: skip
    """The results for all examples, along axis 0: one run on holes."""
    trace = Trace(randomness)
    begin = tape.next_sequence()
    batches: list[_Batch] = []
    arguments = list(inputs)
    batching.TRACES.append(trace)
    try:
        with engine.tracing() as made:
            for n, axis in enumerate(axes):
                if axis is not None:
                    batches.append(_Batch(inputs[n].movedim(axis, 0)))
                    arguments[n] = batches[-1].example
            results = function(arguments)
    finally:
        batching.TRACES.pop()
    return _lift(results, batches, _Scope(size, begin, [made], trace.drawn))


def _looped(function: Callable[..., list[Any]], inputs: list[Any], axes: list[Any], size: int,
            randomness: str) -> list[Tensor | None]:  # fmt: skip
    """The same, one example after the other."""
    rows: list[list[Any]] = []
    random = get_rng_state() if randomness == "same" else None
    batching.TRACES.append(Trace("error" if randomness == "error" else "same"))
    try:
        for number in range(size):
            if random is not None:
                set_rng_state(random)
            chosen = [
                x if axis is None else x.select(axis, number)
                for x, axis in zip(inputs, axes, strict=True)
            ]
            rows.append(function(chosen))
    finally:
        batching.TRACES.pop()
    return [None if column[0] is None else stack(column) for column in zip(*rows, strict=True)]


def _checked_dims(in_dims: Dims, leaves: list[Any], spec: TreeSpec, args: Any) -> list[Any]:
    """The axis of the examples in each argument. Raises ValueError where it can't be."""
    if not isinstance(in_dims, (int, tuple, list)):
        raise ValueError(f"vmap: expected `in_dims` to be int or a (potentially nested) tuple "
                         f"matching the structure of inputs, got: {type(in_dims)}.")  # fmt: skip
    if not args:
        raise ValueError("vmap: got no inputs. Maybe you forgot to add inputs, or you are trying "
                         "to vmap over a function with no inputs.")  # fmt: skip
    given = tuple(in_dims) if isinstance(in_dims, list) else in_dims
    axes = _broadcast_to_and_flatten(given, spec)
    if axes is None:
        raise ValueError(
            f"vmap: in_dims={in_dims} is not compatible with the structure of the inputs {spec}"
        )
    for n, (axis, x) in enumerate(zip(axes, leaves, strict=True)):
        if axis is None:
            continue
        if not isinstance(axis, int):
            raise ValueError(f"vmap: Got in_dim={axis} for an input but in_dim must be either an "
                             "integer dimension or None.")  # fmt: skip
        if not isinstance(x, Tensor):
            raise ValueError(f"vmap: Got in_dim={axis} for an input but the input is of type "
                             f"{type(x)}. We cannot vmap over non-Tensor arguments.")  # fmt: skip
        if not -x.ndim <= axis < x.ndim:
            raise ValueError(
                f"vmap: Got in_dim={axis} for some input, but that input is a Tensor of "
                f"dimensionality {x.ndim} so expected in_dim to satisfy -{x.ndim} <= in_dim < "
                f"{x.ndim}."
            )
        axes[n] = axis % x.ndim
    return axes


def _size(leaves: list[Any], axes: list[Any]) -> int:
    sizes = [x.shape[axis] for x, axis in zip(leaves, axes, strict=True) if axis is not None]
    if not sizes:
        raise ValueError("vmap: at least one input must be mapped: all in_dims are None")
    if len(set(sizes)) > 1:
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    return sizes[0]


def vmap(
    func: Callable[..., Any],
    in_dims: Dims = 0,
    out_dims: Dims = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The function over batches; `in_dims` and `out_dims` say where the examples are.

    Random operations raise RuntimeError, unless `randomness` says that they are "different" for
    each example or the "same" for all. `chunk_size` examples at most are computed together.
    """
    if randomness not in RANDOMNESS:
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or "
                           f"'same'. Got {randomness}")  # fmt: skip
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, spec = tree_flatten(args)
        axes = _checked_dims(in_dims, leaves, spec, args)
        size = _size(leaves, axes)
        if chunk_size is None or size <= chunk_size:
            return _apply(func, kwargs, leaves, spec, axes, size, out_dims, randomness)
        parts = []
        for begin in range(0, size, chunk_size):
            count = min(chunk_size, size - begin)
            some = [
                x if axis is None else x.narrow(axis, begin, count)
                for x, axis in zip(leaves, axes, strict=True)
            ]
            done = _apply(func, kwargs, some, spec, axes, count, 0, randomness)
            parts.append(tree_flatten(done))
        joined = [cat(column) for column in zip(*[flat for flat, _ in parts], strict=True)]
        return _placed(joined, parts[0][1], out_dims)

    return mapped


def _apply(
    func: Callable[..., Any],
    kwargs: dict[str, Any],
    leaves: list[Any],
    spec: TreeSpec,
    axes: list[Any],
    size: int,
    out_dims: Dims,
    randomness: str,
) -> Any:
    """One mapped call."""
    shape: list[TreeSpec] = []

    def function(arguments: list[Any]) -> list[Any]:
        flat, out_spec = tree_flatten(func(*tree_unflatten(arguments, spec), **kwargs))
        shape[:] = [out_spec]
        for x in flat:
            if not isinstance(x, Tensor):
                raise ValueError(
                    f"vmap({getattr(func, '__name__', func)}, ...): the function must only return "
                    f"Tensors, got type {type(x)}."
                )
        return flat

    try:
        lifted = _traced(function, leaves, axes, size, randomness)
    except NeedsExamples:
        lifted = _looped(function, leaves, axes, size, randomness)
    return _placed(lifted, shape[0], out_dims)


def _placed(lifted: Sequence[Any], spec: TreeSpec, out_dims: Dims) -> Any:
    """The results with the axis of the examples where `out_dims` wants it."""
    given = tuple(out_dims) if isinstance(out_dims, list) else out_dims
    places = _broadcast_to_and_flatten(given, spec)
    if places is None and spec.is_leaf() and isinstance(given, tuple) and len(given) == 1:
        places = list(given)
    if places is None:
        raise ValueError(
            f"vmap: out_dims={out_dims} is not compatible with the structure of the outputs {spec}"
        )
    moved = []
    for x, place in zip(lifted, places, strict=True):
        if place is None:
            moved.append(x.select(0, 0))
        else:
            moved.append(x if place == 0 else x.movedim(0, place))
    return tree_unflatten(moved, spec)
