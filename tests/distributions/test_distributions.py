"""Distributions have torch's densities, entropies and moments; samples have their own moments."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

import picograd
from picograd.distributions.gamma import gamma_slope

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
    ("InverseGamma(a + 2, b)", A),
    ("StudentT(a + 3, z, b)", Z),
    ("Cauchy(z, b)", Z),
    ("HalfCauchy(a)", A),
    ("Gumbel(z, b)", Z),
    ("Weibull(a, b)", A),
    ("Pareto(b, a + 3)", A + 2),
    ("VonMises(z, a)", Z),
    ("Geometric(p)", np.array([0.0, 2.0, 5.0])),
    ("Geometric(logits=z)", np.array([0.0, 2.0, 5.0])),
    ("NegativeBinomial(a, p)", np.array([0.0, 2.0, 5.0])),
    ("Multinomial(4, p)", np.array([1.0, 2.0, 1.0])),
    ("RelaxedBernoulli(a[0], p)", np.array([0.2, 0.5, 0.9])),
    ("RelaxedOneHotCategorical(a[0], logits=p)", np.array([0.2, 0.3, 0.5])),
    ("OneHotCategoricalStraightThrough(p)", np.eye(3)[[0, 2]]),
    ("Kumaraswamy(a, b)", np.array([0.2, 0.5, 0.9])),
    ("LogisticNormal(z, a)", np.array([0.1, 0.3, 0.2, 0.4])),
    ("TransformedDistribution(Normal(z, b), [TanhTransform(), AffineTransform(z, a)])", Z + 0.1),
    ("TransformedDistribution(Independent(Normal(z, b), 1), ExpTransform())", A),
    ("TransformedDistribution(Uniform(z * 0, 1), SigmoidTransform().inv)", Z),
    ("MixtureSameFamily(Categorical(p[0]), Normal(z, a))", Z),
    (
        "MixtureSameFamily(Categorical(p), Independent(Normal(cov[:, None] + z[:, None], 1), 1))",
        Z[:2],
    ),
    ("Normal(z, 1).expand((2, 3))", Z),
    ("Categorical(logits=z).expand((4,))", np.array([0, 1, 2, 1])),
    ("MultivariateNormal(z[:2], cov).expand((3,))", np.array([0.1, 0.2])),
]

# No mean, none that is known, or a variance that isn't that of the numbers.
UNMEASURED = (
    "Categorical", "Cauchy", "HalfCauchy", "VonMises", "Relaxed", "LogisticNormal", "Transformed",
    "Pareto", "InverseGamma",
)  # fmt: skip

DIVERGENCES = [
    ("Normal(z, b)", "Normal(0.0, a)"),
    ("Laplace(z, b)", "Laplace(0.0, a)"),
    ("Cauchy(z, b)", "Cauchy(0.0, a)"),
    ("Gumbel(z, b)", "Gumbel(0.1, a)"),
    ("HalfNormal(b)", "HalfNormal(a)"),
    ("Uniform(z, z + b)", "Normal(z, a)"),
    ("Gamma(a, b)", "Gamma(b, a)"),
    ("Beta(a, b)", "Beta(b, a)"),
    ("Dirichlet(a)", "Dirichlet(a + 1)"),
    ("Bernoulli(p)", "Bernoulli(logits=3 * p)"),
    ("Binomial(3, p)", "Binomial(3, logits=z)"),
    ("Geometric(p)", "Geometric(logits=z)"),
    ("Categorical(p)", "Categorical(logits=z)"),
    ("MultivariateNormal(z[:2], cov)", "MultivariateNormal(z[1:], cov + cov)"),
    ("Independent(Normal(z, b), 1)", "Independent(Normal(0.0 * z, a), 1).expand((2,))"),
    (
        "TransformedDistribution(Normal(z, b), ExpTransform())",
        "TransformedDistribution(Normal(0.0, a), ExpTransform())",
    ),
]

TRANSFORMS = [
    ("ExpTransform()", Z),
    ("PowerTransform(2.5)", A),
    ("SigmoidTransform()", Z),
    ("TanhTransform()", Z),
    ("SoftplusTransform()", Z),
    ("AffineTransform(z, a)", Z),
    ("AffineTransform(0.5, -2.0, event_dim=1)", Z),
    ("StickBreakingTransform()", Z),
    ("ReshapeTransform((3,), (3, 1))", Z),
    ("IndependentTransform(ExpTransform(), 1)", Z),
    ("ComposeTransform([AffineTransform(z, 2.0), SigmoidTransform()])", Z),
    ("ComposeTransform([AffineTransform(z, 2.0), StickBreakingTransform()])", Z),
    ("TanhTransform(cache_size=1).inv", np.array([0.5, -0.1])),
    ("biject_to(constraints.positive)", Z),
    ("biject_to(constraints.interval(-1.0, 3.0))", Z),
    ("transform_to(constraints.greater_than(2.0))", Z),
    ("biject_to(constraints.independent(constraints.positive, 1))", Z),
]


def names_of(module, tensors):
    names = {name: getattr(module.distributions, name) for name in picograd.distributions.__all__}
    return names | dict(zip(["a", "b", "p", "z", "cov"], tensors, strict=True))


def made(module, expression):
    tensors = [module.tensor(x, requires_grad=True) for x in (A, B, P, Z, COVARIANCE)]
    return eval(expression, names_of(module, tensors)), tensors


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
    "expression", [row[0] for row in CASES if not row[0].startswith(UNMEASURED)]
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


@pytest.mark.parametrize(("p", "q"), DIVERGENCES)
def test_divergences(p, q):
    results = []
    for module in (picograd, torch):
        first, tensors = made(module, p)
        second = eval(q, names_of(module, tensors))
        found = module.distributions.kl_divergence(first, second)
        results.append([found, *module.autograd.grad(found.sum(), tensors, allow_unused=True)])
    for mine, other in zip(*results, strict=True):
        if mine is not None and other is not None:
            np.testing.assert_allclose(
                mine.detach().numpy(), other.detach().numpy(), rtol=1e-6, atol=1e-7
            )


@pytest.mark.parametrize(("expression", "value"), TRANSFORMS)
def test_transforms(expression, value):
    rows = []
    for module in (picograd, torch):
        transform = made(module, expression)[0]
        x = module.tensor(value, requires_grad=True)
        y = transform(x)
        size = transform.log_abs_det_jacobian(x, y)
        back = transform.inv(y)
        (slope,) = module.autograd.grad(y.sum() + size.sum(), x)
        shapes = [transform.domain.event_dim, transform.codomain.event_dim, transform.bijective]
        rows.append((shapes, [z.detach().numpy() for z in (y, size, back, slope)]))
    assert rows[0][0] == rows[1][0]
    for mine, other in zip(rows[0][1], rows[1][1], strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-9)


def test_a_cache_gives_back_the_argument():
    transform = picograd.distributions.TanhTransform(cache_size=1)
    x = picograd.tensor(30.0)
    assert transform.inv(transform(x)) is x  # tanh(30) is 1: without the cache it would be inf


def test_gamma_numbers_move_with_their_concentration_as_torchs():
    concentration = np.array([0.01, 0.3, 1.0, 2.5, 30.0, 1000.0])[:, None]
    sample = concentration * np.array([0.05, 0.5, 0.9, 1.0, 1.1, 2.0, 4.0])
    shape = np.broadcast_to(concentration, sample.shape)
    psi = torch.digamma(torch.tensor(shape)).numpy()
    theirs = torch._standard_gamma_grad(torch.tensor(shape.copy()), torch.tensor(sample)).numpy()
    np.testing.assert_allclose(gamma_slope(sample, shape, psi), theirs, rtol=3e-3)
    # torch's are approximations; the exact slope by differences of the incomplete gamma function
    step = 1e-4 * shape
    up, down = (
        torch.special.gammainc(torch.tensor(shape + d), torch.tensor(sample)).numpy()
        for d in (step, -step)
    )
    density = np.exp(
        (shape - 1) * np.log(sample) - sample - torch.lgamma(torch.tensor(shape)).numpy()
    )
    middle = density > 1e-4
    exact = -(up - down) / (2 * step) / np.maximum(density, 1e-9)
    ours = gamma_slope(sample, shape, psi)
    np.testing.assert_allclose(ours[middle], exact[middle], rtol=1e-4)


REPARAMETRISED = [
    "Normal(z, b)",
    "Laplace(z, b)",
    "MultivariateNormal(z[:2], cov)",
    "Gamma(a + 2, b)",
    "Beta(a, b)",
    "Dirichlet(a)",
    "StudentT(a + 6, z, b)",
    "Gumbel(z, b)",
    "Weibull(a + 1, b + 2)",
    "Kumaraswamy(a, b)",
    "TransformedDistribution(Normal(z / 4, b / 4), ExpTransform())",
]


@pytest.mark.parametrize("expression", REPARAMETRISED)
def test_the_mean_of_samples_moves_as_the_mean(expression):
    """The gradient of a mean of samples is an estimate of the mean's gradient."""
    picograd.manual_seed(SEED)
    distribution, tensors = made(picograd, expression)
    grads = []
    for found in (distribution.rsample((20000,)).mean(0), _mean(distribution)):
        weights = picograd.arange(1, 1 + found.numel(), dtype=found.dtype).reshape(found.shape)
        target = (found * weights).sum()
        grads.append(picograd.autograd.grad(target, tensors, retain_graph=True, allow_unused=True))
    seen = 0
    for mine, exact in zip(*grads, strict=True):
        if mine is not None and exact is not None:
            seen += 1
            np.testing.assert_allclose(mine.numpy(), exact.numpy(), rtol=0.1, atol=0.15)
    assert seen


def _mean(distribution):
    if type(distribution).__name__ != "TransformedDistribution":
        return distribution.mean
    base = distribution.base_dist
    return (base.loc + base.scale**2 / 2).exp()


def test_wrong_parameters_and_values_are_refused():
    # Asked for: once `torch.compile` has run, torch no longer checks unless it is.
    for module in (picograd, torch):
        d = module.distributions
        with pytest.raises(ValueError, match="invalid values"):
            d.Normal(module.zeros(2), module.tensor([1.0, -1.0]), validate_args=True)
        with pytest.raises(ValueError, match="support"):
            d.Uniform(0.0, 1.0, validate_args=True).log_prob(module.tensor(2.0))
        with pytest.raises(ValueError, match="constraint"):
            d.Categorical(module.tensor([-0.5, 1.5]), validate_args=True)
        assert d.constraints.positive.check(module.tensor([1.0, -1.0])).tolist() == [True, False]
        assert d.Categorical(logits=module.zeros(3)).support.upper_bound == 2


def test_torchs_import_paths():
    for path, name in (
        ("normal", "Normal"),
        ("categorical", "Categorical"),
        ("studentT", "StudentT"),
        ("multivariate_normal", "MultivariateNormal"),
        ("transformed_distribution", "TransformedDistribution"),
        ("transforms", "TanhTransform"),
        ("constraints", "positive"),
        ("utils", "broadcast_all"),
    ):
        module = importlib.import_module(f"picograd.distributions.{path}")
        assert hasattr(module, name)
        assert hasattr(importlib.import_module(f"torch.distributions.{path}"), name)
