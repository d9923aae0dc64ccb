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
from picograd.frontend.anomaly import detect_anomaly, set_detect_anomaly
from picograd.frontend.autograd import backward, grad
from picograd.frontend.function import Function, FunctionCtx, once_differentiable
from picograd.frontend.grad_mode import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)
from picograd.frontend.missing import Missing as _Missing

_MODULES = ("functional", "graph", "profiler")
_GRADCHECK = ("gradcheck", "gradgradcheck", "GradcheckError")

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
    "detect_anomaly",
    "enable_grad",
    "grad",
    "inference_mode",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"picograd.autograd.{name}")
    if name in _GRADCHECK:
        module: Any = importlib.import_module("picograd.autograd.checking")
        found = module.__dict__
        globals().update({each: found[each] for each in _GRADCHECK})
        return found[name]
    raise _Missing("picograd.autograd", name, lambda: [*globals(), *_MODULES, *_GRADCHECK])
