"""What is said of a name that picograd doesn't have: the name, and the nearest ones it has.

In: a name and those that exist beside it. Out: an AttributeError, which the modules' `__getattr__`
and `Tensor.__getattr__` raise. Its message is made when it is read: most such errors only answer
`hasattr`.

>>> print(Missing("picograd.nn", "Linaer", lambda: ["Linear", "ReLU"]))
picograd.nn.Linaer isn't supported yet; the nearest names are Linear
"""

from __future__ import annotations

from collections.abc import Callable, Iterable


class Missing(AttributeError):
    """There is no `place.name`."""

    def __init__(self, place: str, name: str, known: Callable[[], Iterable[str]]) -> None:
        super().__init__(f"{place}.{name} isn't supported yet")
        self.name, self._known = name, known

    def __str__(self) -> str:
        import difflib  # one import in thousands reads such a message

        public = [one for one in self._known() if not one.startswith("_")]
        near = difflib.get_close_matches(str(self.name), public, 3)
        hint = f"; the nearest names are {', '.join(near)}" if near else ""
        return f"{self.args[0]}{hint}"

    def __reduce__(self) -> tuple[type[AttributeError], tuple[str]]:
        return (AttributeError, (str(self),))


# Lazily worded, but an AttributeError to whoever reads a traceback or asks for the type's name.
Missing.__name__, Missing.__qualname__, Missing.__module__ = (
    "AttributeError",
    "AttributeError",
    "builtins",
)


def refusing(module: str, known: Callable[[], Iterable[str]]) -> Callable[[str], object]:
    """The `__getattr__` of a module that loads nothing later."""

    def __getattr__(name: str) -> object:
        raise Missing(module, name, known)

    return __getattr__


def method_of_tensors(self: object, name: str) -> object:
    """`Tensor.__getattr__`."""
    if name.startswith("_"):
        raise AttributeError(f"'Tensor' object has no attribute '{name}'")
    raise Missing("Tensor", name, lambda: dir(type(self)))
