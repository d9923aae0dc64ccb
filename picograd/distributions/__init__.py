"""Probability distributions with the names of `torch.distributions`.

In: parameters. Out: distributions that can be sampled and whose densities can be differentiated.
This file only lists what the modules beside it define.

>>> import picograd
>>> picograd.distributions.Exponential(2.0).mean.item()
0.5
"""

from picograd.distributions.continuous import (
    Beta,
    Chi2,
    Exponential,
    Gamma,
    HalfNormal,
    Laplace,
    LogNormal,
    Normal,
    Uniform,
)
from picograd.distributions.discrete import (
    Bernoulli,
    Binomial,
    Categorical,
    OneHotCategorical,
    Poisson,
)
from picograd.distributions.distribution import Distribution
from picograd.distributions.kl import kl_divergence, register_kl
from picograd.distributions.multivariate import Dirichlet, Independent, MultivariateNormal

__all__ = [
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Chi2",
    "Dirichlet",
    "Distribution",
    "Exponential",
    "Gamma",
    "HalfNormal",
    "Independent",
    "Laplace",
    "LogNormal",
    "MultivariateNormal",
    "Normal",
    "OneHotCategorical",
    "Poisson",
    "Uniform",
    "kl_divergence",
    "register_kl",
]
