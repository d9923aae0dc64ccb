"""Compiled programs on the disk, so that the next process compiles nothing.

In: a graph's identity (`key`); a program with its machine code (`keep`). Out: the same, loaded
(`fetch`). Called by `runtime.cpu`; `runtime.sorting` keeps its code here too (`compiled`). The
folder is `PICOGRAD_CACHE` (0: none).

A key covers all that the code depends on: the graph, the processor, the versions of Python, LLVM
and NumPy, and the text of every module of picograd that has a part in it, so an entry never
outlives a change. Files carry a checksum, are written under another name first, and belong to the
user alone; whatever is wrong with one, it is as if it were not there.

>>> len(seal(b"code")), unseal(seal(b"code")), unseal(b"broken") is None
(36, b'code', True)
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import tempfile
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from picograd import env
from picograd.codegen.target import Target
from picograd.errors import InternalError
from picograd.runtime import tune
from picograd.runtime.jit import Library, compile_ir, load_images
from picograd.runtime.kernels import CompiledKernel
from picograd.schedule.kernel import Program

LIMIT = 512 << 20  # bytes in the folder before the oldest files go
_PARTS = ("graph", "schedule", "codegen", "runtime", "dtypes.py")

# A layout, for each kernel its code and where its phases begin, and what gives the program.
Loaded = tuple[Any, list[tuple[Library, tuple[int, ...]]], Callable[[], Program]]
_digests: weakref.WeakKeyDictionary[Library, str] = weakref.WeakKeyDictionary()
_libraries: weakref.WeakValueDictionary[str, Library] = weakref.WeakValueDictionary()


def enabled() -> bool:
    """True unless the user, or the file system, forbids it."""
    return folder() is not None


def folder() -> Path | None:
    """Where files are kept."""
    return _folder(env.CACHE.get())


@lru_cache(maxsize=4)
def _folder(setting: str) -> Path | None:
    if setting in ("", "0"):
        return None
    folder = Path(setting).expanduser()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
        private = not hasattr(os, "geteuid") or (
            state.st_uid == os.geteuid() and not state.st_mode & 0o022
        )
        _make_room(folder)
    except OSError:
        return None
    return folder if private else None


def _make_room(folder: Path) -> None:
    """Delete the files that were used least recently, down to half of the limit."""
    files = [(entry.stat(), entry.path) for entry in os.scandir(folder) if entry.is_file()]
    total = sum(state.st_size for state, _ in files)
    if total <= LIMIT:
        return
    for state, path in sorted(files, key=lambda item: item[0].st_mtime):
        if total <= LIMIT // 2:
            break
        os.unlink(path)
        total -= state.st_size


# --- keys -----------------------------------------------------------------------------------------


def key(identity: str, target: Target) -> str:
    """The name on the disk of the program of a graph (`graph.canonical.identity`)."""
    words = [_version(), tune.stamp(), repr(target), identity]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:40]


@lru_cache(maxsize=1)
def _version() -> str:
    """What compiled programs depend on besides their graph."""
    import llvmlite
    import numpy as np
    from llvmlite import binding as llvm

    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for part in _PARTS:
        path = package / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes())
    versions = (sys.version, llvmlite.__version__, llvm.llvm_version_info, np.__version__)
    return f"{digest.hexdigest()} {versions}"


# --- files ----------------------------------------------------------------------------------------


def seal(content: bytes) -> bytes:
    """A file's bytes: a checksum, then the content."""
    return hashlib.sha256(content).digest() + content


def unseal(data: bytes) -> bytes | None:
    """The content of a file, or None if it is damaged."""
    content = data[32:]
    return content if hashlib.sha256(content).digest() == data[:32] else None


def read(name: str) -> bytes | None:
    """The content of a file, or None if it is not there or damaged."""
    folder = _folder(env.CACHE.get())
    if folder is None:
        return None
    try:
        data = (folder / name).read_bytes()
        os.utime(folder / name)
    except OSError:
        return None
    return unseal(data)


def write(name: str, content: bytes) -> None:
    """Keep a file, if there is room. Another of that name stays: names are hashes of contents."""
    folder = _folder(env.CACHE.get())
    if folder is None or (folder / name).exists():
        return
    try:
        handle, path = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "wb") as file:
            file.write(seal(content))
        os.replace(path, folder / name)
    except OSError:  # a full disk, a folder that is gone: the program runs all the same
        return


def keep(name: str, program: Program, layout: object, kernels: Sequence[CompiledKernel]) -> None:
    """Write a program, what its runs take to know, and its machine code."""
    codes: list[tuple[tuple[str, ...], str]] = []
    for compiled in kernels:
        library = compiled.library
        digest = _digests.get(library)
        if digest is None:
            digest = hashlib.sha256(b"".join(library.images)).hexdigest()[:40]
            write(f"{digest}.code", pickle.dumps((tuple(library.addresses), library.images), 5))
            _digests[library] = digest
        codes.append((compiled.outline.symbols, digest))
    write(f"{name}.program", pickle.dumps((layout, codes, pickle.dumps(program, 5)), 5))


def fetch(name: str) -> Loaded | None:
    """A program and its machine code, or None if they are not there in full."""
    content = read(f"{name}.program")
    if content is None:
        return None
    layout, codes, program = pickle.loads(content)
    code: list[tuple[Library, tuple[int, ...]]] = []
    for symbols, digest in codes:
        library = _library(digest)
        if library is None:
            return None
        code.append((library, tuple([library.addresses[symbol] for symbol in symbols])))
    return layout, code, lambda: pickle.loads(program)


def compiled(text: str, target: Target) -> Library:
    """The machine code of a module that is no kernel, from an earlier process if there is one."""
    if not enabled():
        return compile_ir(text, target.cpu, target.features)
    digest = hashlib.sha256(f"{_version()} {target!r} {text}".encode()).hexdigest()[:40]
    library = _library(digest)
    if library is None:
        library = _libraries[digest] = compile_ir(text, target.cpu, target.features)
        write(f"{digest}.code", pickle.dumps((tuple(library.addresses), library.images), 5))
    return library


def _library(digest: str) -> Library | None:
    library = _libraries.get(digest)
    if library is None:
        content = read(f"{digest}.code")
        if content is None:
            return None
        symbols, images = pickle.loads(content)
        try:
            library = _libraries[digest] = load_images(images, symbols)
        except InternalError:
            return None
    return library
