"""Mixed precision's interface, without the mixing: everything runs in the tensors' own dtypes.

In: torch's arguments. Out: `autocast`, a context and decorator that changes nothing, and
`GradScaler`, which scales by 1. A program that asks for mixed precision computes the same, more
precisely; convert a model with `model.to(torch.bfloat16)` to compute in less.

>>> with autocast("cpu"):
...     pass
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from picograd.frontend.tensor import Tensor


class autocast:
    """A context, or a decorator, in which dtypes stay as they are."""

    def __init__(
        self,
        device_type: str = "cuda",
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        self.device_type, self.dtype, self.enabled = device_type, dtype, enabled

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return wrapped


class GradScaler:
    """Steps the optimiser with gradients as they are."""

    def __init__(self, device: str = "cuda", *args: Any, enabled: bool = True, **kw: Any) -> None:
        self._enabled = False

    def scale(self, outputs: Any) -> Any:
        """The loss itself."""
        return outputs

    def unscale_(self, optimizer: Any) -> None:
        """Nothing to undo."""

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Tensor | None:
        """The optimiser's step."""
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Nothing to adapt."""

    def get_scale(self) -> float:
        """1."""
        return 1.0

    def is_enabled(self) -> bool:
        """False: nothing is scaled."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Nothing to save."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to load."""
