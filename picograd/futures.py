"""Values that come later: the namespace `torch.futures`.

In: results and callbacks. Out: `Future`, which another thread may fill.

>>> future = Future()
>>> doubled = future.then(lambda done: 2 * done.value())
>>> future.set_result(21)
>>> doubled.wait()
42
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any


class Future:
    """A value, or an exception, that is set once."""

    def __init__(self, *, devices: Any = None) -> None:
        self._inner: concurrent.futures.Future[Any] = concurrent.futures.Future()

    def done(self) -> bool:
        """Whether it has been set."""
        return self._inner.done()

    def wait(self) -> Any:
        """The value, once it is there; raises what was set as an exception."""
        return self._inner.result()

    def value(self) -> Any:
        """The value. Raises RuntimeError if it is not there."""
        if not self.done():
            raise RuntimeError("the future has no value yet: call wait()")
        return self._inner.result()

    def set_result(self, result: Any) -> None:
        """Set the value."""
        self._inner.set_result(result)

    def set_exception(self, result: BaseException) -> None:
        """Set an exception, which `wait` raises."""
        self._inner.set_exception(result)

    def add_done_callback(self, callback: Callable[[Future], Any]) -> None:
        """Call a function with this future once it is set."""
        self._inner.add_done_callback(lambda _: callback(self))

    def then(self, callback: Callable[[Future], Any]) -> Future:
        """The future of what a function makes of this one."""
        result = Future()

        def run(_: Any) -> None:
            try:
                result.set_result(callback(self))
            except Exception as error:
                result.set_exception(error)

        self._inner.add_done_callback(run)
        return result


def collect_all(futures: list[Future]) -> Future:
    """The future of the list, when all are set."""
    result, left = Future(), [len(futures)]
    if not futures:
        result.set_result([])

    def one_more(_: Future) -> None:
        left[0] -= 1
        if not left[0]:
            result.set_result(futures)

    for future in futures:
        future.add_done_callback(one_more)
    return result


def wait_all(futures: list[Future]) -> list[Any]:
    """All the values, when all are set."""
    return [future.wait() for future in futures]
