"""The machine code of CUDA C in a form to read: SASS where NVIDIA's disassembler is, else PTX.

In: a compiled source. Out: its instructions as text, and the language they are in. Called for
DEBUG=6 and DUMP. The disassembler is nvdisasm, of a CUDA toolkit or of NVIDIA's wheel
nvidia-cuda-nvdisasm; what it cannot read, such as the emulator's machine code, is shown as PTX.

>>> without_encodings("    /*0010*/  IADD3 R1, R2 ;  /* 0x00012 */\\n   /* 0x0fe2 */\\n  EXIT ;")
'    /*0010*/  IADD3 R1, R2 ;\\n  EXIT ;'
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from picograd.runtime.cuda.compiler import Compiled
from picograd.runtime.observe import Language

_ENCODING = re.compile(r"[ \t]*/\* 0x[0-9a-f]+ \*/[ \t]*$", re.M)


@lru_cache(maxsize=1)
def disassembler() -> str | None:
    """nvdisasm, from the system's path or from NVIDIA's wheel."""
    found = shutil.which("nvdisasm")
    if found is not None:
        return found
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(root).glob("*/bin/nvdisasm")):
            return str(path)
    return None


def disassemble(compiled: Compiled) -> tuple[Language, str]:
    """The code of a compiled source, and what it is written in."""
    program = disassembler()
    listing = None if program is None else _sass(program, compiled.cubin)
    return (Language.PTX, compiled.ptx) if listing is None else (Language.SASS, listing)


def _sass(program: str, cubin: bytes) -> str | None:
    """The instructions of a cubin, or None where it is none that the program knows."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        done = subprocess.run(
            [program, "-c", file.name], capture_output=True, text=True, check=False
        )
    return without_encodings(done.stdout) if done.returncode == 0 else None


def without_encodings(listing: str) -> str:
    """A listing without the bits of its instructions."""
    lines = (line for line in _ENCODING.sub("", listing).splitlines() if line.strip())
    return "\n".join(lines)
