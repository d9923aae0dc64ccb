"""How a function becomes `picograd.X`, `Tensor.X` and `Tensor.X_`.

In: functions decorated with `operation`. Out: `FUNCTIONS`, `METHODS` and `INPLACE`, three tables by
name, which `picograd/__init__.py` installs on the package and on the class once all the modules
named in `picograd.frontend.MODULES` have been imported.

    @operation(inplace=True)                    picograd.exp, Tensor.exp and Tensor.exp_
    def exp(input: Tensor) -> Tensor: ...

    @operation(method=False)                    picograd.arange only
    @operation(function=False)                  Tensor.new_zeros only
    @operation(aliases=("subtract",))           picograd.sub and picograd.subtract, both as methods
    @operation(out=True)                        picograd.exp(x, out=y) as well (the function itself
                                                has no `out` parameter; see `writing_out`)

    @attribute                                  Tensor.mT, a read-only property
    def mT(self: Tensor) -> Tensor: ...

The first parameter of a method is the tensor itself. A function is exported as it is, so that a
call costs nothing more than the call. `X_` runs the functional form and writes the result into the
tensor, through whatever view it is, which is right for autograd too: an operation needs an in-place
form of its own only where its in-place dtype rule differs.

The operators (`+`, `@`, `<`, `-x`, ...) look their function up here by name: see
`frontend/operators.py`.

>>> @operation(method=False, name="_doc_twice")
... def twice(input: float) -> float:
...     return 2 * input
>>> FUNCTIONS.pop("_doc_twice")(4)
8
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from picograd.dtypes import DType, as_dtype

if TYPE_CHECKING:
    from picograd.frontend.tensor import Tensor

F = TypeVar("F", bound=Callable[..., object])

FUNCTIONS: dict[str, Callable[..., object]] = {}
METHODS: dict[str, Callable[..., object]] = {}
INPLACE: dict[str, Callable[..., object]] = {}
ATTRIBUTES: dict[str, property] = {}


def operation(
    *,
    function: bool = True,
    method: bool = True,
    inplace: bool = False,
    out: bool = False,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """Export the decorated function under its own name (or `name`) and under `aliases`."""

    def register(implementation: F) -> F:
        converting = converting_dtype(implementation, name or implementation.__name__)
        exported = writing_out(converting) if out else converting
        for key in (name or implementation.__name__, *aliases):
            if function:
                FUNCTIONS[key] = exported
            if method:
                METHODS[key] = converting
            if inplace:
                INPLACE[key + "_"] = in_place(implementation, key + "_")
        return implementation

    return register


def converting_dtype(implementation: F, name: str) -> F:
    """The function with a keyword `dtype` that may be `float`, `int`, `bool` or `complex` too.

    Functions without that parameter stay as they are. TypeError for what is no dtype.
    """
    code = getattr(inspect.unwrap(implementation), "__code__", None)
    if code is None or "dtype" not in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        return implementation

    @functools.wraps(implementation)
    def wrapper(*args: object, **kwargs: object) -> object:
        dtype = kwargs.get("dtype")
        if dtype is not None and type(dtype) is not DType:
            kwargs["dtype"] = as_dtype(dtype, name)
        return implementation(*args, **kwargs)

    return cast("F", wrapper)


def attribute(getter: F) -> F:
    """Export a function of a tensor as a read-only property of `Tensor`."""
    ATTRIBUTES[getter.__name__] = property(getter, doc=getter.__doc__)
    return getter


def in_place(implementation: Callable[..., object], name: str) -> Callable[..., Tensor]:
    """The method that runs `implementation` and writes its result into the first argument."""

    def method(self: Tensor, *args: object, **kwargs: object) -> Tensor:
        return self._assign(cast("Tensor", implementation(self, *args, **kwargs)))

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = f"In-place form of `{name[:-1]}`."
    return method


def writing_out(implementation: F) -> F:
    """The function with a keyword `out=` that stores the result in a given tensor (or tuple)."""

    @functools.wraps(implementation)
    def wrapper(*args: object, out: object = None, **kwargs: object) -> object:
        result = implementation(*args, **kwargs)
        if out is None:
            return result
        if isinstance(out, tuple):
            for target, value in zip(out, cast("tuple[Tensor, ...]", result), strict=True):
                target._store_out(value)
            return out
        return cast("Tensor", out)._store_out(cast("Tensor", result))

    return cast("F", wrapper)


def install(tensor_class: type, namespace: dict[str, object]) -> None:
    """Put every registered function on the package and every method on the class.

    A method that the class defines itself stays.
    """
    for name, implementation in FUNCTIONS.items():
        namespace.setdefault(name, implementation)
    for name, implementation in (*METHODS.items(), *INPLACE.items(), *ATTRIBUTES.items()):
        if name not in tensor_class.__dict__:
            setattr(tensor_class, name, implementation)
