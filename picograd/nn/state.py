"""Saving a tree of modules as a flat dictionary, and loading it back.

In: a module, or a module and a dictionary. Out: names like `layers.0.weight` with detached tensors;
or the module changed and `IncompatibleKeys`. Called by `Module.state_dict` and `load_state_dict`.

>>> from picograd import nn
>>> list(nn.Linear(2, 3).state_dict())
['weight', 'bias']
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from picograd.frontend.grad_mode import no_grad
from picograd.frontend.tensor import Tensor
from picograd.nn.parameter import Parameter

if TYPE_CHECKING:
    from picograd.nn.module import Module

EXTRA = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What a load did not find, and what it found no place for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )

    __str__ = __repr__


class StateDict(OrderedDict[str, Any]):
    """The dictionary of a state, with the versions of the modules beside it."""

    _metadata: dict[str, dict[str, Any]]


def _has_extra(module: Module) -> bool:
    from picograd.nn.module import Module as Base

    return type(module).get_extra_state is not Base.get_extra_state


def collect(module: Module, destination: Any, prefix: str, keep_vars: bool) -> dict[str, Any]:
    """The state of a tree; into `destination` when there is one."""
    if destination is None:
        destination = StateDict()
        destination._metadata = {}
    metadata = {"version": getattr(module, "_version", 1)}
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = metadata
    members: dict[str, Any] = dict(module._parameters)
    for name, buffer in module._buffers.items():
        if name not in module._non_persistent_buffers_set:
            members[name] = buffer
    for name, member in members.items():
        if member is not None:
            destination[prefix + name] = member if keep_vars else member.detach()
    if _has_extra(module):
        destination[prefix + EXTRA] = module.get_extra_state()
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(
                destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
            )
    for hook, _ in module._hooks.of("state"):
        hook(module, destination, prefix, metadata)
    return destination


def load(
    module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool
) -> IncompatibleKeys:
    """Put a state into a tree."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    loader = _Loader(dict(state_dict), strict, assign)
    loader.load(module, "")
    if strict and loader.unexpected:
        names = ", ".join(f'"{key}"' for key in loader.unexpected)
        loader.errors.insert(0, f"Unexpected key(s) in state_dict: {names}. ")
    if strict and loader.missing:
        names = ", ".join(f'"{key}"' for key in loader.missing)
        loader.errors.insert(0, f"Missing key(s) in state_dict: {names}. ")
    if loader.errors:
        details = "\n\t".join(loader.errors)
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(module).__name__}:\n\t{details}"
        )
    return IncompatibleKeys(loader.missing, loader.unexpected)


class _Loader:
    def __init__(self, given: dict[str, Any], strict: bool, assign: bool) -> None:
        self.given, self.strict, self.assign = given, strict, assign
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.errors: list[str] = []

    def load(self, module: Module, prefix: str) -> None:
        """One module, then its children."""
        for hook, _ in module._hooks.of("load"):
            hook(
                module, self.given, prefix, {}, self.strict,
                self.missing, self.unexpected, self.errors,
            )  # fmt: skip
        self.own(module, prefix)
        for name, child in module._modules.items():
            if child is not None:
                self.load(child, f"{prefix}{name}.")
        found = IncompatibleKeys(self.missing, self.unexpected)
        for hook, _ in module._hooks.of("loaded"):
            hook(module, found)

    def own(self, module: Module, prefix: str) -> None:
        """The parameters and buffers of one module."""
        tables = (module._parameters, module._buffers)
        for table in tables:
            for name, old in table.items():
                if old is None or name in module._non_persistent_buffers_set:
                    continue
                key = prefix + name
                if key not in self.given:
                    self.missing.append(key)
                else:
                    self.put(table, name, key, old)
        if _has_extra(module):
            if prefix + EXTRA in self.given:
                module.set_extra_state(self.given[prefix + EXTRA])
            else:
                self.missing.append(prefix + EXTRA)
        self.unexpected.extend(key for key in self.given if self.is_unexpected(module, prefix, key))

    @staticmethod
    def is_unexpected(module: Module, prefix: str, key: str) -> bool:
        """A key below this module's prefix that names none of its members or children."""
        if not key.startswith(prefix):
            return False
        name, _, rest = key[len(prefix) :].partition(".")
        if rest:
            return module._modules.get(name) is None
        kept = {n for n in module._buffers if n not in module._non_persistent_buffers_set}
        known = {n for n in module._parameters if module._parameters[n] is not None}
        known |= {n for n in kept if module._buffers[n] is not None}
        if _has_extra(module):
            known.add(EXTRA)
        return name not in known

    def put(self, table: dict[str, Any], name: str, key: str, old: Tensor) -> None:
        """One tensor of the state into its place."""
        new = self.given[key]
        if not isinstance(new, Tensor):
            self.errors.append(
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
                f"object from checkpoint but received {type(new)}"
            )
            return
        if tuple(new.shape) != tuple(old.shape):
            self.errors.append(
                f"size mismatch for {key}: copying a param with shape {new.shape} from checkpoint, "
                f"the shape in current model is {old.shape}."
            )
            return
        if not self.assign:
            with no_grad():
                old.copy_(new)
        elif isinstance(old, Parameter) and not isinstance(new, Parameter):
            table[name] = Parameter(new, cast("bool", old.requires_grad))
        else:
            table[name] = new
