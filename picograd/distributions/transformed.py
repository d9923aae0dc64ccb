"""Distributions made of others: transformed, and mixed.

In: a distribution and transforms, or probabilities and components. Out: samples, densities.

>>> import picograd
>>> from picograd.distributions.continuous import Normal
>>> from picograd.distributions.transforms import ExpTransform
>>> made = TransformedDistribution(Normal(0.0, 1.0), ExpTransform())
>>> round(made.log_prob(picograd.tensor(1.0)).item(), 4)
-0.9189
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from picograd.distributions.constraints import Constraint, positive, unit_interval
from picograd.distributions.continuous import Normal, Uniform
from picograd.distributions.discrete import Categorical
from picograd.distributions.distribution import Distribution, Parameter, broadcast_all
from picograd.distributions.multivariate import Independent
from picograd.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    PowerTransform,
    StickBreakingTransform,
    Transform,
    summed,
)
from picograd.frontend.elementwise import filled_like
from picograd.frontend.grad_mode import no_grad
from picograd.frontend.promotion import broadcast_shapes
from picograd.frontend.statistics import log_softmax, logsumexp
from picograd.frontend.tensor import Tensor
from picograd.special import digamma, lgamma

Shape = Sequence[int]


class TransformedDistribution(Distribution):
    """Samples of a base distribution that go through transforms."""

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | Sequence[Transform],
        validate_args: bool | None = None,
    ) -> None:
        listed = [transforms] if isinstance(transforms, Transform) else list(transforms)
        if not all(isinstance(t, Transform) for t in listed):
            raise ValueError(f"transforms must be a Transform or a list of them, got {transforms}")
        self.transforms = listed
        whole = ComposeTransform(listed)
        base = tuple(base_distribution.batch_shape) + tuple(base_distribution.event_shape)
        if len(base) < whole.domain.event_dim:
            raise ValueError(
                "base_distribution needs to have shape with size at least "
                f"{whole.domain.event_dim}, but got {base}"
            )
        shape = tuple(whole.forward_shape(base))
        wider = tuple(whole.inverse_shape(shape))
        kept = len(base_distribution.event_shape)
        dims = max(whole.domain.event_dim, kept)  # of the base: how many are one event
        if wider != base:
            base_distribution = base_distribution.expand(wider[: len(wider) - kept])
        if dims > kept:
            base_distribution = Independent(base_distribution, dims - kept)
        self.base_dist = base_distribution
        event = dims + whole.codomain.event_dim - whole.domain.event_dim
        cut = len(shape) - event
        super().__init__(shape[:cut], shape[cut:], validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether the base's samples are differentiable."""
        return self.base_dist.has_rsample

    @property
    def support(self) -> Constraint | None:  # type: ignore[override]
        """Where the last transform leads."""
        return self.transforms[-1].codomain if self.transforms else self.base_dist.support

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        with no_grad():
            return self._forward(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        return self._forward(self.base_dist.rsample(sample_shape))

    def _forward(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Tensor) -> Tensor:
        dims, total, y = len(self.event_shape), None, value
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            dims += transform.domain.event_dim - transform.codomain.event_dim
            term = transform.log_abs_det_jacobian(x, y)
            term = summed(term, dims - transform.domain.event_dim)
            total, y = term if total is None else total + term, x
        density = self.base_dist.log_prob(y)
        density = summed(density, dims - len(self.base_dist.event_shape))
        return density if total is None else density - total

    def _flipped(self, chance: Tensor) -> Tensor:
        """A probability, or one minus it where the transforms turn the order round."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return sign * (chance - 0.5) + 0.5

    def cdf(self, value: Tensor) -> Tensor:
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return self._flipped(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        return self._forward(self.base_dist.icdf(self._flipped(value)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class LogisticNormal(TransformedDistribution):
    """Probabilities that are a normal vector's, by breaking a stick."""

    def __init__(self, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        self._normal = Normal(loc, scale)
        super().__init__(self._normal, StickBreakingTransform(), validate_args)

    @property
    def loc(self) -> Tensor:
        """The normal vector's mean."""
        return self._normal.loc

    @property
    def scale(self) -> Tensor:
        """The normal vector's standard deviation."""
        return self._normal.scale


class Kumaraswamy(TransformedDistribution):
    """A relative of the beta distribution with a cdf of powers."""

    arg_constraints = {"concentration1": positive, "concentration0": positive}
    support = unit_interval  # type: ignore[assignment]

    def __init__(
        self,
        concentration1: Parameter,
        concentration0: Parameter,
        validate_args: bool | None = None,
    ) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        base = Uniform(
            filled_like(self.concentration0, 0.0), filled_like(self.concentration0, 1.0), False
        )
        turned = AffineTransform(1.0, -1.0)
        steps = [PowerTransform(1 / self.concentration0), turned]
        super().__init__(base, [*steps, PowerTransform(1 / self.concentration1)], validate_args)

    def _moment(self, n: int) -> Tensor:
        b = self.concentration0
        one = 1 + n / self.concentration1
        return b * (lgamma(one) + lgamma(b) - lgamma(one + b)).exp()

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self._moment(1) ** 2

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        harmonic = digamma(b + 1) + 0.57721566490153286060
        return (1 - 1 / b) + (1 - 1 / a) * harmonic - a.log() - b.log()


class MixtureSameFamily(Distribution):
    """One of several components of one family, chosen by a Categorical."""

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                " The Mixture distribution needs to be an  instance of "
                "torch.distributions.Categorical"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "The Component distribution need to be an instance of "
                "torch.distributions.Distribution"
            )
        chosen = tuple(mixture_distribution.batch_shape)
        batch = tuple(component_distribution.batch_shape)
        broadcast_shapes(chosen, batch[:-1])
        if mixture_distribution._num_events != batch[-1]:
            raise ValueError(
                f"`mixture_distribution component` ({mixture_distribution._num_events}) does not "
                f"equal `component_distribution.batch_shape[-1]` ({batch[-1]})"
            )
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        super().__init__(batch[:-1], component_distribution.event_shape, validate_args)

    @property
    def mixture_distribution(self) -> Categorical:
        """What chooses the component."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components, along the last batch dim."""
        return self._component_distribution

    @property
    def support(self) -> Constraint | None:  # type: ignore[override]
        """The components'."""
        return self._component_distribution.support

    def _weights(self) -> Tensor:
        probs = self._mixture_distribution.probs
        return probs.reshape(probs._shape + (1,) * len(self._event_shape))

    def _dim(self) -> int:
        return -1 - len(self._event_shape)

    @property
    def mean(self) -> Tensor:
        return (self._weights() * self._component_distribution.mean).sum(self._dim())

    @property
    def variance(self) -> Tensor:
        weights, parts = self._weights(), self._component_distribution
        inside = (weights * parts.variance).sum(self._dim())
        distance = parts.mean - self.mean.unsqueeze(self._dim())
        return inside + (weights * distance**2).sum(self._dim())

    def cdf(self, value: Tensor) -> Tensor:
        found = self._component_distribution.cdf(value.unsqueeze(self._dim()))
        return (found * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        parts = self._component_distribution.log_prob(value.unsqueeze(self._dim()))
        return logsumexp(parts + log_softmax(self._mixture_distribution.logits, -1), -1)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        with no_grad():
            events = len(self._event_shape)
            chosen = self._mixture_distribution.expand(self._batch_shape).sample(sample_shape)
            parts = self._component_distribution.sample(sample_shape)
            place = chosen.reshape(chosen._shape + (1,) * (events + 1))
            shape = (*chosen._shape, 1, *self._event_shape)
            return parts.gather(self._dim(), place.expand(shape)).squeeze(self._dim())

    def __repr__(self) -> str:
        return (
            f"MixtureSameFamily(\n  {self._mixture_distribution},\n  "
            f"{self._component_distribution})"
        )
