"""Discrete distributions.

In: probabilities (`probs`) or `logits`, or a rate. Out: samples, log-probabilities, moments.

>>> import picograd
>>> Bernoulli(0.5).entropy().item()
0.6931471824645996
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from picograd.distributions.distribution import (
    Distribution,
    Parameter,
    boolean,
    broadcast_all,
    drawn,
    host_generator,
    not_negative,
    real,
    simplex,
    unit,
    whole,
)
from picograd.dtypes import int64
from picograd.frontend.creation import arange, eye
from picograd.frontend.elementwise import filled_like
from picograd.frontend.hostdata import values
from picograd.frontend.promotion import broadcast_shapes, broadcast_to
from picograd.frontend.sampling import bernoulli, multinomial, poisson
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


def _softplus(x: Tensor) -> Tensor:
    return logaddexp(x, filled_like(x, 0.0))


class _Coins(Distribution):
    """What Bernoulli and Binomial share: one probability, given as such or as its logit."""

    _checks = {"_given_probs": unit, "_given_logits": real}
    _given_probs: Tensor | None
    _given_logits: Tensor | None

    def _keep(self, probs: Parameter | None, logits: Parameter | None, *others: Parameter) -> Any:
        _one_of(probs, logits)
        given = probs if probs is not None else logits
        assert given is not None
        first, *rest = broadcast_all(given, *others)
        self._given_probs = first if probs is not None else None
        self._given_logits = first if logits is not None else None
        return first, rest

    @property
    def probs(self) -> Tensor:
        """The probability of 1."""
        if self._given_probs is not None:
            return self._given_probs
        assert self._given_logits is not None
        return self._given_logits.sigmoid()

    @property
    def logits(self) -> Tensor:
        """The logarithm of the odds."""
        if self._given_logits is not None:
            return self._given_logits
        probs = _clamped(self.probs)
        return probs.log() - (-probs).log1p()


class Bernoulli(_Coins):
    """1 with a probability, else 0."""

    _support = staticmethod(boolean)

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
        return value * self.logits - _softplus(self.logits)

    def entropy(self) -> Tensor:
        return _softplus(self.logits) - self.logits * self.probs


class Binomial(_Coins):
    """How often a coin that is thrown `total_count` times shows 1."""

    _support = staticmethod(whole)

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
        return ways + value * self.logits - count * _softplus(self.logits)


class Poisson(Distribution):
    """The number of events that come at a rate."""

    _checks = {"rate": not_negative}
    _support = staticmethod(whole)

    def __init__(self, rate: Parameter, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate._shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def variance(self) -> Tensor:
        return self.rate

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        shape = tuple(self._extended_shape(sample_shape))
        return poisson(broadcast_to(self.rate.detach(), shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return xlogy(value, self.rate) - self.rate - lgamma(value + 1)


class Categorical(Distribution):
    """One of several categories, numbered from 0."""

    _checks = {"_given_probs": simplex, "_given_logits": real}
    _support = staticmethod(whole)

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
        self._given_probs = None if probs is None else probs / probs.sum(-1, True)
        self._given_logits = None
        if logits is not None:
            self._given_logits = logits - logsumexp(logits, -1, True)
        self._num_events = given._shape[-1]
        super().__init__(given._shape[:-1], (), validate_args)

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        if self._given_probs is not None:
            return self._given_probs
        assert self._given_logits is not None
        return softmax(self._given_logits, -1)

    @property
    def logits(self) -> Tensor:
        """The logarithms of the probabilities."""
        return self._given_logits if self._given_logits is not None else _clamped(self.probs).log()

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
        count = arange(self._num_events).reshape((-1,) + (1,) * len(self._batch_shape))
        return count.expand((-1, *self._batch_shape)) if expand else count


class OneHotCategorical(Distribution):
    """A category as a vector with a single 1."""

    _support = staticmethod(simplex)

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
