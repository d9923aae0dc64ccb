"""`compile` on a GPU: a replayed step is one launch of a graph, and nobody waits; what a recording
may not be used for. Runs wherever there is a GPU; the tests of `compile` itself run there, too.
"""

from __future__ import annotations

import os

import pytest

import picograd as torch
from picograd import engine, nn
from picograd.replay import Replayed

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def _trainer(optimizer: str, device: str):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.25), nn.Linear(8, 2)).to(device)
    rule = getattr(torch.optim, optimizer)(model.parameters(), lr=0.01)

    def step(x, y):
        rule.zero_grad()
        loss = ((model(x) - y) ** 2).mean()
        loss.backward()
        rule.step()
        return loss

    batches = [(torch.randn(3, 4, device=device), torch.randn(3, 2, device=device))] * 2
    return step, [*batches, (batches[0][0] * 2, batches[0][1] + 1)]


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_a_replayed_step_is_one_launch_and_nobody_waits(monkeypatch, optimizer) -> None:
    from picograd.runtime.cuda import graphs

    launched: list[int] = []
    launch = graphs.Executable.launch
    monkeypatch.setattr(
        graphs.Executable, "launch", lambda one, stream: (launched.append(1), launch(one, stream))
    )
    losses = {}
    for device in ("cpu", "cuda"):
        step, batches = _trainer(optimizer, device)
        compiled = torch.compile(step)
        assert isinstance(compiled, Replayed)
        for n in range(6):
            compiled(*batches[n % 3])
        launched.clear()
        torch.cuda.synchronize()
        before = compiled.replays
        found = [compiled(*batches[n % 3]) for n in range(6)]
        if device == "cuda":
            assert len(launched) == 6
            # The emulator does what a stream was given when somebody waits for it.
            assert "EMULATOR_CACHE" not in os.environ or not torch.cuda.current_stream().query()
        assert compiled.replays == before + 6
        losses[device] = [loss.item() for loss in found]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-4)


# Functions and their calls; how many of them are replayed.
GUARDS = {
    "another device": (lambda x: x * 2 + 1, lambda x: [(x,), (x.cpu(),), (x,), (x.cpu(),)], 2),
    "two devices": (lambda x, y: (x * 2, y * 3), lambda x: [(x, x.cpu())] * 3, 0),
    "one device is not used": (lambda x, y: x * 2, lambda x: [(x, x.cpu())] * 3, 2),
    "a number on the CPU": (lambda x, y: x * y, lambda x: [(x, x.cpu().sum())] * 2, 0),
    "from the CPU": (lambda x: x.cuda() + 1, lambda x: [(x.cpu(),), (x.cpu() + 1,)], 0),
    "to the CPU": (lambda x: (x + 1).cpu(), lambda x: [(x,), (x + 1,)], 0),
    "indices": (lambda x, n: x[n], lambda x: [(x, n.cuda()) for n in (torch.tensor([1]),) * 3], 2),
}  # fmt: skip


@pytest.mark.parametrize("name", GUARDS)
def test_devices_of_arguments(name) -> None:
    function, calls, replays = GUARDS[name]
    compiled = torch.compile(function)
    assert isinstance(compiled, Replayed)
    for arguments in calls(torch.arange(6.0, device="cuda") + 0):
        mine, theirs = compiled(*arguments), function(*arguments)
        pairs = zip(mine, theirs, strict=True) if isinstance(mine, tuple) else [(mine, theirs)]
        assert all(a.device == b.device and a.tolist() == b.tolist() for a, b in pairs)
    assert compiled.replays == replays


def test_modes_that_are_no_arguments(monkeypatch) -> None:
    """The default device, and whether products may be coarse."""
    from picograd.frontend import device, precision

    monkeypatch.setattr(device, "_chosen", [None])
    monkeypatch.setattr(precision, "_current", ["highest"])
    compiled = torch.compile(lambda x: (torch.arange(3) * 2, x @ x))
    x = torch.randn(32, 32, device="cuda")
    for name in ("cpu", "cuda:0", "cpu", "cuda:0"):
        torch.set_default_device(name)
        assert str(compiled(x)[0].device) == name
    for allowed in (False, True, False, True):
        torch.backends.cuda.matmul.allow_tf32 = allowed
        assert torch.equal(compiled(x)[1], x @ x)


def test_an_index_outside_in_a_replayed_step() -> None:
    table = torch.zeros(4, device="cuda")
    compiled = torch.compile(lambda x, places: table.index_add_(0, places, x).sum())
    x = torch.ones(2, device="cuda")
    for _ in range(4):
        compiled(x, torch.tensor([0, 3], device="cuda"))
    with pytest.raises(IndexError):
        compiled(x, torch.tensor([0, 4], device="cuda")).item()
    engine.realize_pending()
    assert table.tolist() == [4, 0, 0, 4]
