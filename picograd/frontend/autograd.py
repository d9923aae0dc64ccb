"""Backward: walks the tape from outputs to leaves.

In: output tensors and their gradients. Out: `.grad` of the leaves (`backward`) or a tuple of
gradients (`grad`). The walk is iterative, later operations first, and each node runs once, when all
the gradients of its outputs have arrived. Gradients are lazy tensors like any other; with
`create_graph` the rules run recorded, so gradients can be differentiated again.

>>> import picograd
>>> x = picograd.tensor(3.0, requires_grad=True)
>>> (x * x).backward()
>>> x.grad.item()
6.0
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import cast

from picograd import engine
from picograd.frontend import pieces, primitives, tape, view
from picograd.frontend.anomaly import check as check_anomaly
from picograd.frontend.grad_mode import enable_grad, no_grad, state
from picograd.frontend.tape import AccumulateGrad, Edge, Gradients, GradNode
from picograd.frontend.tensor import Tensor, wrap
from picograd.frontend.view import Steps
from picograd.frontend.watching import ANOMALY
from picograd.graph.ops import Combiner, Op, Shape, ShapeAttr, SliceAttr

Tensors = Tensor | Sequence[Tensor]


# --- views on the tape --------------------------------------------------------------------------


def followed(x: Tensor, steps: Steps) -> Tensor:
    """The steps of a view applied to a tensor as recorded primitives."""
    for op, attr, _ in steps:
        x = primitives.primitive(op, (x,), attr)
    return x


def pulled_back(gradient: Tensor, steps: Steps) -> Tensor:
    """The gradient of a view's source, given the view's."""
    for op, attr, inverse in reversed(steps):
        if op is Op.SLICE:
            part, whole = cast("SliceAttr", attr), cast("ShapeAttr", inverse).shape
            starts = cast("tuple[int, ...]", part.starts)
            gradient = unsliced(gradient, starts, part.steps, whole)
        elif op is Op.EXPAND:
            gradient = unexpanded(gradient, cast("ShapeAttr", inverse).shape)
        else:
            gradient = primitives.primitive(op, (gradient,), inverse)
    return gradient


def erased(gradient: Tensor, steps: Steps) -> Tensor:
    """The gradient with zeros where the view of it looks."""
    along = [gradient]
    for op, attr, _ in steps:
        along.append(primitives.primitive(op, (along[-1],), attr))
    seen = along.pop()
    value = primitives.constant(0, seen.dtype, gradient._storage.node.device, seen._shape)
    for source, (op, attr, inverse) in zip(reversed(along), reversed(steps), strict=True):
        if op is Op.SLICE:
            value = primitives.primitive(Op.UPDATE, (source, value), attr)
        elif op is Op.EXPAND:
            first = view.first_of(cast("ShapeAttr", inverse).shape)
            value = primitives.primitive(Op.SLICE, (value,), first)
        else:
            value = primitives.primitive(op, (value,), inverse)
    return value


def unsliced(gradient: Tensor, starts: Sequence[int], steps: Sequence[int], shape: Shape) -> Tensor:
    """Zeros of a shape with the gradient of a slice in its place."""
    sizes = gradient._shape
    if all(step == 1 or size == 1 for step, size in zip(steps, sizes, strict=True)):
        after = [n - a - k for n, a, k in zip(shape, starts, sizes, strict=True)]
        return primitives.pad(gradient, tuple(starts), tuple(after))
    zeros = primitives.constant(0, gradient.dtype, gradient._storage.node.device, shape)
    return primitives.update(zeros, gradient, tuple(starts), sizes, tuple(steps))


def unexpanded(gradient: Tensor, shape: Shape) -> Tensor:
    """The sum over the axes of extent 1 that were repeated."""
    axes = [n for n, (a, b) in enumerate(zip(shape, gradient._shape, strict=True)) if a != b]
    summed = primitives.reduce(Combiner.SUM, gradient, tuple(axes))
    return primitives.reshape(summed, shape)


# --- names --------------------------------------------------------------------------------------


def label(result: Tensor, name: str) -> Tensor:
    """Rename the last step of a composite function: `MeanBackward0` instead of `MulBackward0`."""
    meta = result._meta
    if meta is not None and meta.edge is not None and result._base is None:
        node = meta.edge[0]
        if not isinstance(node, AccumulateGrad):
            node.__class__ = tape.named(type(node), name)
    return result


# --- the walk -----------------------------------------------------------------------------------


def accumulate(variable: Tensor, gradient: Tensor) -> None:
    """Add a gradient to the `grad` of a leaf, then call its hooks."""
    meta = variable._meta
    assert meta is not None
    before = meta.grad
    if state.enabled and gradient._edge() is not None:
        meta.grad = gradient if before is None else _sum(before, gradient)
    elif before is None:
        meta.grad = wrap(gradient._snapshot())
    else:
        before._write_node(_sum(before, gradient).node)
    if meta.post_hooks:
        for hook in list(meta.post_hooks.values()):
            with no_grad():
                hook(variable)


def _sum(first: Tensor, second: Tensor) -> Tensor:
    return primitives.elementwise(Op.ADD, first, second)


def _dependencies(
    roots: Sequence[GradNode],
    wanted: set[GradNode] | None,
    stops: frozenset[GradNode] = frozenset(),
) -> dict[GradNode, int]:
    """How many gradients each node waits for.

    With `wanted`, only nodes from which a wanted one can be reached count. The walk goes no further
    than `stops`.
    """
    order: list[GradNode] = []
    seen: set[GradNode] = set()
    stack: list[tuple[GradNode, bool]] = [(root, False) for root in roots]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            if node not in stops:
                stack.extend([(edge[0], False) for edge in node.edges if edge is not None])
    if wanted is not None:
        useful = set(wanted)
        for node in order:  # sources come first
            if any(edge is not None and edge[0] in useful for edge in node.edges):
                useful.add(node)
        order = [node for node in order if node in useful]
    counts = dict.fromkeys(order, 0)
    for node in order:
        for edge in () if node in stops else node.edges:
            if edge is not None and edge[0] in counts:
                counts[edge[0]] += 1
    return counts


class _Walk:
    """One run of backward: the gradients that have arrived, and the nodes that are ready."""

    def __init__(
        self,
        waiting: dict[GradNode, int],
        captures: set[tuple[GradNode, int]],
        stops: frozenset[GradNode] = frozenset(),
    ) -> None:
        self.waiting, self.stops = waiting, stops
        self.captures = captures
        self.captured: dict[tuple[GradNode, int], Tensor] = {}
        self.arrived: dict[GradNode, list[list[Tensor]]] = {}
        self.ready: list[tuple[int, int, GradNode]] = []

    def send(self, edge: Edge, gradient: Tensor | None) -> None:
        """Add a gradient to what has arrived at an edge."""
        node, number = edge
        slots = self.arrived.get(node)
        if slots is None:
            slots = self.arrived[node] = [[] for _ in node.outputs]
        if gradient is not None:
            slots[number].append(gradient)

    def push(self, node: GradNode) -> None:
        """Queue a node; the latest operation is served first, leaves before all."""
        heapq.heappush(self.ready, (-node.sequence, id(node), node))

    def run(self, retain_graph: bool, accumulating: bool) -> None:
        """Serve nodes until none is left."""
        while self.ready:
            node = heapq.heappop(self.ready)[2]
            arrived = self.arrived.pop(node, None)
            gradients = cast("list[Tensor | None]", [None] * len(node.outputs))
            if arrived is not None:
                gradients = [pieces.total(one) if one else None for one in arrived]
            if node in self.stops:
                self._capture(node, gradients)
                continue
            self._observe(node, gradients)
            leaf = isinstance(node, AccumulateGrad)
            if leaf and not accumulating:
                continue
            results = self._apply(node, gradients)
            if not retain_graph:
                node.release()
                node.spent = True
            for edge, gradient in zip(node.edges, results, strict=not leaf):
                if edge is None or edge[0] not in self.waiting:
                    continue
                self.send(edge, gradient)
                self.waiting[edge[0]] -= 1
                if not self.waiting[edge[0]]:
                    self.push(edge[0])

    def _observe(self, node: GradNode, gradients: list[Tensor | None]) -> None:
        """Run the hooks on a node's outputs, store retained gradients, note captured ones."""
        if node.hooks is not None:
            for number, hooks in node.hooks.items():
                for hook in list(hooks.values()):
                    gradient = gradients[number]
                    if gradient is not None:
                        changed = hook(gradient)
                        gradients[number] = gradient if changed is None else changed
        if node.retained is not None:
            for number, reference in node.retained.items():
                tensor, gradient = reference(), gradients[number]
                if tensor is not None and gradient is not None and tensor._meta is not None:
                    before = tensor._meta.grad
                    kept = gradient if state.enabled else wrap(gradient._snapshot())
                    tensor._meta.grad = kept if before is None else _sum(before, kept)
        if self.captures:
            self._capture(node, gradients)

    def _capture(self, node: GradNode, gradients: list[Tensor | None]) -> None:
        for number, gradient in enumerate(gradients):
            if gradient is not None and (node, number) in self.captures:
                self.captured[node, number] = gradient

    def _prepared(self, node: GradNode, gradients: list[Tensor | None]) -> list[Tensor | None]:
        """The gradients after the hooks that run before a step."""
        for hook in list((node.node_hooks or {}).values()):
            if isinstance(hook, tape._Prehook):
                changed = hook.hook(tuple(gradients))
                gradients = gradients if changed is None else list(changed)
        return gradients

    def _apply(self, node: GradNode, gradients: list[Tensor | None]) -> Gradients:
        if not any(gradient is not None for gradient in gradients):
            results: Gradients = (None,) * len(node.edges)
        elif all(edge is None or edge[0] not in self.waiting for edge in node.edges) and node.edges:
            return (None,) * len(node.edges)
        else:
            results = node.apply(self._prepared(node, gradients))
            if ANOMALY.enabled:
                check_anomaly(node, results)
        if node.node_hooks:
            for hook in list(node.node_hooks.values()):
                changed = hook(tuple(results), tuple(gradients))
                results = results if changed is None else changed
        return results


def _walk(
    outputs: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    inputs: Sequence[Tensor] | None,
    retain_graph: bool,
    create_graph: bool,
    accumulating: bool,
) -> dict[Edge, Tensor]:
    """Run backward; returns the gradients that arrived at the edges of `inputs`."""
    mode = enable_grad() if create_graph else no_grad()
    with mode:
        roots: list[tuple[Edge, Tensor]] = []
        for number, (output, gradient) in enumerate(zip(outputs, gradients, strict=True)):
            edge = output._edge()
            if edge is None:
                raise RuntimeError(
                    f"element {number} of tensors does not require grad and does not have a grad_fn"
                )
            roots.append((edge, _initial(output, gradient, number)))
        captures = set()
        if inputs is not None:
            captures = {edge for x in inputs if (edge := x._edge()) is not None}
        nodes = list(dict.fromkeys(edge[0] for edge, _ in roots))
        wanted = {edge[0] for edge in captures} if inputs is not None else None
        waiting = _dependencies(nodes, wanted)
        walk = _Walk(waiting, captures)
        for edge, gradient in roots:
            if edge[0] in waiting:
                walk.send(edge, gradient)
        for node in nodes:
            if waiting.get(node) == 0:
                walk.push(node)
        walk.run(retain_graph, accumulating)
        if inputs is not None and accumulating:
            _accumulate_captured(inputs, walk)
        return walk.captured


def walk_between(
    outputs: Sequence[Tensor], gradients: Sequence[Tensor | None], ends: Sequence[Edge]
) -> dict[Edge, Tensor]:
    """The gradients that arrive at `ends`, behind which the walk doesn't go; recorded if enabled.

    What was saved stays, and hooks at the ends don't run.
    """
    given = [
        (edge, gradient)
        for output, gradient in zip(outputs, gradients, strict=True)
        if gradient is not None and (edge := output._edge()) is not None
    ]
    stops = frozenset([node for node, _ in ends])
    roots = list(dict.fromkeys(edge[0] for edge, _ in given))
    waiting = _dependencies(roots, set(stops), stops)
    walk = _Walk(waiting, set(ends), stops)
    for edge, gradient in given:
        if edge[0] in waiting:
            walk.send(edge, gradient)
    for node in roots:
        if waiting.get(node) == 0:
            walk.push(node)
    walk.run(retain_graph=True, accumulating=False)
    return walk.captured


def _accumulate_captured(inputs: Sequence[Tensor], walk: _Walk) -> None:
    """`backward(inputs=...)`: non-leaf inputs collect their gradient as leaves do."""
    for x in inputs:
        edge = x._edge()
        if edge is None or isinstance(edge[0], AccumulateGrad) or edge not in walk.captured:
            continue
        if x._meta is not None and not x._meta.retains:
            accumulate(x, walk.captured[edge])


def _initial(output: Tensor, gradient: Tensor | None, number: int) -> Tensor:
    """The gradient that backward starts with: given, or 1 for a number."""
    if gradient is None:
        if output.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        if not output.dtype.is_inexact:
            raise RuntimeError(
                "grad can be implicitly created only for real scalar outputs but got "
                f"{output.dtype}"
            )
        device = output._storage.node.device
        return primitives.constant(1, output.dtype, device, output._shape)
    if not isinstance(gradient, Tensor):
        raise TypeError(
            f"gradients can be either Tensors or None, but got {type(gradient).__name__}"
        )
    if gradient._shape != output._shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[{number}] has a shape of {gradient.shape} and "
            f"output[{number}] has a shape of {output.shape}."
        )
    return primitives.cast(gradient, output.dtype)


def _listed(tensors: Tensors) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients_of(
    outputs: Sequence[Tensor], given: Tensor | Sequence[Tensor | None] | None
) -> list[Tensor | None]:
    if given is None:
        return [None] * len(outputs)
    listed: list[Tensor | None] = [given] if isinstance(given, Tensor) else list(given)
    if len(listed) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(listed)} gradients")
    return listed


def backward(
    tensors: Tensors,
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Tensor | Sequence[Tensor | None] | None = None,
    inputs: Tensors | None = None,
) -> None:
    """Add the gradients of the tensors to `.grad` of the leaves they were computed from.

    With `inputs` only those collect.
    """
    if grad_variables is not None:  # what the argument was called once
        grad_tensors = grad_variables
    outputs = _listed(tensors)
    listed = None
    if inputs is not None:
        listed = _listed(inputs)
        if not listed:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    keep = create_graph if retain_graph is None else retain_graph
    engine.end_phase()
    _walk(outputs, _gradients_of(outputs, grad_tensors), listed, keep, create_graph, True)
    engine.end_phase()


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the outputs (their sum) with respect to the inputs; `.grad` stays."""
    if is_grads_batched:
        return _batched_grad(
            _listed(outputs), inputs, grad_outputs, create_graph, allow_unused, materialize_grads
        )
    if allow_unused is False and materialize_grads:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True"
        )
    sources, targets = _listed(outputs), _listed(inputs)
    for x in targets:
        if not x.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    keep = create_graph if retain_graph is None else retain_graph
    gradients = _gradients_of(sources, grad_outputs)
    captured = _walk(sources, gradients, targets, keep, create_graph, False)
    found: list[Tensor | None] = []
    for number, x in enumerate(targets):
        edge = x._edge()
        gradient = captured.get(edge) if edge is not None else None
        if gradient is None and materialize_grads:
            gradient = primitives.constant(0, x.dtype, x._storage.node.device, x._shape)
        if gradient is None and not allow_unused:
            raise RuntimeError(
                f"The differentiated Tensor at index {number} appears to not have been used in the "
                "graph. Set allow_unused=True if this is the desired behavior."
            )
        found.append(gradient)
    return tuple(found)


def _batched_grad(
    outputs: list[Tensor],
    inputs: Tensors,
    grad_outputs: Tensor | Sequence[Tensor | None] | None,
    create_graph: bool,
    allow_unused: bool | None,
    materialize_grads: bool,
) -> tuple[Tensor | None, ...]:
    """`grad` for every gradient along axis 0 of those given."""
    from picograd.frontend.vmap import vmap

    given = _gradients_of(outputs, grad_outputs)
    known = [gradient for gradient in given if gradient is not None]
    used: list[bool] = []

    def one(*gradients: Tensor) -> list[Tensor]:
        rows = iter(gradients)
        each = [None if gradient is None else next(rows) for gradient in given]
        found = grad(
            outputs, inputs, each, retain_graph=True, create_graph=create_graph,
            allow_unused=allow_unused, materialize_grads=materialize_grads,
        )  # fmt: skip
        used[:] = [gradient is not None for gradient in found]
        return [gradient for gradient in found if gradient is not None]

    results = iter(vmap(one)(*known))
    return tuple([next(results) if wanted else None for wanted in used])
