"""The profiler of kernels, `torch.hub`, custom operators, and what is refused by name."""

from __future__ import annotations

import json

import pytest

import picograd
from picograd import hub, profiler
from picograd.library import custom_op


def test_profile(tmp_path):
    x = picograd.randn(64, 64)
    with profiler.profile(activities=[profiler.ProfilerActivity.CPU]) as run:
        with profiler.record_function("forward"):
            (x @ x).softmax(-1).sum().item()
        (x * 2).sum().item()
    events = {event.key: event for event in run.key_averages()}
    kernels = [event for name, event in events.items() if name != "forward"]
    assert events["forward"].count == 1 and len(kernels) >= 3
    assert all(event.cpu_time_total + event.device_time_total > 0 for event in kernels)
    longest = max(events.values(), key=lambda event: event.cpu_time_total)
    table = run.key_averages().table(sort_by="cpu_time_total", row_limit=2)
    assert table.splitlines()[1].split()[0] == longest.key and len(table.splitlines()) == 3
    run.export_chrome_trace(str(tmp_path / "trace.json"))
    assert len(json.loads((tmp_path / "trace.json").read_text())["traceEvents"]) == len(
        run.events()
    )
    before = len(run.events())
    (x * 3).sum().item()
    assert len(run.events()) == before


def test_hub(tmp_path):
    (tmp_path / "hubconf.py").write_text(
        "import picograd\ndef small(width=2):\n    'A layer.'\n"
        "    return picograd.nn.Linear(width, 1)\n"
    )
    assert hub.load(str(tmp_path), "small", 3, source="local").in_features == 3
    assert hub.list(str(tmp_path), source="local") == ["small"]
    with pytest.raises(RuntimeError, match="Cannot find"):
        hub.load(str(tmp_path), "large", source="local")
    with pytest.raises(NotImplementedError, match="no code from the network"):
        hub.load("owner/repository", "small")


def test_custom_operators():
    def scaled(x: picograd.Tensor, factor: float, *, shift: float = 0.0) -> picograd.Tensor:
        return x * factor + shift

    op = custom_op("mine::scaled", scaled, mutates_args=())
    x = picograd.ones(2, requires_grad=True)
    assert op(x, 3.0, shift=1.0).tolist() == [4, 4]

    def remember(ctx, inputs, output, keyword_only_inputs):
        ctx.factor = inputs[1]
        assert keyword_only_inputs == {"shift": 1.0}

    op.register_autograd(lambda ctx, g: (g * ctx.factor * 10, None), setup_context=remember)
    op(x, 3.0, shift=1.0).sum().backward()
    assert x.grad.tolist() == [30, 30]
    with pytest.raises(ValueError):
        custom_op("scaled", scaled, mutates_args=())


def test_refused_by_name():
    for ask in (picograd.onnx.export, picograd.fx.symbolic_trace):
        with pytest.raises(NotImplementedError, match="isn't supported"):
            ask(picograd.nn.Linear(1, 1))


@pytest.mark.host("what programs find where there is no GPU")
def test_no_accelerator():
    with pytest.raises(RuntimeError, match="accelerator"):
        picograd.accelerator.synchronize()
