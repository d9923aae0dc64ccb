"""Random functions: reproducible, of the right shape, type and distribution."""

from __future__ import annotations

import numpy as np
import pytest

import picograd

DEVICE = "numpy"


def draw(function, seed=7):
    picograd.manual_seed(seed)
    return function().numpy()


def test_seed_and_call_decide():
    a = draw(lambda: picograd.rand(5, device=DEVICE))
    assert (a == draw(lambda: picograd.rand(5, device=DEVICE))).all()
    picograd.manual_seed(7)
    first, second = picograd.rand(5, device=DEVICE), picograd.rand(5, device=DEVICE)
    # The counter is taken at the call: the order of realisation changes nothing.
    assert (second.numpy() != a).any() and (first.numpy() == a).all()


def test_generator_state():
    generator = picograd.Generator().manual_seed(5)
    assert generator.initial_seed() == 5
    before = generator.get_state()
    a = picograd.randn(4, generator=generator, device=DEVICE).numpy()
    generator.set_state(before)
    assert (picograd.randn(4, generator=generator, device=DEVICE).numpy() == a).all()
    state = picograd.get_rng_state()
    b = picograd.rand(3, device=DEVICE).numpy()
    picograd.set_rng_state(state)
    assert (picograd.rand(3, device=DEVICE).numpy() == b).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_uniform_distribution(dtype):
    x = draw(lambda: picograd.rand(40000, dtype=getattr(picograd, dtype), device=DEVICE).double())
    assert x.min() >= 0 and x.max() < 1
    assert abs(x.mean() - 0.5) < 0.01 and abs(x.var() - 1 / 12) < 0.005
    histogram, _ = np.histogram(x, 8, (0, 1))
    assert abs(histogram / 5000 - 1).max() < 0.08


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_normal_distribution(dtype):
    x = draw(lambda: picograd.randn(40000, dtype=getattr(picograd, dtype), device=DEVICE).double())
    assert np.isfinite(x).all()
    assert abs(x.mean()) < 0.02 and abs(x.std() - 1) < 0.02
    assert abs((x**3).mean()) < 0.06 and abs((x**4).mean() - 3) < 0.2
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 0.02


def test_integers():
    x = draw(lambda: picograd.randint(-3, 4, (20000,), device=DEVICE))
    assert x.dtype == np.int64 and x.min() == -3 and x.max() == 3
    assert abs(np.bincount(x + 3) / (20000 / 7) - 1).max() < 0.1
    wide = draw(lambda: picograd.randint(0, 1 << 60, (1000,), device=DEVICE))
    assert wide.min() >= 0 and wide.max() < 1 << 60 and wide.max() > 1 << 58
    assert picograd.randint(5, (2, 3)).shape == (2, 3)
    with pytest.raises(RuntimeError, match="from=5"):
        picograd.randint(5, 3, (2,))


def test_permutation():
    x = draw(lambda: picograd.randperm(1000, device=DEVICE))
    assert sorted(x.tolist()) == list(range(1000)) and (x != np.arange(1000)).sum() > 950


def test_multinomial():
    weights = picograd.tensor([[1.0, 0.0, 3.0], [0.0, 2.0, 2.0]], device=DEVICE)
    x = draw(lambda: picograd.multinomial(weights, 8000, replacement=True))
    assert x.shape == (2, 8000)
    counts = np.stack([np.bincount(row, minlength=3) for row in x]) / 8000
    np.testing.assert_allclose(counts, [[0.25, 0, 0.75], [0, 0.5, 0.5]], atol=0.03)
    picograd.manual_seed(1)
    pairs = [tuple(picograd.multinomial(weights, 2)[1].tolist()) for _ in range(20)]
    assert set(pairs) == {(1, 2), (2, 1)}
    for bad, message in (
        (([1.0, -1.0],), "probability tensor"),
        (([0.0, 0.0],), "sum of probabilities"),
    ):
        with pytest.raises(RuntimeError, match=message):
            picograd.multinomial(picograd.tensor(*bad), 1)
    with pytest.raises(RuntimeError, match="without replacement"):
        picograd.multinomial(picograd.ones(3), 4)


def test_fills():
    x = picograd.empty(20000, device=DEVICE)
    picograd.manual_seed(2)
    assert abs(x.uniform_(-1, 3).numpy().mean() - 1) < 0.05
    assert abs(x.normal_(2, 0.5).numpy().std() - 0.5) < 0.02
    assert abs(x.bernoulli_(0.2).numpy().mean() - 0.2) < 0.02
    assert abs(x.exponential_(2.0).numpy().mean() - 0.5) < 0.02
    numbers = picograd.empty(1000, dtype=picograd.int64, device=DEVICE).random_(0, 5).numpy()
    assert set(numbers) == {0, 1, 2, 3, 4}
    p = picograd.tensor([0.0, 1.0], device=DEVICE)
    assert picograd.bernoulli(p).tolist() == [0.0, 1.0]
    assert picograd.normal(p, 0.0).tolist() == [0.0, 1.0]
    assert picograd.rand_like(p).shape == (2,) and picograd.randn_like(p).dtype is p.dtype
