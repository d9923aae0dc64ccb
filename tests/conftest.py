"""Options and marks that all tests share.

`--fuzz N --seed S` runs N random graphs from a seed (`tests/fuzz`). Tests whose module imports
PyTorch are marked `parity`: they are skipped where PyTorch is not installed. Tests of what only
the CPU's tensors have (memory that NumPy shares, the text of their device) are marked
`host("why")`, and skipped where DEVICE=cuda puts tensors on a GPU; so are single cases:
`pytest.param(..., marks=pytest.mark.host("why"))`.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

ON_GPU = os.environ.get("DEVICE", "").startswith("cuda")

# What is tested is compiled, not found on the disk.
os.environ.setdefault("PICOGRAD_CACHE", "0")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz", type=int, default=300, help="how many random graphs to compare")
    parser.addoption(
        "--seed", type=int, default=0, help="seed of the randomised tests; -1 for a random one"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        module = getattr(item, "module", None)
        if module is not None and getattr(module, "torch", None).__class__.__name__ == "module":
            item.add_marker(pytest.mark.parity)
        host = item.get_closest_marker("host")
        if host is not None:
            (why,) = host.args  # without a reason it is an error, on all devices
            if ON_GPU:
                item.add_marker(pytest.mark.skip(reason=why))


def pytest_configure() -> None:
    """With DEVICE=cuda tensors are on the GPU, whose memory NumPy does not see: the tests, which
    were written for the CPU, look at copies."""
    if ON_GPU:
        from picograd.frontend import memory
        from picograd.frontend.tensor import Tensor

        Tensor.numpy = lambda self, *, force=False: memory.numpy(self.cpu(), force=force)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of a randomised test: shown when the test fails, chosen by `--seed`."""
    given = request.config.getoption("--seed")
    value = random.SystemRandom().randrange(1 << 32) if given < 0 else given
    print(f"seed {value}: run again with --seed {value}")
    return value


def pytest_sessionfinish() -> None:
    """With CUDA_SOURCES=folder, leave every kernel that the tests compiled there as CUDA C, for
    `tests/cuda` to compile."""
    folder = os.environ.get("CUDA_SOURCES")
    if not folder:
        return
    from tests.cuda import corpus

    corpus.write(Path(folder), corpus.kernels_of_this_run())
