"""Functions of functions: gradients, products with Jacobians, whole Jacobians, `vmap`.

In: functions of tensors (or of nested containers of them). Out: functions. Gradients are computed
backwards throughout: `jvp` differentiates a vector-Jacobian product, which is linear, with respect
to its vector, and `jacfwd` gives what `jacrev` gives. They nest, with each other and with `vmap`.

>>> import picograd
>>> grad(grad(lambda x: x**3))(picograd.tensor(2.0)).item()
12.0
>>> jacrev(picograd.sin)(picograd.zeros(2))
tensor([[1., 0.],
        [0., 1.]])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from picograd.frontend.differentials import (
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    vjp,
)
from picograd.frontend.movement import stack
from picograd.frontend.tensor import Tensor
from picograd.frontend.vmap import vmap
from picograd.nn.module import Module
from picograd.nn.utils.stateless import functional_call

__all__ = [
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "vjp",
    "vmap",
]


def stack_module_state(
    models: Sequence[Module],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters of equal modules stacked by name, and their buffers: for `functional_call`
    under `vmap`."""
    listed = list(models)
    if not listed:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({type(model) for model in listed}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    if len({model.training for model in listed}) > 1:
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    parameters = [dict(model.named_parameters()) for model in listed]
    buffers = [dict(model.named_buffers()) for model in listed]
    return (
        {
            name: stack([one[name].detach() for one in parameters]).requires_grad_(
                first.requires_grad
            )
            for name, first in parameters[0].items()
        },
        {name: stack([one[name] for one in buffers]) for name in buffers[0]},
    )


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """The function itself: in-place writes build new nodes anyway."""
    return func
