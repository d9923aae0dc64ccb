"""Devices through their common interface: graph in, buffers out."""

from __future__ import annotations

import numpy as np
import pytest

from picograd import env
from picograd.dtypes import float32, int64
from picograd.graph.index import Param, of
from picograd.graph.node import Node, make
from picograd.graph.ops import LeafAttr, Op
from picograd.runtime import device, host, kernels
from picograd.runtime.buffer import from_array
from picograd.runtime.observe import Timing


def leaf(slot, shape, name, dtype=float32):
    return make(Op.BUFFER, (), LeafAttr(slot, shape, dtype), name)


def parameter(slot, name, dtype=float32):
    return make(Op.PARAMETER, (), LeafAttr(slot, (), dtype), name)


def product(name) -> Node:
    return make(Op.MUL, (leaf(0, (7,), name), leaf(1, (7,), name)))


def scaled(name) -> Node:
    return make(Op.MUL, (leaf(0, (), name), parameter(0, name)))


@pytest.fixture
def arrays():
    return np.arange(7, dtype=np.float32), np.full(7, 3, np.float32)


@pytest.mark.parametrize("name", ["cpu", "numpy"])
def test_a_graph_is_computed(name, arrays):
    executable = device.get(name).build([product(name)])
    timings: list[Timing] = []
    (result,) = executable.run([from_array(array) for array in arrays], timings=timings)
    assert result.device == name and result.dtype is float32 and result.size == 7
    assert (result.array == arrays[0] * 3).all()
    assert len(timings) == executable.kernel_count == (1 if name == "cpu" else 0)
    assert all(timing.seconds > 0 for timing in timings)


@pytest.mark.parametrize("name", ["cpu", "numpy"])
def test_a_number_comes_as_a_cell(name):
    executable = device.get(name).build([scaled(name)])
    cell = int(np.float32(-2.5).view(np.uint32))
    (result,) = executable.run([from_array(np.array(3, np.float32))], [cell])
    assert result.array.tolist() == [-7.5]


def test_null_compiles_and_returns_zeros(arrays):
    before = len(kernels.CACHE)
    node = make(Op.SUB, (leaf(0, (7,), "null"), leaf(1, (7,), "null")))
    executable = device.get("null").build([make(Op.NEG, (node,))])
    assert len(kernels.CACHE) == before + executable.kernel_count == before + 1
    timings: list[Timing] = []
    (result,) = executable.run([from_array(array) for array in arrays], timings=timings)
    assert result.device == "null" and (result.array == 0).all()
    assert len(timings) == 1


def test_equal_kernels_are_compiled_once():
    graphs = [make(Op.ADD, (leaf(0, (9,), "cpu"), leaf(1, (9,), "cpu"))) for _ in range(2)]
    device.get("cpu").build([graphs[0]])
    known = len(kernels.CACHE)
    device.get("cpu").build([graphs[1]])
    device.get("null").build([make(Op.ADD, (leaf(0, (9,), "null"), leaf(1, (9,), "null")))])
    assert len(kernels.CACHE) == known


class Recorder:
    """An observer that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.texts: list[str] = []

    def saw_program(self, program):
        self.told.append("program")

    def saw_loops(self, kernel, stage, function):
        self.told.append(stage)

    def saw_source(self, kernel, language, text):
        self.told.append("source")
        self.texts.append(text)

    def wants_assembly(self, kernel):
        return True

    def saw_assembly(self, kernel, language, resources, text):
        self.told.append("assembly")
        self.texts.append(text)


def test_an_observer_sees_every_form(monkeypatch):
    monkeypatch.setattr(kernels, "CACHE", kernels.KernelCache())
    recorder = Recorder()
    device.get("cpu").build([product("cpu")], frozenset(), recorder)
    assert recorder.told[0] == "program" and recorder.told[-2:] == ["source", "assembly"]
    assert len(recorder.told) > 3
    assert "define void @" in recorder.texts[0] and "ret" in recorder.texts[1]


def test_unknown_devices_are_named():
    with pytest.raises(RuntimeError, match=r"Expected one of cpu, numpy, null.*device string: gpu"):
        device.get("gpu")
    assert device.check("null") == "null"


def test_presets_replace_the_host():
    with env.Context(PICOGRAD_CPU="scalar"):
        assert host.target().vector_bytes == 1
    with env.Context(PICOGRAD_CPU="z80"), pytest.raises(ValueError, match=r"use host, avx512"):
        host.target()
    assert host.target().cpu


def test_cache_sizes_are_read_as_linux_lists_them(tmp_path):
    for number, (level, kind, size) in enumerate(
        [
            (1, "Data", "48K"),
            (1, "Instruction", "32K"),
            (2, "Unified", "2048K"),
            (3, "Unified", "1M"),
        ]
    ):
        folder = tmp_path / f"index{number}"
        folder.mkdir()
        for name, text in (("level", str(level)), ("type", kind), ("size", size)):
            (folder / name).write_text(text + "\n")
    assert host.cache_sizes(tmp_path) == {1: 48 << 10, 2: 2 << 20, 3: 1 << 20}


def test_numpy_takes_slice_starts_as_values():
    from picograd.graph.ops import SliceAttr

    start = of(Param(0, 0, 4))
    node = make(
        Op.SLICE, (leaf(0, (7,), "numpy", int64),), SliceAttr((start,), (3,), (1,)), "numpy"
    )
    executable = device.get("numpy").build([node])
    assert executable.run([from_array(np.arange(7))], [2])[0].array.tolist() == [2, 3, 4]
