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
                                                has no `out` parameter; see
                                                `taking_keywords`)

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
    also: dict[str, str] | None = None,
    tensors: bool = False,
) -> Callable[[F], F]:
    """Export the decorated function under its own name (or `name`) and under `aliases`.

    `also` are further names of its parameters: what torch calls them in another overload. With
    `tensors`, a program may not pass a number in place of the second operand.
    """

    def register(implementation: F) -> F:
        known = name or implementation.__name__
        body = _refusing_numbers(implementation, known) if tensors else implementation
        method_form = taking_keywords(body, known, also=also)
        exported = taking_keywords(body, known, out, also) if out else method_form
        for key in (known, *aliases):
            if function:
                FUNCTIONS[key] = exported
            if method:
                METHODS[key] = method_form
            if inplace:
                INPLACE[key + "_"] = in_place(method_form, key + "_")
        return implementation

    return register


def taking_keywords(
    implementation: F, name: str, out: bool = False, also: dict[str, str] | None = None
) -> F:
    """The function with the keywords that torch takes for every function, in one wrapper.

    `dtype=` may be `float`, `int`, `bool` or `complex` (TypeError for what is no dtype); with
    `out`, the result is stored in a given tensor (or tuple of them); NumPy's names `axis`,
    `keepdims`, `x`, `a`, `x1` and `x2` and those of `also` stand for torch's. A function for which
    that changes nothing stays as it is.
    """
    code = getattr(inspect.unwrap(implementation), "__code__", None)
    if code is None:
        return implementation
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    spellings = {"axis": "dim", "keepdims": "keepdim"}
    if parameters[:1] in _FIRST:
        spellings |= dict.fromkeys(("input", "x", "a", "x1"), parameters[0])
    if parameters[1:2] in _SECOND:
        spellings |= dict.fromkeys(("other", "x2", "b", "input2"), parameters[1])
    spellings |= also or {}
    if not (out or also or any(own in parameters for own in ("dtype", "dim", "keepdim"))):
        return implementation
    others = {
        given: own
        for given, own in spellings.items()
        if own in parameters and given not in parameters
    }

    @functools.wraps(implementation)
    def wrapper(*args: object, **kwargs: object) -> object:
        if not kwargs:
            return implementation(*args)
        if not others.keys().isdisjoint(kwargs):
            for given in others.keys() & kwargs:
                kwargs[others[given]] = kwargs.pop(given)
        dtype = kwargs.get("dtype")
        if dtype is not None and type(dtype) is not DType:
            kwargs["dtype"] = as_dtype(dtype, name)
        target = kwargs.pop("out", None) if out else None
        result = implementation(*args, **kwargs)
        if kwargs.get("pin_memory"):
            result = _pinned(cast("Tensor", result))
        return result if target is None else _stored(result, target)

    wrapper.__dict__["other_names"] = (*others, *(("out",) if out else ()))
    return cast("F", wrapper)


def _refusing_numbers(implementation: F, name: str) -> F:
    """The function for programs, whose second operand is a tensor, as torch wants it."""
    second = inspect.unwrap(implementation).__code__.co_varnames[1]

    @functools.wraps(implementation)
    def wrapper(*args: object, **kwargs: object) -> object:
        operand = args[1] if len(args) > 1 else kwargs.get(second)
        if isinstance(operand, (bool, int, float, complex)):
            raise TypeError(
                f"{name}(): argument '{second}' (position 2) must be Tensor, not "
                f"{type(operand).__name__}"
            )
        return implementation(*args, **kwargs)

    return cast("F", wrapper)


# How the parameters are called that torch has several names for.
_FIRST = [("input",), ("A",), ("B",), ("L",), ("x",), ("a",), ("b",)]
_SECOND = [("other",), ("B",), ("L",), ("tau",), ("b",)]


def _pinned(result: Tensor) -> Tensor:
    return result.pin_memory().requires_grad_(result.requires_grad)


def _stored(result: object, out: object) -> object:
    """`out`, which now has the result."""
    if isinstance(out, (tuple, list)):
        for target, value in zip(out, cast("tuple[Tensor, ...]", result), strict=True):
            target._store_out(value)
        return type(result)(*out) if hasattr(result, "_fields") else out
    return cast("Tensor", out)._store_out(cast("Tensor", result))


def writing_out(implementation: F) -> F:
    """The function with `out=` and NumPy's names, for modules that aren't of the frontend."""
    return taking_keywords(implementation, implementation.__name__, out=True)


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
    method.__dict__["__wrapped__"] = implementation  # its signature
    return method


def install(tensor_class: type, namespace: dict[str, object]) -> None:
    """Put every registered function on the package and every method on the class.

    A method that the class defines itself stays.
    """
    for name, implementation in FUNCTIONS.items():
        namespace.setdefault(name, implementation)
    for name, implementation in (*METHODS.items(), *INPLACE.items(), *ATTRIBUTES.items()):
        if name not in tensor_class.__dict__:
            setattr(tensor_class, name, implementation)
