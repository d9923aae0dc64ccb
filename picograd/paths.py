"""Import paths of torch below a package that keeps its contents elsewhere.

In: a package's name and, for each path below it, what that module contains. Out: modules in
`sys.modules` and attributes of the package, for `from torch.distributions.normal import Normal`.

>>> publish("picograd", "example", {"one": 1}).one
1
>>> import picograd.example
>>> del sys.modules["picograd.example"], picograd.example
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Mapping
from types import ModuleType


def publish(package: str, name: str, contents: Mapping[str, object]) -> ModuleType:
    """Make the module `package.name`; a package's attribute of that name stays what it is."""
    path = f"{package}.{name}"
    made = ModuleType(path, f"Names of `{package}`, for import lines.")
    made.__spec__ = importlib.machinery.ModuleSpec(path, None)
    made.__dict__.update(contents)
    sys.modules[path] = made
    sys.modules[package].__dict__.setdefault(name, made)
    return made
