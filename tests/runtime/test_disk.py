"""Programs that outlive their process: found again, never stale, never trusted when damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from picograd.codegen.target import AVX2, SCALAR
from picograd.dtypes import float32, int64
from picograd.graph import index
from picograd.graph.index import Param
from picograd.graph.node import Node, const, make
from picograd.graph.ops import Combiner, LeafAttr, Op, ReduceAttr, SliceAttr
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


def _leaf(size: int = 8) -> Node:
    return make(Op.BUFFER, (), LeafAttr(0, (size,), float32), "cpu")


def _window(high: int) -> Node:
    starts = (index.of(Param(0, 0, high)),)
    return make(Op.SLICE, (_leaf(),), SliceAttr(starts, (2,), (1,)))


GRAPHS: dict[str, Node] = {
    "sum": make(Op.REDUCE, (_leaf(),), ReduceAttr(Combiner.SUM, (0,))),
    "product": make(Op.REDUCE, (_leaf(),), ReduceAttr(Combiner.PROD, (0,))),
    "longer": make(Op.REDUCE, (_leaf(9),), ReduceAttr(Combiner.SUM, (0,))),
    "start up to 3": _window(3),
    "start up to 6": _window(6),
    "zero": const(0.0, float32, "cpu"),
    "minus zero": const(-0.0, float32, "cpu"),
    "integer": const(0, int64, "cpu"),
}


def test_keys_tell_programs_apart() -> None:
    keys = {name: disk.key([node], (), AVX2) for name, node in GRAPHS.items()}
    assert len(set(keys.values())) == len(GRAPHS)
    node = GRAPHS["sum"]
    assert disk.key([node], (), AVX2) == keys["sum"]
    others = [disk.key([node], (), SCALAR), disk.key([node], (0,), AVX2)]
    others.append(disk.key([node, node], (), AVX2))
    assert len({keys["sum"], *others}) == 4
