"""Public autograd: `grad`, `backward`, `Function`, grad modes, `functional`.

>>> import picograd
>>> x = picograd.tensor(2.0, requires_grad=True)
>>> (slope,) = grad(x * x * x, x)
>>> slope.item()
12.0
"""

import importlib
from typing import Any

from picograd import paths
from picograd.autograd.variable import Variable
from picograd.frontend.autograd import backward, grad
from picograd.frontend.function import Function, FunctionCtx, once_differentiable
from picograd.frontend.grad_mode import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)

_MODULES = ("functional",)

paths.publish(
    __name__,
    "function",
    {
        "Function": Function,
        "FunctionCtx": FunctionCtx,
        "once_differentiable": once_differentiable,
    },
)
paths.publish(
    __name__,
    "grad_mode",
    {
        "enable_grad": enable_grad,
        "inference_mode": inference_mode,
        "no_grad": no_grad,
        "set_grad_enabled": set_grad_enabled,
    },
)

__all__ = [
    "Function",
    "FunctionCtx",
    "Variable",
    "backward",
    "enable_grad",
    "grad",
    "inference_mode",
    "no_grad",
    "once_differentiable",
    "set_grad_enabled",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"picograd.autograd.{name}")
    raise AttributeError(f"picograd.autograd.{name} isn't supported yet")
