"""Parametrisations: a parameter that is computed from others each time it is read.

In: a module, the name of a tensor of its, and a module that computes it. Out: the module's class is
replaced by a subclass in which that name is a property; what it is computed from is listed under
`parametrizations.<name>.original` (or `original0`, `original1`, ... where there are several).

>>> from picograd import nn
>>> class Symmetric(nn.Module):
...     def forward(self, x):
...         return x.triu() + x.triu(1).T
>>> layer = register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
>>> bool((layer.weight == layer.weight.T).all()), [name for name, _ in layer.named_parameters()]
(True, ['bias', 'parametrizations.weight.original'])
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from picograd.frontend.grad_mode import no_grad
from picograd.frontend.tensor import Tensor
from picograd.nn.layers.container import ModuleDict, ModuleList
from picograd.nn.module import Module
from picograd.nn.parameter import Parameter

_cached_depth = 0
_cache: dict[tuple[int, str], Tensor] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Inside of it, each parametrised tensor is computed at most once."""
    global _cached_depth
    _cached_depth += 1
    try:
        yield
    finally:
        _cached_depth -= 1
        if not _cached_depth:
            _cache.clear()


def _enlist(module: Module, name: str, tensor: Tensor) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


class ParametrizationList(ModuleList):
    """The parametrisations of one tensor, and what the first of them is applied to."""

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        start: Any = original
        with no_grad(), suppress(NotImplementedError):  # then what was there stays the original
            for module in reversed(self):
                if hasattr(module, "right_inverse"):
                    start = module.right_inverse(start)
        self.is_tensor = isinstance(start, Tensor)
        if self.is_tensor:
            with no_grad():
                if start is not original:
                    original.data = start
            _enlist(self, "original", original)
        else:
            self.ntensors = len(start)
            for number, part in enumerate(start):
                if not isinstance(part, Tensor):
                    raise ValueError(
                        "right_inverse must return a Tensor or a sequence of tensors. Got element "
                        f"{number} of the sequence with type {type(part).__name__}."
                    )
                if isinstance(original, Parameter):
                    part = Parameter(part, original.requires_grad)
                _enlist(self, f"original{number}", part.requires_grad_(original.requires_grad))
        if not unsafe:
            self._check(original)

    def _check(self, original: Tensor) -> None:
        computed = self()
        if not isinstance(computed, Tensor):
            raise ValueError(
                f"A parametrization must return a tensor. Got {type(computed).__name__}."
            )
        for what in ("dtype", "shape"):
            found, wanted = getattr(computed, what), getattr(original, what)
            # A right inverse may have changed the original; the tensor that was there counts.
            if self.is_tensor and found != wanted:
                raise ValueError(
                    f"Registering a parametrization may not change the {what} of the tensor, "
                    f"unless `unsafe` flag is enabled.\noriginal: {wanted}\nparametrized: {found}"
                )

    def originals(self) -> tuple[Tensor, ...]:
        """What the first parametrisation is applied to."""
        if self.is_tensor:
            return (self.original,)
        return tuple([getattr(self, f"original{n}") for n in range(self.ntensors)])

    def right_inverse(self, value: Tensor) -> None:
        """Assign to the originals what makes the tensor be `value`."""
        start: Any = value
        with no_grad():
            for module in reversed(self):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                start = module.right_inverse(start)
            parts = (start,) if self.is_tensor else tuple(start)
            if len(parts) != len(self.originals()):
                raise ValueError(
                    "'right_inverse' must return a sequence of tensors of length "
                    f"{len(self.originals())}. Got a sequence of length {len(parts)}."
                )
            for original, part in zip(self.originals(), parts, strict=True):
                original.data = part

    def forward(self) -> Tensor:
        """The tensor."""
        first, *rest = self
        value = first(*self.originals())
        for module in rest:
            value = module(value)
        return value


def _property(name: str) -> property:
    def read(self: Module) -> Tensor:
        found: ParametrizationList = self.parametrizations[name]
        if not _cached_depth:
            return found()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = found()
        return _cache[key]

    def write(self: Module, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, write)


def _refuse(self: Module) -> NoReturn:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict(). "
        "Save model.state_dict() instead of the model."
    )


def _deepcopy(self: Module, memo: dict[int, Any]) -> Module:
    """A copy whose class is a subclass of its own."""
    made = self.__new__(type(self))
    memo[id(self)] = made
    made.__dict__ = copy.deepcopy(self.__dict__, memo)
    made.__class__ = _subclass(type(self).__bases__[0], list(self.parametrizations))
    return made


def _subclass(base: type, names: Sequence[str]) -> type:
    contents: dict[str, Any] = {"__getstate__": _refuse, "__deepcopy__": _deepcopy}
    contents |= {name: _property(name) for name in names}
    return type(f"Parametrized{base.__name__}", (base,), contents)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute `module.<tensor_name>` by a module from now on; returns the module."""
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        found: ParametrizationList = module.parametrizations[tensor_name]
        if not unsafe:
            before = getattr(module, tensor_name)
            after = parametrization(before)
            if after.shape != before.shape or after.dtype != before.dtype:
                raise ValueError(
                    "Registering a parametrization may not change the shape or dtype of the "
                    f"tensor, unless the `unsafe` flag is enabled: {tuple(before.shape)} of "
                    f"{before.dtype} became {tuple(after.shape)} of {after.dtype}"
                )
        found.append(parametrization)
        found.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        chain = ParametrizationList([parametrization], original, unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            module.__class__ = _subclass(type(module), ())
            module.parametrizations = ModuleDict()
        setattr(type(module), tensor_name, _property(tensor_name))
        module.parametrizations[tensor_name] = chain
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'"
        )
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a tensor of the module (or any) is parametrised."""
    found = module._modules.get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make the tensor plain again: as computed, or (`leave_parametrized=False`) the original."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    chain: ParametrizationList = module.parametrizations[tensor_name]
    kept = chain.originals()[0]
    if leave_parametrized:
        with no_grad():
            value = chain().detach().clone()
        if chain.is_tensor:
            kept.data = value
        else:
            kept = Parameter(value, kept.requires_grad) if isinstance(kept, Parameter) else value
    elif not chain.is_tensor:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _enlist(module, tensor_name, kept)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class without its parametrisations."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)
