"""The base of all distributions: shapes, checks, the methods that follow from others.

In: parameters as tensors or numbers, which broadcast. Out: `Distribution`, which the families
beside this file derive from. A wrong parameter or value raises ValueError, as in torch.

>>> Distribution((2,), (3,))._extended_shape((5,))
torch.Size([5, 2, 3])
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from picograd.distributions.constraints import is_dependent
from picograd.frontend.device import Size
from picograd.frontend.grad_mode import no_grad
from picograd.frontend.hostdata import from_array, values
from picograd.frontend.interop import tensor
from picograd.frontend.promotion import broadcast_shapes, get_default_dtype
from picograd.frontend.random import default_generator
from picograd.frontend.tensor import Tensor

Parameter = Tensor | float


def broadcast_all(*parameters: Parameter) -> tuple[Tensor, ...]:
    """The parameters as tensors of one shape."""
    example = next((x for x in parameters if isinstance(x, Tensor)), None)
    dtype = get_default_dtype() if example is None else example.dtype
    tensors = [x if isinstance(x, Tensor) else tensor(x, dtype=dtype) for x in parameters]
    shape = broadcast_shapes(*[x._shape for x in tensors])
    return tuple([x.expand(shape) for x in tensors])


def host_generator() -> np.random.Generator:
    """A generator of NumPy's that continues the default generator's stream by one call."""
    return np.random.default_rng(default_generator.take())


def drawn(like: Tensor, array: np.ndarray) -> Tensor:
    """Samples made on the host as a tensor."""
    return from_array(np.asarray(array, like.dtype.numpy), like._storage.node.device)


class derived:
    """A parameter that follows from another one, unless it was given: then the instance has it."""

    def __init__(self, function: Callable[[Any], Tensor]) -> None:
        self.function, self.__doc__ = function, function.__doc__

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else self.function(instance)


class Distribution:
    """A probability distribution over a batch of parameters."""

    has_rsample = False
    has_enumerate_support = False
    _validate_args = True
    # What each parameter, and a value, must be.
    arg_constraints: ClassVar[dict[str, Any]] = {}
    support: Any = None

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Switch the checks of parameters and values."""
        Distribution._validate_args = value

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if not self._validate_args:
            return
        for name, constraint in self.arg_constraints.items():
            value = self.__dict__.get(name)
            if not isinstance(value, Tensor) or is_dependent(constraint):
                continue
            if not constraint.holds(values(value)).all():
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape "
                    f"{tuple(value._shape)}) of distribution {self!r} to satisfy the constraint "
                    f"{constraint!r}, but found invalid values:\n{value}"
                )

    @property
    def batch_shape(self) -> Size:
        """The shape of the parameters."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one sample."""
        return self._event_shape

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise NotImplementedError(f"{type(self).__name__}.mean isn't supported")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError(f"{type(self).__name__}.variance isn't supported")

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    @property
    def mode(self) -> Tensor:
        """The likeliest value."""
        raise NotImplementedError(f"{type(self).__name__}.mode isn't supported")

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> Any:
        """The same distribution with a larger batch, over the same memory."""
        made, batch, count = copy.copy(self), tuple(batch_shape), len(self._batch_shape)
        for name, value in self.__dict__.items():
            if isinstance(value, Tensor):
                made.__dict__[name] = value.expand(batch + value._shape[count:])
            elif isinstance(value, Distribution):
                made.__dict__[name] = value.expand(batch + tuple(value._batch_shape)[count:])
        made._batch_shape = Size(batch)
        return made

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution, along a first dim."""
        raise NotImplementedError(f"{type(self).__name__}.enumerate_support isn't supported")

    def _enumerated(self, support: Tensor, expand: bool) -> Tensor:
        """Values along a first dim, in front of the batch."""
        support = support.reshape((-1,) + (1,) * len(self._batch_shape))
        return support.expand((-1, *self._batch_shape)) if expand else support

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Samples without a gradient."""
        with no_grad():
            return self.rsample(sample_shape).detach()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Samples that are differentiable functions of the parameters."""
        raise NotImplementedError(
            f"{type(self).__name__}.rsample isn't supported: use sample and log_prob"
        )

    def sample_n(self, n: int) -> Tensor:
        """n samples."""
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, of a value."""
        raise NotImplementedError(f"{type(self).__name__}.log_prob isn't supported")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most a value."""
        raise NotImplementedError(f"{type(self).__name__}.cdf isn't supported")

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`."""
        raise NotImplementedError(f"{type(self).__name__}.icdf isn't supported")

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        raise NotImplementedError(f"{type(self).__name__}.entropy isn't supported")

    def perplexity(self) -> Tensor:
        """exp of the entropy."""
        return self.entropy().exp()

    def _validate_sample(self, value: Any) -> None:
        if not self._validate_args:
            return
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        shape, event = value._shape, tuple(self._event_shape)
        if shape[len(shape) - len(event) :] != event:
            raise ValueError(
                "The right-most size of value must match event_shape: "
                f"{list(shape)} vs {list(event)}."
            )
        expected = self._extended_shape()
        for i, j in zip(reversed(shape), reversed(expected), strict=False):
            if 1 not in (i, j) and i != j:
                raise ValueError(
                    f"Value is not broadcastable with batch_shape+event_shape: {list(shape)} vs "
                    f"{list(expected)}."
                )
        support = self.support
        if support is None or is_dependent(support):
            return
        if not support.holds(values(value)).all():
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(shape)}) to be "
                f"within the support ({support!r}) of the distribution {self!r}, but found invalid "
                f"values:\n{value}"
            )

    def __repr__(self) -> str:
        shown = [
            f"{name}: {x.item() if x.numel() == 1 else 'torch.Size(' + str(list(x._shape)) + ')'}"
            for name in self.arg_constraints
            if isinstance(x := self.__dict__.get(name), Tensor)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"
