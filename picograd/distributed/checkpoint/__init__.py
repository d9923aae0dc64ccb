"""Checkpoints in a folder, written and read by the one process there is.

In: a dict of tensors and objects, and a folder. Out: `save` writes one file of torch's `.pt` format
into it; `load` fills the tensors of a dict in place. The folder is picograd's own: torch's sharded
checkpoints are refused.

>>> import tempfile
>>> import picograd
>>> state = {"w": picograd.ones(2)}
>>> with tempfile.TemporaryDirectory() as folder:
...     save(state, checkpoint_id=folder)
...     state["w"].zero_()
...     load(state, checkpoint_id=folder)
tensor([0., 0.])
>>> state["w"]
tensor([1., 1.])
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from picograd.frontend.grad_mode import no_grad
from picograd.frontend.tensor import Tensor

_FILE = "checkpoint.pt"
_Folder = str | os.PathLike[str] | None


class _Storage:
    """A folder for checkpoints."""

    def __init__(self, path: str | os.PathLike[str], **_: Any) -> None:
        self.path = Path(path)


class FileSystemReader(_Storage):
    """The folder to read from."""


class FileSystemWriter(_Storage):
    """The folder to write to."""


def _file(folder: _Folder, storage: _Storage | None) -> Path:
    if folder is None and storage is None:
        raise ValueError("Must provide either checkpoint_id or a storage_reader/storage_writer")
    return (Path(folder) if folder is not None else storage.path) / _FILE  # type: ignore[union-attr]


def save(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: _Folder = None,
    storage_writer: FileSystemWriter | None = None,
    planner: Any = None,
    process_group: Any = None,
    no_dist: bool = False,
) -> None:
    """Write a dict into the folder."""
    from picograd.serialization import save as write

    file = _file(checkpoint_id, storage_writer)
    file.parent.mkdir(parents=True, exist_ok=True)
    write(state_dict, str(file))


def load(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: _Folder = None,
    storage_reader: FileSystemReader | None = None,
    planner: Any = None,
    process_group: Any = None,
    no_dist: bool = False,
) -> None:
    """Fill a dict: its tensors in place, its other values by those of the same keys."""
    from picograd.serialization import load as read

    file = _file(checkpoint_id, storage_reader)
    if not file.exists():
        raise FileNotFoundError(f"{file}: no checkpoint that picograd wrote")
    with no_grad():
        _fill(state_dict, read(str(file)), "")


def _fill(target: Any, source: Any, path: str) -> None:
    for key in target:
        where = f"{path}.{key}" if path else str(key)
        if key not in source:
            raise RuntimeError(f"Missing key in checkpoint state_dict: {where}.")
        if isinstance(target[key], Tensor):
            if target[key].shape != source[key].shape:
                raise ValueError(
                    f"Size mismatch between saved {source[key].shape} and current: "
                    f"{target[key].shape} for {where}"
                )
            target[key].copy_(source[key])
        elif isinstance(target[key], Mapping):
            _fill(target[key], source[key], where)
        else:
            target[key] = source[key]


save_state_dict, load_state_dict = save, load
