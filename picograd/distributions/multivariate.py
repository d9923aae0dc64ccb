"""Distributions of vectors, and batches read as events.

In: vectors and matrices of parameters, or another distribution. Out: samples and densities.

>>> import picograd
>>> MultivariateNormal(picograd.zeros(2), picograd.eye(2)).variance
tensor([1., 1.])
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from picograd.distributions.constraints import Constraint, independent, lower_cholesky, real_vector
from picograd.distributions.distribution import Distribution
from picograd.frontend.promotion import broadcast_shapes
from picograd.frontend.random import gaussian
from picograd.frontend.tensor import Tensor
from picograd.linalg import cholesky, cholesky_inverse, inv, solve_triangular

Shape = Sequence[int]


class MultivariateNormal(Distribution):
    """Normal vectors, by their covariance, its inverse or its Cholesky factor."""

    has_rsample = True
    arg_constraints = {"loc": real_vector, "scale_tril": lower_cholesky}
    support = real_vector

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
    def mode(self) -> Tensor:
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
    def support(self) -> Constraint | None:  # type: ignore[override]
        """Where the base's is, with events of more dims."""
        base = self.base_dist.support
        dims = self.reinterpreted_batch_ndims
        return independent(base, dims) if base is not None and dims else base

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        """Whether the base's values can be listed."""
        return self.base_dist.has_enumerate_support and not self.reinterpreted_batch_ndims

    def enumerate_support(self, expand: bool = True) -> Tensor:
        if self.reinterpreted_batch_ndims:
            raise NotImplementedError(
                "Enumeration over cartesian product is not implemented; enumerate base_dist"
            )
        return self.base_dist.enumerate_support(expand)

    @property
    def mode(self) -> Tensor:
        return self.base_dist.mode

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

    def __repr__(self) -> str:
        return f"Independent({self.base_dist!r}, {self.reinterpreted_batch_ndims})"
