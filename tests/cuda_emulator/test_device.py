"""Tensors on the GPU: copies, errors, memory, threads, processes, files.

Runs wherever there is a GPU, and under `python -m tests.cuda_emulator`.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import picograd as torch
from picograd.dtypes import int32
from picograd.frontend import memory
from picograd.runtime.buffer import empty

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def test_to_the_gpu_and_back() -> None:
    x = torch.arange(6.0, device="cpu").reshape(2, 3)
    y = x.cuda()
    assert y.is_cuda and str(y.device) == "cuda:0" and not x.is_cuda
    assert repr(y.device) == "device(type='cuda', index=0)" and y.T.device == y.device
    assert (y.T.cpu().numpy() == x.T.numpy()).all()
    assert y.to("cuda:0") is y and x.to(0).is_cuda and x.to(y).is_cuda


def test_numpy_sees_no_gpu_memory() -> None:
    x = torch.ones(2, device="cuda")
    with pytest.raises(TypeError, match=r"can't convert cuda:0 device type tensor to numpy"):
        memory.numpy(x)
    assert memory.numpy(x, force=True).tolist() == [1, 1]


def test_gradients_go_back_to_the_cpu() -> None:
    x = torch.ones(3, device="cpu", requires_grad=True)
    (x.cuda() * 2).sum().backward()
    assert x.grad is not None and not x.grad.is_cuda and x.grad.tolist() == [2, 2, 2]


def test_two_devices_do_not_mix_but_numbers_do() -> None:
    x = torch.ones(2, device="cuda")
    assert (x + torch.tensor(2.0, device="cpu")).tolist() == [3, 3]
    with pytest.raises(RuntimeError, match="two devices"):
        x + torch.ones(2, device="cpu")


def test_writes() -> None:
    x = torch.zeros(4, device="cuda")
    view = x[1:3]
    view += 2
    x[0] = 7
    x.index_add_(0, torch.tensor([3, 3], device="cuda"), torch.ones(2, device="cuda"))
    assert x.tolist() == [7, 2, 2, 2] and view.tolist() == [2, 2]


def test_an_index_outside_changes_nothing() -> None:
    x = torch.arange(3.0, device="cuda")
    places = torch.tensor([0, 4], device="cuda") + torch.tensor([0, 1], device="cuda")
    with pytest.raises(IndexError, match=r"out of (range|bounds)"):
        x[places].sum().item()
    x.index_add_(0, places, torch.ones(2, device="cuda"))
    with pytest.raises(IndexError):
        x.tolist()
    assert x.tolist() == [0, 1, 2]


def test_one_gpu() -> None:
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        torch.ones(1, device="cuda:1")
    assert torch.cuda.device_count() == 1 and torch.cuda.current_device() == 0


def test_what_programs_ask() -> None:
    major, _ = torch.cuda.get_device_capability()
    properties = torch.cuda.get_device_properties(0)
    assert properties.name == torch.cuda.get_device_name() and properties.major == major
    free, total = torch.cuda.mem_get_info()
    assert 0 <= free <= total == properties.total_memory
    assert torch.accelerator.current_accelerator() == torch.device("cuda", 0)


def test_memory_is_counted_and_kept() -> None:
    before = torch.cuda.memory_allocated()
    x = torch.ones(1 << 18, device="cuda") * 2
    torch.cuda.synchronize()
    held = torch.cuda.memory_allocated() - before
    assert 1 << 20 <= held <= 1 << 21
    torch.cuda.reset_peak_memory_stats()
    assert torch.cuda.max_memory_allocated() >= held
    del x
    assert torch.cuda.memory_allocated() < held
    assert torch.cuda.memory_reserved() >= held
    torch.cuda.empty_cache()


def test_out_of_memory_and_on() -> None:
    _, total = torch.cuda.mem_get_info()
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        torch.rand(total // 4 + 1024, device="cuda").exp().tolist()
    assert torch.ones(2, device="cuda").sum().item() == 2


def test_events_and_streams() -> None:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    with torch.cuda.stream(torch.cuda.Stream()) as stream:
        start.record()
        x = torch.ones(100, device="cuda") + 1
        end.record(stream)
    end.synchronize()
    assert end.query() and start.elapsed_time(end) >= 0 and x.sum().item() == 200


def test_a_stream_of_somebody_else() -> None:
    """Work that is named its own comes behind what it had, and it waits for it."""
    import ctypes

    from picograd.runtime.cuda import driver, functions

    made = ctypes.c_void_p()
    with driver.get():
        functions.call("cuStreamCreate", ctypes.byref(made), 1)
    stream = torch.cuda.ExternalStream(made.value)
    assert stream != torch.cuda.current_stream() and stream.query()
    with torch.cuda.stream(stream):
        x = torch.ones(3, device="cuda") * 2
    stream.wait_stream(torch.cuda.current_stream())
    torch.cuda.current_stream().wait_stream(stream)
    event = stream.record_event()
    stream.synchronize()
    assert event.query() and x.tolist() == [2, 2, 2]


def test_a_part_of_the_memory() -> None:
    _, total = torch.cuda.mem_get_info()
    with pytest.raises(ValueError, match="Allowed range"):
        torch.cuda.set_per_process_memory_fraction(1.5)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 4096) / total)
    try:
        with pytest.raises(torch.cuda.OutOfMemoryError, match="may hold"):
            torch.rand(1 << 16, device="cuda").tolist()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert torch.cuda.get_per_process_memory_fraction() == 1.0
    assert len(torch.rand(1 << 16, device="cuda").tolist()) == 1 << 16


def test_times_of_events_that_have_none() -> None:
    silent, timed = torch.cuda.Event(), torch.cuda.Event(enable_timing=True)
    timed.record()
    with pytest.raises(ValueError, match="enable_timing=True"):
        timed.elapsed_time(silent)
    with pytest.raises(ValueError, match="must be recorded"):
        timed.elapsed_time(torch.cuda.Event(enable_timing=True))
    later = torch.cuda.Event(enable_timing=True)
    later.record()
    if not later.query():
        with pytest.raises(RuntimeError, match="must be completed"):
            timed.elapsed_time(later)
    assert torch.cuda.Stream() == torch.cuda.current_stream()
    assert torch.cuda.Stream().cuda_stream == torch.cuda.default_stream().cuda_stream


def test_peaks_of_memory() -> None:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    x = torch.ones(1 << 19, device="cuda") + 1
    x.tolist()
    del x
    reserved = torch.cuda.memory_reserved()
    torch.cuda.empty_cache()
    assert torch.cuda.max_memory_reserved() >= reserved > torch.cuda.memory_reserved()
    torch.cuda.reset_peak_memory_stats()
    assert torch.cuda.max_memory_reserved() == torch.cuda.memory_reserved()


def test_threads_compute() -> None:
    results: list[float] = []

    def work() -> None:
        results.append((torch.ones(10, device="cuda") * 3).sum().item())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [30, 30, 30]


def test_a_forked_child_is_told() -> None:
    assert torch.ones(1, device="cuda").item() == 1
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            torch.ones(1, device="cuda").item()
            os.write(write, b"no error")
        except RuntimeError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert b"Cannot re-initialize CUDA in forked subprocess" in os.read(read, 1000)


def test_files_remember_the_device() -> None:
    file = io.BytesIO()
    torch.save({"x": torch.arange(3, device="cuda"), "y": torch.ones(2, device="cpu")}, file)
    file.seek(0)
    found = torch.load(file)
    assert found["x"].is_cuda and not found["y"].is_cuda and found["x"].tolist() == [0, 1, 2]
    file.seek(0)
    assert not torch.load(file, map_location="cpu")["x"].is_cuda


def test_the_same_random_numbers_as_on_the_cpu() -> None:
    torch.manual_seed(3)
    here = torch.rand(100, device="cpu").numpy()
    torch.manual_seed(3)
    there = torch.rand(100, device="cuda").cpu().numpy()
    assert (here == there).all()


def test_autocast_and_scaler() -> None:
    x = torch.ones(4, 4, device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert (x @ x).dtype is torch.bfloat16
    assert torch.amp.GradScaler("cuda").is_enabled()


ENDS = {
    "tensors alive": "x = torch.ones(3, device='cuda') + 1; x.sum().item()",
    "pending": "x = torch.ones(3, device='cuda') + 1",
    "in a thread": """
import threading
kept = []
thread = threading.Thread(target=lambda: kept.append((torch.ones(3, device='cuda') + 1).tolist()))
thread.start(); thread.join()
""",
    "a cycle": """
class Node: pass
node = Node(); node.me = node; node.x = torch.ones(3, device='cuda') * 2; node.x.tolist()
""",
    "sys.exit": "x = torch.ones(3, device='cuda').exp(); x.tolist(); raise SystemExit(0)",
    "pinned": "x = torch.ones(3, device='cpu').pin_memory(); y = x.cuda(non_blocking=True)",
    "from the GPU": "x = torch.ones(3, device='cuda').to('cpu', non_blocking=True)",
    "an event": "e = torch.cuda.Event(); e.record(); e.synchronize()",
}


@pytest.mark.parametrize("name", ENDS)
def test_processes_end_well(name) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import picograd as torch\n{ENDS[name]}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_larger_than_a_block() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((65, 129)), rng.standard_normal((129, 33))
    got = torch.tensor(a, device="cuda") @ torch.tensor(b, device="cuda")
    assert np.allclose(got.cpu().numpy(), a @ b)


def test_order_is_the_host_s_work() -> None:
    x = torch.tensor([[3.0, 1.0, 2.0], [5.0, 9.0, 4.0]], device="cuda")
    values, places = x.sort(-1, descending=True)
    assert values.is_cuda and values.tolist() == [[3, 2, 1], [9, 5, 4]]
    assert places.is_cuda and places.tolist() == [[0, 2, 1], [1, 0, 2]]
    assert x.median(-1).values.tolist() == [2, 5] and x[x > 3].tolist() == [5, 9, 4]


CORNERS = [
    ((3, 4), (3, 4)),
    ((5, 4), (3, 4)),
    ((3, 7), (3, 4)),
    ((2, 5, 3), (2, 8, 3)),
    ((4, 6, 6), (4, 9, 8)),
    ((2, 3, 4, 5), (3, 5, 2, 6)),
    ((2, 3, 2, 3, 2), (3, 2, 3, 2, 3)),
    ((0, 4), (3, 4)),
    ((7,), (9,)),
]


@pytest.mark.parametrize(("shape", "other"), CORNERS)
def test_copies_between_shapes(shape, other) -> None:
    """What programs for many sizes do with their inputs and outputs."""
    target = np.full(shape, -1, np.int32)
    source = np.arange(np.prod(other), dtype=np.int32).reshape(other)
    part = tuple(slice(min(pair)) for pair in zip(shape, other, strict=True))
    buffers = [empty(int32, array.size, "cuda") for array in (target, source)]
    for buffer, array in zip(buffers, (target, source), strict=True):
        buffer.write(array)
    buffers[0].copy_corner(shape, buffers[1], other)
    target[part] = source[part]
    assert buffers[0].array.reshape(shape).tolist() == target.tolist()
