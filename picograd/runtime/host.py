"""What this machine is, as code generation wants to know it.

In: LLVM's view of the processor, the system's view of its caches. Out: `target()`, which
`runtime.cpu` compiles for. `PICOGRAD_CPU` overrides it with a preset of `codegen.target`.

>>> target().name
'cpu'
"""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path

from picograd import env
from picograd.codegen import target as presets
from picograd.codegen.target import Target
from picograd.runtime.jit import host_cpu
from picograd.runtime.pool import usable_cpus

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def target() -> Target:
    """The processor to generate code for: the host, or the preset that PICOGRAD_CPU names.

    Raises ValueError for an unknown preset.
    """
    name = env.CPU_TARGET.get().lower()
    if name == "host":
        return _detect()
    preset = getattr(presets, name.upper(), None)
    if not isinstance(preset, Target):
        known = [key.lower() for key, value in vars(presets).items() if isinstance(value, Target)]
        raise ValueError(f"PICOGRAD_CPU={name!r} is not known; use host, {', '.join(known)}")
    return preset


@lru_cache(maxsize=1)
def _detect() -> Target:
    cpu, features = host_cpu()
    vector_bytes, registers = vector_unit(platform.machine(), features)
    sizes = cache_sizes(_CACHES)
    return Target(
        name="cpu",
        cpu=cpu,
        features=features,
        vector_bytes=vector_bytes,
        registers=registers,
        l1=sizes.get(1, 32 << 10),
        l2=sizes.get(2, 512 << 10),
        l3=sizes.get(3, sizes.get(2, 8 << 20)),
        threads=usable_cpus(),
    )


def vector_unit(machine: str, features: str) -> tuple[int, int]:
    """Bytes and number of the vector registers, from LLVM's feature string.

    >>> vector_unit("x86_64", "+sse2,+avx,+avx2,-avx512f")
    (32, 16)
    >>> vector_unit("aarch64", "+neon")
    (16, 32)
    """
    present = set(features.split(","))
    if machine.lower() in ("x86_64", "amd64"):
        if {"+avx512f", "+avx512bw", "+avx512dq", "+avx512vl"} <= present:
            return 64, 32
        return (32, 16) if "+avx2" in present else (16, 16)
    return 16, 32


def cache_sizes(folder: Path) -> dict[int, int]:
    """Bytes of each level's data (or unified) cache, as Linux lists them; else as sysconf does."""
    sizes: dict[int, int] = {}
    for entry in sorted(folder.glob("index*")):
        try:
            kind = (entry / "type").read_text().strip()
            level = int((entry / "level").read_text())
            text = (entry / "size").read_text().strip()
            unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:], 1)
            size = int(text.rstrip("KMG")) * unit
        except (OSError, ValueError):
            continue
        if kind != "Instruction" and size > 0:
            sizes[level] = size
    if not sizes and hasattr(os, "sysconf"):
        names = {1: "SC_LEVEL1_DCACHE_SIZE", 2: "SC_LEVEL2_CACHE_SIZE", 3: "SC_LEVEL3_CACHE_SIZE"}
        for level, name in names.items():
            try:
                size = os.sysconf(name)
            except (ValueError, OSError):
                continue
            if size > 0:
                sizes[level] = size
    return sizes
