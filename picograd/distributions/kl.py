"""Kullback-Leibler divergences between distributions of one family.

In: two distributions. Out: `kl_divergence(p, q)`; `register_kl` adds a pair.

>>> from picograd.distributions.continuous import Normal
>>> kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0)).item()
0.5
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from picograd.distributions.continuous import (
    Exponential,
    HalfNormal,
    Laplace,
    LogNormal,
    Normal,
    Uniform,
)
from picograd.distributions.counts import Geometric
from picograd.distributions.discrete import (
    Bernoulli,
    Binomial,
    Categorical,
    OneHotCategorical,
    Poisson,
)
from picograd.distributions.distribution import Distribution
from picograd.distributions.gamma import Beta, Dirichlet, Gamma
from picograd.distributions.multivariate import Independent, MultivariateNormal
from picograd.distributions.tails import Cauchy, Gumbel
from picograd.distributions.transformed import TransformedDistribution
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor
from picograd.linalg import solve_triangular
from picograd.special import digamma, lgamma

Rule = Callable[[Any, Any], Tensor]
_RULES: dict[tuple[type, type], Rule] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Rule], Rule]:
    """Decorate the function of (p, q) that computes the divergence of a pair of families."""

    def register(rule: Rule) -> Rule:
        _RULES[type_p, type_q] = rule
        return rule

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The divergence of q from p; the most specific registered pair counts."""
    for kind_p in type(p).__mro__:
        for kind_q in type(q).__mro__:
            rule = _RULES.get((kind_p, kind_q))
            if rule is not None:
                return rule(p, q)
    raise NotImplementedError(
        f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}"
    )


@register_kl(LogNormal, LogNormal)
@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log())


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * (-distance / p.scale).exp() - 1


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: HalfNormal, q: HalfNormal) -> Tensor:
    return kl_divergence(p._base(), q._base())


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Cauchy, q: Cauchy) -> Tensor:
    both = (p.scale + q.scale) ** 2 + (p.loc - q.loc) ** 2
    return both.log() - (4 * p.scale * q.scale).log()


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Gumbel, q: Gumbel) -> Tensor:
    ratio, away = p.scale / q.scale, q.loc / q.scale
    moved = p.loc / q.scale
    grown = (away + lgamma(1 + ratio) - moved).exp()
    return ratio * 0.57721566490153286060 - ratio.log() - away + grown + moved - 1.5772156649015329


@register_kl(Uniform, Normal)
def _uniform_normal(p: Uniform, q: Normal) -> Tensor:
    width = p.high - p.low
    size = (math.sqrt(2 * math.pi) * q.scale / width).log()
    return size + (width**2 / 12 + ((p.high + p.low - 2 * q.loc) / 2) ** 2) / q.scale**2 / 2


@register_kl(Geometric, Geometric)
def _geometric(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Binomial, Binomial)
def _binomial(p: Binomial, q: Binomial) -> Tensor:
    each = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return choose(p.total_count > q.total_count, float("inf"), p.total_count * each)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    if p.transforms != q.transforms:
        raise NotImplementedError("KL between different transforms isn't supported")
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return choose((q.low > p.low).logical_or(q.high < p.high), float("inf"), result)


@register_kl(Gamma, Gamma)
def _gamma(p: Gamma, q: Gamma) -> Tensor:
    first, second = p.concentration, q.concentration
    return (
        second * (p.rate / q.rate).log()
        + lgamma(second)
        - lgamma(first)
        + (first - second) * digamma(first)
        + (q.rate - p.rate) * (first / p.rate)
    )


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    total_p, total_q = p.concentration1 + p.concentration0, q.concentration1 + q.concentration0
    sizes = lgamma(q.concentration1) + lgamma(q.concentration0) + lgamma(total_p)
    sizes = sizes - lgamma(p.concentration1) - lgamma(p.concentration0) - lgamma(total_q)
    return (
        sizes
        + (p.concentration1 - q.concentration1) * digamma(p.concentration1)
        + (p.concentration0 - q.concentration0) * digamma(p.concentration0)
        + (total_q - total_p) * digamma(total_p)
    )


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    first, second = p.concentration, q.concentration
    total = first.sum(-1)
    sizes = lgamma(total) - lgamma(second.sum(-1)) - (lgamma(first) - lgamma(second)).sum(-1)
    slopes = digamma(first) - digamma(total).unsqueeze(-1)
    return sizes + ((first - second) * slopes).sum(-1)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    return p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()


@register_kl(Poisson, Poisson)
def _poisson(p: Poisson, q: Poisson) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(OneHotCategorical, OneHotCategorical)
@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    parts = p.probs * (p.logits - q.logits)
    parts = choose((q.probs == 0).expand(parts._shape), float("inf"), parts)  # type: ignore[attr-defined]
    return choose((p.probs == 0).expand(parts._shape), 0.0, parts).sum(-1)  # type: ignore[attr-defined]


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    scaled = solve_triangular(q.scale_tril, p.scale_tril, upper=False)
    moved = solve_triangular(q.scale_tril, (q.loc - p.loc).unsqueeze(-1), upper=False)
    spread = (scaled**2).sum((-2, -1)) + (moved**2).sum((-2, -1))
    sizes = q.scale_tril.diagonal(0, -2, -1).log() - p.scale_tril.diagonal(0, -2, -1).log()
    return sizes.sum(-1) + 0.5 * (spread - p.event_shape[0])


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("KL between Independents of different depths isn't supported")
    return p.summed(kl_divergence(p.base_dist, q.base_dist))
