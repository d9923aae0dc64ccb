"""Functions with a derivative written by the user: `autograd.Function`.

In: a subclass with static methods `forward` and `backward`. Out: `apply`, which runs `forward`
unrecorded and leaves one step on the tape that runs `backward`.

>>> import picograd
>>> class Double(Function):
...     @staticmethod
...     def forward(ctx, x):
...         return x * 2
...     @staticmethod
...     def backward(ctx, gradient):
...         return gradient * 2
>>> x = picograd.tensor(3.0, requires_grad=True)
>>> Double.apply(x).backward()
>>> x.grad.item()
2.0
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar, cast

from picograd.frontend import primitives, tape
from picograd.frontend.grad_mode import no_grad, state
from picograd.frontend.tape import FREED, Edge, Gradients, GradNode, Meta
from picograd.frontend.tensor import Tensor, wrap
from picograd.graph.node import Node

Saved = tuple[Node, "Edge | int | None"]


def _has_no_node(saved: object) -> bool:
    """Whether an object to save is kept as it is: None, or a sparse tensor."""
    return saved is None or getattr(saved, "is_sparse", False) is True


class FunctionCtx:
    """What `forward` and `backward` share."""

    def __init__(self, needs: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs
        self.materialize_grads = True
        self._to_save: tuple[Tensor | None, ...] = ()
        self._not_differentiable: tuple[Tensor, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._node: FunctionGrad | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for backward, as they are now."""
        for tensor in tensors:
            if not isinstance(tensor, Tensor) and not _has_no_node(tensor):
                raise TypeError(
                    "save_for_backward can only save variables, but argument is of type "
                    f"{type(tensor).__name__}"
                )
        self._to_save = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that outputs of `forward` have no gradient."""
        self._not_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Say that `forward` wrote into inputs."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients come to `backward` as zeros (the default) or as None."""
        self.materialize_grads = value

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What `save_for_backward` kept."""
        return self._to_save if self._node is None else self._node.restored()


class FunctionGrad(GradNode):
    """One application of a user's function."""

    __slots__ = ("_saved", "ctx", "function", "released")

    ctx: FunctionCtx
    function: type[Function]

    def save(self, results: tuple[object, ...]) -> None:
        """Turn the tensors to save into immutable nodes with their places on the tape."""
        saved: list[Saved | None] = []
        for tensor in self.ctx._to_save:
            if not isinstance(tensor, Tensor):
                saved.append(tensor)
                continue
            number = next((n for n, result in enumerate(results) if result is tensor), None)
            place = number if number is not None else tensor._edge()
            saved.append((tensor._snapshot(), place))
        self._saved = saved
        self.released = False
        self.ctx._to_save = ()
        self.ctx._node = self

    def restored(self) -> tuple[Tensor | None, ...]:
        """The saved tensors; an output is linked to this step again."""
        if self.released:
            raise RuntimeError(FREED)
        tensors: list[Tensor | None] = []
        for entry in self._saved:
            if not isinstance(entry, tuple):
                tensors.append(entry)
                continue
            node, place = entry
            tensor = wrap(node)
            edge = (self, place) if isinstance(place, int) else place
            if edge is not None:
                tensor._meta = Meta(edge)
            tensors.append(tensor)
        return tuple(tensors)

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        if self.ctx.materialize_grads:
            gradients = [
                primitives.constant(0, dtype, device, shape) if gradient is None else gradient
                for gradient, (shape, dtype, device) in zip(gradients, self.outputs, strict=True)
            ]
        given = cast("Callable[..., object]", self.function.backward)(self.ctx, *gradients)
        returned = list(given) if isinstance(given, (tuple, list)) else [given]
        expected = len(self.edges)
        while len(returned) > expected and returned[-1] is None:
            returned.pop()
        if len(returned) != expected:
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected "
                f"{expected}, got {len(returned)})"
            )
        for position, (gradient, edge) in enumerate(zip(returned, self.edges, strict=True)):
            if gradient is None or edge is None:
                continue
            shape = edge[0].outputs[edge[1]][0]
            if cast("Tensor", gradient)._shape != shape:
                returned[position] = _reduced(cast("Tensor", gradient), shape, self, position)
        return cast("Gradients", returned)

    def release(self) -> None:
        if self._saved:
            self._saved = []
            self.released = True


def _reduced(gradient: Tensor, shape: tuple[int, ...], node: FunctionGrad, position: int) -> Tensor:
    """A gradient that was broadcast is summed to the input's shape; others are an error."""
    lead = gradient.ndim - len(shape)
    fits = lead >= 0 and all(
        a == b or b == 1 for a, b in zip(gradient._shape[lead:], shape, strict=True)
    )
    if not fits:
        raise RuntimeError(
            f"Function {node.name()} returned an invalid gradient at index {position} - got "
            f"{list(gradient._shape)} but expected shape compatible with {list(shape)}"
        )
    from picograd.frontend.autograd import unexpanded

    return primitives.reshape(unexpanded(gradient, (1,) * lead + shape), shape)


class Function:
    """Base class of functions with a derivative of their own; use `apply`."""

    forward: ClassVar[Callable[..., Any]]
    backward: ClassVar[Callable[..., Any]]

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward` and record `backward`."""
        edges = tuple([x._edge() if isinstance(x, Tensor) else None for x in args])
        recording = state.enabled and any(edge is not None for edge in edges)
        ctx = FunctionCtx(tuple([edge is not None for edge in edges]))
        separate = "setup_context" in cls.__dict__ or hasattr(cls, "setup_context")
        with no_grad():
            output = cls.forward(*args) if separate else cls.forward(ctx, *args)
            if separate:
                cast("Any", cls).setup_context(ctx, args, output)
        single = not isinstance(output, tuple)
        results = (output,) if single else output
        if not recording:
            return output
        linked = _link(cls, ctx, edges, args, results)
        return linked[0] if single else linked


def _link(
    function: type[Function],
    ctx: FunctionCtx,
    edges: tuple[Edge | None, ...],
    arguments: tuple[object, ...],
    results: tuple[object, ...],
) -> tuple[object, ...]:
    """Put the outputs of `forward` on the tape."""
    outputs = tuple(
        [x._signature() if isinstance(x, Tensor) else ((), Tensor, "") for x in results]
    )
    name = function.__dict__.get("_step_name", f"{function.__name__}Backward")
    kind = tape.named(FunctionGrad, name)
    node = cast("FunctionGrad", kind(edges, cast("Any", outputs)))
    node.ctx, node.function = ctx, function
    node.save(results)
    linked: list[object] = []
    for number, result in enumerate(results):
        if not isinstance(result, Tensor) or not result.dtype.is_inexact:
            linked.append(result)
            continue
        if any(result is x for x in ctx._not_differentiable):
            linked.append(result)
            continue
        if any(result is x for x in ctx._dirty):
            result._set_edge((node, number))
            linked.append(result)
            continue
        if any(result is x for x in arguments) or result._meta is not None:
            result = wrap(result._snapshot())
        result._base, result._relative = None, ()
        result._meta = Meta((node, number))
        linked.append(result)
    return tuple(linked)


class _Once(GradNode):
    """What stands behind gradients that can't be differentiated again."""

    __slots__ = ()

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a `backward` whose result must not be differentiated again."""

    @functools.wraps(fn)
    def wrapper(ctx: FunctionCtx, *args: Any) -> Any:
        with no_grad():
            outputs = fn(ctx, *args)
        edges = tuple([x._edge() for x in args if isinstance(x, Tensor)])
        if not state.enabled or not any(edge is not None for edge in edges):
            return outputs
        listed = list(outputs) if isinstance(outputs, tuple) else [outputs]
        for number, x in enumerate(listed):
            if isinstance(x, Tensor):
                fresh = wrap(x._snapshot())
                fresh._meta = Meta((_Once(edges, (fresh._signature(),)), 0))
                listed[number] = fresh
        return tuple(listed) if isinstance(outputs, tuple) else listed[0]

    return wrapper
