"""Composite functions with a derivative of their own.

In: a computation over tensors and a rule for its gradient. Out: its result, recorded on the tape as
one step. Most composites need no rule, since their primitives have one; a rule is for those whose
derivative is cheaper or more accurate than that of the parts (softmax, sigmoid, max over a dim).

>>> import picograd
>>> x = picograd.tensor([0.0], requires_grad=True)
>>> picograd.sigmoid(x).backward()
>>> x.grad
tensor([0.2500])
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import cast

from picograd.frontend.grad_mode import state
from picograd.frontend.tape import (
    FREED,
    Gradients,
    GradNode,
    Meta,
    RuleGrad,
    named,
)
from picograd.frontend.tensor import Tensor, wrap
from picograd.frontend.watching import check_versions

Rule = Callable[..., Gradients]


class ResultRuleGrad(RuleGrad):
    """A rule that uses the function's own result: it comes first, after the gradient.

    The result is linked to this step again when it is read, so that second derivatives are right.
    """

    __slots__ = ()

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        if self._saved is None:
            raise RuntimeError(FREED)
        gradient = gradients[0]
        if gradient is None:
            return (None,) * len(self.edges)
        check_versions(self, self.versions or [])
        result = wrap(self._saved[-1][0])
        result._meta = Meta((self, 0))
        return self._rule(gradient, result)


class RefusingGrad(GradNode):
    """A step that torch has no derivative for: backward raises."""

    __slots__ = ()

    def apply(self, gradients: list[Tensor | None]) -> Gradients:
        function = self.name().removesuffix("Backward0")
        raise RuntimeError(f"derivative for {function} is not implemented")


def without_derivative(name: str, result: Tensor, *inputs: Tensor) -> Tensor:
    """A result whose backward raises torch's error, if one of its inputs requires grad."""
    edges = tuple([x._edge() for x in inputs]) if state.enabled else ()
    if any(edge is not None for edge in edges):
        kind = named(RefusingGrad, f"{name}Backward0")
        result._meta = Meta((kind(edges, (result._signature(),)), 0))
    return result


def with_rule(
    name: str,
    compute: Callable[[], Tensor],
    inputs: Sequence[Tensor],
    rule: Rule,
    saved: Sequence[Tensor] | None = None,
    watched: Sequence[Tensor] = (),
) -> Tensor:
    """Run `compute` unrecorded; its gradient is `rule(gradient, *saved)`, one entry per input.

    Without `saved` the rule is called as `rule(gradient, result)`. `compute` must return fresh
    storage. `name` is the step's name as torch prints it; backward raises where one of those that
    are `watched` was written since.
    """
    edges = tuple([x._edge() for x in inputs]) if state.enabled else ()
    if not any(edge is not None for edge in edges):
        return compute()
    state.enabled = False
    try:
        result = compute()
    finally:
        state.enabled = True
    outputs = (result._signature(),)
    if saved is None:
        kind = cast("type[ResultRuleGrad]", named(ResultRuleGrad, name))
        node = kind(edges, outputs, (), rule)
        node.save_result(result)
    else:
        node = cast("type[RuleGrad]", named(RuleGrad, name))(edges, outputs, saved, rule)
        node.versions = [(weakref.ref(x._storage), x._storage.version) for x in watched]
    result._meta = Meta((node, 0))
    return result
