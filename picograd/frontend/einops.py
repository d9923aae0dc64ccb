"""What lets einops work on picograd's tensors without the alias.

In: nothing. Out: once einops is imported, a backend of its for the type `Tensor`. einops looks its
backends up among the subclasses of one class, so ours is made when einops's module is loaded.
`picograd/__init__.py` calls `install`, which imports nothing.

>>> import sys
>>> any(isinstance(finder, _Watcher) for finder in sys.meta_path) or MODULE in sys.modules
True
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

MODULE = "einops._backends"


class _Watcher:
    """A finder that only waits for einops to be imported."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """None, but for einops's module: its spec, whose loader makes our backend afterwards."""
        if fullname != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = cast("Loader", _Loader(spec.loader))
        return spec


class _Loader:
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _register(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def _register(backends: Any) -> None:
    """Make the backend: torch's, for another module of the same names."""

    class PicogradBackend(backends.TorchBackend):
        framework_name = "picograd"

        def __init__(self) -> None:
            self.torch = sys.modules["picograd"]

    backends._picograd = PicogradBackend  # a class that nobody holds is no subclass any more


def install() -> None:
    """Register with einops, now or when it is imported."""
    found = sys.modules.get(MODULE)
    if found is not None:
        _register(found)
    else:
        sys.meta_path.insert(0, _Watcher())  # type: ignore[arg-type]
