"""Random graphs, compiled and interpreted, agree: integers bitwise, floats within a derived bound.

`--fuzz N --seed S` chooses how many, and which. A failing graph is shrunk and printed as Python.
"""

from __future__ import annotations

import pytest

from tests.fuzz.compare import compare, shrink
from tests.fuzz.graphs import Generator
from tests.fuzz.text import snippet

PARTS = 10


@pytest.mark.parametrize("part", range(PARTS))
def test_compiled_agrees_with_interpreted(
    part: int, request: pytest.FixtureRequest, seed: int
) -> None:
    count = request.config.getoption("--fuzz") // PARTS
    for number in range(count):
        case_seed = (seed + part * count + number) % (1 << 63)
        case = Generator(case_seed).case()
        difference = compare(case)
        if difference is not None:
            small = shrink(case)
            pytest.fail(
                f"graph of seed {case_seed}: {difference}\nshrunk: {compare(small)}\n"
                f"{snippet(small)}"
            )
