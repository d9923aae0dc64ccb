"""Helpers around training: `utils.data` and `utils.checkpoint`, loaded on first use.

In: nothing. Out: the namespace that `torch.utils` is in torch programs.

>>> from picograd import utils
>>> utils.data.SequentialSampler(range(3)).__class__.__name__
'SequentialSampler'
"""

from __future__ import annotations

import importlib
from types import ModuleType

from picograd.frontend.missing import Missing as _Missing

_MODULES = ("_pytree", "checkpoint", "data", "dlpack")


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return importlib.import_module(f"picograd.utils.{name}")
    raise _Missing("picograd.utils", name, lambda: [*globals(), *_MODULES])
