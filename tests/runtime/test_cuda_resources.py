"""How many blocks a multiprocessor holds, as NVIDIA's occupancy calculator has it."""

from __future__ import annotations

import pytest

from picograd.runtime.cuda.resources import Multiprocessor, Resources

AMPERE = Multiprocessor(2048, 32, 65536, 164 << 10, 1 << 10)  # compute capability 8.0
ADA = Multiprocessor(1536, 24, 65536, 100 << 10, 1 << 10)  # 8.9
HOPPER = Multiprocessor(2048, 32, 65536, 228 << 10, 1 << 10)  # 9.0

CASES = {
    "threads": (HOPPER, 1024, 32, 0, 2),
    "blocks": (HOPPER, 32, 16, 0, 32),
    "registers": (HOPPER, 256, 255, 0, 1),
    "registers of partitions": (AMPERE, 128, 168, 0, 3),
    "shared memory": (AMPERE, 256, 32, 48 << 10, 3),
    "a part of a warp": (HOPPER, 33, 128, 0, 8),
    "fewer threads": (ADA, 256, 40, 0, 6),
    "nothing fits": (ADA, 64, 32, 100 << 10, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_resident_blocks(name: str) -> None:
    device, threads, registers, shared, blocks = CASES[name]
    assert device.resident(threads, registers, shared) == blocks


def test_spills_are_named() -> None:
    text = Resources(3, 100, 255, 0, 40, 2, 2048).text()
    assert "no shared memory, 40 bytes a thread of local memory" in text
    assert "(12% occupancy)" in text  # 2 * 128 of 2048
