"""`swa_utils` against torch: averages, schedule, statistics."""

from __future__ import annotations

import pytest

import picograd

torch = pytest.importorskip("torch")


def model_of(m, number=0.0):
    layers = [m.nn.Linear(3, 4), m.nn.BatchNorm1d(4), m.nn.Linear(4, 2, dtype=m.float64)]
    model = m.nn.ModuleList(layers)
    shift(m, model, number)
    return model


def shift(m, model, number):
    with m.no_grad():
        for n, x in enumerate((*model.parameters(), *model.buffers())):
            x.copy_((m.arange(x.numel()).reshape(x.shape) * (n + 1) % 5 + number).to(x.dtype))


AVERAGES = {
    "default": lambda s: {},
    "ema": lambda s: {"multi_avg_fn": s.get_ema_multi_avg_fn(0.9)},
    "swa": lambda s: {"multi_avg_fn": s.get_swa_multi_avg_fn()},
    "one by one": lambda s: {"avg_fn": s.get_ema_avg_fn(0.5)},
    "one by one, all alike": lambda s: {"avg_fn": s.get_swa_avg_fn()},
    "own": lambda s: {"avg_fn": lambda old, new, n: old * 0.25 + new * 0.75 + n},
    "buffers": lambda s: {"avg_fn": s.get_swa_avg_fn(), "use_buffers": True},
}


@pytest.mark.parametrize("name", AVERAGES)
def test_averages(name: str) -> None:
    def run(m):
        utils = m.optim.swa_utils
        model = model_of(m)
        average = utils.AveragedModel(model, **AVERAGES[name](utils))
        seen = []
        for number in (1.0, 2.5, -4.0):
            shift(m, model, number)
            average.update_parameters(model)
            state = average.state_dict()
            seen.append({key: value.tolist() for key, value in state.items()})
        return seen, [x.requires_grad for x in average.parameters()]

    (ours, flags), (theirs, other_flags) = run(picograd), run(torch)
    assert flags == other_flags
    for one, other in zip(ours, theirs, strict=True):
        assert list(one) == list(other)
        for key in one:
            same = torch.tensor(one[key], dtype=torch.float64)
            assert torch.allclose(same, torch.tensor(other[key], dtype=torch.float64), atol=1e-5)


SCHEDULES = [
    {"swa_lr": 0.05},
    {"swa_lr": [0.05, 0.5], "anneal_epochs": 4},
    {"swa_lr": 0.05, "anneal_epochs": 3, "anneal_strategy": "linear"},
    {"swa_lr": 0.05, "anneal_epochs": 0},
    {"swa_lr": 0.05, "anneal_epochs": -1},
    {"swa_lr": 0.05, "anneal_strategy": "round"},
    {"swa_lr": [0.05], "anneal_epochs": 4},
]


@pytest.mark.parametrize("options", SCHEDULES)
def test_schedule(options: dict[str, object]) -> None:
    def run(m):
        groups = [{"params": [m.ones(1, requires_grad=True)], "lr": rate} for rate in (1.0, 0.2)]
        optimizer = m.optim.SGD(groups, lr=0.1)
        try:
            scheduler = m.optim.swa_utils.SWALR(optimizer, **options)
        except ValueError as error:
            return str(error)
        rates = [scheduler.get_last_lr()]
        for _ in range(12):
            optimizer.step()
            scheduler.step()
            rates.append(scheduler.get_last_lr())
        copy = m.optim.swa_utils.SWALR(optimizer, **options)
        copy.load_state_dict(scheduler.state_dict())
        return [rate for pair in rates for rate in pair] + [copy.last_epoch]

    expected = run(torch)
    assert run(picograd) == (expected if isinstance(expected, str) else pytest.approx(expected))


@pytest.mark.parametrize("pairs", [True, False])
def test_statistics(pairs: bool) -> None:
    def run(m):
        model = m.nn.Sequential(m.nn.Linear(2, 3), m.nn.BatchNorm1d(3, momentum=0.3))
        shift(m, model, 0.5)
        batches = [m.arange(6.0).reshape(3, 2) * k for k in (1.0, -2.0, 0.5)]
        loader = [(x, 0) for x in batches] if pairs else batches
        m.optim.swa_utils.update_bn(loader, model.eval())
        layer = model[1]
        return (
            layer.running_mean.tolist()
            + layer.running_var.tolist()
            + [layer.num_batches_tracked.item(), layer.momentum, model.training]
        )

    assert run(picograd) == pytest.approx(run(torch), rel=1e-5)


def test_errors() -> None:
    for m in (picograd, torch):
        utils = m.optim.swa_utils
        with pytest.raises(ValueError, match="Invalid decay value"):
            utils.get_ema_avg_fn(1.5)
        with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
            functions = {"avg_fn": utils.get_swa_avg_fn()}
            functions["multi_avg_fn"] = utils.get_swa_multi_avg_fn()
            utils.AveragedModel(m.nn.Linear(1, 1), **functions)
