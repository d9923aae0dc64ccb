"""`torch.hub`: weights from the network into a folder, and from there.

In: addresses. Out: files under `get_dir()`, and their contents. Repositories of models are loaded
from a folder (`source="local"`), by the functions of its file hubconf.py, never from the network.

>>> import pathlib, tempfile
>>> folder = tempfile.mkdtemp()
>>> source = pathlib.Path(folder, "here.bin")
>>> _ = source.write_bytes(b"weights")
>>> download_url_to_file(source.as_uri(), folder + "/there.bin", progress=False)
>>> pathlib.Path(folder, "there.bin").read_bytes()
b'weights'
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from picograd.serialization import load as load_file

_HASH = re.compile(r"-([a-f0-9]*)\.")
_folder: str | None = None


def get_dir() -> str:
    """Where files are kept: what `set_dir` said, else `$TORCH_HOME/hub`."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return _folder if _folder is not None else os.path.join(os.path.expanduser(home), "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Keep files there from now on."""
    global _folder
    _folder = os.path.expanduser(d)


def download_url_to_file(
    url: str, dst: str, hash_prefix: str | None = None, progress: bool = True
) -> None:
    """Fetch a file; it appears whole or not at all, and only if its SHA-256 begins as given."""
    target = Path(dst).expanduser()
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as part:
        try:
            with urllib.request.urlopen(url) as answer:
                shutil.copyfileobj(answer, part)
            part.close()
            digest = hashlib.sha256(Path(part.name).read_bytes()).hexdigest()
            if hash_prefix and not digest.startswith(hash_prefix):
                raise RuntimeError(
                    f'invalid hash value (expected "{hash_prefix}", got "{digest}") for {url}'
                )
            shutil.move(part.name, target)
        finally:
            Path(part.name).unlink(missing_ok=True)


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = True,
) -> Any:
    """What `load` reads from the file of that address, which is fetched once."""
    folder = Path(model_dir or os.path.join(get_dir(), "checkpoints"))
    folder.mkdir(parents=True, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    target = folder / name
    if not target.exists():
        print(f'Downloading: "{url}" to {target}', file=sys.stderr)
        prefix = _HASH.search(name) if check_hash else None
        download_url_to_file(url, str(target), prefix and prefix.group(1), progress)
    return load_file(str(target), map_location=map_location, weights_only=weights_only)


def _entries(folder: str, source: str) -> dict[str, Any]:
    """The functions of a folder's hubconf.py. NotImplementedError for other sources."""
    if source != "local":
        raise NotImplementedError(
            f"picograd.hub loads no code from the network ({folder}): fetch the repository, and "
            "load its folder with source='local'"
        )
    path = Path(folder) / "hubconf.py"
    spec = importlib.util.spec_from_file_location("hubconf", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"there is no hubconf.py in {folder}")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    return {k: v for k, v in vars(module).items() if callable(v) and not k.startswith("_")}


def load(repo_or_dir: str, model: str, *args: Any, source: str = "github", **kwargs: Any) -> Any:
    """What the entry `model` of a folder's hubconf.py returns."""
    for option in ("trust_repo", "force_reload", "verbose", "skip_validation"):
        kwargs.pop(option, None)
    entry = _entries(repo_or_dir, source).get(model)
    if entry is None:
        raise RuntimeError(f"Cannot find callable {model} in hubconf")
    return entry(*args, **kwargs)


def _names(github: str, source: str = "github", **_: Any) -> Any:
    """The names of a folder's entries."""
    return [*_entries(github, source)]


def _text(github: str, model: str, source: str = "github", **_: Any) -> str | None:
    """The docstring of an entry."""
    return _entries(github, source)[model].__doc__


list, help = _names, _text
