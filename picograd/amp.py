"""Mixed precision: `autocast`, a mode in which products compute in fewer bits, and `GradScaler`.

In: torch's arguments. Out: the mode of `frontend/autocasting.py`, which says what changes; casts of
parameters are not cached, since they become a part of the kernel that reads them. Where there is no
GPU, both warn and do nothing for CUDA, as in a torch that finds none.

>>> import picograd
>>> linear = picograd.nn.Linear(2, 1)
>>> with autocast("cpu", dtype=picograd.bfloat16):
...     linear(picograd.ones(1, 2)).dtype
torch.bfloat16
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from picograd.dtypes import DType, bfloat16, float16
from picograd.frontend.autocasting import set_target, state
from picograd.frontend.device import device as Device
from picograd.runtime.cuda import why_not
from picograd.scaling import GradScaler as GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]

# What each of torch's devices lowers to.
_DTYPES = {"cpu": bfloat16, "cuda": float16, "xpu": float16, "mps": float16, "hpu": bfloat16}


def _is_here(kind: str) -> bool:
    """Whether tensors can be on a device."""
    return kind == "cpu" or (kind == "cuda" and why_not() is None)


def _kind(device_type: str) -> str:
    kind = Device(device_type).type
    return kind if kind in _DTYPES else "cpu"


def is_autocast_available(device_type: str) -> bool:
    """Whether the mode exists for a device of torch's."""
    return Device(device_type).type in _DTYPES


class autocast:
    """A context, or a decorator, in which functions choose their dtypes; re-entrant."""

    def __init__(
        self,
        device_type: str,
        dtype: DType | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.device = _kind(device_type)
        self.fast_dtype = get_autocast_dtype(self.device) if dtype is None else dtype
        self._enabled = bool(enabled) and self._is_possible()
        self._cache_enabled = state.cached if cache_enabled is None else bool(cache_enabled)
        self._before: list[tuple[DType | None, DType, bool]] = []

    def _is_possible(self) -> bool:
        if self.device == "cuda" and not _is_here("cuda"):
            warnings.warn(
                "CUDA is not available or torch_xla is imported. Disabling autocast.", stacklevel=3
            )
            return False
        if not _is_here(self.device):
            raise RuntimeError(
                f"autocast: there are no tensors on {self.device!r} here; use device_type='cpu'"
            )
        if self.fast_dtype not in (bfloat16, float16):
            warnings.warn(
                "In CPU autocast, but the target dtype is not supported. Disabling autocast.\nCPU "
                "Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.",
                stacklevel=3,
            )
            return False
        return True

    def __enter__(self) -> autocast:
        self._before.append((state.target, state.dtype, state.cached))
        if _is_here(self.device):
            set_target(self.fast_dtype if self._enabled else None)
            state.dtype, state.cached = self.fast_dtype, self._cache_enabled
        return self

    def __exit__(self, *_: object) -> None:
        before, state.dtype, state.cached = self._before.pop()
        set_target(before)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return wrapped


# --- torch's functions for the mode ---------------------------------------------------------------


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether the mode is on for a device: without an argument for CUDA, as in torch."""
    return state.target is not None and _is_here(Device(device_type).type)


def is_autocast_cpu_enabled() -> bool:
    """Whether the mode is on."""
    return state.target is not None


def is_autocast_cache_enabled() -> bool:
    """What `cache_enabled` was; it changes nothing."""
    return state.cached


def get_autocast_dtype(device_type: str) -> DType:
    """The dtype that products are computed in where the mode is on."""
    kind = _kind(device_type)
    on = state.target is not None and _is_here(kind)
    return state.dtype if kind == "cpu" or on else _DTYPES[kind]


def get_autocast_cpu_dtype() -> DType:
    """The same for the CPU."""
    return state.dtype


def get_autocast_gpu_dtype() -> DType:
    """The same for CUDA."""
    return get_autocast_dtype("cuda")


def set_autocast_enabled(device_type: str | bool, enabled: bool | None = None) -> None:
    """Switch the mode on or off for a device; other devices than the CPU have no tensors."""
    if isinstance(device_type, str) and Device(device_type).type == "cpu":
        set_target(state.dtype if enabled else None)


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """Switch the mode on or off."""
    set_target(state.dtype if enabled else None)


def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """Choose the dtype of the mode."""
    if Device(device_type).type == "cpu":
        state.dtype = dtype
        if state.target is not None:
            set_target(dtype)


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Remembered, and without effect."""
    state.cached = bool(enabled)


def clear_autocast_cache() -> None:
    """Nothing to clear: casts are not cached."""


# --- for the author of a Function -----------------------------------------------------------------


def custom_fwd(
    fwd: Callable[..., Any] | None = None,
    *,
    device_type: str,
    cast_inputs: DType | None = None,
) -> Callable[..., Any]:
    """A `Function.forward` that, in the mode, gets its float tensors in a dtype, the mode off."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        args[0]._fwd_used_autocast = is_autocast_enabled(device_type)
        if cast_inputs is None or not is_autocast_enabled(device_type):
            return fwd(*args, **kwargs)
        args = tuple([_cast(one, cast_inputs) for one in args])
        kwargs = {name: _cast(one, cast_inputs) for name, one in kwargs.items()}
        with autocast(device_type, enabled=False):
            args[0]._fwd_used_autocast = False
            return fwd(*args, **kwargs)

    return wrapped


def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Callable[..., Any]:
    """A `Function.backward` in the mode that its `custom_fwd` ran in."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, enabled=args[0]._fwd_used_autocast):
            return bwd(*args, **kwargs)

    return wrapped


def _cast(one: Any, dtype: DType) -> Any:
    from picograd.frontend.tensor import Tensor

    if isinstance(one, Tensor) and one.dtype.is_float and one.dtype.bits < 64:
        return one.to(dtype)
    if isinstance(one, (list, tuple)):
        return type(one)([_cast(each, dtype) for each in one])
    if isinstance(one, dict):
        return {name: _cast(each, dtype) for name, each in one.items()}
    return one
