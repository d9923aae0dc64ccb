"""Distributions have torch's densities, entropies and moments; samples have their own moments."""

from __future__ import annotations

import numpy as np
import pytest

import picograd

torch = pytest.importorskip("torch")
SEED = 20261124

A, B = np.array([0.7, 2.5, 1.1]), np.array([[1.3], [0.4]])
P = np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])
Z = np.array([0.3, -1.2, 2.0])
COVARIANCE = np.array([[2.0, 0.5], [0.5, 1.0]])

# constructor over a, b, p, z, cov; a value (None: the expression `v` of the positive a)
CASES = [
    ("Normal(z, b)", Z),
    ("LogNormal(z, b)", A),
    ("Laplace(z, b)", Z),
    ("Uniform(z, z + b + 3)", np.full((2, 3), 2.2)),
    ("Exponential(a)", A),
    ("Gamma(a, b)", A),
    ("Chi2(a)", A),
    ("Beta(a, b)", np.array([0.1, 0.5, 0.9])),
    ("HalfNormal(a)", A),
    ("Bernoulli(p)", np.array([0.0, 1.0, 1.0])),
    ("Bernoulli(logits=z)", np.array([0.0, 1.0, 1.0])),
    ("Binomial(5, p)", np.array([0.0, 3.0, 5.0])),
    ("Poisson(a)", np.array([0.0, 2.0, 5.0])),
    ("Categorical(p)", np.array([2, 0])),
    ("Categorical(logits=p)", np.array([[2, 0], [1, 1]])),
    ("OneHotCategorical(p)", np.eye(3)[[0, 2]]),
    ("Dirichlet(a)", np.array([0.2, 0.3, 0.5])),
    ("MultivariateNormal(z[:2], cov)", np.array([[0.1, 0.2], [1.0, -1.0]])),
    ("MultivariateNormal(z[:2], precision_matrix=cov)", np.array([0.1, 0.2])),
    ("MultivariateNormal(z[:2], scale_tril=cov.tril())", np.array([0.1, 0.2])),
    ("Independent(Normal(z, b), 1)", np.ones((2, 3))),
]


def made(module, expression):
    names = {name: getattr(module.distributions, name) for name in picograd.distributions.__all__}
    tensors = {
        key: module.tensor(array, requires_grad=True)
        for key, array in {"a": A, "b": B, "p": P, "z": Z, "cov": COVARIANCE}.items()
    }
    return eval(expression, names | tensors), list(tensors.values())


def outcome(module, expression, value):
    """Everything that is a number: densities, entropy, moments and gradients."""
    distribution, tensors = made(module, expression)
    density = distribution.log_prob(module.tensor(value))
    rows = [density]
    for read in (lambda d: d.entropy(), lambda d: d.mean, lambda d: d.variance, lambda d: d.stddev):
        try:
            rows.append(read(distribution))
        except NotImplementedError:
            rows.append(None)
    gradients = module.autograd.grad(density.sum(), tensors, allow_unused=True)
    shapes = [tuple(distribution.batch_shape), tuple(distribution.event_shape)]
    shapes.append(tuple(distribution.sample((4, 2)).shape))
    return shapes, rows, gradients


@pytest.mark.parametrize(("expression", "value"), CASES)
def test_densities_and_moments(expression, value):
    ours, theirs = (outcome(module, expression, value) for module in (picograd, torch))
    assert ours[0] == theirs[0]
    for mine, other in zip(ours[1] + list(ours[2]), theirs[1] + list(theirs[2]), strict=True):
        if other is None or mine is None:
            assert mine is None or not mine.numpy().any()
            continue
        if not torch.isfinite(other).all():
            continue  # torch has no mean of a Categorical, and calls it NaN
        np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    "expression", [row[0] for row in CASES if "Categorical" not in row[0][:11]]
)
def test_moments_of_samples(expression):
    picograd.manual_seed(SEED)
    distribution, _ = made(picograd, expression)
    samples = distribution.sample((20000,)).numpy()
    assert samples.shape[1:] == (*distribution.batch_shape, *distribution.event_shape)
    mean, variance = distribution.mean.detach().numpy(), distribution.variance.detach().numpy()
    heavy = 8 if "LogNormal" in expression else 1
    bound = 6 * heavy * np.sqrt(variance / len(samples))
    assert (np.abs(samples.mean(0) - mean) <= bound).all(), SEED
    if heavy == 1:
        np.testing.assert_allclose(samples.var(0), variance, rtol=0.25, err_msg=str(SEED))


def test_categories_come_as_often_as_they_should():
    picograd.manual_seed(SEED)
    distribution, _ = made(picograd, "Categorical(p)")
    samples = distribution.sample((20000,)).numpy()
    for row in range(2):
        shares = np.bincount(samples[:, row], minlength=3) / len(samples)
        np.testing.assert_allclose(shares, P[row], atol=0.02, err_msg=str(SEED))


def test_the_seed_decides():
    draws = []
    for _ in range(2):
        picograd.manual_seed(3)
        draws.append(made(picograd, "Gamma(a, b)")[0].sample().tolist())
    assert draws[0] == draws[1]


def test_rsample_is_differentiable():
    for expression in ("Normal(z, b)", "Laplace(z, b)", "MultivariateNormal(z[:2], cov)"):
        distribution, tensors = made(picograd, expression)
        (distribution.rsample((5,)) ** 2).sum().backward()
        assert tensors[3].grad is not None and tensors[3].grad.abs().sum().item() > 0
    with pytest.raises(NotImplementedError):
        made(picograd, "Gamma(a, b)")[0].rsample()


PAIRS = [
    ("Normal(z, b)", "Normal(z + 1, a)"), ("Laplace(z, b)", "Laplace(z + 1, a)"),
    ("Exponential(a)", "Exponential(b)"), ("Gamma(a, b)", "Gamma(b, a)"),
    ("Beta(a, b)", "Beta(b, a)"), ("Bernoulli(p)", "Bernoulli(1 - p)"),
    ("Uniform(z, z + b)", "Uniform(z - 1, z + 2)"), ("Poisson(a)", "Poisson(b)"),
    ("Categorical(p)", "Categorical(p.flip(0))"), ("Dirichlet(a)", "Dirichlet(a + 1)"),
    ("OneHotCategorical(p)", "OneHotCategorical(p.flip(0))"),
    ("LogNormal(z, b)", "LogNormal(z + 1, a)"),
    ("MultivariateNormal(z[:2], cov)", "MultivariateNormal(z[1:], 2 * cov)"),
    ("Independent(Normal(z, b), 1)", "Independent(Normal(z, a + b), 1)"),
]  # fmt: skip


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_divergences(p, q):
    ours, theirs = (
        m.distributions.kl_divergence(made(m, p)[0], made(m, q)[0]) for m in (picograd, torch)
    )
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    "expression",
    [
        "Normal(z, -b)", "Bernoulli(p + 3)", "Categorical()", "Categorical(p, p)", "Gamma(-a, b)",
        "Normal(z, b).log_prob(z[:2])", "Bernoulli(p).log_prob(p)", "Uniform(a, a - 1)",
        "MultivariateNormal(z)", "Independent(Normal(z, b), 3)", "Beta(a, b).log_prob(a)",
        "MultivariateNormal(z[:2], -cov)", "Poisson(a).log_prob(a)",
    ],
)  # fmt: skip
def test_wrong_parameters_and_values(expression):
    for module in (torch, picograd):
        with pytest.raises(ValueError):
            made(module, expression)
