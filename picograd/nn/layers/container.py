"""Containers: modules that hold modules (or parameters) in order or by name.

In: modules. Out: `Sequential`, `ModuleList`, `ModuleDict`, `ParameterList`, `ParameterDict`.

>>> from picograd import nn
>>> layers = nn.ModuleList([nn.Identity(), nn.Identity()])
>>> len(layers), len(layers[:1])
(2, 1)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from operator import index
from typing import Any, overload

from picograd.frontend.tensor import Tensor
from picograd.nn.module import Module
from picograd.nn.parameter import Parameter


class _Ordered(Module):
    """What `Sequential` and `ModuleList` share: children named '0', '1', ..."""

    def _position(self, key: Any) -> int:
        number = index(key)
        if not -len(self) <= number < len(self):
            raise IndexError(f"index {number} is out of range")
        return number % len(self)

    def _set_all(self, modules: Iterable[Module]) -> None:
        self._modules.clear()
        for number, module in enumerate(modules):
            self.add_module(str(number), module)

    @overload
    def __getitem__(self, key: slice) -> Any: ...
    @overload
    def __getitem__(self, key: int) -> Any: ...
    def __getitem__(self, key: int | slice) -> Any:
        values = list(self._modules.items())
        if isinstance(key, slice):
            return self._of(values[key])
        return values[self._position(key)][1]

    def _of(self, items: list[tuple[str, Module | None]]) -> Any:
        return type(self)([module for _, module in items])

    def __setitem__(self, key: int, module: Module) -> None:
        setattr(self, list(self._modules)[self._position(key)], module)

    def __delitem__(self, key: int | slice) -> None:
        values = list(self._modules.values())
        del values[key]
        self._set_all(module for module in values if module is not None)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def append(self, module: Module) -> Any:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Put a module before another."""
        values = list(self)
        values.insert(index, module)
        self._set_all(values)
        return self

    def pop(self, key: int) -> Module:
        """Take a module out."""
        found = self[key]
        del self[key]
        return found


class Sequential(_Ordered):
    """Calls its modules one after the other."""

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self._set_all(args)

    def _of(self, items: list[tuple[str, Module | None]]) -> Sequential:
        return type(self)(OrderedDict(items))

    def forward(self, input: Any) -> Any:
        """The last module's output."""
        for module in self:
            input = module(input)
        return input


class ModuleList(_Ordered):
    """A list whose members belong to the tree."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self._set_all(modules if modules is not None else ())

    def __repr__(self) -> str:
        """As every module's, but equal neighbours share one line."""
        groups: list[tuple[int, int, str]] = []
        for number, module in enumerate(self):
            text = repr(module)
            if groups and groups[-1][2] == text:
                groups[-1] = (groups[-1][0], number, text)
            else:
                groups.append((number, number, text))
        if not groups:
            return f"{self._get_name()}()"
        lines = [
            f"({first}): {text}"
            if first == last
            else f"({first}-{last}): {last - first + 1} x {text}"
            for first, last, text in groups
        ]
        inside = "\n  ".join(line.replace("\n", "\n  ") for line in lines)
        return f"{self._get_name()}(\n  {inside}\n)"

    def __iadd__(self, modules: Iterable[Module]) -> Any:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])


class ModuleDict(Module):
    """A dictionary whose values belong to the tree."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Take everything out."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Take one module out."""
        return self._modules.pop(key)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and modules."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace modules."""
        for key, module in dict(modules).items():
            self[key] = module


def _as_parameter(value: Any) -> Any:
    plain = isinstance(value, Tensor) and not isinstance(value, Parameter)
    return Parameter(value) if plain else value


class ParameterList(Module):
    """A list whose tensors are parameters of the tree."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        self.extend(values if values is not None else ())

    def __getitem__(self, key: int | slice) -> Any:
        if isinstance(key, slice):
            return type(self)([self[n] for n in range(*key.indices(self._size))])
        number = index(key)
        if not -self._size <= number < self._size:
            raise IndexError(f"index {number} is out of range")
        return getattr(self, str(number % self._size))

    def __setitem__(self, key: int, value: Any) -> None:
        setattr(self, str(index(key) % self._size), _as_parameter(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[n] for n in range(self._size))

    def append(self, value: Any) -> ParameterList:
        """Add a value at the end."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add values at the end."""
        for value in list(values):
            self.append(value)
        return self

    __iadd__ = extend

    def extra_repr(self) -> str:
        return _lines(
            (str(n), value, str(getattr(value, "dtype", ""))) for n, value in enumerate(self)
        )


class ParameterDict(Module):
    """A dictionary whose tensors are parameters of the tree."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._keys[key] = None
        setattr(self, key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._keys.keys()

    def values(self) -> Iterable[Any]:
        """The values."""
        return [self[key] for key in self._keys]

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and values."""
        return [(key, self[key]) for key in self._keys]

    def get(self, key: str, default: Any = None) -> Any:
        """A value, or the default."""
        return self[key] if key in self._keys else default

    def pop(self, key: str) -> Any:
        """Take one value out."""
        value = self[key]
        del self[key]
        return value

    def update(self, parameters: Any) -> None:
        """Add or replace values."""
        pairs = parameters.items() if hasattr(parameters, "items") else parameters
        for key, value in pairs:
            self[key] = value

    def extra_repr(self) -> str:
        return _lines(
            (key, value, value.type() if isinstance(value, Tensor) else "")
            for key, value in self.items()
        )


def _lines(items: Iterable[tuple[str, Any, str]]) -> str:
    """One line a value: tensors with their kind and shape, others with their class."""
    lines = []
    for name, value, kind in items:
        if isinstance(value, Tensor):
            shape = "x".join(map(str, value.shape))
            what = "Parameter" if isinstance(value, Parameter) else "Tensor"
            lines.append(f"  ({name}): {what} containing: [{kind} of size {shape}]")
        else:
            lines.append(f"  ({name}): Object of type: {type(value).__name__}")
    return "\n".join(lines)
