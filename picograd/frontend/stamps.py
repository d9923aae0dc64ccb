"""Stamped functions: the graph of a composite function is found once and then built again.

In: a pure function of tensors, its arguments. Out: its result, recorded on the tape as one step. A
function's graph depends on dtypes, shapes and devices alone, so it is run once for each of these,
on holes; its derivative too, by walking the tape of that run. From then on a call makes the nodes
of the result and nothing else: none of the tensors, storages and steps in between. Used by the
functions that programs call most.

>>> import picograd
>>> def area(a, b, factor):
...     return a * b * factor
>>> x = picograd.tensor([2.0, 3.0], requires_grad=True)
>>> y = stamped("AreaBackward0", area, (x, x), 0.5)
>>> y.sum().backward()
>>> y, x.grad
(tensor([2.0000, 4.5000], grad_fn=<AreaBackward0>), tensor([2., 3.]))
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from picograd import engine
from picograd.frontend import precision, primitives, storage, tape
from picograd.frontend.autograd import walk_between
from picograd.frontend.grad_mode import enable_grad, no_grad, state
from picograd.frontend.tape import Edge, Gradients, GradNode, Meta, PrimitiveGrad, RuleGrad
from picograd.frontend.tensor import Tensor, wrap
from picograd.frontend.watching import Versions, check_versions
from picograd.graph.hole import hole
from picograd.graph.node import Node
from picograd.graph.template import Template, template

Function = Callable[..., Tensor]
Constant = object  # hashable, and equal only to what means the same

_KEPT = 1 << 14


@dataclass(slots=True)
class _Derivative:
    """How a gradient goes back through a stamped function.

    graph      the inputs' gradients, over the saved nodes and the result's gradient
    places     for each input where its gradient stands among the graph's results, or None
    saved      what is saved: n for input n, the number of inputs for the result, else None
    watched    of what torch would notice writes, numbered likewise
    """

    kind: type[StampGrad]
    graph: Template
    places: tuple[int | None, ...]
    saved: tuple[int | None, ...]
    watched: tuple[int, ...]


@dataclass(slots=True)
class _Stamp:
    """The graph of the result and of what is saved; `graph` is None where the function has to run
    every time, `derivative` where no gradient is wanted or none comes back."""

    graph: Template | None
    derivative: _Derivative | None = None


_stamps: dict[tuple[object, ...], _Stamp] = {}


def stamped(
    name: str, function: Function, tensors: tuple[Tensor, ...], *constants: Constant
) -> Tensor:
    """`function(*tensors, *constants)`, recorded as one step with torch's name.

    The function must be pure, defined at the top of a module, and return fresh storage; its graph
    may depend on the tensors' dtypes, shapes and device and on the constants, on nothing else.
    """
    nodes = [x.node for x in tensors]
    needs: tuple[bool, ...] | None = None
    edges: tuple[Edge | None, ...] = ()
    if state.enabled:
        for x in tensors:
            if x._meta is not None or x._base is not None:
                edges = tuple([x._edge() for x in tensors])
                needs = tuple([edge is not None for edge in edges])
                break
    key = (
        function,
        name,
        needs,
        precision.coarse(),
        *[part for n in nodes for part in (n.dtype, n.shape, n.device)],
    )
    if constants:
        key += tuple([part for c in constants for part in (c.__class__, c or repr(c))])
    stamp = _stamps.get(key)
    if stamp is None:
        stamp = _trace(name, function, tensors, needs, constants)
        _remember(key, stamp)
    if stamp.graph is None:
        return function(*tensors, *constants)
    graph = stamp.graph
    made = _built(graph, nodes)
    result = wrap(made[0])
    derivative = stamp.derivative
    if derivative is not None:
        step = derivative.kind(edges, ((result._shape, result.dtype, nodes[0].device),))
        step.function, step.constants = function, constants
        step.derivative, step.saved = derivative, made[1:]
        if derivative.watched:
            watched = [(*tensors, result)[n]._storage for n in derivative.watched]
            step.versions = [(weakref.ref(one), one.version) for one in watched]
        result._meta = Meta((step, 0))
    if storage._pinned:
        storage.settle(made[0], [x._storage for x in tensors])
    return result


def stamped_nodes(
    function: Callable[..., Sequence[Tensor]], nodes: Sequence[Node], *constants: Constant
) -> list[Node]:
    """The nodes of `function(*tensors, *constants)`, which returns several tensors, unrecorded.

    The nodes are those of the tensors; otherwise as `stamped`.
    """
    parts = [part for n in nodes for part in (n.dtype, n.shape, n.device)]
    key = (function, precision.coarse(), *parts, *constants)
    stamp = _stamps.get(key)
    if stamp is None:
        with engine.tracing(), no_grad():
            holes = [hole(node.shape, node.dtype, node.device) for node in nodes]
            results = function(*map(wrap, holes), *constants)
            stamp = _Stamp(template([x.node for x in results], holes))
        _remember(key, stamp)
    if stamp.graph is None:
        with no_grad():
            return [x.node for x in function(*map(wrap, nodes), *constants)]
    return _built(stamp.graph, nodes)


def _built(graph: Template, sources: Sequence[Node]) -> list[Node]:
    line = primitives.user_line() if graph.located else None
    engine.count(len(graph.steps) - len(graph.results))
    return graph.build(sources, line)


def _remember(key: tuple[object, ...], stamp: _Stamp) -> None:
    if len(_stamps) >= _KEPT:
        _stamps.clear()
    _stamps[key] = stamp


class StampGrad(GradNode):
    """The step of a stamped function."""

    __slots__ = ("constants", "derivative", "function", "saved", "versions")

    function: Function
    constants: tuple[Constant, ...]
    derivative: _Derivative
    saved: list[Node] | None
    versions: Versions | None

    def __init__(self, *args: object) -> None:
        GradNode.__init__(self, *args)  # type: ignore[arg-type]
        self.versions = None

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        gradient, derivative = gradients[0], self.derivative
        if self.saved is None:
            raise RuntimeError(tape.FREED)
        if gradient is None:
            return (None,) * len(self.edges)
        if self.versions:
            check_versions(self, self.versions)
        if state.enabled:
            found: Sequence[Tensor | None] = self._recorded(gradient)
        else:
            nodes = _built(derivative.graph, [*self.saved, gradient.node])
            if storage._pinned:
                for node in nodes:
                    storage.settle(node, [gradient._storage])
            found = [wrap(node) for node in nodes]
        return tuple([None if place is None else found[place] for place in derivative.places])

    def release(self) -> None:
        if self.derivative.saved:
            self.saved = self.versions = None

    def _recorded(self, gradient: Tensor) -> Sequence[Tensor | None]:
        """The gradients of the inputs that have one, on the tape."""
        assert self.saved is not None
        known = self.derivative.saved
        wanted = [n for n, place in enumerate(self.derivative.places) if place is not None]
        if None not in known:
            given = [self._linked(node, n) for node, n in zip(self.saved, known, strict=True)]
            return _replayed(self.derivative.graph, [*given, gradient])
        # Values in between were saved; as tensors they must depend on the inputs. So once more.
        by_input = dict(zip(known, self.saved, strict=True))
        inputs = [self._linked(by_input[n], n) for n in range(len(self.edges))]
        starts: list[Edge] = []
        for n in wanted:
            edge = inputs[n]._edge()
            step = tape.IdentityGrad((edge,), (inputs[n]._signature(),))
            inputs[n]._meta = Meta((step, 0))
            starts.append((step, 0))
        result = self.function(*inputs, *self.constants)
        captured = walk_between([result], [gradient], starts)
        return [captured.get(start) for start in starts]

    def _linked(self, node: Node, place: int | None) -> Tensor:
        """A saved node as the tensor that it was."""
        assert place is not None
        tensor = wrap(node)
        edge = (self, 0) if place == len(self.edges) else self.edges[place]
        if edge is not None:
            tensor._meta = Meta(edge)
        return tensor


def _replayed(graph: Template, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The results of a template, built of recorded primitives."""
    values = [*inputs, *[wrap(node) for node in graph.constants]]
    for op, attr, _, places in graph.steps:
        values.append(primitives.primitive(op, tuple([values[n] for n in places]), attr))
    for place in graph.located:
        values[place].node.origin = primitives.user_line()
    return [values[n] for n in graph.results]


# --- the first run --------------------------------------------------------------------------------


def _trace(
    name: str,
    function: Function,
    tensors: Sequence[Tensor],
    needs: tuple[bool, ...] | None,
    constants: tuple[Constant, ...],
) -> _Stamp:
    """Run a function on holes and see what it builds."""
    with engine.tracing(), enable_grad() if needs else no_grad():
        inputs = [wrap(hole(*x._signature())) for x in tensors]
        for x, need in zip(inputs, needs or (), strict=False):
            x.requires_grad = need
        result = function(*inputs, *constants)
        holes = [x.node for x in inputs]
        edge = result._edge() if needs else None
        if edge is None:
            return _Stamp(template([result.node], holes))
        steps = list(_steps(edge[0]))
        kept = list(dict.fromkeys([node for step in steps for node in _saved(step)]))
        gradient = wrap(hole(*result._signature()))
        ends = [x._edge() for x in inputs]
        with no_grad():
            found = walk_between([result], [gradient], [end for end in ends if end is not None])
    gradients = [None if end is None else found.get(end) for end in ends]
    asked = [x.node for x in gradients if x is not None]
    graph = template(asked, [*kept, gradient.node])
    if graph is None:
        return _Stamp(None)
    saved = [kept[place] for place in graph.used() if place < len(kept)]
    if any(node is not result.node and node not in holes for node in saved):
        saved += [node for node in holes if node not in saved]
    forward, backward = (
        template([result.node, *saved], holes),
        template(asked, [*saved, gradient.node]),
    )
    if forward is None or backward is None:
        return _Stamp(None)
    order = iter(range(len(asked)))
    places = tuple([None if x is None else next(order) for x in gradients])
    owners = {node: place for place, node in enumerate([*holes, result.node])}
    return _Stamp(
        forward,
        _Derivative(
            tape.named(StampGrad, name),
            backward,
            places,
            tuple([owners.get(node) for node in saved]),
            tuple(_watched(steps, [*inputs, result])),
        ),
    )


def _watched(steps: Sequence[GradNode], tensors: Sequence[Tensor]) -> list[int]:
    """Which of the tensors have steps that would notice a write to them."""
    storages: list[object] = [x._storage for x in tensors]
    noticed = [
        reference()
        for step in steps
        for reference, _ in cast("Versions", getattr(step, "versions", None) or ())
    ]
    return [n for n, one in enumerate(storages) if any(one is other for other in noticed)]


def _steps(first: GradNode) -> Iterator[GradNode]:
    """All steps of a tape that begins at one."""
    stack, seen = [first], {first}
    while stack:
        step = stack.pop()
        yield step
        for edge in step.edges:
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])


def _saved(step: GradNode) -> list[Node]:
    """What a step has saved for backward."""
    if isinstance(step, PrimitiveGrad):
        result = [] if step.result_node is None else [step.result_node]
        return [*(step.saved or ()), *result]
    if isinstance(step, RuleGrad):
        return [node for node, _ in step._saved or ()]
    if isinstance(step, StampGrad):
        return step.saved or []
    return []
