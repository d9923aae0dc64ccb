"""The gamma distribution and what is made of gamma numbers.

In: concentrations and rates. Out: samples that are differentiable by all parameters, densities,
moments. The samples, and their slopes by the concentration, come from the host.

>>> import picograd
>>> Dirichlet(picograd.ones(3)).mean.sum().round().item()
1.0
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from picograd.distributions.constraints import (
    independent,
    nonnegative,
    positive,
    simplex,
    unit_interval,
)
from picograd.distributions.distribution import (
    Distribution,
    Parameter,
    broadcast_all,
    drawn,
    host_generator,
)
from picograd.frontend.elementwise import filled_like
from picograd.frontend.function import Function, once_differentiable
from picograd.frontend.hostdata import values
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor
from picograd.special import digamma, lgamma, xlogy

Shape = Sequence[int]


@functools.cache
def _rule() -> tuple[np.ndarray, np.ndarray]:
    """Points and weights of Gauss and Legendre on [0, 1]."""
    points, weights = np.polynomial.legendre.leggauss(48)
    return (points + 1) / 2, weights / 2


def gamma_slope(sample: np.ndarray, shape: np.ndarray, psi: np.ndarray) -> np.ndarray:
    """How a gamma number moves with its concentration while its quantile stays.

    With F the distribution function it is -(dF/d shape) / (dF/d sample). As an integral over
    u = |log(t / sample)| that is sample * integral of (psi - log t) * exp(h(u)) du over t below the
    sample, and of the negative of it over t above. h falls from 0 and is concave on the side whose
    slope isn't positive; there the integral is cut where exp(h) is nothing any more.
    """
    below = sample <= shape
    side = np.where(below, -1.0, 1.0)

    def exponent(u: np.ndarray) -> np.ndarray:
        return side * shape * u - sample * np.expm1(side * u)

    low = np.zeros_like(sample)
    high = np.where(below, 40 / np.maximum(shape, 1e-300) + 40, 40 + np.log1p(40 / sample))
    for _ in range(60):
        middle = (low + high) / 2
        far = exponent(middle) < -38
        low, high = np.where(far, low, middle), np.where(far, middle, high)
    total = np.zeros_like(sample)
    # exp(h) changes over a length of 1, and for small concentrations over 1 / shape besides.
    for start, end in ((low * 0, np.minimum(high, 30)), (np.minimum(high, 30), high)):
        for point, weight in zip(*_rule(), strict=True):
            u = start + (end - start) * point
            slope = side * (np.log(sample) - psi) + u
            total += weight * (end - start) * slope * np.exp(exponent(u))
    return sample * total


class _StandardGamma(Function):
    """Samples of rate 1."""

    @staticmethod
    def forward(ctx: Any, concentration: Tensor, shape: Shape) -> Tensor:
        tiny = float(np.finfo(concentration.dtype.numpy).tiny)
        made = host_generator().standard_gamma(values(concentration), tuple(shape))
        result = drawn(concentration, np.maximum(made, tiny))
        ctx.save_for_backward(concentration, result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        concentration, result = ctx.saved_tensors
        psi = values(digamma(concentration)).astype(np.float64)
        sample = values(result).astype(np.float64)
        shape, psi = (np.broadcast_to(x, sample.shape) for x in (values(concentration), psi))
        slopes = gamma_slope(sample, shape.astype(np.float64), psi)
        grown = gradient * drawn(concentration, slopes)
        return grown.sum_to_size(concentration._shape), None


def standard_gamma(concentration: Tensor, shape: Shape) -> Tensor:
    """Samples of the gamma distribution of rate 1."""
    return _StandardGamma.apply(concentration, tuple(shape))


class Gamma(Distribution):
    """The gamma distribution."""

    has_rsample = True
    arg_constraints = {"concentration": positive, "rate": positive}
    support = nonnegative

    def __init__(
        self, concentration: Parameter, rate: Parameter, validate_args: bool | None = None
    ) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.rate._shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate**2

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return standard_gamma(self.concentration, self._extended_shape(sample_shape)) / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        shape, rate = self.concentration, self.rate
        return xlogy(shape, rate) + xlogy(shape - 1, value) - rate * value - lgamma(shape)

    def entropy(self) -> Tensor:
        shape = self.concentration
        return shape - self.rate.log() + lgamma(shape) + (1.0 - shape) * digamma(shape)


class Chi2(Gamma):
    """The sum of the squares of `df` normal numbers."""

    arg_constraints = {"df": positive}

    def __init__(self, df: Parameter, validate_args: bool | None = None) -> None:
        (self.df,) = broadcast_all(df)
        super().__init__(self.df / 2, filled_like(self.df, 0.5), validate_args)


class InverseGamma(Distribution):
    """1 / x for a gamma number x."""

    has_rsample = True
    arg_constraints = {"concentration": positive, "rate": positive}
    support = positive

    def __init__(
        self, concentration: Parameter, rate: Parameter, validate_args: bool | None = None
    ) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.rate._shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        above = self.concentration - 1
        return choose(above > 0, self.rate / above, float("inf"))

    @property
    def mode(self) -> Tensor:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        shape = self.concentration
        found = self.rate**2 / ((shape - 1) ** 2 * (shape - 2))
        return choose(shape > 2, found, float("inf"))

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self.rate / standard_gamma(self.concentration, self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        shape, rate = self.concentration, self.rate
        return xlogy(shape, rate) - xlogy(shape + 1, value) - rate / value - lgamma(shape)

    def entropy(self) -> Tensor:
        shape = self.concentration
        return shape + self.rate.log() + lgamma(shape) - (1 + shape) * digamma(shape)


class Beta(Distribution):
    """The beta distribution on [0, 1]."""

    has_rsample = True
    arg_constraints = {"concentration1": positive, "concentration0": positive}
    support = unit_interval

    def __init__(
        self,
        concentration1: Parameter,
        concentration0: Parameter,
        validate_args: bool | None = None,
    ) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1._shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        one, zero = self.concentration1, self.concentration0
        inside = (one > 1).logical_and(zero > 1)
        return choose(inside, (one - 1) / (one + zero - 2), float("nan"))

    @property
    def variance(self) -> Tensor:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total**2 * (total + 1))

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        one, zero = (standard_gamma(x, shape) for x in (self.concentration1, self.concentration0))
        return one / (one + zero)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        one, zero = self.concentration1, self.concentration0
        size = lgamma(one) + lgamma(zero) - lgamma(one + zero)
        return xlogy(one - 1, value) + xlogy(zero - 1, 1 - value) - size

    def entropy(self) -> Tensor:
        one, zero = self.concentration1, self.concentration0
        total = one + zero
        return (
            lgamma(one)
            + lgamma(zero)
            - lgamma(total)
            - (one - 1) * digamma(one)
            - (zero - 1) * digamma(zero)
            + (total - 2) * digamma(total)
        )


class Dirichlet(Distribution):
    """Probabilities that add up to 1."""

    has_rsample = True
    arg_constraints = {"concentration": independent(positive, 1)}
    support = simplex

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
    def mode(self) -> Tensor:
        above = (self.concentration - 1).clamp(min=0)
        corner = self.concentration == self.concentration.amax(-1, True)
        inside = (self.concentration >= 1).all(-1, True)
        return choose(inside, above / above.sum(-1, True), corner.to(above.dtype))

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total**2 * (total + 1))

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        made = standard_gamma(self.concentration, self._extended_shape(sample_shape))
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
