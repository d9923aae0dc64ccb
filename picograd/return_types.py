"""The namespace `torch.return_types`: the types of results of several tensors.

In: a function's name. Out: the class of what it gives, such as `return_types.max`.

>>> __getattr__("sort").__name__
'sort'
"""

from picograd.frontend.missing import Missing as _Missing
from picograd.frontend.return_types import TYPES as _TYPES


def __getattr__(name: str) -> type:
    if name in _TYPES:
        return _TYPES[name]
    raise _Missing("picograd.return_types", name, lambda: _TYPES)
