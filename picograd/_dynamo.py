"""`torch._dynamo`: the switches of torch's tracer, accepted and without an effect.

In: assignments and decorators. Out: the functions as they were given.

>>> config.suppress_errors = True
>>> optimize("inductor")(len) is len
True
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from picograd.compiler import disable as disable
from picograd.compiler import reset as reset

config = SimpleNamespace(
    suppress_errors=False, verbose=False, cache_size_limit=8, recompile_limit=8,
    capture_scalar_outputs=False, optimize_ddp=False, dynamic_shapes=True,
)  # fmt: skip


def optimize(*args: Any, **kwargs: Any) -> Any:
    """A decorator that hands back what it gets."""
    return lambda made: made


def graph_break(msg: str = "") -> None:
    """Where torch's tracer would stop: there is none."""


def allow_in_graph(fn: Any) -> Any:
    """The function itself."""
    return fn


def is_compiling() -> bool:
    """Whether a tracer runs the program: never."""
    return False


def mark_dynamic(t: Any, index: Any, **_: Any) -> None:
    """That a dimension will vary: nothing to know beforehand."""


mark_static = mark_dynamic
