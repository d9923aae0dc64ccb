"""Pinned memory, and copies that nobody waits for.

Runs wherever there is a GPU, and under `python -m tests.cuda_emulator`, whose streams do nothing
before somebody waits: what is read too early is poison there.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest

import picograd as torch
from picograd.utils.data import DataLoader, TensorDataset

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def _numbers(count: int = 1000) -> torch.Tensor:
    return torch.arange(float(count), device="cpu")


def test_pinning_copies_once() -> None:
    x = _numbers(6).reshape(2, 3)
    y = x.T.pin_memory()
    assert y.is_pinned() and not x.is_pinned() and y.pin_memory() is y
    assert torch.equal(y, x.T) and not (y + 1).is_pinned() and (y + 1)[0, 0] == 1
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        x.cuda().pin_memory()


MAKERS = {
    "empty": lambda: torch.empty(2, 3, pin_memory=True, device="cpu"),
    "zeros": lambda: torch.zeros(2, pin_memory=True, device="cpu"),
    "tensor": lambda: torch.tensor([1.0, 2.0], pin_memory=True, device="cpu"),
    "rand": lambda: torch.rand(2, pin_memory=True, device="cpu"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_made_in_pinned_memory(name) -> None:
    assert MAKERS[name]().is_pinned()


WAYS = {
    "to": lambda x: x.to("cuda", non_blocking=True),
    "by place": lambda x: x.to("cuda", torch.float32, True),
    "cuda": lambda x: x.cuda(non_blocking=True),
    "copy_": lambda x: torch.empty(1000, device="cuda").copy_(x, non_blocking=True),
    "blocking": lambda x: x.to("cuda"),
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("pinned", [True, False])
def test_there_and_back(name, pinned) -> None:
    x = _numbers().pin_memory() if pinned else _numbers()
    y = WAYS[name](x)
    back = y.to("cpu", non_blocking=True)
    assert back.is_pinned() and torch.equal(back, x) and torch.equal(y.cpu(), x)


def test_a_blocking_copy_has_read_when_it_returns() -> None:
    """Also of a part of pinned memory, and of an array over it."""
    x = _numbers().pin_memory()
    whole, part, array = x.to("cuda"), x[10:20].to("cuda"), torch.tensor(x.numpy(), device="cuda")
    x.zero_()
    x.tolist()
    assert whole[1].item() == 1 and part[0].item() == 10 and array[1].item() == 1


def test_memory_is_kept_for_the_copy() -> None:
    """Pinned memory that is let go is not used again before the copy from it is done."""
    from picograd.runtime.cuda import pinned

    x = _numbers().pin_memory()
    place = x.data_ptr()
    there = x.to("cuda", non_blocking=True)
    del x
    gc.collect()
    other = torch.zeros(1000, device="cpu").pin_memory()
    assert other.data_ptr() != place and torch.equal(there.cpu(), _numbers())
    again = torch.zeros(1000, device="cpu").pin_memory()
    assert again.data_ptr() == place and place not in pinned.allocator().busy and again.is_pinned()


def test_copies_from_the_gpu_go_on_behind_the_call() -> None:
    x = torch.arange(8.0, device="cuda")
    back = (x + 1).to("cpu", non_blocking=True)
    x += 5  # behind the copy, in the same stream
    assert (back * 2).tolist() == [2, 4, 6, 8, 10, 12, 14, 16]
    part = x.reshape(2, 4)[:, 1:3].to("cpu", non_blocking=True)
    assert part.tolist() == [[6, 7], [10, 11]] and np.array_equal(part.numpy(), [[6, 7], [10, 11]])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_pins_its_batches(workers) -> None:
    data = TensorDataset(_numbers(6).reshape(6, 1), torch.arange(6, device="cpu"))
    loader = DataLoader(data, batch_size=4, pin_memory=True, num_workers=workers)
    seen = []
    for x, y in loader:
        assert x.is_pinned() and y.is_pinned()
        seen += x.to("cuda", non_blocking=True).mul(2).reshape(-1).tolist()
    assert seen == [0, 2, 4, 6, 8, 10]


def test_a_loader_pins_what_is_in_a_batch() -> None:
    rows = [{"x": _numbers(2), "name": "a"}, {"x": _numbers(2), "name": "b"}]
    (batch,) = DataLoader(rows, batch_size=2, pin_memory=True)
    assert batch["x"].is_pinned() and batch["name"] == ["a", "b"]
