"""`jit.script` and `jit.trace`: every program is compiled anyway, so they hand back what they get.

In: functions or modules. Out: the same.

>>> script(len) is len
True
>>> class Doubled(ScriptModule):
...     @script_method
...     def forward(self, x):
...         return 2 * x
>>> Doubled()(3)
6
"""

from __future__ import annotations

from typing import Any, NoReturn

from picograd.nn.module import Module


def script(obj: Any, *args: Any, **kwargs: Any) -> Any:
    """The function, module or class itself."""
    return obj


def trace(func: Any, example_inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
    """The function or module itself."""
    return func


def ignore(fn: Any = None, **kwargs: Any) -> Any:
    """The function itself, or a decorator."""
    return fn if callable(fn) else lambda made: made


def method(fn: Any) -> Any:
    """The function itself."""
    return fn


export = unused = ignore
script_method = script_if_tracing = method
ScriptModule = Module


def is_tracing() -> bool:
    """Whether torch's tracer watches the program: never."""
    return False


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
