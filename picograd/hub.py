"""`torch.hub`: weights from the network into a folder, and from there.

In: addresses. Out: files under `get_dir()`, and their contents. Repositories of models aren't
loaded: they are code for torch.

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
import os
import re
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any, NoReturn
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


def _models(repo_or_dir: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Raises NotImplementedError: such a repository's code imports torch's own parts."""
    raise NotImplementedError(
        f"picograd.hub loads no code from repositories ({repo_or_dir}): "
        "define the model in the program and load its weights with load_state_dict_from_url"
    )


load = list = help = _models
