"""Random programs behave as with torch: what they see, what they raise, what they compute.

`--fuzz N --seed S` runs N / 4 programs from a seed. A failing one is shrunk and printed as Python.
"""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
from tests.frontend.generate_programs import Generator
from tests.frontend.run_programs import difference, shrink

PARTS = 3


def runnable(lines: list[str]) -> str:
    return "\n".join(["import picograd as m  # or: import torch as m", *lines])


@pytest.mark.parametrize("part", range(PARTS))
def test_random_programs(part: int, request: pytest.FixtureRequest, seed: int) -> None:
    count = request.config.getoption("--fuzz") // (4 * PARTS)
    for number in range(count):
        program_seed = (seed + part * count + number) % (1 << 63)
        lines = Generator(program_seed).program()
        found = difference(lines)
        if found is not None:
            small = shrink(lines)
            pytest.fail(
                f"program of seed {program_seed}: {found.words}\n"
                f"shrunk: {difference(small)}\n{runnable(small)}"
            )
