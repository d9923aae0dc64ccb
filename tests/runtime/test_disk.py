"""Programs that outlive their process: found again, never stale, never trusted when damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import picograd as torch
from picograd import engine
from picograd.codegen.target import AVX2, SCALAR, Target
from picograd.graph.canonical import analyse, identity, is_simple
from picograd.graph.node import topological
from picograd.runtime import disk

SCRIPT = """
import picograd as torch
from picograd import nn
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 3))
x = torch.arange(64.0).view(1, 1, 8, 8) / 64
loss = nn.functional.cross_entropy(net(x), torch.tensor([1]))
loss.backward()
print([round(p.grad.sum().item(), 4) for p in net.parameters()], loss.item())
"""


def _run(folder: Path | str) -> tuple[str, str]:
    """The program on the CPU; of GPUs the disk keeps machine code only."""
    environment = {**os.environ, "PICOGRAD_CACHE": str(folder), "DEBUG": "1", "DEVICE": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout, done.stderr


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    first, told = _run(tmp_path / "new")
    second, told_again = _run(tmp_path / "new")
    assert first == second
    assert "compiled in" in told and "loaded in" not in told
    assert "loaded in" in told_again and "compiled in" not in told_again


def test_damaged_files_are_as_if_not_there(tmp_path: Path) -> None:
    first, _ = _run(tmp_path)
    for number, file in enumerate(sorted(tmp_path.iterdir())):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 255
        file.write_bytes(bytes(data) if number % 2 else b"")
    second, told = _run(tmp_path)
    assert first == second and "loaded in" not in told


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    first, told = _run(blocked / "below")
    assert "compiled in" in told and first == _run("0")[0]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="file modes are those of POSIX")
def test_a_folder_that_others_may_write_to_is_not_trusted(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    _run(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_oldest_files_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        file = tmp_path / f"{number}.code"
        file.write_bytes(bytes(100))
        os.utime(file, (number, number))
    monkeypatch.setattr(disk, "LIMIT", 500)
    disk._make_room(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["6.code", "7.code"]


def _named(function: Callable[[], torch.Tensor], target: Target = AVX2) -> str:
    """The key of the program that computes a tensor."""
    node = function()._storage.node
    order = topological([node])
    structure = analyse(order, [node], donated=[])
    simple = [(slot, attr) for slot, attr in structure.constants if is_simple(attr)]
    return disk.key(identity(structure, {n: structure.cells[n] for n, _ in simple}), target)


X, LONGER, INTEGERS = torch.ones(8).exp(), torch.ones(9).exp(), torch.arange(8)
GRAPHS: dict[str, Callable[[], torch.Tensor]] = {
    "sum": lambda: X.sum(),
    "product": lambda: X.prod(),
    "longer": lambda: LONGER.sum(),
    "two of a buffer": lambda: X * X.exp(),
    "another's": lambda: X * (X + 0).exp(),
    "window": lambda: X[1:4].sum(),
    "longer window": lambda: X[1:5].sum(),
    "every other": lambda: X[1:6:2].sum(),
    "zero": lambda: X * 0.0,
    "minus zero": lambda: X * -0.0,
    "one half": lambda: X * 0.5,
    "integers": lambda: INTEGERS.sum(),
    "float64": lambda: X.double().sum(),
    "random": lambda: X + torch.rand(8),
}


def test_keys_tell_programs_apart() -> None:
    engine.realize_pending()
    keys = {name: _named(function) for name, function in GRAPHS.items()}
    assert len(set(keys.values())) == len(GRAPHS)
    assert {name: _named(function) for name, function in GRAPHS.items()} == keys
    assert _named(GRAPHS["sum"], SCALAR) != keys["sum"]


def test_keys_leave_out_what_is_given_at_run_time() -> None:
    other = torch.zeros(8).exp()
    engine.realize_pending()
    pairs = [
        (lambda: X.sum(), lambda: other.sum()),
        (lambda: X[1:4] * 0.3, lambda: X[2:5] * 0.7),
    ]
    for one, another in pairs:
        assert _named(one) == _named(another)


LOADED = """
import sys
import picograd as torch
x = torch.arange(12.0).view(3, 4)
print(torch.softmax(x @ x.T, 1).sum().item(), "picograd.schedule.plan" in sys.modules)
for size in (5, 6, 7, 8):
    print(torch.nn.functional.layer_norm(torch.ones(3, size), (size,)).sum().item())
"""


def test_a_second_process_neither_plans_nor_generates_code(tmp_path: Path) -> None:
    environment = {**os.environ, "PICOGRAD_CACHE": str(tmp_path), "DEVICE": "cpu"}
    command = [sys.executable, "-c", LOADED]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
        for _ in range(2)
    )
    assert "True" in first and second == first.replace("True", "False")
