"""The CUDA C of every kernel that test runs met, for NVIDIA's compiler to judge.

In: kernels of the schedule, left by `tests/conftest.py` at the end of a run. Out: files
`<capabilities>/<hash>.cu`, one for each text, which `tests/cuda/test_corpus.py` compiles. Only the
texts of contractions and attention depend on the GPU's compute capability.

>>> texts_of([])
{}
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from picograd.codegen.cuda.render import cuda_kernel
from picograd.schedule.kernel import Kernel, Pattern

CAPABILITIES = (75, 80, 90)
_DEPEND = (Pattern.CONTRACTION, Pattern.PANELS)

# What of a text decides whether a GPU has an instruction for it: what it calls, of which type.
_CALL = re.compile(r"\b([A-Za-z_]\w*)(?:<[\w, ]*>)?\(")
_TYPE = re.compile(r"\b(?:float|double|unsigned|signed|char|short|int|long long|pg_vec<[^>]*>)")
_NAME = re.compile(r"__global__ void .*\{\n")


def kernels_of_this_run() -> list[Kernel]:
    """What was compiled for the CPU, and for a GPU where there is one, if only an emulated one."""
    from picograd.runtime.kernels import CACHE

    modules = sys.modules.get("picograd.runtime.cuda.modules")
    return [*CACHE.kernels(), *(modules.known_kernels() if modules else ())]


def texts_of(kernels: Iterable[Kernel]) -> dict[str, tuple[int, ...]]:
    """Each text, and the compute capabilities that it is meant for."""
    found: dict[str, tuple[int, ...]] = {}
    for kernel in dict.fromkeys(kernels):
        if kernel.pattern not in _DEPEND:
            found[cuda_kernel(kernel)] = CAPABILITIES
            continue
        for capability in CAPABILITIES:
            text = cuda_kernel(kernel, capability)
            found[text] = tuple(sorted({*found.get(text, ()), capability}))
    return found


def write(folder: Path, kernels: Iterable[Kernel]) -> None:
    """Add kernels to a folder. Several processes may write the same file: its name is a hash."""
    for text, capabilities in texts_of(kernels).items():
        place = folder / "-".join(map(str, capabilities))
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.cu").write_text(text)


def read(folder: Path, capability: int) -> list[Path]:
    """The texts for a compute capability, the largest first."""
    found = [
        path for path in folder.glob("*/*.cu") if str(capability) in path.parent.name.split("-")
    ]
    return sorted(found, key=lambda path: (-path.stat().st_size, path.name))


def covering(paths: Iterable[Path]) -> list[Path]:
    """Texts that together call all that the given ones call, with the types beside them: small
    ones where there is a choice."""
    met: set[tuple[str, str]] = set()
    chosen: list[Path] = []
    for path in reversed(list(paths)):
        body = _NAME.sub("", path.read_text())
        types = set(_TYPE.findall(body))
        words = {(called, kind) for called in set(_CALL.findall(body)) for kind in types}
        if not words <= met:
            met |= words
            chosen.append(path)
    return chosen
