"""What programs written for torch's GPUs do and expect: names, errors, checkpoints, loaders.

Runs wherever there is a GPU, and under `python -m tests.cuda_emulator`.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import picograd as torch
from picograd import nn
from picograd.graph.node import Node, topological
from picograd.graph.ops import Op

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def here(*shape: int) -> Any:
    return torch.ones(*shape, device="cpu")


def there(*shape: int) -> Any:
    return torch.ones(*shape, device="cuda")


def layer(kind: Callable[..., Any], *sizes: int) -> Any:
    return kind(*sizes).to("cuda")


SAME = "Expected all tensors to be on the same device, but found at least two devices, .*cuda:0"
MIXED = {
    "a sum": (lambda: there(2) + here(2), SAME),
    "a product": (lambda: there(2, 2) @ here(2, 2), SAME),
    "a layer": (lambda: layer(nn.Linear, 3, 2)(here(1, 3)), SAME),
    "a norm": (lambda: layer(nn.LayerNorm, 3)(here(2, 3)), SAME),
    "a convolution": (lambda: layer(nn.Conv2d, 1, 1, 3)(here(1, 1, 4, 4)), SAME),
    "an embedding": (lambda: layer(nn.Embedding, 3, 2)(here(1).long()), SAME),
    "a loss": (lambda: nn.functional.cross_entropy(there(2, 3), here(2).long()), SAME),
    "a list": (lambda: torch.cat([there(2), here(2)]), SAME),
    "an index": (lambda: here(3)[there(1).long()], r"same device as the indexed tensor \(cpu\)"),
    "numbers for a GPU": (
        lambda: torch.rand(2, device="cuda", generator=torch.Generator(device="cpu")),
        "Expected a 'cuda' device type for generator but found 'cpu'",
    ),
    "numbers of a GPU": (
        lambda: torch.rand(2, device="cpu", generator=torch.Generator(device="cuda")),
        "Expected a 'cpu' device type for generator but found 'cuda'",
    ),
}


@pytest.mark.parametrize("name", MIXED)
def test_devices_do_not_mix(name: str) -> None:
    torch.set_default_device("cpu")
    try:
        call, message = MIXED[name]
        with pytest.raises(RuntimeError, match=message):
            call()
    finally:
        torch.set_default_device(None)


def answers() -> dict[str, tuple[object, object]]:
    """What a program asks -> (what it hears, what torch says)."""
    x = there(2)
    with torch.device("cuda"):
        weight = nn.Linear(2, 2).weight
    return {
        "repr": (repr(x.double()), "tensor([1., 1.], device='cuda:0', dtype=torch.float64)"),
        "number": ((x.get_device(), here(1).get_device()), (0, -1)),
        "type": (x.long().type(), "torch.cuda.LongTensor"),
        "by type": (here(1).type("torch.cuda.HalfTensor").type(), "torch.cuda.HalfTensor"),
        "storage": (x.untyped_storage().device, x.device),
        "device": (torch.device(0), torch.device("cuda:0")),
        "like": (torch.zeros_like(x, device="cpu").is_cuda, False),
        "new": (x.new_zeros(2).is_cuda, True),
        "with": (weight.is_cuda, True),
        "index from the CPU": (x[here(1).long() * 0].tolist(), [1.0]),
        "write from the CPU": (x.clone().copy_(here(2) * 3).tolist(), [3.0, 3.0]),
        "counts": (x.repeat_interleave(torch.tensor([1, 2], device="cuda")).numel(), 3),
        "poisson": (torch.poisson(x * 0).tolist(), [0, 0]),
        "too much": (issubclass(torch.cuda.OutOfMemoryError, RuntimeError), True),
        "statistics": (torch.cuda.memory_stats()["allocated_bytes.all.current"] > 0, True),
        "architecture": (torch.cuda.get_arch_list()[0][:3], "sm_"),
    }


def test_what_programs_hear() -> None:
    for name, (heard, wanted) in answers().items():
        assert heard == wanted, name


def test_indices_of_the_host_are_checked_at_the_call() -> None:
    """And not again on the GPU, for which somebody would wait."""
    with torch.device("cpu"):
        outside, turned = torch.tensor([3, 0]), torch.tensor([2, 0], dtype=torch.int32)
    x = there(3)
    for index in ([0, 3], np.array([-4]), outside, (3,), 3):
        with pytest.raises(IndexError, match="size 3"):
            x[index]
    x[[0, -1]] = torch.tensor([5.0, 7.0], device="cpu")
    x[torch.tensor([False, True, False], device="cpu")] = 6
    assert x[turned].tolist() == [7, 5] and x[x > 5].tolist() == [6, 7]
    assert not checks(x[turned]) and not checks(x[turned.to("cuda")])
    assert checks(x[turned.to("cuda") + 0])


def checks(x: Any) -> list[Node]:
    """The parts of a computation whose indices are checked when it runs."""
    parts = topological([x.node])
    return [part for part in parts if part.op is Op.GATHER and not part.attr.checked]


def test_state_of_random_numbers_is_kept() -> None:
    with torch.cuda.device(0):
        torch.cuda.manual_seed_all(5)
        with torch.random.fork_rng(devices=[0]):
            first = torch.rand(3, device="cuda").tolist()
        assert torch.rand(3, device="cuda").tolist() == first
    assert torch.cuda.initial_seed() == 5


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).to("cuda")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    step(model, optimizer)
    return model, optimizer


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.rand(5, 4, device="cuda")).pow(2).sum().backward()
    optimizer.step()


@pytest.mark.parametrize("where", ["cpu", "cuda", {"cuda:0": "cpu"}, torch.device("cpu")], ids=str)
def test_checkpoints_go_on_anywhere(where: Any) -> None:
    model, optimizer = trained()
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    found = torch.load(file, map_location=where)
    assert found["model"]["0.weight"].is_cuda == (where == "cuda")
    other, follower = trained()
    other.load_state_dict(found["model"])
    follower.load_state_dict(found["optimizer"])
    for state in follower.state.values():
        assert state["exp_avg"].is_cuda
    torch.manual_seed(1)
    step(model, optimizer)
    torch.manual_seed(1)
    step(other, follower)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_copies_stay_where_they_are() -> None:
    model, _ = trained()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert all(parameter.is_cuda for parameter in other.parameters())
    assert not any(parameter.is_cuda for parameter in model.cpu().parameters())


def test_batches_of_workers_move_to_the_gpu() -> None:
    data = torch.utils.data.TensorDataset(torch.arange(6, device="cpu"))
    loader = torch.utils.data.DataLoader(data, 4, num_workers=2, pin_memory=True)
    batches = [batch.to("cuda", non_blocking=True) for (batch,) in loader]
    assert [batch.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5]]
    assert all(batch.is_cuda for batch in batches)


def test_batches_of_workers_arrive_where_tensors_are_made() -> None:
    with torch.device("cuda"):
        loader = torch.utils.data.DataLoader([{"a": n, "b": "c"} for n in range(5)], 2)
        alone = list(loader)
        loader = torch.utils.data.DataLoader(loader.dataset, 2, num_workers=1)
        apart = list(loader)
    for wanted, found in zip(alone, apart, strict=True):
        assert found["a"].is_cuda and wanted["a"].is_cuda and found["b"] == wanted["b"]
        assert found["a"].tolist() == wanted["a"].tolist()


def test_scaled_and_compiled_steps() -> None:
    model, optimizer = trained()
    compiled, scaler = torch.compile(model), torch.amp.GradScaler("cuda", init_scale=1024.0)
    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.float16):
            loss = compiled(there(5, 4)).float().pow(2).mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        assert nn.utils.clip_grad_norm_(model.parameters(), 1.0).is_cuda
        scaler.step(optimizer)
        scaler.update()
    assert scaler.get_scale() == 1024 and loss.is_cuda
