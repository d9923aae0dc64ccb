"""The CUDA C of every kernel that test runs met, for NVIDIA's compiler to judge.

In: kernels of the schedule, left by `tests/conftest.py` at the end of a run. Out: files
`<capabilities>/<hash>.cu`, one for each text; only those of contractions and attention depend on
the GPU's compute capability. `tests/cuda/test_corpus.py` compiles them.

>>> texts_of([])
{}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from picograd.codegen.cuda.render import cuda_kernel
from picograd.schedule.kernel import Kernel, Pattern

CAPABILITIES = (75, 80, 90)
_DEPEND = (Pattern.CONTRACTION, Pattern.PANELS)


def texts_of(kernels: Iterable[Kernel]) -> dict[str, tuple[int, ...]]:
    """Each text, and the compute capabilities that it is meant for."""
    found: dict[str, tuple[int, ...]] = {}
    for kernel in kernels:
        if kernel.pattern not in _DEPEND:
            found[cuda_kernel(kernel)] = CAPABILITIES
            continue
        for capability in CAPABILITIES:
            text = cuda_kernel(kernel, capability)
            found[text] = (*found.get(text, ()), capability)
    return found


def write(folder: Path, kernels: Iterable[Kernel]) -> None:
    """Add kernels to a folder. Several processes may write the same file: its name is a hash."""
    for text, capabilities in texts_of(kernels).items():
        place = folder / "-".join(map(str, capabilities))
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.cu").write_text(text)
