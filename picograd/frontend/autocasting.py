"""What `autocast` does: which functions compute in fewer bits, which in float32.

In: the mode that `picograd.amp` switches, and the calls of the functions concerned. Out: their
tensors in other dtypes. The mode belongs to the thread; nobody pays for it before its first use,
since the functions look at `SWITCH` alone until then.

Three kinds of function are concerned, as in torch's lists for the CPU:

fewer bits      products: `linear`, `matmul` and its relatives, convolutions, attention
float32         losses, `prod`, quantiles, 3D pooling, padding by copies, factorisations, transforms
the widest      `cat`, `stack`, which do so anyway, and `index_copy`

What isn't listed takes what comes. A function's own steps are not concerned again.

>>> import picograd
>>> with picograd.autocast("cpu", dtype=picograd.bfloat16):
...     (picograd.ones(2, 2) @ picograd.ones(2, 2)).dtype
torch.bfloat16
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from picograd.dtypes import DType, bfloat16, float32
from picograd.frontend import primitives
from picograd.frontend.tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class _Switch:
    """Whether any thread has ever been in the mode."""

    __slots__ = ("used",)

    def __init__(self) -> None:
        self.used = False


class _State(threading.local):
    target: DType | None = None  # the dtype of fewer bits, where the mode is on
    dtype: DType = bfloat16  # what it is or would be
    cached: bool = True


SWITCH = _Switch()
state = _State()


def set_target(target: DType | None) -> None:
    """Switch the mode on, to a dtype, or off."""
    if target is not None:
        SWITCH.used = True
    state.target = target


def is_on() -> bool:
    """Whether the functions listed choose their dtypes here and now."""
    return SWITCH.used and state.target is not None


def lowered(*tensors: T) -> tuple[T, ...]:
    """The tensors in fewer bits, where the mode is on; float64 and what isn't float stays."""
    target = state.target
    if target is None:
        return tensors
    return tuple([_lower(one, target) for one in tensors])


def _lower(one: Any, target: DType) -> Any:
    if isinstance(one, Tensor) and one.dtype.is_float and one.dtype.bits < 64:
        return primitives.cast(one, target)
    return one


def _raise(one: Any, target: DType) -> Any:
    if isinstance(one, Tensor) and one.dtype.is_float and one.dtype.bits < 32:
        return primitives.cast(one, float32)
    return one


def raised(x: Tensor) -> Tensor:
    """The tensor in float32 if it has fewer bits and the mode is on."""
    return _raise(x, float32) if is_on() else x


def widest(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both tensors in float32, where the mode is on and one of them is in it already."""
    if state.target is not None and float32 in (first.dtype, second.dtype):
        return _raise(first, float32), _raise(second, float32)
    return first, second


def _changing(change: Callable[[Any, DType], Any], function: F) -> F:
    """The function with its tensors changed where the mode is on; inside, the mode is off."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if not SWITCH.used or state.target is None:
            return function(*args, **kwargs)
        target = state.target
        args = tuple([change(one, target) for one in args])
        kwargs = {name: change(one, target) for name, one in kwargs.items()}
        state.target = None
        try:
            return function(*args, **kwargs)
        finally:
            state.target = target

    return cast("F", wrapper)


def in_fewer_bits(function: F) -> F:
    """Mark a function as one that computes in fewer bits."""
    return _changing(_lower, function)


def in_float32(function: F) -> F:
    """Mark a function as one that computes in float32 rather than in fewer bits."""
    return _changing(_raise, function)


def as_given(function: F) -> F:
    """Mark a function as one whose inner products keep the dtypes of its arguments."""
    return _changing(lambda one, target: one, function)
