"""Loads a program of `examples/` once for picograd and once for torch, and makes weights equal."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "examples"
_loaded: dict[tuple[str, str], ModuleType] = {}


def load(name: str, framework: str) -> ModuleType:
    """The example's module, run on "picograd" or "torch"."""
    if framework == "torch":
        pytest.importorskip("torch")
    if (name, framework) not in _loaded:
        file = FOLDER / f"{name}.py"
        spec = importlib.util.spec_from_file_location(f"{file.stem}_{framework}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        arguments, path = sys.argv, list(sys.path)
        sys.argv = [name, "--torch"] if framework == "torch" else [name]
        sys.path.insert(0, str(file.parent))  # for what examples share
        try:
            spec.loader.exec_module(module)
        finally:
            sys.argv, sys.path[:] = arguments, path
            _forget_shared()
        _loaded[name, framework] = module
    return _loaded[name, framework]


def _forget_shared() -> None:
    """Modules that examples import from beside them: the other framework needs them anew."""
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{FOLDER}/"):
            del sys.modules[name]


def set_weights(model: Any, torch: Any, seed: int = 0) -> None:
    """Give a model's parameters numbers that depend on nothing but their order and shapes."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = max(parameter[0].numel(), 1) if parameter.dim() > 1 else 25
            numbers = rng.standard_normal(tuple(parameter.shape)) / fan_in**0.5
            parameter.copy_(torch.tensor(numbers.astype(np.float32)))


def numbers(value: Any) -> np.ndarray:
    """A tensor, or a list of losses, as an array of float64."""
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    return np.asarray(value, np.float64)
