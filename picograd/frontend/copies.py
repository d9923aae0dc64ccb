"""The `_copy` forms of views: the same elements in memory of their own.

In: tensors and a view's arguments. Out: contiguous tensors that share nothing. Each is the view of
the same name, cloned; torch has them for programs that must not alias.

>>> import picograd
>>> x = picograd.ones(2, 3)
>>> picograd.t_copy(x).is_contiguous(), picograd.t_copy(x).shape
(True, torch.Size([3, 2]))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from picograd.frontend.registry import operation
from picograd.frontend.tensor import Tensor

VIEWS = (
    "as_strided",
    "diagonal",
    "expand",
    "narrow",
    "permute",
    "select",
    "split",
    "squeeze",
    "t",
    "transpose",
    "unbind",
    "unfold",
    "unsqueeze",
    "view",
)


def _copying(name: str) -> Callable[..., Any]:
    """The view `name`, and then a copy of each result."""

    def copied(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        view = getattr(input, name)(*args, **kwargs)
        if isinstance(view, tuple):
            return tuple([part.contiguous().clone() for part in view])
        return view.contiguous().clone()

    copied.__name__ = copied.__qualname__ = f"{name}_copy"
    copied.__doc__ = f"`{name}`, with memory of its own."
    return copied


for _name in VIEWS:
    # Torch has one of them as a method too.
    operation(method=_name == "narrow", out=True)(_copying(_name))


@operation(method=False, out=True)
def alias_copy(input: Tensor) -> Tensor:
    """The same elements, with memory of their own."""
    return input.clone()


@operation(method=False, out=True)
def split_with_sizes_copy(
    input: Tensor, split_sizes: list[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """Pieces of given sizes, with memory of their own."""
    return tuple([part.clone() for part in input.split(split_sizes, dim)])


@operation()
def unsafe_split(input: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`split`, whose pieces may be written."""
    return tuple([part.clone() for part in input.split(split_size, dim)])


@operation()
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`chunk`, whose pieces may be written."""
    return tuple([part.clone() for part in input.chunk(chunks, dim)])
