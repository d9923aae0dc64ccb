"""Continuous distributions of numbers.

In: parameters that broadcast. Out: samples (differentiable by location and scale where the family
has them), densities, moments.

>>> import picograd
>>> Normal(0.0, 1.0).log_prob(picograd.tensor(0.0)).item()
-0.9189385175704956
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from picograd.distributions.constraints import (
    Rule,
    dependent,
    dependent_property,
    interval,
    nonnegative,
    positive,
    real,
)
from picograd.distributions.distribution import Distribution, Parameter, broadcast_all
from picograd.frontend.elementwise import filled_like
from picograd.frontend.hostdata import values
from picograd.frontend.random import gaussian, uniform
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor
from picograd.special import ndtr

Shape = Sequence[int]


def _unit(like: Tensor, shape: Shape) -> Tensor:
    """Uniform numbers in [0, 1)."""
    return uniform(tuple(shape), like.dtype, None, like._storage.node.device)


class _LocationScale(Distribution):
    """A family given by a location and a scale."""

    has_rsample = True
    arg_constraints = {"loc": real, "scale": positive}
    support = real

    def __init__(self, loc: Parameter, scale: Parameter, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc._shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc


class Normal(_LocationScale):
    """The normal distribution."""

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return self.scale**2

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        shape = tuple(self._extended_shape(sample_shape))
        noise = gaussian(shape, self.loc.dtype, None, self.loc._storage.node.device)
        return self.loc + noise * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        distance = (value - self.loc) ** 2 / (2 * self.scale**2)
        return -distance - self.scale.log() - 0.5 * math.log(2 * math.pi)

    def cdf(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return 0.5 * (1 + ((value - self.loc) / self.scale / math.sqrt(2)).erf())

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc + self.scale * (2 * value - 1).erfinv() * math.sqrt(2)

    def entropy(self) -> Tensor:
        return 0.5 + 0.5 * math.log(2 * math.pi) + self.scale.log()


class LogNormal(_LocationScale):
    """exp of a normal number."""

    support = positive

    def _base(self) -> Normal:
        return Normal(self.loc, self.scale, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return (self.loc + self.scale**2 / 2).exp()

    @property
    def mode(self) -> Tensor:
        return (self.loc - self.scale**2).exp()

    @property
    def variance(self) -> Tensor:
        square = self.scale**2
        return square.expm1() * (2 * self.loc + square).exp()

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self._base().rsample(sample_shape).exp()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        logarithm = value.log()
        return self._base().log_prob(logarithm) - logarithm

    def cdf(self, value: Tensor) -> Tensor:
        return ndtr((value.log() - self.loc) / self.scale)

    def entropy(self) -> Tensor:
        return self._base().entropy() + self.loc


class Laplace(_LocationScale):
    """The double exponential distribution."""

    @property
    def variance(self) -> Tensor:
        return 2 * self.scale**2

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        centred = _unit(self.loc, self._extended_shape(sample_shape)) - 0.5
        # A uniform number of exactly -1/2 would be sent to infinity.
        size = (2 * centred.abs()).clamp(max=1 - 2.0**-24)
        return self.loc - self.scale * centred.sign() * (-size).log1p()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return -(2 * self.scale).log() - (value - self.loc).abs() / self.scale

    @property
    def mode(self) -> Tensor:
        return self.loc

    def icdf(self, value: Tensor) -> Tensor:
        term = value - 0.5
        return self.loc - self.scale * term.sign() * (-2 * term.abs()).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        moved = value - self.loc
        return 0.5 - 0.5 * moved.sign() * (-moved.abs() / self.scale).expm1()

    def entropy(self) -> Tensor:
        return 1 + (2 * self.scale).log()


class Uniform(Distribution):
    """Equal density in [low, high)."""

    has_rsample = True
    arg_constraints = {"low": dependent, "high": dependent}

    def __init__(self, low: Parameter, high: Parameter, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low._shape, (), validate_args)
        if self._validate_args and not (values(self.low) < values(self.high)).all():
            raise ValueError("Uniform is not defined when low>= high")

    @dependent_property
    def support(self) -> Rule:
        return interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        return (self.high + self.low) / 2

    @property
    def variance(self) -> Tensor:
        return (self.high - self.low) ** 2 / 12

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self.low + _unit(self.low, self._extended_shape(sample_shape)) * (
            self.high - self.low
        )

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        inside = (self.low <= value).logical_and(self.high > value)
        return inside.to(self.low.dtype).log() - (self.high - self.low).log()

    def cdf(self, value: Tensor) -> Tensor:
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        return (self.high - self.low).log()


class Exponential(Distribution):
    """The time to the first of events that come at a rate."""

    has_rsample = True
    arg_constraints = {"rate": positive}
    support = nonnegative

    def __init__(self, rate: Parameter, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate._shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def mode(self) -> Tensor:
        return filled_like(self.rate, 0.0)

    @property
    def variance(self) -> Tensor:
        return self.rate**-2

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return -(-_unit(self.rate, self._extended_shape(sample_shape))).log1p() / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Tensor) -> Tensor:
        return 1 - (-self.rate * value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        return -(-value).log1p() / self.rate

    def entropy(self) -> Tensor:
        return 1 - self.rate.log()


class HalfNormal(Distribution):
    """The size of a normal number with mean 0."""

    has_rsample = True
    arg_constraints = {"scale": positive}
    support = nonnegative

    def __init__(self, scale: Parameter, validate_args: bool | None = None) -> None:
        (self.scale,) = broadcast_all(scale)
        super().__init__(self.scale._shape, (), validate_args)

    def _base(self) -> Normal:
        return Normal(filled_like(self.scale, 0.0), self.scale, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Tensor:
        return self.scale**2 * (1 - 2 / math.pi)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self._base().rsample(sample_shape).abs()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        density = self._base().log_prob(value) + math.log(2)
        return choose(value >= 0, density, -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        return 2 * self._base().cdf(value) - 1

    def icdf(self, value: Tensor) -> Tensor:
        return self._base().icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        return self._base().entropy() - math.log(2)
