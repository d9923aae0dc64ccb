"""`torch.library.custom_op`: a function of the user's as an operator with a derivative.

In: a function of tensors. Out: a callable that runs it unrecorded, with the derivative that
`register_autograd` gave.

>>> import picograd
>>> @custom_op("mine::double", mutates_args=())
... def double(x: picograd.Tensor) -> picograd.Tensor:
...     return x * 2
>>> double.register_autograd(lambda ctx, gradient: gradient * 2)
>>> x = picograd.ones(1, requires_grad=True)
>>> double(x).backward()
>>> x.grad
tensor([2.])
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from picograd.frontend.function import Function


class CustomOpDef:
    """A custom operator."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name, self._function = name, function
        self._signature = inspect.signature(function)
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self._derivative: tuple[Callable[..., Any], Callable[..., Any] | None] | None = None

    def register_fake(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """The shapes of the results: they are known here without being told."""
        return fn

    def register_kernel(self, device_types: Any, func: Any = None) -> Any:
        """Another implementation for some devices: the CPU's replaces the function."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            listed = [device_types] if isinstance(device_types, str) else device_types
            if listed is None or "cpu" in listed:
                self._function = function
            return function

        return register if func is None else register(func)

    def register_autograd(
        self, backward: Callable[..., Any], /, *, setup_context: Callable[..., Any] | None = None
    ) -> None:
        """The derivative: `setup_context(ctx, inputs, output)`, `backward(ctx, *gradients)`."""
        self._derivative = (backward, setup_context)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if self._derivative is None:
            return self._function(*bound.args, **bound.kwargs)
        return self._step(dict(bound.kwargs)).apply(*bound.args)

    def _step(self, options: dict[str, Any]) -> type[Function]:
        """The function with its derivative, for some keyword-only arguments."""
        assert self._derivative is not None
        pull, setup = self._derivative
        function = self._function

        class Custom(Function):
            @staticmethod
            def forward(ctx: Any, *args: Any) -> Any:
                result = function(*args, **options)
                if setup is not None:
                    extra = {"keyword_only_inputs": options} if options else {}
                    setup(ctx, args, result, **extra)
                return result

            @staticmethod
            def backward(ctx: Any, *gradients: Any) -> Any:
                return pull(ctx, *gradients)

        return Custom


def custom_op(
    name: str, fn: Callable[..., Any] | None = None, /, *, mutates_args: Any = (), **_: Any
) -> Any:
    """Make an operator of a function; as a decorator without `fn`."""
    if "::" not in name:
        raise ValueError(f"custom_op: the name must be 'namespace::name', got {name!r}")
    return (lambda function: CustomOpDef(name, function)) if fn is None else CustomOpDef(name, fn)


def register_fake(op: Any, func: Any = None, /, **_: Any) -> Any:
    """The shapes of an operator's results: they are known here without being told."""
    return (lambda function: function) if func is None else func
