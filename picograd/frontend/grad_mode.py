"""Whether operations are recorded for autograd: `no_grad`, `enable_grad`, `inference_mode`.

In: user code. Out: `state.enabled`, which `frontend/primitives.py` reads at every operation. The
mode belongs to the thread, as in torch. Every class here works as `with no_grad():`, as
`@no_grad()` and as `@no_grad`.

>>> with no_grad():
...     is_grad_enabled()
False
>>> is_grad_enabled()
True
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Generator
from types import TracebackType
from typing import TypeVar, cast

F = TypeVar("F", bound=Callable[..., object])


class _State(threading.local):
    enabled: bool = True
    inference: bool = False


state = _State()


def is_grad_enabled() -> bool:
    """True if operations on tensors that require grad are recorded."""
    return state.enabled


def is_inference_mode_enabled() -> bool:
    """True inside `inference_mode()`."""
    return state.inference


class _Mode:
    """A grad mode as context manager and decorator; re-entrant."""

    def __init__(self, enabled: bool, inference: bool | None = None) -> None:
        self._enabled = enabled
        self._inference = inference
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._before.append((state.enabled, state.inference))
        state.enabled = self._enabled
        if self._inference is not None:
            state.inference = self._inference

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        state.enabled, state.inference = self._before.pop()

    def clone(self) -> _Mode:
        """A fresh manager of the same mode."""
        return _Mode(self._enabled, self._inference)

    def __call__(self, wrapped: F) -> F:
        if inspect.isgeneratorfunction(wrapped):
            return cast("F", _wrap_generator(self, cast("Callable[..., Generator]", wrapped)))

        @functools.wraps(wrapped)
        def wrapper(*args: object, **kwargs: object) -> object:
            with self.clone():
                return wrapped(*args, **kwargs)

        return cast("F", wrapper)


def _wrap_generator(mode: _Mode, wrapped: Callable[..., Generator]) -> Callable[..., Generator]:
    """A generator whose body, and not its consumer, runs in the mode."""

    @functools.wraps(wrapped)
    def wrapper(*args: object, **kwargs: object) -> Generator:
        generator = wrapped(*args, **kwargs)
        sent: object = None
        while True:
            try:
                with mode.clone():
                    value = generator.send(sent)
            except StopIteration as stop:
                return stop.value
            try:
                sent = yield value
            except GeneratorExit:
                generator.close()
                raise

    return wrapper


class no_grad(_Mode):
    """Operations inside are not recorded; their results don't require grad."""

    def __new__(cls, wrapped: Callable[..., object] | None = None) -> no_grad:
        mode = super().__new__(cls)
        if wrapped is None:
            return mode
        mode.__init__()
        return cast("no_grad", mode(wrapped))

    def __init__(self, wrapped: Callable[..., object] | None = None) -> None:
        super().__init__(enabled=False)


class enable_grad(_Mode):
    """Operations inside are recorded, even inside `no_grad`."""

    def __new__(cls, orig_func: Callable[..., object] | None = None) -> enable_grad:
        mode = super().__new__(cls)
        if orig_func is None:
            return mode
        mode.__init__()
        return cast("enable_grad", mode(orig_func))

    def __init__(self, orig_func: Callable[..., object] | None = None) -> None:
        super().__init__(enabled=True)


class inference_mode(_Mode):
    """As `no_grad`. (Torch also forbids later use of the results in autograd.)"""

    def __new__(cls, mode: bool | Callable[..., object] = True) -> inference_mode:
        made = super().__new__(cls)
        if isinstance(mode, bool):
            return made
        made.__init__()
        return cast("inference_mode", made(mode))

    def __init__(self, mode: bool | Callable[..., object] = True) -> None:
        super().__init__(enabled=mode is False, inference=mode is not False)

    def __enter__(self) -> None:
        before = state.enabled
        super().__enter__()
        if not self._inference:
            state.enabled = before


class set_grad_enabled(_Mode):
    """Switch recording on or off at once; as a context manager, until its end."""

    def __init__(self, mode: bool) -> None:
        super().__init__(enabled=mode)
        self._outer = (state.enabled, state.inference)
        state.enabled = mode

    def __enter__(self) -> None:
        self._before.append(self._outer)
        state.enabled = self._enabled

    def __call__(self, wrapped: F) -> F:
        state.enabled = self._outer[0]
        return super().__call__(wrapped)
