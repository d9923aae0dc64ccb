"""Functions that users hang on modules, and the slow way to call a module that has some.

In: a module with its arguments. Out: the result of `forward` after the hooks. `Module.__call__`
goes straight to `forward` when there are none.

>>> hooks = Hooks()
>>> handle = hooks.add("after", print)
>>> hooks.empty
False
>>> handle.remove()
>>> hooks.empty
True
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from picograd.frontend.tensor import Tensor

if TYPE_CHECKING:
    from picograd.nn.module import Module

Hook = Callable[..., Any]

_numbers = itertools.count()


class RemovableHandle:
    """Takes its hook away again; also as the end of a `with` block."""

    def __init__(self, table: dict[int, Any], number: int) -> None:
        self._table, self.id = table, number

    def remove(self) -> None:
        """Take the hook away; again and again does no harm."""
        self._table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Hooks:
    """A module's hooks by kind: before, after, backward, backward_pre, state, load, loaded."""

    def __init__(self) -> None:
        self._kinds: dict[str, dict[int, tuple[Hook, bool]]] = {}

    @property
    def empty(self) -> bool:
        """True when no hook is hung (those of saving and loading count as well)."""
        return not any(self._kinds.values())

    def add(
        self, kind: str, hook: Hook, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Hang a hook; the handle takes it away again."""
        table = self._kinds.setdefault(kind, {})
        number = next(_numbers)
        if prepend:
            rest = dict(table)
            table.clear()
            table[number] = (hook, with_kwargs)
            table.update(rest)
        else:
            table[number] = (hook, with_kwargs)
        return RemovableHandle(table, number)

    def of(self, kind: str) -> list[tuple[Hook, bool]]:
        """The hooks of a kind, in the order of calling, and whether each wants the keywords."""
        return list(self._kinds.get(kind, {}).values())


# Hooks of all modules: kind -> hooks, as `Hooks` holds them.
GLOBAL: dict[str, dict[int, tuple[Hook, bool]]] = {}


def add_global(kind: str, hook: Hook) -> RemovableHandle:
    """Hang a hook on every module."""
    table = GLOBAL.setdefault(kind, {})
    number = next(_numbers)
    table[number] = (hook, False)
    return RemovableHandle(table, number)


def _all(module: Module, kind: str) -> list[tuple[Hook, bool]]:
    return [*GLOBAL.get(kind, {}).values(), *module._hooks.of(kind)]


def call(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`forward` with everything that hangs on the module."""
    for hook, with_kwargs in _all(module, "before"):
        changed = hook(module, args, kwargs) if with_kwargs else hook(module, args)
        if changed is not None and with_kwargs:
            args, kwargs = changed
        elif changed is not None:
            args = changed if isinstance(changed, tuple) else (changed,)
    backward = _all(module, "backward")
    backward_pre = _all(module, "backward_pre")
    watch = _Backward(module, backward, backward_pre) if backward or backward_pre else None
    if watch is not None:
        args = watch.inputs(args)
    result = module.forward(*args, **kwargs)
    for hook, with_kwargs in _all(module, "after"):
        changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        if changed is not None:
            result = changed
    return result if watch is None else watch.outputs(result)


class _Backward:
    """One call's gradients: those of its outputs arrive first, then those of its inputs."""

    def __init__(
        self, module: Module, hooks: list[tuple[Hook, bool]], before: list[tuple[Hook, bool]]
    ) -> None:
        self.module, self.hooks, self.before = module, hooks, before
        self.grad_outputs: list[Tensor | None] = []
        self.grad_inputs: list[Tensor | None] = []
        self.watched = 0  # inputs whose gradients are still to come

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments as aliases on whose gradients we hang."""
        made: list[Any] = []
        for arg in args:
            if isinstance(arg, Tensor):
                self.grad_inputs.append(None)
            if isinstance(arg, Tensor) and arg.requires_grad:
                arg = arg.view_as(arg)
                arg.register_hook(self._input_hook(len(self.grad_inputs) - 1))
                self.watched += 1
            made.append(arg)
        self.to_come = self.watched
        return tuple(made)

    def outputs(self, result: Any) -> Any:
        """The result as aliases on whose gradients we hang."""
        several = isinstance(result, tuple | list)
        made: list[Any] = list(result) if several else [result]
        for number, value in enumerate(made):
            self.grad_outputs.append(None)
            if isinstance(value, Tensor) and value.requires_grad:
                made[number] = value = value.view_as(value)
                value.register_hook(self._output_hook(number))
        return type(result)(made) if several else made[0]

    def _output_hook(self, number: int) -> Hook:
        def hook(gradient: Tensor) -> Tensor | None:
            self.grad_outputs[number] = gradient
            for pre, _ in self.before:
                changed = pre(self.module, tuple(self.grad_outputs))
                if changed is not None:
                    changed = changed if isinstance(changed, tuple) else (changed,)
                    self.grad_outputs = list(changed)
            if not self.watched:
                for full, _ in self.hooks:
                    full(self.module, tuple(self.grad_inputs), tuple(self.grad_outputs))
            return self.grad_outputs[number]

        return hook

    def _input_hook(self, number: int) -> Hook:
        def hook(gradient: Tensor) -> Tensor | None:
            self.grad_inputs[number] = gradient
            self.to_come -= 1
            if self.to_come:
                return None
            self.to_come = self.watched
            for full, _ in self.hooks:
                changed = full(self.module, tuple(self.grad_inputs), tuple(self.grad_outputs))
                if changed is not None:
                    changed = changed if isinstance(changed, tuple) else (changed,)
                    self.grad_inputs = list(changed)
            return self.grad_inputs[number]

        return hook
