"""`torch._foreach_*`: one operation for each tensor of a list, as programs' own optimisers say it.

In: lists of tensors. Out: a tuple of results; the names that end in `_` write in place and give
the list back. Nothing is gained by it here, since whole steps become one program anyway.

>>> import picograd
>>> weights = [picograd.ones(2), picograd.zeros(3)]
>>> _ = picograd._foreach_add_(weights, [weights[0] * 2, picograd.ones(3)], alpha=0.5)
>>> picograd._foreach_mul(weights, [10, 2])
(tensor([20., 20.]), tensor([1., 1., 1.]))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from picograd.frontend.tensor import Tensor

PREFIX = "_foreach_"
NAMES = """
    abs acos add addcdiv addcmul asin atan ceil clamp_max clamp_min copy cos cosh div erf erfc exp
    expm1 floor frac lerp lgamma log log10 log1p log2 max maximum minimum mul neg norm pow
    reciprocal round rsqrt sigmoid sign sin sinh sqrt sub tan tanh trunc zero
"""
OPERATIONS = frozenset(NAMES.split())
_BOUNDS = {"maximum": "clamp_min", "minimum": "clamp_max"}  # which also take numbers


def find(name: str) -> Callable[..., Sequence[Any]] | None:
    """The function of a name that begins with `_foreach_`; None if there is no such operation."""
    operation = name.removeprefix(PREFIX)
    in_place = operation.endswith("_")
    operation = operation.removesuffix("_")
    if operation not in OPERATIONS or (operation in ("copy", "zero") and not in_place):
        return None

    def each(tensors: Sequence[Tensor], *args: Any, **kwargs: Any) -> Sequence[Any]:
        results = tuple(
            _apply(operation, in_place, [_item(value, place, len(tensors)) for value in (x, *args)],
                   {key: _item(value, place, len(tensors)) for key, value in kwargs.items()})
            for place, x in enumerate(tensors)
        )  # fmt: skip
        return tensors if in_place else results

    each.__name__ = each.__qualname__ = name
    each.__doc__ = f"`Tensor.{operation}` of each tensor."
    return each


def _item(value: Any, place: int, count: int) -> Any:
    """A list's element of that place; anything else is for all."""
    if not isinstance(value, (list, tuple)):
        return value
    if len(value) != count:
        raise RuntimeError(
            f"Tensor lists must have the same number of tensors, got {count} and {len(value)}"
        )
    return value[place]


def _apply(operation: str, in_place: bool, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """The method of the first tensor, with the names that torch's lists have for its arguments."""
    x, *rest = args
    if operation in ("addcdiv", "addcmul"):
        value = kwargs.pop("value", kwargs.pop("scalars", rest.pop() if len(rest) > 2 else 1))
        kwargs["value"] = value.item() if isinstance(value, Tensor) else value
    return getattr(x, _BOUNDS.get(operation, operation) + "_" * in_place)(*rest, **kwargs)
