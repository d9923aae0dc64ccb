"""Parameters and buffers: tensors that a module keeps as its own.

In: a tensor. Out: a `Parameter` (trained) or a `Buffer` (kept, not trained) over the same memory;
assigned to an attribute of a `Module`, it is listed there.

>>> import picograd
>>> Parameter(picograd.ones(2))
Parameter containing:
tensor([1., 1.], requires_grad=True)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from picograd.frontend.creation import empty
from picograd.frontend.missing import Missing as _Missing
from picograd.frontend.tensor import Tensor


class Parameter(Tensor):
    """A leaf over `data`'s memory that requires grad unless told otherwise."""

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        data = empty(0) if data is None else _checked(data, cls)
        return cast("Parameter", Tensor._make_subclass(cls, data, requires_grad))

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (type(self), (self.detach(), self.requires_grad))


class Buffer(Tensor):
    """A tensor that moves and is saved with its module. `persistent=False`: not saved."""

    __slots__ = ()

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        data = empty(0) if data is None else _checked(data, cls)
        result = cast("Buffer", Tensor._make_subclass(cls, data, False))
        result.persistent = persistent
        return result


def _checked(data: object, cls: type) -> Tensor:
    if not isinstance(data, Tensor):
        raise TypeError(f"{cls.__name__} data must be a Tensor, not {type(data).__name__}")
    return data


def __getattr__(name: str) -> Any:
    if name in ("UninitializedParameter", "UninitializedBuffer", "is_lazy"):
        from picograd.nn.layers import lazy

        return getattr(lazy, name)
    raise _Missing("picograd.nn.parameter", name, lambda: [*globals()])
