"""Options and marks that all tests share.

`--fuzz N --seed S` runs N random graphs from a seed (`tests/fuzz`). Tests whose module imports
PyTorch are marked `parity`: they are skipped where PyTorch is not installed.
"""

from __future__ import annotations

import random

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz", type=int, default=300, help="how many random graphs to compare")
    parser.addoption("--seed", type=int, default=None, help="seed of the randomised tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        module = getattr(item, "module", None)
        if module is not None and getattr(module, "torch", None).__class__.__name__ == "module":
            item.add_marker(pytest.mark.parity)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of a randomised test: shown when the test fails, fixed by `--seed`."""
    given = request.config.getoption("--seed")
    value = random.SystemRandom().randrange(1 << 32) if given is None else given
    print(f"seed {value}: run again with --seed {value}")
    return value
