"""Helpers of training loops: gradient clipping, parameters as one vector, norms of weights.

In: parameters. Out: what torch's `nn.utils` gives.

>>> import picograd
>>> w = picograd.ones(4, requires_grad=True)
>>> w.grad = picograd.ones(4)
>>> clip_grad_norm_(w, 1.0).item(), w.grad.sum().item() < 2.0
(2.0, True)
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable
from types import ModuleType

from picograd import paths
from picograd.frontend.creation import zeros
from picograd.frontend.grad_mode import no_grad
from picograd.frontend.missing import Missing as _Missing
from picograd.frontend.movement import cat, stack
from picograd.frontend.tensor import Tensor
from picograd.nn.utils import rnn as rnn
from picograd.nn.utils.hooked_norms import (
    remove_spectral_norm,
    remove_weight_norm,
    spectral_norm,
    weight_norm,
)

_LATER = ("parametrizations", "parametrize", "prune", "stateless")

Tensors = Tensor | Iterable[Tensor]


def _with_gradients(parameters: Tensors) -> list[Tensor]:
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in listed if p.grad is not None]


def get_total_norm(
    tensors: Tensors,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all the tensors' elements together."""
    listed = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not listed:
        return zeros(())
    norms = stack([x.detach().norm(norm_type) for x in listed])
    total = norms.norm(norm_type)
    if error_if_nonfinite and not bool(total.isfinite()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scale the gradients by `max_norm / total_norm` if that is less than 1."""
    scale = (max_norm / (total_norm + 1e-6)).clamp(max=1.0)
    with no_grad():
        for gradient in _with_gradients(parameters):
            gradient.mul_(scale)


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients together so that their norm is at most `max_norm`; the norm before."""
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_with_gradients(listed), float(norm_type), error_if_nonfinite)
    clip_grads_with_norm_(listed, float(max_norm), total)
    return total


def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Bound every element of the gradients."""
    with no_grad():
        for gradient in _with_gradients(parameters):
            gradient.clamp_(-float(clip_value), float(clip_value))


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements in one row."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the parameters the elements of one row."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    for parameter in parameters:
        count = parameter.numel()
        parameter.data = vec[start : start + count].view(parameter.shape).data
        start += count


def __getattr__(name: str) -> ModuleType:
    if name in _LATER:
        return importlib.import_module(f"picograd.nn.utils.{name}")
    raise _Missing("picograd.nn.utils", name, lambda: [*globals(), *_LATER])


def clip_grad_norm(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """`clip_grad_norm_` under its older name."""
    warnings.warn(
        "torch.nn.utils.clip_grad_norm is now deprecated in favor of "
        "torch.nn.utils.clip_grad_norm_.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


paths.publish(
    __name__,
    "clip_grad",
    {
        "clip_grad_norm": clip_grad_norm,
        "clip_grad_norm_": clip_grad_norm_,
        "clip_grad_value_": clip_grad_value_,
    },
)
paths.publish(
    __name__,
    "convert_parameters",
    {
        "parameters_to_vector": parameters_to_vector,
        "vector_to_parameters": vector_to_parameters,
    },
)

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "spectral_norm",
    "vector_to_parameters",
    "weight_norm",
]
