"""What a function reads besides its arguments, and whether that is still as it was.

In: a Python function or a module (`picograd.nn`). Out: `Surroundings`, made by `look`: the tensors
that it may read, and `unchanged`, which tells whether everything else is what it was. Used by
`picograd.compiler`, which replays a function's graph without running the function.

The code says which globals, closure cells and attributes may be read; what is found there is looked
at in turn. `look` raises `Unclear` for whatever might read or change something else (files, the
clock, a dictionary that is written to, objects of unknown classes): such a function is run as it
is. So the answer errs on one side only.

>>> scale = 2.0
>>> def scaled(x):
...     return x * scale
>>> around = look(scaled)
>>> around.unchanged()
True
>>> scale = 3.0
>>> around.unchanged()
False
"""

from __future__ import annotations

import builtins
import dataclasses
import dis
import os
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from picograd.dtypes import DType
from picograd.frontend.device import Size, device
from picograd.frontend.tensor import Tensor
from picograd.nn import hooks
from picograd.nn.module import Module
from picograd.optim.optimizer import Optimizer


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONSTANTS = (int, float, complex, bool, str, bytes, type(None), DType, device, Size, slice)
# Modules whose functions always give the same for the same arguments, as far as it matters here:
# what picograd itself remembers is looked at apart.
_PURE_MODULES = frozenset({"picograd", "torch", "math", "operator", "typing", "__future__"})
_PURE_BUILTINS = _words(
    """
    abs all any bool bytes complex dict divmod enumerate filter float frozenset int
    isinstance issubclass len list map max min pow range repr reversed round set slice
    sorted str sum super tuple type zip AssertionError AttributeError IndexError KeyError
    NotImplementedError RuntimeError TypeError ValueError None True False NotImplemented
    Ellipsis
    """
)
_EFFECTS = _words(
    """
    STORE_GLOBAL DELETE_GLOBAL STORE_ATTR DELETE_ATTR STORE_SUBSCR DELETE_SUBSCR STORE_NAME
    IMPORT_NAME IMPORT_STAR LOAD_BUILD_CLASS
    """
)
# Methods that change a list or a dictionary; allowed where the function has only its own.
_CHANGES = _words(
    """
    append extend insert remove pop popitem clear update setdefault sort reverse add discard
    """
)
# What changes or asks for state that isn't looked at here (and all names that begin with "set_").
_STATEFUL = _words(
    """
    __dict__ _version attrgetter autograd data_ptr get_num_threads get_rng_state hub
    initial_seed is_grad_enabled is_inference_mode_enabled load load_state_dict manual_seed
    methodcaller register_buffer register_hook register_parameter requires_grad requires_grad_
    retain_grad save seed
    """
)
# What tells the numbers among an optimiser's settings, which no guard compares.
_SETTINGS = _words("add_param_group defaults param_groups state state_dict")
_TRAINING = _words("backward grad step zero_grad")  # names that a training step has
_SILENT = frozenset(dir(type)) - {"__call__", "__init__", "__eq__", "__hash__"} | _words(
    "__annotations__ __firstlineno__ __static_attributes__ __weakref__"
)
_FIELDS = _words("__dataclass_fields__ __dataclass_params__ __hash__ __match_args__")
_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_MISSING = object()
_MEMBERS = ("_parameters", "_buffers", "_modules")


class Unclear(Exception):
    """The function may read or change what isn't seen here; the message says what."""


class Surroundings:
    """What was found around a function: `tensors`, and tables with what stood in them."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.optimizers: list[Optimizer] = []
        self._names: set[str] = set()
        self._tables: list[tuple[Mapping[Any, Any], int | None, list[tuple[Any, Any]]]] = []
        self._cells: list[tuple[types.CellType, Any]] = []
        self._sequences: list[tuple[list[Any] | tuple[Any, ...], tuple[Any, ...]]] = []
        self._methods: list[tuple[types.FunctionType, types.CodeType, Any]] = []
        self._modules: list[tuple[Module, type]] = []

    def unchanged(self) -> bool:
        """Whether all tables, cells and functions hold what they held."""
        for table, size, items in self._tables:
            if size is not None and len(table) != size:
                return False
            for name, value in items:
                now = table.get(name, _MISSING)
                if now is not value and not _same(now, value):
                    return False
        for cell, value in self._cells:
            try:
                now = cell.cell_contents
            except ValueError:
                return False
            if now is not value and not _same(now, value):
                return False
        for sequence, items in self._sequences:
            if len(sequence) != len(items):
                return False
            for now, value in zip(sequence, items, strict=True):
                if now is not value and not _same(now, value):
                    return False
        for module, kind in self._modules:
            if not module._hooks.empty or type(module) is not kind:
                return False
        for function, code, defaults in self._methods:
            if function.__code__ is not code or function.__defaults__ is not defaults:
                return False
        return not hooks.GLOBAL

    def trains(self) -> bool:
        """Whether the function may compute gradients, or change them."""
        return not self._names.isdisjoint(_TRAINING)

    def restore(self) -> None:
        """Put back what a trial has put in the place of something."""
        for table, _, items in self._tables:
            for name, value in items:
                if isinstance(table, dict) and table.get(name, _MISSING) is not value:
                    table[name] = value


def _same(now: object, value: object) -> bool:
    """Whether two constants are one and the same value."""
    return type(now) is type(value) and isinstance(now, CONSTANTS) and repr(now) == repr(value)


def look(function: Any) -> Surroundings:
    """Find what a function or a module may read. Raises `Unclear` if that can't be told."""
    return _Look(function).found


class _Look:
    """One search: what is still to be looked at, and the names of attributes that code reads."""

    def __init__(self, function: Any) -> None:
        self.found = Surroundings()
        self._seen: dict[int, object] = {}
        self._names = self.found._names = {"forward"}
        self._objects: list[object] = []  # whose classes' functions are read by name
        self._classes: set[tuple[type, int]] = set()  # looked at, with so many names
        self._containers = False  # whether there are any that code could change
        self._queue: list[object] = [function]
        # Names lead to functions and these to names: until nothing new comes.
        known = None
        while known != (known := (len(self._names), len(self._objects), len(self._seen))):
            for one in self._objects:
                self._look_at_class(one)
            while self._queue:
                self._look_at(self._queue.pop())
        if self._containers and not self._names.isdisjoint(_CHANGES):
            raise Unclear("a list or dictionary from outside may be changed")
        if self.found.optimizers and not self._names.isdisjoint(_SETTINGS):
            raise Unclear("an optimizer's settings are read")
        for name in self._names:
            if name in _STATEFUL or name.startswith("set_"):
                raise Unclear(f"the name {name}")

    def _look_at(self, value: object) -> None:
        if isinstance(value, CONSTANTS) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, Tensor):
            self.found.tensors.append(value)
            if vars(value):
                raise Unclear("a tensor with attributes of its own")
        elif isinstance(value, types.FunctionType):
            self._look_at_function(value)
        elif isinstance(value, types.MethodType):
            self._queue += [value.__self__, value.__func__]
        elif isinstance(value, Module):
            self._look_at_module(value)
        elif isinstance(value, Optimizer) and _is_ours(type(value)):
            self._look_at_optimizer(value)
        elif _is_ours(type(value)) and hasattr(value, "__wrapped__"):  # compiled itself
            self._queue.append(value.__wrapped__)  # type: ignore[attr-defined]
        elif isinstance(value, types.ModuleType):
            if value.__name__.partition(".")[0] not in _PURE_MODULES:
                raise Unclear(f"module {value.__name__}")
        elif type(value) in (list, tuple):
            self._look_at_sequence(value)  # type: ignore[arg-type]
        elif type(value) is dict:
            self._look_at_table(value, whole=True)
            self._containers = True
        elif type(value) is types.SimpleNamespace:
            self._look_at_table(vars(value), whole=True)
        elif _is_record(value):
            self._look_at_table(vars(value), whole=True)
            self._objects.append(value)
        elif isinstance(value, type):
            if not _is_ours(value) and value.__module__ != "builtins" and not _is_error(value):
                self._objects.append(value)
        elif not _is_pure_builtin(value):
            raise Unclear(f"an object of class {type(value).__name__}")

    def _look_at_sequence(self, value: list[Any] | tuple[Any, ...]) -> None:
        self.found._sequences.append((value, tuple(value)))
        self._queue += value
        self._containers = self._containers or type(value) is list

    def _look_at_table(
        self, table: Mapping[str, Any], whole: bool, names: Sequence[str] | None = None
    ) -> None:
        chosen = [name for name in (table if names is None else names) if name in table]
        if not all(isinstance(name, str) for name in chosen):
            raise Unclear("a dictionary whose keys are no names")
        items = [(name, table[name]) for name in chosen]
        self.found._tables.append((table, len(table) if whole else None, items))
        self._queue += [value for _, value in items]

    def _look_at_module(self, module: Module) -> None:
        own = vars(module)
        if not module._hooks.empty or hooks.GLOBAL:
            raise Unclear("a module with hooks")
        self.found._modules.append((module, type(module)))
        others = {"_hooks", "_non_persistent_buffers_set", "_compiled_call_impl", *_MEMBERS}
        self._look_at_table(own, True, [name for name in own if name not in others])
        for name in _MEMBERS:
            self._look_at_table(own[name], True)
        self._objects.append(module)

    def _look_at_optimizer(self, optimizer: Optimizer) -> None:
        """Its parameters and state. Numbers among the settings may change: replays read them."""
        found, groups, states = self.found, optimizer.param_groups, optimizer.state
        found.optimizers.append(optimizer)
        found._tables.append((vars(optimizer), None, [("param_groups", groups), ("state", states)]))
        found._sequences.append((groups, tuple(groups)))
        for hooked in (optimizer._before_step, optimizer._after_step):
            if hooked:
                raise Unclear("an optimizer with hooks")
            found._tables.append((hooked, 0, []))
        for group in groups:
            found._sequences.append((group["params"], tuple(group["params"])))
            self._queue += group["params"]
            switches = [
                item for item in group.items() if isinstance(item[1], (bool, str, type(None)))
            ]
            found._tables.append((group, len(group), [("params", group["params"]), *switches]))
        found._tables.append((states, len(states), list(states.items())))
        for state in states.values():
            tensors = [item for item in state.items() if isinstance(item[1], Tensor)]
            found._tables.append((state, len(state), tensors))
            self._queue += [x for _, x in tensors]

    def _look_at_class(self, one: object) -> None:
        """What the names that code reads are in the classes of an object that aren't ours."""
        kind = one if isinstance(one, type) else type(one)
        for cls in kind.__mro__:
            if _is_ours(cls) or cls is object:
                continue
            if not isinstance(one, Module) and not issubclass(kind, Module) and not _is_record(one):
                raise Unclear(f"class {cls.__name__}")
            if "__getattr__" in vars(cls) or "__getattribute__" in vars(cls):
                raise Unclear(f"class {cls.__name__}, which computes its attributes")
            if (cls, len(self._names)) in self._classes:
                continue
            self._classes.add((cls, len(self._names)))
            # What syntax calls, it calls without a name.
            special = [name for name in vars(cls) if name.startswith("__")]
            if _is_record(one):  # what its decorator wrote concerns its fields alone
                special = [name for name in special if not _is_generated(name, vars(cls)[name])]
            silent = _SILENT if kind is one else {*_SILENT, "__init__"}
            names = sorted(self._names.union(special) - silent)
            self._look_at_table(vars(cls), True, names)
            members = [vars(cls)[name] for name in names if name in vars(cls)]
            for member in members:
                inner = getattr(member, "__func__", None) or getattr(member, "fget", None)
                if inner is not None:
                    self._seen[id(member)] = member
                    self._queue.append(inner)

    def _look_at_function(self, function: types.FunctionType) -> None:
        if function.__code__.co_filename.startswith(_PACKAGE):
            # Ours, like the wrapper that `no_grad()` makes: what it wraps isn't.
            cells = [cell.cell_contents for cell in function.__closure__ or ()]
            self._queue += [one for one in cells if not _is_ours(type(one)) or _holds(one)]
            return
        self.found._methods.append((function, function.__code__, function.__defaults__))
        self._queue += function.__defaults__ or ()
        if function.__kwdefaults__:
            self._look_at_table(function.__kwdefaults__, True)
        for cell in function.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:
                raise Unclear("a variable of an enclosing function without value") from None
            self.found._cells.append((cell, value))
            self._queue.append(value)
        read = list(dict.fromkeys(_globals_read(function.__code__, self._names)))
        for name in read:
            if name not in function.__globals__ and name not in _PURE_BUILTINS:
                raise Unclear(f"the name {name}")
        self._look_at_table(function.__globals__, False, read)
        absent = [(name, _MISSING) for name in read if name not in function.__globals__]
        self.found._tables.append((function.__globals__, None, absent))
        if function.__globals__.get("__builtins__") not in (builtins, vars(builtins)):
            raise Unclear("builtins of its own")


def _is_record(value: object) -> bool:
    """Whether a value is a data class's: settings, as programs keep them."""
    return dataclasses.is_dataclass(type(value)) and hasattr(value, "__dict__")


def _is_generated(name: str, member: object) -> bool:
    """Whether a special member of a data class is what its decorator put there."""
    code = getattr(getattr(member, "__wrapped__", member), "__code__", None)
    return name in _FIELDS if code is None else code.co_filename == "<string>"


def _holds(value: object) -> bool:
    return isinstance(value, (Tensor, Module))


def _globals_read(code: types.CodeType, names: set[str]) -> Iterator[str]:
    """The global names that code loads, inner functions included; other names join `names`."""
    free = set(code.co_freevars)
    for step in dis.get_instructions(code):
        if step.opname in _EFFECTS or (step.opname == "STORE_DEREF" and step.argval in free):
            raise Unclear(f"it writes ({step.opname} {step.argval})")
        if step.opname == "LOAD_GLOBAL":
            yield step.argval
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM"):
            names.add(step.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals_read(constant, names)


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "picograd"


def _is_error(cls: type) -> bool:
    return issubclass(cls, Exception) and cls.__module__ == "builtins"


def _is_pure_builtin(value: object) -> bool:
    """A function written in C that computes something of its arguments alone, or one of ours."""
    name = getattr(value, "__name__", "")
    module = getattr(value, "__module__", None) or ""
    if isinstance(value, types.BuiltinFunctionType):
        return module in ("math", "_operator") or (module == "builtins" and name in _PURE_BUILTINS)
    return (
        module.partition(".")[0] == "picograd"
        and callable(value)
        and not hasattr(value, "__self__")
    )
