"""Random graphs, compiled and interpreted, agree: integers bitwise, floats within a derived bound.

`--fuzz N --seed S` chooses how many, and which. A failing graph is shrunk and printed as Python.
"""

from __future__ import annotations

import pytest

from picograd.graph.node import topological
from picograd.graph.ops import Op
from tests.fuzz.compare import compare, shrink
from tests.fuzz.graphs import Generator
from tests.fuzz.text import snippet

PARTS = 10
ENOUGH = 400  # graphs in which every op occurs


@pytest.mark.parametrize("part", range(PARTS))
def test_compiled_agrees_with_interpreted(
    part: int, request: pytest.FixtureRequest, seed: int
) -> None:
    count = int(request.config.getoption("--fuzz") or 0) // PARTS
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


def test_every_op_is_generated() -> None:
    missing = set(Op)
    for number in range(ENOUGH):
        case = Generator(number).case()
        missing -= {node.op for node in topological(case.outputs)}
    assert not missing, f"no op of {sorted(op.name for op in missing)} in {ENOUGH} graphs"
