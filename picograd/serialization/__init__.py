"""`save` and `load`: torch's `.pt` files, both ways.

In: an object and a file. Out: the file, or the object again, with tensors that shared memory
sharing it. Files are exchanged with torch. Loading runs no code of the file's: its pickle goes
through an interpreter of our own (`serialization/machine.py`) that knows a closed list of names
(`serialization/names.py`); its archive and every tensor's place in it are checked before use.

>>> import io, picograd
>>> stream = io.BytesIO()
>>> save({"weight": picograd.ones(2)}, stream)
>>> _ = stream.seek(0)
>>> load(stream)
{'weight': tensor([1., 1.])}
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import IO, Any, cast

import numpy as np

from picograd.frontend.device import device, device_name
from picograd.runtime.cuda import why_not
from picograd.serialization import machine, names
from picograd.serialization.archive import ALIGNMENT, Archive, Writer
from picograd.serialization.names import (
    StorageKind,
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    safe_globals,
)
from picograd.serialization.storages import LoadedStorage, typed
from picograd.serialization.writing import dumped

__all__ = [
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "load",
    "safe_globals",
    "save",
]

File = str | os.PathLike[str] | IO[bytes]
MapLocation = str | device | dict[str, str] | Callable[..., Any] | None
DEFAULT_PROTOCOL = 2


def save(
    obj: object,
    f: File,
    pickle_module: ModuleType = pickle,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write an object to a file that torch can load."""
    if not _use_new_zipfile_serialization:
        raise NotImplementedError("picograd.save writes the zip format only; leave out the option")
    if isinstance(f, (str, os.PathLike)):
        path = Path(f)
        if not path.parent.is_dir():
            raise RuntimeError(f"Parent directory {path.parent} does not exist.")
        whole = dumped(obj, pickle_protocol)  # what can't be pickled leaves no empty file behind
        with path.open("wb") as stream:
            _write(whole, stream, path.name.removesuffix(path.suffix) or "archive")
        return
    if not hasattr(f, "write"):
        raise AttributeError(
            "expected 'f' to be string, path, or a file-like object with a 'write' attribute"
        )
    stream = io.BytesIO()
    _write(dumped(obj, pickle_protocol), stream, "archive")
    f.write(stream.getbuffer())


def _write(whole: Any, stream: IO[bytes], folder: str) -> None:
    digest = hashlib.sha256(whole.text)
    with Writer(stream, folder) as writer:
        writer.write("data.pkl", whole.text)
        writer.write(".format_version", b"1")
        writer.write(".storage_alignment", str(ALIGNMENT).encode())
        writer.write("byteorder", sys.byteorder.encode())
        for storage in whole.storages:
            contents = storage.array.view(np.uint8).data
            digest.update(contents)
            writer.write(f"data/{storage.key}", contents)
        writer.write("version", b"3\n")
        number = int.from_bytes(digest.digest()[:16], "little")
        writer.write(".data/serialization_id", f"{number:040d}".encode())


def load(
    f: File,
    map_location: MapLocation = None,
    pickle_module: ModuleType | None = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """The object of a file that `save` of picograd or torch wrote.

    `weights_only=False` also makes modules of classes that the program has imported; there is no
    way to run anything else that a file asks for. `mmap` changes nothing.
    """
    if isinstance(f, (str, os.PathLike)):
        with Path(f).open("rb") as stream:
            return _load(stream, map_location, weights_only is False)
    if not (hasattr(f, "read") and hasattr(f, "seek")):
        raise AttributeError(
            f"'{type(f).__name__}' object has no attribute 'seek'. You can only torch.load from a "
            "file that is seekable. Please pre-load the data into a buffer like io.BytesIO and "
            "try to load from it instead."
        )
    return _load(io.BytesIO(f.read()), map_location, weights_only is False)


def _load(stream: IO[bytes], map_location: MapLocation, trusted: bool) -> Any:
    start = stream.read(4)
    if not start:
        raise EOFError("Ran out of input: the file is empty, or was read before (`seek(0)`)")
    if start != b"PK\x03\x04":
        raise pickle.UnpicklingError(
            "Weights only load failed: the file is no zip archive. Files of before torch 1.6 have "
            "to be saved again by torch"
        )
    archive = Archive(stream)
    finder = _Storages(archive, map_location)
    return machine.run(
        archive.read("data.pkl"),
        lambda module, name: names.lookup(module, name, trusted),
        finder.find,
        names.set_state,
    )


class _Storages:
    """The storages of a file, each made once."""

    def __init__(self, archive: Archive, map_location: MapLocation) -> None:
        self._archive = archive
        self._map_location = map_location
        self._found: dict[str, tuple[tuple[object, ...], LoadedStorage]] = {}
        order = archive.read("byteorder").decode("latin1") if "byteorder" in archive else "little"
        if order not in ("little", "big"):
            raise RuntimeError(f"the file's byte order {order!r} is unknown")
        self._swap = order != sys.byteorder

    def find(self, identity: object) -> LoadedStorage:
        """The storage that a pickle names."""
        if type(identity) is not tuple or len(identity) != 5 or identity[0] != "storage":
            raise machine.refuse("a reference that is not to a storage")
        _, kind, key, location, length = identity
        fits = type(key) is str and type(location) is str and type(length) is int
        if not isinstance(kind, StorageKind) or not fits or length < 0:
            raise machine.refuse("a reference to a storage of an unknown kind")
        known = self._found.get(key)
        if known is not None:
            if known[0] != (kind.dtype, length):
                raise RuntimeError(f"storage {key} is said to have two types or lengths")
            return known[1]
        size = self._archive.size(f"data/{key}")
        item = kind.dtype.itemsize
        if not length * item <= size < (length + 1) * item:
            raise RuntimeError(
                f"storage {key} should have {length} elements of {item} bytes, and its record "
                f"has {size} bytes"
            )

        def contents() -> np.ndarray:
            raw = np.frombuffer(self._archive.read(f"data/{key}"), np.uint8)[: length * item]
            if self._swap:
                part = item // 2 if kind.dtype.is_complex else item
                raw = raw.reshape(-1, part)[:, ::-1].reshape(-1)
            return typed(raw, kind.dtype)

        storage = LoadedStorage(kind.dtype, length, "cpu", contents)
        storage.device = self._place(storage, location)
        self._found[key] = ((kind.dtype, length), storage)
        return storage

    def _place(self, storage: LoadedStorage, location: str) -> str:
        """The device that a storage goes to."""
        wanted = self._map_location
        if isinstance(wanted, dict):
            location = wanted.get(location, location)
        elif isinstance(wanted, (str, device)):
            location = str(wanted)
        elif wanted is not None:
            answer = cast("Callable[..., Any]", wanted)(storage, location)
            if answer is not None:
                return device_name(getattr(answer, "device", answer))
        if location.startswith("cuda") and why_not() is not None:
            raise RuntimeError(
                "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() "
                "is False. If you are running on a CPU-only machine, please use torch.load with "
                "map_location=torch.device('cpu') to map your storages to the CPU."
            )
        return device_name(location)
