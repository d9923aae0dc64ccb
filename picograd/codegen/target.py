"""What code generation needs to know of a machine: pure data, no detection.

In: nothing. Out: `Target`, and presets for tests. `runtime.cpu` fills one in for the host;
`codegen.lower` and every pass read it.

>>> from picograd.dtypes import float32, float64
>>> AVX512.lanes(float32), AVX512.lanes(float64), SCALAR.lanes(float32)
(16, 8, 1)
"""

from __future__ import annotations

from dataclasses import dataclass

from picograd.dtypes import DType

WARP_GROUPS = 90  # the compute capability of GPUs, times ten, that has wgmma; no other has


@dataclass(frozen=True, slots=True)
class Target:
    """One CPU. `cpu` and `features` are LLVM's names; `registers` counts vector registers."""

    name: str
    cpu: str = ""
    features: str = ""
    vector_bytes: int = 16
    registers: int = 16
    l1: int = 32 << 10
    l2: int = 512 << 10
    l3: int = 8 << 20
    threads: int = 1

    def lanes(self, dtype: DType) -> int:
        """How many elements of a type one vector register holds (at least 1)."""
        return max(1, self.vector_bytes // dtype.itemsize)


AVX512 = Target("cpu", "x86-64-v4", "", 64, 32, 48 << 10, 1 << 20, 32 << 20, 2)
AVX2 = Target("cpu", "x86-64-v3", "", 32, 16, 32 << 10, 512 << 10, 16 << 20, 2)
SSE2 = Target("cpu", "x86-64", "", 16, 16, 32 << 10, 256 << 10, 4 << 20, 2)
NEON = Target("cpu", "generic", "", 16, 32, 64 << 10, 512 << 10, 8 << 20, 2)
SCALAR = Target("cpu", "generic", "", 1, 16, 32 << 10, 512 << 10, 8 << 20, 1)
