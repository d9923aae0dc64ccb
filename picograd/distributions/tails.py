"""Continuous distributions with heavy tails, of extremes, and on the circle.

In: parameters that broadcast. Out: samples, densities, moments.

>>> import picograd
>>> Cauchy(0.0, 1.0).cdf(picograd.tensor(1.0)).item()
0.75
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from picograd.distributions.constraints import (
    Rule,
    dependent_property,
    greater_than_eq,
    nonnegative,
    positive,
    real,
)
from picograd.distributions.continuous import _LocationScale, _unit
from picograd.distributions.distribution import (
    Distribution,
    Parameter,
    broadcast_all,
    drawn,
    host_generator,
)
from picograd.distributions.gamma import standard_gamma
from picograd.frontend.elementwise import filled_like
from picograd.frontend.hostdata import values
from picograd.frontend.random import gaussian
from picograd.frontend.selection import choose
from picograd.frontend.tensor import Tensor
from picograd.special import digamma, i0e, i1e, lgamma

Shape = Sequence[int]
_EULER = 0.57721566490153286060


def _inside(like: Tensor, shape: Shape) -> Tensor:
    """Uniform numbers in (0, 1), without both ends."""
    tiny = 2.0**-53 if like.dtype.bits == 64 else 2.0**-24
    return _unit(like, shape).clamp(tiny, 1 - tiny)


class StudentT(Distribution):
    """A normal number over the root of a chi-squared one."""

    has_rsample = True
    arg_constraints = {"df": positive, "loc": real, "scale": positive}
    support = real

    def __init__(
        self,
        df: Parameter,
        loc: Parameter = 0.0,
        scale: Parameter = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df._shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return choose(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        df = self.df
        spread = choose(df > 2, self.scale**2 * df / (df - 2), math.inf)
        return choose(df > 1, spread, math.nan)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        shape = tuple(self._extended_shape(sample_shape))
        noise = gaussian(shape, self.loc.dtype, None, self.loc._storage.node.device)
        squares = 2 * standard_gamma(self.df / 2, shape)
        return self.loc + self.scale * noise * (squares / self.df).rsqrt()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        y = (value - self.loc) / self.scale
        size = self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi)
        size = size + lgamma(0.5 * self.df) - lgamma(0.5 * (self.df + 1))
        return -0.5 * (self.df + 1) * (y**2 / self.df).log1p() - size

    def entropy(self) -> Tensor:
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        beta = lgamma(half) + math.lgamma(0.5) - lgamma(more)
        slope = more * (digamma(more) - digamma(half))
        return self.scale.log() + slope + 0.5 * self.df.log() + beta


class Cauchy(_LocationScale):
    """The ratio of two normal numbers; it has no mean."""

    @property
    def mean(self) -> Tensor:
        return filled_like(self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return filled_like(self.loc, math.inf)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self.icdf(_inside(self.loc, self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        square = ((value - self.loc) / self.scale) ** 2
        return -math.log(math.pi) - self.scale.log() - square.log1p()

    def cdf(self, value: Tensor) -> Tensor:
        return ((value - self.loc) / self.scale).atan() / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        return (math.pi * (value - 0.5)).tan() * self.scale + self.loc

    def entropy(self) -> Tensor:
        return math.log(4 * math.pi) + self.scale.log()


class HalfCauchy(Distribution):
    """The size of a Cauchy number around 0."""

    has_rsample = True
    arg_constraints = {"scale": positive}
    support = nonnegative

    def __init__(self, scale: Parameter, validate_args: bool | None = None) -> None:
        (self.scale,) = broadcast_all(scale)
        super().__init__(self.scale._shape, (), validate_args)

    def _base(self) -> Cauchy:
        return Cauchy(filled_like(self.scale, 0.0), self.scale, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return filled_like(self.scale, math.inf)

    @property
    def mode(self) -> Tensor:
        return filled_like(self.scale, 0.0)

    @property
    def variance(self) -> Tensor:
        return self._base().variance

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self._base().rsample(sample_shape).abs()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return choose(value >= 0, self._base().log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        return 2 * self._base().cdf(value) - 1

    def icdf(self, value: Tensor) -> Tensor:
        return self._base().icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        return self._base().entropy() - math.log(2)


class Gumbel(_LocationScale):
    """The largest of many numbers."""

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale * _EULER

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (math.pi / math.sqrt(6) * self.scale) ** 2

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self.icdf(_inside(self.loc, self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        y = (self.loc - value) / self.scale
        return y - y.exp() - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        return (-((self.loc - value) / self.scale).exp()).exp()

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self) -> Tensor:
        return self.scale.log() + (1 + _EULER)


class Weibull(Distribution):
    """A power of an exponential number."""

    has_rsample = True
    arg_constraints = {"scale": positive, "concentration": positive}
    support = positive

    def __init__(
        self, scale: Parameter, concentration: Parameter, validate_args: bool | None = None
    ) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        super().__init__(self.scale._shape, (), validate_args)

    def _moment(self, n: int) -> Tensor:
        return lgamma(1 + n / self.concentration).exp()

    @property
    def mean(self) -> Tensor:
        return self.scale * self._moment(1)

    @property
    def mode(self) -> Tensor:
        shape = self.concentration
        return self.scale * ((shape - 1) / shape) ** shape.reciprocal()

    @property
    def variance(self) -> Tensor:
        return self.scale**2 * (self._moment(2) - self._moment(1) ** 2)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self.icdf(_inside(self.scale, self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        shape, y = self.concentration, value / self.scale
        return shape.log() - self.scale.log() + (shape - 1) * y.log() - y**shape

    def cdf(self, value: Tensor) -> Tensor:
        return -(-((value / self.scale) ** self.concentration)).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * (-(-value).log1p()) ** self.concentration.reciprocal()

    def entropy(self) -> Tensor:
        inverse = self.concentration.reciprocal()
        return _EULER * (1 - inverse) + (self.scale * inverse).log() + 1


class Pareto(Distribution):
    """A power law above a smallest value."""

    has_rsample = True
    arg_constraints = {"alpha": positive, "scale": positive}

    def __init__(
        self, scale: Parameter, alpha: Parameter, validate_args: bool | None = None
    ) -> None:
        self.scale, self.alpha = broadcast_all(scale, alpha)
        super().__init__(self.scale._shape, (), validate_args)

    @dependent_property
    def support(self) -> Rule:
        return greater_than_eq(self.scale)

    @property
    def mean(self) -> Tensor:
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        a = self.alpha.clamp(min=2)
        return self.scale**2 * a / ((a - 1) ** 2 * (a - 2))

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self.icdf(_inside(self.scale, self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return self.alpha.log() + self.alpha * self.scale.log() - (self.alpha + 1) * value.log()

    def cdf(self, value: Tensor) -> Tensor:
        return 1 - (self.scale / value) ** self.alpha

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * (-(-value).log1p() / self.alpha).exp()

    def entropy(self) -> Tensor:
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())


class VonMises(Distribution):
    """The normal distribution of the circle; samples come from the host."""

    arg_constraints = {"loc": real, "concentration": positive}
    support = real

    def __init__(
        self, loc: Parameter, concentration: Parameter, validate_args: bool | None = None
    ) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc._shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        """One minus the length of the mean direction."""
        return 1 - i1e(self.concentration) / i0e(self.concentration)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        shape = tuple(self._extended_shape(sample_shape))
        made = host_generator().vonmises(values(self.loc), values(self.concentration), shape)
        return drawn(self.loc, made)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        turned = self.concentration * ((value - self.loc).cos() - 1)
        return turned - math.log(2 * math.pi) - i0e(self.concentration).log()
