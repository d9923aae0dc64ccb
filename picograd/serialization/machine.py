"""An unpickler that can't run code: an interpreter of pickle's opcodes over a closed list of names.

In: a pickle's bytes, a function that says what a global name stands for, and one that finds
storages. Out: the object, made of Python's plain types and of what the names stand for. Python's
own unpickler is not used, because a pickle can make it set attributes of anything it has built.

>>> import pickle
>>> names = lambda module, name: None
>>> run(pickle.dumps({"a": [1, (2.5, None)]}, 2), names, lambda identity: None)
{'a': [1, (2.5, None)]}
"""

from __future__ import annotations

import pickle
import pickletools
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Hashable
from typing import Any

DICTIONARIES = (dict, OrderedDict, Counter, defaultdict)
DEEPEST_KEY = 8  # hashing a tuple recurses in C, so the depth of keys is bounded
_MARK = object()
Value = Any  # what a pickle holds

PUSHED = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT",
    "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "UNICODE", "BINSTRING", "SHORT_BINSTRING",
    "STRING", "BINBYTES", "BINBYTES8", "SHORT_BINBYTES", "BYTEARRAY8",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
FRESH: dict[str, type] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
HIGHEST_PROTOCOL = 5


class Maker:
    """What a global name stands for: something that can be called and built, both by us."""

    def __init__(
        self,
        name: str,
        call: Callable[..., Value] | None = None,
        new: Callable[..., Value] | None = None,
        value: Value = None,
    ) -> None:
        self.name = name
        self.call = call  # for REDUCE
        self.new = new  # for NEWOBJ
        self.value = value  # for containers, when a program has declared it safe

    def __repr__(self) -> str:
        return f"<{self.name}>"


def contained(value: Value) -> Value:
    """What a container holds: the class or function itself where a program has declared it."""
    return value.value if isinstance(value, Maker) and value.value is not None else value


def refuse(reason: str) -> pickle.UnpicklingError:
    """The error for a pickle that is not what `save` writes."""
    return pickle.UnpicklingError(f"Weights only load failed: {reason}")


class Machine:
    """The stack, the memo, and what each opcode does to them."""

    def __init__(
        self,
        names: Callable[[str, str], Value],
        storages: Callable[[Value], Value],
        build: Callable[[Value, Value], Value],
    ) -> None:
        self._names = names
        self._storages = storages
        self._build = build
        self._stack: list[Value] = []
        self._memo: dict[int, Value] = {}

    def run(self, text: bytes) -> Value:
        """What the pickle describes."""
        try:
            for opcode, argument, _ in pickletools.genops(text):
                if opcode.name == "STOP":
                    return self._pop()
                self._step(opcode.name, argument)
        except pickle.UnpicklingError:
            raise
        except (ValueError, IndexError, KeyError, OverflowError) as e:
            raise refuse(f"the pickle is damaged ({type(e).__name__}: {e})") from e
        raise refuse("the pickle has no end")

    def _step(self, name: str, argument: Value) -> None:
        if name in PUSHED:
            self._stack.append(argument)
        elif name in CONSTANTS:
            self._stack.append(CONSTANTS[name])
        elif name in FRESH:
            self._stack.append(FRESH[name]())
        elif name in TUPLES:
            count = TUPLES[name]
            parts = [contained(self._pop()) for _ in range(count)]
            self._stack.append(tuple(reversed(parts)))
        else:
            handler = HANDLERS.get(name)
            if handler is None:
                raise refuse(f"unsupported operation {name}")
            handler(self, argument)

    # --- the stack ------------------------------------------------------------------------------

    def _pop(self) -> Value:
        value = self._stack.pop()
        if value is _MARK:
            raise refuse("the pickle is damaged: a mark where a value should be")
        return value

    def _top(self) -> Value:
        return self._stack[-1]

    def _to_mark(self) -> list[Value]:
        values = []
        while True:
            value = self._stack.pop()
            if value is _MARK:
                return values[::-1]
            values.append(value)

    # --- opcodes --------------------------------------------------------------------------------

    def mark(self, _: Value) -> None:
        self._stack.append(_MARK)

    def protocol(self, number: int) -> None:
        if number > HIGHEST_PROTOCOL:
            raise refuse(f"unsupported pickle protocol {number}")

    def ignore(self, _: Value) -> None:
        pass

    def pop(self, _: Value) -> None:
        self._stack.pop()

    def pop_mark(self, _: Value) -> None:
        self._to_mark()

    def duplicate(self, _: Value) -> None:
        self._stack.append(self._top())

    def put(self, place: int) -> None:
        self._memo[place] = self._top()

    def memoize(self, _: Value) -> None:
        self._memo[len(self._memo)] = self._top()

    def get(self, place: int) -> None:
        self._stack.append(self._memo[place])

    def tuple_(self, _: Value) -> None:
        self._stack.append(tuple(contained(value) for value in self._to_mark()))

    def list_(self, _: Value) -> None:
        self._stack.append([contained(value) for value in self._to_mark()])

    def dict_(self, _: Value) -> None:
        values = self._to_mark()
        self._stack.append({})
        self._set_items(values)

    def frozen_set(self, _: Value) -> None:
        self._stack.append(frozenset(checked_key(value) for value in self._to_mark()))

    def append(self, _: Value) -> None:
        self._extend([self._pop()])

    def appends(self, _: Value) -> None:
        self._extend(self._to_mark())

    def _extend(self, values: list[Value]) -> None:
        target = self._top()
        if type(target) is not list:
            raise refuse(f"appending to {type(target).__name__}")
        target.extend(contained(value) for value in values)

    def set_item(self, _: Value) -> None:
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def set_items(self, _: Value) -> None:
        self._set_items(self._to_mark())

    def _set_items(self, values: list[Value]) -> None:
        target = self._top()
        if type(target) not in DICTIONARIES:
            raise refuse(f"setting items of {type(target).__name__}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[checked_key(key)] = contained(value)

    def add_items(self, _: Value) -> None:
        values = self._to_mark()
        target = self._top()
        if type(target) is not set:
            raise refuse(f"adding items to {type(target).__name__}")
        target.update([checked_key(value) for value in values])

    def name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(self._names(module, name))

    def stack_name(self, _: Value) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            raise refuse("a global whose name is no string")
        self._stack.append(self._names(module, name))

    def reduce(self, _: Value) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Maker) or function.call is None:
            raise refuse(f"calling {function!r}"[:200])
        self._stack.append(self._apply(function.call, arguments, function))

    def new_object(self, _: Value) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Maker) or function.new is None:
            raise refuse(f"making an object of {function!r}"[:200])
        self._stack.append(self._apply(function.new, arguments, function))

    def _apply(self, call: Callable[..., Value], arguments: Value, function: Maker) -> Value:
        if type(arguments) is not tuple:
            raise refuse(f"calling {function!r} with {type(arguments).__name__}")
        try:
            return call(*arguments)
        except (TypeError, AttributeError) as e:
            raise refuse(f"{function!r} was given what it doesn't take: {e}") from e

    def build(self, _: Value) -> None:
        state, target = self._pop(), self._pop()
        self._stack.append(self._build(target, state))

    def persistent(self, _: Value) -> None:
        self._stack.append(self._storages(self._pop()))


HANDLERS: dict[str, Callable[[Machine, Value], None]] = {
    "PROTO": Machine.protocol,
    "FRAME": Machine.ignore,
    "MARK": Machine.mark,
    "POP": Machine.pop,
    "POP_MARK": Machine.pop_mark,
    "DUP": Machine.duplicate,
    "PUT": Machine.put,
    "BINPUT": Machine.put,
    "LONG_BINPUT": Machine.put,
    "MEMOIZE": Machine.memoize,
    "GET": Machine.get,
    "BINGET": Machine.get,
    "LONG_BINGET": Machine.get,
    "TUPLE": Machine.tuple_,
    "LIST": Machine.list_,
    "DICT": Machine.dict_,
    "FROZENSET": Machine.frozen_set,
    "APPEND": Machine.append,
    "APPENDS": Machine.appends,
    "SETITEM": Machine.set_item,
    "SETITEMS": Machine.set_items,
    "ADDITEMS": Machine.add_items,
    "GLOBAL": Machine.name,
    "STACK_GLOBAL": Machine.stack_name,
    "REDUCE": Machine.reduce,
    "NEWOBJ": Machine.new_object,
    "BUILD": Machine.build,
    "BINPERSID": Machine.persistent,
}


def checked_key(key: Value) -> Hashable:
    """A key of plain types: nothing whose hash or comparison is somebody's code."""
    waiting = [(key, 0)]
    while waiting:
        part, depth = waiting.pop()
        if type(part) in (tuple, frozenset):
            if depth == DEEPEST_KEY:
                raise refuse("a key of tuples in tuples in tuples")
            waiting += [(one, depth + 1) for one in part]
        elif part.__hash__ is None:
            raise refuse(f"a key of type {type(part).__name__}")
    return key


def no_build(target: Value, state: Value) -> Value:
    """For pickles of plain types only."""
    raise refuse(f"setting the state of {type(target).__name__}")


def run(
    text: bytes,
    names: Callable[[str, str], Value],
    storages: Callable[[Value], Value],
    build: Callable[[Value, Value], Value] = no_build,
) -> Value:
    """What a pickle describes; raises pickle.UnpicklingError for all that is not allowed."""
    return Machine(names, storages, build).run(text)
