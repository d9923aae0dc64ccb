"""What programs ask about devices, precision and compilation, and `testing.assert_close`."""

from __future__ import annotations

import importlib

import pytest

import picograd as torch


@pytest.mark.host("what programs find where there is no GPU")
def test_there_is_no_gpu() -> None:
    assert not torch.cuda.is_available() and torch.cuda.device_count() == 0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert torch.ones(2, device=device).device.type == "cpu"
    torch.cuda.manual_seed_all(1)
    torch.cuda.empty_cache()
    assert torch.cuda.memory_allocated() == 0
    for name in ("current_device", "synchronize", "set_device", "get_device_name"):
        with pytest.raises(AssertionError, match="CUDA"):
            getattr(torch.cuda, name)(*(0,) * (name == "set_device"))


MODULES = [
    "nn", "nn.functional", "nn.init", "nn.parameter", "nn.utils", "nn.utils.rnn", "optim",
    "optim.lr_scheduler", "autograd", "cuda", "cuda.amp", "amp", "backends", "backends.cudnn",
    "backends.cuda", "backends.mps", "testing", "jit", "random", "distributed",
]  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_modules_by_path(name: str) -> None:
    """`import torch.backends.cudnn as cudnn` and its like."""
    assert importlib.import_module(f"picograd.{name}").__doc__


def test_alone_and_uncompiled() -> None:
    assert torch.distributed.is_available() and not torch.distributed.is_initialized()
    with pytest.raises(ValueError, match="process group has not been initialized"):
        torch.distributed.get_rank()
    assert torch.jit.script(len) is len and torch.jit.trace(len, 3) is len
    torch.random.manual_seed(3)
    assert torch.random.initial_seed() == 3


def test_switches_are_accepted() -> None:
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    assert not torch.backends.mps.is_available()
    torch.use_deterministic_algorithms(True)


def test_coarse_products_are_allowed_by_either_name() -> None:
    matmul = torch.backends.cuda.matmul
    try:
        matmul.allow_tf32 = True
        assert torch.get_float32_matmul_precision() == "high"
        torch.set_float32_matmul_precision("highest")
        assert not matmul.allow_tf32
        torch.set_float32_matmul_precision("medium")
        assert matmul.allow_tf32
        with pytest.raises(RuntimeError, match="low"):
            torch.set_float32_matmul_precision("low")
    finally:
        matmul.allow_tf32 = False
    assert torch.get_float32_matmul_precision() == "highest"


def test_compile_computes_the_same() -> None:
    def double(x):
        return x * 2

    for compiled in (torch.compile(double), torch.compile(mode="reduce-overhead")(double)):
        assert compiled(torch.ones(2)).tolist() == [2, 2] == compiled(torch.ones(2)).tolist()
    model = torch.nn.Linear(2, 2)
    assert torch.compile(model) is model


def test_mixed_precision_trains() -> None:
    model = torch.nn.Linear(3, 1)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler(enabled=False)
    x = torch.ones(4, 3)
    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.amp.autocast("cpu"):
            loss = (model(x) - 1).square().mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimiser)
        scaler.step(optimiser)
        scaler.update()
        losses.append(loss.item())
    assert losses[2] < losses[0]

    @torch.autocast("cpu")
    def function(y):
        return y + 1

    assert function(torch.ones(1)).item() == 2.0


CLOSE = [
    (lambda m: (m.ones(2), m.ones(2)), {}),
    (lambda m: (m.ones(2), m.ones(2) + 1e-7), {}),
    (lambda m: (m.ones(2), m.ones(2) + 1e-3), {}),
    (lambda m: (m.ones(2), m.ones(2) + 1e-3), {"rtol": 0.01, "atol": 0}),
    (lambda m: (m.ones(2), m.ones(2) + 1e-3), {"rtol": 0.01}),
    (lambda m: (m.ones(2), m.ones(3)), {}),
    (lambda m: (m.ones(2), m.ones(2, dtype=m.float64)), {}),
    (lambda m: (m.ones(2), m.ones(2, dtype=m.float64)), {"check_dtype": False}),
    (lambda m: (m.tensor([1.0, float("nan")]), m.tensor([1.0, float("nan")])), {}),
    (lambda m: (m.tensor([1.0, float("nan")]), m.tensor([1.0, float("nan")])), {"equal_nan": True}),
    (lambda m: ([m.ones(1), m.zeros(1)], [m.ones(1), m.zeros(1)]), {}),
    (lambda m: ({"a": m.ones(1)}, {"b": m.ones(1)}), {}),
    (lambda m: (1.0, 1.0 + 1e-9), {}),
    (lambda m: (1, 2), {}),
    (lambda m: (m.ones(1), 1.0), {}),
    (lambda m: (m.ones(2, dtype=m.bfloat16), m.ones(2, dtype=m.bfloat16) * 1.01), {}),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CLOSE)))
def test_assert_close_judges_as_torch(number: int) -> None:
    real = pytest.importorskip("torch")
    make, options = CLOSE[number]
    outcomes = []
    for module in (real, torch):
        try:
            module.testing.assert_close(*make(module), **options)
            outcomes.append(None)
        except Exception as error:  # the type is what is compared
            outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]


def test_assert_close_says_where() -> None:
    with pytest.raises(AssertionError, match="index \\(1, 0\\)") as caught:
        torch.testing.assert_close(torch.zeros(2, 2), torch.tensor([[0.0, 0], [2, 1]]))
    assert "2 / 4 (50.0%)" in str(caught.value)
    with pytest.raises(AssertionError, match="mine"):
        torch.testing.assert_close(1, 2, msg="mine")
