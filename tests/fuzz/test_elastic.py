"""Random graphs run by programs for many sizes, against the interpreter (`--fuzz`, `--seed`)."""

from __future__ import annotations

from random import Random

import pytest

from tests.fuzz.elastic import compare
from tests.fuzz.graphs import Generator

PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_elastic_agrees_with_interpreted(
    part: int, request: pytest.FixtureRequest, seed: int
) -> None:
    count = int(request.config.getoption("--fuzz") or 0) // (4 * PARTS)
    served = 0
    for number in range(count):
        case_seed = (seed + part * count + number) % (1 << 63)
        difference = compare(Generator(case_seed).case(), Random(case_seed))
        assert difference in (None, "none"), f"graph of seed {case_seed}: {difference}"
        served += difference is None
    if count >= 12:  # of fewer none may happen to have one
        assert served * 6 >= count, f"only {served} of {count} graphs have an elastic program"
