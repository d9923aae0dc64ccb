"""Distributions of vectors, and batches read as events.

In: vectors and matrices of parameters, or another distribution. Out: samples and densities.

>>> import picograd
>>> Dirichlet(picograd.ones(3)).mean.sum().round().item()
1.0
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from picograd.distributions.continuous import standard_gamma
from picograd.distributions.distribution import Distribution, positive, real, simplex
from picograd.frontend.promotion import broadcast_shapes
from picograd.frontend.random import gaussian
from picograd.frontend.tensor import Tensor
from picograd.linalg import cholesky, cholesky_inverse, inv, solve_triangular
from picograd.special import digamma, lgamma, xlogy

Shape = Sequence[int]


class MultivariateNormal(Distribution):
    """Normal vectors, by their covariance, its inverse or its Cholesky factor."""

    has_rsample = True
    _checks = {"loc": real}
    _support = staticmethod(real)

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = [x for x in (covariance_matrix, precision_matrix, scale_tril) if x is not None]
        if len(given) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                "specified."
            )
        if loc.ndim < 1 or given[0].ndim < 2:
            raise ValueError("loc must be at least one-dimensional, and the matrix two-dimensional")
        if scale_tril is not None:
            factor = scale_tril
        elif covariance_matrix is not None:
            factor = _factor(covariance_matrix)
        else:
            factor = _factor(inv(given[0]))
        batch = broadcast_shapes(factor._shape[:-2], loc._shape[:-1])
        self.loc = loc.expand((*batch, loc._shape[-1]))
        self.scale_tril = factor.expand((*batch, *factor._shape[-2:]))
        super().__init__(batch, loc._shape[-1:], validate_args)

    @property
    def covariance_matrix(self) -> Tensor:
        """The covariance of the elements."""
        return self.scale_tril @ self.scale_tril.mT

    @property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        return cholesky_inverse(self.scale_tril)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (self.scale_tril**2).sum(-1)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        shape = tuple(self._extended_shape(sample_shape))
        noise = gaussian(shape, self.loc.dtype, None, self.loc._storage.node.device)
        return self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def _log_size(self) -> Tensor:
        return self.scale_tril.diagonal(0, -2, -1).log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        moved = (value - self.loc).unsqueeze(-1)
        scaled = solve_triangular(self.scale_tril, moved, upper=False).squeeze(-1)
        constant = self._event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + (scaled**2).sum(-1)) - self._log_size()

    def entropy(self) -> Tensor:
        return 0.5 * self._event_shape[0] * (1 + math.log(2 * math.pi)) + self._log_size()


def _factor(covariance: Tensor) -> Tensor:
    try:
        return cholesky(covariance)
    except RuntimeError as error:
        raise ValueError(
            f"Expected parameter covariance_matrix of shape {tuple(covariance._shape)} of "
            f"distribution MultivariateNormal to be positive-definite ({error})"
        ) from None


class Dirichlet(Distribution):
    """Probabilities that add up to 1; samples have no gradient."""

    _checks = {"concentration": positive}
    _support = staticmethod(simplex)

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.ndim < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        shape = concentration._shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total**2 * (total + 1))

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        made = standard_gamma(self.concentration.detach(), self._extended_shape(sample_shape))
        return made / made.sum(-1, True)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        shape = self.concentration
        return xlogy(shape - 1, value).sum(-1) + lgamma(shape.sum(-1)) - lgamma(shape).sum(-1)

    def entropy(self) -> Tensor:
        shape, count = self.concentration, self._event_shape[0]
        total = shape.sum(-1)
        return (
            lgamma(shape).sum(-1)
            - lgamma(total)
            - (count - total) * digamma(total)
            - ((shape - 1) * digamma(shape)).sum(-1)
        )


class Independent(Distribution):
    """Another distribution whose last batch dims count as part of an event."""

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        self.base_dist, self.reinterpreted_batch_ndims = (
            base_distribution,
            reinterpreted_batch_ndims,
        )
        batch, event = tuple(base_distribution.batch_shape), tuple(base_distribution.event_shape)
        if reinterpreted_batch_ndims > len(batch):
            raise ValueError(
                "Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), "
                f"actual {reinterpreted_batch_ndims} vs {len(batch)}"
            )
        kept = len(batch) - reinterpreted_batch_ndims
        self.has_rsample = base_distribution.has_rsample
        super().__init__(batch[:kept], (*batch[kept:], *event), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape)

    def summed(self, x: Tensor) -> Tensor:
        """The sum over the dims that became part of the event."""
        dims = self.reinterpreted_batch_ndims
        return x.sum(tuple(range(-dims, 0))) if dims else x

    def log_prob(self, value: Tensor) -> Tensor:
        return self.summed(self.base_dist.log_prob(value))

    def entropy(self) -> Tensor:
        return self.summed(self.base_dist.entropy())
