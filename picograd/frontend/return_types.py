"""Results of several tensors: named tuples that print as torch's.

In: the name of a function. Out: `ValuesIndices` and its like, and for each function a class of its
own, `torch.return_types.max`, which `returning` makes of what the function gives.

>>> import picograd
>>> picograd.max(picograd.tensor([[1, 2]]), 1)
torch.return_types.max(
values=tensor([2]),
indices=tensor([1]))
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

from picograd.frontend.tensor import Tensor

F = TypeVar("F", bound=Callable[..., object])


class ValuesIndices(NamedTuple):
    """The result of `max(dim)`, `sort`, `topk`, ...: values and where they were found."""

    values: Tensor
    indices: Tensor


class MinMax(NamedTuple):
    """The result of `aminmax`."""

    min: Tensor
    max: Tensor


def _represent(self: tuple[Tensor, ...]) -> str:
    fields = cast("ValuesIndices", self)._fields
    body = ",\n".join(f"{name}={value!r}" for name, value in zip(fields, self, strict=True))
    return f"torch.return_types.{type(self).__name__}(\n{body})"


TYPES: dict[str, type] = {}


def returning(name: str, base: type = ValuesIndices) -> Callable[[F], F]:
    """A function whose results of type `base` become results of its own type, of that name."""
    members = {"__slots__": (), "__module__": "torch.return_types", "__repr__": _represent}
    own = TYPES[name] = type(name, (base,), {**members, "__reduce__": _reduce})

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: object, **kwargs: object) -> object:
            result = function(*args, **kwargs)
            return own(*cast("tuple[Tensor, ...]", result)) if isinstance(result, base) else result

        return cast("F", wrapper)

    return decorate


def _reduce(self: tuple[Tensor, ...]) -> tuple[object, tuple[object, ...]]:
    return _restored, (type(self).__name__, *self)


def _restored(name: str, *values: Tensor) -> object:
    return TYPES[name](*values)
