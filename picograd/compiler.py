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


is_dynamo_compiling = is_exporting = is_compiling


def reset() -> None:
    """Forget what compiled functions have recorded."""
    from picograd.replay import forget

    forget()


def cudagraph_mark_step_begin() -> None:
    """Nothing: results that are held keep their memory from step to step."""


def allow_in_graph(fn: Any) -> Any:
    """The function itself."""
    return fn


assume_constant_result = allow_in_graph


def list_backends(*_: Any, **__: Any) -> list[str]:
    """What `torch.compile(backend=...)` may name: all names mean the same."""
    return ["cudagraphs", "inductor"]


class set_stance:
    """`torch.compiler.set_stance("force_eager")`: run functions as they are, for good or within
    `with`; "default" replays them. Other stances are the default."""

    def __init__(self, stance: str = "default", **_: Any) -> None:
        from picograd import replay

        self._before = replay.stance[0]
        replay.stance[0] = stance

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        from picograd import replay

        replay.stance[0] = self._before


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted: results don't depend on the number of threads."""


def are_deterministic_algorithms_enabled() -> bool:
    """True: they always are."""
    return True
