"""Programs as CUDA graphs: what they compute, what they update; and what the emulator refuses.

The first part runs wherever there is a GPU, the second under `python -m tests.cuda_emulator`.
"""

from __future__ import annotations

import ctypes
import os
import struct

import numpy as np
import pytest

import picograd as torch
from picograd import nn

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
emulated = pytest.mark.skipif("EMULATOR_CACHE" not in os.environ, reason="the emulator's answers")


@pytest.fixture
def counts(monkeypatch):
    """How often graphs were launched, made and updated since `clear()`."""
    from picograd.runtime.cuda import graphs

    found: dict[str, int] = {}
    for kind, name in ((graphs.Executable, "launch"), (graphs.Graph, "instantiate")):
        monkeypatch.setattr(kind, name, _counted(getattr(kind, name), name, found))
    monkeypatch.setattr(graphs.Node, "update", _counted(graphs.Node.update, "update", found))
    return found


def _counted(function, name, found):
    def called(*arguments):
        found[name] = found.get(name, 0) + 1
        return function(*arguments)

    return called


def _train(device: str, optimizer: str, runs: int, each=lambda run: None) -> list[float]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4)).to(device)
    step = getattr(torch.optim, optimizer)(model.parameters(), lr=0.01)
    x, y = torch.randn(5, 8, device=device), torch.randn(5, 4, device=device)
    losses = []
    for run in range(runs):
        each(run)
        loss = ((model(x) - y) ** 2).mean()
        step.zero_grad()
        loss.backward()
        step.step()
        losses.append(loss.item())
    return losses


def test_what_comes_again_is_not_updated(counts) -> None:
    seen = []
    losses = _train("cuda", "SGD", 12, lambda run: (seen.append(dict(counts)), counts.clear()))
    assert np.allclose(losses, _train("cpu", "SGD", 12), rtol=1e-5)
    assert not any(seen[:4])  # the first step differs from the others; two are launched
    assert any(one.get("instantiate") for one in seen[4:8])
    assert all(one == {"launch": 1} for one in seen[9:])


def test_addresses_that_come_back_have_graphs_of_their_own(counts) -> None:
    """A result that is held until the next one is there lies in one of two places."""
    x = torch.eye(3, device="cuda") + 0
    results, seen = [x], []
    for _ in range(12):
        results = [(x @ x).softmax(0) @ x, *results][:2]
        torch.cuda.synchronize()
        seen.append(dict(counts))
        counts.clear()
    assert all(one == {"launch": 1} for one in seen[8:]), seen


def test_an_older_driver_launches(counts, monkeypatch) -> None:
    from picograd.runtime.cuda import graphs

    monkeypatch.setattr(graphs, "available", lambda: False)
    assert np.allclose(_train("cuda", "SGD", 5), _train("cpu", "SGD", 5), rtol=1e-5)
    assert not counts


def test_numbers_of_a_run_are_updated(counts) -> None:
    """Adam's corrections change with the step: they reach the graph."""
    losses = _train("cuda", "Adam", 9)
    assert np.allclose(losses, _train("cpu", "Adam", 9), rtol=1e-4)
    assert counts["launch"] and counts["update"]


def test_other_addresses_are_updated(counts) -> None:
    """Results that are kept make every run's addresses new."""
    x = torch.eye(3, device="cuda")
    kept = []
    for run in range(8):
        first = (x + run) @ x
        kept.append((first, (first @ x).sum()))
        kept[-1][1].item()
    assert [int(total) for _, total in kept] == [3 + 9 * run for run in range(8)]
    assert [first[0].tolist() for first, _ in kept] == [[1 + n, n, n] for n in range(8)]
    assert counts["launch"] and counts["update"]


def test_a_graph_that_checks_indices(counts) -> None:
    """A failing check changes nothing, also when the program is a graph, and it can go on."""
    table = torch.zeros(6, device="cuda")
    for run in range(6):
        places = torch.tensor([run, 1], device="cuda")
        table += torch.ones(6, device="cuda")[places].sum()
        table.index_add_(0, places, torch.ones(2, device="cuda"))
        table.tolist()
    assert table.tolist() == [13, 19, 13, 13, 13, 13] and counts["launch"]
    outside = torch.tensor([1, 5], device="cuda") + torch.tensor([0, 1], device="cuda")
    table.index_add_(0, outside, torch.ones(2, device="cuda"))
    with pytest.raises(IndexError, match="out of bounds"):
        table.tolist()
    assert table.tolist() == [13, 19, 13, 13, 13, 13]


# --- the emulator's rules -------------------------------------------------------------------------

DOUBLE = """
extern "C" __global__ void twice(const float* x, float* y) {
    y[threadIdx.x] = 2 * x[threadIdx.x];
}
"""


class Doubling:
    """A graph of one launch, recorded on picograd's stream."""

    def __init__(self) -> None:
        from picograd.runtime.cuda import driver, graphs
        from picograd.runtime.cuda.compiler import compile_source

        gpu = self.gpu = driver.get()
        with gpu:
            self.module = gpu.cuda.module_from_buffer(compile_source(DOUBLE, "sm_90").cubin)
            self.function = self.module.get_function("twice")
            self.x, self.y = gpu.cuda.mem_alloc(16), gpu.cuda.mem_alloc(16)
            gpu.cuda.memcpy_htod(self.x, np.arange(4, dtype=np.float32))
            self.memory = ctypes.create_string_buffer(16)
            with graphs.Recording(gpu.stream.handle) as recording:
                self.launch(self.x, self.y)
                self.node = recording.node(self.memory)
            self.graph = recording.graph

    def launch(self, x, y, threads: int = 4) -> None:
        struct.pack_into("QQ", self.memory, 0, int(x), int(y))
        grid, block = (1, 1, 1), (threads, 1, 1)
        self.function._launch_kernel(grid, block, self.memory, 0, self.gpu.stream)

    def result(self) -> list[float]:
        found = np.empty(4, np.float32)
        self.gpu.stream.synchronize()
        self.gpu.cuda.memcpy_dtoh(found, self.y)
        return found.tolist()


@pytest.fixture
def doubling():
    made = Doubling()
    with made.gpu:
        yield made


@emulated
def test_recording_does_nothing_but_record(doubling) -> None:
    assert all(np.isnan(doubling.result()))
    first, second = doubling.graph.instantiate(), doubling.graph.instantiate()
    first.launch(doubling.gpu.stream.handle)
    assert doubling.result() == [0, 2, 4, 6]
    struct.pack_into("QQ", doubling.memory, 0, int(doubling.y), int(doubling.y))
    first.launch(doubling.gpu.stream.handle)  # before the update: with the parameters it had
    doubling.node.update(first)
    first.launch(doubling.gpu.stream.handle)
    assert doubling.result() == [0, 4, 8, 12]
    second.launch(doubling.gpu.stream.handle)
    assert doubling.result() == [0, 2, 4, 6]


def _wait(made) -> None:
    made.gpu.stream.synchronize()


def _copy_at_once(made) -> None:
    made.gpu.cuda.memcpy_dtoh(np.empty(4, np.float32), made.y)


def _wait_for_event(made) -> None:
    event = made.gpu.cuda.Event()
    event.record(made.gpu.stream)
    event.synchronize()


GLOBAL, RELAXED = 0, 2
WHILE_RECORDING = {
    "waiting for the stream": (_wait, RELAXED, "capturing"),
    "waiting for everything": (lambda made: made.gpu.cuda.Context.synchronize(), RELAXED, "captur"),
    "waiting for a recorded event": (_wait_for_event, RELAXED, "last recorded in a captur"),
    "allocating": (lambda made: made.gpu.cuda.mem_alloc(16), GLOBAL, "capturing"),
    "copying at once": (_copy_at_once, GLOBAL, "capturing"),
    "too many threads": (lambda made: made.launch(made.x, made.y, 2048), RELAXED, "argument"),
}


@emulated
@pytest.mark.parametrize("name", WHILE_RECORDING)
def test_what_a_recording_forbids(doubling, monkeypatch, name) -> None:
    from picograd.runtime.cuda import graphs

    action, mode, words = WHILE_RECORDING[name]
    monkeypatch.setattr(graphs, "_RELAXED", mode)
    with (
        pytest.raises(doubling.gpu.cuda.Error, match=words),
        graphs.Recording(doubling.gpu.stream.handle),
    ):
        action(doubling)
    doubling.launch(doubling.x, doubling.y)  # the stream can be used again
    assert doubling.result() == [0, 2, 4, 6]


@emulated
def test_relaxed_recordings_let_memory_be_freed(doubling) -> None:
    from picograd.runtime.cuda import graphs

    unused = doubling.gpu.cuda.mem_alloc(16)
    with graphs.Recording(doubling.gpu.stream.handle) as recording:
        unused.free()
    assert recording.graph is not None


def _foreign_node(made, executable) -> None:
    Doubling().node.update(executable)


def _both_forms(made, executable) -> None:
    made.node._description.pointers = made.node._description.extra
    made.node.update(executable)


def _too_many_threads(made, executable) -> None:
    made.node._description.sizes[3] = 2048
    made.node.update(executable)


def _no_graph(made, executable) -> None:
    from picograd.runtime.cuda import functions

    functions.call("cuGraphLaunch", ctypes.c_void_p(4096), made.gpu.stream.handle)


WRONG = {
    "a node of another graph": _foreign_node,
    "parameters in both forms": _both_forms,
    "too many threads": _too_many_threads,
    "what is no graph": _no_graph,
}


@emulated
@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_of_a_graph(doubling, name) -> None:
    with pytest.raises(RuntimeError, match="invalid argument"):
        WRONG[name](doubling, doubling.graph.instantiate())
