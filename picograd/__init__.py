"""picograd: a tensor compiler with the interface of PyTorch.

`import picograd as torch` runs a program written for torch: tensors, autograd, nn, optim. What it
does underneath is in `picograd/engine.py` and the packages it names.

>>> import picograd
>>> x = picograd.tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4.])
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from typing import Any

from picograd import dtypes as _dtypes
from picograd import frontend as _frontend
from picograd import later as _later
from picograd.dtypes import DType
from picograd.frontend import einops as _einops
from picograd.frontend import operators as _operators
from picograd.frontend import registry as _registry
from picograd.frontend import special_methods as _special_methods
from picograd.frontend.device import Size, device, get_default_device, set_default_device
from picograd.frontend.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from picograd.frontend.missing import Missing as _Missing
from picograd.frontend.printing import set_printoptions
from picograd.frontend.tensor import Tensor

__version__ = "0.1.0"

inf, nan, pi, e = math.inf, math.nan, math.pi, math.e
newaxis = None
strided, sparse_coo, jagged = "torch.strided", "torch.sparse_coo", "torch.jagged"

_ALIASES = {
    "half": "float16",
    "float": "float32",
    "double": "float64",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "cfloat": "complex64",
    "cdouble": "complex128",
}


def _export() -> None:
    """Fill the package and the class from the frontend's tables."""
    names = globals()
    for found in (*_dtypes.ALL, *_dtypes.WITHOUT_TENSORS):
        names[found.name] = found
    for alias, name in _ALIASES.items():
        names[alias] = _dtypes.BY_NAME[name]
    for module in _frontend.MODULES:
        imported = importlib.import_module(f"picograd.frontend.{module}")
        for key, value in getattr(imported, "EXPORTS", {}).items():
            names[key] = value
    _registry.install(Tensor, names)
    _operators.install()
    _special_methods.install()
    _later.install(Tensor)
    _einops.install()


_export()

dtype = DType


def __getattr__(name: str) -> Any:
    """Submodules and `later`'s names on first use; for all else, an error that names it."""
    found = _later.find(name)
    if found is not None:
        globals()[name] = found
        return found
    if not name.startswith("__") and importlib.util.find_spec(f"picograd.{name}") is not None:
        return importlib.import_module(f"picograd.{name}")
    raise _Missing("picograd", name, lambda: [*globals(), *_later.FUNCTIONS])


__all__ = [
    "DType",
    "Size",
    "Tensor",
    "device",
    "enable_grad",
    "get_default_device",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_default_device",
    "set_grad_enabled",
    "set_printoptions",
]
