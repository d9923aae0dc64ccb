"""`checkpoint`: what is computed forward is forgotten, and computed again in backward.

In: a function and its arguments. Out: its outputs, recorded as one step whose backward runs the
function again. The first run is recorded too, only to see which leaves outside of the arguments
(parameters) need gradients; then its tape is dropped.

>>> import picograd
>>> w = picograd.tensor(3.0, requires_grad=True)
>>> x = picograd.tensor(2.0, requires_grad=True)
>>> checkpoint(lambda v: (v * w) ** 2, x, use_reentrant=False).backward()
>>> x.grad.item(), w.grad.item()
(36.0, 24.0)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from picograd.frontend import autocasting
from picograd.frontend.autograd import grad
from picograd.frontend.function import Function, FunctionCtx
from picograd.frontend.grad_mode import enable_grad, is_grad_enabled
from picograd.frontend.random import get_rng_state, set_rng_state
from picograd.frontend.tape import AccumulateGrad
from picograd.frontend.tensor import Tensor

Contexts = tuple[AbstractContextManager[Any], AbstractContextManager[Any]]


def _no_contexts() -> Contexts:
    return nullcontext(), nullcontext()


class _Segment:
    """A call that can be made again with other tensors, from the same random state."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        preserve: bool,
        again: AbstractContextManager[Any],
    ) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.places = [n for n, one in enumerate(args) if isinstance(one, Tensor)]
        self.random = get_rng_state() if preserve else None
        self.again = again
        self.target = autocasting.state.target
        self.single = True
        self.leaves: list[Tensor] = []  # beginnings of the tape outside of the arguments

    def call(self, tensors: Sequence[Tensor]) -> tuple[Any, ...]:
        """The outputs for other tensors in the arguments' places."""
        args = list(self.args)
        for place, one in zip(self.places, tensors, strict=True):
            args[place] = one
        outputs = self.function(*args, **self.kwargs)
        self.single = not isinstance(outputs, (tuple, list))
        return (outputs,) if self.single else tuple(outputs)

    def repeat(self, tensors: Sequence[Tensor]) -> tuple[Any, ...]:
        """The same, with the random numbers of the first time."""
        before, target = get_rng_state(), autocasting.state.target
        autocasting.set_target(self.target)
        if self.random is not None:
            set_rng_state(self.random)
        try:
            with self.again:
                return self.call(tensors)
        finally:
            autocasting.set_target(target)
            if self.random is not None:
                set_rng_state(before)


class _Checkpoint(Function):
    """Outputs that are known; backward computes them again."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, segment: _Segment, outputs: tuple[Any, ...], *tensors: Tensor
    ) -> Any:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.segment = segment  # type: ignore[attr-defined]
        flat = tuple([one.detach() if isinstance(one, Tensor) else one for one in outputs])
        return flat

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor | None) -> Any:
        segment: _Segment = ctx.segment  # type: ignore[attr-defined]
        saved = ctx.saved_tensors
        count = len(segment.places)
        inputs = [_leaf(one) for one in saved[:count] if one is not None]
        leaves = segment.leaves
        with enable_grad():
            outputs = segment.repeat(inputs)
        chosen = [
            (one, gradient)
            for one, gradient in zip(outputs, gradients, strict=True)
            if isinstance(one, Tensor) and one.requires_grad and gradient is not None
        ]
        wanted = [one for one in [*inputs, *leaves] if one.requires_grad]
        found: dict[int, Tensor | None] = {}
        if chosen and wanted:
            ends, starts = zip(*chosen, strict=True)
            results = grad(ends, wanted, starts, retain_graph=True, allow_unused=True)
            found = {id(one): result for one, result in zip(wanted, results, strict=True)}
        return (None, None, *[found.get(id(one)) for one in [*inputs, *leaves]])


def _leaf(x: Tensor) -> Tensor:
    """The same contents as the beginning of a tape."""
    return x.detach().requires_grad_(x.requires_grad)


def _leaves(outputs: Sequence[Any], inputs: Sequence[Tensor]) -> list[Tensor]:
    """The leaves that outputs depend on and that are no inputs."""
    edges = [one._edge() for one in outputs if isinstance(one, Tensor)]
    waiting = [edge[0] for edge in edges if edge is not None]
    known = {id(one) for one in inputs}
    seen: set[int] = set()
    found: list[Tensor] = []
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, AccumulateGrad):
            variable = node.variable
            if variable is not None and id(variable) not in known:
                found.append(variable)
        waiting += [edge[0] for edge in node.edges if edge is not None]
    return found


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], Contexts] = _no_contexts,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """`function(*args, **kwargs)`, whose intermediate results are not kept for backward.

    Both values of `use_reentrant` do the same here: gradients reach the arguments and every leaf
    that the function uses. The options about checks and stopping early change nothing.
    """
    if not is_grad_enabled():
        return function(*args, **kwargs)
    first, again = context_fn()
    segment = _Segment(function, args, kwargs, preserve_rng_state, again)
    tensors = [args[place] for place in segment.places]
    inputs = [_leaf(one) for one in tensors]
    with first:
        outputs = segment.call(inputs)
    segment.leaves = _leaves(outputs, inputs)
    results = _Checkpoint.apply(segment, outputs, *tensors, *segment.leaves)
    return results[0] if segment.single else results


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Functions (or a `Sequential`) one after the other, in checkpointed segments; the last
    segment keeps its results."""
    chain = list(functions.children()) if hasattr(functions, "children") else list(functions)

    def run(part: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
        def forward(value: Any) -> Any:
            for one in part:
                value = one(value)
            return value

        return forward

    size = len(chain) // segments
    begin = 0
    for _ in range(segments - 1):
        part = run(chain[begin : begin + size])
        input = checkpoint(part, input, use_reentrant=use_reentrant, **kwargs)
        begin += size
    return run(chain[begin:])(input)
