"""Names of the steps that composite functions leave on the tape, as torch prints them.

In: functions made of several primitives. Out: the same, whose last recorded step is called as
torch calls the whole: `<MseLossBackward0>`, not `<MeanBackward0>`.

>>> import picograd
>>> square = recorded_as("SquareBackward0")(lambda x: x * x)
>>> square(picograd.tensor(2.0, requires_grad=True)).grad_fn.name()
'SquareBackward0'
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from picograd.frontend.tape import AccumulateGrad, named
from picograd.frontend.tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])


def _rename(result: Any, name: str) -> None:
    meta = getattr(result, "_meta", None)
    if meta is not None and meta.edge is not None:
        node = meta.edge[0]
        if not isinstance(node, AccumulateGrad):
            node.__class__ = named(type(node), name)


def recorded_as(name: str) -> Callable[[F], F]:
    """Mark a function whose last step has this name; an argument that comes back keeps its own."""

    def mark(function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if isinstance(result, Tensor):
                if result._meta is not None and not any(result is one for one in args):
                    _rename(result, name)
            elif isinstance(result, tuple):
                for one in result:
                    _rename(one, name)
            return result

        return cast("F", wrapper)

    return mark
