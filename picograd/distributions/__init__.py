"""Probability distributions with the names of `torch.distributions`.

In: parameters. Out: distributions that can be sampled and whose densities can be differentiated.
This file lists what the modules beside it define, and the paths by which torch has them.

>>> import picograd
>>> picograd.distributions.Exponential(2.0).mean.item()
0.5
"""

import re

from picograd import paths
from picograd.distributions import constraints, distribution, kl, registry, transforms
from picograd.distributions.continuous import (
    Exponential,
    HalfNormal,
    Laplace,
    LogNormal,
    Normal,
    Uniform,
)
from picograd.distributions.counts import (
    Geometric,
    Multinomial,
    NegativeBinomial,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
)
from picograd.distributions.discrete import (
    Bernoulli,
    Binomial,
    Categorical,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
    Poisson,
)
from picograd.distributions.distribution import Distribution
from picograd.distributions.gamma import Beta, Chi2, Dirichlet, Gamma, InverseGamma
from picograd.distributions.kl import kl_divergence, register_kl
from picograd.distributions.multivariate import Independent, MultivariateNormal
from picograd.distributions.registry import biject_to, transform_to
from picograd.distributions.tails import (
    Cauchy,
    Gumbel,
    HalfCauchy,
    Pareto,
    StudentT,
    VonMises,
    Weibull,
)
from picograd.distributions.transformed import (
    Kumaraswamy,
    LogisticNormal,
    MixtureSameFamily,
    TransformedDistribution,
)
from picograd.distributions.transforms import (
    AbsTransform,
    AffineTransform,
    ComposeTransform,
    CumulativeDistributionTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PowerTransform,
    ReshapeTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StickBreakingTransform,
    TanhTransform,
    Transform,
    identity_transform,
)
from picograd.frontend.missing import refusing as _refusing

FAMILIES = (
    Bernoulli, Beta, Binomial, Categorical, Cauchy, Chi2, Dirichlet, Exponential, Gamma, Geometric,
    Gumbel, HalfCauchy, HalfNormal, Independent, InverseGamma, Kumaraswamy, Laplace, LogNormal,
    LogisticNormal, MixtureSameFamily, Multinomial, MultivariateNormal, NegativeBinomial, Normal,
    OneHotCategorical, OneHotCategoricalStraightThrough, Pareto, Poisson, RelaxedBernoulli,
    RelaxedOneHotCategorical, StudentT, TransformedDistribution, Uniform, VonMises, Weibull,
)  # fmt: skip


def _file(name: str) -> str:
    """The name of torch's module of a family: `LogNormal` is in `log_normal`."""
    name = name.removesuffix("StraightThrough")
    irregular = {"StudentT": "studentT", "RelaxedOneHotCategorical": "relaxed_categorical"}
    return irregular.get(name, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())


_members: dict[str, dict[str, object]] = {}
for _family in FAMILIES:
    _members.setdefault(_file(_family.__name__), {})[_family.__name__] = _family
for _path, _contents in _members.items():
    if _path != "gamma":
        paths.publish(__name__, _path, _contents)
paths.publish(__name__, "constraint_registry", vars(registry))
paths.publish(__name__, "utils", {"broadcast_all": distribution.broadcast_all})

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Cauchy",
    "Chi2",
    "ComposeTransform",
    "CumulativeDistributionTransform",
    "Dirichlet",
    "Distribution",
    "ExpTransform",
    "Exponential",
    "Gamma",
    "Geometric",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "Independent",
    "IndependentTransform",
    "InverseGamma",
    "Kumaraswamy",
    "Laplace",
    "LogNormal",
    "LogisticNormal",
    "LowerCholeskyTransform",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Pareto",
    "Poisson",
    "PowerTransform",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "ReshapeTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "StickBreakingTransform",
    "StudentT",
    "TanhTransform",
    "Transform",
    "TransformedDistribution",
    "Uniform",
    "VonMises",
    "Weibull",
    "biject_to",
    "constraints",
    "identity_transform",
    "kl",
    "kl_divergence",
    "register_kl",
    "transform_to",
    "transforms",
]

__getattr__ = _refusing("picograd.distributions", lambda: __all__)
