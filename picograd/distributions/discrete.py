"""Discrete distributions.

In: probabilities (`probs`) or `logits`, or a rate. Out: samples, log-probabilities, moments.

>>> import picograd
>>> Bernoulli(0.5).entropy().item()
0.6931471824645996
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

from picograd.distributions.constraints import (
    Rule,
    boolean,
    dependent_property,
    integer_interval,
    nonnegative,
    nonnegative_integer,
    one_hot,
    real,
    real_vector,
    simplex,
    unit_interval,
)
from picograd.distributions.distribution import (
    Distribution,
    Parameter,
    broadcast_all,
    derived,
    drawn,
    host_generator,
)
from picograd.dtypes import int64
from picograd.frontend.creation import arange, eye
from picograd.frontend.device import Size
from picograd.frontend.elementwise import filled_like
from picograd.frontend.hostdata import values
from picograd.frontend.promotion import broadcast_shapes, broadcast_to
from picograd.frontend.sampling import bernoulli, multinomial, poisson
from picograd.frontend.selection import choose
from picograd.frontend.statistics import logsumexp, softmax
from picograd.frontend.tensor import Tensor
from picograd.frontend.transcendental import logaddexp
from picograd.special import lgamma, xlogy

Shape = Sequence[int]


def _one_of(probs: object, logits: object) -> None:
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")


def _epsilon(x: Tensor) -> float:
    return 2.0**-52 if x.dtype.bits == 64 else 2.0**-23


def _clamped(probs: Tensor) -> Tensor:
    """Probabilities that have finite logarithms."""
    return probs.clamp(_epsilon(probs), 1 - _epsilon(probs))


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) without overflow."""
    return logaddexp(x, filled_like(x, 0.0))


class _Coins(Distribution):
    """What Bernoulli and Binomial share: one probability, given as such or as its logit."""

    arg_constraints = {"probs": unit_interval, "logits": real}

    def _keep(self, probs: Parameter | None, logits: Parameter | None, *others: Parameter) -> Any:
        _one_of(probs, logits)
        given = probs if probs is not None else logits
        assert given is not None
        first, *rest = broadcast_all(given, *others)
        self.__dict__["probs" if probs is not None else "logits"] = first
        return first, rest

    @property
    def param_shape(self) -> Size:
        """The shape of the probabilities."""
        return Size(self.probs._shape)

    @derived
    def probs(self) -> Tensor:
        """The probability of 1."""
        return self.logits.sigmoid()

    @derived
    def logits(self) -> Tensor:
        """The logarithm of the odds."""
        probs = _clamped(self.probs)
        return probs.log() - (-probs).log1p()


class Bernoulli(_Coins):
    """1 with a probability, else 0."""

    support = boolean
    has_enumerate_support = True

    def __init__(
        self,
        probs: Parameter | None = None,
        logits: Parameter | None = None,
        validate_args: bool | None = None,
    ) -> None:
        first, _ = self._keep(probs, logits)
        super().__init__(first._shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        shape = tuple(self._extended_shape(sample_shape))
        return bernoulli(broadcast_to(self.probs.detach(), shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return value * self.logits - softplus(self.logits)

    def entropy(self) -> Tensor:
        return softplus(self.logits) - self.logits * self.probs

    @property
    def mode(self) -> Tensor:
        return choose(self.probs == 0.5, math.nan, (self.probs > 0.5).to(self.probs.dtype))

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return self._enumerated(arange(2, dtype=self.probs.dtype), expand)


class Binomial(_Coins):
    """How often a coin that is thrown `total_count` times shows 1."""

    has_enumerate_support = True

    @dependent_property
    def support(self) -> Rule:
        return integer_interval(0, self.total_count)

    def __init__(
        self,
        total_count: Parameter = 1,
        probs: Parameter | None = None,
        logits: Parameter | None = None,
        validate_args: bool | None = None,
    ) -> None:
        first, (count,) = self._keep(probs, logits, total_count)
        self.total_count = count.to(first.dtype)
        super().__init__(first._shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        probs, count = self.probs.detach(), values(self.total_count).astype(int)
        shape = tuple(self._extended_shape(sample_shape))
        return drawn(probs, host_generator().binomial(count, values(probs), shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        count = self.total_count
        ways = lgamma(count + 1) - lgamma(value + 1) - lgamma(count - value + 1)
        return ways + value * self.logits - count * softplus(self.logits)

    @property
    def mode(self) -> Tensor:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    def entropy(self) -> Tensor:
        counts = self.enumerate_support(False)
        density = copy.copy(self)
        density._validate_args = False
        logs = density.log_prob(counts)
        return -(logs.exp() * logs).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        counts = values(self.total_count)
        if (counts != counts.max()).any():
            raise NotImplementedError(
                "Inhomogeneous total count not supported by enumerate_support"
            )
        return self._enumerated(arange(1 + int(counts.max()), dtype=self.probs.dtype), expand)


class Poisson(Distribution):
    """The number of events that come at a rate."""

    arg_constraints = {"rate": nonnegative}
    support = nonnegative_integer

    def __init__(self, rate: Parameter, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate._shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def variance(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        return self.rate.floor()

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        shape = tuple(self._extended_shape(sample_shape))
        return poisson(broadcast_to(self.rate.detach(), shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return xlogy(value, self.rate) - self.rate - lgamma(value + 1)


class Categorical(Distribution):
    """One of several categories, numbered from 0."""

    arg_constraints = {"probs": simplex, "logits": real_vector}
    has_enumerate_support = True

    @dependent_property
    def support(self) -> Rule:
        return integer_interval(0, self._num_events - 1)

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        _one_of(probs, logits)
        given = probs if probs is not None else logits
        assert given is not None
        if given.ndim < 1:
            raise ValueError("`probs` or `logits` parameter must be at least one-dimensional.")
        if probs is not None:
            self.__dict__["probs"] = probs / probs.sum(-1, True)
        else:
            self.__dict__["logits"] = given - logsumexp(given, -1, True)
        self._num_events = given._shape[-1]
        super().__init__(given._shape[:-1], (), validate_args)

    @property
    def param_shape(self) -> Size:
        """The shape of the probabilities."""
        return Size((*self._batch_shape, self._num_events))

    @derived
    def probs(self) -> Tensor:
        """The probabilities."""
        return softmax(self.logits, -1)

    @derived
    def logits(self) -> Tensor:
        """The logarithms of the probabilities."""
        return _clamped(self.probs).log()

    @property
    def mean(self) -> Tensor:
        return filled_like(self.probs.sum(-1), math.nan)

    @property
    def variance(self) -> Tensor:
        return filled_like(self.probs.sum(-1), math.nan)

    @property
    def mode(self) -> Tensor:
        """The likeliest category."""
        return self.probs.argmax(-1)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        shape = tuple(self._extended_shape(sample_shape))
        count = 1
        for extent in sample_shape:
            count *= extent
        rows = self.probs.detach().reshape(-1, self._num_events)
        if not count:
            return rows.new_zeros(shape, dtype=int64)
        return multinomial(rows, count, True).t().reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        shape = broadcast_shapes(value._shape, self.logits._shape[:-1])
        place = value.to(int64).expand(shape).unsqueeze(-1)
        return self.logits.expand((*shape, self._num_events)).gather(-1, place).squeeze(-1)

    def entropy(self) -> Tensor:
        lowest = -3.4028234663852886e38 if self.logits.dtype.bits == 32 else -1.7976931348623157e308
        return -(self.logits.clamp(min=lowest) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All categories."""
        return self._enumerated(arange(self._num_events), expand)


class OneHotCategorical(Distribution):
    """A category as a vector with a single 1."""

    arg_constraints = {"probs": simplex, "logits": real_vector}
    support = one_hot
    has_enumerate_support = True

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        event = (self._categorical._num_events,)
        super().__init__(self._categorical.batch_shape, event, validate_args)

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """The logarithms of the probabilities."""
        return self._categorical.logits

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        place = self._categorical.sample(sample_shape)
        return eye(self._event_shape[0], dtype=self.probs.dtype)[place]

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Tensor:
        return self._categorical.entropy()

    @property
    def mode(self) -> Tensor:
        return eye(self._event_shape[0], dtype=self.probs.dtype)[self._categorical.mode]

    def enumerate_support(self, expand: bool = True) -> Tensor:
        count = self._event_shape[0]
        rows = eye(count, dtype=self.probs.dtype)
        rows = rows.reshape((count,) + (1,) * len(self._batch_shape) + (count,))
        return rows.expand((count, *self._batch_shape, count)) if expand else rows


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """A vector with a single 1 whose gradient is the probabilities'."""

    has_rsample = True

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        probs = self.probs
        return self.sample(sample_shape) + (probs - probs.detach())
