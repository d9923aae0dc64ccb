"""`jit.script` and `jit.trace`: every program is compiled anyway, so they hand back what they get.

In: functions or modules. Out: the same.

>>> script(len) is len
True
"""

from __future__ import annotations

from typing import Any, NoReturn


def script(obj: Any, *args: Any, **kwargs: Any) -> Any:
    """The function, module or class itself."""
    return obj


def trace(func: Any, example_inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
    """The function or module itself."""
    return func


def ignore(fn: Any = None, **kwargs: Any) -> Any:
    """The function itself, or a decorator."""
    return fn if callable(fn) else lambda made: made


export = unused = ignore


def is_scripting() -> bool:
    """Whether torch's compiler reads the program: never."""
    return False


def save(m: Any, f: Any, _extra_files: Any = None) -> NoReturn:
    """Torch's compiled programs aren't written. Raises NotImplementedError."""
    raise NotImplementedError(
        "picograd writes no TorchScript: save the parameters with torch.save(model.state_dict(), f)"
    )


def load(f: Any, map_location: Any = None, _extra_files: Any = None, **_: Any) -> NoReturn:
    """Torch's compiled programs aren't read. Raises NotImplementedError."""
    raise NotImplementedError(
        "picograd reads no TorchScript: save the model's state_dict() with PyTorch and load that"
    )
