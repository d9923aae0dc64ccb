"""The zip archive that a `.pt` file is: written as torch does, read with suspicion.

In: records by name. Out: a file in torch's layout (every record stored uncompressed and aligned),
or, when reading, `Archive`, which gives the records of a file that is well-formed: names that stay
in the archive, no compression, no duplicates, sizes that fit into the file. `serialization` uses
both sides.

>>> import io
>>> stream = io.BytesIO()
>>> with Writer(stream, "archive") as writer:
...     writer.write("data.pkl", b"N.")
>>> Archive(stream).read("data.pkl")
b'N.'
"""

from __future__ import annotations

import struct
import zipfile
from types import TracebackType
from typing import IO

ALIGNMENT = 64  # where records begin, so that a file can be mapped into memory
_HEADER = 30  # bytes of a local header before the name
_PADDING = 0x4246  # torch's mark of an extra field that only fills space
_ENCRYPTED = 1


class Writer:
    """Writes records under one folder name."""

    def __init__(self, stream: IO[bytes], folder: str) -> None:
        self._stream = stream
        self._folder = folder
        self._zip = zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._zip.close()

    def write(self, name: str, contents: bytes | memoryview) -> None:
        """One record, whose contents begin at a multiple of `ALIGNMENT`."""
        info = zipfile.ZipInfo(f"{self._folder}/{name}")  # dated 1980: same contents, same file
        if len(contents) < zipfile.ZIP64_LIMIT:
            begin = self._stream.tell() + _HEADER + len(info.filename.encode()) + 4
            fill = -begin % ALIGNMENT
            info.extra = struct.pack("<HH", _PADDING, fill) + b"Z" * fill
        self._zip.writestr(info, contents)


class Archive:
    """The records of a file. Raises RuntimeError for files that torch would not have written."""

    def __init__(self, stream: IO[bytes]) -> None:
        stream.seek(0, 2)
        self._length = stream.tell()
        stream.seek(0)
        try:
            self._zip = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError) as e:
            raise RuntimeError(
                f"PytorchStreamReader failed reading zip archive: {e}. The file is damaged or was "
                "not completely written"
            ) from e
        infos = self._zip.infolist()
        self._records = {info.filename: info for info in infos}
        if len(self._records) != len(infos):
            raise _refusal("two records have the same name")
        for info in infos:
            self._check(info)
        if sum(info.file_size for info in infos) > self._length:
            raise _refusal("the records are larger than the file")
        found = [name for name in self._records if name.endswith("/data.pkl")]
        if not found:
            raise RuntimeError("PytorchStreamReader failed locating file data.pkl: file not found")
        self._folder = min(found, key=len).removesuffix("data.pkl")

    def _check(self, info: zipfile.ZipInfo) -> None:
        name = info.filename
        parts = name.split("/")
        if name.startswith("/") or "\\" in name or ":" in name or {"..", "."} & set(parts):
            raise _refusal(f"the record name {name!r} leads out of the archive")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise _refusal(f"the record {name!r} is compressed")
        if info.flag_bits & _ENCRYPTED:
            raise _refusal(f"the record {name!r} is encrypted")
        if info.header_offset < 0 or info.header_offset + info.file_size > self._length:
            raise _refusal(f"the record {name!r} lies outside of the file")

    def __contains__(self, name: str) -> bool:
        return self._folder + name in self._records

    def size(self, name: str) -> int:
        """The bytes of a record; raises RuntimeError if there is none of that name."""
        info = self._records.get(self._folder + name)
        if info is None:
            raise RuntimeError(f"PytorchStreamReader failed locating file {name}: file not found")
        return info.file_size

    def read(self, name: str) -> bytes:
        """The contents of a record, with their checksum verified."""
        size = self.size(name)
        try:
            contents = self._zip.read(self._folder + name)
        except (zipfile.BadZipFile, EOFError, OSError, ValueError, struct.error) as e:
            raise RuntimeError(f"PytorchStreamReader failed reading file {name}: {e}") from e
        if len(contents) != size:
            raise _refusal(f"the record {name!r} is shorter than it says")
        return contents


def _refusal(reason: str) -> RuntimeError:
    return RuntimeError(
        f"PytorchStreamReader failed reading zip archive: {reason}; this is no file that "
        "torch.save wrote"
    )
