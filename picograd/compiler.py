"""`compile` and its relatives: every program is compiled anyway; these save running its Python.

In: functions or modules. Out: the same, which from the second call of a kind on is replayed
(`picograd.replay`) wherever that can be told to be the same, and run as it is everywhere else.

>>> compile(len) is len
True
>>> @compile(mode="max-autotune")
... def double(x):
...     return 2 * x
>>> double(2)
4
"""

from __future__ import annotations

import types
from typing import Any


def compile(model: Any = None, **options: Any) -> Any:
    """`torch.compile`: a function that is replayed; a module is handed back. Or a decorator."""
    from picograd.nn.module import Module
    from picograd.replay import Replayed

    if model is None:
        return compile
    if options.get("disable"):
        return model
    if isinstance(model, Module):
        model.compile()
        return model
    return Replayed(model) if isinstance(model, (types.FunctionType, types.MethodType)) else model


def disable(fn: Any = None, recursive: bool = True, **_: Any) -> Any:
    """`torch.compiler.disable`: the function itself."""
    return fn if fn is not None else lambda made: made


def is_compiling() -> bool:
    """Whether a tracer runs the program: never."""
    return False


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted: results don't depend on the number of threads."""


def are_deterministic_algorithms_enabled() -> bool:
    """True: they always are."""
    return True
