"""The textbook chapter's two listings run verbatim; only names they leave undefined are supplied.

Once as written, on picograd, and once with `import torch as picograd`: from equal weights and equal
batches both must walk the same loss trajectory.
"""

from __future__ import annotations

import io
import math
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import picograd

HERE = Path(__file__).parent
MODEL = (HERE / "chapter_model.py.txt").read_text()
TRAINING = (HERE / "chapter_training.py.txt").read_text()
NAMES = (HERE.parents[1] / "examples" / "data" / "names.txt").read_text().split()
DECODE = ["."] + [chr(ord("a") + i) for i in range(26)]


def data(torch: ModuleType, context: int = 3) -> tuple[object, object]:
    """Contexts and next letters of the first 300 names."""
    inputs, targets = [], []
    for name in NAMES[:300]:
        window = [0] * context
        for letter in name + ".":
            code = DECODE.index(letter)
            inputs.append(window)
            targets.append(code)
            window = [*window[1:], code]
    return torch.tensor(inputs), torch.tensor(targets)


class Recorder:
    """Stands for matplotlib's pyplot: keeps what is plotted."""

    def __init__(self) -> None:
        self.curves: list[tuple[list[int], list[float]]] = []

    def plot(self, x: list[int], y: list[float]) -> None:
        self.curves.append((list(x), list(y)))


def run_model(torch: ModuleType, source: str) -> dict[str, object]:
    names: dict[str, object] = {"F": torch.nn.functional, "decode": DECODE}
    torch.manual_seed(7)
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(source, "chapter_model.py", "exec"), names)
    lines = printed.getvalue().splitlines()
    assert lines[0] == "model loaded to cpu"
    assert len(lines) == 21, "20 samples were printed"
    assert all(line.endswith(".") and set(line) <= set(DECODE) for line in lines[1:])
    return names


def run_training(torch: ModuleType, names: dict[str, object]) -> list[float]:
    rng = np.random.default_rng(3)

    def randint(low: int, high: int, size: tuple[int, ...]) -> object:
        return torch.tensor(rng.integers(low, high, size))

    x, y = data(torch)
    recorder = Recorder()
    names |= {
        "torch": SimpleNamespace(randint=randint),
        "X_NT": x,
        "Y_N": y,
        "plt": recorder,
    }
    with redirect_stdout(io.StringIO()):
        exec(compile(TRAINING, "chapter_training.py", "exec"), names)
    (steps, losses), *_ = recorder.curves
    assert steps == list(range(100))
    return losses


def test_listings_run_as_written() -> None:
    names = run_model(picograd, MODEL)
    losses = run_training(picograd, names)
    assert len(losses) == 100
    assert all(math.isfinite(loss) for loss in losses)
    assert abs(10 ** losses[0] - math.log(27)) < 0.05, "an untrained model is uniform"
    assert losses[-1] < losses[0]


def test_same_losses_as_pytorch() -> None:
    torch = pytest.importorskip("torch")
    ours = run_model(picograd, MODEL)
    theirs = run_model(torch, MODEL.replace("import picograd\n", "import torch as picograd\n"))
    for mine, other in zip(ours["params"], theirs["params"], strict=True):
        other.data = torch.tensor(mine.detach().numpy().copy())
    np.testing.assert_allclose(
        run_training(picograd, ours), run_training(torch, theirs), rtol=0, atol=2e-5
    )
