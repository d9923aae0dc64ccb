"""`import torch` means picograd: for programs whose import lines can't be changed.

In: nothing. Out: after `install()`, `torch` and every `torch.x.y` is `picograd` and `picograd.x.y`,
the same module objects. `python -m picograd program.py` calls it and runs a program.
`torch.__version__` is then the version of PyTorch's API that is followed, because programs ask it
which names they may use.

>>> Alias().find_spec("torch.nn", None).name, Alias().find_spec("numpy", None)
('torch.nn', None)
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

import picograd

_OTHER, _OWN = "torch", "picograd"
API = "2.13.0"  # the PyTorch whose names and meanings are followed


class _Loader(importlib.abc.Loader):
    """Gives the module that exists already, as it is."""

    def __init__(self, name: str) -> None:
        self.module = importlib.import_module(name)
        self.spec = self.module.__spec__

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has put the alias's own there


class Alias(importlib.abc.MetaPathFinder):
    """Finds `torch` and what is below it."""

    def __init__(self) -> None:
        self.version = picograd.__version__

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of picograd's module of that name; None if it has none."""
        if fullname.partition(".")[0] != _OTHER:
            return None
        name = _OWN + fullname[len(_OTHER) :]
        if importlib.util.find_spec(name) is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, _Loader(name))

    def remove(self) -> None:
        """Undo `install`."""
        sys.meta_path.remove(self)
        picograd.__version__ = self.version
        for name in [n for n in sys.modules if n.partition(".")[0] == _OTHER]:
            del sys.modules[name]


def install() -> Alias:
    """Make `import torch` mean picograd from now on. Raises RuntimeError if torch is loaded."""
    loaded = sys.modules.get(_OTHER)
    if loaded is not None and loaded is not sys.modules.get(_OWN):
        raise RuntimeError("torch is imported already: call picograd.alias.install() before")
    alias = Alias()
    picograd.__version__ = f"{API}+picograd{alias.version}"
    sys.meta_path.insert(0, alias)
    return alias
