"""Distributions of counts: waiting for successes, and throws of a many-sided die.

In: probabilities or logits. Out: samples, log-probabilities, moments.

>>> Geometric(0.25).mean.item()
3.0
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from picograd.distributions import constraints
from picograd.distributions.discrete import Categorical, _Coins, softplus
from picograd.distributions.distribution import Distribution, Parameter, broadcast_all
from picograd.distributions.gamma import standard_gamma
from picograd.frontend.device import Size
from picograd.frontend.random import uniform
from picograd.frontend.sampling import poisson
from picograd.frontend.selection import choose
from picograd.frontend.statistics import logsumexp
from picograd.frontend.tensor import Tensor
from picograd.special import lgamma

Shape = Sequence[int]


class Geometric(_Coins):
    """The number of failures before the first success."""

    support = constraints.nonnegative_integer

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
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        return self.probs * 0

    @property
    def variance(self) -> Tensor:
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        probs = self.probs.detach()
        shape = tuple(self._extended_shape(sample_shape))
        u = uniform(shape, probs.dtype, None, probs._storage.node.device)
        return ((-u).log1p() / (-probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        probs = self.probs
        impossible = (value == 0) & (probs == 1)
        return value * choose(impossible, 0.0, (-probs).log1p()) + probs.log()

    def entropy(self) -> Tensor:
        logits, probs = self.logits, self.probs
        return (softplus(logits) - logits * probs) / probs


class NegativeBinomial(_Coins):
    """The number of successes before `total_count` failures."""

    support = constraints.nonnegative_integer
    arg_constraints = {
        "total_count": constraints.nonnegative,
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }

    def __init__(
        self,
        total_count: Parameter,
        probs: Parameter | None = None,
        logits: Parameter | None = None,
        validate_args: bool | None = None,
    ) -> None:
        first, (count,) = self._keep(probs, logits, total_count)
        self.total_count = count.to(first.dtype)
        super().__init__(first._shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        made = standard_gamma(self.total_count.detach(), shape)
        return poisson(made * self.logits.detach().exp())

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        count = self.total_count
        kept = count * (-self.logits).sigmoid().log() + value * self.logits.sigmoid().log()
        return kept + lgamma(count + value) - lgamma(1.0 + value) - lgamma(count)


class Multinomial(Distribution):
    """How often each side of a die shows in `total_count` throws."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(
        self,
        total_count: int = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits, validate_args)
        event = (self._categorical._num_events,)
        super().__init__(self._categorical.batch_shape, event, validate_args)

    @constraints.dependent_property
    def support(self) -> constraints.Rule:
        return constraints.multinomial(self.total_count)

    @property
    def param_shape(self) -> Size:
        """The shape of the probabilities."""
        return self._categorical.param_shape

    @property
    def probs(self) -> Tensor:
        """The probabilities of the sides."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """Their logarithms."""
        return self._categorical.logits

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        sides = self._categorical.sample((self.total_count, *sample_shape))
        counts = self.probs.new_zeros(tuple(self._extended_shape(sample_shape)))
        places = sides.movedim(0, -1)
        return counts.scatter_add(-1, places, counts.new_ones(places._shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        impossible = value.eq(0).logical_and(logits.eq(-float("inf")))
        logits = choose(impossible, 0.0, logits)
        ways = lgamma(value.sum(-1) + 1) - lgamma(value + 1).sum(-1)
        return ways + (logits * value).sum(-1)


class RelaxedBernoulli(_Coins):
    """A differentiable number in (0, 1) that stands for a coin, the more so the colder."""

    has_rsample = True
    support = constraints.unit_interval

    def __init__(
        self,
        temperature: Parameter,
        probs: Parameter | None = None,
        logits: Parameter | None = None,
        validate_args: bool | None = None,
    ) -> None:
        first, (self.temperature,) = self._keep(probs, logits, temperature)
        super().__init__(first._shape, (), validate_args)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        logits = self.logits
        shape = tuple(self._extended_shape(sample_shape))
        u = uniform(shape, logits.dtype, None, logits._storage.node.device)
        tiny = 2.0**-52 if logits.dtype.bits == 64 else 2.0**-23
        u = u.clamp(tiny, 1 - tiny)
        return ((u.log() - (-u).log1p() + logits) / self.temperature).sigmoid()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        odds = value.log() - (-value).log1p()
        gap = self.logits - odds * self.temperature
        return self.temperature.log() + gap - 2 * softplus(gap) - value.log() - (-value).log1p()


class RelaxedOneHotCategorical(Distribution):
    """A differentiable vector that stands for one with a single 1, the more so the colder."""

    has_rsample = True
    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex

    def __init__(
        self,
        temperature: Tensor | float,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        self._cooling = (temperature,)
        event = (self._categorical._num_events,)
        super().__init__(self._categorical.batch_shape, event, validate_args)

    @property
    def temperature(self) -> Tensor | float:
        """How far from a single 1 the vectors are."""
        return self._cooling[0]

    @property
    def probs(self) -> Tensor:
        """The probabilities of the categories."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """Their logarithms."""
        return self._categorical.logits

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        logits = self.logits
        shape = tuple(self._extended_shape(sample_shape))
        u = uniform(shape, logits.dtype, None, logits._storage.node.device)
        tiny = 2.0**-52 if logits.dtype.bits == 64 else 2.0**-23
        scores = (logits - (-u.clamp(tiny, 1 - tiny).log()).log()) / self.temperature
        return (scores - logsumexp(scores, -1, True)).exp()

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        count, logs = self._categorical._num_events, value.log()
        logits, _ = broadcast_all(self.logits, value)
        cold = self.temperature
        size = (logs * 0 + cold)[..., 0].log() * (count - 1) + math.lgamma(count)
        score = logits - logs * cold
        return (score - logsumexp(score, -1, True)).sum(-1) - logs.sum(-1) + size
