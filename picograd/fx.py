"""`torch.fx`: not supported; programs that trace modules learn so.

In: anything. Out: NotImplementedError that names the function.

>>> symbolic_trace(len)
Traceback (most recent call last):
    ...
NotImplementedError: picograd.fx.symbolic_trace isn't supported: picograd's own graph is \
`tensor._storage.node` (docs/architecture.md)
"""

from typing import Any, NoReturn


def symbolic_trace(*args: Any, **kwargs: Any) -> NoReturn:
    """Read a module's graph."""
    raise NotImplementedError(
        "picograd.fx.symbolic_trace isn't supported: picograd's own graph is "
        "`tensor._storage.node` (docs/architecture.md)"
    )


def wrap(fn_or_name: Any) -> Any:
    """The function itself: nothing is traced."""
    return fn_or_name
